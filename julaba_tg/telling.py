"""What each event becomes in the chat: one living message per trade, cards that are changed when they end, a digest.

Raises what the library raises; when to try again is the notifier's business.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from telegram import Bot as TelegramBot
from telegram import InlineKeyboardMarkup
from telegram.error import BadRequest, Forbidden, TelegramError

from core.config import NoticeLevel, Notify
from core.domain.messages import (
    ApprovalAsked,
    ApprovalEnded,
    ApprovalReminder,
    Digest,
    Event,
    Notice,
    SignalDecided,
    TargetHit,
    TradeClosed,
)
from julaba_tg import alerts, away, keyboards, rendering_approvals, rendering_home
from julaba_tg.approval_handlers import keyboard, reminder_subject, subject, with_picture
from julaba_tg.card import fits_caption
from julaba_tg.levels import level_of, rings
from julaba_tg.pacing import Bucket
from julaba_tg.ports import DeskLike, MessageRef, OutboxItem, OutboxLike
from julaba_tg.quiet import quiet_hours
from julaba_tg.sending import NoSuchChat, NoSuchTopic, Outgoing, edit, perhaps_sent, send
from julaba_tg.story_picture import story_picture
from julaba_tg.wishes import in_voice, voice, voice_of

log = logging.getLogger(__name__)

CHART_PATIENCE = 2.0  # seconds an opened alert waits for its picture

# Events that change a message already in the chat; that is done even for a person who wants no news of them.
KEEPERS = (TargetHit, TradeClosed, ApprovalEnded)


class Telling:
    """Tells one chat, the one last named by ``address``, in the voice of whoever reads there.

    ``told`` says what a person has been told otherwise; ``wall_clock`` decides what hour it is. How loud something is
    is asked for when it is sent: a change made while it waited counts.
    """

    def __init__(
        self,
        bot: TelegramBot,
        desk: DeskLike,
        outbox: OutboxLike,
        wall_clock: Callable[[], datetime],
        told: Callable[[Event], bool],
    ) -> None:
        self._bot = bot
        self._desk = desk
        self._outbox = outbox
        self._wall_clock = wall_clock
        self._told = told
        self._voice = voice(desk.topics.people.usual)
        self.chat_id = 0
        self._thread_id: int | None = None
        self.pace: Bucket | None = None

    async def address(self, chat_id: int, thread_id: int | None = None) -> None:
        """Whom all that follows is told to."""
        self.chat_id, self._thread_id = chat_id, thread_id
        self._voice = await voice_of(self._desk, chat_id)

    @property
    def _zone(self) -> ZoneInfo:
        return self._voice.zone

    @property
    def _notify(self) -> Notify:
        return self._desk.topics.steering.settings.notify

    def level(self, event: Event) -> NoticeLevel:
        return "none" if self._told(event) else level_of(event, self._notify)

    async def over(self, items: Sequence[OutboxItem]) -> list[OutboxItem]:
        """Those of the waiting items that are history by now, see ``away``."""
        events = [i.event for i in items]
        trades = {e.trade_id for e in events if isinstance(e, SignalDecided) and e.trade_id is not None}
        closed = {t for t in trades if any(isinstance(e, TradeClosed) for e in await self._desk.trade_events(t))}
        asked = {e.approval_id for e in events if isinstance(e, ApprovalAsked)}
        views = {number: await self._desk.approval(number) for number in asked}
        ended = {number for number, view in views.items() if view is None or view.state != "pending"}
        return away.over(items, closed, ended)

    async def deliver(self, item: OutboxItem) -> MessageRef | None:
        """One event; None when nobody needs a message for it."""
        match item.event:
            case SignalDecided(trade_id=int()) as event:
                return await self._opened(item, event)
            case SignalDecided() as event:
                return await self._send([item], Outgoing(alerts.signal(event, self._zone), _buttons(event)))
            case TargetHit() | TradeClosed() as event:
                return await self._went_on(item, event)
            case ApprovalAsked() as event:
                return await self._asked(item, event)
            case ApprovalReminder() as event:
                return await self._reminded(item, event)
            case ApprovalEnded() as event:
                return await self._ended(item, event)
            case Digest() as event:
                return await self._told_story(item, event)
            case Notice(about=about) as event if about:
                ref = await self._outbox.message_of(about)
                return await self._send([item], Outgoing(alerts.other(event), keyboards.after(event)), reply_to=ref)
            case event:
                return await self._send([item], Outgoing(alerts.other(event), keyboards.after(event)))

    async def fault_over(self, fault: OutboxItem, end: OutboxItem) -> MessageRef:
        """A fault that has passed before it could be told wakes nobody."""
        assert isinstance(fault.event, Notice)
        assert isinstance(end.event, Notice)
        card = alerts.fault_over(fault.event, end.event, self._zone)
        return await self._send([fault, end], Outgoing(card), rings_anyway=False)

    async def digest(self, items: Sequence[OutboxItem], silence: timedelta | None = None) -> MessageRef | None:
        """Many events in one message, after a ``silence`` of so long; what they change in the chat is changed first."""
        events = [i.event for i in items]
        for trade_id in sorted({e.trade_id for e in events if isinstance(e, TargetHit | TradeClosed)}):
            await self._redraw(trade_id)
        views = []
        for approval_id in sorted({e.approval_id for e in events if isinstance(e, ApprovalEnded)}):
            await self._show_ended(approval_id)
            views.append(await self._desk.approval(approval_id))
        wanted = [e for e in events if self.level(e) != "none"]
        if not wanted:
            return None
        answers = [rendering_approvals.approval_answered(view, self._zone).title for view in views if view is not None]
        return await self._send(
            items, Outgoing(alerts.digest(wanted, self._zone, silence, answers), keyboards.after_many())
        )

    async def in_a_line(self, items: Sequence[OutboxItem]) -> MessageRef:
        """What could not be drawn is told at least by its name."""
        return await self._send(items, Outgoing(alerts.undrawn([i.event for i in items])))

    # Trades and approvals

    async def _opened(self, item: OutboxItem, event: SignalDecided) -> MessageRef:
        """As the trade stands; one that is closed by now begins with its opening all the same: its end waits behind."""
        trade_id = event.trade_id or 0
        picture = await self._chart(event.pair, trade_id) if item.attempts == 0 else None
        story = await self._story(trade_id)
        closed = any(isinstance(e, TradeClosed) for e in story)
        card = alerts.trade((event,) if closed or not story else story, self._zone)
        return await self._send([item], Outgoing(card, _buttons(event), picture))

    async def _went_on(self, item: OutboxItem, event: TargetHit | TradeClosed) -> MessageRef | None:
        """The living message is changed, and what happened is said in a reply to it."""
        story = await self._story(event.trade_id)
        ref = await self._redraw(event.trade_id)
        if self.level(event) == "none":
            return None
        if isinstance(event, TargetHit) and any(isinstance(e, TradeClosed) for e in story):
            return None  # the closing waits behind it and tells all
        if isinstance(event, TargetHit):
            return await self._send(
                [item], Outgoing(alerts.target(event, self._zone), keyboards.after(event)), reply_to=ref
            )
        picture = await self._chart(event.pair, event.trade_id) if item.attempts == 0 else None
        buttons = _buttons(*story) if story else keyboards.chart_and_status(event.pair)
        return await self._send([item], Outgoing(alerts.closed(event), buttons, picture), reply_to=ref)

    async def _redraw(self, trade_id: int) -> MessageRef | None:
        """The living message as the trade now stands; None where there is none."""
        story, ref = await self._story(trade_id), await self._outbox.message_of(f"trade:{trade_id}")
        if story and ref:
            await self._change(ref, Outgoing(alerts.trade(story, self._zone), _buttons(*story)))
        return ref

    async def _story(self, trade_id: int) -> Sequence[Event]:
        """A trade's events when they can be told as one story, else none."""
        events = await self._desk.trade_events(trade_id)
        return events if any(isinstance(e, SignalDecided) for e in events) else ()

    async def _told_story(self, item: OutboxItem, event: Digest) -> MessageRef:
        """With the picture of its day, which a story that comes on another day has no more.

        Words that do not fit under it stand by themselves, and it follows them.
        """
        today = self._desk.now().astimezone(self._zone).date() == event.time.astimezone(self._zone).date()
        picture = await story_picture(self._desk, event.span, self._zone) if today and item.attempts == 0 else None
        answer = Outgoing(alerts.other(event), keyboards.report(event.span), picture)
        if picture is None or fits_caption(answer.card, self._voice.numbers):
            return await self._send([item], answer)
        ref = await self._send([item], replace(answer, picture=None))
        await self._decorate(ref, Outgoing(rendering_home.story_picture(event.title, event.span), None, picture))
        return ref

    async def _decorate(self, ref: MessageRef, picture: Outgoing) -> None:
        """What has been told is told: a picture that cannot follow must not make it come twice."""
        try:
            await self._turn()
            await send(
                self._bot,
                self.chat_id,
                in_voice(picture, self._voice),
                silent=True,
                reply_to=ref.message_id,
                thread_id=self._thread_id,
            )
        except TelegramError as error:
            log.warning("a story's picture could not be sent: %s", error.message)

    async def _asked(self, item: OutboxItem, event: ApprovalAsked) -> MessageRef | None:
        view = await self._desk.approval(event.approval_id)
        if view is None or view.state != "pending":
            return None  # its end is told by the next event
        card = rendering_approvals.approval(view, self._zone, self._desk.now())
        picture = view.picture
        if view.trade is not None and item.attempts == 0:
            picture = await self._chart(view.trade.signal.pair, view.trade.follow_id)
        return await self._send([item], with_picture(card, keyboard(view), picture))

    async def _reminded(self, item: OutboxItem, event: ApprovalReminder) -> MessageRef | None:
        view = await self._desk.approval(event.approval_id)
        if view is None or view.state != "pending":
            return None
        ref = await self._outbox.message_of(subject(event.approval_id))
        card = rendering_approvals.reminder(view, self._zone, self._desk.now())
        return await self._send([item], Outgoing(card, keyboard(view)), reply_to=ref)

    async def _ended(self, item: OutboxItem, event: ApprovalEnded) -> MessageRef | None:
        """The card loses its buttons and says who and when; what nobody answered is said aloud in a reply."""
        view = await self._desk.approval(event.approval_id)
        if view is None:
            return None
        ref = await self._show_ended(event.approval_id)
        answered_here = ref is not None and view.state in {"approved", "rejected"}
        if answered_here or self.level(event) == "none":
            return None
        return await self._send([item], Outgoing(rendering_approvals.approval_answered(view, self._zone)), reply_to=ref)

    async def _show_ended(self, approval_id: int) -> MessageRef | None:
        """The card, and the reminder of it, as they ended: neither has buttons any more."""
        view, ref = await self._desk.approval(approval_id), await self._outbox.message_of(subject(approval_id))
        if view is not None and ref is not None:
            await self._change(ref, Outgoing(rendering_approvals.approval(view, self._zone, self._desk.now())))
        again = await self._outbox.message_of(reminder_subject(approval_id))
        if view is not None and again is not None:
            await self._change(again, Outgoing(rendering_approvals.approval_answered(view, self._zone)))
        return ref

    # Out

    async def _send(
        self,
        items: Sequence[OutboxItem],
        message: Outgoing,
        reply_to: MessageRef | None = None,
        *,
        rings_anyway: bool = True,
    ) -> MessageRef:
        """Says that it may be a second time where the chat may have had all of it before.

        That is noted before the message leaves, and taken back only when Telegram has certainly not got it: so it is
        known after a kill too.
        """
        await self._turn()
        again = all(i.perhaps_told for i in items)
        ids = [i.item_id for i in items]
        await self._note(ids, self.chat_id)
        try:
            return await send(
                self._bot,
                self.chat_id,
                in_voice(replace(message, card=alerts.again(message.card)) if again else message, self._voice),
                silent=not (rings_anyway and self._rings(items)),
                reply_to=reply_to.message_id if reply_to and reply_to.chat_id == self.chat_id else None,
                thread_id=self._thread_id,
            )
        except TelegramError as error:
            if not perhaps_sent(error):
                await self._note([i.item_id for i in items if not i.perhaps_told], None)
            raise

    async def _note(self, ids: Sequence[int], chat_id: int | None) -> None:
        """Bookkeeping for the sake of honesty: where it cannot be done, the alert is told all the same."""
        try:
            await self._outbox.sending(ids, chat_id)
        except Exception as error:
            log.warning("it could not be noted that an alert is being sent: %s", error)

    def _rings(self, items: Sequence[OutboxItem]) -> bool:
        notify = self._notify
        hours = quiet_hours(notify.quiet_hours, self._zone)
        quiet = hours is not None and hours.cover(self._wall_clock())
        return any(rings(i.event, notify, quiet) for i in items if not self._told(i.event))

    async def _change(self, ref: MessageRef, message: Outgoing) -> None:
        """An edit that Telegram refuses for good must not keep the news behind it from being told."""
        await self._turn()
        try:
            await edit(self._bot, ref, in_voice(message, self._voice))
        except (BadRequest, NoSuchTopic) as error:
            log.warning("a message could not be edited: %s", error.message)
        except (Forbidden, NoSuchChat) as error:
            if ref.chat_id == self.chat_id:
                raise
            log.warning("a message in a chat that is out of reach could not be edited: %s", error.message)

    async def _turn(self) -> None:
        if self.pace is not None:
            await self.pace.turn()

    async def _chart(self, pair: str, trade_id: int) -> bytes | None:
        """A picture if it comes quickly: an alert does not wait for decoration."""
        try:
            async with asyncio.timeout(CHART_PATIENCE):
                return await self._desk.chart(pair, trade_id)
        except Exception as error:
            log.warning("an alert goes without its chart: %s", str(error) or type(error).__name__)
            return None


def _buttons(*story: Event) -> InlineKeyboardMarkup:
    """Those of a signal, or of a trade's story, which begins with its signal."""
    opening = next(e for e in story if isinstance(e, SignalDecided))
    return keyboards.alert(opening.pair, opening.decision_id)
