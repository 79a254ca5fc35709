"""Figures of a list of results: of trades in R, or of a curve in money or R."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.domain.candles import DAY_MS, BoolArray, FloatArray, IntArray

Values = FloatArray | Sequence[float]

YEAR_DAYS = 365
"""Crypto trades every day of the year."""


def win_rate(results: Values) -> float | None:
    """The share above 0, 0..1; None without results."""
    values = np.asarray(results, dtype=np.float64)
    return float((values > 0).mean()) if len(values) else None


def profit_factor(results: Values) -> float | None:
    """What was won for each 1 that was lost; None where nothing was lost."""
    values = np.asarray(results, dtype=np.float64)
    lost = -float(values[values < 0].sum())
    return float(values[values > 0].sum()) / lost if lost > 0 else None


def expectancy(results: Values) -> float | None:
    """The mean result; None without results."""
    values = np.asarray(results, dtype=np.float64)
    return float(values.mean()) if len(values) else None


def max_drawdown(curve: Values) -> float:
    """The deepest fall below an earlier high of an R or money curve, in the curve's unit, >= 0.

    The curve begins with its start: for results in R, ``np.cumsum([0, *results])``.
    """
    values = np.asarray(curve, dtype=np.float64)
    return float((np.maximum.accumulate(values) - values).max()) if len(values) else 0.0


def max_drawdown_share(equity: Values) -> float:
    """The deepest fall as a share of the high before it, 0..1. Raises ValueError for equity that is not positive."""
    values = np.asarray(equity, dtype=np.float64)
    if (values <= 0).any():
        raise ValueError("a share of equity needs positive equity")
    return float((1 - values / np.maximum.accumulate(values)).max()) if len(values) else 0.0


@dataclass(frozen=True, slots=True)
class Drawdown:
    """A fall of equity below an earlier high. Times in epoch ms, as they were given.

    ``depth`` in money and ``share`` of the high (0..1) at ``trough``; ``start`` is the time of the high, ``end`` when
    it was reached again, None where it was not; ``length`` in ms, to ``end`` or to the last value.
    """

    depth: float
    share: float
    start: int
    trough: int
    end: int | None
    length: int


def worst_drawdown(time: IntArray, equity: Values) -> Drawdown | None:
    """The drawdown that is deepest as a share of its high, the first of equals; None where equity never falls.

    ``time`` and ``equity`` (n,). Raises ValueError for equity that is not positive before the trough.
    """
    values = np.asarray(equity, dtype=np.float64)
    if not len(values):
        return None
    highs = np.maximum.accumulate(values)
    if highs[0] <= 0:
        raise ValueError("a share of equity needs positive equity")
    share = 1 - values / highs
    trough = int(share.argmax())
    if values[trough] >= highs[trough]:
        return None
    high = highs[trough]
    start = int(np.flatnonzero(values[:trough] == high)[-1])
    after = np.flatnonzero(values[trough:] >= high)
    end = int(time[trough + after[0]]) if len(after) else None
    begun = int(time[start])
    last = end if end is not None else int(time[-1])
    return Drawdown(float(high - values[trough]), float(share[trough]), begun, int(time[trough]), end, last - begun)


def longest_underwater(time: IntArray, equity: Values) -> int:
    """The longest time (ms) from a high until it is reached again, or until the values end; 0 where none falls."""
    values = np.asarray(equity, dtype=np.float64)
    if not len(values):
        return 0
    below = values < np.maximum.accumulate(values)
    edges = np.flatnonzero(np.diff(below, prepend=False, append=False))
    starts, ends = edges[::2] - 1, np.minimum(edges[1::2], len(values) - 1)
    return int((time[ends] - time[starts]).max(initial=0))


def daily_returns(time: IntArray, equity: Values) -> FloatArray:
    """The returns from one UTC day to the next of an equity curve at the close times ``time`` (epoch ms), (days,).

    A day's value is the last at or before its end at 00:00 UTC; a day without any has a return of 0. The first day's
    return is counted from the first value, the last day's goes to the last value; either may be a part of a day.
    """
    values = np.asarray(equity, dtype=np.float64)
    if len(values) < 2:
        return np.empty(0)
    first, last = int(time[0]), int(time[-1])
    ends = np.arange(first // DAY_MS + 1, -(-last // DAY_MS) + 1) * DAY_MS
    at_ends = values[np.searchsorted(time, ends, side="right") - 1]
    levels = np.concatenate((values[:1], at_ends))
    with np.errstate(divide="ignore", invalid="ignore"):
        returns: FloatArray = np.diff(levels) / levels[:-1]
    return returns


def sharpe(returns: Values) -> float | None:
    """The mean of daily returns over their standard deviation (n - 1), times sqrt(365); the riskless rate counts as 0.

    Sharpe, "The Sharpe Ratio", Journal of Portfolio Management, 1994; the square root of time holds for returns that do
    not depend on each other (Lo, "The Statistics of Sharpe Ratios", Financial Analysts Journal, 2002). None for fewer
    than two returns, for returns that are all alike and where a return is not finite.
    """
    values = np.asarray(returns, dtype=np.float64)
    if len(values) < 2 or not np.isfinite(values).all() or np.ptp(values) == 0:
        return None
    return float(values.mean() / values.std(ddof=1)) * math.sqrt(YEAR_DAYS)


def sortino(returns: Values) -> float | None:
    """The mean of daily returns over their downside deviation, times sqrt(365); the target is 0.

    The downside deviation is the root of the mean square of what lies below 0, over all returns (Sortino and Price,
    "Performance Measurement in a Downside Risk Framework", Journal of Investing, 1994). None for fewer than two
    returns, where none is below 0 and where one is not finite.
    """
    values = np.asarray(returns, dtype=np.float64)
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    downside = math.sqrt(float((np.minimum(values, 0) ** 2).mean()))
    return float(values.mean()) / downside * math.sqrt(YEAR_DAYS) if downside > 0 else None


def annual_growth(time: IntArray, equity: Values) -> float | None:
    """The yearly rate at which the first value grows to the last (CAGR); None for less than a year, or a value <= 0.

    A shorter time drawn out to a year says more about the arithmetic than about the strategy.
    """
    values = np.asarray(equity, dtype=np.float64)
    if len(values) < 2 or values[0] <= 0 or values[-1] <= 0:
        return None
    years = float(time[-1] - time[0]) / (YEAR_DAYS * DAY_MS)
    return float((values[-1] / values[0]) ** (1 / years) - 1) if years >= 1 else None


def exposure(exposed: BoolArray) -> float | None:
    """The share of closes at which something is open, 0..1; None without any."""
    return float(exposed.mean()) if len(exposed) else None
