"""Means of R and differences of means with intervals that hold when outcomes overlap and pairs move together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.domain.candles import BoolArray, FloatArray, IntArray
from core.ml.intervals import MIN_DF, mean_low, student_quantile

_COUNTS = 0.05  # a group of rows with less than this share of the weight decides nothing about the spread
_SMALLEST_P = 1e-9


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference of two means with one (standard error, degrees of freedom) per clustering; the widest counts.

    Without any spread there is too little for an interval.
    """

    value: float
    spreads: tuple[tuple[float, float], ...]

    def reach(self, alpha: float) -> float:
        """Half the width of the two-sided interval at error ``alpha``; one-sided at ``alpha / 2``. inf: no interval."""
        if not self.spreads:
            return math.inf
        return max(error * student_quantile(1 - alpha / 2, df) for error, df in self.spreads)

    def interval(self, alpha: float) -> tuple[float, float] | None:
        reach = self.reach(alpha)
        return None if math.isinf(reach) else (self.value - reach, self.value + reach)

    @property
    def p(self) -> float | None:
        """The two-sided error at which the interval just reaches 0; None without an interval."""
        if not self.spreads:
            return None
        if self.value == 0:
            return 1.0
        low, high = math.log(_SMALLEST_P), 0.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if self.reach(math.exp(middle)) < abs(self.value) else (middle, high)
        return math.exp(high)


def mean_interval(values: FloatArray, clusters: tuple[IntArray, ...], alpha: float) -> tuple[float, float] | None:
    """The two-sided interval of a mean at error ``alpha``, the widest over the clusterings; None with too few."""
    low = mean_low(values, clusters, alpha / 2)
    return None if low is None else (low, 2 * float(values.mean()) - low)


def difference(
    values: FloatArray, chosen: BoolArray, reference: BoolArray, clusters: tuple[IntArray, ...]
) -> Difference | None:
    """The mean of the ``chosen`` rows less the mean of the ``reference`` rows; the two may share rows.

    None where a set is empty; otherwise as ``weighted_difference``, a row in a set counting 1.
    """
    return weighted_difference(values, chosen.astype(np.float64), reference.astype(np.float64), clusters)


def weighted_difference(
    values: FloatArray, chosen: FloatArray, reference: FloatArray, clusters: tuple[IntArray, ...]
) -> Difference | None:
    """The mean with the weights ``chosen`` (>= 0, such as position sizes) less that with the weights ``reference``.

    Each row's influence is its deviation from the mean it counts in, by its share of that mean's weight, and counts
    with both signs where it is in both; influences are summed within clusters before squaring, with G / (G - 1) (Liang
    and Zeger 1986). A spread estimated from few stretches of time is an anecdote: the degrees of freedom are the
    smallest effective number of clusters (Kish) less one among the groups of rows that are weighted alike (for plain
    sets: those in one set only and those in both), as far as they carry weight; this is never more than Welch (1947)
    would give. None where either set of weights is all 0.
    """
    if not chosen.any() or not reference.any():
        return None
    mine, theirs = chosen / chosen.sum(), reference / reference.sum()
    first, second = float((mine * values).sum()), float((theirs * values).sum())
    weight = np.abs(mine - theirs)
    influence = mine * (values - first) - theirs * (values - second)
    alike = np.unique(np.column_stack((chosen, reference)), axis=0)
    groups = [(chosen == a) & (reference == b) for a, b in alike]
    spreads = []
    for labels in clusters:
        _, label = np.unique(labels, return_inverse=True)
        df = _freedom(weight, groups, label)
        if df >= MIN_DF:
            sums = np.bincount(label, weights=influence)
            used = np.bincount(label, weights=((chosen > 0) | (reference > 0)).astype(np.float64)) > 0
            count = int(used.sum())
            spreads.append((math.sqrt(float(np.square(sums).sum()) * count / (count - 1)), df))
    # As everywhere: where one way of clustering has too few clusters, nothing can be said of the width.
    return Difference(first - second, tuple(spreads) if len(spreads) == len(clusters) else ())


def _freedom(weight: FloatArray, groups: Sequence[BoolArray], label: IntArray) -> float:
    total = float(weight.sum())
    if total == 0:
        return 0.0
    freedoms = []
    for group in groups:
        shares = np.bincount(label, weights=weight * group)
        if shares.sum() >= _COUNTS * total:
            freedoms.append(float(shares.sum() ** 2 / np.square(shares).sum()) - 1)
    return min(freedoms)


def holm(p_values: Sequence[float | None], alpha: float) -> list[bool]:
    """Which hypotheses fall when all of them were looked at (Holm 1979); None is one that could not be tested."""
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    fallen = [False] * len(p_values)
    for rank, (p, index) in enumerate(tested):
        if p > alpha / (len(tested) - rank):
            break
        fallen[index] = True
    return fallen
