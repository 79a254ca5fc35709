"""What is done for ``/profit``, ``/signals``, ``/market``, ``/risk`` and ``/predict``: looks, each with its buttons."""

from __future__ import annotations

import re
from datetime import date

from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard

from core.services.explain import WhyView
from core.services.profit import CalendarView
from julaba_tg import keyboards, parsing, rendering, rendering_money
from julaba_tg.calls import Call
from julaba_tg.figures import coin, utc_day
from julaba_tg.ports import DeskLike
from julaba_tg.sending import Outgoing

SPANS = (7, 30, 90)
MOST_DAYS = 3_650
MOST_SIGNALS = 50
_MONTH = re.compile(r"^([0-9]{4})-(0[1-9]|1[0-2])$")
_CALENDAR = "calendar"


async def profit(call: Call, desk: DeskLike) -> Outgoing:
    """``30`` days, ``all`` of them, or a month as a calendar: both have a picture, so one takes the other's place."""
    words = tuple(word.lower() for word in call.arguments)
    if words[:1] == (_CALENDAR,):
        found = await desk.topics.money.calendar(_month(words[1:], call), call.zone)
        return Outgoing(rendering_money.month(found, call.zone), _calendar_keys(found), found.picture)
    days = None if words == ("all",) else parsing.count(call.arguments, call.command, default=30, most=MOST_DAYS)
    view = await desk.topics.money.profit(days, call.zone)
    return Outgoing(rendering_money.profit(view), _profit_keys(days), view.picture)


def _month(words: tuple[str, ...], call: Call) -> date | None:
    if not words:
        return None
    found = _MONTH.match(words[0])
    if len(words) > 1 or found is None or not int(found[1]):
        raise parsing.refusal("A month is written like 2026-10.", call.command)
    return date(int(found[1]), int(found[2]), 1)


def _profit_keys(days: int | None) -> Keyboard:
    spans = [(f"{n} days", str(n), n == days) for n in SPANS] + [("All", "all", days is None)]
    chosen = [Button(f"• {name}" if here else name, callback_data=f"go:profit {word}") for name, word, here in spans]
    line = "profit all" if days is None else f"profit {days}"
    return Keyboard(
        [chosen, [Button("📅 Calendar", callback_data=f"go:profit {_CALENDAR}"), keyboards.refresh_button(line)]]
    )


def _calendar_keys(view: CalendarView) -> Keyboard:
    ways = (("◀️", view.before), ("▶️", view.after))
    paging = [
        Button(f"{arrow} {month}", callback_data=f"go:profit {_CALENDAR} {month}") for arrow, month in ways if month
    ]
    line = f"profit {_CALENDAR} {view.month:%Y-%m}"
    rows = [paging, [Button("📈 Equity", callback_data="go:profit 30"), keyboards.refresh_button(line)]]
    return Keyboard([row for row in rows if row])


async def signals(call: Call, desk: DeskLike) -> Outgoing:
    count = parsing.count(call.arguments, call.command, default=10, most=MOST_SIGNALS)
    views = await desk.topics.money.signals(count)
    return Outgoing(rendering_money.signals(views, call.zone), _signal_keys(views, count))


def _signal_keys(views: tuple[WhyView, ...], count: int) -> Keyboard:
    newest = [
        Button(f"🔍 {v.decision_id} {coin(v.pair)}"[:24], callback_data=f"new:why {v.decision_id}") for v in views[:3]
    ]
    return Keyboard([row for row in (newest, [keyboards.refresh_button(f"signals {count}")]) if row])


async def market(call: Call, desk: DeskLike) -> Outgoing:
    view = await desk.topics.money.market()
    names = [line.pair for line in view.lines[: rendering_money.MOST_LINES]]
    keys = [
        button
        for name in names
        for button in (
            Button(f"📈 {coin(name)}", callback_data=f"new:chart {name}"),
            Button(f"🔮 {coin(name)}", callback_data=f"new:predict {name}"),
        )
    ]
    return Outgoing(
        rendering_money.market(view, call.zone),
        Keyboard([*keyboards.rows(keys, 4), [keyboards.refresh_button("market")]]),
    )


async def risk(call: Call, desk: DeskLike) -> Outgoing:
    view = await desk.topics.money.risk()
    keys = [keyboards.refresh_button("risk"), keyboards.way_to("positions")]
    return Outgoing(rendering_money.risk(view, utc_day(call.zone, desk.now())), Keyboard([keys]))


async def predict(call: Call, desk: DeskLike) -> Outgoing:
    if not call.arguments:
        names = [view.pair for view in await desk.pairs()]
        return Outgoing(rendering.which_pair(), keyboards.which_pair(names, "🔮", "predict"))
    pair = parsing.pair(parsing.one(call.arguments, call.command), call.command)
    view = await desk.topics.money.predict(pair)
    keys = [keyboards.refresh_button(f"predict {pair}"), Button("📈 Chart", callback_data=f"new:chart {pair}")]
    return Outgoing(rendering_money.predict(view, call.zone), Keyboard([keys]))
