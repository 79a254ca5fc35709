"""How sure a figure is when rows are not independent: AUC with clustered intervals, Student's t, Brier skill.

Outcomes overlap in time and pairs move together, so the unit that counts is not the row but a stretch of time that
holds many. Everything here is numpy and small; the bot's own process loads no learning library for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from core.domain.candles import DAY_MS, FloatArray, IntArray

_LONG_OUTCOME = 0.9  # a block must be longer than this share of the outcomes
MIN_DF = 3.0
"""Below four equal clusters a spread is an anecdote, not an interval."""


@dataclass(frozen=True, slots=True)
class Auc:
    """An area under the ROC curve with the standard errors found for it, each with its degrees of freedom.

    There is one pair per way of clustering; an interval must hold for all of them, so the widest counts.
    """

    value: float
    spreads: tuple[tuple[float, float], ...]

    def low(self, alpha: float) -> float:
        """The one-sided lower bound at error ``alpha``: the lowest over the clusterings, -inf without any."""
        return self.value - self.reach(alpha)

    def high(self, alpha: float) -> float:
        """The one-sided upper bound at error ``alpha``, inf without any clustering."""
        return self.value + self.reach(alpha)

    def reach(self, alpha: float) -> float:
        if not self.spreads:
            return math.inf
        return max(error * student_quantile(1 - alpha, df) for error, df in self.spreads)


def student_quantile(probability: float, df: float) -> float:
    """Student's t quantile for a probability in [0.5, 1) and real ``df`` of at least 3.

    Hill (1970), "Algorithm 396: Student's t-quantiles", CACM 13(10); against an exact inverse it is off by less than
    1e-4 relative down to ``1 - probability`` = 1e-7. Raises ValueError outside that range.
    """
    if not (0.5 <= probability < 1 and df >= MIN_DF):
        raise ValueError(f"no t quantile for probability {probability} and {df} degrees of freedom")
    both_tails = 2 * (1 - probability)
    a = 1 / (df - 0.5)
    b = 48 / a**2
    c = ((20_700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * df
    y = (d * both_tails) ** (2 / df)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(both_tails / 2) if both_tails < 1 else 0.0
        y = x * x
        if df < 5:
            c += 0.3 * (df - 4.5) * (x + 0.6)
        c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y * y)
    else:
        y = ((1 / (((df + 6) / (df * y) - 0.089 * d - 0.822) * (df + 2) * 3) + 0.5 / (df + 4)) * y - 1) * (df + 1) / (
            df + 2
        ) + 1 / y
    return math.sqrt(df * y)


def clusterings(start_ms: IntArray, end_ms: IntArray) -> tuple[IntArray, ...]:
    """Ways to bundle rows in time, as labels per row: by UTC day, and by longer blocks where outcomes overlap more.

    ``start_ms`` is when each row was decided, ``end_ms`` when its outcome was known. A day cuts through every outcome
    that is open at midnight; in blocks of at least four times the 90% quantile of the durations only a small part of
    the rows lies on an edge.
    """
    day = start_ms // DAY_MS
    if not len(day):
        return (day,)
    long = float(np.quantile(end_ms - start_ms, _LONG_OUTCOME))
    block = max(1, math.ceil(2 * long / DAY_MS))
    return (day,) if block == 1 else (day, day // block)


def bundles(labels: IntArray) -> tuple[IntArray, IntArray, float]:
    """One of ``clusterings``: each row's cluster, counted from 0, how many rows each holds, and the degrees of freedom.

    These are the effective number of clusters (Kish: n^2 over the sum of squared sizes) less one.
    """
    _, label = np.unique(labels, return_inverse=True)
    sizes = np.bincount(label)
    return label, sizes, len(labels) ** 2 / float(np.square(sizes).sum()) - 1


def auc(probability: FloatArray, outcome: IntArray, clusters: tuple[IntArray, ...]) -> Auc | None:
    """The AUC with one standard error per clustering; None where only one class is there.

    Per-row influence as DeLong, DeLong and Clarke-Pearson (1988); summed within clusters before squaring as Obuchowski
    (1997), with the factor G / (G - 1). Fewer than three degrees of freedom give no interval. No standard error may
    fall below the one that independent rows without any signal would have (Mann and Whitney 1947, with ties): DeLong's
    own shrinks just when the AUC is large by luck, which lets noise pass too often on few rows.
    """
    found = auc_influence(probability, outcome)
    if found is None:
        return None
    value, influence = found
    wins = int(outcome.sum())
    floor = _null_variance(probability, wins, len(outcome) - wins)
    spreads = []
    for labels in clusters:
        label, sizes, df = bundles(labels)
        if df >= MIN_DF:
            sums = np.bincount(label, weights=influence)
            variance = float(np.square(sums).sum()) * len(sizes) / (len(sizes) - 1)
            spreads.append((math.sqrt(max(variance, floor)), df))
    # Where one way of clustering has too few clusters there is no telling how wide it would be: no interval at all.
    return Auc(value, tuple(spreads) if len(spreads) == len(clusters) else ())


def auc_influence(probability: FloatArray, outcome: IntArray) -> tuple[float, FloatArray] | None:
    """The AUC and each row's influence on it (DeLong, DeLong and Clarke-Pearson 1988), which sum to 0.

    None where only one class is there.
    """
    won = outcome == 1
    wins, losses = np.sort(probability[won]), np.sort(probability[~won])
    if not len(wins) or not len(losses):
        return None
    influence = np.empty(len(probability))
    over_losses = _mid_position(losses, probability[won])
    value = float(over_losses.mean())
    influence[won] = (over_losses - value) / len(wins)
    influence[~won] = (1 - _mid_position(wins, probability[~won]) - value) / len(losses)
    return value, influence


def mean_low(values: FloatArray, clusters: tuple[IntArray, ...], alpha: float) -> float | None:
    """The one-sided lower bound of a mean at error ``alpha``, the lowest over the clusterings; None with too few."""
    if not len(values):
        return None
    mean, reach = float(values.mean()), 0.0
    for labels in clusters:
        label, sizes, df = bundles(labels)
        if df < MIN_DF:
            return None
        sums = np.bincount(label, weights=values - mean) / len(values)
        error = math.sqrt(float(np.square(sums).sum()) * len(sizes) / (len(sizes) - 1))
        reach = max(reach, error * student_quantile(1 - alpha, df))
    return mean - reach


def _mid_position(ordered: FloatArray, values: FloatArray) -> FloatArray:
    """The share of ``ordered`` below each value, ties counted half."""
    below = np.searchsorted(ordered, values, side="left") + np.searchsorted(ordered, values, side="right")
    return np.asarray(below / (2 * len(ordered)), dtype=np.float64)


def _null_variance(values: FloatArray, wins: int, losses: int) -> float:
    n = wins + losses
    _, counts = np.unique(values, return_counts=True)
    ties = float((counts.astype(np.float64) ** 3 - counts).sum()) / (n * (n - 1))
    return (n + 1 - ties) / (12 * wins * losses)


def brier(probability: FloatArray, outcome: IntArray) -> float:
    """The mean squared error of the probabilities (Brier 1950): 0 is perfect, 0.25 is what 50% always gives."""
    return float(np.square(probability - outcome).mean())


def brier_skill(probability: FloatArray, outcome: IntArray, base: FloatArray | float) -> float | None:
    """``1 - brier / brier of base``: above 0 it knows more than the constant. None where ``base`` is never wrong."""
    reference = float(np.square(base - outcome).mean())
    return 1 - brier(probability, outcome) / reference if reference > 0 else None
