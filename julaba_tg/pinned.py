"""The pinned status: one message in the alerts' chat that always says how things stand, kept alive by edits.

It is sent and pinned without a sound, and edited at each close, otherwise at most once a minute and only when its words
have changed. A new one is sent only where the old one is gone or can no longer be edited. Which message it is and
which one is pinned is in the store: a kill between sending and pinning leaves nothing to guess.

It gives way to alerts: while one waits nothing is sent here, and it has a pace of its own. Whatever goes wrong is one
line in the log and a calm retry.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime

from telegram import Bot as TelegramBot
from telegram.error import BadRequest, ChatMigrated, Forbidden, RetryAfter, TelegramError

from core.errors import JulabaError
from core.services.outlook import Outlook
from julaba_tg import keyboards, rendering_home
from julaba_tg.ports import DeskLike, MessageRef, OutboxLike
from julaba_tg.sending import NoSuchChat, NoSuchTopic, Outgoing, edit, retry_after, send
from julaba_tg.target import Target
from julaba_tg.wishes import in_voice, voice_of

log = logging.getLogger(__name__)

SUBJECT = "pinned"
"""What the message that is kept alive is remembered by."""

ON_TOP = "pinned:top"
"""The message that Telegram has pinned; number 0 says that none is."""

LOOK_EVERY = 5.0  # seconds between two looks whether something has changed
CALM = 60.0  # between two edits while no candle closes
CALM_AT_CLOSE = 15.0  # between two edits at all
LONGEST_PAUSE = 300.0
NO_RIGHT_FOR = 3600.0  # how long no pinning is tried after it was refused


class Pinned:
    """``run`` never ends by itself. ``monotonic`` gives seconds."""

    def __init__(
        self,
        bot: TelegramBot,
        desk: DeskLike,
        outbox: OutboxLike,
        monotonic: Callable[[], float],
        target: Target,
    ) -> None:
        self._bot = bot
        self._desk = desk
        self._outbox = outbox
        self._monotonic = monotonic
        self._target = target
        self._shown: Outgoing | None = None
        self._shown_close: datetime | None = None
        self._edited_at = -CALM
        self._pin_from = 0.0  # no pinning is tried before
        self._faults = 0
        self._said = ""
        self._nudged = asyncio.Event()

    def nudge(self) -> None:
        """Somebody has spoken to the bot: a chat that could not be reached may be there now."""
        self._nudged.set()

    async def run(self) -> None:
        """For ever; without anybody to tell it ends at once."""
        if self._target.chat_id is None:
            return
        while True:
            await self._rest(await self._step_safely())

    async def _step_safely(self) -> float:
        """One look, and how many seconds to rest after it. Raises nothing but cancellation."""
        try:
            await self.step()
        except RetryAfter as error:
            self._log(f"Telegram asks to wait {retry_after(error):.0f} s")
            return max(LOOK_EVERY, retry_after(error))
        except ChatMigrated as error:
            await self._target.moved(error.new_chat_id)
            self._shown = None
            return LOOK_EVERY
        except TelegramError as error:
            self._log(error.message)
        except JulabaError as error:
            self._log(str(error))
        except Exception as error:  # the edge of a loop: a status that cannot be drawn must not end the chat
            if self._log(repr(error)):
                log.debug("where it went wrong", exc_info=True)
        else:
            self._faults, self._said = 0, ""
            return LOOK_EVERY
        self._faults += 1
        return min(LONGEST_PAUSE, LOOK_EVERY * 2.0**self._faults)

    async def step(self) -> None:
        """Shows what has changed, if it is time for it. Raises what Telegram, the desk and the store raise."""
        if not self._desk.topics.steering.settings.notify.pinned:
            await self._take_down()
            return
        await self._target.look()
        if await self._outbox.pending(1):
            return  # an alert goes first
        shown, close = await self._content()
        calm = CALM if close == self._shown_close else CALM_AT_CLOSE
        if shown != self._shown and self._monotonic() - self._edited_at >= calm:
            await self._show(shown)
            self._shown, self._shown_close, self._edited_at = shown, close, self._monotonic()
        await self._keep_on_top()

    async def _content(self) -> tuple[Outgoing, datetime | None]:
        view, voice = await self._desk.status(), await voice_of(self._desk, self._target.chat_id or 0)
        outlook = await self._outlook()
        answer = Outgoing(rendering_home.pinned(view, outlook, voice.zone), keyboards.pinned(outlook))
        return in_voice(answer, voice), view.last_close

    async def _outlook(self) -> Outlook | None:
        """The status stands without its countdown too."""
        try:
            return await self._desk.topics.insight.outlook()
        except JulabaError as error:
            self._log(str(error))
            return None

    # The message

    async def _show(self, shown: Outgoing) -> None:
        """Into the message there is; a new one where that cannot be changed any more."""
        chat_id = self._target.chat_id or 0
        ref = await self._outbox.message_of(SUBJECT)
        if ref is not None and ref.chat_id == chat_id and await edit(self._bot, ref, shown):
            return
        try:
            new = await send(self._bot, chat_id, shown, silent=True, thread_id=self._target.thread_id)
        except NoSuchTopic:
            new = await send(self._bot, chat_id, shown, silent=True)
        self._pin_from = 0.0
        await self._outbox.sent([], new, SUBJECT)

    async def _keep_on_top(self) -> None:
        """Pins the message, once, and takes down the one that was pinned before it."""
        ref, top = await self._outbox.message_of(SUBJECT), await self._outbox.message_of(ON_TOP)
        if ref is None or ref == top or self._monotonic() < self._pin_from:
            return
        try:
            await self._bot.pin_chat_message(ref.chat_id, ref.message_id, disable_notification=True)
        except (BadRequest, Forbidden) as error:
            self._log(f"it cannot be pinned ({error.message}) and is kept up to date where it stands")
            self._pin_from = self._monotonic() + NO_RIGHT_FOR
            return
        await self._outbox.sent([], ref, ON_TOP)
        await self._unpin(top)

    async def _take_down(self) -> None:
        """Nobody wants it any more: it says so and is unpinned. The same message comes back when it is wanted again."""
        ref, top = await self._outbox.message_of(SUBJECT), await self._outbox.message_of(ON_TOP)
        if ref is None or (self._shown is None and (top is None or not top.message_id)):
            return
        with contextlib.suppress(BadRequest, NoSuchChat):
            await edit(self._bot, ref, Outgoing(rendering_home.unpinned(), keyboards.refresh("status")))
        await self._unpin(top)
        await self._outbox.sent([], MessageRef(ref.chat_id, 0), ON_TOP)
        self._shown = None

    async def _unpin(self, top: MessageRef | None) -> None:
        """One that is gone, or that a person has unpinned, is as good as unpinned."""
        if top is not None and top.message_id:
            with contextlib.suppress(BadRequest, Forbidden):
                await self._bot.unpin_chat_message(top.chat_id, top.message_id)

    # Calm

    async def _rest(self, seconds: float) -> None:
        self._nudged.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._nudged.wait()

    def _log(self, said: str) -> bool:
        """The same trouble once; whether it was said."""
        new = said != self._said
        if new:
            log.warning("the pinned status: %s", said)
        self._said = said
        return new
