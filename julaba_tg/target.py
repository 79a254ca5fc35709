"""Where the bot speaks unasked (alerts, cards, stories, the pinned status), and what becomes of that place.

A group that is upgraded to a supergroup is followed, and remembered in the store. A forum's topic that is closed or
gone gives way to the General one; a group that cannot be reached gives way to the first approver's private chat. Both
are told once, as a fault, and the place of the settings is tried again once an hour.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from telegram.error import TelegramError

from core.config import Settings
from julaba_tg.ports import DeskLike, MessageRef, OutboxLike
from julaba_tg.sending import NoSuchTopic

log = logging.getLogger(__name__)

HOME_AGAIN = timedelta(hours=1)
"""How long another place serves before the one of the settings is tried again."""

_FIRST_MESSAGE = 1  # of a supergroup: the one that says which group it was before
_MOST_MOVES = 4
_FAULTS = ("topic", "group")


class Target:
    """``wall_clock`` gives real time (aware UTC), whatever clock the trading lives by."""

    def __init__(
        self, settings: Settings, desk: DeskLike, outbox: OutboxLike, wall_clock: Callable[[], datetime]
    ) -> None:
        self._desk = desk
        self._outbox = outbox
        self._wall_clock = wall_clock
        self._approver = first_approver(settings)
        self._home = target_chat(settings)
        self._topic = settings.telegram.topic_id
        self._lost: set[str] = set()  # of ``_FAULTS``
        self._lost_at: datetime | None = None
        self._recalled = False

    @property
    def chat_id(self) -> int | None:
        """None: there is nobody to tell."""
        return self._approver if "group" in self._lost else self._home

    @property
    def thread_id(self) -> int | None:
        """The forum topic; None: the General one, or no forum."""
        return None if self._lost else self._topic

    async def look(self) -> None:
        """To be awaited before anything is sent: learns what an earlier run knew, and when to try home again."""
        if not self._recalled:
            for _ in range(_MOST_MOVES):
                moved = await self._outbox.message_of(_moved(self._home))
                self._home = moved.chat_id if moved is not None else self._home
            self._recalled = True
        if self._lost_at is not None and self._wall_clock() - self._lost_at >= HOME_AGAIN:
            self._lost.clear()
            self._lost_at = None

    async def moved(self, chat_id: int) -> None:
        """The group has become a supergroup with this id; its topics, if it gets any, are new ones."""
        log.warning("the chat is now %d: put that into telegram.chat_id", chat_id)
        old, self._home = self._home, chat_id
        await self._outbox.sent([], MessageRef(chat_id, _FIRST_MESSAGE), _moved(old))

    async def lost(self, error: TelegramError) -> bool:
        """The present place has refused a message for good; whether there is another one to send it to now."""
        if isinstance(error, NoSuchTopic):
            if self.thread_id is None:
                return False  # General itself is closed: nothing to do but wait, or be let in
            await self._give_way(
                "topic",
                "Alerts come to the General topic now: theirs is closed or gone",
                "Open it again, or set telegram.topic_id to another one. It is tried again once an hour.",
            )
            return True
        home, approver = self._home, self._approver
        if home is None or home >= 0 or approver is None or "group" in self._lost:
            return False
        await self._give_way(
            "group",
            "Alerts come to the first approver now: their group cannot be reached",
            f"Telegram says: {error.message}. Put the bot into the group again, or set telegram.chat_id to another "
            "one. It is tried again once an hour.",
        )
        return True

    async def reached(self) -> None:
        """Something could be sent. What was wrong with the place of the settings is over where it was sent there."""
        if not self._lost:
            await self._desk.trouble_over("topic", "Alerts come to their topic again")
            await self._desk.trouble_over("group", "Alerts come to their group again")

    async def _give_way(self, name: str, title: str, detail: str) -> None:
        self._lost.add(name)
        self._lost_at = self._wall_clock()
        await self._desk.trouble(name, title, detail)


def target_chat(settings: Settings) -> int | None:
    """Where alerts go: the chat named in the settings, else the first approver's private chat."""
    return settings.telegram.chat_id or first_approver(settings)


def first_approver(settings: Settings) -> int | None:
    return next((user for user, role in settings.access.users.items() if role == "approver"), None)


def _moved(chat_id: int | None) -> str:
    return f"moved:{chat_id}"
