"""What chance could have made of the same material: days in another order, trades in another order, shifted entries.

Prices and trades are not independent of their neighbours, so nothing here draws them one by one: they move in whole
days, and all pairs together. Everything is seeded by the generator given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.domain.candles import DAY_MS, Candles, FloatArray, IntArray, Pair

_CELLS = 4_000_000  # of a matrix worked on at once: 32 MB


def stationary_indices(count: int, length: int, mean_block: float, rng: np.random.Generator) -> IntArray:
    """Indices into ``count`` things in a row, (length,): blocks of geometric length with the mean ``mean_block``.

    Each index follows the one before it (the first follows the last) but for a chance of 1 / mean_block of beginning
    anew anywhere. Raises ValueError for ``count`` < 1 or ``mean_block`` < 1.

    Politis and Romano (1994), "The Stationary Bootstrap", JASA 89(428).
    """
    if count < 1 or not mean_block >= 1:
        raise ValueError(f"no blocks of mean length {mean_block} from {count}")
    anew = rng.random(length) < 1 / mean_block
    if length:
        anew[0] = True
    begins = np.flatnonzero(anew)
    starts = rng.integers(0, count, len(begins))
    block = np.cumsum(anew) - 1
    indices: IntArray = (starts[block] + np.arange(length) - begins[block]) % count
    return indices


def whole_days(candles: Sequence[Candles], start_ms: int | None = None, end_ms: int | None = None) -> IntArray:
    """Open times (epoch ms, ascending) of the UTC days in ``[start_ms, end_ms)`` of which every pair has each candle
    and the one before the first, from which the day's first return counts."""
    common: IntArray | None = None
    for part in candles:
        step = part.timeframe.ms
        opens = part.time[part.time % DAY_MS == 0]
        at = np.searchsorted(part.time, opens)
        last = at + DAY_MS // step - 1
        inside = (at > 0) & (last < len(part))
        opens, at, last = opens[inside], at[inside], last[inside]
        # As many rows as candles fit in between, so none is missing.
        whole = (part.time[at - 1] == opens - step) & (part.time[last] == opens + DAY_MS - step)
        common = opens[whole] if common is None else np.intersect1d(common, opens[whole])
    if common is None:
        return np.empty(0, dtype=np.int64)
    first = 0 if start_ms is None else int(np.searchsorted(common, start_ms))
    last_day = len(common) if end_ms is None else int(np.searchsorted(common, end_ms - DAY_MS, side="right"))
    return common[first:last_day]


def chained_days(candles: Candles, days: IntArray, begin_ms: int) -> Candles:
    """The candles of ``days`` (open times of whole days, in any order, repeated or not) one after the other.

    Times run on from ``begin_ms`` without a gap. Each day is scaled as a whole so that it begins where the last one
    ended: every return, every candle's shape and every volume is a real one. The day before each must end in a candle,
    as ``whole_days`` sees to.
    """
    per_day = DAY_MS // candles.timeframe.ms
    first = np.searchsorted(candles.time, days)
    rows = (first[:, None] + np.arange(per_day)).ravel()
    before = candles.close[first - 1]
    grown = np.cumprod(candles.close[first + per_day - 1] / before)
    level = before[:1] * np.concatenate(([1.0], grown[:-1])) if len(days) else before
    factor = np.repeat(level / before, per_day)
    return replace(
        candles,
        time=begin_ms + np.arange(len(rows), dtype=np.int64) * candles.timeframe.ms,
        open=candles.open[rows] * factor,
        high=candles.high[rows] * factor,
        low=candles.low[rows] * factor,
        close=candles.close[rows] * factor,
        volume=candles.volume[rows],
    )


def another_market(
    candles: Mapping[Pair, Candles], days: IntArray, length: int, mean_block: float, rng: np.random.Generator
) -> dict[Pair, Candles]:
    """Candles that could as well have been: ``length`` days drawn from ``days`` in blocks, the same for all pairs.

    What pairs did together they still do together. Raises ValueError without days.
    """
    drawn = days[stationary_indices(len(days), length, mean_block, rng)]
    begin = int(days[0])
    return {pair: chained_days(part, drawn, begin) for pair, part in candles.items()}


@dataclass(frozen=True, eq=False)
class Paths:
    """Equity paths as multiples of the start: ``final`` and ``drawdown`` (trials,), the deepest fall as a share of the
    high before it; ``fan`` (len(levels), clusters + 1) are quantiles of equity after each cluster."""

    final: FloatArray
    drawdown: FloatArray
    fan: FloatArray
    levels: tuple[float, ...]


FAN = (0.05, 0.25, 0.5, 0.75, 0.95)


def reordered(
    returns: FloatArray, cluster: IntArray, trials: int, rng: np.random.Generator, *, replacement: bool
) -> Paths:
    """What other orders of the same trades would have made of an account.

    ``returns`` (n,): each trade's profit as a share of equity (above -1), compounding; ``cluster`` (n,): the label of
    the stretch of time it belongs to. Clusters move as wholes, with the order inside kept: shuffled, or drawn with
    ``replacement`` as often as there are clusters. Raises ValueError for a return of -1 or less.

    Shuffled trades end where the real ones ended, only the way differs; drawn ones end elsewhere too. The bootstrap of
    clusters: Davison and Hinkley (1997), "Bootstrap Methods and their Application", 3.8.
    """
    if (returns <= -1).any():
        raise ValueError("a trade cannot lose all of the account and go on")
    _, label = np.unique(cluster, return_inverse=True)
    groups = int(label.max()) + 1 if len(label) else 0
    order = np.argsort(label, kind="stable")
    sizes = np.bincount(label, minlength=groups)
    widest = int(sizes.max()) if groups else 0
    # One row per cluster, filled up with trades that change nothing, so that a path is a row of picks.
    grid = np.zeros((groups, widest))
    place = np.arange(len(label)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    grid[label[order], place] = np.log1p(returns[order])
    final, drawdown = np.ones(trials), np.zeros(trials)
    ends = np.ones((trials, groups + 1))
    step = max(1, _CELLS // max(1, groups * widest))
    for first in range(0, trials if groups else 0, step):
        part = slice(first, min(trials, first + step))
        count = part.stop - part.start
        if replacement:
            picks = rng.integers(0, groups, (count, groups))
        else:
            picks = rng.permuted(np.tile(np.arange(groups), (count, 1)), axis=1)
        path = np.cumsum(grid[picks].reshape(count, -1), axis=1)
        high = np.maximum(np.maximum.accumulate(path, axis=1), 0.0)
        drawdown[part] = 1 - np.exp((path - high).min(axis=1))
        ends[part, 1:] = np.exp(path[:, widest - 1 :: widest])
        final[part] = ends[part, -1]
    return Paths(final, drawdown, np.quantile(ends, FAN, axis=0), FAN)


def shifts(length: int, trials: int, rng: np.random.Generator) -> IntArray:
    """At most ``trials`` different circular shifts of a timeline of ``length`` slots, none of them no shift at all."""
    return rng.permutation(np.arange(1, length, dtype=np.int64))[:trials]


def p_value(statistic: float, null: FloatArray) -> float:
    """The chance of a statistic at least this large under the null: (1 + how many are) / (1 + trials).

    The real arrangement is one of those possible, so that p is never 0: Davison and Hinkley (1997), 4.2.
    """
    return float((1 + (null >= statistic).sum()) / (1 + len(null)))
