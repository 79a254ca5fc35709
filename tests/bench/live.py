"""From a candle's close to the decision stored and the alert queued: the real loop, ledger, features and worker.

Measured from candles in hand to the commit, on a ledger that waits for the disk. The exchange and Gemini are left out.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tests.bench.measure import Line, say
from tests.bench.stage import HISTORY, Live, copy_of, crossings, live, lived, market, settings_of, twice_followed
from tests.markets import M15, START

DECISIONS = 100_000
MUST = {5: 100.0, 300: 2000.0}
"""Milliseconds that a close may take, by the number of pairs."""

CLOSES = 200


def close() -> Iterator[Line]:
    """Closes of 5 and of 300 pairs, and the worst of them: every pair has a signal."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        old = asyncio.run(lived(root / "old", DECISIONS))
        for count in MUST:
            yield _ordinary(copy_of(old, f"{count}-closes"), count)
            yield _all_at_once(copy_of(old, f"{count}-signals"), count)
        yield _shadows(copy_of(old, "shadows"), 300)


def _ordinary(folder: Path, count: int) -> Line:
    closes = CLOSES if count < 100 else CLOSES // 2

    async def run() -> tuple[list[float], int]:
        async with live(folder, settings_of(count), market(count, closes)) as stage:
            before = stage.loop.memory.book.next_decision_id
            taken = [await _timed(stage, row) for row in range(HISTORY, HISTORY + closes)]
            return taken, stage.loop.memory.book.next_decision_id - before

    taken, found = asyncio.run(run())
    return _line(f"a close of {count} pairs, candles in hand to decision stored", taken, count, f"{found} crossovers")


def _all_at_once(folder: Path, count: int) -> Line:
    """Every pair crosses at the same closes, and every crossover is a signal."""
    rows = crossings(600)[: 20 if count < 100 else 6]

    async def run() -> list[float]:
        async with live(folder, settings_of(count, loose=True), market(count, 600, alike=True)) as stage:
            taken = []
            for row in range(HISTORY, rows[-1] + 1):
                took = await _timed(stage, row)
                taken += [took] if row in rows else []
            return taken

    return _line(f"the same with {count} signals at once", asyncio.run(run()), count, "")


def _shadows(folder: Path, count: int) -> Line:
    """Two open shadows of each pair: what following them costs at a close."""
    first = crossings(600)[0]
    candles, settings = market(count, 600, alike=True), settings_of(count, loose=True)

    async def run() -> tuple[list[float], int]:
        async with live(folder, settings, candles, first, durable=False) as stage:
            await stage.close(first)
        followed = twice_followed(folder / "julaba.sqlite", START + first * M15.ms)
        async with live(folder, settings, candles, first + 1) as stage:
            quiet = [row for row in range(first + 1, first + 50) if row not in crossings(600)]
            return [await _timed(stage, row) for row in quiet], followed

    taken, followed = asyncio.run(run())
    return _line(f"a close of {count} pairs with {followed} open shadows and no crossover", taken, count, "")


async def _timed(stage: Live, row: int) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    await stage.close(row)
    return (time.perf_counter() - began) * 1e3


def _line(what: str, taken: Sequence[float], count: int, found: str) -> Line:
    say(f"  {what}: {spread(taken)}")
    return Line(
        part="close",
        what=what,
        ours=float(np.quantile(taken, 0.99)),
        unit="ms",
        goal="ours",
        must=MUST[count],
        note=", ".join(text for text in (spread(taken), found, f"a ledger of {DECISIONS:,} decisions") if text),
    )


def spread(taken: Sequence[float]) -> str:
    """Of milliseconds."""
    middle, most = (float(np.quantile(taken, q)) for q in (0.5, 0.95))
    return f"of {len(taken)}: median {middle:.1f} ms, 95% within {most:.1f}, 99% as shown, slowest {max(taken):.1f}"
