"""Sums over sliding windows that depend on nothing but the window.

A running sum (add the new, subtract the old) carries the rounding of everything before it, so a value would depend on
how far back the history goes, and a window of zeros would not sum to zero. Here each window is summed by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from core.domain.candles import FloatArray

_BLOCK = 32_768


def window_sum(values: FloatArray, size: int) -> FloatArray:
    """The sum of every ``size`` neighbours: (n,) gives (n - size + 1,), empty when n < size.

    Sums of 2, 4, 8 ... neighbours are built from each other and put together by the binary digits of ``size``, so the
    cost is O(log size) passes, and equal windows give equal bits wherever they stand.
    """
    count = len(values) - size + 1
    if count <= 0:
        return np.empty(0)
    total = np.zeros(count)
    block, width, offset = values, 1, 0
    while True:
        if size & width:
            total += block[offset : offset + count]
            offset += width
        width *= 2
        if width > size:
            return total
        block = block[: -width // 2] + block[width // 2 :]


def rolling_mean(values: FloatArray, size: int) -> FloatArray:
    """The mean of the last ``size`` values at every row, (n,); NaN in the first ``size - 1`` rows."""
    out = np.full(len(values), np.nan)
    for first, last in blocks(size - 1, len(values)):
        out[first:last] = window_sum(values[first - size + 1 : last], size) / size
    return out


def blocks(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The range cut into pieces ``(first, last)`` whose arrays stay in the processor's cache.

    Steps over millions of rows at once would wait for memory, which the system has to clear first.
    """
    for first in range(start, stop, _BLOCK):
        yield first, min(stop, first + _BLOCK)
