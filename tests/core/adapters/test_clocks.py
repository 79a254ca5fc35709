"""Clocks: UTC, never ahead of the exchange, awake in time at any speed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, timezone

import pytest

from core.adapters.clocks import ExchangeClock, ReplayClock, SystemClock
from core.domain.candles import Candles, Pair, Timeframe, to_datetime, to_ms
from core.errors import MarketError
from core.ports import Market

START = 1_704_067_200_000
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


class TimeOnly:
    """An exchange of which only the clock is asked; ``faults`` come first."""

    def __init__(self, tell: Callable[[], int], faults: int = 0) -> None:
        self.tell, self.faults, self.asked = tell, faults, 0

    async def server_time(self) -> int:
        self.asked += 1
        await asyncio.sleep(0)
        if self.faults:
            self.faults -= 1
            raise MarketError("down")
        return self.tell()

    async def markets(self) -> dict[Pair, Market]:
        raise NotImplementedError

    async def candles(self, pair: Pair, timeframe: Timeframe, start_ms: int, end_ms: int, now_ms: int) -> Candles:
        raise NotImplementedError

    async def prices(self, pairs: Iterable[Pair]) -> dict[Pair, float]:
        raise NotImplementedError

    async def volumes(self) -> dict[Pair, float]:
        raise NotImplementedError

    async def close(self) -> None: ...


class Exchange(TimeOnly):
    """A clock that runs ``speed`` times as fast as the loop's."""

    def __init__(self, speed: float, faults: int = 0) -> None:
        began = asyncio.get_running_loop().time()
        super().__init__(lambda: START + int((asyncio.get_running_loop().time() - began) * 1000 * speed), faults)


async def test_system_clock_is_utc_and_sleeps_until() -> None:
    clock = SystemClock()
    moment = clock.now() + timedelta(milliseconds=30)

    await clock.sleep_until(moment)

    assert moment <= clock.now() < moment + timedelta(seconds=5)
    assert clock.now().utcoffset() == timedelta(0)


async def test_exchange_clock_wants_to_be_started() -> None:
    with pytest.raises(MarketError):
        ExchangeClock(Exchange(1)).now()


@pytest.mark.parametrize("speed", [1.0, 60.0, 3600.0])
async def test_exchange_clock_wakes_soon_after_the_moment_and_never_before(speed: float) -> None:
    exchange = Exchange(speed)
    clock = ExchangeClock(exchange)
    await clock.start()

    for quarter in range(1, 4):
        moment = to_datetime(START + int(quarter * 150 * speed))
        await clock.sleep_until(moment)
        late = exchange.tell() - to_ms(moment)
        assert 0 <= late < 500 * speed, "within 500 ms of ours, also on a busy computer"
        assert clock.now() >= moment


@pytest.mark.parametrize("speed", [0.3, 0.9, 1.0, 1.2, 1.5, 100.0])
async def test_exchange_clock_is_never_ahead(speed: float) -> None:
    seconds = 0.0
    clock = ExchangeClock(TimeOnly(lambda: START + int(seconds * 1000 * speed)), monotonic=lambda: seconds)
    await clock.start()
    for step in range(200):
        seconds += 0.05
        if step % 7 == 0:
            await clock.start()
        assert to_ms(clock.now()) <= START + seconds * 1000 * speed + 1


async def test_exchange_clock_adds_the_time_since_the_last_look_when_it_keeps_our_pace() -> None:
    seconds = 0.0
    clock = ExchangeClock(TimeOnly(lambda: START + int(seconds * 1000)), monotonic=lambda: seconds)
    await clock.start()
    seconds = 1.0
    await clock.start()
    seconds = 31.0

    assert to_ms(clock.now()) == START + 31_000


async def test_exchange_clock_never_goes_back() -> None:
    told = [START, START + 5000, START + 1000]
    clock = ExchangeClock(TimeOnly(lambda: told.pop(0)))
    await clock.start()
    await clock.start()
    before = clock.now()
    await clock.start()

    assert clock.now() == before


async def test_exchange_clock_outlives_a_failing_exchange(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.adapters.clocks.LONGEST_WAIT", 0.02)
    clock = ExchangeClock(Exchange(100, faults=5))

    with caplog.at_level(logging.WARNING):
        await clock.sleep_until(to_datetime(START + 5000))

    assert clock.now() >= to_datetime(START + 5000)
    assert [r.message for r in caplog.records] == [
        "the exchange's clock cannot be read: down",
        "the exchange's clock can be read again",
    ]


async def test_a_moment_in_the_past_returns_at_once() -> None:
    clock = ExchangeClock(Exchange(1))
    await clock.sleep_until(to_datetime(START - 1000))

    assert clock.now() >= to_datetime(START)


async def test_many_sleepers_share_their_looks() -> None:
    exchange = Exchange(1)
    clock = ExchangeClock(exchange)
    await clock.start()

    await asyncio.gather(*(clock.sleep_until(to_datetime(START + 1)) for _ in range(50)))

    assert exchange.asked < 20


async def test_replay_clock_wakes_sleepers_in_order_of_their_moments() -> None:
    clock = ReplayClock(NOON)
    woken: list[int] = []

    async def sleeper(minutes: int) -> None:
        await clock.sleep_until(NOON + timedelta(minutes=minutes))
        woken.append(minutes)

    tasks = [asyncio.create_task(sleeper(minutes)) for minutes in (30, 0, 10, 20, 10)]
    await asyncio.sleep(0)
    clock.advance(NOON + timedelta(minutes=20))
    await asyncio.sleep(0.01)

    assert woken == [0, 10, 10, 20]
    assert clock.now() == NOON + timedelta(minutes=20)
    clock.advance(NOON + timedelta(hours=1))
    await asyncio.gather(*tasks)
    assert woken[-1] == 30


async def test_replay_clock_survives_a_cancelled_sleeper() -> None:
    clock = ReplayClock(NOON)
    task = asyncio.create_task(clock.sleep_until(NOON + timedelta(minutes=1)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)

    clock.advance(NOON + timedelta(minutes=2))

    assert task.cancelled()


def test_replay_clock_refuses_to_go_back_and_other_zones() -> None:
    clock = ReplayClock(NOON)
    with pytest.raises(ValueError, match="go back"):
        clock.advance(NOON - timedelta(seconds=1))
    with pytest.raises(ValueError, match="UTC"):
        ReplayClock(datetime(2024, 1, 1))  # noqa: DTZ001 - that is what is refused
    with pytest.raises(ValueError, match="UTC"):
        clock.advance(NOON.astimezone(timezone(timedelta(hours=2))))
