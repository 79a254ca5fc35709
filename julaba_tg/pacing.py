"""How often: a token bucket, for our own sending and for floods from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


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
