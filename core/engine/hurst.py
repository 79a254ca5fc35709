"""The rolling Hurst exponent: how much further price drifts than a random walk would.

Two ways to the same number: ``rolling_hurst`` for every row by running sums, ``hurst_at`` for a few rows straight from
the formula. Only one candle in forty is a crossover, and only there does the strategy ask.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from core.domain.candles import BoolArray, FloatArray, IntArray

FLOOR = 1e-10  # the least standard deviation, so that a flat stretch has a logarithm
MAX_LAG = 20
WINDOW = 100
MIN_PERIODS = 50
LAGS = range(2, MAX_LAG)

# A variance below this share of the running sum it came from has lost digits to cancellation and is worked out again.
_ILL_CONDITIONED = 1e-6
# The series is cut into strips that lie side by side, so that one addition moves all their running sums. Each strip's
# sums begin anew: nothing can drift further than a strip is long. All arrays together stay in the processor's cache.
_STRIPS = 32
_SHORTEST, _LONGEST = 64, 448
_ROWS = 512  # rows of ``hurst_at`` worked on at once


def rolling_hurst(close: FloatArray, window: int = WINDOW, min_periods: int = MIN_PERIODS) -> FloatArray:
    """The Hurst exponent of the last ``window`` closes at every row; NaN before row ``min_periods - 1``.

    For each lag 2..min(20, n//2)-1 the population standard deviation (at least 1e-10) of ``x[lag:] - x[:-lag]``;
    the exponent is the slope of the least-squares line through (log lag, log std). A random walk gives about 0.5, a
    trend more, a market that turns back less. ``close`` is (n,) float64. Costs O(lags) per row by running sums and
    stays within 1e-7 of the formula. Raises ValueError for ``min_periods`` outside 2 * 20 .. ``window``, where the
    lags would vary.

    The method: E. P. Chan, "Algorithmic Trading" (2013), ch. 2, from H. E. Hurst (1951).
    """
    _check(window, min_periods)
    count = len(close)
    out = np.full(count, np.nan)
    growing = min(count, window - 1)
    if growing >= min_periods:
        out[min_periods - 1 : growing] = _growing(close[:growing], min_periods)
    first = growing
    while first < count:
        length = min(max(-(-(count - first) // _STRIPS), _SHORTEST), _LONGEST)
        strips = min(-(-(count - first) // length), _STRIPS)
        last = min(count, first + strips * length)
        out[first:last] = _strips(close[first - window + 1 : last], window, strips, length)[: last - first]
        first = last
    return out


def hurst_at(close: FloatArray, row: IntArray, window: int = WINDOW, min_periods: int = MIN_PERIODS) -> FloatArray:
    """``rolling_hurst`` at some rows alone, (m,), each from its own window by the formula itself."""
    _check(window, min_periods)
    out = np.full(len(row), np.nan)
    growing: BoolArray = (row >= min_periods - 1) & (row < window - 1)
    if growing.any():
        out[growing] = _growing(close[: window - 1], min_periods)[row[growing] - min_periods + 1]
    whole = np.flatnonzero(row >= window - 1)
    for chosen in (whole[i : i + _ROWS] for i in range(0, len(whole), _ROWS)):
        windows = close[row[chosen] + np.arange(1 - window, 1)[:, None]]  # (window, rows)
        total = np.zeros(len(chosen))
        for lag, weight in _WEIGHTS:
            total += weight * _log(_variance(windows[lag:] - windows[:-lag]))
        out[chosen] = total
    return out


def _check(window: int, min_periods: int) -> None:
    if not 2 * MAX_LAG <= min_periods <= window:
        raise ValueError(f"min_periods must lie in {2 * MAX_LAG}..{window}, found {min_periods}")


def slope_weights() -> tuple[tuple[int, float], ...]:
    """(lag, weight): the weighted sum of log variances is the least-squares slope of log std on log lag."""
    x = np.log(np.array(LAGS, dtype=np.float64))
    x -= x.mean()
    weights = 0.5 * x / (x @ x)  # half: the logarithm of a deviation is half that of its square
    return tuple(zip(LAGS, weights.tolist(), strict=True))


_WEIGHTS = slope_weights()


def _log(variance: FloatArray) -> FloatArray:
    logarithm: FloatArray = np.log(np.maximum(variance, FLOOR * FLOOR))
    return logarithm


def _variance(steps: FloatArray) -> FloatArray:
    """The population variance of each column; works in place on ``steps``."""
    steps -= steps.mean(axis=0)
    variance: FloatArray = np.einsum("ij,ij->j", steps, steps) / len(steps)
    return variance


def _growing(close: FloatArray, min_periods: int) -> FloatArray:
    """The rows from ``min_periods - 1`` on, each from all closes up to it."""
    total = np.zeros(len(close) - min_periods + 1)
    for lag, weight in _WEIGHTS:
        steps = close[lag:] - close[:-lag]
        # Centred on their own mean the steps lose no digits, and it changes no variance.
        steps -= steps[: min_periods - lag].mean()
        first = min_periods - lag - 1
        size = np.arange(first + 1, len(steps) + 1)
        square, mean = np.cumsum(steps * steps)[first:], np.cumsum(steps)[first:] / size
        variance = square / size - mean * mean
        for bad in np.flatnonzero(variance * size < _ILL_CONDITIONED * square):
            variance[bad] = steps[: size[bad]].var()
        total += weight * _log(variance)
    return total


def _strips(close: FloatArray, window: int, strips: int, length: int) -> FloatArray:
    """The exponents of ``strips * length`` rows; ``close`` begins ``window - 1`` rows earlier and may end too soon."""
    missing = strips * length + window - 1 - len(close)
    padded = np.concatenate((close, np.full(missing, close[-1])))
    # Column s is strip s with the rows its first window needs: (length + window - 1, strips).
    x = np.ascontiguousarray(sliding_window_view(padded, length + window - 1)[::length].T)
    before = window - 1
    newest = x[1:] + x[:-1]  # sums of the last ``lag`` closes; its first row ends at close ``lag - 1``
    total = np.zeros((length, strips))
    for lag, weight in _WEIGHTS:
        if lag > LAGS.start:
            newest = newest[1:] + x[: len(newest) - 1]
        size = window - lag
        steps = x[lag:] - x[:-lag]
        steps *= steps
        sums = np.cumsum(steps, axis=0)
        running = sums[before - lag :]  # up to each row that is asked for
        square = running.copy()
        square[1:] -= sums[: length - 1]
        # The steps of a window add up to its newest closes less its oldest: no running sum is needed.
        drift = newest[before - lag + 1 :] - newest[:length]
        spread = square - drift * drift / size
        doubtful: BoolArray = spread < _ILL_CONDITIONED * running
        variance = spread / size
        if doubtful.any():
            row, strip = np.nonzero(doubtful)
            at = row + before + np.arange(1 - size, 1)[:, None]
            variance[row, strip] = _variance(x[at, strip] - x[at - lag, strip])
        total += weight * _log(variance)
    return total.T.reshape(-1)
