"""Looks at everything that runs and says how it is, in sentences and in figures."""

from __future__ import annotations

import asyncio
import logging
import resource
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from core import __version__
from core.config import Settings
from core.domain.candles import to_datetime, to_ms
from core.domain.health import ChatHealth, Health, PairHealth, ProcessHealth, TradingHealth, Trouble
from core.errors import StoreError
from core.ports import ChatStore, Clock, Ledger
from core.services.lag import LagWatch
from core.services.live import LiveTrading
from core.services.loop import TradingLoop

log = logging.getLogger(__name__)

ALIVE = "alive"
"""The mark written every minute: proof that the database takes a transaction. It always says the same."""

COMMIT_EVERY = 60.0  # seconds of wall time
LOOK_EVERY = 10.0
LOOK_WITHIN = 3.0  # seconds of wall time for what is asked of the database
STANDS = 60.0  # seconds of wall time without a close settled; simulated candles may be a fraction of one
LAG = 2.0  # seconds of a hold-up that are worth a word
OLD_ALERT = 600.0  # seconds that an alert may wait for the chat
START_WITHIN = 120.0  # seconds of wall time


@dataclass(frozen=True, slots=True)
class ChatLine:
    """What the chat says of itself: seconds since Telegram last answered, what is wrong, how often it was rebuilt."""

    silent: float
    trouble: str
    restarts: int
    patience: float  # seconds of silence that are no fault


class HealthWatch:
    """``await look()`` gives the Health of this moment; ``run`` beside the work takes the samples it is made of.

    ``chat_line`` is set by whoever has a chat. ``paused`` and ``training`` are asked of the desk.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        ledger: Ledger,
        chat: ChatStore,
        loop: TradingLoop,
        live: LiveTrading,
        paused: Callable[[], str],
        training: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._ledger = ledger
        self._chat = chat
        self._loop = loop
        self._live = live
        self._paused = paused
        self._training = training
        self._lag = LagWatch()
        self._began: float | None = None  # loop seconds
        self._committed: float | None = None  # loop seconds
        self._oldest: tuple[int, float] | None = None  # the oldest waiting alert (epoch ms), first seen (loop seconds)
        self._refusals = 0  # commits in a row that the database refused
        self._refusal = ""  # why, the last time
        self._settled = (0, 0.0)  # the newest close as last seen (epoch ms), and since when (loop seconds)
        self.chat_line: Callable[[], ChatLine] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        self._began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._lag.run())
            tasks.create_task(self._keep_committing())
            tasks.create_task(self._keep_looking())

    async def _keep_committing(self) -> None:
        while True:
            await self.commit()
            # Refused once may be a passing lock: it is asked again soon, before anybody calls it down.
            await asyncio.sleep(COMMIT_EVERY / 6 if self._refusals else COMMIT_EVERY)

    async def commit(self) -> None:
        """Tries whether the database takes a transaction."""
        try:
            await self._ledger.set_mark(ALIVE, "yes")
            self._committed, self._refusals = asyncio.get_running_loop().time(), 0
        except Exception as error:  # the edge of a loop: whatever the database does, this one goes on looking
            self._refusals += 1
            known = isinstance(error, StoreError)
            self._refusal = f"{error}." if known else "The database takes no commit; see the log."
            log.warning("the database took no commit: %s", error)

    async def _keep_looking(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY)

    async def look(self) -> Health:
        """Never raises, and never waits long for anything."""
        now = self._clock.now()
        self._unmoved()
        trading, pairs, process = self._trading(), self._pairs(to_ms(now)), self._process()
        chat, database = await self._chat_health()
        offset = self._live.feed.watch.offset
        troubles = [*self._troubles(trading, process), *database, *self._chat_troubles(chat)]
        return Health(now, tuple(troubles), trading, pairs, chat, process, offset)

    def _unmoved(self) -> float:
        """Our own seconds since the newest settled close was first seen."""
        now = asyncio.get_running_loop().time()
        if self._settled[0] != self._live.settled:
            self._settled = self._live.settled, now
        return now - self._settled[1]

    def _trading(self) -> TradingHealth:
        live, frame = self._live, self._settings.frame
        started = live.ready.is_set()
        grace_ms = self._settings.exchange.grace * 1000
        overdue = to_ms(self._clock.now()) - grace_ms - (live.settled + frame.ms) if started else 0.0
        account = self._loop.account if started else None
        return TradingHealth(
            started=started,
            last_close=to_datetime(live.last_close) if started and live.last_close else None,
            late=max(0.0, overdue / 1000),
            equity=account.equity if account else 0.0,
            open_trades=len(account.positions) if account else 0,
            paused=self._paused() if started else "",
            restarts=live.restarts,
        )

    def _pairs(self, now_ms: int) -> tuple[PairHealth, ...]:
        if not self._live.ready.is_set():
            return ()
        frame, quarantined = self._settings.frame.ms, self._live.quarantine.pairs
        ages = {
            pair: None if (newest := self._live.feed.newest(pair)) is None else (now_ms - newest - frame) / 1000
            for pair in self._live.watched()
        }
        return tuple(PairHealth(str(pair), age, quarantined.get(pair, "")) for pair, age in ages.items())

    def _process(self) -> ProcessHealth:
        now = asyncio.get_running_loop().time()
        uptime = 0.0 if self._began is None else now - self._began
        age = None if self._committed is None else now - self._committed
        return ProcessHealth(__version__, uptime, memory(), self._lag.longest, age, self._training())

    async def _chat_health(self) -> tuple[ChatHealth, list[Trouble]]:
        line = self.chat_line() if self.chat_line else None
        silent, trouble, restarts = (line.silent, line.trouble, line.restarts) if line else (None, "", 0)
        try:
            waiting, oldest = await _soon(self._chat.waiting())
        except Exception as error:  # a health page that fails with what it reports on would be of no use
            health = ChatHealth(silent, trouble, restarts, 0, None)
            return health, [Trouble("down", f"The database cannot be read: {str(error) or 'no answer'}.")]
        return ChatHealth(silent, trouble, restarts, waiting, self._waited(oldest)), []

    def _waited(self, oldest: int | None) -> float | None:
        """By our own seconds: a simulated exchange's may be thousands of times as many."""
        if oldest is None:
            self._oldest = None
            return None
        now = asyncio.get_running_loop().time()
        if self._oldest is None or self._oldest[0] != oldest:
            self._oldest = oldest, now
        return now - self._oldest[1]

    def _troubles(self, trading: TradingHealth, process: ProcessHealth) -> list[Trouble]:
        found = []
        if self._live.standstill.hangs:
            found.append(Trouble("down", "Trading hangs and cannot be begun anew; restart Julaba."))
        if not trading.started and not self._live.faults.active:
            late = process.uptime > START_WITHIN
            found.append(Trouble("degraded", "Starting takes long." if late else "Starting."))
        if trading.late > 2 * self._settings.frame.ms / 1000 and self._unmoved() > STANDS:
            found.append(Trouble("degraded", f"Trading is {trading.late / 60:.0f} min behind the clock."))
        for name, title in self._live.faults.named:
            found.append(Trouble("down" if name == "trading" else "degraded", f"{title}."))
        if self._refusals and self._refusal not in {t.sentence for t in found}:
            found.append(Trouble("down" if self._refusals > 1 else "degraded", self._refusal))
        # Before the loop has its memory from the store, nobody can say what is watched.
        watched = self._live.watched() if trading.started else ()
        missing = set(self._live.quarantine.pairs) - {p for p in watched if self._live.faults.is_active(f"feed:{p}")}
        found += [Trouble("degraded", f"{pair} is quarantined.") for pair in sorted(missing)]
        if process.loop_lag >= LAG:
            found.append(Trouble("degraded", f"The event loop was held up for {process.loop_lag:.0f} s; see the log."))
        return found

    def _chat_troubles(self, chat: ChatHealth) -> list[Trouble]:
        found = [Trouble("degraded", f"{chat.trouble[:1].upper()}{chat.trouble[1:]}.")] if chat.trouble else []
        line = self.chat_line() if self.chat_line else None
        if line and not chat.trouble and line.silent > line.patience:
            found.append(Trouble("degraded", f"Telegram has not answered for {line.silent:.0f} s."))
        if chat.oldest is not None and chat.oldest > OLD_ALERT and not chat.trouble:
            words = "1 alert waits" if chat.waiting == 1 else f"{chat.waiting} alerts wait"
            found.append(Trouble("degraded", f"{words}, the oldest for {chat.oldest / 60:.0f} min."))
        return found


async def _soon(asked: Awaitable[tuple[int, int | None]]) -> tuple[int, int | None]:
    async with asyncio.timeout(LOOK_WITHIN):
        return await asked


def memory() -> int | None:
    """Bytes this process holds in memory now; where only the highest is known, that one."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
