"""A lived trade or shadow once more: by other exits on stored candles, or stage by stage as it became known."""

from __future__ import annotations

from itertools import groupby

import numpy as np

from core.config import Settings
from core.domain.candles import Candles
from core.domain.ledger import FollowRecord
from core.domain.trading import ExitReason, Follow, Levels
from core.engine import fills, trader
from core.engine.fills import REMAINING

Stage = tuple[int, Follow]
"""When it was known (epoch ms), and the follow as it was then."""


def followed_again(record: FollowRecord, levels: Levels, candles: Candles, settings: Settings) -> Follow | None:
    """The same entry with other levels or exits, candle by candle as shadows are followed; None without its candles.

    What a person closed by hand is closed then and at that price, if it is still open. Where the candles end it is
    open.
    """
    entered = record.follow.entry_time
    row = int(np.searchsorted(candles.time, entered))
    if row >= len(candles) or int(candles.time[row]) != entered:
        return None
    frame, follow = settings.frame.ms, fills.begin(levels, entered)
    by_hand = record.follow.exit_reason is ExitReason.MANUAL
    hand = record.follow.exit_time if by_hand else None
    last, close = entered, float(candles.close[row])
    for candle in candles.rows(row + 1, None):
        if hand is not None and candle.open_time > hand:  # its hour came within this candle, or before it
            break
        if (candle.open_time - last) // frame - 1 > settings.candles.max_gap:
            return trader.end_at_gap(follow, close, last)
        follow = trader.advance(follow, candle, settings)
        if follow.closed:
            return follow
        last, close = candle.open_time, candle.close
    if hand is not None and record.follow.exit_price is not None:
        return fills.close_at(follow, record.follow.exit_price, hand, ExitReason.MANUAL)
    return follow


def stages(follow: Follow, candles: Candles | None, settings: Settings) -> tuple[Stage, ...]:
    """The follow after each moment at which something of it was filled, oldest first; none while nothing was.

    A gap is seen, and booked, only when the candle after it closes.
    """
    found: list[Stage] = []
    frame = settings.frame.ms
    for (time, gap), legs in groupby(follow.legs, key=lambda leg: (leg.time, leg.name == ExitReason.GAP)):
        count = (len(found[-1][1].legs) if found else 0) + len(list(legs))
        known = time + frame
        if gap and candles is not None:
            after = int(np.searchsorted(candles.time, time, side="right"))
            known = int(candles.time[after]) + frame if after < len(candles) else known
        found.append((known, follow if count == len(follow.legs) and follow.closed else _partly(follow, count)))
    return tuple(found)


def _partly(follow: Follow, count: int) -> Follow:
    return Follow(
        follow.levels,
        follow.entry_time,
        remaining=REMAINING[count],
        targets_hit=count,
        legs=follow.legs[:count],
    )
