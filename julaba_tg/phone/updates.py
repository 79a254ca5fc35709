"""Updates that wait for the bot, and where numbers begin."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Iterable
from typing import Any

from julaba_tg.phone.clock import wall_now

_OFF_BY_DEFAULT = {"message_reaction", "message_reaction_count", "chat_member"}


class PollConflict(Exception):  # noqa: N818 - the server's own word
    """Another getUpdates has taken over."""


def first_id() -> int:
    """Where ids begin: four for each second since 2025, so that a later phone begins above what an earlier one gave.

    A bot that kept its data would else take a new phone's updates for ones it has dealt with. Always below 2**31.
    """
    return int(4 * (wall_now().timestamp() - 1_735_689_600)) % 2_000_000_000 + 1


class UpdateQueue:
    """Updates for the bot: kept until the bot confirms them with a higher offset, one poller at a time."""

    def __init__(self) -> None:
        self._waiting: list[dict[str, Any]] = []
        self._next = first_id()
        self._allowed: frozenset[str] | None = None
        self._wake = asyncio.Event()
        self._poller: object | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, kind: str, content: dict[str, Any], *, heard: bool = True) -> dict[str, Any]:
        """Queues an update and gives it; one the bot cannot hear, or of a kind it has not asked for, reaches nobody."""
        update = {"update_id": self._next, kind: content}
        self._next += 1
        known = kind not in _OFF_BY_DEFAULT if self._allowed is None else kind in self._allowed
        if heard and known:
            self._waiting.append(update)
            self._rouse()
        return update

    def number(self, count: int = 1) -> int:
        """The first of ``count`` numbers that nobody else gets."""
        first, self._next = self._next, self._next + count
        return first

    def force(self, update: dict[str, Any]) -> None:
        """Queues an update as it is, whatever the bot has asked for, at its number's place."""
        bisect.insort(self._waiting, update, key=lambda u: int(u["update_id"]))
        self._rouse()

    def allow(self, kinds: Iterable[str]) -> None:
        """Sets ``allowed_updates``, which is kept until changed; none means the default kinds."""
        self._allowed = frozenset(kinds) or None

    def drop(self) -> None:
        self._waiting.clear()

    async def poll(self, offset: int, limit: int, seconds: float) -> list[dict[str, Any]]:
        """Confirms what lies below ``offset``, then waits for updates. Raises PollConflict when another one polls."""
        ticket = self._poller = object()
        self._rouse()
        self._confirm(offset)
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(deadline):
                while not self._waiting:
                    await self._wake.wait()
                    if self._poller is not ticket:
                        raise PollConflict
        except TimeoutError:
            pass
        finally:
            if self._poller is ticket:
                self._poller = None
        return self._waiting[:limit]

    def _confirm(self, offset: int) -> None:
        if offset > 0:
            self._waiting = [u for u in self._waiting if u["update_id"] >= offset]
        elif offset < 0:
            self._waiting = self._waiting[offset:]

    def _rouse(self) -> None:
        wake, self._wake = self._wake, asyncio.Event()
        wake.set()
