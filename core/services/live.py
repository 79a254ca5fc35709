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
from core.domain.candles import Candles, Pair, to_datetime, to_ms
from core.domain.messages import Notice
from core.engine.history import history_start
from core.errors import DataError, JulabaError, MarketError, RateLimited, StoreError, UnknownPair
from core.ports import CandleStore, Clock, Ledger, MarketData
from core.services.bus import Bell
from core.services.candle_keeper import CandleKeeper
from core.services.faults import Faults
from core.services.feed import NO_NEWS, Feed, pause_after
from core.services.fetch import fetch_history
from core.services.listing import UNWATCHED, Changed, Listing
from core.services.loop import TradingLoop
from core.services.quarantine import Quarantine
from core.services.standstill import Standstill, StoodStill

log = logging.getLogger(__name__)

TELL_AFTER = 60  # attempts at one close, before a pair that stays away is told of
AGAIN_AFTER = 5.0  # seconds of wall time after an exchange or a store that failed as a whole
START_PATIENCE = 60.0  # seconds of wall time for a pair's history when it starts
PATIENCE = 20.0  # the same for one that comes later than the others
EXCHANGE_WELL = "Candles come from the exchange again"
LONGEST_BACK_OFF = 30.0  # seconds; asked earlier than it wishes, the market itself keeps silent


class LiveTrading:
    """Owns the loop's time. ``run`` ends only by cancel.

    ``ready`` is set once it has started; ``settled`` is the newest close of which everything is done (epoch ms), and
    ``closed`` rings then.
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
        self._lacking: set[Pair] = set()  # watched, but not with the others: their history is to be had first
        self._ticked = 0  # the newest close looked at, epoch ms
        self._signs = 0  # of life, for the standstill watch
        self.restarts = 0  # how often trading broke off or stood still, and began again
        self.settled = 0
        self.greets = True  # says that Julaba is running; not where it only begins again by itself
        self.closed = Bell()
        self.faults = Faults(clock, ledger, bell)
        self.feed = Feed(settings, clock, market, loop, self.faults)
        self.listing = Listing(settings, clock, market, ledger, loop, bell)
        self.quarantine = Quarantine(settings.frame.ms)
        self.standstill = Standstill(clock, settings, lambda: (self._signs, self._ticked, loop.last_close))
        self._keeper = CandleKeeper(market, candles, self.faults, settings.frame)
        self.ready = asyncio.Event()

    @property
    def last_close(self) -> int | None:
        """The newest close that has been handled (epoch ms); None before the first."""
        return self._loop.last_close

    @property
    def notes(self) -> Mapping[Pair, str]:
        """Why a pair is not watched: the exchange does not trade it. It is looked at again each day."""
        return self.listing.notes

    def note(self, pair: Pair) -> str:
        """What a person should know of a pair that is not watched as the others are; empty where all is well."""
        held = self.quarantine.pairs.get(pair)
        return self.notes.get(pair, "") or (f"no candles, asked now and then: {held}" if held else "")

    def watched(self) -> tuple[Pair, ...]:
        """All wanted pairs that the exchange still lists."""
        return self.listing.watched()

    async def save(self) -> None:
        """Writes candles that are only in memory to the candle files; they could also be fetched again."""
        await self._keeper.save()

    async def run(self) -> None:
        """Starts, then handles every close until cancelled. Trouble is told and tried again, never raised."""
        while True:
            try:
                await self.standstill.watched(self._trade())
            except Exception as error:  # the edge of the loop: the store, or something nobody thought of
                log.exception("trading broke off")
                # What is in memory may be half a step ahead of the store: only a new beginning sets them right.
                await self._tell_of(error)
                self.restarts += 1
                await asyncio.sleep(AGAIN_AFTER)

    async def _trade(self) -> None:
        await self._begin()
        while True:
            await self._next_close()

    async def _tell_of(self, error: Exception) -> None:
        reason = str(error) if isinstance(error, JulabaError) else f"{type(error).__name__}: {str(error)[:200]}"
        happened = "stood still" if isinstance(error, StoodStill) else "broke off"
        what = f"Trading {happened} and begins again from the store"
        # A full disk is what a person can mend, and all that is seen of an alert that is told when it is over.
        told = (reason, f"{what}.") if isinstance(error, StoreError) else (what, reason)
        try:
            await self.faults.raised("trading", *told)
        except Exception:  # the store that failed is also the one that keeps alerts
            log.exception("the alert could not be stored")

    async def _begin(self) -> None:
        """Starting and recovering: memory from the store, pairs checked, what was missed worked through."""
        await self.faults.start()
        async with self._loop.changing:
            await self._loop.start()
        while True:
            try:
                missed = await self._recover()
                break
            except MarketError as error:
                self._signs += 1
                await self._tell_outage(error)
                await asyncio.sleep(_back_off(error))
        if not self.ready.is_set():
            if self.greets:
                await self._say_started(missed)
            self.ready.set()
        await self.faults.cleared("trading", "Trading goes on")
        await self.faults.cleared("exchange", EXCHANGE_WELL)
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

    async def _say_started(self, missed: int) -> None:
        now, account = self._clock.now(), self._loop.account
        detail = f"{len(account.positions)} open positions, equity {account.equity:,.2f} USDT"
        if missed:
            detail += f"; {missed} missed candles were worked through"
        event = Notice(key=f"started:{to_ms(now)}", time=now, topic="started", title="Julaba is running", detail=detail)
        await self._ledger.publish([event])
        self._bell.ring()

    # -- history: at the start, and for a pair that comes back ---------------------------------------------------------

    async def _recover(self) -> int:
        """Checks the pairs, loads history, runs what was missed through the same steps as any candle; how many."""
        now_ms = await self.feed.watch.server_time()
        self._ticked = self._frame.floor(now_ms)
        self._took_up(await self.listing.check())
        history, failed = await self._history(self.watched(), now_ms, START_PATIENCE)
        if failed and set(failed) >= set(self.watched()):
            raise MarketError(f"the history of no pair could be had: {next(iter(failed.values()))}")
        self._lacking = set(failed)
        for pair, error in failed.items():
            await self._tell_pair(pair, str(error))
        return await self._catch_up(history)

    async def _catch_up(self, history: Mapping[Pair, Candles]) -> int:
        """What these pairs have missed, as any candle; how many candles that was."""
        missed = {}
        for pair, candles in history.items():
            handled = self._loop.handled(pair)
            cut = handled + 1 if handled is not None else None
            self._loop.warm(candles if cut is None else candles.between(None, cut))
            if cut is not None and len(candles.between(cut, None)):
                missed[pair] = candles.between(cut, None)
                self._keeper.note_holes(missed[pair], handled)
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

    async def _history(
        self, pairs: Iterable[Pair], now_ms: int, patience: float
    ) -> tuple[dict[Pair, Candles], dict[Pair, MarketError | DataError | OSError]]:
        """Each pair's candles, all that the loop's values at the last one handled depend on; and what failed.

        A pair that takes longer than ``patience`` (seconds of wall time) has failed: it keeps the others waiting.
        """
        pairs = tuple(pairs)
        handled = [h for p in pairs if (h := self._loop.handled(p)) is not None]
        oldest = min([self._frame.floor(now_ms) - self._frame.ms, *handled])
        found: dict[Pair, Candles] = {}
        failed: dict[Pair, MarketError | DataError | OSError] = {}
        unknown: list[tuple[Pair, str]] = []

        async def one(pair: Pair) -> None:
            start = history_start(pair, self._frame, oldest, self._settings.candles.history)
            market, page = self._market, self._settings.exchange.page
            try:
                async with asyncio.timeout(patience):
                    await fetch_history(market, self._candles, pair, self._frame, start, now_ms, now_ms, page=page)
                found[pair] = await asyncio.to_thread(self._candles.load, pair, self._frame, start, now_ms)
            except UnknownPair as error:
                unknown.append((pair, str(error)))
            except TimeoutError:
                failed[pair] = MarketError(f"no answer within {patience:g} s")
            except (MarketError, DataError, OSError) as error:
                log.warning("%s: %s", pair, error)
                failed[pair] = error
            self._signs += 1

        await asyncio.gather(*(one(pair) for pair in pairs))
        self._took_up(await self.listing.refused(unknown))
        for pair in found:
            await self.listing.listed_again(pair)
        return found, failed

    def _took_up(self, changed: Changed) -> None:
        """Pairs that left the exchange's list are no fault any more; those that came back lack their history."""
        for pair in changed.stopped:
            self._lacking.discard(pair)
            self.quarantine.well(pair)
            self.faults.forget(f"feed:{pair}")
        self._lacking |= changed.back

    # -- one close -----------------------------------------------------------------------------------------------------

    async def _tick(self, close: int) -> None:
        """One close: all pairs are asked, and asked again where they did not answer, until the next close.

        What comes within a moment is decided together, as if nobody had been late; then nobody waits for anybody.
        """
        waiting = {pair for pair in set(self.watched()) - self._lacking if not self._has(pair, close)}
        late, came = dict[Pair, str](), dict[Pair, Candles]()
        trouble, following, attempt = MarketError(NO_NEWS), close + self._frame.ms, 0
        now = asyncio.get_running_loop().time
        together = now() + self.feed.patience(len(waiting))
        while waiting and (attempt == 0 or to_ms(self._clock.now()) < following):
            if attempt:
                await self.feed.before(following, asyncio.sleep(pause_after(trouble, attempt)))
            if attempt == TELL_AFTER:
                await self._tell_late(late)
            attempt += 1
            self._signs += 1
            try:
                # The first asking is never broken off: where candles are short, nothing would ever be handled.
                asking = self.feed.ask(waiting, close, hurry=now() < together)
                answer = await asking if attempt == 1 else await self.feed.before(following, asking)
            except MarketError as error:
                trouble, late = error, dict.fromkeys(waiting, str(error))
            else:
                if answer is None:
                    break
                self._took_up(await self.listing.refused(answer.unknown.items()))
                trouble = answer.trouble or MarketError(NO_NEWS)
                came.update(answer.arrived)
                waiting -= {p for p, c in answer.arrived.items() if int(c.time[-1]) + self._frame.ms >= close}
                waiting &= set(self.watched())
                late = {pair: str(answer.failures.get(pair, NO_NEWS)) for pair in waiting}
                if answer.now_ms >= following:
                    break
            if came and now() >= together:
                await self._take(came)
                came = {}
        await self._take(came)
        await self._after(close, {pair: late.get(pair, NO_NEWS) for pair in waiting})

    def _has(self, pair: Pair, close: int) -> bool:
        """Whether this close's candle came with an earlier one: it had closed by the time that one was answered."""
        newest = self.feed.newest(pair)
        return newest is not None and newest + self._frame.ms >= close

    async def _take(self, came: Mapping[Pair, Candles]) -> None:
        """What came goes through the loop's steps."""
        for pair, candles in came.items():
            if (newest := self.feed.newest(pair)) is not None:
                self._keeper.note_holes(candles, newest)
        await self._loop.handle(came)
        self._keeper.keep(came)

    async def _after(self, close: int, late: Mapping[Pair, str]) -> None:
        """What is left to do when all that came has been handled. ``late``: who did not come, and why."""
        if self.listing.is_due(close):
            try:
                self._took_up(await self.listing.check())
            except MarketError as error:
                log.warning("the list of markets: %s", error)
        late = {pair: reason for pair, reason in late.items() if pair in self.watched()}
        if not self._is_outage(late):
            for pair, reason in late.items():
                self.quarantine.failed(pair, close, reason)
                if pair in self.quarantine:
                    log.warning("%s: quarantined, %s", pair, reason)
                    self._lacking.add(pair)
            for pair in set(self.watched()) - self._lacking - set(late):
                self.quarantine.well(pair)
            await self._ask_lacking(close)
        await self._tell_late(late)
        await self._keeper.look_after(max(close, to_ms(self._clock.now())))

    async def _ask_lacking(self, close: int) -> None:
        """The history of pairs that are not with the others, when they are due."""
        due = self.quarantine.due(self._lacking & set(self.watched()), close)
        if not due:
            return
        now_ms = max(close, to_ms(self._clock.now()))
        history, failed = await self._history(due, now_ms, PATIENCE)
        await self._catch_up(history)
        for pair in due:
            if pair in history and self._has(pair, close):
                self._lacking.discard(pair)
                self.quarantine.well(pair)
            elif pair not in self.notes:
                reason = str(failed.get(pair, NO_NEWS))
                self.quarantine.failed(pair, close, reason)

    # -- what is told --------------------------------------------------------------------------------------------------

    def _is_outage(self, late: Mapping[Pair, str]) -> bool:
        """Whether it is the exchange, and no pair's fault: nobody at all has come, or it asked us to wait."""
        if self.faults.is_active("rate"):
            return True
        watched = set(self.watched())
        return bool(watched - self._lacking) and set(late) >= watched - self._lacking

    async def _tell_late(self, late: Mapping[Pair, str]) -> None:
        """Alerts once for what stays away, once for what comes again."""
        if late and self._is_outage(late):
            await self._tell_outage(MarketError(next(iter(late.values()))))
            return
        await self.faults.cleared("exchange", EXCHANGE_WELL)
        for pair in sorted(late):
            await self._tell_pair(pair, late[pair])
        for pair in sorted(set(self.watched()) - set(late) - self._lacking):
            await self.faults.cleared(f"feed:{pair}", f"{pair}: candles come again")

    async def _tell_outage(self, error: MarketError) -> None:
        if self.faults.is_active("rate"):
            return  # it asked us to wait, and that has been told
        newest = max((n for p in self.watched() if (n := self.feed.newest(p)) is not None), default=None)
        since = "" if newest is None else f" since {to_datetime(newest + self._frame.ms):%d %b %H:%M} UTC"
        title = f"No candles from the exchange{since}"
        await self.faults.raised("exchange", title, str(error))

    async def _tell_pair(self, pair: Pair, reason: str) -> None:
        since = self._since(pair)
        title = f"{pair}: its history cannot be had" if since is None else f"{pair}: no candle since {since}"
        held = f" {UNWATCHED[:1].upper()}{UNWATCHED[1:]}." if self._loop.account.position(pair) is not None else ""
        detail = f"{reason}. No new trade on it until its candles come again; it is asked now and then.{held}"
        await self.faults.raised(f"feed:{pair}", title, detail)

    def _since(self, pair: Pair) -> str | None:
        newest = self.feed.newest(pair)
        return None if newest is None else f"{to_datetime(newest + self._frame.ms):%d %b %H:%M} UTC"


def _back_off(error: MarketError) -> float:
    return min(error.retry_after, LONGEST_BACK_OFF) if isinstance(error, RateLimited) else AGAIN_AFTER
