"""Variants of the strategy's filters: what each would have chosen of the same candidates, said before the outcome."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from core.config import Settings, Strategy, Variant
from core.domain.candles import IntArray, Pair
from core.domain.trading import Candidate, Ruling, Verdict
from core.engine.strategy import signal_verdicts

LAYER = "variant"
"""The layer of a variant's verdict; its rule is the variant's name, its number 1 for a signal and 0 for none."""

_GROUND = (
    *("adx_min", "rsi_long_max", "rsi_short_min", "volume_ratio_min", "cooldown_bars"),
    *("stop_atr", "max_bars", "warmup_bars", "breakeven_after_tp1"),
)


def variant_label(name: str, settings: Settings) -> str:
    """What a variant changes, and a mark of everything that its comparison with the strategy's own signals rests on.

    A verdict carries this, so that evidence gathered under other numbers is never mixed with today's.
    """
    variant = settings.variants[name]
    changes = variant.model_dump(exclude_none=True)
    words = ", ".join(f"{key} {_plain(value)}" for key, value in changes.items())
    own = ", ".join(f"{key} {_plain(getattr(settings.strategy, key))}" for key in _GROUND)
    # Named only where it is another one than it always was, so that older evidence keeps its mark.
    if (refused := settings.strategy.refused_regimes) != Strategy().refused_regimes:
        own += f", refused_regimes {_plain(refused)}"
    ground = "; ".join((settings.timeframe, settings.fills, own, words))
    mark = hashlib.sha256(ground.encode()).hexdigest()[:6]
    return f"{words} [{mark}]"


def label_of(verdict: Verdict) -> str:
    """The label under which a variant's verdict was given."""
    return verdict.sentence.split("]: ")[0] + "]"


def _plain(value: object) -> str:
    if isinstance(value, tuple | list):
        return "+".join(value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def variant_verdicts(
    candidate: Candidate, window_time: IntArray, last_signals: Mapping[tuple[str, Pair], int], settings: Settings
) -> tuple[Verdict, ...]:
    """Each variant's choice about a candidate, in the order of the settings; none of them refuses anything.

    ``window_time`` are the open times of the pair's candles up to this one; the cooldown counts its rows since the
    variant's own signal before, whose open time is in ``last_signals``.
    """
    found = []
    for name, variant in settings.variants.items():
        last = last_signals.get((name, candidate.pair))
        since = None if last is None else len(window_time) - int(np.searchsorted(window_time, last, side="right"))
        reason = refusal(candidate, variant, since, settings)
        words = f"{variant_label(name, settings)}: {reason or 'a signal'}"
        found.append(Verdict(LAYER, name, Ruling.RECORD, 0.0 if reason else 1.0, words))
    return tuple(found)


def refusal(candidate: Candidate, variant: Variant, bars_since: int | None, settings: Settings) -> str:
    """The first reason why a candidate is no signal for this variant; empty when it is one."""
    rules = variant.strategy(settings.strategy)
    verdicts = signal_verdicts(candidate.snapshot, candidate.direction, bars_since, rules)
    return next((v.sentence for v in verdicts if v.ruling is Ruling.REFUSE), "")
