"""What becomes of many entries at once, by array search: the backtest's own kernel.

It shares no code with ``fills`` on purpose, and property tests hold the two equal to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from core.config import Settings
from core.domain.candles import BoolArray, Candles, FloatArray, IntArray
from core.domain.trading import TARGET_R, TARGET_SHARE, Direction, ExitReason, Follow, Leg, Levels
from core.engine.fills import REMAINING, Fills, Order
from core.engine.strategy import SignArray

EXITS: tuple[ExitReason, ...] = (ExitReason.STOP_LOSS, ExitReason.TP3_FULL, ExitReason.TIMEOUT, ExitReason.GAP)
"""The exit of a code in ``Outcomes.exit``."""

OPEN = -1
"""The code in ``Outcomes.exit`` of a trade that is still open where the candles end."""

_STOP, _TP3, _TIMEOUT, _GAP = range(4)
_CHUNK = 512  # entries searched at once: with 100 bars each, a matrix of 0.4 MB
# R of the targets so far, added in the order in which they are hit, so that the sums are the same floats as bar by bar.
_TARGETS_R = np.array([sum(s * r for s, r in zip(TARGET_SHARE[:n], TARGET_R[:n], strict=True)) for n in range(4)])


@dataclass(frozen=True, eq=False)
class Outcomes:
    """One row per entry: (n,), the targets (n, 3). Prices in the quote currency, rows are rows of the candles.

    ``target_row`` is where TP1..TP3 were hit, -1 where not; ``exit`` a code into ``EXITS`` or ``OPEN``, and then
    ``exit_price`` is NaN and ``exit_row`` -1. ``decided``: smaller candles told the order inside its ambiguous candle.
    The other fields mean what they mean in ``Follow``.
    """

    sign: SignArray
    entry_row: IntArray
    entry: FloatArray
    stop: FloatArray
    targets: FloatArray
    bars: IntArray
    targets_hit: IntArray
    target_row: IntArray
    realized_r: FloatArray
    mfe_r: FloatArray
    mae_r: FloatArray
    ambiguous: BoolArray
    decided: BoolArray
    exit: npt.NDArray[np.int8]
    exit_price: FloatArray
    exit_row: IntArray

    def __len__(self) -> int:
        return len(self.entry)

    @property
    def risk(self) -> FloatArray:
        """The stop distance, 1R, in the quote currency."""
        risk: FloatArray = np.abs(self.entry - self.stop)
        return risk

    def only(self, chosen: BoolArray) -> Outcomes:
        return Outcomes(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})

    def replaced(self, chosen: BoolArray, others: Outcomes) -> Outcomes:
        """These outcomes with ``others``, one after the other, in the chosen rows."""
        columns = {f.name: getattr(self, f.name).copy() for f in fields(self)}
        for name, column in columns.items():
            column[chosen] = getattr(others, name)
        return Outcomes(**columns)

    def net_r(self, fee_rate: float, slippage_rate: float) -> FloatArray:
        """What ``fills.net_r`` gives for every row's legs."""
        sign = self.sign.astype(np.float64)
        entry = self.entry * (1 + sign * slippage_rate)
        profit = -fee_rate * entry
        for index, share in enumerate(TARGET_SHARE):
            leg = _net_of_leg(self.targets[:, index], share, sign, entry, fee_rate, slippage_rate)
            profit = np.where(self.targets_hit > index, profit + leg, profit)
        rest = np.array(REMAINING)[self.targets_hit]
        last = _net_of_leg(self.exit_price, rest, sign, entry, fee_rate, slippage_rate)
        has_last = (self.exit != OPEN) & (self.exit != _TP3)
        net: FloatArray = np.where(has_last, profit + last, profit) / self.risk
        return net

    def follow(self, index: int, candles: Candles) -> Follow:
        """One row as the value that ``fills.advance`` would have arrived at."""
        hits, code = int(self.targets_hit[index]), int(self.exit[index])
        levels = self.levels(index)
        reason = None if code == OPEN else EXITS[code]
        exit_time = None if reason is None else int(candles.time[self.exit_row[index]])
        return Follow(
            levels=levels,
            entry_time=int(candles.time[self.entry_row[index]]),
            bars=int(self.bars[index]),
            remaining=REMAINING[hits] if reason is None else 0.0,
            targets_hit=hits,
            realized_r=float(self.realized_r[index]),
            mfe_r=float(self.mfe_r[index]),
            mae_r=float(self.mae_r[index]),
            ambiguous=bool(self.ambiguous[index]),
            legs=tuple(self._legs(index, candles)),
            exit_reason=reason,
            exit_price=None if reason is None else float(self.exit_price[index]),
            exit_time=exit_time,
        )

    def levels(self, index: int) -> Levels:
        direction = Direction.LONG if self.sign[index] > 0 else Direction.SHORT
        first, second, third = (float(t) for t in self.targets[index])
        return Levels(direction, float(self.entry[index]), float(self.stop[index]), (first, second, third))

    def _legs(self, index: int, candles: Candles) -> Iterator[Leg]:
        hits, code = int(self.targets_hit[index]), int(self.exit[index])
        for k in range(hits):
            time = int(candles.time[self.target_row[index, k]])
            yield Leg(f"TP{k + 1}", time, float(self.targets[index, k]), TARGET_SHARE[k], TARGET_SHARE[k] * TARGET_R[k])
        if code in (_STOP, _TIMEOUT, _GAP):
            price, rest = float(self.exit_price[index]), REMAINING[hits]
            name = "STOP" if code == _STOP else EXITS[code].value
            yield Leg(name, int(candles.time[self.exit_row[index]]), price, rest, rest * self._last_r(index, code))

    def _last_r(self, index: int, code: int) -> float:
        price, entry, stop = (float(x[index]) for x in (self.exit_price, self.entry, self.stop))
        if code == _STOP and price == stop:
            return -1.0
        return int(self.sign[index]) * (price - entry) / abs(entry - stop)


def find_outcomes(
    candles: Candles,
    row: IntArray,
    sign: SignArray,
    atr: FloatArray,
    *,
    stop_atr: float = 2.0,
    max_bars: int = 100,
    fills: Fills = "reference",
    breakeven: bool = False,
    max_gap: int = 8,
    order: Order = "stop",
    detail: Candles | None = None,
) -> Outcomes:
    """The outcome of entering at the close of each ``row`` in the direction ``sign``, all arrays (n,).

    ``atr`` sets the levels as ``strategy.levels`` does and must be positive. A trade open at a gap of more than
    ``max_gap`` missing candles ends as GAP at the last close before it; one that is open where the candles end is
    ``OPEN``. ``order`` as in ``fills.advance``; ``detail``, the pair's candles of a smaller timeframe, decides where it
    covers an ambiguous candle whole. Raises ValueError for an ATR that is not positive.
    """
    if not (atr > 0).all():
        raise ValueError("every entry needs a positive ATR")
    end = _stretch_ends(candles, row, max_gap)
    parts = [
        _search(candles, row[at], sign[at], atr[at], end[at], stop_atr, max_bars, fills, breakeven, order, detail)
        for at in (slice(first, first + _CHUNK) for first in range(0, max(len(row), 1), _CHUNK))
    ]
    if len(parts) == 1:
        return parts[0]
    return Outcomes(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Outcomes)})


def outcomes_of(
    candles: Candles,
    row: IntArray,
    sign: SignArray,
    atr: FloatArray,
    settings: Settings,
    *,
    order: Order = "stop",
    detail: Candles | None = None,
) -> Outcomes:
    """``find_outcomes`` by the exits, the fills and the longest gap of the settings."""
    rules = settings.strategy
    return find_outcomes(
        candles,
        row,
        sign,
        atr,
        stop_atr=rules.stop_atr,
        max_bars=rules.max_bars,
        fills=settings.fills,
        breakeven=rules.breakeven_after_tp1,
        max_gap=settings.candles.max_gap,
        order=order,
        detail=detail,
    )


def _stretch_ends(candles: Candles, row: IntArray, max_gap: int) -> IntArray:
    """The end (exclusive) of the stretch that holds each row."""
    ends = np.array([last for _, last in candles.stretches(max_gap)], dtype=np.int64)
    return ends[np.searchsorted(ends, row, side="right")] if len(row) else row


def _search(
    candles: Candles,
    row: IntArray,
    sign: SignArray,
    atr: FloatArray,
    end: IntArray,
    stop_atr: float,
    max_bars: int,
    fills: Fills,
    breakeven: bool,
    order: Order,
    detail: Candles | None,
) -> Outcomes:
    """One chunk. Matrices are (n, max_bars): column c is the candle c + 1 rows after the entry."""
    s = sign.astype(np.float64)
    entry = candles.close[row]
    distance = stop_atr * atr
    stop = entry - s * distance
    targets = entry[:, None] + s[:, None] * np.array(TARGET_R) * distance[:, None]
    risk = np.abs(entry - stop)

    available = np.minimum(end - 1 - row, max_bars)
    best, worst = _seen_from_the_trade(candles, row, sign > 0, available, max_bars)
    target_at = np.stack([_first(best >= (s * t)[:, None]) for t in targets.T], axis=1)
    stop_at = _first(worst <= (s * stop)[:, None])
    stop_price = stop
    if breakeven:
        moved: BoolArray = target_at[:, 0] < stop_at
        at_entry = (np.arange(max_bars) > target_at[:, :1]) & (worst <= (s * entry)[:, None])
        stop_at = np.where(moved, _first(at_entry), stop_at)
        stop_price = np.where(moved, entry, stop)
    targets_hit = (target_at < stop_at[:, None]).sum(axis=1)  # on the same candle the stop comes first, but:
    at_last = best[np.arange(len(row)), np.minimum(stop_at, max_bars - 1)]
    reached = (at_last[:, None] >= s[:, None] * targets).sum(axis=1)
    ambiguous: BoolArray = (stop_at < max_bars) & (reached > targets_hit)
    peak, decided = _peaks_before_stop(
        candles, row + 1 + stop_at, s, stop_price, at_last, np.flatnonzero(ambiguous), order, detail
    )
    at_peak = (peak[:, None] >= s[:, None] * targets).sum(axis=1)
    targets_hit = np.maximum(targets_hit, np.minimum(at_peak, reached))
    hit: BoolArray = np.arange(3) < targets_hit[:, None]

    full, stopped = hit[:, 2], ~hit[:, 2] & (stop_at < max_bars)
    timed_out = ~full & ~stopped & (available == max_bars)
    at_gap = ~full & ~stopped & ~timed_out & (end < len(candles))
    code = np.select([stopped, full, timed_out, at_gap], [_STOP, _TP3, _TIMEOUT, _GAP], OPEN).astype(np.int8)
    bars = np.select([stopped, full], [stop_at + 1, target_at[:, 2] + 1], available)

    exit_row = np.where(code == OPEN, -1, row + bars)
    last_close = candles.close[row + bars]
    price = np.select([stopped, full, timed_out | at_gap], [stop_price, targets[:, 2], last_close], np.nan)
    last_r = np.where(stopped & (stop_price == stop), -1.0, s * (price - entry) / risk)
    if fills == "pessimistic":
        opened = candles.open[row + bars]
        gapped: BoolArray = stopped & (s * opened < s * stop_price)
        price = np.where(gapped, opened, price)
        last_r = np.where(gapped, s * (opened - entry) / risk, last_r)
    has_last = stopped | timed_out | at_gap
    realized = _TARGETS_R[targets_hit] + np.where(has_last, np.array(REMAINING)[targets_hit] * last_r, 0.0)

    # While open: every candle but the one that stopped the trade, of which only what came before the stop counts.
    before = bars - (stopped | ambiguous)
    best_price = s * np.maximum(_extreme(np.maximum, best, before, -np.inf), peak)
    worst_price = s * _extreme(np.minimum, worst, before, np.inf)
    with np.errstate(invalid="ignore"):
        mfe = np.maximum(0.0, np.minimum(s * (best_price - entry) / risk, TARGET_R[-1]))
        mae = np.minimum(0.0, s * (worst_price - entry) / risk)
    mae = np.where(stopped, np.minimum(mae, last_r), mae)

    return Outcomes(
        sign=sign,
        entry_row=row,
        entry=entry,
        stop=stop,
        targets=targets,
        bars=bars,
        targets_hit=targets_hit,
        target_row=np.where(hit, row[:, None] + 1 + target_at, -1),
        realized_r=realized,
        mfe_r=mfe,
        mae_r=mae,
        ambiguous=ambiguous,
        decided=decided,
        exit=code,
        exit_price=price,
        exit_row=exit_row,
    )


def _seen_from_the_trade(
    candles: Candles, row: IntArray, long: BoolArray, available: IntArray, max_bars: int
) -> tuple[FloatArray, FloatArray]:
    """The best and the worst price of each candle, (n, max_bars) each, larger being better in both directions.

    Turning a sign rounds nothing. Where candles are not ``available`` nothing is reached: -inf and inf.
    """
    best, worst = _ahead(candles.high, row, max_bars), _ahead(candles.low, row, max_bars)
    short = np.flatnonzero(~long)
    best[short], worst[short] = -worst[short], -best[short]
    cut = np.flatnonzero(available < max_bars)
    beyond: BoolArray = np.arange(max_bars) >= available[cut, None]
    best[cut] = np.where(beyond, -np.inf, best[cut])
    worst[cut] = np.where(beyond, np.inf, worst[cut])
    return best, worst


def _ahead(values: FloatArray, row: IntArray, count: int) -> FloatArray:
    """The ``count`` values after each row, (n, count); behind the last value anything."""
    missing = int(row.max(initial=-1)) + 1 + count - len(values)
    if missing > 0:
        values = np.concatenate((values, np.zeros(missing)))
    return sliding_window_view(values, count)[row + 1]


def _peaks_before_stop(
    candles: Candles,
    stop_row: IntArray,
    sign: FloatArray,
    stop: FloatArray,
    best: FloatArray,
    ambiguous: IntArray,
    order: Order,
    detail: Candles | None,
) -> tuple[FloatArray, BoolArray]:
    """What the candle of the stop gave each trade before the stop, (n,) each; only the ``ambiguous`` are looked at.

    The best price seen from the trade's side (-inf: the stop came first), and whether ``detail`` told so. ``best`` is
    the whole candle's, seen from the trade's side too.
    """
    peak = np.full(len(sign), -np.inf)
    decided = np.zeros(len(sign), dtype=np.bool_)
    if order == "target":
        at = ambiguous[(sign * candles.open[np.minimum(stop_row, len(candles) - 1)] > sign * stop)[ambiguous]]
        peak[at] = best[at]
    if detail is None or not len(ambiguous):
        return peak, decided
    opened = candles.time[stop_row[ambiguous]]
    first = np.searchsorted(detail.time, opened)
    last = np.searchsorted(detail.time, opened + candles.timeframe.ms)
    whole = last - first == candles.timeframe.ms // detail.timeframe.ms
    for index, start, end in zip(ambiguous[whole], first[whole], last[whole], strict=True):
        up = sign[index] > 0
        highs, lows = (detail.high, detail.low) if up else (-detail.low, -detail.high)
        touches = lows[start:end] <= sign[index] * stop[index]
        if touches.any():
            decided[index] = True
            peak[index] = highs[start : start + int(touches.argmax())].max(initial=-np.inf)
    return peak, decided


def _first(found: BoolArray) -> IntArray:
    """The first True of each row; the number of columns where there is none."""
    at = found.argmax(axis=1)
    first: IntArray = np.where(found[np.arange(len(found)), at], at, found.shape[1])
    return first


def _extreme(of: np.ufunc, values: FloatArray, count: IntArray, none: float) -> FloatArray:
    """``np.maximum`` or ``np.minimum`` of the first ``count`` values of each row, ``none`` where that is 0."""
    width = values.shape[1]
    begins = np.arange(len(values)) * width
    # Each row in two pieces, of which the first counts; an empty piece gives the value at its place, whatever it is.
    pieces = np.stack((begins, begins + np.minimum(count, width - 1)), axis=1).reshape(-1)
    found = of.reduceat(values.reshape(-1), pieces)[::2] if len(values) else np.empty(0)
    whole: BoolArray = count == width
    found[whole] = of(found[whole], values[whole, -1])
    extreme: FloatArray = np.where(count > 0, found, none)
    return extreme


def _net_of_leg(
    price: FloatArray, share: float | FloatArray, sign: FloatArray, entry: FloatArray, fee: float, slippage: float
) -> FloatArray:
    fill = price * (1 - sign * slippage)
    net: FloatArray = share * (sign * (fill - entry) - fee * fill)
    return net
