"""Ranks, ties at their middle, and Spearman's correlation of them."""

from __future__ import annotations

import math

import numpy as np

from core.domain.candles import FloatArray


def mid_ranks(values: FloatArray) -> FloatArray:
    """The rank of each value, 1 the smallest; equal values share the middle of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], dtype=np.float64)


def spearman(first: FloatArray, second: FloatArray) -> float | None:
    """None for fewer than two rows, or where one side is all the same."""
    if len(first) < 2:
        return None
    one, two = mid_ranks(first), mid_ranks(second)
    one, two = one - one.mean(), two - two.mean()
    spread = math.sqrt(float(one @ one) * float(two @ two))
    return float(one @ two) / spread if spread > 0 else None
