"""How often: a token bucket, for our own sending and for floods from outside."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from julaba_tg.commands import LONG_WORK, PICTURED


class Bucket:
    """``size`` at once, then ``rate`` a second. Time is a monotonic clock in seconds."""

    def __init__(self, size: float, rate: float, monotonic: Callable[[], float]) -> None:
        self._size = size
        self._rate = rate
        self._monotonic = monotonic
        self._level = size
        self._filled_at = monotonic()

    def take(self) -> bool:
        """True when one may pass now; it is then taken."""
        if self.wait() > 0:
            return False
        self._level -= 1
        return True

    def wait(self) -> float:
        """Seconds until one may pass."""
        now = self._monotonic()
        self._level = min(self._size, self._level + (now - self._filled_at) * self._rate)
        self._filled_at = now
        return max(0.0, (1 - self._level) / self._rate) if self._level < 1 else 0.0

    async def turn(self) -> None:
        """Takes the next free place and returns when it has come."""
        wait = self.wait()
        self._level -= 1
        await asyncio.sleep(wait)


class Costly:
    """What one person may ask of the costly: some pictures a minute, and one long work at a time.

    ``pictures`` gives how many at once, and then as many a minute.
    """

    def __init__(self, pictures: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._pictures = pictures
        self._monotonic = monotonic
        self._drawn: dict[int, Bucket] = {}
        self._working: dict[int, tuple[int, str]] = {}  # each person's update that is at work, and its command

    def refusal(self, user_id: int, name: str, update_id: int) -> str:
        """Why a command cannot be had now, in a sentence; empty where it can, and it is then counted."""
        if name in LONG_WORK:
            if user_id in self._working:
                return f"Your /{self._working[user_id][1]} is still at work; one at a time."
            self._working[user_id] = update_id, name
        elif name in PICTURED:
            size = self._pictures()
            bucket = self._drawn.setdefault(user_id, Bucket(size, size / 60, self._monotonic))
            if not bucket.take():
                return f"Pictures take work: the next in {math.ceil(bucket.wait())} s."
        return ""

    def ended(self, update_id: int) -> None:
        """An update is dealt with, and so is the work it began."""
        self._working = {user: work for user, work in self._working.items() if work[0] != update_id}
