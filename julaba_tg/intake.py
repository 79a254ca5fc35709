"""Between Telegram and the handlers: an update is in the store before Telegram hears that it has arrived.

python-telegram-bot confirms updates before their handlers have ended, so a kill in between would lose a command. Here
it is kept until it is dealt with, and handed to the handlers again at the next start.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from telegram import Bot, Update
from telegram.error import TelegramError
from telegram.ext import BaseUpdateProcessor

from julaba_tg import rendering
from julaba_tg.ports import DeskLike, OutboxLike
from julaba_tg.progress import HEARD, Heard
from julaba_tg.sending import Outgoing, edit
from julaba_tg.tasks import BEGUN, Tasks

log = logging.getLogger(__name__)

AT_ONCE = 32
"""Updates in the handlers' hands at the same time: as many as there are connections. More would only wait for one, and
who waits makes every step of the pool slower: with 256 a flood took half as much work again and held up the loop
twice as long."""


class Intake(asyncio.Queue[object]):
    """The queue of updates. ``put`` returns when one is kept, and the poller confirms only after that.

    ``known`` says whether somebody known has sent it: what strangers send is not worth keeping.
    """

    def __init__(self, desk: DeskLike, known: Callable[[Update], bool], outbox: OutboxLike) -> None:
        super().__init__()
        self._desk = desk
        self._outbox = outbox
        self._known = known

    async def put(self, item: object) -> None:
        if isinstance(item, Update) and self._known(item):
            try:
                await self._desk.keep_update(item.update_id, item.to_json())
            except Exception:  # a store that fails must not make the bot deaf; the handler will meet it too
                log.exception("update %d could not be kept", item.update_id)
        await super().put(item)

    async def hand_back(self, bot: Bot) -> None:
        """What an earlier run was told and has not dealt with goes to the handlers again, the oldest first."""
        for body in await self._desk.kept_updates():
            try:
                update = Update.de_json(json.loads(body), bot)
            except (ValueError, KeyError, TypeError, TelegramError):
                log.exception("a kept update cannot be read any more")
                continue
            log.info("update %d was not dealt with before: once more", update.update_id)
            await self._own_up(bot, update)
            await super().put(update)

    async def _own_up(self, bot: Bot, update: Update) -> None:
        """The message that showed how far its work had come would show that for ever."""
        shown = await self._outbox.message_of(Heard(update.update_id, self._outbox).subject)
        if shown is not None:
            try:
                await edit(bot, shown, Outgoing(rendering.cut_off()))
            except TelegramError as error:
                log.info("a work that was cut off still shows its progress: %s", error.message)


class Turns(BaseUpdateProcessor):
    """Lets handlers work side by side, and says of each update when it is dealt with, however that went."""

    def __init__(self, done: Callable[[Update], Awaitable[None]], tasks: Tasks, outbox: OutboxLike) -> None:
        super().__init__(AT_ONCE)
        self._outbox = outbox
        self._done = done
        self._tasks = tasks

    async def do_process_update(self, update: object, coroutine: Awaitable[Any]) -> None:
        begun: list[asyncio.Task[None]] = []
        BEGUN.set(begun)
        HEARD.set(Heard(update.update_id, self._outbox) if isinstance(update, Update) else None)
        await coroutine  # a stop in the middle leaves it kept
        BEGUN.set(None)
        if not isinstance(update, Update):
            return
        if begun:
            self._tasks.start(self._when_ended(update, begun), "update")
        else:
            await self._tell(update)

    async def _when_ended(self, update: Update, begun: list[asyncio.Task[None]]) -> None:
        """A long work's command is dealt with when the work has ended; one that a stop cut off is not."""
        await asyncio.wait(begun)
        if not any(task.cancelled() for task in begun):
            await self._tell(update)

    async def _tell(self, update: Update) -> None:
        try:
            await self._done(update)
        except Exception:
            log.exception("update %d stays kept", update.update_id)

    async def initialize(self) -> None:
        pass

    async def shutdown(self) -> None:
        pass
