"""The bar-by-bar fill rules of DESIGN 3: one kernel for live trades, shadow trades and replay.

Within a candle the order of prices is not known, and doubt means the worse fill: the stop comes first, with all that
remains; then TP1, TP2 and TP3, each once, several in one candle allowed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from core.domain.candles import Candle
from core.domain.trading import TARGET_R, TARGET_SHARE, ExitReason, Follow, Leg, Levels

Fills = Literal["reference", "pessimistic"]

REMAINING = (1.0, 0.5, 0.2, 0.0)
"""The open fraction after 0, 1, 2 and 3 targets: written out, for 1 - 0.5 - 0.3 - 0.2 is not 0 in floats."""


def begin(levels: Levels, entry_time: int) -> Follow:
    """A trade entered at the close of the candle that opened at ``entry_time`` (epoch ms)."""
    return Follow(levels, entry_time)


def advance(
    follow: Follow, candle: Candle, *, max_bars: int = 100, fills: Fills = "reference", breakeven: bool = False
) -> Follow:
    """The trade after one more candle; a closed trade comes back as it is.

    ``fills`` "reference" fills the stop at its price, "pessimistic" at the open where the candle opens beyond it.
    ``breakeven`` moves the stop to the entry from the candle after TP1 on. After ``max_bars`` candles the rest is
    closed at that candle's close. Raises ValueError for a candle that is not later than the entry.
    """
    if follow.closed:
        return follow
    if candle.open_time <= follow.entry_time:
        raise ValueError(f"the candle at {candle.open_time} is not after the entry at {follow.entry_time}")
    levels, sign = follow.levels, follow.levels.direction.sign
    stop = levels.entry if breakeven and follow.targets_hit else levels.stop
    best, worst = (candle.high, candle.low) if sign > 0 else (candle.low, candle.high)
    stopped = sign * (worst - stop) <= 0
    reached = sum(sign * (best - target) >= 0 for target in levels.targets)
    follow = replace(
        follow,
        bars=follow.bars + 1,
        ambiguous=follow.ambiguous or (stopped and reached > follow.targets_hit),
    )
    if stopped:
        return _stop(follow, candle, stop, fills)
    follow = _targets(follow, candle.open_time, reached)
    follow = _excursion(follow, best, worst)
    if not follow.closed and follow.bars >= max_bars:
        return _close(follow, "TIMEOUT", candle.close, _r(levels, candle.close), candle.open_time, ExitReason.TIMEOUT)
    return follow


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


def _stop(follow: Follow, candle: Candle, stop: float, fills: Fills) -> Follow:
    levels, sign = follow.levels, follow.levels.direction.sign
    price, r = stop, (-1.0 if stop == levels.stop else 0.0)
    if fills == "pessimistic" and sign * (candle.open - stop) < 0:
        price, r = candle.open, _r(levels, candle.open)
    # The stop came first, so nothing else of this candle happened to the trade: no better high, no lower low.
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
