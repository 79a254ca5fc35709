"""Whether a variant of the filters has shown itself better than the strategy's own: the gate's kind of evidence.

Looks are taken at the gate's counts of contested outcomes, each on exactly the first so many in the order of closing,
and spend the gate's shares of an error budget. What a look says depends on nothing later, so looking costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.domain.candles import DAY_MS, BoolArray, FloatArray
from core.ml.differences import Difference, difference
from core.ml.gate import Condition, State, alpha_of, look_count, looks_up_to
from core.ml.intervals import clusterings

MIN_APART = 20
"""Outcomes on which the two must have chosen differently."""

_FIRST, _FIRST_SHARE = 4, 0.2  # as many variants as the settings hold share four fifths of the budget


@dataclass(frozen=True, slots=True)
class Contest:
    """A closed outcome that the variant, the strategy or both chose. Times in epoch ms, ``r_net`` after costs.

    ``decided`` is the close of the candle, ``closed`` when the outcome was known.
    """

    decided: int
    closed: int
    r_net: float
    by_variant: bool
    by_owner: bool


@dataclass(frozen=True, slots=True)
class Chosen:
    """What one of the two chose: its number, mean net R (None without any) and net R per day of the stretch."""

    n: int
    mean: float | None
    per_day: float


@dataclass(frozen=True, slots=True)
class VariantLook:
    """Look ``index`` (from 1) on the first ``n`` contested outcomes; ``low`` is the one-sided bound at ``alpha``."""

    index: int
    n: int
    alpha: float
    days: float
    variant: Chosen
    owner: Chosen
    difference: float | None
    low: float | None
    state: State
    conditions: tuple[Condition, ...]


def error_share(order: int, total: float) -> float:
    """The error budget of the variant tried as number ``order`` (from 1); over all that are ever tried it is ``total``.

    The first four may spend a fifth each; those after them share the last fifth as 1 / (k (k + 1)). Trying one
    variant after another until one passes is a way of looking often, and is paid for.
    """
    if order < 1:
        raise ValueError(f"variants are counted from 1, not {order}")
    if order <= _FIRST:
        return total * _FIRST_SHARE
    later = order - _FIRST
    return total * (1 - _FIRST * _FIRST_SHARE) / (later * (later + 1))


def variant_looks(contests: Sequence[Contest], error: float) -> tuple[VariantLook, ...]:
    """Every look that these outcomes give, in order; ``contests`` in any order. Raises ValueError for one without a
    chooser, or not older than its outcome."""
    for contest in contests:
        if not (contest.by_variant or contest.by_owner):
            raise ValueError("an outcome that nobody chose is no contest")
        if contest.decided >= contest.closed:
            raise ValueError("a choice must be older than its outcome")
    ordered = sorted(contests, key=lambda c: (c.closed, c.decided, c.r_net, c.by_variant))
    return tuple(
        _look(index, ordered[: look_count(index)], alpha_of(index, error))
        for index in range(1, looks_up_to(len(ordered)) + 1)
    )


def _look(index: int, first: Sequence[Contest], alpha: float) -> VariantLook:
    r = np.array([c.r_net for c in first], dtype=np.float64)
    variant = np.array([c.by_variant for c in first], dtype=np.bool_)
    owner = np.array([c.by_owner for c in first], dtype=np.bool_)
    decided = np.array([c.decided for c in first], dtype=np.int64)
    closed = np.array([c.closed for c in first], dtype=np.int64)
    days = float(closed.max() - decided.min()) / DAY_MS
    theirs, own = _chosen(r, variant, days), _chosen(r, owner, days)
    found = difference(r, variant, owner, clusterings(decided, closed))
    low = _low(found, alpha)
    apart = int((variant != owner).sum())
    must = (_apart_condition(apart),)
    asked = (_mean_condition(found, low, alpha), _per_day_condition(theirs, own))
    state: State = "blocked"
    if all(c.met for c in must):
        state = "ready" if all(c.met for c in asked) else "weak"
    value = None if found is None else found.value
    return VariantLook(index, len(first), alpha, days, theirs, own, value, low, state, (*must, *asked))


def _chosen(r: FloatArray, mask: BoolArray, days: float) -> Chosen:
    n = int(mask.sum())
    return Chosen(n, float(r[mask].mean()) if n else None, float(r[mask].sum()) / days)


def _low(found: Difference | None, alpha: float) -> float | None:
    """One-sided: all of the error lies on the side that could mislead."""
    interval = None if found is None else found.interval(2 * alpha)
    return None if interval is None else interval[0]


def _apart_condition(apart: int) -> Condition:
    return Condition(
        "apart",
        apart >= MIN_APART,
        float(apart),
        float(MIN_APART),
        f"they chose differently on {apart} outcomes, {MIN_APART} are needed",
    )


def _mean_condition(found: Difference | None, low: float | None, alpha: float) -> Condition:
    if found is None:
        sentence = "one of the two has chosen nothing yet"
    elif low is None:
        sentence = (
            f"mean net R {found.value:+.2f} against the strategy's own, but the outcomes on which they differ lie in "
            "too few separate stretches of time for a bound"
        )
    else:
        sentence = (
            f"mean net R {found.value:+.2f} against the strategy's own, at least {low:+.2f} at the error of "
            f"{alpha:.3%} that this look may spend; more than 0 is asked"
        )
    return Condition("mean", low is not None and low > 0, low, 0.0, sentence)


def _per_day_condition(variant: Chosen, owner: Chosen) -> Condition:
    gain = variant.per_day - owner.per_day
    return Condition(
        "per_day",
        gain > 0,
        gain,
        0.0,
        f"net R a day {variant.per_day:+.2f} against {owner.per_day:+.2f}; more is asked, for a better mean of other "
        "trades can still earn less",
    )
