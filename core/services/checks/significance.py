"""Significance: whether the entry rule knows anything that entries at random times do not.

The null keeps all but the moment: the same entries, directions and holding times, moved along the timeline by one
chance shift for all pairs, around its end to its beginning. Bunches of entries stay bunches and pairs stay together, so
that neither makes luck look like skill. The method of the shifts: Politis and Romano's circular scheme (1992) with one
block; for trading rules against random ones: Aronson (2006), "Evidence-Based Technical Analysis", ch. 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from core.config import Settings
from core.domain.candles import BoolArray, Candles, FloatArray, IntArray, Pair
from core.domain.trading import ExitReason
from core.engine.outcomes import EXITS, OPEN, outcomes_of
from core.engine.resampling import p_value, shifts
from core.services.backtest import PairBacktest, run_backtest

_GAP = EXITS.index(ExitReason.GAP)
_CELLS = 2_000_000


@dataclass(frozen=True, eq=False)
class Comparison:
    """One line: a mean over ``n`` entries against the means of the shifted ones.

    ``what`` is "signals" or "candidates", ``way`` "same holding" (the move from close to close after as many candles,
    over the stop distance) or "same exits" (gross R by the stop and targets of where it entered). ``p`` is one-sided:
    small where the rule beats chance. ``kept``: the mean share of shifted entries that had candles to live on.
    """

    what: str
    way: str
    n: int
    mean: float
    null: FloatArray
    p: float
    kept: float


def check_significance(
    candles: Mapping[Pair, Candles],
    settings: Settings,
    start_ms: int | None = None,
    end_ms: int | None = None,
    *,
    trials: int = 1000,
    seed: int = 7,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Comparison, ...]:
    """Signals, then candidates, each by both ways; what has no entries is left out.

    Entries are those of the backtest in ``[start_ms, end_ms)``. A shifted entry that would fall into the warm-up, be
    without its candle, or cross a long gap is left out of that trial.
    """
    found = run_backtest(candles, settings, start_ms, end_ms, candidates=True)
    lanes = [_Lane.of(part, settings, start_ms) for part in found.parts if len(part.candles)]
    usable = [lane.slots[lane.usable] for lane in lanes if lane.usable.any()]
    if not usable:
        return ()
    low, high = min(int(u[0]) for u in usable), max(int(u[-1]) for u in usable)
    offsets = shifts(high - low + 1, trials, np.random.default_rng(seed))
    plans = [(w, y) for w in ("signals", "candidates") for y in ("same holding", "same exits")]
    lines = []
    for number, (what, way) in enumerate(plans):
        line = _compare(lanes, what, way, low, high - low + 1, offsets)
        if line is not None:
            lines.append(line)
        progress(number + 1, len(plans))
    return tuple(lines)


@dataclass(frozen=True, eq=False)
class _Lane:
    """One pair on the common timeline, whose slots are candle lengths since the epoch."""

    slots: IntArray  # of every row
    usable: BoolArray  # rows that could be entered and have their whole life before them
    room: IntArray  # rows left in the stretch behind each row
    close: FloatArray
    distance: FloatArray  # the stop's, at each row
    r: Mapping[int, FloatArray]  # by sign: gross R of entering at each row, NaN where a gap ends it
    entry: IntArray
    sign: IntArray
    is_signal: BoolArray
    bars: IntArray

    @classmethod
    def of(cls, part: PairBacktest, settings: Settings, start_ms: int | None) -> _Lane:
        candles, atr, rules, max_gap = part.candles, part.indicators.atr, settings.strategy, settings.candles.max_gap
        usable = np.zeros(len(candles), dtype=np.bool_)
        room = np.zeros(len(candles), dtype=np.int64)
        for first, last in candles.stretches(max_gap):
            usable[first + rules.warmup_bars : last] = True
            room[first:last] = np.arange(last - first)[::-1]
        usable &= atr > 0
        usable[max(0, len(candles) - rules.max_bars) :] = False
        if start_ms is not None:
            usable &= candles.time >= start_ms
        rows = np.flatnonzero(usable)
        r = {}
        for sign in (1, -1):
            out = outcomes_of(candles, rows, np.full(len(rows), sign, dtype=np.int8), atr[rows], settings)
            r[sign] = np.full(len(candles), np.nan)
            r[sign][rows] = np.where((out.exit == _GAP) | (out.exit == OPEN), np.nan, out.realized_r)
        entries = part.entries
        return cls(
            candles.time // candles.timeframe.ms,
            usable,
            room,
            candles.close,
            rules.stop_atr * atr,
            r,
            entries.row,
            entries.sign.astype(np.int64),
            entries.is_signal,
            part.outcomes.bars,
        )

    def rows_at(self, slots: IntArray) -> IntArray:
        """The row of each slot, -1 where there is no candle or it cannot be entered."""
        at = np.minimum(np.searchsorted(self.slots, slots), len(self.slots) - 1)
        there = (self.slots[at] == slots) & self.usable[at]
        return np.where(there, at, -1)

    def value(self, row: IntArray, sign: IntArray, bars: IntArray, way: str) -> FloatArray:
        """What an entry at ``row`` is worth; NaN for row -1 and where a long gap lies in its way."""
        able = row >= 0
        at = np.where(able, row, 0)
        if way == "same exits":
            return np.where(able, np.where(sign > 0, self.r[1][at], self.r[-1][at]), np.nan)
        able &= bars <= self.room[at]
        later = np.where(able, at + bars, at)
        with np.errstate(invalid="ignore", divide="ignore"):
            move = sign * (self.close[later] - self.close[at]) / self.distance[at]
        return np.where(able, move, np.nan)


def _compare(lanes: list[_Lane], what: str, way: str, low: int, length: int, offsets: IntArray) -> Comparison | None:
    total = count = 0.0
    sums, counts = np.zeros(len(offsets)), np.zeros(len(offsets))
    for lane in lanes:
        chosen = lane.is_signal if what == "signals" else np.ones(len(lane.entry), dtype=np.bool_)
        row, sign, bars = lane.entry[chosen], lane.sign[chosen], lane.bars[chosen]
        real = lane.value(row, sign, bars, way)
        total, count = total + float(np.nansum(real)), count + float((~np.isnan(real)).sum())
        if not len(row):
            continue
        slots = lane.slots[row] - low
        step = max(1, _CELLS // len(row))
        for first in range(0, len(offsets), step):
            part = slice(first, first + step)
            moved = low + (slots[None, :] + offsets[part, None]) % length
            values = lane.value(lane.rows_at(moved), sign[None, :], bars[None, :], way)
            sums[part] += np.nansum(values, axis=1)
            counts[part] += (~np.isnan(values)).sum(axis=1)
    if not count:
        return None
    null = sums[counts > 0] / counts[counts > 0]
    mean = total / count
    return Comparison(what, way, int(count), mean, null, p_value(mean, null), float(counts.mean() / count))
