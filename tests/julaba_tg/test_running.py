"""The log below the data directory; engine and bot begun anew in one process, and what must not be lost by it."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from core import bootstrap
from core.config import Settings
from core.domain.candles import Pair, Timeframe
from core.secrets import Secrets
from core.services.engine import Engine
from julaba_tg.cli_demo import keep_in_step
from julaba_tg.phone.bot_api import Phone
from julaba_tg.phone.chats import Message
from julaba_tg.phone.clock import SimClock
from julaba_tg.phone.exchange import Exchange
from julaba_tg.running import LogFile, Stop, run_julaba
from tests.test_end_to_end import Waves

OWNER = 1001
SAID = 10  # as many as one person may say at once, see access
BEGIN = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
CONFIG: dict[str, Any] = {
    "timeframe": "1m",
    "clock": "exchange",
    "pairs": [{"symbol": "LINK/USDT"}, {"symbol": "ETH/USDT"}],
    "access": {"users": {OWNER: "approver", 1002: "viewer"}},
    "strategy": {
        "adx_min": 0,
        "volume_ratio_min": 0,
        "rsi_long_max": 100,
        "rsi_short_min": 0,
        "cooldown_bars": 0,
        "refused_regimes": "none",
        "max_bars": 500,
        "stop_atr": 60,  # far away: what is opened stays open
    },
    "rules": {"alignment": "record", "btc": "record"},
    "portfolio": {"max_positions": 5, "max_correlated": 5, "max_open_risk": 0.2},
    "ml": {"bootstrap_days": 30},
    "health": {"port": None},
    "notify": {"pinned": False},
}


class More(Waves):
    """One pair more on the exchange than the settings know of."""

    def pairs(self) -> tuple[Pair, ...]:
        return (*super().pairs(), Pair.parse("ARB/USDT"))

    def _price(self, pair: Pair, time: Any) -> Any:
        return super()._price(Pair.parse("SOL/USDT") if pair.base == "ARB" else pair, time)


@dataclass
class Run:
    """The phone, the exchange, and the bot in this process. ``engines`` are those there were, oldest first."""

    folder: Path
    phone: Phone
    exchange: Exchange
    clock: SimClock
    settings: Settings
    engines: list[Engine] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    stop: Stop = field(default_factory=Stop)

    @property
    def database(self) -> Path:
        return self.folder / "julaba.sqlite"

    async def live(self, drive: Callable[[Run], Awaitable[None]]) -> None:
        """Runs until ``drive`` has ended."""
        self.stop = Stop()
        up = asyncio.Event()

        async def ready() -> None:
            self.begun.append("ready")
            up.set()

        async def beside(engine: Engine) -> None:
            self.engines.append(engine)
            await keep_in_step(self.clock, lambda: engine.live.last_close)

        async def driven() -> None:
            try:
                await up.wait()
                await drive(self)
            finally:
                self.stop.end()

        secrets = Secrets.model_construct(telegram_bot_token=SecretStr(self.phone.token), gemini_api_key=None)
        async with asyncio.timeout(90), asyncio.TaskGroup() as tasks:
            tasks.create_task(driven())
            await run_julaba(self.settings, secrets, self.phone.token, self.folder, self.stop, ready, beside=beside)

    async def ask(self, words: str, begins: str) -> Message:
        """The first new message to the owner that begins so."""
        before = max((m.message_id for m in self.phone.messages(OWNER)), default=0)
        self.phone.say(OWNER, words)
        return await self.hears(begins, before)

    async def hears(self, begins: str, after: int) -> Message:
        return await self.phone.wait_for(
            lambda m: m.from_bot and m.text.startswith(begins), chat_id=OWNER, after=after, timeout=30
        )

    async def tapped(self, message: Message, begins: str) -> Message:
        """Taps the first button; gives the message once it shows that."""
        self.phone.tap(OWNER, message.message_id, message.buttons[0].callback_data or "")
        return await self.phone.wait_for(
            lambda m: m.message_id == message.message_id and m.text.startswith(begins), chat_id=OWNER, timeout=30
        )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.database)) as db:
            return db.execute(sql).fetchall()

    def added(self) -> list[str]:
        return list(json.loads(self.rows("SELECT value FROM controls WHERE key = 'added'")[0][0]))

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not holds():  # noqa: ASYNC110 - nothing rings for it
                await asyncio.sleep(0.02)


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    async with serving(tmp_path) as there:
        yield there


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Run]:
    clock = SimClock(BEGIN, 16.0, Timeframe.parse("1m"))
    phone, exchange = Phone(), Exchange(More(), clock)
    clock.pause()
    await phone.start()
    await exchange.start()
    settings = Settings.model_validate(
        CONFIG
        | {
            "telegram": {"base_url": phone.base_url, "poll_timeout": 1},
            "exchange": {"base_url": exchange.base_url, "rate_limit_ms": 0, "grace": 0},
        }
    )
    try:
        yield Run(folder, phone, exchange, clock, settings)
    finally:
        await exchange.stop()
        await phone.stop()


async def test_a_pair_is_added_by_a_tap_and_everything_begins_anew_with_all_that_was_there(run: Run) -> None:
    async def drive(run: Run) -> None:
        await run.until(lambda: run.engines and run.engines[0].live.last_close)
        await run.until(lambda: run.rows("SELECT 1 FROM follows WHERE kind = 'trade' AND exit_reason IS NULL"))
        preview = await run.ask("/pair ARB add", "➕ Add ARB?")
        assert "30 days of candles or more, none of 1,000 looked at missing" in preview.text
        assert not run.rows("SELECT 1 FROM controls WHERE key = 'added' AND value <> '[]'"), "only shown so far"
        held = {p.trade_id: p.entry_fill for p in run.engines[0].live._loop.account.positions}

        await run.tapped(preview, "⏳ ARB is being added")
        on = await run.hears("🟢 ARB/USDT is on", preview.message_id)
        assert "candles are loaded" in on.text
        assert "signals from the next close on" in on.text

        assert len(run.engines) == 2
        first, second = run.engines
        assert Pair.parse("ARB/USDT") not in first.settings.traded
        assert second.settings.traded == (*first.settings.traded, Pair.parse("ARB/USDT"))
        assert second.settings.risk_of(Pair.parse("ARB/USDT")) == 0.5
        now = {p.trade_id: p.entry_fill for p in second.live._loop.account.positions}
        assert held.items() <= now.items(), "what was open goes on"
        again = await run.ask("/pair ARB add", "✋")
        assert again.text == "✋ ARB/USDT is among the pairs already"
        assert "✅ ARB · risk ×0.5" in (await run.ask("/pairs", "🔀")).text
        await run.until(lambda: run.rows("SELECT 1 FROM decisions WHERE pair = 'ARB/USDT'"))

    await run.live(drive)

    assert run.begun == ["ready"], "whoever started the process hears once that it is up"
    told = [m.text.splitlines()[0] for m in run.phone.messages(OWNER) if m.from_bot]
    assert sum("Julaba is running" in line for line in told) == 1
    assert sum(line.startswith("🟢 ARB/USDT is on") for line in told) == 1
    assert run.rows("SELECT count(*) FROM updates WHERE body IS NOT NULL") == [(0,)], "no command is left"


async def test_what_is_said_while_everything_begins_anew_is_answered_and_alerts_come_once(run: Run) -> None:
    async def drive(run: Run) -> None:
        await run.until(lambda: run.engines and run.engines[0].live.last_close)
        preview = await run.ask("/pair ARB add", "➕ Add ARB?")
        run.phone.tap(OWNER, preview.message_id, preview.buttons[0].callback_data or "")
        for _ in range(SAID):
            run.phone.say(OWNER, "/version")
            await asyncio.sleep(0.3)
        await run.hears("🟢 ARB/USDT is on", preview.message_id)
        await run.until(lambda: len(_versions(run)) >= SAID)
        await run.until(lambda: run.rows("SELECT 1 FROM follows WHERE kind = 'trade'"))
        await run.until(lambda: not run.rows("SELECT 1 FROM outbox WHERE state = 'pending'"))

    await run.live(drive)

    assert len(_versions(run)) == SAID, "each is answered, none twice"
    told = "SELECT count(*) FROM outbox WHERE kind = 'signal_decided' AND state = 'sent' AND trade_id IS NOT NULL"
    opened = run.rows(told)
    alerts = [m for m in run.phone.messages(OWNER) if m.from_bot and m.text.startswith("✅")]
    assert len(alerts) == opened[0][0] > 0, "every trade is told, once"


def _versions(run: Run) -> list[Message]:
    return [m for m in run.phone.messages(OWNER) if m.from_bot and m.text.startswith("Julaba 0.")]


async def test_killed_between_storing_and_beginning_anew_the_next_start_has_the_pair(run: Run) -> None:
    """The store is all that counts: here nobody asks for the new beginning."""

    async def store(run: Run) -> None:
        await run.until(lambda: run.engines and run.engines[0].live.last_close)
        pairs = run.engines[0].desk.topics.insight._pairs
        pairs._again = lambda: None
        preview = await run.ask("/pair ARB add", "➕ Add ARB?")
        await run.tapped(preview, "⏳ ARB is being added")
        assert run.added() == ["ARB/USDT"]

    async def look(run: Run) -> None:
        before = max(m.message_id for m in run.phone.messages(OWNER))
        await run.hears("🟢 ARB/USDT is on", before)
        assert run.engines[-1].settings.traded[-1] == Pair.parse("ARB/USDT")

    await run.live(store)
    assert len(run.engines) == 1
    await run.live(look)


async def test_an_added_pair_leaves_again_but_not_with_an_open_trade(run: Run) -> None:
    async def drive(run: Run) -> None:
        await run.until(lambda: run.engines and run.engines[0].live.last_close)
        await run.tapped(await run.ask("/pair ARB add", "➕ Add ARB?"), "⏳ ARB is being added")
        await run.until(
            lambda: run.rows("SELECT 1 FROM follows WHERE kind = 'trade' AND pair = 'ARB/USDT' AND exit_reason IS NULL")
        )
        held = await run.ask("/pair ARB remove", "✋")
        assert held.text == "✋ ARB/USDT has an open trade; let it end, or close it with /close ARB"

        closing = await run.ask("/close ARB", "")
        run.phone.tap(OWNER, closing.message_id, closing.buttons[0].callback_data or "")
        await run.until(
            lambda: (
                not run.rows("SELECT 1 FROM follows WHERE kind = 'trade' AND pair = 'ARB/USDT' AND exit_reason IS NULL")
            )
        )
        await run.ask("/pair ARB off", "🔀 ARB is off")
        preview = await run.ask("/pair ARB remove", "🗑 Remove ARB?")
        await run.tapped(preview, "⏳ ARB is being taken away")
        await run.hears("🟢 ARB/USDT is no longer among the pairs", preview.message_id)
        assert run.added() == []
        assert run.engines[-1].settings.traded == run.settings.traded

    await run.live(drive)


async def test_a_pair_configured_later_is_simply_that(run: Run) -> None:
    async def drive(run: Run) -> None:
        await run.until(lambda: run.engines and run.engines[0].live.last_close)
        await run.tapped(await run.ask("/pair ARB add", "➕ Add ARB?"), "⏳ ARB is being added")
        await run.until(lambda: len(run.engines) == 2)

    await run.live(drive)
    configured = Settings.model_validate(
        run.settings.model_dump() | {"pairs": [{"symbol": "LINK/USDT"}, {"symbol": "ARB/USDT", "risk": 0.9}]}
    )
    secrets = Secrets.model_construct(telegram_bot_token=None, gemini_api_key=None)
    async with bootstrap.engine(configured, secrets, run.folder) as engine:
        assert engine.settings == configured
        assert engine.desk.topics.insight.added() == ()


def test_a_log_file_on_a_full_disk_costs_its_lines_and_floods_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = LogFile(tmp_path / "julaba.log")

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    record = logging.LogRecord("core.x", logging.WARNING, __file__, 1, "The disk is full", (), None)
    monkeypatch.setattr(handler, "flush", full)
    handler.emit(record)
    assert capsys.readouterr().err == ""

    handler.emit(logging.LogRecord("core.x", logging.WARNING, __file__, 1, "%d", ("no number",), None))
    assert "Logging error" in capsys.readouterr().err
    monkeypatch.undo()
    handler.close()


def test_the_interpreters_end_looks_through_nothing_any_more() -> None:
    """Collecting what two hundred megabytes of libraries leave behind took three seconds after "stopped"."""
    code = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 999)); import julaba_tg.cli as c; "
    ended = subprocess.run(
        [sys.executable, "-c", code + "c.main()", "--version"], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (0, "True")
