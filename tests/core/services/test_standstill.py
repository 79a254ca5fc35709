"""Trading that hangs is noticed by the clock, told once, and begun anew; nothing else is called a standstill."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from core.adapters.clocks import ReplayClock
from core.domain.candles import to_datetime
from core.services import live, standstill
from core.services.standstill import Standstill, StoodStill
from tests.ledgers import settings
from tests.markets import M15
from tests.scenes import NOON, Moody, mexc, running

__all__ = ["mexc"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(standstill, "AT_LEAST", 0.05)
    monkeypatch.setattr(standstill, "ENDS_WITHIN", 0.05)
    monkeypatch.setattr(live, "AGAIN_AFTER", 0.02)


class Work:
    """Something that can be told to hang, move, fail or refuse to end."""

    def __init__(self) -> None:
        self.clock = ReplayClock(to_datetime(NOON))
        self.moved = 0
        self.watch = Standstill(self.clock, settings(), lambda: self.moved)
        self.let_go = asyncio.Event()

    def pass_candles(self, count: float) -> None:
        self.clock.advance(to_datetime(round(self.clock.now().timestamp() * 1000 + count * M15.ms)))

    async def hang(self) -> None:
        await asyncio.Event().wait()

    async def stubborn(self) -> None:
        while not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                continue


async def test_two_candles_without_a_sign_of_life_break_it_off() -> None:
    work = Work()
    task = asyncio.create_task(work.watch.watched(work.hang()))
    await asyncio.sleep(0.03)
    work.pass_candles(1.9)
    await asyncio.sleep(0.1)
    assert not task.done()
    work.pass_candles(0.2)

    with pytest.raises(StoodStill, match="Nothing has moved since 12:00 UTC"):
        await asyncio.wait_for(task, 5)
    assert not work.watch.hangs


async def test_a_sign_of_life_begins_the_count_anew() -> None:
    work = Work()
    task = asyncio.create_task(work.watch.watched(work.hang()))
    for _ in range(4):
        work.pass_candles(1.5)
        work.moved += 1
        await asyncio.sleep(0.08)

    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_short_simulated_candles_on_a_busy_machine_are_no_standstill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "AT_LEAST", 60.0)
    work = Work()
    task = asyncio.create_task(work.watch.watched(work.hang()))
    work.pass_candles(50)
    await asyncio.sleep(0.1)

    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_fails_by_itself_fails_as_itself() -> None:
    async def fails() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await Work().watch.watched(fails())


async def test_what_cannot_be_broken_off_is_waited_for_and_called_by_its_name() -> None:
    work = Work()
    task = asyncio.create_task(work.watch.watched(work.stubborn()))
    await asyncio.sleep(0.03)
    work.pass_candles(3)
    async with asyncio.timeout(5):
        while not work.watch.hangs:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)
    assert not task.done()
    work.let_go.set()

    with pytest.raises(StoodStill):
        await asyncio.wait_for(task, 5)
    assert not work.watch.hangs


async def test_a_loop_that_hangs_is_begun_anew_told_once_and_loses_no_candle(mexc: Moody, tmp_path: Path) -> None:
    async with running(mexc, tmp_path) as scene:
        await scene.close(2)
        handle, hanging = scene.loop.handle, True

        async def hang(*args: object) -> None:
            if hanging:
                await asyncio.Event().wait()
            await handle(*args)  # type: ignore[arg-type]

        scene.loop.handle = hang  # type: ignore[method-assign, assignment]
        scene.pass_time()
        await asyncio.sleep(0.1)
        for _ in range(3):
            scene.pass_time()
            await asyncio.sleep(0.03)
        await scene.until_told("Trading stood still and begins again from the store")
        hanging = False
        await scene.until(lambda: (scene.loop.last_close or 0) >= mexc.now - M15.ms)
        await scene.close()
        equity = [t for t, _ in await scene.kept.ledger.equity_curve()]
        assert equity == [NOON + n * M15.ms for n in range(1, len(equity) + 1)]
        assert await scene.notices("fault") == ["Trading stood still and begins again from the store"]
        assert await scene.notices("recovered") == ["Trading goes on"]
        assert scene.live.restarts >= 1
