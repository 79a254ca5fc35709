"""Beside the trading: looks taken, trainings when they are due, and nothing there that could end the trading."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from core.adapters.clocks import ReplayClock
from core.domain.candles import to_datetime
from core.errors import ModelError
from core.services import engine as engine_module
from core.services.bus import Bell
from core.services.champion import ChampionInfo
from core.services.engine import BOT, RETRAIN_EVERY_MS, UPKEEP, Engine
from core.services.trainings import MARK, Trainings, Tried
from core.services.views import Actor, Progress, TrainingView
from tests.ledgers import books, settings
from tests.markets import START


@dataclass
class World:
    """Everything around the engine, counting what it does."""

    clock: ReplayClock = field(default_factory=lambda: ReplayClock(to_datetime(START)))
    info: ChampionInfo = field(default_factory=lambda: ChampionInfo(None, {}, 0))
    outcomes: int = 0
    trainings: int = 0
    reviews: int = 0
    starts: int = 0
    trouble: Exception | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    settled: int = 0
    closed: Bell = field(default_factory=Bell)
    marks: dict[str, str] = field(default_factory=dict)

    async def mark(self, name: str) -> str | None:
        return self.marks.get(name)

    async def set_mark(self, name: str, value: str) -> None:
        self.marks[name] = value

    async def run(self) -> None:
        self.ready.set()
        await asyncio.Event().wait()

    async def start(self) -> None:
        self.starts += 1
        if self.trouble is not None:
            raise self.trouble

    async def follow(self) -> None:
        return

    async def review(self) -> None:
        self.reviews += 1
        if self.trouble is not None:
            raise self.trouble

    async def outcome_count(self) -> int:
        return self.outcomes

    async def publish(self, events: Any) -> None:
        return

    async def retrain(self, actor: Actor, progress: Progress) -> TrainingView:
        assert actor == BOT
        self.trainings += 1
        async with Trainings(self.clock, cast(Any, self)).remembered(own=True):
            return TrainingView(self.info.model_id, False, "the champion stays", 0, {}, None, 0.0)

    async def rest(self) -> None:
        """Until upkeep has been round twice more."""
        wanted = self.reviews + 2
        async with asyncio.timeout(5):
            while self.reviews < wanted:  # noqa: ASYNC110 - the engine tells nobody
                await asyncio.sleep(0.002)


@asynccontextmanager
async def running(world: World, *reviews: Callable[[], Awaitable[None]]) -> AsyncIterator[World]:
    part = cast(Any, world)
    engine = Engine(settings(), world.clock, part, part, part, part, part, part, lambda: world.info, Bell())
    engine.reviews = reviews
    task = asyncio.create_task(engine.run())
    try:
        await world.rest()
        yield world
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "UPKEEP_EVERY", 0.001)


async def test_the_first_start_trains_once_and_again_after_ten_outcomes() -> None:
    async with running(World()) as world:
        assert world.trainings == 1
        world.outcomes = 9
        await world.rest()
        assert world.trainings == 1
        world.outcomes = 10
        await world.rest()
        assert world.trainings == 2


async def test_a_review_that_fails_keeps_neither_another_nor_a_training_from_its_turn() -> None:
    asked: list[str] = []

    async def broken() -> None:
        asked.append("broken")
        raise RuntimeError("no such table")

    async def sound() -> None:
        asked.append("sound")

    async with running(World(), broken, sound) as world:
        assert world.trainings == 1
        assert asked[:4] == ["broken", "sound", "broken", "sound"]


async def test_a_restart_remembers_what_the_last_training_has_seen() -> None:
    world = World(info=ChampionInfo("m1", {}, 400, 90, START), outcomes=100)
    async with running(world):
        assert world.trainings == 1  # a challenger that did not take over: the champion still knows 90
    async with running(world):
        assert world.trainings == 1
        world.outcomes = 110
        await world.rest()
        assert world.trainings == 2


@pytest.mark.parametrize(("beginnings", "trainings"), [(0, 0), (1, 1), (2, 1), (3, 0)])
async def test_a_training_cut_off_by_a_kill_is_taken_up_unless_it_seems_to_be_what_kills(
    beginnings: int, trainings: int
) -> None:
    world = World(info=ChampionInfo("m1", {}, 400, 0, START), outcomes=5)
    world.marks[MARK] = json.dumps(asdict(Tried(5, START, beginnings)))
    async with running(world):
        assert world.trainings == trainings
        await world.rest()
        assert world.trainings == trainings


async def test_a_training_that_a_person_wanted_is_not_taken_up_by_itself() -> None:
    world = World(info=ChampionInfo("m1", {}, 400, 0, START))
    with pytest.raises(asyncio.CancelledError):
        async with Trainings(world.clock, cast(Any, world)).remembered(own=False):
            raise asyncio.CancelledError
    async with running(world):
        assert world.trainings == 0


async def test_a_training_that_fails_has_ended_too() -> None:
    world = World(info=ChampionInfo("m1", {}, 400, 0, START))
    with pytest.raises(ModelError):
        async with Trainings(world.clock, cast(Any, world)).remembered(own=True):
            raise ModelError("one class only")
    async with running(world):
        assert world.trainings == 0


async def test_the_store_says_up_to_which_close_all_is_looked_after() -> None:
    async with running(World()) as world:
        world.settled = START
        world.closed.ring()
        await world.rest()
        assert world.marks[UPKEEP] == str(START)


async def test_outcomes_the_champion_has_learned_from_are_not_new() -> None:
    async with running(World(info=ChampionInfo("m1", {}, 400, 95, START), outcomes=104)) as world:
        assert world.trainings == 0
        world.outcomes = 105
        await world.rest()
        assert world.trainings == 1


async def test_a_week_brings_a_training_each_week_also_when_the_champion_stays() -> None:
    async with running(World(info=ChampionInfo("m1", {}, 400, 0, START - RETRAIN_EVERY_MS))) as world:
        assert world.trainings == 1
        for weeks in (1, 2):
            world.clock.advance(to_datetime(START + weeks * RETRAIN_EVERY_MS - 1))
            await world.rest()
            assert world.trainings == weeks
            world.clock.advance(to_datetime(START + weeks * RETRAIN_EVERY_MS))
            await world.rest()
            assert world.trainings == weeks + 1


@pytest.mark.parametrize("trouble", [ModelError("no"), OSError(28, "No space left on device"), ValueError("a bug")])
async def test_trouble_beside_the_trading_does_not_end_it(trouble: Exception) -> None:
    async with running(World(trouble=trouble)) as world:
        world.trouble = None
        await world.rest()
        assert world.trainings == 1


async def test_the_first_training_is_announced_and_so_is_that_there_is_no_model_yet(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        world = World()
        part = cast(Any, world)
        engine = Engine(settings(), world.clock, kept.ledger, part, part, part, part, part, lambda: world.info, Bell())
        await engine._retrain()
        titles = [item.event.title for item in await kept.chat.pending(10)]  # type: ignore[union-attr]

    assert titles == ["Learning from history", "No model yet"]
