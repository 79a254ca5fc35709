"""Live prices: pushed where that works, asked for where not, old ones called old, and nothing where nobody looks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from core.domain.candles import Candles, Pair, Timeframe
from core.errors import MarketError
from core.ports import Market
from core.services.prices import ASK_EVERY, FIRST_PAUSE, INTEREST, OLD, SILENT, Prices

LINK, ETH, SOL = Pair("LINK", "USDT"), Pair("ETH", "USDT"), Pair("SOL", "USDT")


class Wall:
    """Seconds that pass when the test says so; whoever sleeps is woken at the right one, in order."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        sleeper = (self.now + seconds, asyncio.Event())
        self._sleepers.append(sleeper)
        try:
            await sleeper[1].wait()
        finally:
            self._sleepers.remove(sleeper)

    async def passes(self, seconds: float) -> None:
        end = self.now + seconds
        await settled()
        while due := [at for at, _ in self._sleepers if at <= end]:
            self.now = max(self.now, min(due))
            for at, event in self._sleepers:
                if at <= self.now:
                    event.set()
            await settled()
        self.now = end


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@dataclass
class Rest:
    """An exchange that tells prices, or fails as the test says."""

    told: dict[Pair, float] = field(default_factory=lambda: {LINK: 17.5, ETH: 3000.0, SOL: 150.0})
    fault: Exception | None = None
    asked: list[tuple[Pair, ...]] = field(default_factory=list)
    let: asyncio.Event | None = None  # the answer waits for it

    async def volumes(self) -> dict[Pair, float]:
        return {}

    async def prices(self, pairs: Iterable[Pair]) -> dict[Pair, float]:
        wanted = tuple(pairs)
        self.asked.append(wanted)
        found = {pair: self.told[pair] for pair in wanted if pair in self.told}
        if self.let is not None:
            await self.let.wait()
        if self.fault is not None:
            raise self.fault
        return found

    async def server_time(self) -> int:
        raise NotImplementedError

    async def markets(self) -> dict[Pair, Market]:
        raise NotImplementedError

    async def candles(self, pair: Pair, timeframe: Timeframe, start_ms: int, end_ms: int, now_ms: int) -> Candles:
        raise NotImplementedError

    async def close(self) -> None: ...


@dataclass
class Push:
    """A stream in the test's hand: ``says`` a price, ``breaks``; counts its connections."""

    refuses: Exception | None = None
    followed: list[tuple[Pair, ...]] = field(default_factory=list)
    open: int = 0
    _heard: Callable[[Pair, float, int], None] | None = None
    _broken: asyncio.Event = field(default_factory=asyncio.Event)
    _time: int = 1_000_000

    async def follow(self, pairs: Iterable[Pair], heard: Callable[[Pair, float, int], None]) -> None:
        self.followed.append(tuple(pairs))
        if self.refuses is not None:
            raise self.refuses
        self._heard, self._broken = heard, asyncio.Event()
        self.open += 1
        try:
            await self._broken.wait()
            raise MarketError("the price stream broke off: the connection failed")
        finally:
            self.open -= 1
            self._heard = None

    def says(self, pair: Pair, price: float, time_ms: int | None = None) -> None:
        assert self._heard is not None, "nobody listens"
        self._time += 100
        self._heard(pair, price, self._time if time_ms is None else time_ms)

    async def breaks(self) -> None:
        self._broken.set()
        await settled()


@dataclass
class World:
    prices: Prices
    rest: Rest
    push: Push
    wall: Wall
    held: list[Pair]

    async def opened(self) -> None:
        """Time passes until the stream is open again."""
        for _ in range(700):
            if self.push.open:
                return
            await self.wall.passes(1)
        raise AssertionError("the stream was not tried again")


@asynccontextmanager
async def looking(*held: Pair, stream: bool = True, rest: Rest | None = None) -> AsyncIterator[World]:
    rest, push, wall, pairs = rest or Rest(), Push(), Wall(), list(held)
    prices = Prices(lambda: pairs, rest, push if stream else None, monotonic=wall, sleep=wall.sleep)
    running = asyncio.create_task(prices.run())
    await settled()
    try:
        yield World(prices, rest, push, wall, pairs)
        assert not running.done(), "it must not end by itself"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert push.open == 0


async def test_without_an_open_trade_nothing_is_asked_and_nothing_connected() -> None:
    async with looking() as world:
        await world.wall.passes(3600)

        assert world.rest.asked == []
        assert world.push.followed == []


async def test_an_open_trade_has_a_price_at_once_and_the_newest_as_it_is_pushed() -> None:
    async with looking(LINK) as world:
        first = world.prices.latest(LINK)
        world.push.says(LINK, 17.6)
        await world.wall.passes(4)
        second = world.prices.latest(LINK)

        assert first is not None
        assert second is not None
        assert (first.price, first.source) == (17.5, "asked")
        assert (second.price, second.age, second.source) == (17.6, 4.0, "stream")


async def test_what_is_pushed_is_not_asked_for_as_well() -> None:
    async with looking(LINK) as world:
        for _ in range(60):
            world.push.says(LINK, 17.6)
            await world.wall.passes(10)

        assert len(world.rest.asked) == 1


async def test_a_stream_that_breaks_off_is_replaced_by_asking_and_found_again() -> None:
    async with looking(LINK) as world:
        world.push.says(LINK, 17.6)
        world.push.refuses = MarketError("the price stream broke off: the connection failed")
        await world.push.breaks()
        await world.wall.passes(2 * ASK_EVERY + 1)
        asked = world.prices.latest(LINK)
        trouble = world.prices.trouble
        world.push.refuses = None
        await world.opened()
        world.push.says(LINK, 17.9)
        pushed = world.prices.latest(LINK)

        assert asked is not None
        assert pushed is not None
        assert (asked.price, asked.source) == (17.5, "asked")
        assert asked.age <= ASK_EVERY + 1
        assert "broke off" in trouble
        assert (pushed.price, pushed.source, world.prices.trouble) == (17.9, "stream", "")


async def test_a_stream_that_keeps_failing_is_tried_ever_more_rarely(caplog: pytest.LogCaptureFixture) -> None:
    async with looking(LINK) as world:
        world.push.refuses = MarketError("refused")
        await world.push.breaks()
        await world.wall.passes(60)
        first_minute = len(world.push.followed)
        await world.wall.passes(3600)
        first_hour = len(world.push.followed)
        await world.wall.passes(3600)

        assert [r.getMessage() for r in caplog.records] == [
            "live prices are asked for instead: the price stream broke off: the connection failed"
        ]
        assert 3 <= first_minute <= 6
        assert first_hour < 15
        assert 4 <= len(world.push.followed) - first_hour <= 7  # every ten minutes, and it never gives up


async def test_a_stream_that_gives_a_price_and_ends_is_not_hammered() -> None:
    async with looking(LINK) as world:
        for _ in range(600):
            if world.push.open:
                world.push.says(LINK, 17.6)
                await world.push.breaks()
            await world.wall.passes(1)

        assert len(world.push.followed) < 10


async def test_a_stream_that_held_for_long_is_opened_again_soon() -> None:
    async with looking(LINK) as world:
        for _ in range(3):
            for _ in range(30):
                world.push.says(LINK, 17.6)
                await world.wall.passes(10)
            await world.push.breaks()
            await world.wall.passes(FIRST_PAUSE + 2)

            assert world.push.open == 1


async def test_a_stream_that_is_open_and_silent_counts_as_failed() -> None:
    async with looking(LINK) as world:
        world.push.says(LINK, 17.6)
        await world.wall.passes(SILENT - 2)
        still_open, trouble = world.push.open, world.prices.trouble
        await world.wall.passes(3)

        assert (still_open, trouble) == (1, "")
        assert world.push.open == 0
        assert "silent" in world.prices.trouble


async def test_one_quiet_pair_is_asked_for_while_the_others_are_pushed() -> None:
    async with looking(LINK, ETH) as world:
        for _ in range(12):
            world.push.says(LINK, 17.6)
            await world.wall.passes(5)

        assert world.rest.asked[0] == (ETH, LINK)
        assert set(world.rest.asked[1:]) == {(ETH,)}
        assert world.prices.trouble == ""


async def test_a_price_over_a_minute_is_old_and_stays_to_be_seen() -> None:
    async with looking(LINK, stream=False) as world:
        world.rest.fault = MarketError("the exchange cannot be reached")
        await world.wall.passes(OLD)
        fresh = world.prices.latest(LINK)
        await world.wall.passes(1)
        old = world.prices.latest(LINK)

        assert fresh is not None
        assert old is not None
        assert (fresh.age, fresh.old) == (60.0, False)
        assert (old.price, old.age, old.old) == (17.5, 61.0, True)


async def test_an_exchange_that_fails_is_asked_four_times_a_minute_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with looking(LINK, stream=False, rest=Rest(fault=MarketError("down"))) as world:
        await world.wall.passes(600)
        asked = len(world.rest.asked)
        world.rest.fault = None
        await world.wall.passes(20)

        assert 38 <= asked <= 42
        assert [r.levelname for r in caplog.records] == ["WARNING", "INFO"]
        assert world.prices.latest(LINK) is not None


async def test_nothing_it_meets_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    async with looking(LINK, rest=Rest(fault=RuntimeError("surprise"))) as world:
        world.push.refuses = ValueError("another")
        await world.push.breaks()
        await world.wall.passes(120)
        world.rest.fault, world.push.refuses = None, None
        await world.opened()
        world.push.says(LINK, 17.7)

        live = world.prices.latest(LINK)
        assert live is not None
        assert live.price == 17.7


async def test_a_pair_that_somebody_looks_at_is_followed_for_a_while() -> None:
    async with looking() as world:
        nothing_yet = world.prices.latest(SOL)
        await world.wall.passes(2)
        world.push.says(SOL, 151.0)
        seen = world.prices.latest(SOL)
        await world.wall.passes(INTEREST + 5)
        asked = len(world.rest.asked)
        await world.wall.passes(600)

        assert nothing_yet is None
        assert seen is not None
        assert seen.price == 151.0
        assert (world.push.open, len(world.rest.asked)) == (0, asked)
        assert world.prices.latest(SOL) is None  # what it cost ten minutes ago helps nobody


async def test_another_trade_is_followed_within_two_seconds() -> None:
    async with looking(LINK) as world:
        world.push.says(LINK, 17.6)
        world.held.append(ETH)
        await world.wall.passes(2.5)
        world.push.says(ETH, 3001.0)

        assert world.push.followed[-1] == (ETH, LINK)
        assert world.push.open == 1
        assert world.prices.trouble == ""


async def test_an_answer_that_was_long_on_its_way_does_not_replace_what_was_pushed() -> None:
    rest = Rest(let=asyncio.Event())
    async with looking(LINK, rest=rest) as world:
        await world.wall.passes(3)
        world.push.says(LINK, 17.6)
        assert rest.let is not None
        rest.let.set()
        await settled()

        live = world.prices.latest(LINK)
        assert live is not None
        assert (live.price, live.source) == (17.6, "stream")


async def test_a_push_that_comes_late_does_not_turn_time_back() -> None:
    async with looking(LINK) as world:
        world.push.says(LINK, 17.6, 5_000)
        world.push.says(LINK, 16.0, 4_000)

        live = world.prices.latest(LINK)
        assert live is not None
        assert live.price == 17.6
