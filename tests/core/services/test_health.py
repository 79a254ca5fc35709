"""Health says what is true of a real loop on a real ledger: nothing when all is well, one sentence for each trouble."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.domain.health import Health
from core.errors import StoreError
from core.services import health as health_module
from core.services import lag
from core.services.health import ChatLine, HealthWatch
from core.services.lag import LagWatch
from tests.core.services.test_exchange_troubles import LINK, Scene, no_long_pauses, trading

__all__ = ["no_long_pauses"]


def watch_of(scene: Scene) -> HealthWatch:
    live, kept, loop = scene.live, scene.kept, scene.loop
    return HealthWatch(loop.in_force, scene.clock, kept.ledger, kept.chat, loop, live, lambda: "", lambda: False)


@asynccontextmanager
async def looking(watch: HealthWatch) -> AsyncIterator[HealthWatch]:
    task = asyncio.create_task(watch.run())
    try:
        await asyncio.sleep(0.05)
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def sentences(view: Health) -> list[str]:
    return [t.sentence for t in view.troubles]


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not what():  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.005)


async def test_all_is_well(tmp_path: Path) -> None:
    async with trading(tmp_path) as scene:
        await scene.closes(2)
        async with looking(watch_of(scene)) as watch:
            watch.chat_line = lambda: ChatLine(3.0, "", 0, 95.0)
            view = await watch.look()

    assert (view.state, view.troubles) == ("ok", ())
    assert view.trading.late == 0
    assert view.trading.last_close == scene.clock.now()
    assert {p.pair: p.candle_age for p in view.pairs} == {"LINK/USDT": 0, "ETH/USDT": 0, "BTC/USDT": 0}
    assert view.process.commit_age is not None
    assert view.process.memory is not None
    assert view.process.memory > 1e7


async def test_a_look_before_the_store_is_read_says_that_it_is_starting(tmp_path: Path) -> None:
    async with trading(tmp_path) as scene:
        memory = scene.loop.memory
        scene.live.ready.clear()
        del scene.loop.memory
        view = await watch_of(scene).look()
        scene.loop.memory = memory

    assert sentences(view) == ["Starting."]


async def test_a_pair_in_quarantine_and_its_age_are_shown(tmp_path: Path) -> None:
    async with trading(tmp_path) as scene:
        scene.exchange.fault("error", method="klines:LINKUSDT", times=None, status=503)
        await scene.closes_without(LINK, 4)
        await scene.closes(1)
        view = await watch_of(scene).look()

    pair = next(p for p in view.pairs if p.pair == "LINK/USDT")
    assert view.state == "degraded"
    assert sentences(view) == ["LINK/USDT: no candle since 05 Jan 12:00 UTC."]
    assert (pair.quarantined, pair.candle_age) == ("the exchange answered HTTP 503", 5 * 900)


async def test_a_telegram_that_is_silent_and_alerts_that_wait_are_degraded_not_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "OLD_ALERT", 0.0)
    async with trading(tmp_path) as scene:
        watch = watch_of(scene)
        await watch.look()
        watch.chat_line = lambda: ChatLine(200.0, "", 2, 95.0)
        silent = await watch.look()
        watch.chat_line = lambda: ChatLine(200.0, "telegram refuses the bot token (401)", 2, 95.0)
        refused = await watch.look()

    assert silent.state == refused.state == "degraded"
    assert sentences(silent)[0] == "Telegram has not answered for 200 s."
    assert sentences(silent)[1].startswith("1 alert waits, the oldest for")
    assert sentences(refused) == ["Telegram refuses the bot token (401)."]
    assert silent.chat.waiting == 1


async def test_a_database_that_takes_no_commit_is_degraded_once_and_down_when_it_goes_on(tmp_path: Path) -> None:
    async with trading(tmp_path) as scene:
        well = scene.kept.ledger.set_mark
        watch = watch_of(scene)

        async def full(*args: object) -> None:
            raise StoreError("The disk is full")

        seen = []
        for write in (full, full, well):
            scene.kept.ledger.set_mark = write  # type: ignore[method-assign, assignment]
            await watch.commit()
            seen.append(await watch.look())

    assert [view.state for view in seen] == ["degraded", "down", "ok"]
    assert sentences(seen[1]) == ["The disk is full."]
    assert seen[2].process.commit_age is not None


async def test_a_database_that_does_not_answer_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "LOOK_WITHIN", 0.05)

    async def hangs() -> tuple[int, int | None]:
        await asyncio.Event().wait()
        raise AssertionError

    async with trading(tmp_path) as scene:
        scene.kept.chat.waiting = hangs  # type: ignore[method-assign]
        view = await asyncio.wait_for(watch_of(scene).look(), 2)

    assert view.state == "down"
    assert sentences(view) == ["The database cannot be read: no answer."]


async def test_trading_far_behind_the_clock_is_told_unless_it_is_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "STANDS", 0.05)
    async with trading(tmp_path) as scene:
        await scene.closes(1)
        watch = watch_of(scene)
        scene.task.cancel()
        scene.clock.step(4)
        moving = await watch.look()
        await asyncio.sleep(0.1)
        standing = await watch.look()

    assert (moving.trading.late, moving.state) == (3 * 900, "ok")
    assert (standing.state, sentences(standing)) == ("degraded", ["Trading is 45 min behind the clock."])


async def test_trading_that_cannot_go_on_is_down(tmp_path: Path) -> None:
    async with trading(tmp_path) as scene:
        await scene.live.faults.raised("trading", "Trading broke off and begins again from the store")
        view = await watch_of(scene).look()

    assert view.state == "down"


async def test_a_loop_that_is_held_up_says_for_how_long_and_by_what(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lag, "EVERY", 0.02)
    monkeypatch.setattr(lag, "TELL_FROM", 0.1)
    watch = LagWatch()
    task = asyncio.create_task(watch.run())
    await asyncio.sleep(0.1)
    quiet = watch.longest

    def heavy_work() -> None:
        time.sleep(0.4)

    with caplog.at_level(logging.WARNING):
        heavy_work()
        await until(lambda: watch.longest > 0.3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert quiet < watch.longest
    (said,) = [r.getMessage() for r in caplog.records if "held up" in r.getMessage()]
    assert "heavy_work (test_health.py:" in said
