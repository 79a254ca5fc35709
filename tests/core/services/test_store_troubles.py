"""A store that refuses, for real: SQLite's own full disk and another process's lock under live trading and its faults.

The step is not half done, nothing is lost, trading begins again by itself, and the owner hears of it once.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.adapters.clocks import ReplayClock
from core.config import Settings
from core.domain.messages import Notice
from core.errors import StoreError
from core.services import feed, fetch, live
from core.services.backups import AGAIN_AFTER, MARK, Backups
from core.services.bus import Bell
from core.services.faults import Faults
from tests.fakes.mexc import START
from tests.ledgers import Books, books, facts_of
from tests.markets import M15
from tests.scenes import LINK, NOON, Moody, Scene, running

NIGHT = datetime(2026, 11, 21, 23, 50, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "PAUSE", 0.01)
    monkeypatch.setattr(live, "AGAIN_AFTER", 0.02)
    monkeypatch.setattr(fetch, "PAUSES", (0.0, 0.0))


@pytest.fixture
async def exchange() -> AsyncIterator[Moody]:
    async with Moody(now=NOON + 10, first=START).serving() as served:
        assert isinstance(served, Moody)
        yield served


async def on_the_writer(kept: Books, pragma: str) -> None:
    await kept.db._writer.execute(f"PRAGMA {pragma}")


async def fill_the_disk(kept: Books) -> Callable[[], Awaitable[None]]:
    """SQLite's own full disk: not a page more, and none of its free ones left; gives the way to make room again."""
    await kept.db.write("CREATE TABLE ballast (x)")
    await on_the_writer(kept, "max_page_count = 1")
    for size in (50_000, 500, 20):
        full = False
        while not full:
            try:
                await kept.db.write("INSERT INTO ballast VALUES (zeroblob(?))", (size,))
            except StoreError:
                full = True

    async def make_room() -> None:
        await on_the_writer(kept, "max_page_count = 100000")
        await kept.db.write("DROP TABLE ballast")

    return make_room


@contextmanager
def locked(kept: Books) -> Iterator[None]:
    with closing(sqlite3.connect(kept.db._path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def alerts(kept: Books) -> list[Notice]:
    waiting = [item.event for item in await kept.chat.pending(10_000)]
    found = [e for e in waiting if isinstance(e, Notice) and e.topic in ("fault", "recovered")]
    return sorted(found, key=lambda e: e.time)


async def held_up(scene: Scene, log: pytest.LogCaptureFixture) -> int:
    """Closes come until one cannot be stored, and trading has begun again a few times, in vain; how many they were.

    A close at which next to nothing happens still finds room in the pages that are there.
    """

    def broken_off() -> int:
        return sum("trading broke off" in r.message for r in log.records)

    for number in range(1, 60):
        moment = scene.pass_time()
        await scene.until(lambda at=moment: broken_off() or (scene.loop.last_close or 0) >= at)  # type: ignore[misc]
        if broken_off():
            await scene.until(lambda: broken_off() >= 3)
            return number
        await scene.idle()
    raise AssertionError("all of them could be stored")


async def begun_again(scene: Scene) -> None:
    now = M15.floor(scene.mexc.now)
    await scene.until(lambda: scene.loop.handled(LINK) == now - M15.ms)
    await scene.until(lambda: not scene.live.faults.active)
    await scene.idle()
    await scene.close()


async def unbroken(folder: Path, closes: int) -> dict[str, list[tuple[object, ...]]]:
    """What the same closes leave where nothing happens."""
    async with (
        Moody(now=NOON + 10, first=START).serving() as other,
        running(other, folder) as scene,  # type: ignore[arg-type]
    ):
        await scene.close(closes)
        return await facts_of(scene.kept)


def decided(facts: dict[str, list[tuple[object, ...]]]) -> dict[str, list[tuple[object, ...]]]:
    return {name: rows for name, rows in facts.items() if name != "outbox"}


async def test_a_full_disk_is_told_once_when_it_is_over_and_trading_lost_nothing(
    exchange: Moody, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(exchange, tmp_path / "full") as scene:
        await scene.close(2)
        make_room = await fill_the_disk(scene.kept)
        with caplog.at_level(logging.ERROR):
            closes = 3 + await held_up(scene, caplog)
        assert any("The disk is full: nothing more" in str(r.exc_info) for r in caplog.records)  # at once, in the log
        assert scene.live.faults.active
        await make_room()
        await begun_again(scene)
        told, facts = await alerts(scene.kept), await facts_of(scene.kept)

    assert [e.topic for e in told] == ["fault", "recovered"]
    assert told[0].title.startswith("The disk is full: nothing more can be written to ")
    assert decided(facts) == decided(await unbroken(tmp_path / "whole", closes))


async def test_a_lock_held_elsewhere_is_told_once_and_trading_lost_nothing(
    exchange: Moody, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(exchange, tmp_path / "locked") as scene:
        await scene.close(2)
        await on_the_writer(scene.kept, "busy_timeout = 10")
        with locked(scene.kept), caplog.at_level(logging.ERROR):
            closes = 3 + await held_up(scene, caplog)
            assert await alerts(scene.kept) == []
        await begun_again(scene)
        told, facts = await alerts(scene.kept), await facts_of(scene.kept)

    assert [e.topic for e in told] == ["fault", "recovered"]
    assert told[0].title.startswith("The database is locked: another process writes to ")
    assert decided(facts) == decided(await unbroken(tmp_path / "whole", closes))


async def test_a_lock_that_is_short_is_waited_for_and_nobody_hears_of_it(exchange: Moody, tmp_path: Path) -> None:
    async with running(exchange, tmp_path) as scene:
        await scene.close(2)
        with locked(scene.kept):
            scene.pass_time()
            await asyncio.sleep(0.2)
        await begun_again(scene)

        assert await alerts(scene.kept) == []


# Faults whose alert the store would not take.


async def faults_on(kept: Books) -> tuple[Faults, ReplayClock]:
    clock = ReplayClock(NIGHT)
    await on_the_writer(kept, "busy_timeout = 10")
    return Faults(clock, kept.ledger, Bell()), clock


async def test_an_alert_that_could_not_be_stored_is_told_later_with_the_time_it_began(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        faults, clock = await faults_on(kept)
        with locked(kept):
            for minutes in (1, 2):
                clock.advance(NIGHT + timedelta(minutes=minutes))
                with pytest.raises(StoreError):
                    await faults.raised("trading", "It broke off", f"reason {minutes}")
        await faults.raised("trading", "It broke off", "reason 3")
        await faults.cleared("trading", "It goes on")
        await faults.cleared("trading", "It goes on")
        told = await alerts(kept)

    assert [(e.title, e.detail, e.time) for e in told] == [
        ("It broke off", "reason 1", NIGHT + timedelta(minutes=1)),
        ("It goes on", "", NIGHT + timedelta(minutes=2)),
    ]


async def test_an_all_clear_that_could_not_be_stored_is_told_at_the_next_call(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        faults, _ = await faults_on(kept)
        await faults.raised("feed", "No candle")
        with locked(kept):
            with pytest.raises(StoreError):
                await faults.raised("trading", "It broke off")
            for name in ("trading", "feed"):
                with pytest.raises(StoreError):
                    await faults.cleared(name, f"{name} is well")
        for name in ("trading", "feed", "trading", "feed"):
            await faults.cleared(name, f"{name} is well")
        told = await alerts(kept)

    assert sorted(e.title for e in told) == ["It broke off", "No candle", "feed is well", "trading is well"]


# The daily backup.


class Shelf:
    """Backups that only count; ``trouble`` makes them fail."""

    def __init__(self) -> None:
        self.made: list[datetime] = []
        self.kept: list[int] = []
        self.trouble = ""

    def make(self, now: datetime, *, go_on: Callable[[], None]) -> None:
        go_on()
        if self.trouble:
            raise StoreError(self.trouble)
        self.made.append(now)

    def keep(self, number: int) -> None:
        self.kept.append(number)


def backups_on(kept: Books, clock: ReplayClock, shelf: Shelf, keep: int = 14) -> Backups:
    config = Settings.model_validate({"backup": {"keep": keep}})
    return Backups(config, clock, kept.ledger, Faults(clock, kept.ledger, Bell()), shelf)  # type: ignore[arg-type]


async def test_a_day_has_one_backup_at_the_start_or_after_midnight_whoever_is_restarted(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        clock, shelf = ReplayClock(NIGHT), Shelf()
        for _ in range(2):
            again = backups_on(kept, clock, shelf)
            await again.review()
            await again.review()
        clock.advance(NIGHT + timedelta(minutes=11))
        await again.review()
        await again.review()

        assert shelf.made == [NIGHT, NIGHT + timedelta(minutes=11)]
        assert shelf.kept == [14, 14]
        assert await kept.ledger.mark(MARK) == "2026-11-22"


async def test_a_backup_that_fails_is_told_once_tried_again_and_its_end_is_told(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        clock, shelf = ReplayClock(NIGHT - timedelta(hours=6)), Shelf()
        daily = backups_on(kept, clock, shelf)
        shelf.trouble = "no backup could be written to backups: No space left on device"
        for _ in range(3):
            await daily.review()
            await daily.review()  # at once: not even tried
            clock.advance(clock.now() + AGAIN_AFTER)
        shelf.trouble = ""
        await daily.review()
        told = await alerts(kept)

    assert [(e.topic, e.title, e.detail) for e in told] == [
        ("fault", "The daily backup failed", "no backup could be written to backups: No space left on device"),
        ("recovered", "The daily backup is made again", ""),
    ]
    assert len(shelf.made) == 1


async def test_without_a_wish_to_keep_any_no_backup_is_made(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        shelf = Shelf()
        await backups_on(kept, ReplayClock(NIGHT), shelf, keep=0).review()

        assert shelf.made == []
        assert await kept.ledger.mark(MARK) is None


async def test_who_stops_the_bot_does_not_wait_for_a_large_ledger(tmp_path: Path) -> None:
    class Slow(Shelf):
        ended = ""

        def make(self, now: datetime, *, go_on: Callable[[], None]) -> None:
            try:
                for _ in range(10_000):
                    begun.set()
                    go_on()
                    paused.wait(0.005)
            except StoreError as error:
                self.ended = str(error)
                ended.set()

    begun, paused, ended, shelf = threading.Event(), threading.Event(), threading.Event(), Slow()
    async with books(tmp_path) as kept:
        review = asyncio.create_task(backups_on(kept, ReplayClock(NIGHT), shelf).review())
        await asyncio.to_thread(begun.wait)
        review.cancel()
        with pytest.raises(asyncio.CancelledError):
            await review
        await asyncio.to_thread(ended.wait, 5)
        assert shelf.ended == "the backup was broken off"
        assert await kept.ledger.mark(MARK) is None
