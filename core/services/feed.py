"""The feed: what the exchange has closed since each pair's newest candle. No pair waits for another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from core.config import Settings
from core.domain.candles import Candles, Pair, Timeframe, to_datetime
from core.errors import MarketError, RateLimited, UnknownPair
from core.ports import Clock, MarketData
from core.services.asking import LowerCandles
from core.services.clock_watch import ClockWatch
from core.services.faults import Faults
from core.services.loop import TradingLoop

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE = 2.0  # seconds of wall time for the first answers; who is slower is asked again, after the others are done
PAUSE = 0.5  # seconds of wall time between two attempts; later ones grow
GROWS_AFTER = 20  # attempts
LONGEST_PAUSE = 10.0
LOWER_ATTEMPTS = 3  # at candles below the trading timeframe, while the newest is not there yet
LONG_WAIT = 30.0  # seconds; a shorter Retry-After is nobody's business
NO_NEWS = "the exchange answers, but gives no new candle"


class ExchangeLower(LowerCandles):
    """Candles below the trading timeframe, fetched when a signal needs them; None when the exchange fails."""

    def __init__(self, market: MarketData) -> None:
        self._market = market

    async def lower(self, pair: Pair, timeframe: str, now_ms: int) -> Candles | None:
        frame = Timeframe.parse(timeframe)
        end, found = frame.floor(now_ms), None
        for attempt in range(LOWER_ATTEMPTS):
            await asyncio.sleep(PAUSE if attempt else 0)
            try:
                found = await self._market.candles(pair, frame, end - 60 * frame.ms, end, now_ms)
            except MarketError as error:
                log.warning("%s %s: %s", pair, timeframe, error)
                return None
            # The newest one closes with the signal's own candle and may come a moment later than that.
            if len(found) and int(found.time[-1]) == end - frame.ms:
                break
        return found


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one asking. ``now_ms`` is the exchange's time; a pair without news is in none of the three."""

    now_ms: int
    arrived: Mapping[Pair, Candles]
    failures: Mapping[Pair, MarketError]
    unknown: Mapping[Pair, str]  # the exchange does not trade these, it says

    @property
    def trouble(self) -> MarketError | None:
        """The failure to go by: a wish to slow down comes first, for MEXC bans addresses that go on asking."""
        return min(self.failures.values(), key=lambda error: not isinstance(error, RateLimited), default=None)


class Feed:
    """Asks for closed candles. A wish of the exchange to be left alone for long is told at once, by ``faults``."""

    def __init__(self, settings: Settings, clock: Clock, market: MarketData, loop: TradingLoop, faults: Faults) -> None:
        self._settings = settings
        self._frame = settings.frame
        self._clock = clock
        self._market = market
        self._loop = loop
        self._faults = faults
        self.watch = ClockWatch(clock, market, faults)

    async def ask(self, pairs: set[Pair], close: int, hurry: bool) -> Answer:
        """What has closed by the exchange's own time since each pair's newest candle. Raises MarketError.

        ``hurry``: a pair that does not answer soon is left for the next time, so that it holds up no other.
        """
        try:
            now_ms = await self.watch.server_time()
        except MarketError as error:
            await self._tell_wait(error)
            raise
        answer = await self._fetch(pairs, close, now_ms, hurry)
        await self._tell_wait(answer.trouble)
        return answer

    async def before(self, close: int, work: Coroutine[Any, Any, T]) -> T | None:
        """What ``work`` gives, or None when the close comes first: a late pair keeps nobody's next candle waiting."""
        moment = to_datetime(close) + timedelta(seconds=self._settings.exchange.grace)
        doing = asyncio.ensure_future(work)
        coming = asyncio.ensure_future(self._clock.sleep_until(moment))
        try:
            await asyncio.wait({doing, coming}, return_when=asyncio.FIRST_COMPLETED)
            return doing.result() if doing.done() else None
        finally:
            doing.cancel()
            coming.cancel()
            await asyncio.gather(doing, coming, return_exceptions=True)

    async def _fetch(self, pairs: set[Pair], close: int, now_ms: int, hurry: bool) -> Answer:
        patience = self.patience(len(pairs)) if hurry else None
        found: dict[Pair, Candles] = {}
        failures: dict[Pair, MarketError] = {}
        unknown: dict[Pair, str] = {}

        async def one(pair: Pair) -> None:
            newest = self.newest(pair)
            start = close - self._frame.ms if newest is None else newest + self._frame.ms
            try:
                async with asyncio.timeout(patience):
                    candles = await self._market.candles(pair, self._frame, start, self._frame.floor(now_ms), now_ms)
            except UnknownPair as error:
                unknown[pair] = str(error)
            except TimeoutError:
                failures[pair] = MarketError(f"{pair}: no answer yet")
            except MarketError as error:
                log.info("%s: %s", pair, error)
                failures[pair] = error
            else:
                if len(candles):
                    found[pair] = candles

        await asyncio.gather(*(one(pair) for pair in sorted(pairs)))
        return Answer(now_ms, found, failures, unknown)

    def newest(self, pair: Pair) -> int | None:
        """The open time of the pair's newest candle in memory."""
        window = self._loop.memory.windows.get(pair)
        return int(window.time[-1]) if window is not None and len(window) else None

    def patience(self, pairs: int) -> float:
        """Seconds of wall time for the first answers: requests leave one after the other, and one may hang."""
        return PATIENCE + pairs * self._settings.exchange.rate_limit_ms / 1000

    async def _tell_wait(self, trouble: MarketError | None) -> None:
        """A long pause that the exchange wants is told at once: nothing is watched until it is over."""
        if isinstance(trouble, RateLimited) and trouble.retry_after >= LONG_WAIT:
            until = self._clock.now() + timedelta(seconds=trouble.retry_after)
            await self._faults.raised(
                "rate", f"The exchange asks us to wait until {until:%H:%M} UTC", "No pair is watched until then."
            )
        elif not isinstance(trouble, RateLimited):
            await self._faults.cleared("rate", "The exchange lets us ask again")


def pause_after(trouble: MarketError, attempt: int) -> float:
    """Seconds until a pair is asked again: as long as the exchange wants, else half a second that slowly grows."""
    pause = min(LONGEST_PAUSE, PAUSE * max(1.0, attempt / GROWS_AFTER))
    return max(pause, trouble.retry_after) if isinstance(trouble, RateLimited) else pause
