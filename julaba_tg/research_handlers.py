"""What is done for ``/backtest``, ``/whatif``, ``/fetch`` and ``/export``: answered at once, then followed."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard

from core.engine.what_if import NOTHING
from core.services.chat_backtest import BacktestView
from core.services.exports import ExportView
from core.services.research import MOST_DAYS
from core.services.stored_history import FetchView
from core.services.views import Progress
from core.services.what_if import Question, WhatIfView
from julaba_tg import keyboards, parsing, rendering, rendering_research, rendering_whatif
from julaba_tg.calls import Call, post
from julaba_tg.commands import CANCEL
from julaba_tg.figures import coin
from julaba_tg.ports import DeskLike, MessageRef, OutboxLike
from julaba_tg.progress import Show, begin, conclude, followed
from julaba_tg.sending import DOCUMENT_LIMIT, Document, Outgoing
from julaba_tg.tasks import Tasks
from julaba_tg.whatif_words import line_of, question

BACKTEST_DAYS = 90
SPANS = (30, 90, 365)
FETCH_SPANS = (90, 365, 730)
_EXPORTS = ("trades", "signals", "equity", "audit", "all")

T = TypeVar("T")


class Research:
    """The four commands; each long one is a background task of its own."""

    def __init__(self, desk: DeskLike, outbox: OutboxLike, tasks: Tasks) -> None:
        self._desk = desk
        self._outbox = outbox
        self._tasks = tasks

    # -- /backtest ---------------------------------------------------------------------------------------------------

    async def backtest(self, call: Call) -> Outgoing | None:
        if call.arguments == (CANCEL,):
            return self._cancel(call, "backtest")
        pair, days = self._pair_and_days(call)
        research = self._desk.topics.research
        work = partial(research.backtest, (pair,) if pair else (), days, DOCUMENT_LIMIT)
        await self._start(call, _shown("🔬", "Backtest", "backtest"), work, self._backtested, "the backtest")
        return None

    def _pair_and_days(self, call: Call) -> tuple[str | None, int]:
        """``LINK 30`` in either order, ``all``, or nothing."""
        words = [word for word in call.arguments if word.lower() != "all"]
        numbers = [word for word in words if word.isdigit()]
        names = [word for word in words if not word.isdigit()]
        if len(numbers) > 1 or len(names) > 1:
            raise parsing.refusal("That needs at most a pair and a number of days.", call.command)
        days = parsing.count(numbers, call.command, default=BACKTEST_DAYS, most=MOST_DAYS)
        return (parsing.pair(names[0], call.command) if names else None), days

    async def _backtested(self, call: Call, shown: MessageRef, view: BacktestView) -> None:
        pairs = tuple(view.pairs)
        keys = self._backtest_keys(pairs[0] if len(pairs) == 1 else None, view.days)
        result = Outgoing(rendering_research.backtest(view, call.zone), keys, view.picture)
        if view.picture is None:
            await conclude(call.place, shown, result)
            return
        await conclude(call.place, shown, Outgoing(rendering_research.backtest_done(view)))
        await post(call.place, result, reply_to=shown.message_id)
        if view.csv is None:
            await post(call.place, Outgoing(rendering_research.no_file(view)))
            return
        name = "-".join(["signals", *(coin(p).lower() for p in pairs[:1] if len(pairs) == 1), f"{view.days}d"])
        await post(call.place, Outgoing(rendering_research.file(view), document=Document(f"{name}.csv", view.csv)))

    def _backtest_keys(self, pair: str | None, days: int) -> Keyboard:
        """Other spans of the same, then other pairs over the same span."""
        behind = f"{coin(pair)} " if pair else ""
        spans = [
            Button(f"• {n} days" if n == days else f"{n} days", callback_data=f"new:backtest {behind}{n}")
            for n in SPANS
        ]
        names = [name for name in self._desk.topics.research.pairs() if name != pair]
        others = [Button(coin(name), callback_data=f"new:backtest {name} {days}") for name in names[:11]]
        others += [Button("All pairs", callback_data=f"new:backtest all {days}")] if pair else []
        return Keyboard([spans, *keyboards.rows(others, 4)])

    # -- /fetch ------------------------------------------------------------------------------------------------------

    async def fetch(self, call: Call) -> Outgoing | None:
        if call.arguments == (CANCEL,):
            return self._cancel(call, "fetch")
        if not call.arguments:
            keys = [Button(f"{n} days", callback_data=f"new:fetch {n}") for n in FETCH_SPANS]
            return Outgoing(rendering_research.how_long(), Keyboard([keys]))
        days = parsing.count(call.arguments, call.command, default=BACKTEST_DAYS, most=MOST_DAYS)
        work = partial(self._desk.topics.research.fetch, days)
        await self._start(call, _shown("📥", "Fetching", "fetch"), work, self._fetched, "the fetch")
        return None

    async def _fetched(self, call: Call, shown: MessageRef, view: FetchView) -> None:
        keys = [
            Button("🔬 Backtest", callback_data=f"new:backtest {view.days}"),
            keyboards.way_to("retrain"),
        ]
        await conclude(call.place, shown, Outgoing(rendering_research.fetched(view), Keyboard([keys])))

    # -- /export -----------------------------------------------------------------------------------------------------

    async def export(self, call: Call) -> Outgoing | None:
        if not call.arguments:
            keys = [Button(name.capitalize(), callback_data=f"new:export {name}") for name in _EXPORTS]
            return Outgoing(rendering_research.which_export(), Keyboard(keyboards.rows(keys, 3)))
        what = parsing.one(call.arguments, call.command).lower()
        if what not in _EXPORTS:
            raise parsing.refusal(f"{parsing.short(what)!r} is none of {', '.join(_EXPORTS)}.", call.command)
        work = partial(self._desk.topics.research.export, what, DOCUMENT_LIMIT)
        await self._start(call, _shown("📦", "Export"), work, self._exported, "the export")
        return None

    async def _exported(self, call: Call, shown: MessageRef, view: ExportView) -> None:
        keys = Keyboard([[Button("📦 Another table", callback_data="new:export")]])
        if view.content is None:
            await conclude(call.place, shown, Outgoing(rendering_research.too_large(view), keys))
            return
        await conclude(call.place, shown, Outgoing(rendering_research.exported(view), keys))
        file = Document(view.name, view.content)
        await post(call.place, Outgoing(rendering_research.exported(view), document=file), reply_to=shown.message_id)

    # -- /whatif -----------------------------------------------------------------------------------------------------

    async def what_if(self, call: Call) -> Outgoing | None:
        about = await self._about(call)
        asked = question(call.arguments, call.command, about)
        if asked.change == NOTHING and not (asked.number is None and call.arguments):
            number = f"{'#' if asked.is_trade else ''}{asked.number}" if asked.number is not None else ""
            return Outgoing(rendering_whatif.choice(number), _choices(number, self._desk.topics.research.pairs()))
        work = partial(self._desk.topics.research.what_if, asked)
        done = partial(self._asked, asked)
        await self._start(call, _shown("🧪", "What if"), work, done, "the what-if")
        return None

    async def _about(self, call: Call) -> str:
        """The trade or signal whose message was replied to: ``#7``, ``12``; empty where it was none."""
        if call.replied is None:
            return ""
        ref = MessageRef(call.place.chat_id, call.replied.message_id)
        kind, _, number = (await self._outbox.subject_of(ref) or "").partition(":")
        if kind == "trade" and number.isdigit():
            return f"#{number}"
        markup = call.replied.reply_markup
        taps = [b.callback_data for row in (markup.inline_keyboard if markup else ()) for b in row]
        found = next((m[1] for tap in taps if isinstance(tap, str) and (m := _WHY.fullmatch(tap))), "")
        return str(found)

    async def _asked(self, asked: Question, call: Call, shown: MessageRef, view: WhatIfView) -> None:
        keys = _again(asked)
        if view.single is None:
            await conclude(call.place, shown, Outgoing(rendering_whatif.what_if(view, call.zone), keys))
            return
        answer = Outgoing(rendering_whatif.single(view, view.single, call.zone), keys, view.single.picture)
        if view.single.picture is None:
            await conclude(call.place, shown, answer)
            return
        await conclude(call.place, shown, Outgoing(rendering_whatif.single_done(view.single)))
        await post(call.place, answer, reply_to=shown.message_id)

    # -- all ---------------------------------------------------------------------------------------------------------

    def _cancel(self, call: Call, what: str) -> Outgoing | None:
        """A tap needs no answer: the message it hangs on says how it ended."""
        self._desk.topics.research.cancel(what, call.actor)
        return None if call.place.message is not None else Outgoing(rendering_research.cancelled())

    async def _start(
        self,
        call: Call,
        show: Show,
        work: Callable[[Progress], Awaitable[T]],
        done: Callable[[Call, MessageRef, T], Awaitable[None]],
        what: str,
    ) -> None:
        shown = await begin(call.place, show)

        async def follow() -> None:
            found = await followed(call.place, shown, show, work, what)
            if isinstance(found, Outgoing):
                await conclude(call.place, shown, found)
            else:
                await done(call, shown, found)

        self._tasks.start(follow(), what)


_WHY = re.compile(r"(?:new|go):why ([0-9]{1,9})")


def _shown(emoji: str, title: str, cancel: str = "") -> Show:
    """The progress message, with a button to end the work where it can be ended."""
    keys = Keyboard([[Button("✖️ Cancel", callback_data=f"new:{cancel} {CANCEL}")]]) if cancel else None

    def show(words: str, fraction: float) -> Outgoing:
        return Outgoing(rendering.progress(emoji, title, words, fraction), keys)

    return show


_COMMON = (
    ("Stop 1.5 ATR", "sl 1.5"),
    ("Stop 2.5 ATR", "sl 2.5"),
    ("Stop 3 ATR", "sl 3"),
    ("Breakeven", "breakeven on"),
    ("Model 0.5", "weight 0.5"),
    ("No model", "skip ml"),
    ("No Gemini", "skip gemini"),
    ("No alignment", "skip alignment"),
    ("No BTC rule", "skip btc"),
)
_OVER_MANY = (("ADX 20", "adx 20"), ("ADX 30", "adx 30"), ("5 positions", "positions 5"))


def _choices(number: str, pairs: Sequence[str]) -> Keyboard:
    """Common what-ifs; filters and switches only where many signals are looked at."""
    behind = f"{number} " if number else ""
    keys = [Button(name, callback_data=f"new:whatif {behind}{words}") for name, words in _COMMON]
    if not number:
        keys += [Button(name, callback_data=f"new:whatif {words}") for name, words in _OVER_MANY]
        keys += [Button(f"{coin(p)} off", callback_data=f"new:whatif pair {p} off") for p in pairs[:9]]
    return Keyboard(keyboards.rows(keys, 3))


def _again(asked: Question) -> Keyboard:
    """The same over more signals, or something else."""
    row = [Button("🧪 Something else", callback_data="new:whatif")]
    if asked.number is None and asked.last < 200:
        line = line_of(asked).split(" last ")[0]
        data = f"new:{line} last 200"
        row += [Button("Last 200", callback_data=data)] if len(data.encode()) <= keyboards.MAX_DATA else []
    elif asked.number is not None:
        number = f"{'#' if asked.is_trade else ''}{asked.number}"
        row = [Button("🧪 Something else", callback_data=f"new:whatif {number}")]
    return Keyboard([row])
