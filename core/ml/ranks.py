"""Spearman's rank correlation with an interval that holds when outcomes overlap and pairs move together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.domain.candles import FloatArray, IntArray
from core.engine.ranks import spearman
from core.ml.intervals import MIN_DF, bundles, student_quantile


@dataclass(frozen=True, slots=True)
class RankCorrelation:
    """The correlation with one (standard error, degrees of freedom) per clustering; the widest counts."""

    value: float
    spreads: tuple[tuple[float, float], ...]

    def interval(self, alpha: float) -> tuple[float, float] | None:
        """The two-sided interval at error ``alpha``, within -1 and 1; None with too few clusters."""
        if not self.spreads:
            return None
        reach = max(error * student_quantile(1 - alpha / 2, df) for error, df in self.spreads)
        return max(-1.0, self.value - reach), min(1.0, self.value + reach)


def rank_correlation(first: FloatArray, second: FloatArray, clusters: tuple[IntArray, ...]) -> RankCorrelation | None:
    """Spearman's correlation, ties at their middle rank; None where one side is all the same or there are no rows.

    The spread is the jackknife's that leaves out one cluster at a time and ranks anew (Miller 1974), with the factor
    (G - 1) / G; degrees of freedom are the effective number of clusters (Kish) less one. No standard error may fall
    below that of independent rows without any relation, ``1 / sqrt(n - 1)``, for a jackknife's own shrinks just when
    the correlation is large by luck.
    """
    value = spearman(first, second)
    if value is None:
        return None
    spreads = []
    for labels in clusters:
        label, sizes, df = bundles(labels)
        if df >= MIN_DF:
            left = np.array([spearman(first[label != g], second[label != g]) or 0.0 for g in range(len(sizes))])
            variance = float(np.square(left - left.mean()).sum()) * (len(sizes) - 1) / len(sizes)
            spreads.append((math.sqrt(max(variance, 1 / (len(first) - 1))), df))
    # As everywhere: where one way of clustering has too few clusters, nothing can be said of the width.
    return RankCorrelation(value, tuple(spreads) if len(spreads) == len(clusters) else ())
