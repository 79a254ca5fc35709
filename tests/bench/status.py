"""``/status`` on the phone while the machine works, and the memory of the process that answers: the real process.

Over HTTP from the phone's send to the bot's answer there, long polling and both servers included; all share the cores.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np

from tests.bench.live import DECISIONS
from tests.bench.measure import Line, say
from tests.bench.stage import lived
from tests.bench.world import OWNER, World, julaba, world

ASKED, ASKED_BUSY = 40, 120
PAUSE = 1.3  # seconds between two questions: who asks more often than once a second is asked to wait
SPEED = 1.0  # candles a second: a close every second, for each of which it has a quarter of an hour
DAYS = 30
FAST = 40.0


def status() -> Iterator[Line]:
    """Idle and busy, on a ledger that is not young."""
    with tempfile.TemporaryDirectory() as name:
        yield from asyncio.run(_statuses(Path(name)))


async def _statuses(root: Path) -> list[Line]:
    await lived(root / "data", DECISIONS)
    async with world(root) as at:
        await at.learned()
        async with at.going(SPEED):
            idle = await _ask(at, ASKED)
            async with _busy(at):
                busy = await _ask(at, ASKED_BUSY)
    return [
        _line("`/status` on the phone while a close comes each second", idle, None),
        _line("the same while a training, a backtest and a replay run", busy, 100.0),
    ]


async def _ask(at: World, count: int) -> list[float]:
    await at.ask("/status", "📊")
    taken = []
    for _ in range(count):
        await asyncio.sleep(PAUSE)
        taken.append(await at.ask("/status", "📊") * 1e3)
    return taken


@asynccontextmanager
async def _busy(at: World) -> AsyncIterator[None]:
    """Training, backtest and replay, each begun again when it has ended, as the owner would start them."""
    working = [
        asyncio.create_task(_again(at, "backtest", "--out", "backtest.csv")),
        asyncio.create_task(_again(at, "replay", "--out", "replay.csv")),
        asyncio.create_task(_train(at)),
    ]
    try:
        await asyncio.sleep(2)
        yield
    finally:
        for work in working:
            work.cancel()
        await asyncio.gather(*working, return_exceptions=True)


async def _again(at: World, *arguments: str) -> None:
    while True:
        process = await asyncio.create_subprocess_exec(
            *julaba(*arguments, "--data-dir", "data"),
            cwd=at.folder,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            _, errors = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            say(f"{arguments[0]}: {errors.decode()[-500:]}")
            return


async def _train(at: World) -> None:
    while True:
        at.phone.say(OWNER, "/retrain")
        await asyncio.sleep(10)


def _line(what: str, taken: list[float], must: float | None) -> Line:
    quantiles = [float(np.quantile(taken, q)) for q in (0.5, 0.95, 0.99)]
    note = f"of {len(taken)}: median {quantiles[0]:.0f} ms, 95% within {quantiles[1]:.0f}, slowest {max(taken):.0f}"
    say(f"  {what}: 99% within {quantiles[2]:.0f}, {note}")
    return Line("status", what, quantiles[2], "ms", goal="ours" if must else "tell", must=must, note=note)


def memory() -> Iterator[Line]:
    """Of the bot's own process, its workers left out: idle, and over thirty simulated days."""
    with tempfile.TemporaryDirectory() as name:
        yield from asyncio.run(_memories(Path(name)))


async def _memories(root: Path) -> list[Line]:
    days = int(os.environ.get("JULABA_BENCH_DAYS", DAYS))
    async with world(root) as at:
        await at.learned()
        await asyncio.sleep(10)
        idle = at.memory()
        say(f"  idle: {idle:.0f} MB")
        begun, seen = at.clock.now(), []
        async with at.going(FAST):
            for day in range(1, days + 1):
                await at.clock.sleep_until(begun + timedelta(days=day))
                seen.append(at.memory())
                say(f"  day {day}: {seen[-1]:.0f} MB")
    after = ", ".join(f"{seen[day - 1]:.0f} MB after {day} days" for day in (days // 3, 2 * days // 3, days))
    return [
        Line("memory", "the bot's memory when it has learned and waits, 5 pairs", idle, "MB", None, "ours", 300, 200),
        Line(
            "memory", f"its memory at the most in {days} simulated days", max(seen), "MB", None, "ours", 300, note=after
        ),
    ]
