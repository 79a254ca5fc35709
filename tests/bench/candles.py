"""The candles of the benchmark: made up from a seed, so that it runs anywhere."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from core.adapters.candle_files import CandleFiles
from core.config import Settings
from core.domain.candles import Candles, Pair
from tests.bench.measure import say
from tests.markets import M15, walk

DAYS = 90
MANY_PAIRS, MANY_DAYS = 100, 1095


def market(days: int = DAYS) -> dict[Pair, Candles]:
    """The five pairs that are traded at the start."""
    return {pair: replace(walk(days * 96, n), pair=pair) for n, pair in enumerate(Settings().traded)}


def jumpy(candles: Candles, seed: int) -> Candles:
    """The same with candles that open away from the last close, now and then far away."""
    rng = np.random.default_rng(seed)
    jump = rng.normal(0, 0.002, len(candles)) * np.where(rng.random(len(candles)) < 0.1, 8, 1)
    opened = np.round(candles.open * np.exp(jump), 2)
    high, low = np.maximum(candles.high, opened), np.minimum(candles.low, opened)
    return replace(candles, open=opened, high=high, low=low)


def frame(candles: Candles) -> pd.DataFrame:
    columns = ("open", "high", "low", "close", "volume")
    return pd.DataFrame({"timestamp": candles.time, **{name: getattr(candles, name) for name in columns}})


def write(candles: dict[Pair, Candles], folder: Path) -> None:
    """As our store keeps them under ``folder/data`` and as CSV under ``folder/csv``."""
    store, csv = CandleFiles(folder / "data" / "candles"), folder / "csv"
    csv.mkdir(parents=True)
    for pair, found in candles.items():
        store.save(found)
        frame(found).to_csv(csv / f"{pair.symbol}-15m.csv", index=False)


def many() -> tuple[CandleFiles, list[Pair]]:
    """The store of 100 pairs x 3 years, written by the first run into the system's folder for temporary files."""
    folder = Path(tempfile.gettempdir()) / f"julaba-bench-{MANY_PAIRS}x{MANY_DAYS}"
    store = CandleFiles(folder)
    pairs = [Pair(f"P{n:03}", "USDT") for n in range(MANY_PAIRS)]
    missing = [p for p in pairs if not store.path(p, M15).exists()]
    if missing:
        say(f"writing {MANY_PAIRS} pairs x {MANY_DAYS} days to {folder} (once) ...")
    for pair in missing:
        store.save(replace(walk(MANY_DAYS * 96, 1000 + int(pair.base[1:])), pair=pair))
    return store, pairs
