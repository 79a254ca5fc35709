"""Looks inside the running candle on a real ledger: whenever they come, the books are the same."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio

from core.adapters.clocks import ReplayClock
from core.config import Settings
from core.domain.candles import Candles, Pair, Timeframe, to_datetime
from core.domain.messages import TradeClosed, event_from_json
from core.domain.trading import Candidate, GeminiOpinion
from core.errors import MarketError
from core.ports import MarketData
from core.services import loop as loop_module
from core.services.bus import Bell
from core.services.loop import TradingLoop
from core.services.minutes import M1, ExchangeMinutes, MinuteWatch
from tests.ledgers import Books, Stage, books, facts_of, market, settings
from tests.markets import M15, START, minutes_of

FIRST, LAST = 400, 700
WIDE = {"max_positions": 3, "max_correlated": 3, "max_open_risk": 0.2}


def conf(**changes: object) -> Settings:
    return settings(portfolio=WIDE, **changes)


@cache
def all_minutes(last: int = LAST) -> dict[Pair, Candles]:
    return {p: minutes_of(c.rows(FIRST, last), n) for n, (p, c) in enumerate(market(last).items())}


class Known:
    """Gives the minutes there are, each as late as it likes, and counts the questions."""

    def __init__(self, candles: Mapping[Pair, Candles], until: int | None = None) -> None:
        self.candles = candles
        self.until = until
        self.asked = 0

    async def minutes(self, pair: Pair, start_ms: int, end_ms: int) -> Candles:
        self.asked += 1
        await asyncio.sleep(0)
        return self.candles[pair].between(start_ms, min(end_ms, self.until or end_ms))


async def begun(kept: Books, row: int, minutes: Known | None, config: Settings | None = None, **more: object) -> Stage:
    stage = await Stage.begin(kept, row, config or conf(), minutes=minutes, **more)
    for candles in market(LAST).values():
        stage.loop.warm(candles.rows(0, row))
    return stage


async def lived(path: Path, looks: Mapping[int, list[int]], stops: tuple[int, ...] = ()) -> dict[str, object]:
    """A run with looks at these minutes of these rows, begun anew on its store in the middle of the rows ``stops``."""
    row = FIRST
    small = all_minutes()
    for stop in (*stops, LAST):
        async with books(path) as kept:
            stage = await begun(kept, row, Known(small))
            for at in range(row, min(stop + 1, LAST)):
                for minute in looks.get(at, []):
                    await stage.loop.look_inside(START + at * M15.ms + minute * M1.ms + 500)
                if at < stop:
                    await stage.play(market(LAST), at, at + 1)
        row = stop
    async with books(path) as kept:
        return dict(await facts_of(kept))


Facts = Mapping[str, object]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def by_closes(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """The books of a run that looks inside its candles at each close."""
    return await lived(tmp_path_factory.mktemp("closes"), {})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def by_candles(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """The books of a run that never looks inside a candle."""
    async with books(tmp_path_factory.mktemp("candles")) as kept:
        stage = await begun(kept, FIRST, None)
        await stage.play(market(LAST), FIRST, LAST)
        return await facts_of(kept)


async def test_looks_and_kills_at_any_moment_leave_the_books_of_closes_alone(by_closes: Facts, tmp_path: Path) -> None:
    dice = random.Random(4)
    some = {row: sorted(dice.sample(range(1, 16), 3)) for row in range(FIRST, LAST) if dice.random() < 0.7}

    by_looks = await lived(tmp_path / "looks", some)
    killed = await lived(tmp_path / "killed", some, stops=tuple(sorted(dice.sample(range(FIRST + 1, LAST), 25))))

    assert by_looks == by_closes
    assert killed == by_closes


async def test_exits_between_closes_stand_off_the_grid_and_are_off_by_the_setting(
    by_closes: Facts, by_candles: Facts, tmp_path: Path
) -> None:
    async with books(tmp_path) as kept:
        known = Known(all_minutes())
        stage = await begun(kept, FIRST, known, conf(paper={"exits_between_closes": False}))
        await stage.play(market(LAST), FIRST, LAST)
        off = await facts_of(kept)

    assert known.asked == 0
    assert off == by_candles
    times = [cast(int, leg[3]) for leg in cast(list[tuple[object, ...]], by_closes["legs"])]
    assert any(time % M15.ms for time in times)
    assert all(cast(int, leg[3]) % M15.ms == 0 for leg in off["legs"])


def first_exit(facts: Facts) -> tuple[int, int, TradeClosed]:
    """The row and the minute of the first trade that ends within a candle, and what is told of it."""
    for key, kind, _, payload in cast(list[tuple[str, str, int, str]], facts["outbox"]):
        if kind == "trade_closed":
            event = event_from_json(payload)
            assert isinstance(event, TradeClosed), key
            known = round(event.time.timestamp() * 1000) - START
            if known % M15.ms > 2 * M1.ms:
                return known // M15.ms, known % M15.ms // M1.ms, event
    raise AssertionError("no trade ends within a candle")


async def test_a_stop_between_closes_is_queued_before_the_close(by_closes: Facts, tmp_path: Path) -> None:
    row, minute, event = first_exit(by_closes)
    async with books(tmp_path) as kept:
        bell = Bell()
        stage = await begun(kept, FIRST, Known(all_minutes()), bell=bell)
        await stage.play(market(LAST), FIRST, row)
        await stage.loop.look_inside(START + row * M15.ms + (minute - 1) * M1.ms)
        assert event.key not in {item.event.key for item in await kept.chat.pending(1000)}
        await bell.heard(0)
        await stage.loop.look_inside(START + row * M15.ms + minute * M1.ms)

        told = {item.event.key: item.event for item in await kept.chat.pending(1000)}
        assert told[event.key].time == event.time
        assert stage.loop.memory.book.follows.get(event.trade_id) is None
        async with asyncio.timeout(1):
            await bell.heard(60)


async def test_minutes_that_do_not_come_leave_the_closed_candle_as_the_judge(by_candles: Facts, tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage = await begun(kept, FIRST, Known(all_minutes(), until=START))
        await stage.play(market(LAST), FIRST, LAST)
        assert await facts_of(kept) == by_candles


async def test_a_look_beyond_a_close_that_is_not_handled_yet_stops_there(by_closes: Facts, tmp_path: Path) -> None:
    row, _, event = first_exit(by_closes)
    async with books(tmp_path) as kept:
        stage = await begun(kept, FIRST, Known(all_minutes()))
        await stage.play(market(LAST), FIRST, row - 3)
        await stage.loop.look_inside(START + (row + 1) * M15.ms)
        assert event.trade_id in stage.loop.memory.book.follows


# The exchange's side.


class Exchange:
    """An exchange whose candles close by its own clock."""

    def __init__(self, candles: Mapping[Pair, Candles], clock: ReplayClock) -> None:
        self.candles_of = candles
        self.clock = clock
        self.asked: list[tuple[int, int]] = []
        self.error: Exception | None = None
        self.last: dict[Pair, float] = {}  # traded in the running minute; without one nothing is known of it

    async def prices(self, pairs: Iterable[Pair]) -> dict[Pair, float]:
        if self.error is not None:
            raise self.error
        return {pair: self.last[pair] for pair in pairs if pair in self.last}

    async def server_time(self) -> int:
        return round(self.clock.now().timestamp() * 1000)

    async def candles(self, pair: Pair, timeframe: Timeframe, start_ms: int, end_ms: int, now_ms: int) -> Candles:
        assert timeframe == M1
        self.asked.append((start_ms, end_ms))
        if self.error is not None:
            raise self.error
        return self.candles_of[pair].between(start_ms, min(end_ms, M1.floor(await self.server_time())))


LINK = Pair.parse("LINK/USDT")


def exchange(row: int) -> tuple[Exchange, ReplayClock]:
    clock = ReplayClock(to_datetime(START + row * M15.ms))
    return Exchange(all_minutes(), clock), clock


async def test_a_recovery_asks_once_for_the_minutes_of_many_candles() -> None:
    there, clock = exchange(FIRST + 12)
    source = ExchangeMinutes(cast(MarketData, there), clock)

    for row in range(FIRST, FIRST + 10):
        start = START + row * M15.ms
        found = await source.minutes(LINK, start, start + M15.ms)
        assert [int(t) for t in found.time] == list(range(start, start + M15.ms, M1.ms))

    assert len(there.asked) == 1


async def test_a_minute_that_was_not_there_yet_is_asked_for_again() -> None:
    there, clock = exchange(FIRST)
    source = ExchangeMinutes(cast(MarketData, there), clock)
    start = START + FIRST * M15.ms

    assert len(await source.minutes(LINK, start, start + M1.ms)) == 0
    clock.advance(to_datetime(start + M1.ms))
    assert len(await source.minutes(LINK, start, start + M1.ms)) == 1


async def test_an_answer_that_ended_early_is_asked_for_again_and_one_that_was_whole_counts_no_further() -> None:
    there, clock = exchange(FIRST)
    source = ExchangeMinutes(cast(MarketData, there), clock)
    start = START + FIRST * M15.ms
    clock.advance(to_datetime(start + 2 * M1.ms))

    assert len(await source.minutes(LINK, start, start + 3 * M1.ms)) == 2
    clock.advance(to_datetime(start + 3 * M1.ms))
    assert len(await source.minutes(LINK, start, start + 3 * M1.ms)) == 3
    clock.advance(to_datetime(start + 6 * M1.ms))
    assert len(await source.minutes(LINK, start, start + 6 * M1.ms)) == 6


@pytest.mark.parametrize("error", [MarketError("the exchange cannot be reached"), TimeoutError()])
async def test_an_exchange_that_fails_gives_no_minutes_and_raises_nothing(error: Exception) -> None:
    there, clock = exchange(FIRST + 2)
    there.error = error
    source = ExchangeMinutes(cast(MarketData, there), clock)

    assert len(await source.minutes(LINK, START + FIRST * M15.ms, START + (FIRST + 1) * M15.ms)) == 0


async def test_an_exchange_that_hangs_holds_up_a_close_no_longer_than_the_patience() -> None:
    there, clock = exchange(FIRST + 2)

    async def hang(*_: object) -> Candles:
        await asyncio.Event().wait()
        raise AssertionError

    there.candles = hang  # type: ignore[method-assign,assignment]
    source = ExchangeMinutes(cast(MarketData, there), clock, patience=0.01)
    async with asyncio.timeout(5):
        assert len(await source.minutes(LINK, START + FIRST * M15.ms, START + (FIRST + 1) * M15.ms)) == 0


async def test_the_watch_looks_at_each_minute_and_survives_what_goes_wrong(
    by_closes: Facts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.services.minutes.LEAST_PAUSE", 0.0)
    monkeypatch.setattr("core.services.minutes.AFTER_ERROR", 0.0)
    row, minute, event = first_exit(by_closes)
    async with books(tmp_path) as kept:
        config = conf(exchange={"grace": 0})
        there, clock = exchange(row)
        loop = TradingLoop(config, clock, kept.ledger, minutes=ExchangeMinutes(cast(MarketData, there), clock))
        stage = Stage(loop, clock)
        early = await begun(kept, FIRST, Known(all_minutes()))
        await early.play(market(LAST), FIRST, row)
        await loop.start()
        watch = asyncio.create_task(MinuteWatch(config, clock, cast(MarketData, there), loop).run())
        await asyncio.sleep(0.01)
        open_before = event.trade_id in loop.memory.book.follows
        for now in range(1, minute + 1):
            there.error = RuntimeError("nobody thought of this") if now == 1 else None
            clock.advance(to_datetime(START + row * M15.ms + now * M1.ms))
            for _ in range(20):
                await asyncio.sleep(0.002)
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch

        assert open_before
        assert event.trade_id not in stage.loop.memory.book.follows


# Nobody waits for another pair's opinion.


class Slow:
    """Gemini that answers at once, but for one pair not before it is told to."""

    def __init__(self, pair: str) -> None:
        self.pair = Pair.parse(pair)
        self.go = asyncio.Event()

    async def opinion(self, candidate: Candidate, recent: Candles) -> GeminiOpinion | str:
        if candidate.pair == self.pair:
            await self.go.wait()
        return GeminiOpinion(True, 0.9, "because", (), "test")


async def test_a_pair_whose_opinion_takes_its_time_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "TOGETHER", 0.01)
    same = market(LAST)[LINK]  # the same candles for two pairs: their signals come together
    pairs = {LINK: same, Pair.parse("ETH/USDT"): replace(same, pair=Pair.parse("ETH/USDT"))}
    async with books(tmp_path) as kept:
        slow = Slow("LINK/USDT")
        stage = await Stage.begin(kept, FIRST, conf(), advisor=slow)
        for candles in pairs.values():
            stage.loop.warm(candles.rows(0, FIRST))
        playing = asyncio.create_task(stage.play(pairs, FIRST, LAST))
        async with asyncio.timeout(20):
            while not (found := await kept.ledger.decisions(signals_only=True)):  # noqa: ASYNC110 - the store tells nobody
                await asyncio.sleep(0.01)
        assert {str(d.pair) for d in found} == {"ETH/USDT"}
        slow.go.set()
        await playing
        decided = await kept.ledger.decisions(signals_only=True)
        assert {str(d.pair) for d in decided} == {"ETH/USDT", "LINK/USDT"}
        assert {d.open_time for d in decided if d.pair == LINK} == {d.open_time for d in decided if d.pair != LINK}


async def test_a_minute_that_comes_before_the_loop_has_started_is_no_fault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with books(tmp_path) as kept:
        clock = ReplayClock(to_datetime(START))
        loop = TradingLoop(conf(), clock, kept.ledger)
        watch = asyncio.create_task(MinuteWatch(conf(), clock, cast(MarketData, None), loop).run())
        for minute in range(1, 4):
            clock.advance(to_datetime(START + minute * 60_000 + 2_000))
            await asyncio.sleep(0.05)
        watch.cancel()

    assert not caplog.records
