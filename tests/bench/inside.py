"""Our own ways against each other: outcomes by array search, bar by bar as live has them, and the whole live loop."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

from core.adapters.clocks import ReplayClock
from core.config import Settings
from core.domain.candles import Candles, Pair, to_datetime
from core.domain.trading import Follow
from core.engine import fills, strategy
from core.engine.indicators import indicators
from core.engine.outcomes import find_outcomes
from core.services.replay import replay
from tests.bench.candles import DAYS, market
from tests.bench.measure import Line, median, seconds
from tests.ledgers import books
from tests.markets import M15, START


def inside() -> Iterator[Line]:
    settings, candles = Settings(), market()
    count = sum(len(c) for c in candles.values())
    searched = seconds(lambda: [_by_search(c, settings) for c in candles.values()])
    for what, taken in (
        (
            "every crossover's outcome bar by bar, as live has it, beside the array search",
            seconds(lambda: [_bar_by_bar(c, settings) for c in candles.values()]),
        ),
        (
            "the live loop with its SQLite ledger (`julaba replay`), beside the array search",
            median(lambda: _replay(candles, settings), 1),
        ),
    ):
        yield Line(
            part="inside",
            what=what,
            ours=searched * 1e3,
            theirs=taken * 1e3,
            unit="ms",
            note=f"{taken / count * 1e6:.1f} us a candle, {DAYS} days of {len(candles)} pairs",
        )


def _by_search(candles: Candles, settings: Settings) -> object:
    ind = indicators(candles)
    entries = strategy.candidates(candles, ind, settings.strategy)
    return find_outcomes(candles, entries.row, entries.sign, ind.atr[entries.row])


def _bar_by_bar(candles: Candles, settings: Settings) -> list[Follow]:
    ind = indicators(candles)
    entries = strategy.candidates(candles, ind, settings.strategy)
    done = []
    for row, sign in zip(entries.row.tolist(), entries.sign.tolist(), strict=True):
        found = strategy.candidate_at(candles, ind, row, sign, None, settings.strategy)
        follow = fills.begin(found.levels, found.open_time)
        for later in range(row + 1, min(row + 101, len(candles))):
            follow = fills.advance(follow, candles.candle(later))
            if follow.closed:
                break
        done.append(follow)
    return done


def _replay(candles: dict[Pair, Candles], settings: Settings) -> None:
    async def run(folder: Path) -> None:
        start = START + 400 * M15.ms
        async with books(folder) as kept:
            await replay(candles, settings, kept.ledger, ReplayClock(to_datetime(start)), start, START + 10**12)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))
