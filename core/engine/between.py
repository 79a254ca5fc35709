"""What happens to open trades between closes: 1m candles as they close, and a person's hand. Pure, as ``step`` is.

Shadows live by closes alone. No bar passes here, no mark moves and no breaker rolls: the next close does all that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from core.config import Settings
from core.domain.candles import Candle, Pair
from core.domain.ledger import Effect, FollowRecord, LegRecord
from core.domain.trading import Follow, FollowKind
from core.engine import trader
from core.engine.step import Book, settle_trade, trade_record
from core.engine.telling import cooldown_notice, trade_events


@dataclass(frozen=True, slots=True)
class ByHand:
    """A trade a person closes: at ``price``, at the moment ``at`` (epoch ms)."""

    trade_id: int
    price: float
    at: int


def run_minutes(book: Book, minutes: Mapping[Pair, Sequence[Candle]], settings: Settings) -> tuple[Book, Effect]:
    """Stops and targets of the open trades by these closed 1m candles of the candle that is running, oldest first.

    Minute by minute through all pairs: what a trade's end does to the account, it does in the order of the ends,
    whether they are found one by one or together.

    The effect holds nothing but cursors where no leg was filled: what else has changed in the book, the best and the
    worst price so far, is found again from the same minutes and need not be stored.
    """
    seen = {pair: found for pair, found in minutes.items() if found}
    steps: list[Effect] = []
    for time in sorted({minute.open_time for found in seen.values() for minute in found}):
        now = {pair: [m for m in found if m.open_time == time] for pair, found in seen.items()}
        book, effect = _one_minute(book, now, settings)
        steps.append(effect)
    cursors = {pair: found[-1].open_time for pair, found in seen.items()}
    moved = {record.follow_id: record for effect in steps for record in effect.follows}
    if not moved:
        return book, Effect(step="minutes", cursors=cursors)
    # The cursors are stored for all, and so is what their minutes did to the trades in which nothing was filled.
    moved |= {r.follow_id: r for r in book.follows.values() if r.kind is FollowKind.TRADE and r.pair in seen}
    return book, Effect(
        step="minutes",
        cursors=cursors,
        account=book.account,
        follows=tuple(moved.values()),
        legs=tuple(leg for effect in steps for leg in effect.legs),
        events=tuple(event for effect in steps for event in effect.events),
    )


def _one_minute(book: Book, now: Mapping[Pair, Sequence[Candle]], settings: Settings) -> tuple[Book, Effect]:
    chosen = [r for r in book.follows.values() if r.kind is FollowKind.TRADE and now.get(r.pair)]
    return _moved(book, chosen, lambda r: trader.look_inside(r.follow, now[r.pair], settings), settings)


def run_manual(book: Book, hands: Iterable[ByHand], settings: Settings) -> tuple[Book, Effect]:
    """Closes what remains of these trades. One that is closed already, or unknown, is left as it is."""
    closing = {hand.trade_id: hand for hand in hands}
    chosen = [r for r in book.follows.values() if r.kind is FollowKind.TRADE and r.follow_id in closing]

    def close(record: FollowRecord) -> Follow:
        hand = closing[record.follow_id]
        return trader.close_by_hand(record.follow, hand.price, hand.at, settings)

    return _moved(book, chosen, close, settings)


def _moved(
    book: Book,
    chosen: Sequence[FollowRecord],
    move: Callable[[FollowRecord], Follow],
    settings: Settings,
) -> tuple[Book, Effect]:
    account, follows = book.account, dict(book.follows)
    changed: list[FollowRecord] = []
    legs: list[LegRecord] = []
    settled = []
    for record in chosen:
        follow = move(record)
        account, position, money = settle_trade(account, record, follow, settings)
        after = follows[record.follow_id] = trade_record(record, position, record.last_time)
        if money:
            settled.append((after, money))
            changed.append(after)
            legs += [LegRecord(record.follow_id, m.leg, m.pnl) for m in money]
        if follow.closed:
            del follows[record.follow_id]
    events = [e for after, money in settled for e in trade_events(after, money, account.equity, settings)]
    effect = Effect(
        step="manual",
        cursors={},
        account=account if changed else None,
        follows=tuple(changed),
        legs=tuple(legs),
        events=(*events, *cooldown_notice(book.account, account, settings)),
    )
    return replace(book, account=account, follows=follows), effect
