"""What is done for ``/close`` and ``/panic``: shown first, done only when it is still what was shown.

A preview carries what it showed and when: ``/close`` in its button (see ``confirming``), ``/panic`` in the store beside
the message, so that an answer still counts after a restart and one to an old preview closes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

from telegram import InlineKeyboardMarkup as Keyboard

from core.errors import UsageError
from core.services.views import Actor
from julaba_tg import parsing, rendering_closing
from julaba_tg.calls import Call, Place, post
from julaba_tg.confirming import TOO_OLD, Confirming, Preview, unsealed
from julaba_tg.figures import coin
from julaba_tg.keyboards import way_to, which_pair
from julaba_tg.ports import DeskLike, MessageRef, OutboxLike
from julaba_tg.sending import Outgoing

CHANGED = "What is open has changed since it was shown. This is how it is now:"
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
    """Handlers of one chat program."""

    def __init__(self, desk: DeskLike, outbox: OutboxLike, confirming: Confirming) -> None:
        self._desk = desk
        self._outbox = outbox
        self._confirming = confirming
        self._last: dict[int, MessageRef] = {}  # the newest preview of /panic in each chat

    async def close(self, call: Call) -> Outgoing | None:
        """``/close LINK`` shows; its button closes. Without a pair the open ones are buttons."""
        words, seal = unsealed(call.arguments)
        if not words:
            return await self._which()
        if len(words) != 1:
            raise parsing.refusal("That is more than a pair.", call.command)
        pair = parsing.pair(words[0], call.command)
        plan = await self._desk.plan_close(pair)

        async def close() -> Outgoing:
            return Outgoing(rendering_closing.done(await self._desk.close(pair, plan.token, call.actor)), _POSITIONS)

        card = partial(rendering_closing.plan, plan)
        preview = Preview(f"close {pair}", plan.token, card, f"Close {coin(pair)}", changed=CHANGED)
        return await self._confirming.ask(call, preview, seal, close)

    async def _which(self) -> Outgoing:
        names = [p.pair for p in await self._desk.positions()]
        if not names:
            return Outgoing(rendering_closing.nothing_open())
        return Outgoing(rendering_closing.which_trade(), which_pair(names, "✖️", "close"))

    async def panic(self, call: Call) -> None:
        """Shows what is open; only the number typed in answer closes it."""
        await self._show_all(call.place)

    async def _show_all(self, place: Place, changed: str = "") -> None:
        try:
            plan = await self._desk.plan_close(None)
        except UsageError as error:
            raise UsageError(f"{error}\n/pause stops new trades") from None
        shown = Shown(plan.token, len(plan.closings), self._confirming.now())
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
        if late or not self._confirming.is_fresh(shown.at):
            await self._show_all(place, TOO_LATE if late else TOO_OLD)
            return None
        plan = await self._desk.plan_close(None)
        if plan.token != shown.token:
            await self._show_all(place, CHANGED)
            return None
        result = await self._desk.close(None, shown.token, actor)
        self._last.pop(place.chat_id, None)
        return Outgoing(rendering_closing.done(result), _AFTER_PANIC)


_POSITIONS = Keyboard([[way_to("positions")]])
_AFTER_PANIC = Keyboard([[way_to("resume"), way_to("status")]])
