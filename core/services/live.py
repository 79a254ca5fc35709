"""Live: the loop on the exchange's candles. Starting and recovering are the same path.

At each close all pairs are fetched at once; a pair that is late or failing is handled when it comes and holds up
nobody. After an outage the missed candles run through the same steps.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta

from core.config import Settings
from core.domain.candles import Candles, Pair, Timeframe, to_datetime, to_ms
from core.domain.ledger import Switch
from core.domain.messages import Notice, PairStopped
from core.errors import MarketError, RateLimited, UnknownPair
from core.ports import CandleStore, Clock, Ledger, MarketData
from core.services.bus import Bell
from core.services.faults import Faults
from core.services.fetch import fetch_history
from core.services.loop import LowerCandles, TradingLoop
from core.services.markets import check_pairs

log = logging.getLogger(__name__)

ATTEMPTS = 20  # at one close, before the pair waits for the next one
PAUSE = 0.5  # seconds of wall time between two attempts
SAVE_AFTER = 96  # candles kept in memory before they go to the candle files


class ExchangeLower(LowerCandles):
    """Candles below the trading timeframe, fetched when a signal needs them; None when the exchange fails."""

    def __init__(self, market: MarketData) -> None:
        self._market = market

    async def lower(self, pair: Pair, timeframe: str, now_ms: int) -> Candles | None:
        frame = Timeframe.parse(timeframe)
        try:
            return await self._market.candles(pair, frame, frame.floor(now_ms) - 60 * frame.ms, now_ms, now_ms)
        except MarketError as error:
            log.warning("%s %s: %s", pair, timeframe, error)
            return None


class LiveTrading:
    """Owns the loop's time and feed. ``start`` may be called again after a failure; ``run`` ends only by cancel."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        market: MarketData,
        candles: CandleStore,
        ledger: Ledger,
        loop: TradingLoop,
        bell: Bell,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._market = market
        self._candles = candles
        self._ledger = ledger
        self._loop = loop
        self._bell = bell
        self._frame = settings.frame
        self._unsaved: dict[Pair, list[Candles]] = {}
        self.faults = Faults(clock, ledger, bell)
        self.notes: dict[Pair, str] = {}
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Starts, then handles every close until cancelled. Trouble is told and tried again, never raised."""
        await self._loop.start()
        while not self.ready.is_set():
            try:
                await self._recover()
                self.ready.set()
            except MarketError as error:
                await self.faults.raised("exchange", "The exchange does not answer", str(error))
                await asyncio.sleep(_pause(error))
        await self.faults.cleared("exchange", "The exchange answers again")
        while True:
            close = self._frame.floor(to_ms(self._clock.now())) + self._frame.ms
            await self._clock.sleep_until(to_datetime(close) + timedelta(seconds=self._settings.exchange.grace))
            try:
                await self._tick(close)
            except MarketError as error:
                await self.faults.raised("exchange", "The exchange does not answer", str(error))

    async def save(self) -> None:
        """Writes candles that are only in memory to the candle files; they could also be fetched again."""
        unsaved, self._unsaved = self._unsaved, {}  # candles go on coming while these are written
        for parts in unsaved.values():
            for part in parts:
                await asyncio.to_thread(self._candles.save, part)

    def watched(self) -> tuple[Pair, ...]:
        """All configured pairs the exchange still lists, and BTC as the reference."""
        pairs = [p for p in self._settings.traded if p not in self.notes]
        return tuple(dict.fromkeys([*pairs, self._settings.btc]))

    async def _recover(self) -> None:
        """Checks the pairs, loads history, runs what was missed through the same steps as any candle."""
        now_ms = await self._market.server_time()
        await self._check_pairs()
        history = await self._history(now_ms)
        missed = {}
        for pair, candles in history.items():
            handled = self._loop.handled(pair) if pair in self._settings.traded else None
            cut = handled + 1 if handled is not None else None
            self._loop.warm(candles if cut is None else candles.between(None, cut))
            if cut is not None and len(candles.between(cut, None)):
                missed[pair] = candles.between(cut, None)
        await self._handle_missed(missed, history)
        await self._say_started(sum(len(c) for c in missed.values()))

    async def _handle_missed(self, missed: Mapping[Pair, Candles], history: Mapping[Pair, Candles]) -> None:
        if not missed:
            return
        btc = self._settings.btc
        first = min(int(c.time[0]) for c in missed.values())
        if btc in history and btc not in missed:
            self._loop.warm(history[btc].between(None, first))
            missed = {**missed, btc: history[btc].between(first, None)}
        await self._loop.handle(missed)

    async def _history(self, now_ms: int) -> dict[Pair, Candles]:
        """Each watched pair's candles: the loop's history before the first one it has not handled, up to now."""
        wanted = self._settings.candles.history * self._frame.ms
        handled = [h for p in self._settings.traded if (h := self._loop.handled(p)) is not None]
        start = self._frame.floor(min([now_ms, *handled])) - wanted
        found: dict[Pair, Candles] = {}

        async def one(pair: Pair) -> None:
            try:
                await fetch_history(
                    self._market,
                    self._candles,
                    pair,
                    self._frame,
                    start,
                    now_ms,
                    now_ms,
                    page=self._settings.exchange.page,
                )
            except UnknownPair as error:
                await self._stop(pair, str(error), None)
                return
            found[pair] = await asyncio.to_thread(self._candles.load, pair, self._frame, start, now_ms)

        await asyncio.gather(*(one(pair) for pair in self.watched()))
        return found

    async def _check_pairs(self) -> None:
        """Pairs the exchange does not trade (renamed, delisted, paused) are switched off with one alert each."""
        problems = check_pairs(await self._market.markets(), self.watched(), self._settings.exchange.renames)
        for problem in problems:
            await self._stop(problem.pair, problem.reason, str(problem.successor) if problem.successor else None)

    async def _stop(self, pair: Pair, reason: str, successor: str | None) -> None:
        self.notes[pair] = reason
        event = PairStopped(
            key=f"pair_stopped:{pair}:{reason}",
            time=self._clock.now(),
            pair=str(pair),
            reason=reason,
            successor=successor,
        )
        switch = Switch(False, reason)
        await self._ledger.set_switch(pair, switch, [event])
        self._loop.memory.switches[pair] = switch
        self._bell.ring()

    async def _say_started(self, missed: int) -> None:
        now, account = self._clock.now(), self._loop.account
        detail = f"{len(account.positions)} open positions, equity {account.equity:,.2f} USDT"
        if missed:
            detail += f"; {missed} missed candles were worked through"
        event = Notice(key=f"started:{to_ms(now)}", time=now, topic="started", title="Julaba is running", detail=detail)
        await self._ledger.publish([event])
        self._bell.ring()

    async def _tick(self, close: int) -> None:
        """One close: pairs that have their candle go first, the others are asked again until the next close.

        Raises MarketError when no pair's candle came.
        """
        waiting, trouble = set(self.watched()), MarketError("it gives no candle")
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(_wait(trouble))
            try:
                now_ms = await self._market.server_time()
                arrived, failures = await self._fetch(waiting, close, now_ms)
            except MarketError as error:
                trouble = error
                continue
            trouble = failures[0] if failures else trouble
            await self._loop.handle(arrived)
            waiting -= {p for p, c in arrived.items() if int(c.time[-1]) + self._frame.ms >= close}
            waiting &= set(self.watched())
            self._keep(arrived)
            if not waiting or now_ms >= close + self._frame.ms:
                break
        await self._tell_feed(waiting, trouble)
        if any(sum(len(c) for c in parts) >= SAVE_AFTER for parts in self._unsaved.values()):
            await self.save()

    async def _tell_feed(self, waiting: set[Pair], trouble: MarketError) -> None:
        """Alerts once for what stays away, once for what comes again."""
        watched = set(self.watched())
        if waiting and waiting == watched:
            raise trouble
        await self.faults.cleared("exchange", "The exchange answers again")
        for pair in waiting:
            await self.faults.raised(f"feed:{pair}", f"{pair}: no candle since {self._since(pair)}", str(trouble))
        for pair in watched - waiting:
            await self.faults.cleared(f"feed:{pair}", f"{pair}: candles come again")

    def _since(self, pair: Pair) -> str:
        window = self._loop.memory.windows.get(pair)
        last = to_datetime(int(window.time[-1]) + self._frame.ms) if window is not None and len(window) else None
        return f"{last:%d %b %H:%M} UTC" if last else "the start"

    async def _fetch(
        self, pairs: Iterable[Pair], close: int, now_ms: int
    ) -> tuple[dict[Pair, Candles], list[MarketError]]:
        """What has closed by the exchange's own time since each pair's newest candle, and what went wrong."""
        found: dict[Pair, Candles] = {}
        failures: list[MarketError] = []

        async def one(pair: Pair) -> None:
            window = self._loop.memory.windows.get(pair)
            known = window is not None and len(window) > 0
            start = int(window.time[-1]) + self._frame.ms if known and window else close - self._frame.ms
            try:
                candles = await self._market.candles(pair, self._frame, start, self._frame.floor(now_ms), now_ms)
            except UnknownPair as error:
                await self._stop(pair, str(error), None)
            except MarketError as error:
                log.warning("%s: %s", pair, error)
                failures.append(error)
            else:
                if len(candles):
                    found[pair] = candles

        await asyncio.gather(*(one(pair) for pair in pairs))
        # A wish to slow down comes first: MEXC bans addresses that go on asking.
        failures.sort(key=lambda error: not isinstance(error, RateLimited))
        return found, failures

    def _keep(self, arrived: Mapping[Pair, Candles]) -> None:
        for pair, candles in arrived.items():
            self._unsaved.setdefault(pair, []).append(candles)


def _pause(error: MarketError) -> float:
    return error.retry_after if isinstance(error, RateLimited) else 5.0


def _wait(trouble: MarketError) -> float:
    """Seconds until a pair is asked again: as long as the exchange wants, else half a second."""
    return max(PAUSE, trouble.retry_after) if isinstance(trouble, RateLimited) else PAUSE
