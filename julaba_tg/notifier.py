"""Alerts from the durable outbox to the phone. Trading never waits for this; this waits for Telegram, however long.

**Never lost.** An item leaves the outbox when Telegram has it, or when nobody wants it; what can be neither drawn nor
accepted as it is goes out as one plain line. **Seldom doubled.** A double needs a kill between Telegram's receipt and
our commit, or an answer of Telegram's that got lost on its way. Nobody can ask Telegram what it has, so what is then
sent again says of itself that it may be a second time.

**Urgent first, but each story in order**: what is older about the same trade, approval or fault is told before.

**After a long silence** (``AWAY``) what is over by then becomes one digest, and what still matters is told as itself.
How long nothing could be told is measured in wall time: since the outbox was last found empty or something was last
told, which is kept in the store, so that it is known after a restart too. The events' own times say nothing about it: a
simulated exchange lives through an hour in a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from telegram import Bot as TelegramBot
from telegram.error import BadRequest, ChatMigrated, Forbidden, RetryAfter, TelegramError

from core.config import Settings
from core.domain.messages import ApprovalAsked, ApprovalEnded, ApprovalReminder, Digest, Event, SignalDecided, is_urgent
from julaba_tg import away
from julaba_tg.approval_handlers import reminder_subject
from julaba_tg.pacing import Bucket
from julaba_tg.ports import DeskLike, MessageRef, OutboxItem, OutboxLike
from julaba_tg.sending import NoSuchChat, NoSuchTopic, retry_after
from julaba_tg.target import Target, target_chat
from julaba_tg.telling import KEEPERS, Telling

__all__ = ["Notifier", "target_chat"]

log = logging.getLogger(__name__)

DIGEST_FROM = 20  # more routine alerts than this become one
AWAY = timedelta(minutes=10)  # nothing could be told for so long: what is over becomes one digest
FOLD_FROM = 3  # fewer than this speak for themselves
NOTED_EVERY = timedelta(minutes=1)  # how often the store learns that nothing is overdue
LOOK_AHEAD = 1000
GIVE_UP_AFTER = 5  # attempts at an item that fails for a reason of its own
LONGEST_PAUSE = 60.0
IDLE = 30.0  # the outbox is looked into at least this often


@dataclass(frozen=True, slots=True)
class _Told:
    """What Telegram has and the store must still learn."""

    item_ids: tuple[int, ...]
    message: MessageRef | None
    subject: str


class Notifier:
    """Sends what waits in the outbox to one chat. ``told`` says what a person has been told otherwise.

    ``wall_clock`` gives real time (aware UTC), whatever clock the trading lives by.
    """

    def __init__(
        self,
        settings: Settings,
        bot: TelegramBot,
        desk: DeskLike,
        outbox: OutboxLike,
        wall_clock: Callable[[], datetime],
        told: Callable[[Event], bool] = lambda event: False,
        target: Target | None = None,
    ) -> None:
        self._telling = Telling(bot, desk, outbox, wall_clock, told)
        self._outbox = outbox
        self._wall_clock = wall_clock
        self._target = target or Target(settings, desk, outbox, wall_clock)
        self._paced: int | None = None  # the chat whose pace is kept
        self._told: list[_Told] = []
        self._told_until: datetime | None = None
        self._noted: datetime | None = None
        self._silent_since: datetime | None = None
        self._faults = 0
        self._unreachable = False
        self._stumbled = ""
        self._nudged = asyncio.Event()

    @property
    def silenced(self) -> str:
        """Why nobody can be told anything, as a sentence with what to do; empty when all is well."""
        if self._target.chat_id is None:
            return "Alerts have nowhere to go: set telegram.chat_id, or an approver in access.users."
        if self._unreachable:
            return f"Alerts wait: chat {self._target.chat_id} cannot be reached. Open the bot there and press Start."
        return ""

    def nudge(self) -> None:
        """Somebody has spoken to the bot, or Telegram answers again: what could not be told may go through now."""
        self._nudged.set()

    async def run(self) -> None:
        """For ever. Without anybody to tell, alerts stay in the outbox."""
        if self._target.chat_id is None:
            log.warning("no alerts: neither telegram.chat_id nor an approver in access.users is set")
            return
        while True:
            if (chat_id := self._target.chat_id) != self._paced:
                self._paced, self._telling.pace = chat_id, _pace_for(chat_id or 0)
            try:
                if not await self.step():
                    await self._outbox.changed(IDLE)
                self._stumbled = ""
            except Exception as error:
                self._stumble(error)
                await asyncio.sleep(5)

    async def step(self) -> bool:
        """Deals with the first of what waits; False when nothing does."""
        await self._target.look()
        await self._telling.address(self._target.chat_id or 0, self._target.thread_id)
        await self._settle()
        items = await self._outbox.pending(LOOK_AHEAD)
        if not items:
            self._silent_since = None
            await self._up_to_date()
            return False
        level = self._telling.level
        unwanted = [i for i in items if level(i.event) == "none" and not isinstance(i.event, KEEPERS)]
        if unwanted:
            await self._done(unwanted, None)
        elif await self._is_away():
            await self._tell_what_was_missed(items)
        else:
            await self._tell(items)
        return True

    async def _tell(self, items: Sequence[OutboxItem]) -> None:
        """The queue's first; many routine alerts at once are one message."""
        routine = [i for i in items if _may_be_merged(i.event)]
        if len(routine) > DIGEST_FROM and not is_urgent(items[0].event):
            await self._attempt(routine, self._telling.digest(routine))
        else:
            await self._tell_one(away.first(items), items)

    async def _tell_one(self, item: OutboxItem, items: Sequence[OutboxItem]) -> None:
        end = away.end_of(item, items)
        if end is not None:
            await self._attempt([item, end], self._telling.fault_over(item, end))
        else:
            await self._attempt([item], self._telling.deliver(item))

    # After a long silence

    async def _is_away(self) -> bool:
        now = self._wall_clock()
        if self._told_until is None:
            self._told_until = await self._outbox.told_until()
        if self._told_until is None:
            await self._up_to_date()  # the very first alerts
        since = self._told_until or now
        if self._silent_since is None and now - since >= AWAY:
            self._silent_since = since
        return self._silent_since is not None

    async def _tell_what_was_missed(self, items: Sequence[OutboxItem]) -> None:
        """First one digest of what is over, then what still matters, each as itself."""
        try:
            past = await self._telling.over(items)
        except Exception:  # what cannot be judged is told one by one
            log.exception("it could not be found out what is over")
            past = []
        if self._silent_since is not None and len(past) >= FOLD_FROM:
            silence = self._wall_clock() - self._silent_since
            await self._attempt(past, self._telling.digest(past, silence))
        else:
            await self._tell(items)

    async def _up_to_date(self) -> None:
        """Nothing is overdue. The store hears of it now and then; it is kept there for the next start."""
        now = self._told_until = self._wall_clock()
        if self._noted is None or abs(now - self._noted) >= NOTED_EVERY:
            await self._outbox.set_told_until(now)
            self._noted = now

    # Trying, and what to do when it fails

    async def _attempt(self, items: Sequence[OutboxItem], work: Coroutine[Any, Any, MessageRef | None]) -> None:
        try:
            ref = await work
        except RetryAfter as error:
            await asyncio.sleep(retry_after(error))  # not the alert's fault: it is not counted
        except ChatMigrated as error:
            await self._target.moved(error.new_chat_id)
        except (NoSuchChat, NoSuchTopic, Forbidden) as error:
            if not await self._target.lost(error):
                await self._wait_for_the_chat(error)
        except BadRequest as error:
            log.error("Telegram refuses an alert (%s): %s", error.message, items[0].event.key)
            await self._in_a_line(items)
        except TelegramError as error:
            await self._failed(items, error.message)
            self._faults += 1
            await self._rest(min(LONGEST_PAUSE, 2.0 ** (self._faults - 1)))
        except Exception as error:
            log.exception("an alert could not be made: %s", items[0].event.key)
            await self._spoilt(items, error)
        else:
            self._faults, self._unreachable = 0, False
            await self._done(items, ref)
            if ref is not None:
                await self._target.reached()
            await self._up_to_date()

    async def _done(self, items: Sequence[OutboxItem], ref: MessageRef | None) -> None:
        """What the store cannot take down now is kept in mind: a full disk must not make an alert come twice."""
        shown = _shown_by(items[0].event) if len(items) == 1 else ""
        self._told.append(_Told(tuple(i.item_id for i in items), ref, shown))
        await self._settle()

    async def _settle(self) -> None:
        while self._told:
            told = self._told[0]
            await self._outbox.sent(told.item_ids, told.message, told.subject)
            self._told.pop(0)

    async def _failed(self, items: Sequence[OutboxItem], error: str) -> None:
        await self._outbox.failed([i.item_id for i in items], error)

    async def _spoilt(self, items: Sequence[OutboxItem], error: Exception) -> None:
        """A fault of ours with one alert must neither hold back the others for ever nor lose it."""
        await self._failed(items, type(error).__name__)
        await asyncio.sleep(1)
        if worn := [i for i in items if i.attempts + 1 >= GIVE_UP_AFTER]:
            await self._in_a_line(worn)

    async def _in_a_line(self, items: Sequence[OutboxItem]) -> None:
        try:
            ref: MessageRef | None = await self._telling.in_a_line(items)
        except (NoSuchChat, NoSuchTopic, Forbidden) as error:
            if not await self._target.lost(error):
                await self._wait_for_the_chat(error)
            return
        except BadRequest as error:
            log.error("an alert cannot be sent (%s) and is given up: %s", error.message, items[0].event.key)
            ref = None
        except TelegramError as error:
            log.info("not even a line could be sent: %s", error.message)  # it is tried again as any other
            await self._rest(LONGEST_PAUSE)
            return
        await self._done(items, ref)

    async def _wait_for_the_chat(self, error: TelegramError) -> None:
        if not self._unreachable:
            log.warning("alerts wait: %s. Open the bot's chat and press Start", error.message)
            self._unreachable = True
        await self._rest(LONGEST_PAUSE)

    async def _rest(self, seconds: float) -> None:
        self._nudged.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._nudged.wait()

    def _stumble(self, error: Exception) -> None:
        """The whole story once, not every five seconds for as long as a disk is full."""
        said = repr(error)
        if said != self._stumbled:
            log.exception("the alerts stumbled; they go on")
        self._stumbled = said


def _shown_by(event: Event) -> str:
    """What a message about this event shows from now on, to be changed and replied to; empty for most."""
    if isinstance(event, ApprovalReminder):
        return reminder_subject(event.approval_id)
    begins = isinstance(event, ApprovalAsked) or (isinstance(event, SignalDecided) and event.trade_id is not None)
    return away.subject_of(event) or "" if begins else ""


def _may_be_merged(event: Event) -> bool:
    return not is_urgent(event) and not isinstance(event, ApprovalEnded | Digest)


def _pace_for(chat_id: int) -> Bucket:
    """Telegram takes about one message a second in a chat, in groups twenty a minute; short bursts are fine."""
    monotonic = asyncio.get_running_loop().time
    return Bucket(5, 1 / 3, monotonic) if chat_id < 0 else Bucket(5, 1, monotonic)
