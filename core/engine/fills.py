"""The bar-by-bar fill rules of docs/strategy.md: one kernel for live trades, shadow trades and replay.

Within a candle the order of prices is not known, and doubt means the worse fill: the stop comes first, with all that
remains; then TP1, TP2 and TP3, each once, several in one candle allowed. A backtest may look at the other order, or
at smaller candles that tell it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from core.domain.candles import Candle
from core.domain.trading import TARGET_R, TARGET_SHARE, ExitReason, Follow, Leg, Levels

Fills = Literal["reference", "pessimistic"]
Order = Literal["stop", "target"]

REMAINING = (1.0, 0.5, 0.2, 0.0)
"""The open fraction after 0, 1, 2 and 3 targets: written out, for 1 - 0.5 - 0.3 - 0.2 is not 0 in floats."""


def begin(levels: Levels, entry_time: int) -> Follow:
    """A trade entered at the close of the candle that opened at ``entry_time`` (epoch ms)."""
    return Follow(levels, entry_time)


def advance(
    follow: Follow,
    candle: Candle,
    *,
    max_bars: int = 100,
    fills: Fills = "reference",
    breakeven: bool = False,
    order: Order = "stop",
    inside: Sequence[Candle] = (),
) -> Follow:
    """The trade after one more candle; a closed trade comes back as it is.

    ``fills`` "reference" fills the stop at its price, "pessimistic" at the open where the candle opens beyond it.
    ``breakeven`` moves the stop to the entry from the candle after TP1 on. After ``max_bars`` candles the rest is
    closed at that candle's close.

    An ambiguous candle touches the stop and an open target. ``inside``, the smaller candles that cover it whole,
    oldest first, tell which came first (within one of them the stop does). Without them ``order`` says: "stop", or
    "target", where the targets it touches are filled before the stop unless it opens at or beyond the stop.

    Raises ValueError for a candle that is not later than the entry.
    """
    if follow.closed:
        return follow
    if candle.open_time <= follow.entry_time:
        raise ValueError(f"the candle at {candle.open_time} is not after the entry at {follow.entry_time}")
    follow = replace(follow, bars=follow.bars + 1)
    follow = _touch(follow, candle, fills=fills, breakeven=breakeven, order=order, inside=inside)
    if not follow.closed and follow.bars >= max_bars:
        r = _r(follow.levels, candle.close)
        return _close(follow, "TIMEOUT", candle.close, r, candle.open_time, ExitReason.TIMEOUT)
    return follow


def look_inside(follow: Follow, small: Candle, *, fills: Fills = "reference", breakeven: bool = False) -> Follow:
    """The trade after one of the smaller candles within a candle that is still running.

    Stop and targets as in ``advance``, but no bar has passed, unless the trade ends here: its last bar counts then.
    ``small.open_time`` is the time that its legs get.
    """
    if follow.closed:
        return follow
    follow = _touch(follow, small, fills=fills, breakeven=breakeven, order="stop", inside=())
    return replace(follow, bars=follow.bars + 1) if follow.closed else follow


def _touch(
    follow: Follow, candle: Candle, *, fills: Fills, breakeven: bool, order: Order, inside: Sequence[Candle]
) -> Follow:
    """What a candle's prices do to an open trade: stop, targets, excursion."""
    levels, sign = follow.levels, follow.levels.direction.sign
    stop = levels.entry if breakeven and follow.targets_hit else levels.stop
    best, worst = (candle.high, candle.low) if sign > 0 else (candle.low, candle.high)
    stopped = sign * (worst - stop) <= 0
    reached = _reached(levels, best)
    ambiguous = stopped and reached > follow.targets_hit
    follow = replace(follow, ambiguous=follow.ambiguous or ambiguous)
    if ambiguous:
        follow = _before_stop(follow, candle, stop, reached, order, inside)
    if stopped:
        return follow if follow.closed else _stop(follow, candle, stop, fills)
    return _excursion(_targets(follow, candle.open_time, reached), best, worst)


def close_at(follow: Follow, price: float, time: int, reason: ExitReason) -> Follow:
    """The trade with all that remains closed at ``price``: MANUAL by a person, GAP where candles are missing.

    ``time`` is the open time (epoch ms) of the last candle seen. A closed trade comes back as it is. Raises
    ValueError for the reasons that only ``advance`` may give.
    """
    if reason not in (ExitReason.MANUAL, ExitReason.GAP):
        raise ValueError(f"{reason} is found by the candles, not given")
    if follow.closed:
        return follow
    return _close(follow, reason.value, price, _r(follow.levels, price), time, reason)


def net_r(levels: Levels, legs: Iterable[Leg], fee_rate: float, slippage_rate: float) -> float:
    """The R of ``legs`` after costs.

    ``fee_rate`` is paid on the entry's notional and on each exit's; ``slippage_rate`` moves every fill against us by
    that share of its price. The entry's fee is always the whole position's, however much of it is closed.
    """
    sign = levels.direction.sign
    entry = levels.entry * (1 + sign * slippage_rate)
    profit = -fee_rate * entry
    for leg in legs:
        fill = leg.price * (1 - sign * slippage_rate)
        profit += leg.fraction * (sign * (fill - entry) - fee_rate * fill)
    return profit / levels.risk


def _reached(levels: Levels, best: float) -> int:
    """How many of the targets a price reaches."""
    return sum(levels.direction.sign * (best - target) >= 0 for target in levels.targets)


def _before_stop(
    follow: Follow, candle: Candle, stop: float, reached: int, order: Order, inside: Sequence[Candle]
) -> Follow:
    """The trade with what an ambiguous candle gave it before its stop; the stop itself is still to come."""
    levels, sign = follow.levels, follow.levels.direction.sign
    peak = _peak_inside(levels, stop, inside)
    if peak is None and order == "target" and sign * (candle.open - stop) > 0:
        peak = candle.high if sign > 0 else candle.low
    if peak is None or peak == -sign * math.inf:
        return follow
    follow = replace(follow, mfe_r=max(follow.mfe_r, min(_r(levels, peak), TARGET_R[-1])))
    return _targets(follow, candle.open_time, min(_reached(levels, peak), reached))


def _peak_inside(levels: Levels, stop: float, inside: Sequence[Candle]) -> float | None:
    """The best price of the smaller candles before the first that touches the stop; infinitely bad when there is none.

    None where none of them touches it: then they do not tell the order.
    """
    sign = levels.direction.sign
    peak = -sign * math.inf
    for small in inside:
        best, worst = (small.high, small.low) if sign > 0 else (small.low, small.high)
        if sign * (worst - stop) <= 0:
            return peak
        peak = max(peak, best) if sign > 0 else min(peak, best)
    return None


def _stop(follow: Follow, candle: Candle, stop: float, fills: Fills) -> Follow:
    levels, sign = follow.levels, follow.levels.direction.sign
    price, r = stop, (-1.0 if stop == levels.stop else 0.0)
    if fills == "pessimistic" and sign * (candle.open - stop) < 0:
        price, r = candle.open, _r(levels, candle.open)
    # Nothing else of this candle happened to the trade: no better high after the stop, no lower low.
    follow = replace(follow, mae_r=min(follow.mae_r, r))
    return _close(follow, "STOP", price, r, candle.open_time, ExitReason.STOP_LOSS)


def _targets(follow: Follow, time: int, reached: int) -> Follow:
    """Closes the parts of all targets that are reached for the first time."""
    for index in range(follow.targets_hit, reached):
        price, fraction, r = follow.levels.targets[index], TARGET_SHARE[index], TARGET_R[index]
        leg = Leg(f"TP{index + 1}", time, price, fraction, fraction * r)
        follow = replace(
            follow,
            targets_hit=index + 1,
            remaining=REMAINING[index + 1],
            realized_r=follow.realized_r + leg.r,
            legs=(*follow.legs, leg),
        )
    if follow.targets_hit == len(TARGET_R):
        return replace(follow, exit_reason=ExitReason.TP3_FULL, exit_price=follow.levels.targets[-1], exit_time=time)
    return follow


def _excursion(follow: Follow, best: float, worst: float) -> Follow:
    """The best and worst R while the trade was open; beyond the last target nothing is open any more."""
    best_r = min(_r(follow.levels, best), TARGET_R[-1])
    return replace(follow, mfe_r=max(follow.mfe_r, best_r), mae_r=min(follow.mae_r, _r(follow.levels, worst)))


def _close(follow: Follow, name: str, price: float, r: float, time: int, reason: ExitReason) -> Follow:
    leg = Leg(name, time, price, follow.remaining, follow.remaining * r)
    return replace(
        follow,
        remaining=0.0,
        realized_r=follow.realized_r + leg.r,
        legs=(*follow.legs, leg),
        exit_reason=reason,
        exit_price=price,
        exit_time=time,
    )


def _r(levels: Levels, price: float) -> float:
    return levels.direction.sign * (price - levels.entry) / levels.risk
