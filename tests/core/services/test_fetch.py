"""Fetching: only what is missing, through trouble, and nothing received is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from core.adapters.candle_files import CandleFiles
from core.domain.candles import Candles, Pair, Timeframe
from core.errors import DataError, MarketError, RateLimited, UnknownPair
from core.ports import Market
from core.services.fetch import PAGES_PER_SAVE, PAUSES, FetchResult, fetch_history, find_holes, patiently
from tests.fakes.mexc import START, candles_of

LINK = Pair("LINK", "USDT")
M15 = Timeframe.parse("15m")
STEP = M15.ms
PAGE = 20
NOW = START + 1000 * STEP + 5


class Exchange:
    """Has all candles from ``first`` on but those ``absent``; gives ``cap`` at most at once; ``before`` may raise."""

    def __init__(self, first: int = START, absent: set[int] | None = None, cap: int = PAGE) -> None:
        self.first, self.absent, self.cap = first, absent or set(), cap
        self.asked: list[tuple[int, int]] = []
        self.before: Callable[[int], None] = lambda number: None

    async def server_time(self) -> int:
        return NOW

    async def markets(self) -> dict[Pair, Market]:
        return {}

    async def candles(self, pair: Pair, timeframe: Timeframe, start_ms: int, end_ms: int, now_ms: int) -> Candles:
        self.asked.append((start_ms, end_ms))
        self.before(len(self.asked))
        await asyncio.sleep(0)
        whole = candles_of(pair, timeframe, start_ms, min(end_ms, timeframe.floor(now_ms)))
        kept = [c for c in whole if c.open_time >= self.first and c.open_time not in self.absent]
        return Candles.of(pair, timeframe, kept[: self.cap])

    async def prices(self, pairs: Iterable[Pair]) -> dict[Pair, float]:
        return {}

    async def volumes(self) -> dict[Pair, float]:
        return {}

    async def close(self) -> None: ...


class Sleeper:
    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def store(tmp_path: Path) -> CandleFiles:
    return CandleFiles(tmp_path)


async def run(
    exchange: Exchange, store: CandleFiles, start: int, end: int, sleeper: Sleeper | None = None
) -> FetchResult:
    """Rows counted from START."""
    return await fetch_history(
        exchange, store, LINK, M15, START + start * STEP, START + end * STEP, NOW, page=PAGE, sleep=sleeper or Sleeper()
    )


def rows(store: CandleFiles) -> list[int]:
    return [(c.open_time - START) // STEP for c in store.load(LINK, M15)]


async def test_everything_comes_in_pages_of_the_size_asked_for(store: CandleFiles) -> None:
    exchange = Exchange()

    result = await run(exchange, store, 0, 90)

    assert rows(store) == list(range(90))
    assert len(exchange.asked) == 5
    assert all(end - start <= PAGE * STEP for start, end in exchange.asked)
    assert (result.new, result.stored, result.missing) == (90, 90, 0)
    assert (result.first, result.last) == (START, START + 89 * STEP)


async def test_what_is_there_is_not_asked_for_again(store: CandleFiles) -> None:
    await run(Exchange(), store, 0, 90)
    exchange = Exchange()

    result = await run(exchange, store, 0, 90)

    assert exchange.asked == []
    assert (result.new, result.stored) == (0, 90)


async def test_holes_in_front_behind_and_inside_are_filled_and_nothing_else_is_asked(store: CandleFiles) -> None:
    store.save(candles_of(LINK, M15, START + 10 * STEP, START + 30 * STEP))
    store.save(candles_of(LINK, M15, START + 35 * STEP, START + 50 * STEP))
    exchange = Exchange()

    result = await run(exchange, store, 0, 60)

    asked = [((start - START) // STEP, (end - START) // STEP) for start, end in exchange.asked]
    assert asked == [(0, 10), (30, 35), (50, 60)]
    assert rows(store) == list(range(60))
    assert result.new == 25


async def test_a_running_candle_is_not_wanted(store: CandleFiles) -> None:
    result = await run(Exchange(), store, 990, 2000)

    assert rows(store) == list(range(990, 1000))
    assert result.missing == 0


async def test_a_range_that_has_not_begun_asks_nothing(store: CandleFiles) -> None:
    exchange = Exchange()

    result = await run(exchange, store, 1500, 2000)

    assert exchange.asked == []
    assert (result.new, result.stored, result.missing, result.first) == (0, 0, 0, None)


async def test_bounds_off_the_grid_are_taken_up_to_it(store: CandleFiles) -> None:
    await fetch_history(Exchange(), store, LINK, M15, START + 1, START + 3 * STEP + 1, NOW, page=PAGE)

    assert rows(store) == [1, 2, 3]


async def test_a_history_that_begins_later_ends_all_the_same(store: CandleFiles) -> None:
    exchange = Exchange(first=START + 70 * STEP)

    result = await run(exchange, store, 0, 100)

    assert rows(store) == list(range(70, 100))
    assert result.missing == 70
    assert len(exchange.asked) <= 6


async def test_no_history_at_all_ends_too(store: CandleFiles) -> None:
    exchange = Exchange(first=NOW)

    result = await run(exchange, store, 0, 100)

    assert (result.stored, result.missing) == (0, 100)
    assert len(exchange.asked) == 5


async def test_a_gap_on_the_exchange_stays_and_is_counted(store: CandleFiles) -> None:
    absent = {START + i * STEP for i in range(15, 60)}

    result = await run(Exchange(absent=absent), store, 0, 100)

    assert rows(store) == [*range(15), *range(60, 100)]
    assert result.missing == 45


async def test_an_exchange_that_gives_fewer_than_asked_for_loses_nothing(store: CandleFiles) -> None:
    await run(Exchange(cap=7), store, 0, 90)

    assert rows(store) == list(range(90))


async def test_progress_ends_at_the_total_and_never_goes_back(store: CandleFiles) -> None:
    told: list[tuple[int, int]] = []

    await fetch_history(
        Exchange(first=START + 30 * STEP),
        store,
        LINK,
        M15,
        START,
        START + 90 * STEP,
        NOW,
        page=PAGE,
        progress=lambda done, total: told.append((done, total)),
    )

    assert told[0] == (0, 90)
    assert told[-1] == (90, 90)
    assert told == sorted(told)


async def test_faults_are_asked_again_with_growing_pauses(store: CandleFiles) -> None:
    exchange, sleeper = Exchange(), Sleeper()

    def before(number: int) -> None:
        if number in (2, 3, 4):
            raise MarketError("odd answer")

    exchange.before = before
    await run(exchange, store, 0, 60, sleeper)

    assert rows(store) == list(range(60))
    assert sleeper.slept == list(PAUSES[:3])


async def test_the_wait_the_exchange_wishes_is_kept(store: CandleFiles) -> None:
    exchange, sleeper = Exchange(), Sleeper()

    def before(number: int) -> None:
        if number == 1:
            raise RateLimited("slower", 17.0)

    exchange.before = before
    await run(exchange, store, 0, 10, sleeper)

    assert sleeper.slept == [17.0]


@pytest.mark.parametrize(
    ("error", "tries"), [(MarketError("down"), len(PAUSES) + 1), (UnknownPair("gone"), 1), (RateLimited("ban", 999), 1)]
)
async def test_it_gives_up_in_time(error: MarketError, tries: int) -> None:
    asked = 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        raise error

    with pytest.raises(type(error)) as caught:
        await patiently(ask, Sleeper())

    assert caught.value is error
    assert asked == tries


async def test_what_came_before_the_failure_is_kept_and_the_next_run_goes_on(store: CandleFiles) -> None:
    exchange = Exchange()

    def before(number: int) -> None:
        if number > 3:
            raise UnknownPair("delisted")

    exchange.before = before
    with pytest.raises(UnknownPair):
        await run(exchange, store, 0, 200)
    assert rows(store) == list(range(60))

    again = Exchange()
    await run(again, store, 0, 200)
    assert again.asked[0][0] == START + 60 * STEP
    assert rows(store) == list(range(200))


@pytest.mark.parametrize("pages", [3, PAGES_PER_SAVE + 3])
async def test_ctrl_c_loses_nothing_received(store: CandleFiles, pages: int) -> None:
    exchange = Exchange()
    reached = asyncio.Event()

    def before(number: int) -> None:
        if number > pages:
            reached.set()
            raise MarketError("wait here")

    async def for_ever(seconds: float) -> None:
        await asyncio.sleep(3600)

    exchange.before = before
    task = asyncio.create_task(
        fetch_history(exchange, store, LINK, M15, START, START + 900 * STEP, NOW, page=PAGE, sleep=for_ever)
    )
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert rows(store) == list(range(pages * PAGE))


async def test_long_fetches_are_saved_on_the_way(store: CandleFiles) -> None:
    exchange = Exchange()
    seen: list[int] = []
    exchange.before = lambda number: seen.append(len(store.load(LINK, M15)))

    await run(exchange, store, 0, 30 * PAGE)

    assert seen[PAGES_PER_SAVE] == PAGES_PER_SAVE * PAGE


async def test_saving_never_holds_up_the_event_loop_for_another_process_may_be_at_the_files(
    store: CandleFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved_in: list[int] = []
    save = store.save

    def watched(candles: Candles) -> int:
        saved_in.append(threading.get_ident())
        return save(candles)

    monkeypatch.setattr(store, "save", watched)
    await run(Exchange(), store, 0, 90)

    assert len(saved_in) == 1
    assert threading.get_ident() not in saved_in


async def test_a_broken_file_stops_before_anything_is_asked(store: CandleFiles) -> None:
    store.path(LINK, M15).write_bytes(b"broken")
    exchange = Exchange()

    with pytest.raises(DataError, match=r"LINKUSDT-15m\.parquet"):
        await run(exchange, store, 0, 10)
    assert exchange.asked == []


def test_holes_of_nothing_stored_is_the_whole_range() -> None:
    empty = Candles.empty(LINK, M15)

    assert find_holes(empty, START, START + 5 * STEP) == [(START, START + 5 * STEP)]
    assert find_holes(empty, START, START) == []
    assert find_holes(candles_of(LINK, M15, START, START + 5 * STEP), START, START + 5 * STEP) == []
