"""The real process against servers that speak the Bot API, MEXC's routes and Gemini's: alerts, commands, kill -9."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.domain.candles import Candle, Candles, Pair, Timeframe
from julaba_tg.phone.bot_api import Phone
from julaba_tg.phone.clock import SimClock
from julaba_tg.phone.exchange import Exchange
from julaba_tg.phone.gemini import Gemini

OWNER, VIEWER, STRANGER = 1001, 1002, 1003
M1 = Timeframe.parse("1m")
START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
NAMES = ("LINK/USDT", "ETH/USDT", "SOL/USDT", "BTC/USDT")
PERIOD = 120  # minutes; the averages cross twice in it
SPEED = 8.0  # candles a second

CONFIG = """
timeframe: 1m
clock: exchange
pairs: [{symbol: LINK/USDT}, {symbol: ETH/USDT}, {symbol: SOL/USDT}]
access: {users: {"1001": approver, "1002": viewer}}
strategy: {adx_min: 0, volume_ratio_min: 0, rsi_long_max: 100, rsi_short_min: 0, cooldown_bars: 0, max_bars: 30}
rules: {alignment: record, btc: record}
portfolio: {max_correlated: 3, max_open_risk: 0.2}
exchange: {rate_limit_ms: 0, grace: 0}
ml: {bootstrap_days: 30, threshold: 0}
notify: {signal: loud}
"""


class Waves:
    """Prices that swing, each pair at its own time, so that crossings are many and known to come."""

    def pairs(self) -> tuple[Pair, ...]:
        return tuple(Pair.parse(name) for name in NAMES)

    def candles(self, pair: Pair, timeframe: Timeframe, start_ms: int, end_ms: int) -> Candles:
        first = -(-start_ms // timeframe.ms) * timeframe.ms
        time = np.arange(first, end_ms, timeframe.ms, dtype=np.int64)
        opened, close = self._price(pair, time), self._price(pair, time + timeframe.ms)
        reach = 0.0008 * close
        return Candles(
            pair,
            timeframe,
            time,
            opened,
            np.maximum(opened, close) + reach,
            np.minimum(opened, close) - reach,
            close,
            np.full(len(time), 1000.0),
        )

    def _price(self, pair: Pair, time: Any) -> Any:
        phase = NAMES.index(str(pair)) / len(NAMES)
        minutes = time / 60_000
        noise = np.sin(minutes * 2.399 + phase) * 0.0004
        return 100 * (1 + 0.02 * np.sin(2 * np.pi * (minutes / PERIOD + phase)) + noise)

    def running(self, pair: Pair, timeframe: Timeframe, now_ms: int) -> Candle:
        opened = timeframe.floor(now_ms)
        return self.candles(pair, timeframe, opened, opened + 1).candle(0)


@dataclass
class World:
    """The servers, and the process as it is started, killed and started again."""

    folder: Path
    phone: Phone
    exchange: Exchange
    gemini: Gemini
    process: asyncio.subprocess.Process | None = None
    said: list[str] = field(default_factory=list)

    @property
    def database(self) -> Path:
        return self.folder / "data" / "julaba.sqlite"

    async def launch(self) -> asyncio.subprocess.Process:
        environ = {
            **os.environ,
            "TELEGRAM_BOT_TOKEN": self.phone.token,
            "GEMINI_API_KEY": "a-key-for-tests",
            "JULABA__TELEGRAM__BASE_URL": self.phone.base_url,
            "JULABA__EXCHANGE__BASE_URL": self.exchange.base_url,
            "JULABA__GEMINI__BASE_URL": self.gemini.base_url,
        }
        command = (sys.executable, "-c", "from julaba_tg.cli import main; main()", "run", "--config", "config.yaml")
        self.process = await asyncio.create_subprocess_exec(
            *command, cwd=self.folder, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        return self.process

    async def start(self) -> None:
        process = await self.launch()
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        assert line.startswith(b"ready "), await process.communicate()

    async def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        await self.process.communicate()

    async def end(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        _, errors = await asyncio.wait_for(self.process.communicate(), 20)
        assert self.phone.token.split(":")[1].encode() not in errors
        assert self.process.returncode is not None
        return self.process.returncode

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.database)) as db:
            return db.execute(sql).fetchall()

    async def until(self, sql: str, timeout: float = 60.0) -> list[tuple[Any, ...]]:
        """The rows, once there are any."""
        async with asyncio.timeout(timeout):
            while not (found := self.rows(sql)):  # noqa: ASYNC110 - the database of another process rings no bell
                await asyncio.sleep(0.1)
        return found


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    (folder / "config.yaml").write_text(CONFIG)
    phone, exchange, gemini = Phone(), Exchange(Waves(), SimClock(START, SPEED, M1)), Gemini()
    await phone.start()
    await exchange.start()
    await gemini.start()
    made = World(folder, phone, exchange, gemini)
    try:
        yield made
    finally:
        if made.process is not None and made.process.returncode is None:
            await made.kill()
        await gemini.stop()
        await exchange.stop()
        await phone.stop()


async def reply(phone: Phone, user: int, text: str, part: str) -> Any:
    """What the bot answers to a command, told from alerts that come meanwhile by words that only it has."""
    before = {m.message_id for m in phone.messages(user)}
    phone.say(user, text)
    return await phone.wait_for(lambda m: m.message_id not in before and m.chat_id == user and part in m.text, 20)


@pytest.mark.timeout(240)
async def test_the_process_lives_through_kill_nine_with_positions_switches_and_pause(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        await at.start()
        await at.phone.wait_for(lambda m: "Julaba is running" in m.text, 20)
        await at.until("SELECT 1 FROM follows WHERE kind = 'trade' AND exit_reason IS NULL")
        alert = await at.phone.wait_for(lambda m: m.chat_id == OWNER and "risk $" in m.text, 20)
        status = await reply(at.phone, OWNER, "/status", "📊")
        await reply(at.phone, OWNER, "/pair SOL off", "SOL is off")
        await reply(at.phone, OWNER, "/pause", "No new trades")
        at.phone.say(STRANGER, "/status")
        await reply(at.phone, VIEWER, "/positions", "")
        await at.until("SELECT 1 FROM follows WHERE kind = 'trade'")
        await at.kill()
        before = at.rows("SELECT follow_id, entry, quantity, kind FROM follows ORDER BY follow_id")
        cash = at.rows("SELECT cash FROM account")

        await at.start()
        again = await reply(at.phone, OWNER, "/status", "⏸ paused")
        pairs = await reply(at.phone, OWNER, "/pairs", "pairs trade")
        after = at.rows("SELECT follow_id, entry, quantity, kind FROM follows ORDER BY follow_id")
        refused = at.rows("SELECT user_id, action FROM audit WHERE action = 'refused'")
        code = await at.end()

        assert code == 130
        assert "stand-in" in alert.text
        assert status.text
        assert again.text
        assert "⛔ SOL" in pairs.text
        assert after[: len(before)] == before
        assert cash
        assert (STRANGER, "refused") in refused
        assert [m for m in at.phone.messages(STRANGER) if m.from_bot] == []


@pytest.mark.timeout(240)
async def test_the_ledger_after_a_kill_has_no_candle_twice_and_none_missing(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        await at.start()
        await at.until("SELECT 1 FROM follows WHERE exit_reason IS NOT NULL")
        await at.kill()
        await at.start()
        known = at.rows("SELECT max(time) FROM equity")[0][0]
        await at.until(f"SELECT 1 FROM equity WHERE time > {known + 20 * M1.ms}")
        await at.end()
        times = [row[0] for row in at.rows("SELECT time FROM equity ORDER BY time")]
        realised = at.rows("SELECT coalesce(sum(pnl), 0) FROM follows WHERE kind = 'trade'")[0][0]
        cash = at.rows("SELECT cash FROM account")[0][0]
        bars = at.rows(
            "SELECT bars, (last_time - entry_time) / 60000 FROM follows "
            "WHERE exit_reason IS NULL OR exit_reason <> 'GAP'"
        )

        assert {b - a for a, b in pairwise(times)} == {M1.ms}
        assert cash == pytest.approx(10_000 + realised, rel=1e-12)
        assert all(counted == minutes for counted, minutes in bars)


@pytest.mark.timeout(120)
async def test_a_stop_is_heard_while_the_exchange_is_down(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        await at.exchange.stop()
        process = await at.launch()
        assert process.stderr is not None
        async with asyncio.timeout(60):  # a busy machine takes its time to start one
            while b"waiting for the exchange" not in (line := await process.stderr.readline()):
                assert line, "it ended by itself"
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0


@pytest.mark.timeout(120)
async def test_a_second_start_in_the_same_directory_names_the_first(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        await at.start()
        first = at.process
        assert first is not None
        with pytest.raises(AssertionError):
            await at.start()
        second, at.process = at.process, first
        assert second is not None
        assert second.returncode == 1
        await at.end()
