"""Large amounts: 100 pairs x 3 years from the store to the dataset, loading, and the time per candle as candles grow.

As a program (``python -m tests.bench.large dataset``) it is the process whose memory is measured.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator

import numpy as np

from core.adapters.candle_files import CandleFiles
from core.config import Settings
from core.domain.candles import Candles, IntArray, Pair
from core.engine.candle_faults import VALUES
from core.ml.dataset import Dataset
from core.services.backtest import run_backtest
from core.services.samples import stored_samples
from tests.bench.candles import MANY_DAYS, many
from tests.bench.measure import RUNS, Line, median, python, runs_of, seconds
from tests.markets import M15, START, walk

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
LAST = 500


def to_dataset(store: CandleFiles, pairs: list[Pair]) -> Dataset:
    """From our own store to the samples a model learns from: the one place that says how."""
    return stored_samples(store, pairs, M15, Settings())


def dataset() -> Iterator[Line]:
    many()
    taken, peak = runs_of(lambda: python("tests.bench.large", "dataset"))
    what = "100 pairs x 3 years (10.5 million candles) from the store to the dataset"
    yield Line(
        part="dataset",
        what=what,
        ours=taken,
        unit="s",
        goal="ours",
        must=15,
        aim=5,
        note="a whole process, its imports included",
    )
    yield Line(
        part="dataset", what="100 pairs x 3 years: memory at the most", ours=peak, unit="MB", goal="ours", must=1500
    )


def load() -> Iterator[Line]:
    store, pairs = many()

    def everything() -> None:
        for pair in pairs:
            store.load(pair, M15)

    yield Line(
        part="load",
        what="10.5 million candles loaded, pair by pair",
        ours=seconds(everything),
        unit="s",
        goal="ours",
        must=2.5,
    )
    start = START + (MANY_DAYS * 96 - LAST) * M15.ms
    taken = []
    for pair in pairs:
        began = time.perf_counter()
        found = store.load(pair, M15, start)
        taken.append(time.perf_counter() - began)
        if len(found) != LAST:
            raise RuntimeError(f"{pair}: {len(found)} candles loaded, {LAST} wanted")
    yield Line(
        part="load",
        what="the last 500 candles of a pair loaded",
        ours=statistics.median(taken) * 1e3,
        unit="ms",
        goal="ours",
        must=5,
        note=f"the slowest of {len(pairs)} pairs {max(taken) * 1e3:.1f} ms",
    )


def growth() -> Iterator[Line]:
    """Candles in memory to trades for one pair, from ten thousand candles to ten million."""
    settings, whole = Settings(), _long_walk(SIZES[-1])
    for size in SIZES:
        candles = {whole.pair: whole.rows(0, size)}
        runs = RUNS if size >= 1_000_000 else 8 * RUNS + 1
        taken = median(lambda c=candles: run_backtest(c, settings).columns(), runs)  # type: ignore[misc]
        yield Line(
            part="growth",
            what=f"{size:,} candles of one pair".replace(",", " "),
            ours=taken / size * 1e6,
            unit="us/candle",
        )


def _long_walk(size: int) -> Candles:
    """One pair of a million candles, laid end to end: a single walk would wander out of all proportion."""
    piece = walk(1_000_000, 7)
    copies = -(-size // len(piece))
    times: IntArray = START + np.arange(copies * len(piece), dtype=np.int64) * M15.ms
    columns = (np.tile(getattr(piece, name), copies) for name in VALUES)
    return Candles(piece.pair, M15, times, *columns).rows(0, size)


if __name__ == "__main__":
    if sys.argv[1:] != ["dataset"]:
        raise SystemExit("only `dataset` runs as a program")
    print(len(to_dataset(*many())), "samples")
