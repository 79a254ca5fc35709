"""When a model has had its time: too old, or worse than a coin on live outcomes. Sentences, empty where all is well."""

from __future__ import annotations

from core.domain.candles import DAY_MS

RED_FLAG_ACCURACY = 0.50
"""Live accuracy below which a model loses its weight (the red flag of the success metrics)."""


def expired(model_id: str | None, trained_ms: int, now_ms: int, max_age_days: float) -> str:
    """Why a model trained at ``trained_ms`` is too old at ``now_ms``, else empty. Times in epoch ms."""
    if (now_ms - trained_ms) / DAY_MS <= max_age_days:
        return ""
    return f"{model_id or 'the model'} was trained more than {max_age_days:g} days ago; /retrain makes a new one"


def below_red_flag(accuracy: float | None, n: int) -> str:
    """Why the live ``accuracy`` of a look on ``n`` outcomes is too low to go on with, else empty; None: no look yet."""
    if accuracy is None or accuracy >= RED_FLAG_ACCURACY:
        return ""
    return f"live accuracy {accuracy:.1%} on {n} outcomes is under {RED_FLAG_ACCURACY:.0%}"
