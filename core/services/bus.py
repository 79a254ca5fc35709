"""A bell: whoever changed something rings it, whoever waits for changes hears it. Nobody is ever waited for."""

from __future__ import annotations

import asyncio


class Bell:
    """``ring()`` wakes every waiter; a waiter that was busy finds the bell still ringing when it comes back."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()

    async def heard(self, timeout: float) -> None:
        """Returns at the next ring, at the latest after ``timeout`` seconds of wall time."""
        try:
            async with asyncio.timeout(timeout):
                await self._event.wait()
        except TimeoutError:
            return
        self._event.clear()
