"""When a model has had its time: too old, or worse than a coin on live outcomes. Sentences, empty where all is well."""

from __future__ import annotations

from core.domain.candles import DAY_MS

RED_FLAG_ACCURACY = 0.50
"""Live accuracy below which a model loses its weight (the red flag of the success metrics)."""


def expired(created_ms: int, now_ms: int, max_age_days: float) -> str:
    """Why a model made at ``created_ms`` is too old at ``now_ms``, else empty. Times in epoch ms."""
    age = (now_ms - created_ms) / DAY_MS
    if age <= max_age_days:
        return ""
    return f"the model is {int(age)} days old and counts for {max_age_days:g} at most; /retrain makes a new one"


def below_red_flag(accuracy: float | None, n: int) -> str:
    """Why the live ``accuracy`` of a look on ``n`` outcomes is too low to go on with, else empty; None: no look yet."""
    if accuracy is None or accuracy >= RED_FLAG_ACCURACY:
        return ""
    return f"live accuracy {accuracy:.1%} on {n} outcomes is under {RED_FLAG_ACCURACY:.0%}"
