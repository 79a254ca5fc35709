"""``make bench``: how fast the parts are, as ratios of medians against a reference in the same run.

Candles are made up from a seed, so that it runs anywhere. Absolute times belong to the machine they were taken on;
the ratios are what to compare.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from core.config import Settings
from core.domain.candles import Candles, Pair, to_datetime
from core.domain.trading import Follow
from core.engine import fills, strategy
from core.engine.indicators import indicators
from core.engine.outcomes import find_outcomes
from core.services.backtest import run_backtest
from core.services.replay import replay
from tests.ledgers import books
from tests.markets import M15, START, walk

DAYS = 90
RUNS = 5


def seconds(work: Callable[[], object]) -> float:
    """The median of ``RUNS`` runs after one that warms up."""
    work()
    taken = []
    for _ in range(RUNS):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def market(settings: Settings) -> dict[Pair, Candles]:
    return {pair: replace(walk(DAYS * 96, n), pair=pair) for n, pair in enumerate(settings.traded)}


def bar_by_bar(candles: Candles, settings: Settings) -> list[Follow]:
    """The outcomes of every crossover by the fill rules of live trading, one candle after the other."""
    ind = indicators(candles)
    entries = strategy.candidates(candles, ind, settings.strategy)
    done = []
    for row, sign in zip(entries.row, entries.sign, strict=True):
        found = strategy.candidate_at(candles, ind, int(row), int(sign), None, settings.strategy)
        follow = fills.begin(found.levels, found.open_time)
        for later in range(int(row) + 1, min(int(row) + 101, len(candles))):
            follow = fills.advance(follow, candles.candle(later))
            if follow.closed:
                break
        done.append(follow)
    return done


def by_search(candles: Candles, settings: Settings) -> object:
    ind = indicators(candles)
    entries = strategy.candidates(candles, ind, settings.strategy)
    return find_outcomes(candles, entries.row, entries.sign, ind.atr[entries.row])


def replay_once(candles: dict[Pair, Candles], settings: Settings) -> None:
    async def run(folder: Path) -> None:
        from core.adapters.clocks import ReplayClock

        start = START + 400 * M15.ms
        async with books(folder) as kept:
            await replay(candles, settings, kept.ledger, ReplayClock(to_datetime(start)), start, START + 10**12)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


def main() -> int:
    settings = Settings()
    candles = market(settings)
    count = sum(len(c) for c in candles.values())
    searched = sum(seconds(lambda c=c: by_search(c, settings)) for c in candles.values())  # type: ignore[misc]
    walked = sum(seconds(lambda c=c: bar_by_bar(c, settings)) for c in candles.values())  # type: ignore[misc]
    whole = seconds(lambda: run_backtest(candles, settings))
    began = time.perf_counter()
    replay_once(candles, settings)
    replayed = time.perf_counter() - began
    print(f"{len(candles)} pairs x {DAYS} days = {count:,} candles, median of {RUNS} runs (replay: one run)")
    print(f"{'what':<58}{'ms':>10}{'us/candle':>11}{'ratio':>8}")
    for what, taken in (
        ("indicators, crossovers, outcomes by array search", searched),
        ("the same, outcomes bar by bar as live has them", walked),
        ("backtest: signals with all their columns", whole),
        ("replay: the live loop with its SQLite ledger", replayed),
    ):
        print(f"{what:<58}{taken * 1e3:>10.1f}{taken / count * 1e6:>11.2f}{taken / searched:>8.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
