"""What is done for ``/close`` and ``/panic``: shown first, done only when it is still what was shown.

A preview carries the plan's token and when it was made, by the wall clock: ``/close`` in its button, ``/panic`` in the
store beside the message, so that an answer still counts after a restart and one to an old preview closes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard
from telegram.constants import KeyboardButtonStyle

from core.errors import UsageError
from core.services.manual import ClosePlan
from core.services.views import Actor
from julaba_tg import parsing, rendering_closing
from julaba_tg.calls import Call, Place, post, say
from julaba_tg.figures import coin
from julaba_tg.keyboards import MAX_DATA
from julaba_tg.ports import DeskLike, MessageRef, OutboxLike
from julaba_tg.sending import Outgoing

GOOD_FOR = timedelta(minutes=10)
"""How long an answer to a preview counts: the prices in it are those of then."""

CHANGED = "What is open has changed since it was shown. This is how it is now:"
TOO_OLD = "That preview was too old. This is how it is now:"
TOO_LATE = "Your answer came late. This is how it is now:"


@dataclass(frozen=True, slots=True)
class Shown:
    """A preview of ``/panic`` as it is remembered. ``at``: epoch seconds of wall time."""

    token: str
    count: int
    at: int

    @property
    def subject(self) -> str:
        return f"panic:{self.token}:{self.count}:{self.at}"

    @classmethod
    def of(cls, subject: str | None) -> Shown | None:
        found = re.fullmatch(r"panic:(\w+):(\d+):(\d+)", subject or "")
        return cls(found[1], int(found[2]), int(found[3])) if found else None


class Closings:
    """Handlers of one chat program. ``wall_clock`` as in ``Chat``: how old an answer is, the phone's time says."""

    def __init__(self, desk: DeskLike, outbox: OutboxLike, wall_clock: Callable[[], datetime]) -> None:
        self._desk = desk
        self._outbox = outbox
        self._wall_clock = wall_clock
        self._last: dict[int, MessageRef] = {}  # the newest preview of /panic in each chat

    async def close(self, call: Call) -> Outgoing | None:
        """``/close LINK`` shows; its button is ``/close LINK/USDT token time`` and closes."""
        words = call.arguments
        if len(words) not in (1, 3):
            raise parsing.refusal("That needs a pair." if not words else "That is more than a pair.", call.command)
        pair = parsing.pair(words[0], call.command)
        plan = await self._desk.plan_close(pair)
        if len(words) == 1:
            return self._preview(plan, pair)
        token, at = words[1], words[2]
        changed = CHANGED if plan.token != token else "" if self._is_fresh(at) else TOO_OLD
        if changed:  # in a message of its own: the old one may say how it ended
            await say(call.place, self._preview(plan, pair, changed))
            return None
        return Outgoing(rendering_closing.done(await self._desk.close(pair, token, call.actor)), _POSITIONS)

    def _preview(self, plan: ClosePlan, pair: str, changed: str = "") -> Outgoing:
        data = f"go:close {pair} {plan.token} {self._now()}"
        button = Button(f"Close {coin(pair)}", callback_data=data, style=KeyboardButtonStyle.DANGER)
        keyboard = Keyboard([[button]]) if len(data.encode()) <= MAX_DATA else None
        return Outgoing(rendering_closing.plan(plan, changed), keyboard)

    async def panic(self, call: Call) -> None:
        """Shows what is open; only the number typed in answer closes it."""
        await self._show_all(call.place)

    async def _show_all(self, place: Place, changed: str = "") -> None:
        try:
            plan = await self._desk.plan_close(None)
        except UsageError as error:
            raise UsageError(f"{error}\n/pause stops new trades") from None
        shown = Shown(plan.token, len(plan.closings), self._now())
        preview = Outgoing(rendering_closing.plan(plan, changed), _POSITIONS)
        ref = await post(place, preview)
        await self._outbox.sent([], ref, shown.subject)
        self._last[place.chat_id] = ref

    async def waits(self, chat_id: int, answered: MessageRef | None) -> bool:
        """Whether a number typed there, or in answer to that message, may be meant for a preview."""
        ref = answered or self._last.get(chat_id)
        return ref is not None and Shown.of(await self._outbox.subject_of(ref)) is not None

    async def number(
        self, number: int, answered: MessageRef | None, actor: Actor, place: Place, *, late: bool
    ) -> Outgoing | None:
        """A number typed: it closes all that the preview showed, if it is the number of those and they are the same.

        ``answered``: the message it replies to; without one it answers the newest preview. ``late``: it was
        typed long ago.
        """
        ref = answered or self._last.get(place.chat_id)
        shown = Shown.of(await self._outbox.subject_of(ref)) if ref is not None else None
        if shown is None:
            return Outgoing(rendering_closing.which_number())
        if number != shown.count:
            return Outgoing(rendering_closing.wrong_number(number, shown.count))
        if late or not self._is_fresh(str(shown.at)):
            await self._show_all(place, TOO_LATE if late else TOO_OLD)
            return None
        plan = await self._desk.plan_close(None)
        if plan.token != shown.token:
            await self._show_all(place, CHANGED)
            return None
        result = await self._desk.close(None, shown.token, actor)
        self._last.pop(place.chat_id, None)
        return Outgoing(rendering_closing.done(result), _AFTER_PANIC)

    def _now(self) -> int:
        return int(self._wall_clock().timestamp())

    def _is_fresh(self, at: str) -> bool:
        return at.isascii() and at.isdigit() and 0 <= self._now() - int(at[:15]) <= GOOD_FOR.total_seconds()


_POSITIONS = Keyboard([[Button("📂 Positions", callback_data="new:positions")]])
_AFTER_PANIC = Keyboard(
    [[Button("▶️ Resume", callback_data="new:resume"), Button("📊 Status", callback_data="new:status")]]
)
