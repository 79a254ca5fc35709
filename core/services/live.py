"""Live: the loop on the exchange's candles. Starting and recovering are the same path.

At each close all pairs are fetched at once; a pair that is late or failing is handled when it comes and holds up
nobody. After an outage the missed candles run through the same steps.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from datetime import timedelta
from functools import reduce
from typing import Any, TypeVar

from core.config import Settings
from core.domain.candles import DAY_MS, Candles, Pair, Timeframe, to_datetime, to_ms
from core.domain.ledger import Switch
from core.domain.messages import Notice, PairStopped
from core.engine.history import history_start
from core.errors import DataError, JulabaError, MarketError, RateLimited, UnknownPair
from core.ports import CandleStore, Clock, Ledger, MarketData
from core.services.bus import Bell
from core.services.faults import Faults
from core.services.fetch import fetch_history
from core.services.loop import LowerCandles, TradingLoop
from core.services.markets import check_pairs

log = logging.getLogger(__name__)

T = TypeVar("T")

TELL_AFTER = 20  # attempts at one close, before a pair that stays away is told of
PAUSE = 0.5  # seconds of wall time between two attempts; later ones grow
LONGEST_PAUSE = 10.0
LONG_WAIT = 30.0  # seconds; a shorter Retry-After is nobody's business
PATIENCE = 2.0  # seconds of wall time for the first answers; who is slower is asked again, after the others are done
AGAIN_AFTER = 5.0  # seconds of wall time after an exchange or a store that failed as a whole
SAVE_AFTER = 96  # candles kept in memory before they go to the candle files
SWITCHED_BY = "switched off by "  # so begins the reason of a switch that a person has turned off
LISTED_AGAIN = "the exchange trades it again; switch it on when you like"


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
    """Owns the loop's time and feed. ``run`` ends only by cancel.

    ``notes`` says why a pair is not watched: the exchange does not trade it. It is looked at again each day.
    """

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
        self._lacking: set[Pair] = set()  # watched, but their history could not be had yet
        self._checked_day = -1
        self._ticked = 0  # the newest close looked at, epoch ms
        self.settled = 0  # the newest close of which everything is done, epoch ms
        self.closed = Bell()  # rings when a close is settled
        self.faults = Faults(clock, ledger, bell)
        self.notes: dict[Pair, str] = {}
        self.ready = asyncio.Event()

    @property
    def last_close(self) -> int | None:
        """The newest close that has been handled (epoch ms); None before the first."""
        return self._loop.last_close

    async def run(self) -> None:
        """Starts, then handles every close until cancelled. Trouble is told and tried again, never raised."""
        while True:
            try:
                await self._begin()
                while True:
                    await self._next_close()
            except Exception as error:  # the edge of the loop: the store, or something nobody thought of
                log.exception("trading broke off")
                # What is in memory may be half a step ahead of the store: only a new beginning sets them right.
                await self._tell_of(error)
                await asyncio.sleep(AGAIN_AFTER)

    async def _tell_of(self, error: Exception) -> None:
        reason = str(error) if isinstance(error, JulabaError) else f"{type(error).__name__}: {str(error)[:200]}"
        try:
            await self.faults.raised("trading", "Trading broke off and begins again from the store", reason)
        except Exception:  # the store that failed is also the one that keeps alerts
            log.exception("the alert could not be stored")

    async def _begin(self) -> None:
        """Starting and recovering: memory from the store, pairs checked, what was missed worked through."""
        async with self._loop.changing:
            await self._loop.start()
        while True:
            try:
                missed = await self._recover()
                break
            except MarketError as error:
                await self.faults.raised("exchange", "The exchange does not answer", str(error))
                await asyncio.sleep(_pause(error))
        if not self.ready.is_set():
            await self._say_started(missed)
            self.ready.set()
        await self.faults.cleared("trading", "Trading goes on")
        await self.faults.cleared("exchange", "The exchange answers again")
        self._settle(self._ticked)

    async def _next_close(self) -> None:
        # A close that fell into the last one's work, or into the recovery, is looked at now and not skipped.
        last = self._frame.floor(to_ms(self._clock.now()))
        close = last if last > self._ticked else last + self._frame.ms
        await self._clock.sleep_until(to_datetime(close) + timedelta(seconds=self._settings.exchange.grace))
        self._ticked = close
        await self._tick(close)
        self._settle(close)

    def _settle(self, close: int) -> None:
        self.settled = close
        self.closed.ring()

    async def save(self) -> None:
        """Writes candles that are only in memory to the candle files; they could also be fetched again."""
        unsaved, self._unsaved = self._unsaved, {}  # candles go on coming while these are written
        failed: list[str] = []
        for pair, parts in unsaved.items():
            whole = reduce(Candles.joined, parts)
            try:
                await asyncio.to_thread(self._candles.save, whole)
            except (DataError, OSError) as error:
                failed.append(f"{pair}: {error}")
                self._unsaved[pair] = [whole, *self._unsaved.get(pair, [])]
        if failed:
            await self.faults.raised("files", "Candles cannot be written to the disk", "; ".join(failed))
        elif unsaved:
            await self.faults.cleared("files", "Candles are written again")

    def watched(self) -> tuple[Pair, ...]:
        """All wanted pairs that the exchange still lists."""
        return tuple(p for p in self._wanted() if p not in self.notes)

    def _wanted(self) -> tuple[Pair, ...]:
        """The configured pairs, those with something open, and BTC as the reference."""
        return tuple(dict.fromkeys([*self._settings.traded, *self._loop.followed(), self._settings.btc]))

    async def _recover(self) -> int:
        """Checks the pairs, loads history, runs what was missed through the same steps as any candle; how many."""
        now_ms = await self._market.server_time()
        self._ticked = self._frame.floor(now_ms)
        await self._check_pairs()
        missed = await self._catch_up(self.watched(), now_ms)
        if self._lacking and self._lacking >= set(self.watched()):
            raise MarketError("the history of no pair could be had")
        return missed

    async def _catch_up(self, pairs: Iterable[Pair], now_ms: int) -> int:
        """These pairs' history, then what they missed, as any candle. A pair that fails is left in ``_lacking``."""
        history = await self._history(tuple(pairs), now_ms)
        missed = {}
        for pair, candles in history.items():
            handled = self._loop.handled(pair)
            cut = handled + 1 if handled is not None else None
            self._loop.warm(candles if cut is None else candles.between(None, cut))
            if cut is not None and len(candles.between(cut, None)):
                missed[pair] = candles.between(cut, None)
        await self._handle_missed(missed, history)
        return sum(len(c) for c in missed.values())

    async def _handle_missed(self, missed: Mapping[Pair, Candles], history: Mapping[Pair, Candles]) -> None:
        if not missed:
            return
        btc = self._settings.btc
        first = min(int(c.time[0]) for c in missed.values())
        if btc in history and btc not in missed:
            self._loop.warm(history[btc].between(None, first))
            missed = {**missed, btc: history[btc].between(first, None)}
        await self._loop.handle(missed)

    async def _history(self, pairs: tuple[Pair, ...], now_ms: int) -> dict[Pair, Candles]:
        """Each pair's candles: all that the loop's values at the last one it has handled depend on, up to now."""
        handled = [h for p in pairs if (h := self._loop.handled(p)) is not None]
        oldest = min([self._frame.floor(now_ms) - self._frame.ms, *handled])
        found: dict[Pair, Candles] = {}

        async def one(pair: Pair) -> None:
            start = history_start(pair, self._frame, oldest, self._settings.candles.history)
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
                candles = await asyncio.to_thread(self._candles.load, pair, self._frame, start, now_ms)
            except UnknownPair as error:
                await self._refused(pair, str(error))
            except (MarketError, DataError, OSError) as error:
                log.warning("%s: %s", pair, error)
                self._lacking.add(pair)
                await self.faults.raised(f"feed:{pair}", f"{pair}: its history cannot be had", str(error))
            else:
                self._lacking.discard(pair)
                found[pair] = candles
                await self._listed_again(pair)

        await asyncio.gather(*(one(pair) for pair in pairs))
        return found

    async def _check_pairs(self) -> None:
        """Pairs the exchange does not trade (renamed, delisted, paused) are switched off with one alert each.

        One that had been stopped and is listed now is watched again; it stays off until a person switches it on.
        """
        problems = check_pairs(await self._market.markets(), self._wanted(), self._settings.exchange.renames)
        self._checked_day = to_ms(self._clock.now()) // DAY_MS
        for problem in problems:
            await self._stop(problem.pair, problem.reason, str(problem.successor) if problem.successor else None)
        for pair in set(self.notes) - {problem.pair for problem in problems}:
            del self.notes[pair]
            self._lacking.add(pair)

    async def _refused(self, pair: Pair, reason: str) -> None:
        """The exchange would not give this pair's candles: its list of markets may say why."""
        try:
            await self._check_pairs()
        except MarketError as error:
            log.warning("the list of markets: %s", error)
        if pair not in self.notes:
            await self._stop(pair, reason, None)

    async def _stop(self, pair: Pair, reason: str, successor: str | None) -> None:
        self.notes[pair] = reason
        self._lacking.discard(pair)
        self.faults.forget(f"feed:{pair}")
        switch, now = Switch(False, reason), self._clock.now()
        async with self._loop.changing:
            if self._loop.memory.switches.get(pair) == switch:
                return  # told before
            held = self._loop.account.position(pair) is not None
            event = PairStopped(
                key=f"pair_stopped:{pair}:{to_ms(now)}",
                time=now,
                pair=str(pair),
                reason=f"{reason}; its open position stays at the last price" if held else reason,
                successor=successor,
            )
            await self._ledger.set_switch(pair, switch, [event])
            self._loop.memory.switches[pair] = switch
        self._bell.ring()

    async def _listed_again(self, pair: Pair) -> None:
        """Told once, and left to a person: what it was away for may be a reason not to trade it."""
        now = self._clock.now()
        async with self._loop.changing:
            switch = self._loop.memory.switches.get(pair)
            if switch is None or switch.enabled or switch.reason.startswith((SWITCHED_BY, LISTED_AGAIN)):
                return
            event = Notice(
                key=f"recovered:pair:{pair}:{to_ms(now)}",
                time=now,
                topic="recovered",
                title=f"{pair} is traded again",
                detail=f"It had been stopped: {switch.reason}. It stays off until you switch it on.",
            )
            switch = Switch(False, LISTED_AGAIN)
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
        """One close: pairs that have their candle go first, the others are asked again until the next close."""
        waiting, trouble = set(self.watched()) - self._lacking, MarketError("it gives no candle")
        following, attempt = close + self._frame.ms, 0
        while waiting and (attempt == 0 or to_ms(self._clock.now()) < following):
            if attempt:
                await self._before(following, asyncio.sleep(_wait(trouble, attempt)))
            if attempt == TELL_AFTER:
                await self._tell_feed(waiting, trouble)
            attempt += 1
            try:
                # The first asking is never broken off: where candles are short, nothing would ever be handled.
                first = attempt == 1
                asking = self._ask(waiting, close, first)
                answer = await asking if first else await self._before(following, asking)
            except MarketError as error:
                trouble = error
                await self._tell_wait(trouble)
                continue
            if answer is None:
                break  # the next close is here, and this one's late pairs come with it
            now_ms, arrived, failures = answer
            trouble = failures[0] if failures else trouble
            await self._tell_wait(failures[0] if failures else None)
            await self._loop.handle(arrived)
            waiting -= {p for p, c in arrived.items() if int(c.time[-1]) + self._frame.ms >= close}
            waiting &= set(self.watched())
            self._keep(arrived)
            if now_ms >= following:
                break
        await self._look_after(close)
        await self._tell_feed(waiting, trouble)
        if any(sum(len(c) for c in parts) >= SAVE_AFTER for parts in self._unsaved.values()):
            await self.save()

    async def _ask(
        self, pairs: set[Pair], close: int, hurry: bool
    ) -> tuple[int, dict[Pair, Candles], list[MarketError]]:
        """The exchange's time and what has closed by it."""
        now_ms = await self._market.server_time()
        return now_ms, *(await self._fetch(pairs, close, now_ms, hurry))

    async def _before(self, close: int, work: Coroutine[Any, Any, T]) -> T | None:
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

    async def _tell_wait(self, trouble: MarketError | None) -> None:
        """A long pause that the exchange wants is told at once: nothing is watched until it is over."""
        if isinstance(trouble, RateLimited) and trouble.retry_after >= LONG_WAIT:
            until = self._clock.now() + timedelta(seconds=trouble.retry_after)
            await self.faults.raised(
                "rate", f"The exchange asks us to wait until {until:%H:%M} UTC", "No pair is watched until then."
            )
        elif trouble is None:
            await self.faults.cleared("rate", "The exchange lets us ask again")

    async def _tell_feed(self, waiting: set[Pair], trouble: MarketError) -> None:
        """Alerts once for what stays away, once for what comes again."""
        watched = set(self.watched())
        late = (waiting & watched) | self._lacking
        if late and late == watched:
            await self.faults.raised("exchange", "The exchange does not answer", str(trouble))
            return
        await self.faults.cleared("exchange", "The exchange answers again")
        for pair in sorted(late - self._lacking):
            await self.faults.raised(f"feed:{pair}", f"{pair}: no candle since {self._since(pair)}", str(trouble))
        for pair in sorted(watched - late):
            await self.faults.cleared(f"feed:{pair}", f"{pair}: candles come again")

    def _patience(self, pairs: int) -> float:
        """Seconds for the first answers: requests leave one after the other, and nobody waits for one that hangs."""
        return PATIENCE + pairs * self._settings.exchange.rate_limit_ms / 1000

    async def _look_after(self, close: int) -> None:
        """The day's look at the exchange's list, and the history that could not be had before."""
        if close // DAY_MS > self._checked_day:
            try:
                await self._check_pairs()
            except MarketError as error:
                log.warning("the list of markets: %s", error)
        if self._lacking:
            await self._catch_up(sorted(self._lacking), max(close, to_ms(self._clock.now())))

    def _since(self, pair: Pair) -> str:
        window = self._loop.memory.windows.get(pair)
        last = to_datetime(int(window.time[-1]) + self._frame.ms) if window is not None and len(window) else None
        return f"{last:%d %b %H:%M} UTC" if last else "the start"

    async def _fetch(
        self, pairs: set[Pair], close: int, now_ms: int, hurry: bool
    ) -> tuple[dict[Pair, Candles], list[MarketError]]:
        """What has closed by the exchange's own time since each pair's newest candle, and what went wrong.

        ``hurry``: a pair that does not answer soon is left for the next time, so that it holds up no other.
        """
        patience = self._patience(len(pairs)) if hurry else None
        found: dict[Pair, Candles] = {}
        failures: list[MarketError] = []

        async def one(pair: Pair) -> None:
            window = self._loop.memory.windows.get(pair)
            known = window is not None and len(window) > 0
            start = int(window.time[-1]) + self._frame.ms if known and window else close - self._frame.ms
            try:
                async with asyncio.timeout(patience):
                    candles = await self._market.candles(pair, self._frame, start, self._frame.floor(now_ms), now_ms)
            except UnknownPair as error:
                await self._refused(pair, str(error))
            except TimeoutError:
                failures.append(MarketError(f"{pair}: no answer yet"))
            except MarketError as error:
                log.warning("%s: %s", pair, error)
                failures.append(error)
            else:
                if len(candles):
                    found[pair] = candles

        await asyncio.gather(*(one(pair) for pair in sorted(pairs)))
        # A wish to slow down comes first: MEXC bans addresses that go on asking.
        failures.sort(key=lambda error: not isinstance(error, RateLimited))
        return found, failures

    def _keep(self, arrived: Mapping[Pair, Candles]) -> None:
        for pair, candles in arrived.items():
            self._unsaved.setdefault(pair, []).append(candles)


def _pause(error: MarketError) -> float:
    return error.retry_after if isinstance(error, RateLimited) else AGAIN_AFTER


def _wait(trouble: MarketError, attempt: int) -> float:
    """Seconds until a pair is asked again: as long as the exchange wants, else half a second that slowly grows."""
    pause = min(LONGEST_PAUSE, PAUSE * max(1.0, attempt / TELL_AFTER))
    return max(pause, trouble.retry_after) if isinstance(trouble, RateLimited) else pause
