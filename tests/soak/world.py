"""The servers of a soak and the process that lives among them: started, killed, started again."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.domain.candles import Timeframe
from julaba_tg.phone.bot_api import Phone
from julaba_tg.phone.chats import Change
from julaba_tg.phone.clock import SimClock
from julaba_tg.phone.exchange import CandleSource, Exchange
from julaba_tg.phone.gemini import Gemini

ROOT = Path(__file__).parents[2]
M15 = Timeframe.parse("15m")
START = datetime(2026, 3, 2, tzinfo=UTC)
SPEAKER, ALERTED = 1001, 1002
"""Who commands, and in whose chat the alerts (and nothing else) appear, cards to answer among them."""

LOOK_EVERY = 0.01  # seconds between two looks into the process's database
STUCK_AFTER = 120.0  # seconds of wall time for one close, a training and several starts included
PING_PATH = "the-ping-of-the-soak"
GEMINI_KEY = "a-gemini-key-of-the-soak"

RUN = "from core.adapters import clocks; clocks.LONGEST_WAIT = 0.02; from julaba_tg.cli import main; main()"
"""``julaba`` as it is, but for how often it looks at a clock that leaps: a second for each close would be an hour."""

CONFIG = """
timeframe: 15m
clock: exchange
pairs: [{symbol: LINK/USDT}, {symbol: ETH/USDT}, {symbol: SOL/USDT}, {symbol: AVAX/USDT}%(more)s]
access: {users: {"1001": approver, "1002": approver}}
# What is not in the outbox, and words that say how late they come, differ from life to life.
notify: {pinned: false, daily_at: "", weekly_at: ""}
telegram: {chat_id: 1002, poll_timeout: 5}
strategy:
  {adx_min: 5, volume_ratio_min: 0.2, rsi_long_max: 90, rsi_short_min: 10, cooldown_bars: 2, max_bars: 60,
   refused_regimes: []}
rules: {alignment: record, btc: record}
portfolio: {max_correlated: 3, max_open_risk: 0.2, daily_loss: 0.5, drawdown_pause: 0.9, drawdown_warn: 0.8}
exchange: {rate_limit_ms: 0, grace: 0}
ml: {bootstrap_days: 30, threshold: 0, retrain_after: %(retrain_after)d}
approvals: {expire_hours: %(expire_hours)d}
gemini: {model: gemini-demo}
health: {port: 0}
"""


class OrphanError(AssertionError):
    """A process of the bot outlived it."""


@dataclass
class Life:
    """One process from its start to its end; ``last_alert`` is the newest message that came to the alerts' chat.

    ``said``: how much had been printed before it began.
    """

    said: int
    last_alert: int | None = None
    killed_while: str = ""


@dataclass
class World:
    """The servers stay, the process comes and goes. Time stands still but for ``clock.step``."""

    folder: Path
    phone: Phone
    exchange: Exchange
    gemini: Gemini
    process: asyncio.subprocess.Process | None = None
    lives: list[Life] = field(default_factory=list)
    ending: bool = False
    first: str = ""  # code that the process runs before its own
    alerted: asyncio.Event = field(default_factory=asyncio.Event)
    ends: list[asyncio.Task[None]] = field(default_factory=list)  # of the processes of killed lives

    @property
    def clock(self) -> SimClock:
        return self.exchange.clock

    @property
    def database(self) -> Path:
        return self.folder / "data" / "julaba.sqlite"

    @property
    def errors(self) -> Path:
        return self.folder / "stderr.log"

    async def launch(self) -> None:
        environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),  # this tree's own code, wherever another one is installed
            "TELEGRAM_BOT_TOKEN": self.phone.token,
            "GEMINI_API_KEY": GEMINI_KEY,
            "JULABA_PING_URL": f"{self.exchange.base_url}/{PING_PATH}",
            "JULABA__TELEGRAM__BASE_URL": self.phone.base_url,
            "JULABA__EXCHANGE__BASE_URL": self.exchange.base_url,
            "JULABA__GEMINI__BASE_URL": self.gemini.base_url,
        }
        command = (sys.executable, "-c", self.first + RUN, "run", "--config", "config.yaml")
        with (self.folder / "stdout.log").open("ab") as said, self.errors.open("ab") as errors:
            self.lives.append(Life(said=said.tell()))
            self.process = await asyncio.create_subprocess_exec(
                *command, cwd=self.folder, env=environ, stdout=said, stderr=errors, start_new_session=True
            )

    async def kill(self, why: str) -> None:
        """SIGKILL to the process alone: its children must find out by themselves, see ``end``."""
        assert self.process is not None
        assert self.process.returncode is None, f"it ended by itself with {self.process.returncode}: {self.errors}"
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
        self.lives[-1].killed_while = why
        self.ends.append(asyncio.create_task(no_orphan(self.process.pid)))

    async def end(self) -> None:
        """Ctrl-C once it is up, and nothing is left of it or of those that were killed. Raises OrphanError."""
        assert self.process is not None
        await self.up()
        self.ending = True
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
            await asyncio.wait_for(self.process.wait(), 30)
        assert self.process.returncode == 130, f"it ended with {self.process.returncode}: {self.errors}"
        await asyncio.gather(no_orphan(self.process.pid), *self.ends)

    async def up(self) -> None:
        """Returns when the present process says that it is ready."""
        await self.until(lambda: "ready " in self.said[self.lives[-1].said :], "the last start")

    @property
    def said(self) -> str:
        """All that was printed so far."""
        return (self.folder / "stdout.log").read_text()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What the process has committed; nothing where its database is not there yet."""
        try:
            with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=1)) as db:
                return db.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + STUCK_AFTER
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {STUCK_AFTER:g} s; see {self.errors} and its logs")
            died = self.process is not None and self.process.returncode not in {None, -signal.SIGKILL}
            assert not died or self.ending, f"it ended by itself: {self.errors.read_text()[-2000:]}"
            await asyncio.sleep(LOOK_EVERY)

    async def settled(self, close: int) -> None:
        """Returns when everything of this close is done: candles, reviews, trainings."""
        await self.until(lambda: self._upkept() >= close and not self._training(), f"the close {close}")

    def _upkept(self) -> int:
        found = self.rows("SELECT value FROM marks WHERE name = 'upkeep'")
        return int(found[0][0]) if found else 0

    def _training(self) -> bool:
        found = self.rows("SELECT json_extract(value, '$.open') FROM marks WHERE name = 'training'")
        return bool(found and found[0][0])

    def training(self) -> bool:
        return self._training()

    async def handled(self, update_id: int) -> None:
        """Returns when what a person said or pressed is dealt with, for good."""
        sql = f"SELECT 1 FROM updates WHERE update_id = {update_id} AND body IS NULL"
        await self.until(lambda: bool(self.rows(sql)), f"the update {update_id}")

    async def told(self) -> None:
        """Returns when no alert waits any more."""
        await self.until(lambda: not self.rows("SELECT 1 FROM outbox WHERE state = 'pending' LIMIT 1"), "the alerts")

    def listen(self, change: Change) -> None:
        message = change.message
        if change.kind == "message" and message is not None and message.chat_id == ALERTED and message.from_bot:
            newest = self.lives[-1].last_alert or 0
            if message.message_id > newest:  # else an edit
                self.lives[-1].last_alert = message.message_id
                alerted, self.alerted = self.alerted, asyncio.Event()
                alerted.set()


async def no_orphan(group: int, patience: float = 60.0) -> None:
    """The whole process group is gone soon after its head. Raises OrphanError, and ends what is left."""
    deadline = time.monotonic() + patience
    while left := members(group):
        if time.monotonic() > deadline:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            raise OrphanError(f"these outlived the bot {group}: {left}")
        await asyncio.sleep(0.05)


def members(group: int) -> list[int]:
    """The processes of a group, dead ones that nobody has fetched left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if stat[0] != "Z" and int(stat[2]) == group:
            found.append(int(entry.name))
    return found


@asynccontextmanager
async def world(folder: Path, source: CandleSource, **settings: Any) -> AsyncIterator[World]:
    """Fresh servers and an empty folder; nothing of the process is left behind, however this ends."""
    folder.mkdir(parents=True)  # noqa: ASYNC240 - before anything runs
    values = {"more": "", "retrain_after": 40, "expire_hours": 24, "first": "", **settings}
    (folder / "config.yaml").write_text(CONFIG % values)
    clock = SimClock(START, timeframe=M15)
    clock.pause()
    clock.set(START)  # exactly: some milliseconds have passed since
    phone, exchange, gemini = Phone(), Exchange(source, clock), Gemini()
    made = World(folder, phone, exchange, gemini, first=str(values["first"]))
    phone.chats.listeners.append(made.listen)
    for server in (phone, exchange, gemini):
        await server.start()
    try:
        yield made
    finally:
        made.ending = True
        if made.process is not None:
            if made.process.returncode is None:
                made.process.kill()
                await made.process.wait()
            await asyncio.gather(no_orphan(made.process.pid), *made.ends)
        for server in (gemini, exchange, phone):
            await server.stop()
