"""A computer's clock that is wrong is told once, with how wrong, and once when it is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from core.adapters.clocks import ReplayClock
from core.domain.candles import to_datetime, to_ms
from core.domain.messages import Notice
from core.errors import MarketError
from core.ports import MarketData
from core.services.bus import Bell
from core.services.clock_watch import ClockWatch
from core.services.faults import Faults
from tests.core.adapters.test_corrected_clock import Computer
from tests.ledgers import Books, books

WRONG_BY_A_MINUTE = "This computer's clock is 61 s ahead of the exchange's; the exchange's is used"


class Exchange:
    def __init__(self, computer: Computer) -> None:
        self.computer, self.down = computer, False

    async def server_time(self) -> int:
        if self.down:
            raise MarketError("the exchange cannot be reached")
        self.computer.passed += 0.1
        return to_ms(self.computer.true())


def watched(kept: Books, computer: Computer) -> tuple[ClockWatch, Exchange]:
    exchange = Exchange(computer)
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
        watch = ClockWatch(clock, cast(MarketData, Exchange(Computer())), Faults(clock, kept.ledger, Bell()))

        assert await watch.server_time() > 0
        assert watch.offset is None
        assert await told(kept) == []
