"""What a person's answer to a trade's card does to the book. Pure: book in, book and effect out, as ``step`` is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.config import Settings
from core.domain.account import Account, Position
from core.domain.ledger import Effect, Settled
from core.domain.trading import FollowKind, Ruling, Verdict
from core.engine.advisory import Waiting
from core.engine.sizing import SMALLEST_SHARE
from core.engine.step import Book

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Yes:
    """A person's yes: ``price`` as it was just now, ``at`` epoch ms by the clock, ``by`` whom."""

    price: float
    at: int
    by: str


def take(book: Book, waiting: Waiting, yes: Yes, settings: Settings) -> tuple[Book, Effect]:
    """The book with the trade. Its follow must be open; see ``refusal`` and ``has_left`` for what must hold.

    Raises ValueError where the follow is gone or has seen another close, or nothing worth having of the size is left.
    """
    record = book.follows.get(waiting.follow_id)
    if record is None or record.kind is not FollowKind.SHADOW_SIGNAL:
        raise ValueError("the signal is not followed any more")
    if record.last_time > record.follow.entry_time:  # the shadow has lived through a candle that no trade has seen
        raise ValueError("the next candle has closed since")
    signal, paper = waiting.signal, settings.paper
    fill = yes.price * (1 + signal.direction.sign * paper.slippage_rate)
    wanted = shown(signal.quantity, signal.risk_amount, fill, signal.stop)
    if not worth_it(wanted, fill, signal.stop, signal.risk_amount):
        raise ValueError("the price is too near the stop for a trade that is worth it")
    quantity = min(wanted, _room(book.account, fill, signal.stop, settings))
    if not worth_it(quantity, fill, signal.stop, signal.risk_amount):
        raise ValueError("the limits leave no room for it now")
    risk = quantity * abs(fill - signal.stop)
    fee = fill * quantity * paper.fee_rate
    position = Position(
        trade_id=record.follow_id,
        pair=record.pair,
        direction=signal.direction,
        quantity=quantity,
        entry_fill=fill,
        risk_amount=risk,
        follow=record.follow,
        mark=yes.price,  # the last close is older: by it, the yes itself would seem to have won or lost
        pnl=-fee,
    )
    account = replace(book.account, cash=book.account.cash - fee, positions=(*book.account.positions, position))
    trade = replace(
        record,
        kind=FollowKind.TRADE,
        quantity=quantity,
        entry_fill=fill,
        risk_amount=risk,
        mark=yes.price,
        pnl=-fee,
    )
    sentence = f"{yes.by} said yes, filled at {fill:g}"
    verdict = Verdict("approval", "person", Ruling.PASS, fill, sentence)
    opened = replace(
        signal,
        status="taken",
        trade_id=record.follow_id,
        quantity=quantity,
        risk_amount=risk,
        verdicts=(*signal.verdicts, verdict),
    )
    effect = Effect(
        step="minutes",
        # The minutes before the yes are not the trade's.
        cursors={record.pair: yes.at // MINUTE_MS * MINUTE_MS},
        account=account,
        follows=(trade,),
        events=(opened,),
        settled=(Settled(signal.decision_id, "taken", "", verdict, quantity, risk),),
    )
    return replace(book, account=account, follows={**book.follows, record.follow_id: trade}), effect


def decline(waiting: Waiting, reason: str) -> Effect:
    """No trade: the decision is refused for this reason, and its shadow goes on as that of any refused signal."""
    verdict = Verdict("approval", "person", Ruling.REFUSE, None, reason)
    settled = Settled(waiting.signal.decision_id, "refused", reason, verdict)
    return Effect(step="manual", cursors={}, settled=(settled,))


def shown(quantity: float, risk_amount: float, fill: float, stop: float) -> float:
    """What was shown, or less: never more in base units, nor more at risk, than the card said."""
    return min(quantity, risk_amount / abs(fill - stop))


def worth_it(quantity: float, fill: float, stop: float, risk_amount: float) -> bool:
    """Whether it risks enough of the ``risk_amount`` that was meant."""
    return quantity > 0 and quantity * abs(fill - stop) >= SMALLEST_SHARE * risk_amount


def _room(account: Account, fill: float, stop: float, settings: Settings) -> float:
    """What the limits leave now, in base units."""
    limits, distance = settings.portfolio, abs(fill - stop)
    room_risk = max(0.0, limits.max_open_risk * account.equity - sum(p.open_risk for p in account.positions))
    room_notional = max(0.0, settings.paper.max_leverage * account.equity - sum(p.notional for p in account.positions))
    return min(room_risk / distance, room_notional / fill)
