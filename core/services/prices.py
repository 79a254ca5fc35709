"""Prices between closes, to look at: what an open trade is worth now. They never decide a fill or a candle.

Pushed by the exchange's stream where that works, asked for over REST where it does not: each pair whose price is older
than 15 s is asked for, whatever the reason. Only pairs with an open trade, and those somebody looked at lately, cost
anything; without one there is no connection and no request. Nothing waits for these prices and nothing breaks by them.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from core.domain.candles import Pair
from core.errors import JulabaError
from core.ports import MarketData, PriceStream

log = logging.getLogger(__name__)

# All of these are seconds of wall time, also where the exchange's own clock runs faster.
TICK = 1.0  # between two looks at what is wanted
ASK_EVERY = 15.0
OLD = 60.0  # from here on a price is called old
SILENT = 30.0  # a stream that gives nothing for so long has failed, however open it is
STEADY = 120.0  # a stream that lasted so long may be opened again soon
FIRST_PAUSE = 5.0  # before a stream that failed is tried again; doubles
LONGEST_PAUSE = 600.0
INTEREST = 300.0  # how long a pair is followed after somebody looked at it

Source = Literal["stream", "asked"]


@dataclass(frozen=True, slots=True)
class LivePrice:
    """What a pair costs; ``age`` in seconds of wall time since that was known."""

    price: float
    age: float
    source: Source

    @property
    def old(self) -> bool:
        return self.age > OLD


@dataclass(frozen=True, slots=True)
class _Heard:
    price: float
    at: float
    source: Source


class Prices:
    """The newest price of each pair that anybody wants to see. ``run`` ends only by cancellation.

    ``open_pairs`` gives the pairs with an open trade. ``stream`` None: prices are only asked for.
    """

    def __init__(
        self,
        open_pairs: Callable[[], Iterable[Pair]],
        market: MarketData,
        stream: PriceStream | None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
    ) -> None:
        self._open_pairs = open_pairs
        self._market = market
        self._stream = stream
        self._now = monotonic
        self._sleep = sleep
        self._heard: dict[Pair, _Heard] = {}
        self._asked: dict[Pair, float] = {}  # when over REST
        self._looked: dict[Pair, float] = {}  # when a person did
        self._pushed = 0.0  # when the stream gave its last price
        self._refusing = False
        self._pause = FIRST_PAUSE
        self.trouble = ""  # why the stream is not there; empty while it is, or while it is not needed

    def latest(self, pair: Pair) -> LivePrice | None:
        """The newest price known, however old; None before the first. The pair is followed from here on."""
        now = self._now()
        self._looked[pair] = now
        heard = self._heard.get(pair)
        return None if heard is None else LivePrice(heard.price, max(0.0, now - heard.at), heard.source)

    def wanted(self) -> tuple[Pair, ...]:
        """The pairs with an open trade first, then those that somebody looked at lately."""
        now = self._now()
        self._looked = {pair: at for pair, at in self._looked.items() if now - at < INTEREST}
        return tuple(dict.fromkeys([*sorted(self._open_pairs()), *sorted(self._looked)]))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._for_ever(self._ask))
            if self._stream is not None:
                tasks.create_task(self._for_ever(partial(self._listen, self._stream)))

    async def _for_ever(self, once: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                await once()
            except Exception:  # the edge of a loop: a price to look at must not end the trading
                log.exception("live prices")
            await self._sleep(TICK)

    # -- asked -----------------------------------------------------------------------------------------------------

    async def _ask(self) -> None:
        began = self._now()
        wanted = self.wanted()
        self._forget_all_but(wanted)
        due = [pair for pair in wanted if self._due(pair, began)]
        if not due:
            return
        self._asked.update(dict.fromkeys(due, began))
        try:
            found = await self._market.prices(due)
        except JulabaError as error:
            self._note_refusal(str(error))
            return
        self._note_refusal("")
        for pair, price in found.items():
            self._take(pair, _Heard(price, began, "asked"))

    def _due(self, pair: Pair, now: float) -> bool:
        heard, asked = self._heard.get(pair), self._asked.get(pair, -math.inf)
        fresh = heard is not None and now - heard.at < ASK_EVERY
        return not fresh and now - asked >= ASK_EVERY

    def _forget_all_but(self, wanted: tuple[Pair, ...]) -> None:
        """A price of yesterday helps nobody who asks today."""
        for known in (self._heard, self._asked):
            for pair in set(known) - set(wanted):
                del known[pair]

    def _take(self, pair: Pair, heard: _Heard) -> None:
        """An answer that was long on its way does not replace what was pushed meanwhile."""
        held = self._heard.get(pair)
        if held is None or heard.at >= held.at:
            self._heard[pair] = heard

    def _note_refusal(self, reason: str) -> None:
        if reason and not self._refusing:
            log.warning("live prices cannot be asked for: %s", reason)
        elif self._refusing and not reason:
            log.info("live prices can be asked for again")
        self._refusing = bool(reason)

    # -- pushed ----------------------------------------------------------------------------------------------------

    async def _listen(self, stream: PriceStream) -> None:
        pairs = self.wanted()
        if not pairs:
            self.trouble = ""
            return
        began = self._now()
        failure = await self._follow(stream, pairs)
        if not failure:
            return
        if not self.trouble:
            log.warning("live prices are asked for instead: %s", failure)
        self.trouble = failure
        if self._now() - began >= STEADY:
            self._pause = FIRST_PAUSE
        await self._sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    async def _follow(self, stream: PriceStream, pairs: tuple[Pair, ...]) -> str:
        """Listens until other pairs are wanted (an empty text) or the stream fails (why)."""
        newest: dict[Pair, int] = {}

        def heard(pair: Pair, price: float, time_ms: int) -> None:
            if time_ms < newest.get(pair, 0):
                return
            newest[pair] = time_ms
            self._pushed = self._now()
            self._take(pair, _Heard(price, self._pushed, "stream"))
            self._note_stream()

        self._pushed = self._now()
        following = asyncio.ensure_future(stream.follow(pairs, heard))
        try:
            while self.wanted() == pairs:
                ticking = asyncio.ensure_future(self._sleep(TICK))
                await asyncio.wait({following, ticking}, return_when=asyncio.FIRST_COMPLETED)
                ticking.cancel()
                if following.done():
                    return _reason(following)
                if self._now() - self._pushed >= SILENT:
                    return f"the price stream is open and silent for {SILENT:.0f} s"
            return ""
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    def _note_stream(self) -> None:
        if self.trouble:
            log.info("live prices come by stream again")
        self.trouble = ""


def _reason(ended: asyncio.Future[None]) -> str:
    error = None if ended.cancelled() else ended.exception()
    if error is not None and not isinstance(error, JulabaError):
        log.error("the price stream ended unforeseen", exc_info=error)
    return str(error) if isinstance(error, JulabaError) else "the price stream ended"
