"""Any sequence of changes and undos by several people, over restarts and broken writes, leaves what a plain model says.

The model knows nothing of names, JSON or tables: a state, and a list of what was done.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from core.domain.audit_chain import broken_link
from core.domain.candles import Pair
from core.domain.deeds import Alteration
from core.domain.ledger import Switch
from core.errors import StoreError, UsageError
from core.services.changes import pair_risk
from core.services.changing import Changer, Standing
from core.services.loop import TradingLoop
from core.services.pausing import Pausing
from core.services.steering import Steering
from core.services.undo import Undo
from core.services.views import Actor
from tests.ledgers import Books, Stage, books, settings

PEOPLE = (Actor(1, "Ann", "approver"), Actor(2, "Ole", "operator"), Actor(3, "Kim", "operator"))
LINK, ETH = Pair.parse("LINK/USDT"), Pair.parse("ETH/USDT")
State = dict[str, object]


@dataclass(eq=False)
class Done:
    """Something that was done, as the model remembers it."""

    was: State
    becomes: State
    is_undo: bool = False
    undone: bool = False


@dataclass
class Model:
    state: State = field(
        default_factory=lambda: {"LINK": True, "ETH": True, "paused": "", "size": 1.0, "signal": "silent"}
    )
    done: list[Done] = field(default_factory=list)

    def set(self, name: str, value: object) -> None:
        if self.state[name] != value:
            self.done.append(Done({name: self.state[name]}, {name: value}))
            self.state[name] = value

    def last(self, *, undo: bool) -> Done | None:
        return next((d for d in reversed(self.done) if not d.undone and d.is_undo == undo), None)

    def take_back(self, it: Done | None) -> None:
        """Only what still stands as it left it."""
        if it is None or it.undone or any(self.state[name] != value for name, value in it.becomes.items()):
            return
        it.undone = True
        self.state |= it.was
        self.done.append(Done(it.becomes, it.was, is_undo=not it.is_undo))


class Disk:
    """The ledger, whose next write may fail: before it is there, or after."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger
        self.fault = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def alter(self, change: Alteration) -> int:
        fault, self.fault = self.fault, ""
        if fault == "before":
            raise StoreError("the disk is full")
        number: int = await self._ledger.alter(change)
        if fault == "after":
            raise StoreError("nobody knows whether it was written")
        return number


class Desk:
    """The real services on a real store."""

    def __init__(self, loop: TradingLoop, kept: Books, stage: Stage) -> None:
        config, clock, disk = settings(), stage.clock, Disk(kept.ledger)
        self.loop, self.disk = loop, disk
        self.changer = Changer(clock, disk, loop)
        self.steering = Steering(config, clock, disk, loop)
        self.pausing = Pausing(clock, disk, loop)
        self.undoing = Undo(config, kept.chat, self.changer, dict)

    async def switch(self, pair: Pair, on: bool, actor: Actor) -> None:
        def switched(now: Standing) -> Standing:
            return replace(now, switches={**now.switches, pair: Switch(on)})

        await self.changer.make(actor, "switch_pair", switched)

    async def take_back(self, *, undo: bool, actor: Actor) -> None:
        plan = await self.undoing.plan()
        it = plan.redo if undo else plan.deed
        if it is not None:
            await self.undoing.undo(it.deed_id, actor)

    def state(self) -> State:
        now = self.steering.settings
        return {
            "LINK": self.loop.enabled(LINK),
            "ETH": self.loop.enabled(ETH),
            "paused": self.loop.memory.controls.paused,
            "size": now.risk_of(LINK),
            "signal": now.notify.signal,
        }


who = st.sampled_from(PEOPLE)
steps = st.one_of(
    st.tuples(st.just("switch"), who, st.sampled_from((LINK, ETH)), st.booleans()),
    st.tuples(st.just("pause"), who),
    st.tuples(st.just("resume"), who),
    st.tuples(st.just("size"), who, st.sampled_from((0.25, 0.5, 1.0))),
    st.tuples(st.just("signal"), who, st.sampled_from(("loud", "silent", "none"))),
    st.tuples(st.just("undo"), who),
    st.tuples(st.just("undo"), who),
    st.tuples(st.just("redo"), who),
    st.tuples(st.just("bot"), st.booleans()),
    st.tuples(st.just("restart")),
    st.tuples(st.just("fault"), st.sampled_from(("before", "after"))),
)


def works(desk: Desk, model: Model, step: tuple[Any, ...]) -> tuple[Callable[[], Awaitable[Any]], Callable[[], None]]:
    """What a step does to the desk, and to the model."""
    match step:
        case ("switch", actor, pair, on):
            return lambda: desk.switch(pair, on, actor), lambda: model.set(pair.base, on)
        case ("pause", actor):
            return lambda: desk.pausing.pause(actor), lambda: model.set("paused", f"by {actor.name}")
        case ("resume", actor):
            return lambda: desk.pausing.resume(actor), lambda: model.set("paused", "")
        case ("size", actor, factor):
            return lambda: desk.steering.set({pair_risk(LINK): factor}, actor), lambda: model.set("size", factor)
        case ("signal", actor, level):
            return lambda: desk.steering.set({"notify.signal": level}, actor), lambda: model.set("signal", level)
        case ("undo", actor):
            return (
                lambda: desk.take_back(undo=False, actor=actor),
                lambda: model.take_back(model.last(undo=False)),
            )
        case ("redo", actor):
            last, undone = model.last(undo=False), model.last(undo=True)
            newer = undone if last is None or (undone and model.done.index(undone) > model.done.index(last)) else None
            return lambda: desk.take_back(undo=True, actor=actor), lambda: model.take_back(newer)
    raise AssertionError(step)


async def lived(folder: Path, script: list[tuple[Any, ...]]) -> None:
    model = Model()
    async with books(folder) as kept:
        stage = await Stage.begin(kept, 0, settings())
        desk = Desk(stage.loop, kept, stage)
        for step in script:
            if step[0] == "restart":
                stage = await Stage.begin(kept, 0, settings())
                desk = Desk(stage.loop, kept, stage)
            elif step[0] == "fault":
                desk.disk.fault = step[1]
            elif step[0] == "bot":  # the exchange drops a pair: nobody's change, and nothing to take back
                async with desk.loop.changing:
                    await kept.ledger.set_switch(LINK, Switch(step[1]))
                    desk.loop.memory.switches[LINK] = Switch(step[1])
                model.state["LINK"] = step[1]
            else:
                fault = desk.disk.fault
                do, as_the_model_does = works(desk, model, step)
                wrote = False
                with suppress(UsageError):
                    try:
                        await do()
                    except StoreError:
                        wrote = True
                if not (wrote and fault == "before"):
                    as_the_model_does()
                if wrote:
                    async with desk.loop.changing:  # whoever comes next finds the memory as the store has it
                        pass
            assert desk.state() == model.state, step
        stored = await Stage.begin(kept, 0, settings())
        assert Desk(stored.loop, kept, stored).state() == model.state
        assert broken_link(reversed(await kept.chat.audit_rows())) is None


@examples(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, max_size=25))
def test_any_sequence_leaves_what_the_model_says(script: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(lived(Path(folder), script))
