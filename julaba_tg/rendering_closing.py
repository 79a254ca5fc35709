"""Closing by hand as cards: what a yes would do, and what it has done."""

from __future__ import annotations

from datetime import timedelta

from core.services.manual import ClosePlan, CloseResult, Closing
from julaba_tg.card import Card, card, section, text
from julaba_tg.figures import amount, coin, duration, money, price, r_multiple, signed_money

MOST_SHOWN = 15
OLD = timedelta(minutes=5)


def plan(found: ClosePlan, changed: str = "") -> Card:
    """What would be closed at which price; ``changed`` says why it is shown anew."""
    count = len(found.closings)
    if found.pauses:
        title = f"🛑 Close {_trades(count)} and pause? {signed_money(found.pnl)}"
        foot = [f"Type {count} to close {'it' if count == 1 else 'all of them'} and pause new trades."]
    else:
        title = f"✋ Close {_name(found.closings[0])}? {signed_money(found.pnl)}"
        foot = ["Nothing is closed before you tap."]
    return card(
        title,
        text([changed] if changed else []),
        section(line for closing in found.closings[:MOST_SHOWN] for line in _closing(closing, found)),
        text([f"… and {count - MOST_SHOWN} more"] if count > MOST_SHOWN else []),
        section(
            ["Profit is net, of the whole trade, at these prices; targets and stops met before come first.", *foot]
        ),
    )


def _closing(closing: Closing, found: ClosePlan) -> list[str]:
    age = max(timedelta(), found.made_at - closing.price_at)
    warning = "⚠️ " if age >= OLD else ""
    return [
        f"{_name(closing)} #{closing.trade_id} · {signed_money(closing.pnl)} · {r_multiple(closing.r)}",
        f"{amount(closing.quantity)} at {price(closing.price)} (entry {price(closing.entry)}), "
        f"{warning}price {_age(age)} old",
    ]


def done(result: CloseResult) -> Card:
    """What was closed, each as it ended, and where that leaves the account."""
    closed = result.closed
    if len(closed) == 1:
        title = f"✋ {_name(closed[0])} closed {signed_money(closed[0].pnl)}"
    else:
        title = f"🛑 {_trades(len(closed))} closed {signed_money(sum(c.pnl for c in closed))}"
    lines = [
        f"{_name(c)} #{c.trade_id} at {price(c.price)} · {signed_money(c.pnl)} · {r_multiple(c.r)}"
        for c in closed[:MOST_SHOWN]
    ]
    more = [f"… and {len(closed) - MOST_SHOWN} more"] if len(closed) > MOST_SHOWN else []
    state = "New trades are paused; /resume ends it." if result.paused else "New trades go on."
    return card(title, text([*lines, *more]), section([f"Equity {money(result.equity)}. {state}"]))


def which_trade() -> Card:
    return card("✖️ Close which trade?", "Its profit now is shown first; nothing is closed before you tap again.")


def nothing_open() -> Card:
    return card("📂 No open trade to close")


def wrong_number(number: int, count: int) -> Card:
    """The number typed is not that of the trades shown: nothing is closed."""
    return card(
        f"✋ {number} is not {count}: nothing was closed",
        f"{_trades(count).capitalize()} would be. Type {count}, or let it be.",
    )


def which_number() -> Card:
    return card(
        "✋ Nothing was closed", "Reply with the number to the message that /panic shows, or send /panic again."
    )


def _name(closing: Closing) -> str:
    return f"{coin(closing.pair)} {closing.direction}"


def _trades(count: int) -> str:
    return "1 trade" if count == 1 else f"{count} trades"


def _age(age: timedelta) -> str:
    seconds = round(age.total_seconds())
    return f"{seconds}s" if seconds < 120 else duration(age)
