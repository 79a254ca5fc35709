"""A computer's clock that is wrong is told once, with how wrong, and once when it is right."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from core.adapters.candle_files import CandleFiles
from core.adapters.ccxt_market import CcxtMarket
from core.adapters.clocks import CorrectedClock, ReplayClock
from core.domain.candles import Timeframe, to_datetime, to_ms
from core.domain.messages import Notice
from core.errors import MarketError
from core.ports import MarketData
from core.services.bus import Bell
from core.services.clock_watch import ClockWatch
from core.services.faults import Faults
from core.services.live import LiveTrading
from core.services.loop import TradingLoop
from julaba_tg.phone.clock import SimClock
from julaba_tg.phone.exchange import Exchange
from julaba_tg.phone.market_sim import MarketSim
from tests.core.adapters.test_corrected_clock import Computer
from tests.ledgers import Books, books, settings

WRONG_BY_A_MINUTE = "This computer's clock is 61 s ahead of the exchange's; the exchange's is used"


class TimeOnly:
    def __init__(self, computer: Computer) -> None:
        self.computer, self.down = computer, False

    async def server_time(self) -> int:
        if self.down:
            raise MarketError("the exchange cannot be reached")
        self.computer.passed += 0.1
        return to_ms(self.computer.true())


def watched(kept: Books, computer: Computer) -> tuple[ClockWatch, TimeOnly]:
    exchange = TimeOnly(computer)
    faults = Faults(computer.clock, kept.ledger, Bell())
    return ClockWatch(computer.clock, cast(MarketData, exchange), faults), exchange


async def told(kept: Books) -> list[str]:
    return [cast(Notice, i.event).title for i in await kept.chat.pending(99)]


async def test_a_clock_off_by_a_minute_is_one_alert_and_one_when_it_is_right(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        computer = Computer(wrong=61)
        watch, _ = watched(kept, computer)
        for wrong in (61, 61.4, 1.5, 2.5, 0.4, 1.9, 0.2):
            computer.wrong = wrong
            assert await watch.server_time() > 0
            computer.passed += 900

        assert await told(kept) == [WRONG_BY_A_MINUTE, "This computer's clock is right again"]
        assert watch.offset is not None


async def test_a_small_difference_is_nobodys_business(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        watch, _ = watched(kept, Computer(wrong=1.9))
        await watch.server_time()

        assert await told(kept) == []


async def test_an_exchange_that_cannot_be_reached_leaves_the_clock_as_it_was(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        computer = Computer(wrong=-61)
        watch, exchange = watched(kept, computer)
        await watch.server_time()
        exchange.down = True
        try:
            await watch.server_time()
        except MarketError:
            computer.passed += 900

        assert abs((computer.clock.now() - computer.true()).total_seconds()) < 0.1
        assert await told(kept) == ["This computer's clock is 61 s behind the exchange's; the exchange's is used"]


async def test_a_clock_that_is_the_exchanges_own_is_not_measured(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        clock: Any = ReplayClock(to_datetime(1_704_067_200_000))
        watch = ClockWatch(clock, cast(MarketData, TimeOnly(Computer())), Faults(clock, kept.ledger, Bell()))

        assert await watch.server_time() > 0
        assert watch.offset is None
        assert await told(kept) == []


@pytest.mark.parametrize("wrong", [61, -61])
async def test_a_computer_off_by_a_minute_handles_the_exchanges_close_when_it_comes(tmp_path: Path, wrong: int) -> None:
    """The real loop, the real client and the corrected clock, two seconds before a close of one-minute candles."""
    minute = Timeframe.parse("1m")
    truth = SimClock(datetime(2026, 1, 5, 12, 0, 58, tzinfo=UTC), 1 / 60, minute)  # as fast as ours
    exchange = Exchange(MarketSim(7), truth)
    await exchange.start()
    conf = settings(
        pairs=[{"symbol": "LINK/USDT"}],
        timeframe="1m",
        exchange={"base_url": exchange.base_url, "rate_limit_ms": 0, "grace": 0},
    )
    clock = CorrectedClock(lambda: truth.now() + timedelta(seconds=wrong), slice_seconds=0.05)
    client = CcxtMarket(conf.exchange)
    async with books(tmp_path) as kept:
        loop = TradingLoop(conf, clock, kept.ledger)
        live = LiveTrading(conf, clock, client, CandleFiles(tmp_path / "candles"), kept.ledger, loop, Bell())
        task = asyncio.create_task(live.run())
        try:
            async with asyncio.timeout(30):
                close = to_ms(datetime(2026, 1, 5, 12, 1, tzinfo=UTC))
                while (loop.last_close or 0) < close:  # noqa: ASYNC110 - nobody announces it
                    await asyncio.sleep(0.02)
            late = truth.now() - to_datetime(loop.last_close or 0)
            faults = [t for t in await told(kept) if "clock" in t]
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await client.close()
            await exchange.stop()

    side = "ahead of" if wrong > 0 else "behind"
    assert timedelta(0) <= late < timedelta(seconds=50), "handled within its own minute, and not before it was over"
    assert faults == [f"This computer's clock is 61 s {side} the exchange's; the exchange's is used"]
