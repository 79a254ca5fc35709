"""One life of the bot without kills, one with many, and what the two must have in common."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from julaba_tg.phone import gemini
from julaba_tg.phone.exchange import CandleSource
from tests.soak.alerts import Doubles, doubles, untold
from tests.soak.comparing import Difference, differences
from tests.soak.killing import Kill, carry_out, plan
from tests.soak.month import Month, Script
from tests.soak.people import SCRIPT
from tests.soak.world import World, world

LENIENT = 0.5
"""The stand-in for Gemini approves from here on: it would refuse nearly all signals of the loosened strategy."""


@dataclass(frozen=True)
class Lived:
    """What a run left: its ledger, and what was seen of it from outside. ``kills`` by their moment."""

    database: Path
    kills: Counter[str]
    starts: int
    started: int
    doubles: Doubles
    untold: list[str]
    trades: int
    decisions: int
    trainings: int
    seconds: float


@dataclass(frozen=True)
class Soaked:
    calm: Lived
    killed: Lived
    differences: list[Difference]

    def faults(self) -> list[str]:
        """What must not be, in sentences; empty when the killed run kept the same books as the calm one."""
        found = [str(difference) for difference in self.differences]
        for name, lived in (("calm", self.calm), ("killed", self.killed)):
            found += [f"{name}: not told: {key}" for key in lived.untold]
            found += [f"{name}: sent twice without a kill in between: {text}" for text in lived.doubles.unexplained]
            if lived.started > lived.starts:
                found.append(f"{name}: {lived.started} starts were told of, there were {lived.starts}")
        return found


async def soak(
    folder: Path, source: CandleSource, *, closes: int, kills: int, seed: int, script: Script = SCRIPT, **settings: int
) -> Soaked:
    """Both runs side by side, each with servers of its own. Raises AssertionError where a process ends by itself."""
    planned = plan(kills, closes, seed)
    with lenient():
        async with asyncio.TaskGroup() as tasks:
            calm = tasks.create_task(live(folder / "calm", source, closes, [], script, **settings))
            killed = tasks.create_task(live(folder / "killed", source, closes, planned, script, **settings))
    return Soaked(calm.result(), killed.result(), differences(calm.result().database, killed.result().database))


async def live(
    folder: Path, source: CandleSource, closes: int, kills: Sequence[Kill], script: Script = SCRIPT, **settings: int
) -> Lived:
    """A month from an empty folder to the last alert told."""
    shutil.rmtree(folder, ignore_errors=True)
    began = time.monotonic()
    async with world(folder, source, **settings) as at:
        await at.launch()
        month = Month(at, closes)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(month.live(script))
            tasks.create_task(carry_out(kills, month))
        await at.up()
        await at.told()
        await at.end()
        return _seen(at, time.monotonic() - began)


def _seen(at: World, seconds: float) -> Lived:
    def count(sql: str) -> int:
        return int(at.rows(f"SELECT count(*) FROM {sql}")[0][0])

    return Lived(
        database=at.database,
        kills=Counter(life.killed_while for life in at.lives if life.killed_while),
        starts=len(at.lives),
        started=count("outbox WHERE key LIKE 'started:%'"),
        doubles=doubles(at),
        untold=untold(at),
        trades=count("follows WHERE kind = 'trade'"),
        decisions=count("decisions"),
        trainings=count("audit WHERE action = 'retrain'"),
        seconds=seconds,
    )


@contextmanager
def lenient() -> Iterator[None]:
    strict, gemini.APPROVE_AT = gemini.APPROVE_AT, LENIENT
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # each kill in the middle of a request is a line
    try:
        yield
    finally:
        gemini.APPROVE_AT = strict
