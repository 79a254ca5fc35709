"""``julaba run`` as a process of its own, on five pairs, among servers that speak as the exchange and Telegram do."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from julaba_tg.cli_demo import keep_in_step
from julaba_tg.phone.bot_api import Phone
from julaba_tg.phone.clock import SimClock
from julaba_tg.phone.exchange import Exchange
from julaba_tg.phone.gemini import Gemini
from julaba_tg.phone.market_sim import MarketSim
from tests.bench.measure import ROOT

OWNER = 1001
START = datetime(2026, 3, 2, tzinfo=UTC)
SEED = 246
LEARN_DAYS = 120

CONFIG = """
clock: exchange
access: {users: {"1001": approver}}
pairs: [{symbol: LINK/USDT}, {symbol: ETH/USDT}, {symbol: SOL/USDT}, {symbol: AVAX/USDT}, {symbol: POL/USDT}]
telegram: {poll_timeout: 5}
exchange: {rate_limit_ms: 0, grace: 0}
gemini: {model: gemini-demo}
health: {port: 0}
"""
_PROGRAM = "from julaba_tg.cli import main; main()"


@dataclass
class World:
    folder: Path
    phone: Phone
    clock: SimClock
    process: asyncio.subprocess.Process

    async def ask(self, text: str, part: str, patience: float = 60.0) -> float:
        """Seconds until the bot has answered a command with words that only its answer has."""
        newest = max((m.message_id for m in self.phone.messages(OWNER)), default=0)
        began = asyncio.get_running_loop().time()
        self.phone.say(OWNER, text)
        await self.phone.wait_for(lambda m: part in m.text, patience, chat_id=OWNER, after=newest)
        return asyncio.get_running_loop().time() - began

    def memory(self) -> float:
        """The process's resident memory in MB, without its children."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    async def learned(self, patience: float = 300.0) -> None:
        """Waits for the first champion."""
        async with asyncio.timeout(patience):
            while not (self.folder / "data" / "models" / "champion.json").exists():  # noqa: ASYNC110 - another's file
                await asyncio.sleep(0.5)

    @property
    def handled(self) -> int | None:
        """The newest close that the process has committed, epoch ms."""
        with closing(sqlite3.connect(f"file:{self.folder}/data/julaba.sqlite?mode=ro", uri=True)) as db:
            newest = db.execute("SELECT max(open_time) FROM cursors").fetchone()[0]
        return None if newest is None else int(newest) + self.clock.timeframe.ms

    @asynccontextmanager
    async def going(self, speed: float) -> AsyncIterator[None]:
        """Time passes, so many candles a second at most: it waits for the process."""
        self.clock.set_speed(speed)
        keeping = asyncio.create_task(keep_in_step(self.clock, lambda: self.handled))
        try:
            yield
        finally:
            keeping.cancel()
            self.clock.pause()


def julaba(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", _PROGRAM, *arguments)


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """The bot, up and answering, in an existing ``folder`` whose ``data`` is its past. Time stands still."""
    clock = SimClock(START, 1.0)
    clock.pause()
    phone, exchange, gemini = Phone(), Exchange(MarketSim(SEED), clock), Gemini()
    await phone.start(port=0)
    await exchange.start()
    await gemini.start()
    (folder / "config.yaml").write_text(CONFIG + f"ml: {{bootstrap_days: {LEARN_DAYS}}}\n", encoding="utf-8")
    environ = {
        **{name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")},
        "PYTHONPATH": str(ROOT),
        "TELEGRAM_BOT_TOKEN": phone.token,
        "GEMINI_API_KEY": "the-stand-in-needs-none",
        "JULABA__TELEGRAM__BASE_URL": phone.base_url,
        "JULABA__EXCHANGE__BASE_URL": exchange.base_url,
        "JULABA__GEMINI__BASE_URL": gemini.base_url,
    }
    with (folder / "stderr.log").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *julaba("run"), cwd=folder, env=environ, stdout=asyncio.subprocess.PIPE, stderr=errors
        )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 120)
        if not line.startswith(b"ready"):
            raise RuntimeError((folder / "stderr.log").read_text()[-2000:])
        yield World(folder, phone, clock, process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()
        await gemini.stop()
        await exchange.stop()
        await phone.stop()
