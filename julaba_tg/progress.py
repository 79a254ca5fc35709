"""Long work in the chat: answered at once, followed by editing that message, ended in its place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TypeVar

from telegram import Bot as TelegramBot
from telegram.error import TelegramError

from core.errors import JulabaError
from core.services.views import Progress
from julaba_tg import rendering
from julaba_tg.calls import Place, edited, post, say
from julaba_tg.ports import MessageRef, OutboxLike
from julaba_tg.sending import Outgoing, edit
from julaba_tg.wishes import in_voice

log = logging.getLogger(__name__)

PROGRESS_PAUSE = 1.0  # seconds between two edits of one message: Telegram allows about one a second
STARTING = ("starting", 0.0)

Show = Callable[[str, float], Outgoing]
"""How progress looks: what is done just now, and the fraction (0..1)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Heard:
    """The update that is being dealt with, and where the message that shows its work is noted."""

    update_id: int
    outbox: OutboxLike

    @property
    def subject(self) -> str:
        return f"work:{self.update_id}"


HEARD: ContextVar[Heard | None] = ContextVar("HEARD", default=None)
"""Noted so that after a kill the message does not show its progress for ever."""


class Ticker:
    """Progress into one message: told from any thread, shown at most once a second, never raising."""

    def __init__(self, bot: TelegramBot, message: MessageRef, show: Show) -> None:
        self._bot = bot
        self._message = message
        self._show = show
        self._latest = STARTING

    def tell(self, words: str, fraction: float) -> None:
        self._latest = (words, fraction)

    async def run(self) -> None:
        shown = STARTING
        while True:
            await asyncio.sleep(PROGRESS_PAUSE)
            if self._latest == shown:
                continue
            shown = self._latest
            try:
                await edit(self._bot, self._message, self._show(*shown))
            except TelegramError as error:
                log.info("progress could not be shown: %s", error.message)


async def begin(place: Place, show: Show, *, in_place: bool = False) -> MessageRef:
    """The message that answers at once and will follow the work; ``in_place`` the one that was tapped, if it can be."""
    first = show(*STARTING)
    if in_place and place.message is not None and await edited(place, first):
        shown = place.message
    else:
        shown = await post(place, first)
    if (heard := HEARD.get()) is not None:
        await heard.outbox.sent([], shown, heard.subject)
    return shown


async def followed(
    place: Place, shown: MessageRef, show: Show, work: Callable[[Progress], Awaitable[T]], what: str
) -> T | Outgoing:
    """What the work gives, its progress shown meanwhile; a refusal or a fault as the message to say instead."""
    ticker = Ticker(place.bot, shown, lambda words, done: in_voice(show(words, done), place.voice))
    follow = asyncio.create_task(ticker.run())
    try:
        return await work(ticker.tell)
    except JulabaError as error:
        return Outgoing(rendering.refused(str(error)))
    except Exception:  # the edge of a task: whoever asked must not wait for an answer for ever
        log.exception("%s failed", what)
        return Outgoing(rendering.apology())
    finally:
        # An edit under way must end first, or it would overwrite the result.
        follow.cancel()
        await asyncio.gather(follow, return_exceptions=True)


async def conclude(place: Place, shown: MessageRef, last: Outgoing) -> None:
    """Puts the end into the message that showed the progress; says it anew where that cannot be."""
    if not await edited(replace(place, message=shown, has_picture=False), last):
        await say(place, last)
