"""The demo's time waits for the bot, and the market shown by default has something to show."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from core.config import Settings
from core.domain.candles import Timeframe, to_ms
from core.secrets import Secrets
from core.services.backtest import run_backtest
from julaba_tg import cli_demo
from julaba_tg.cli_demo import SEED, START, keep_in_step
from julaba_tg.phone.bot_api import Phone
from julaba_tg.phone.clock import SimClock
from julaba_tg.phone.exchange import Exchange
from julaba_tg.phone.gemini import Gemini
from julaba_tg.phone.market_sim import MarketSim
from julaba_tg.running import Stop, run_julaba
from tests.test_end_to_end import NAMES, Waves

M1 = Timeframe.parse("1m")
M15 = Timeframe.parse("15m")
BEGIN = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
EVERY_CROSSING: dict[str, Any] = {
    "timeframe": "1m",
    "clock": "exchange",
    "pairs": [{"symbol": name} for name in NAMES[:3]],
    "access": {"users": {1001: "approver"}},
    "strategy": {
        "adx_min": 0,
        "volume_ratio_min": 0,
        "rsi_long_max": 100,
        "rsi_short_min": 0,
        "cooldown_bars": 0,
        "max_bars": 30,
    },
    "rules": {"alignment": "record", "btc": "record"},
    "ml": {"bootstrap_days": 30},
}


async def test_with_slow_opinions_and_fast_candles_no_signal_is_missed(tmp_path: Path) -> None:
    """An opinion takes as long as five candles: without waiting each signal would be found more than one late."""
    phone, exchange, gemini = Phone(), Exchange(Waves(), clock := SimClock(BEGIN, 16.0, M1)), Gemini(delay=0.3)
    clock.pause()
    for server in (phone, exchange, gemini):
        await server.start()
    settings = Settings.model_validate(
        {
            **EVERY_CROSSING,
            "telegram": {"base_url": phone.base_url},
            "exchange": {"base_url": exchange.base_url, "rate_limit_ms": 0, "grace": 0},
            "gemini": {"base_url": gemini.base_url, "model": "gemini-demo"},
        }
    )
    secrets = Secrets.model_construct(telegram_bot_token=None, gemini_api_key=SecretStr("none-needed"))
    stop = Stop()

    async def ready() -> None: ...

    async def look() -> None:
        while len(gemini.prompts) < 4:  # noqa: ASYNC110 - the stand-in rings no bell
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        stop.end()

    try:
        async with asyncio.timeout(90), asyncio.TaskGroup() as tasks:
            tasks.create_task(look())
            await run_julaba(
                settings,
                secrets,
                phone.token,
                tmp_path,
                stop,
                ready,
                beside=lambda engine: keep_in_step(clock, lambda: engine.live.last_close),
            )
    finally:
        for server in (phone, exchange, gemini):
            await server.stop()
    with closing(sqlite3.connect(tmp_path / "julaba.sqlite")) as db:
        decided = [row[0] for row in db.execute("SELECT status FROM decisions WHERE is_signal")]
    assert len(decided) >= 3
    assert "missed" not in decided


async def in_step(clock: SimClock, handled: list[int]) -> asyncio.Task[None]:
    task = asyncio.create_task(keep_in_step(clock, lambda: handled[-1]))
    await asyncio.sleep(0)
    return task


@pytest.fixture
def clock() -> SimClock:
    found = SimClock(START, 50.0)
    found.pause()
    return found


async def stopped(clock: SimClock) -> int:
    """Waits until time stands still; gives it, in candles since the start."""
    async with asyncio.timeout(5):
        while not clock.stands:  # noqa: ASYNC110 - a clock rings no bell
            await asyncio.sleep(0.001)
    return (clock.now_ms() - to_ms(START)) // M15.ms


async def test_time_stands_still_until_the_close_is_handled_and_then_goes_on(clock: SimClock) -> None:
    handled = [to_ms(START)]
    task = await in_step(clock, handled)

    first = await stopped(clock)
    handled.append(to_ms(START) + first * M15.ms)
    while clock.stands:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    second = await stopped(clock)

    assert 1 <= first < second
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_computer_that_is_held_up_leaves_time_no_further_than_the_bot_can_follow(clock: SimClock) -> None:
    task = await in_step(clock, [to_ms(START)])

    time.sleep(0.2)  # noqa: ASYNC251 - nobody can stop the clock meanwhile: ten candles at this speed

    assert clock.now_ms() - to_ms(START) <= 2 * M15.ms
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_close_that_never_comes_stops_time_only_for_a_while(
    clock: SimClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_demo, "PATIENCE", 0.05)
    task = await in_step(clock, [0])

    await stopped(clock)
    async with asyncio.timeout(5):
        await clock.sleep_until(START + timedelta(hours=3))

    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_the_market_shown_by_default_signals_soon_and_often_in_both_directions() -> None:
    settings = Settings()
    start = to_ms(START)
    minutes = 2.0
    shown = int(minutes * 60 * 4)
    end = start + (shown + settings.strategy.max_bars + 2) * M15.ms
    market = MarketSim(SEED)
    candles = {
        pair: market.candles(pair, M15, start - settings.candles.history * M15.ms, end) for pair in settings.traded
    }
    signals = [trade.candidate for trade in run_backtest(candles, settings, start, end).trades]
    seconds = sorted(s for c in signals if (s := (c.close_time - start) / M15.ms / 4) <= 60 * minutes)

    assert 5 <= seconds[0] <= 15
    assert max(b - a for a, b in pairwise(seconds)) <= 25
    assert {c.direction.value for c in signals} == {"LONG", "SHORT"}
