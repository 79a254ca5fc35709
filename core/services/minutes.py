"""Looks inside the running candle: 1m candles of pairs with an open trade, as they close.

A look decides by closed candles that the exchange gave when asked, as a close does. What a look misses, the next one or
the close itself makes up for: the same minutes go through the same kernel in the same order, whenever they come.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from core.config import Settings
from core.domain.candles import Candles, Pair, Timeframe, to_datetime, to_ms
from core.errors import MarketError
from core.ports import Clock, MarketData
from core.services.loop import TradingLoop

log = logging.getLogger(__name__)

M1 = Timeframe.parse("1m")
PATIENCE = 5.0  # seconds of wall time for an answer; a close does not wait longer for what is inside it
AHEAD = 240 * M1.ms  # asked for at once when an outage is made up for
AFTER_ERROR = 5.0  # seconds of wall time
LEAST_PAUSE = 1.0  # seconds of wall time: where time runs fast, the closes themselves look inside


class ExchangeMinutes:
    """Closed 1m candles, asked for once: a recovery goes candle by candle through what one answer held."""

    def __init__(self, market: MarketData, clock: Clock, patience: float = PATIENCE) -> None:
        self._market = market
        self._clock = clock
        self._patience = patience
        self._known: dict[Pair, tuple[int, int, Candles]] = {}  # what was asked for, from and to, and what came

    async def minutes(self, pair: Pair, start_ms: int, end_ms: int) -> Candles:
        """Those with open times in ``[start_ms, end_ms)``; fewer, or none, where the exchange does not give them."""
        first, last, candles = self._known.get(pair, (0, 0, Candles.empty(pair, M1)))
        if not first <= start_ms <= end_ms <= last:
            try:
                candles = await self._ask(pair, start_ms, end_ms)
            except (MarketError, TimeoutError) as error:
                log.warning("%s 1m: %s", pair, str(error) or "no answer yet")
                return Candles.empty(pair, M1)
        return candles.between(start_ms, end_ms)

    async def _ask(self, pair: Pair, start_ms: int, end_ms: int) -> Candles:
        """An answer that ends early is not kept as known: the rest may still come."""
        past = M1.floor(to_ms(self._clock.now())) - M1.ms  # closed, also by a clock that is somewhat fast
        end = max(end_ms, min(past, start_ms + AHEAD))
        async with asyncio.timeout(self._patience):
            candles = await self._market.candles(pair, M1, start_ms, end, end)
        if len(candles) and int(candles.time[-1]) == end - M1.ms:
            self._known[pair] = (start_ms, end, candles)
        return candles


class MinuteWatch:
    """Looks at every minute, while something is open. ``run`` ends only by cancel; no fault of it harms a close."""

    def __init__(self, settings: Settings, clock: Clock, market: MarketData, loop: TradingLoop) -> None:
        self._clock = clock
        self._market = market
        self._loop = loop
        self._grace = timedelta(seconds=settings.exchange.grace)
        self._wanted = settings.paper.exits_between_closes and settings.frame.ms > M1.ms

    async def run(self) -> None:
        if not self._wanted:
            return
        while True:
            following = M1.floor(to_ms(self._clock.now())) + M1.ms
            await self._clock.sleep_until(to_datetime(following) + self._grace)
            try:
                if self._loop.started and self._loop.account.positions:
                    await self._loop.look_inside(await self._market.server_time())
            except MarketError as error:
                log.info("no look inside the running candle: %s", error)
            except Exception:  # the edge of a loop: the close makes up for it
                log.exception("a look inside the running candle failed")
                await asyncio.sleep(AFTER_ERROR)
            await asyncio.sleep(LEAST_PAUSE)
