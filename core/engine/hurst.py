"""The rolling Hurst exponent: how much further price drifts than a random walk would."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from core.domain.candles import BoolArray, FloatArray
from core.engine.windows import window_sum

FLOOR = 1e-10  # the least standard deviation, so that a flat stretch has a logarithm
MAX_LAG = 20
_CHUNK = 32_768  # rows worked on at once: about twenty arrays of this length stay in the processor's cache
# A variance below this share of the mean square has lost digits to cancellation and is worked out again directly.
_ILL_CONDITIONED = 1e-6


def rolling_hurst(close: FloatArray, window: int = 100, min_periods: int = 50) -> FloatArray:
    """The Hurst exponent of the last ``window`` closes at every row; NaN before row ``min_periods - 1``.

    For each lag 2..min(20, n//2)-1 the population standard deviation (at least 1e-10) of ``x[lag:] - x[:-lag]``;
    the exponent is the slope of the least-squares line through (log lag, log std). A random walk gives about 0.5, a
    trend more, a market that turns back less. ``close`` is (n,) float64; the value of a row depends on nothing but
    its own window. Raises ValueError for ``min_periods`` outside 2 * 20 .. ``window``, where the lags would vary.

    The method: E. P. Chan, "Algorithmic Trading" (2013), ch. 2, from H. E. Hurst (1951).
    """
    if not 2 * MAX_LAG <= min_periods <= window:
        raise ValueError(f"min_periods must lie in {2 * MAX_LAG}..{window}, found {min_periods}")
    count = len(close)
    out = np.full(count, np.nan)
    growing = min(count, window - 1)  # rows whose window is still filling up
    if growing >= min_periods:
        out[min_periods - 1 : growing] = _slope([_growing_std(close[:growing], lag, min_periods) for lag in _lags()])
    for first in range(window - 1, count, _CHUNK):
        last = min(count, first + _CHUNK)
        part = close[first - window + 1 : last]
        out[first:last] = _slope([_window_std(part[lag:] - part[:-lag], window - lag) for lag in _lags()])
    return out


def _lags() -> range:
    return range(2, MAX_LAG)


def _slope(deviations: list[FloatArray]) -> FloatArray:
    """Least-squares slope of log(deviation) on log(lag), for all rows at once."""
    x = np.log(np.array(_lags(), dtype=np.float64))
    x -= x.mean()
    weights = x / (x @ x)
    total = np.zeros_like(deviations[0])
    for weight, deviation in zip(weights, deviations, strict=True):
        total += weight * np.log(np.maximum(deviation, FLOOR))
    return total


def _window_std(steps: FloatArray, size: int) -> FloatArray:
    """Population standard deviation of every ``size`` neighbours; (n,) gives (n - size + 1,)."""
    mean = window_sum(steps, size) / size
    square = window_sum(steps * steps, size) / size
    variance = square - mean * mean
    doubtful: BoolArray = variance < _ILL_CONDITIONED * square
    deviation: FloatArray = np.sqrt(np.maximum(variance, 0.0))
    if doubtful.any():
        deviation[doubtful] = sliding_window_view(steps, size)[doubtful].std(axis=1)
    return deviation


def _growing_std(close: FloatArray, lag: int, min_periods: int) -> FloatArray:
    """Population standard deviation of all steps so far, for the rows from ``min_periods - 1`` on."""
    steps = close[lag:] - close[:-lag]
    ends = np.arange(min_periods - 1 - lag, len(steps))[:, None]
    known: BoolArray = np.arange(len(steps))[None, :] <= ends
    deviation: FloatArray = np.std(np.broadcast_to(steps, known.shape), axis=1, where=known)
    return deviation
