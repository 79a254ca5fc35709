"""Alerts from the durable outbox to the phone. Trading never waits for this; this waits for Telegram, however long.

An item leaves the outbox when Telegram has it, or when nobody wants it, or when it cannot be sent at all. A message is
doubled only where it must be: a fault between our sending and Telegram's receipt.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from telegram import Bot as TelegramBot
from telegram import InlineKeyboardMarkup
from telegram.error import BadRequest, ChatMigrated, Forbidden, RetryAfter, TelegramError

from core.config import NoticeLevel, Notify, Settings
from core.domain.messages import (
    ApprovalAsked,
    ApprovalEnded,
    Event,
    ModelTrained,
    Notice,
    PairStopped,
    SignalDecided,
    TargetHit,
    TradeClosed,
    is_urgent,
)
from julaba_tg import alerts, keyboards, rendering
from julaba_tg.pacing import Bucket
from julaba_tg.ports import DeskLike, MessageRef, OutboxItem, OutboxLike
from julaba_tg.sending import NoSuchChat, Outgoing, edit, retry_after, send

log = logging.getLogger(__name__)

DIGEST_FROM = 20  # more routine alerts than this become one
LOOK_AHEAD = 1000
CHART_PATIENCE = 2.0  # seconds an opened alert waits for its picture
GIVE_UP_AFTER = 5  # attempts at an item that fails for a reason of its own
LONGEST_PAUSE = 60.0
IDLE = 30.0  # the outbox is looked into at least this often


class Notifier:
    """Sends what waits in the outbox to one chat. ``told`` says what a person has been told otherwise."""

    def __init__(
        self,
        settings: Settings,
        bot: TelegramBot,
        desk: DeskLike,
        outbox: OutboxLike,
        told: Callable[[Event], bool] = lambda event: False,
        pace: Bucket | None = None,
    ) -> None:
        self._notify = settings.notify
        self._zone = ZoneInfo(settings.timezone)
        self._bot = bot
        self._desk = desk
        self._outbox = outbox
        self._told = told
        self._chat_id = target_chat(settings)
        self._pace = pace
        self._faults = 0
        self._unreachable = False
        self._nudged = asyncio.Event()

    def nudge(self) -> None:
        """Somebody has spoken to the bot: a chat that was not there may be there now."""
        self._nudged.set()

    async def run(self) -> None:
        """For ever. Without anybody to tell, alerts stay in the outbox."""
        if self._chat_id is None:
            log.warning("no alerts: neither telegram.chat_id nor an approver in access.users is set")
            return
        self._pace = self._pace or _pace_for(self._chat_id)
        while True:
            try:
                if not await self.step():
                    await self._outbox.changed(IDLE)
            except Exception:
                log.exception("the alerts stumbled; they go on")
                await asyncio.sleep(5)

    async def step(self) -> bool:
        """Deals with the first of what waits; False when nothing does."""
        items = await self._outbox.pending(LOOK_AHEAD)
        if not items:
            return False
        unwanted = [i for i in items if self._level(i.event) == "none" and not isinstance(i.event, _KEEPERS)]
        if unwanted:
            await self._done(unwanted, None)
            return True
        routine = [i for i in items if _may_be_merged(i.event)]
        if len(routine) > DIGEST_FROM and not is_urgent(items[0].event):
            await self._attempt(routine, self._digest(routine))
        else:
            await self._attempt(items[:1], self._deliver(items[0]))
        return True

    def _level(self, event: Event) -> NoticeLevel:
        return "none" if self._told(event) else level_of(event, self._notify)

    # Trying, and what to do when it fails

    async def _attempt(self, items: Sequence[OutboxItem], work: Coroutine[Any, Any, MessageRef | None]) -> None:
        try:
            ref = await work
        except RetryAfter as error:
            await asyncio.sleep(retry_after(error))  # not the alert's fault: it is not counted
        except ChatMigrated as error:
            log.warning("the chat is now %d: put that into telegram.chat_id", error.new_chat_id)
            self._chat_id = error.new_chat_id
        except (NoSuchChat, Forbidden) as error:
            await self._wait_for_the_chat(error)
        except BadRequest as error:
            log.error("an alert cannot be sent (%s) and is given up: %s", error.message, items[0].event.key)
            await self._done(items, None)
        except TelegramError as error:
            await self._failed(items, error.message)
            self._faults += 1
            await asyncio.sleep(min(LONGEST_PAUSE, 2.0 ** (self._faults - 1)))
        except Exception as error:
            log.exception("an alert could not be made: %s", items[0].event.key)
            await self._spoilt(items, error)
        else:
            self._faults, self._unreachable = 0, False
            await self._done(items, ref)

    async def _done(self, items: Sequence[OutboxItem], ref: MessageRef | None) -> None:
        for item in items:
            await self._outbox.sent(item.item_id, ref)

    async def _failed(self, items: Sequence[OutboxItem], error: str) -> None:
        for item in items:
            await self._outbox.failed(item.item_id, error)

    async def _spoilt(self, items: Sequence[OutboxItem], error: Exception) -> None:
        """A fault of ours with one alert must not hold back the others for ever."""
        await self._failed(items, type(error).__name__)
        await self._done([i for i in items if i.attempts + 1 >= GIVE_UP_AFTER], None)
        await asyncio.sleep(1)

    async def _wait_for_the_chat(self, error: TelegramError) -> None:
        if not self._unreachable:
            log.warning("alerts wait: %s. Open the bot's chat and press Start", error.message)
            self._unreachable = True
        self._nudged.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_PAUSE):
                await self._nudged.wait()

    # What each event becomes

    async def _deliver(self, item: OutboxItem) -> MessageRef | None:
        match item.event:
            case SignalDecided(trade_id=int()) as event:
                return await self._opened(event, with_picture=item.attempts == 0)
            case SignalDecided() as event:
                return await self._send(event, Outgoing(alerts.signal(event, self._zone), _buttons(event)))
            case TargetHit() | TradeClosed() as event:
                return await self._went_on(event)
            case ApprovalAsked() as event:
                return await self._asked(event)
            case ApprovalEnded() as event:
                return await self._ended(event)
            case event:
                return await self._send(event, Outgoing(alerts.other(event)))

    async def _opened(self, event: SignalDecided, with_picture: bool) -> MessageRef:
        trade_id = event.trade_id or 0
        picture = await self._chart(event.pair, trade_id) if with_picture else None
        card = alerts.trade(await self._story(trade_id) or (event,), self._zone)
        ref = await self._send(event, Outgoing(card, _buttons(event), picture))
        await self._outbox.remember(f"trade:{trade_id}", ref)
        return ref

    async def _went_on(self, event: TargetHit | TradeClosed) -> MessageRef | None:
        """The living message is changed, and what happened is said in a reply to it."""
        story = await self._story(event.trade_id)
        ref = await self._outbox.message_of(f"trade:{event.trade_id}")
        if story and ref:
            await self._change(ref, Outgoing(alerts.trade(story, self._zone), _buttons(*story)))
        if self._level(event) == "none":
            return None
        if isinstance(event, TargetHit) and any(isinstance(e, TradeClosed) for e in story):
            return None  # the closing, urgent, has overtaken it and tells all
        card = alerts.target(event, self._zone) if isinstance(event, TargetHit) else alerts.closed(event)
        return await self._send(event, Outgoing(card), reply_to=ref)

    async def _story(self, trade_id: int) -> Sequence[Event]:
        """A trade's events when they can be told as one story, else none."""
        events = await self._desk.trade_events(trade_id)
        return events if any(isinstance(e, SignalDecided) for e in events) else ()

    async def _asked(self, event: ApprovalAsked) -> MessageRef | None:
        view = await self._desk.approval(event.approval_id)
        if view is None or view.state != "pending":
            return None  # its end is told by the next event
        card = rendering.approval(view, self._zone, self._desk.now())
        ref = await self._send(event, Outgoing(card, keyboards.approval(view.approval_id)))
        await self._outbox.remember(f"approval:{view.approval_id}", ref)
        return ref

    async def _ended(self, event: ApprovalEnded) -> MessageRef | None:
        """The card loses its buttons and says who and when; what nobody answered is said aloud in a reply."""
        view = await self._desk.approval(event.approval_id)
        if view is None:
            return None
        ref = await self._outbox.message_of(f"approval:{event.approval_id}")
        if ref is not None:
            await self._change(ref, Outgoing(rendering.approval(view, self._zone, self._desk.now())))
        answered_here = ref is not None and view.state in {"approved", "rejected"}
        if answered_here or self._level(event) == "none":
            return None
        return await self._send(event, Outgoing(rendering.approval_answered(view, self._zone)), reply_to=ref)

    async def _digest(self, items: Sequence[OutboxItem]) -> MessageRef:
        events = [i.event for i in items]
        loudest = next((e for e in events if self._level(e) == "loud"), events[0])
        ref = await self._send(loudest, Outgoing(alerts.digest(events, self._zone)))
        for trade_id in sorted({e.trade_id for e in events if isinstance(e, TargetHit)}):
            story, living = await self._story(trade_id), await self._outbox.message_of(f"trade:{trade_id}")
            if story and living:
                await self._change(living, Outgoing(alerts.trade(story, self._zone), _buttons(*story)))
        return ref

    # Out

    async def _send(self, event: Event, message: Outgoing, reply_to: MessageRef | None = None) -> MessageRef:
        await self._turn()
        same_chat = reply_to is not None and reply_to.chat_id == self._chat_id
        return await send(
            self._bot,
            self._chat_id or 0,
            message,
            silent=self._level(event) != "loud",
            reply_to=reply_to.message_id if reply_to and same_chat else None,
        )

    async def _change(self, ref: MessageRef, message: Outgoing) -> None:
        """An edit that Telegram refuses for good must not keep the news behind it from being told."""
        await self._turn()
        try:
            await edit(self._bot, ref, message)
        except BadRequest as error:
            log.warning("a message could not be edited: %s", error.message)

    async def _turn(self) -> None:
        if self._pace is not None:
            await self._pace.turn()

    async def _chart(self, pair: str, trade_id: int) -> bytes | None:
        """A picture if it comes quickly: an alert does not wait for decoration."""
        try:
            async with asyncio.timeout(CHART_PATIENCE):
                return await self._desk.chart(pair, trade_id)
        except Exception as error:
            log.warning("an alert goes without its chart: %s", str(error) or type(error).__name__)
            return None


# Events that change a message already in the chat; that is done even for a person who wants no news of them.
_KEEPERS = (TargetHit, TradeClosed, ApprovalEnded)


def _buttons(*story: Event) -> InlineKeyboardMarkup:
    """Those of a signal, or of a trade's story, which begins with its signal."""
    opening = next(e for e in story if isinstance(e, SignalDecided))
    return keyboards.alert(opening.pair, opening.decision_id)


def target_chat(settings: Settings) -> int | None:
    """Where alerts go: the chat named in the settings, else the first approver's private chat."""
    approvers = (user for user, role in settings.access.users.items() if role == "approver")
    return settings.telegram.chat_id or next(approvers, None)


def level_of(event: Event, notify: Notify) -> NoticeLevel:
    """loud, silent or none, by what the person chose for this kind of event."""
    match event:
        case SignalDecided(status="taken" | "signal_only"):
            return notify.opened
        case SignalDecided():
            return notify.signal
        case TargetHit():
            return notify.target
        case TradeClosed():
            return notify.closed
        case ApprovalAsked() | ApprovalEnded() | Notice(topic="weight"):
            return notify.approval
        case PairStopped() | Notice(topic="fault" | "breaker"):
            return notify.fault
        case ModelTrained() | Notice(topic="training"):
            return notify.training
        case Notice(topic="started"):
            return "silent"
        case Notice():
            return "none" if notify.fault == "none" else "silent"  # a fault's end, Gemini's comings and goings


def _may_be_merged(event: Event) -> bool:
    return not is_urgent(event) and not isinstance(event, ApprovalEnded)


def _pace_for(chat_id: int) -> Bucket:
    """Telegram takes about one message a second in a chat, in groups twenty a minute; short bursts are fine."""
    monotonic = asyncio.get_running_loop().time
    return Bucket(5, 1 / 3, monotonic) if chat_id < 0 else Bucket(5, 1, monotonic)
