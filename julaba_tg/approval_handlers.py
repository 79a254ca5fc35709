"""Answers to cards, by button, by reply and by reaction, and ``/approvals``, which shows a card again."""

from __future__ import annotations

from asyncio import Lock
from dataclasses import replace

from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard

from core.errors import JulabaError, UsageError
from core.services.views import Actor, ApprovalView
from julaba_tg import keyboards, parsing, rendering, rendering_approvals
from julaba_tg.calls import Call, Place, edited, post, say, voiced
from julaba_tg.card import CAPTION_LIMIT, Card, html, units
from julaba_tg.commands import may
from julaba_tg.incoming import CardReply
from julaba_tg.ports import DeskLike, OutboxLike
from julaba_tg.sending import Outgoing


def subject(approval_id: int) -> str:
    """What a message that shows a card is remembered by."""
    return f"approval:{approval_id}"


def reminder_subject(approval_id: int) -> str:
    return f"approval:{approval_id}:reminder"


def with_picture(card: Card, keyboard: Keyboard | None, picture: bytes | None) -> Outgoing:
    """A card under its picture where it fits there whole; a card is never cut for the sake of a picture."""
    fits = units(html(card)) <= CAPTION_LIMIT
    return Outgoing(card, keyboard, picture if fits else None)


def keyboard(view: ApprovalView) -> Keyboard:
    """Yes and no; a trade's card also leads to its layers."""
    rows = [list(row) for row in keyboards.approval(view.approval_id).inline_keyboard]
    if view.trade is not None:
        signal = view.trade.signal
        rows.append(
            [
                Button("🔍 Why?", callback_data=f"new:why {signal.decision_id}"),
                Button("📈 Chart", callback_data=f"new:chart {signal.pair}"),
            ]
        )
    return Keyboard(rows)


class Answers:
    """``changes`` is held while an answer is applied: one change after the other, in the order they came."""

    def __init__(self, desk: DeskLike, outbox: OutboxLike, changes: Lock) -> None:
        self._desk = desk
        self._outbox = outbox
        self._changes = changes

    async def reply(self, reply: CardReply, actor: Actor, place: Place) -> None:
        """A word or a thumb said to one of our messages; a thumb to another one means nothing."""
        kind, _, rest = (await self._outbox.subject_of(reply.message) or "").partition(":")
        number = rest.partition(":")[0]
        if kind == "approval" and number.isdigit():
            await self.answer(int(number), reply.yes, actor, place)
        elif not reply.reaction:
            await say(place, await self.where_to())

    async def answer(self, approval_id: int, yes: bool, actor: Actor, place: Place) -> None:
        try:
            async with self._changes:
                view = await self._desk.answer_approval(approval_id, yes, actor)
        except JulabaError as error:
            await say(place, Outgoing(rendering.refused(str(error))))
            return
        shown = await self._show_ended(view, place)
        if not shown or place.message is None:  # after a tap the card itself, changed under the finger, is the answer
            await say(place, Outgoing(rendering_approvals.approval_answered(view, place.voice.zone)))

    async def _show_ended(self, view: ApprovalView, place: Place) -> bool:
        """The card belongs to its chat, and is written for whoever reads that one."""
        ref = await self._outbox.message_of(subject(view.approval_id)) or place.message
        place = replace(place, message=ref, has_picture=False)
        if ref is not None:
            place = await voiced(place, self._desk, ref.chat_id)
        ended = Outgoing(rendering_approvals.approval(view, place.voice.zone, self._desk.now()))
        return await edited(place, ended)

    async def where_to(self) -> Outgoing:
        """A bare yes never decides anything: it is pointed to the card that waits."""
        views = await self._desk.open_approvals()
        if not views:
            return Outgoing(rendering_approvals.nothing_to_answer())
        shown = Keyboard([[_show(view)] for view in views[:8]])
        return Outgoing(rendering_approvals.reply_to_card(views[0].approval_id), shown)

    async def approvals(self, call: Call) -> Outgoing | None:
        """``/approvals`` lists what waits, ``/approvals 3`` shows that card again."""
        views = await self._desk.open_approvals()
        if not call.arguments:
            rows = [[_show(view)] for view in views[:8]]
            card = rendering_approvals.waiting(views, call.zone, self._desk.now())
            return Outgoing(card, Keyboard([*rows, [keyboards.refresh_button("approvals")]]))
        number = parsing.count(call.arguments, call.command, 1, 999_999_999)
        view = await self._desk.approval(number)
        if view is None:
            raise UsageError(f"there is no approval {number}")
        if view.state != "pending":
            return Outgoing(rendering_approvals.approval(view, call.zone, self._desk.now()))
        await self._show(view, call)
        return None

    async def _show(self, view: ApprovalView, call: Call) -> None:
        """From now on this message is the card: replies and thumbs to it count, and it is changed at the end."""
        place, can = call.place, may(call.actor.role, "approver")
        card = rendering_approvals.approval(view, call.zone, self._desk.now())
        out = with_picture(card, keyboard(view) if can else keyboards.only_home(), view.picture)
        ref = await post(place, out)
        if can:
            await self._outbox.sent([], ref, subject(view.approval_id))


def _show(view: ApprovalView) -> Button:
    return Button(f"🗳 Show {view.approval_id}", callback_data=f"new:approvals {view.approval_id}")
