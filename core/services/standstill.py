"""The watchdog on trading itself: no sign of life for two candles means that it hangs, and is begun anew."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from core.config import Settings
from core.errors import JulabaError
from core.ports import Clock

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0  # seconds of wall time
AT_LEAST = 60.0  # seconds of wall time: where simulated candles are short, a busy machine is no fault
ENDS_WITHIN = 10.0  # seconds that what hangs may take to end


class StoodStill(JulabaError):  # noqa: N818 - reads as what happened
    """Trading hung and was broken off."""


class Standstill:
    """``await watched(work)`` is ``await work``, but for StoodStill when ``sign`` stays the same for too long.

    Too long is two candles and the grace by the clock. An exchange that does not answer is no standstill: being
    asked again is a sign of life.
    """

    def __init__(self, clock: Clock, settings: Settings, sign: Callable[[], object]) -> None:
        self._clock = clock
        self._limit = timedelta(milliseconds=2 * settings.frame.ms, seconds=settings.exchange.grace)
        self._sign = sign
        self.hangs = False  # it does not even end when told to

    async def watched(self, work: Coroutine[Any, Any, None]) -> None:
        doing, watching = asyncio.ensure_future(work), asyncio.ensure_future(self._watch())
        try:
            await asyncio.wait({doing, watching}, return_when=asyncio.FIRST_COMPLETED)
            (doing if doing.done() else watching).result()
        finally:
            watching.cancel()
            await self._ended(doing)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        sign, since, began = self._sign(), self._clock.now(), loop.time()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if (now := self._sign()) != sign:
                sign, since, began = now, self._clock.now(), loop.time()
            elif self._clock.now() - since >= self._limit and loop.time() - began >= AT_LEAST:
                raise StoodStill(f"Nothing has moved since {since:%H:%M} UTC, though the exchange answers")

    async def _ended(self, doing: asyncio.Future[None]) -> None:
        """Two tasks that trade at once would be worse than none: the next begins when this one has ended."""
        while not doing.done():
            doing.cancel()
            done, _ = await asyncio.wait({doing}, timeout=ENDS_WITHIN)
            self.hangs = not done
            if self.hangs:
                log.error("trading hangs and cannot be broken off; a restart of Julaba is needed")
        if not doing.cancelled():
            doing.exception()  # looked at, whatever it was: why it ended has been said
