"""When the process is killed: by a seed, at any moment of its life, and often where it hurts most."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.soak.month import Month

Moment = Literal["close", "start", "alert", "command", "training"]

SHARES: dict[Moment, float] = {"close": 0.42, "start": 0.26, "alert": 0.12, "command": 0.12, "training": 0.08}
LONGEST: dict[Moment, float] = {"close": 0.15, "start": 6.0, "alert": 0.02, "command": 0.4, "training": 8.0}
"""Seconds of wall time from the moment to the kill, at most; evenly spread."""


@dataclass(frozen=True)
class Kill:
    """At close number ``close``, ``delay`` seconds after the moment; ``start`` follows the kill before it at once."""

    close: int
    moment: Moment
    delay: float


def plan(kills: int, closes: int, seed: int) -> list[Kill]:
    """As many kills as wanted, spread evenly over the closes, the same for the same seed."""
    rng = random.Random(seed)
    moments = rng.choices(list(SHARES), list(SHARES.values()), k=kills)
    at = sorted(rng.randint(0, closes) for _ in range(kills))
    return [Kill(close, moment, rng.uniform(0, LONGEST[moment])) for close, moment in zip(at, moments, strict=True)]


async def carry_out(kills: Sequence[Kill], month: Month) -> None:
    """Kills and starts again at once, one after the other; a moment that does not come is not waited for for long."""
    patience = max(1, month.closes // max(1, len(kills)))
    for kill in kills:
        await month.reaches(kill.close)
        await _first(_moment(kill.moment, month), month.reaches(kill.close + patience))
        await asyncio.sleep(kill.delay)
        await month.world.kill(kill.moment)
        await month.world.launch()


async def _moment(moment: Moment, month: Month) -> None:
    match moment:
        case "alert":
            await month.world.alerted.wait()
        case "command":
            await month.said.wait()
        case "training":
            while not month.world.training():  # noqa: ASYNC110 - the database of another process rings no bell
                await asyncio.sleep(0.05)
        case _:
            return


async def _first(*waits: Awaitable[None]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
