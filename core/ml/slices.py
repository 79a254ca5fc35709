"""Where a model does well or badly: the same figures by pair, regime, hour and year. To look at, never to judge by.

With forty slices two of the 95% intervals miss the truth by chance alone; the note says how many were looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from core.domain.candles import HOUR_MS, BoolArray, FloatArray, IntArray
from core.ml.dataset import TextArray
from core.ml.intervals import auc, brier_skill, clusterings
from core.ml.measures import auc_interval, halves

FEWEST = 20
"""Rows below which a slice has no figure but its base rate."""

GROUPS = ("pair", "regime", "block", "hour", "year")
"""``block`` is a quarter of the UTC day, ``hour`` one hour of it, both of the moment of the decision."""

_BLOCK = 6  # hours


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice of the predictions; figures as in ``measures.Metrics``, None where too few or all the same.

    ``better_r`` and ``worse_r`` are split at the slice's own median prediction.
    """

    group: str
    name: str
    n: int
    base_rate: float
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    brier_skill: float | None
    better_r: float | None
    worse_r: float | None


@dataclass(frozen=True, slots=True)
class Slices:
    """All slices that hold a row, in the order of ``GROUPS`` and then of their names; ``looked_at`` have an interval.

    ``apart`` of them lie wholly on one side of guessing.
    """

    slices: tuple[Slice, ...]

    @property
    def looked_at(self) -> int:
        return sum(s.auc_low is not None for s in self.slices)

    @property
    def apart(self) -> int:
        return sum(
            s.auc_low is not None and s.auc_high is not None and not s.auc_low <= 0.5 <= s.auc_high for s in self.slices
        )

    @property
    def note(self) -> str:
        """What may be concluded from them, which is nothing from one alone."""
        if not self.looked_at:
            return "No slice has enough separate days for an interval."
        there = f"{self.apart} {'lies' if self.apart == 1 else 'lie'} there"
        return (
            f"{self.looked_at} slices have an interval; chance alone would put {self.looked_at * 0.05:.1f} of them "
            f"wholly on one side of 0.50, {there}. No slice alone proves anything."
        )

    def of(self, group: str) -> tuple[Slice, ...]:
        return tuple(s for s in self.slices if s.group == group)


def slices(
    probability: FloatArray,
    outcome: IntArray,
    base: FloatArray,
    r: FloatArray,
    time: IntArray,
    end_time: IntArray,
    pair: TextArray | Sequence[str],
    regime: TextArray | Sequence[str],
) -> Slices:
    """Every slice of predictions that are given as arrays of one length, sorted by time."""
    pairs, regimes = np.asarray(pair, dtype=np.str_), np.asarray(regime, dtype=np.str_)
    found = []
    for group, labels in zip(GROUPS, _labels(time, pairs, regimes), strict=True):
        for name in np.unique(labels):
            at: BoolArray = labels == name
            columns = (outcome[at], base[at], r[at], time[at], end_time[at])
            found.append(_slice(group, str(name), probability[at], *columns))
    return Slices(tuple(found))


def _labels(time: IntArray, pair: TextArray, regime: TextArray) -> Iterator[TextArray]:
    hour = time // HOUR_MS % 24
    yield pair
    yield regime
    yield np.array([f"{h:02d}-{h + _BLOCK:02d} UTC" for h in (hour // _BLOCK * _BLOCK).tolist()], dtype=np.str_)
    yield np.array([f"{h:02d}" for h in hour.tolist()], dtype=np.str_)
    yield np.array([str(datetime.fromtimestamp(t / 1000, UTC).year) for t in time.tolist()], dtype=np.str_)


def _slice(
    group: str,
    name: str,
    probability: FloatArray,
    outcome: IntArray,
    base: FloatArray,
    r: FloatArray,
    time: IntArray,
    end_time: IntArray,
) -> Slice:
    n, won = len(outcome), float(outcome.mean())
    if n < FEWEST:
        return Slice(group, name, n, won, None, None, None, None, None, None)
    clusters = clusterings(time, end_time)
    area = auc(probability, outcome, clusters)
    low, high = auc_interval(area)
    better, worse, _ = halves(probability, r, clusters)
    skill = brier_skill(probability, outcome, base)
    return Slice(group, name, n, won, area.value if area else None, low, high, skill, better, worse)
