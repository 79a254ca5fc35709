"""Candles for tests: made up from a seed, or the real ones where they are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.domain.candles import Candle, Candles, IntArray, Pair, Timeframe

LINK = Pair.parse("LINK/USDT")
M15 = Timeframe.parse("15m")
START = 1_704_067_200_000  # 2024-01-01T00:00:00Z, a Monday


def times(rows: int, gaps: dict[int, int] | None = None) -> IntArray:
    """Open times from START; ``gaps`` says how many candles are missing before a row."""
    steps = np.ones(rows, dtype=np.int64)
    steps[0] = 0
    for row, missing in (gaps or {}).items():
        steps[row] += missing
    return START + np.cumsum(steps) * M15.ms


def walk(rows: int, seed: int = 1, price: float = 100.0, gaps: dict[int, int] | None = None) -> Candles:
    """A random walk with changing volatility, on a price grid so that exact ties happen."""
    rng = np.random.default_rng(seed)
    wild = np.exp(np.cumsum(rng.normal(0, 0.05, rows)).clip(-1, 1))
    path = price * np.exp(np.cumsum(rng.normal(0, 0.003, rows) * wild))
    close = np.round(path, 2)
    opened = np.concatenate(([close[0]], close[:-1]))
    reach = np.abs(rng.normal(0, 0.002, (2, rows))) * wild * close
    high = np.round(np.maximum(opened, close) + reach[0], 2)
    low = np.round(np.minimum(opened, close) - reach[1], 2)
    return Candles(LINK, M15, times(rows, gaps), opened, high, low, close, rng.lognormal(8, 0.5, rows))


def flat(rows: int, price: float = 10.0, volume: float = 0.0) -> Candles:
    """Nothing happens."""
    level = np.full(rows, price)
    return Candles(LINK, M15, times(rows), level, level, level, level, np.full(rows, volume))


def bar(row: int, opened: float, high: float, low: float, close: float) -> Candle:
    """One candle, ``row`` candles after START."""
    return Candle(START + row * M15.ms, opened, high, low, close, 1.0)


def real_folder() -> Path:
    """Where the real candles are; skips the test where they are not."""
    folder = os.environ.get("JULABA_REAL_KLINES")
    if not folder or not Path(folder).is_dir():
        pytest.skip("JULABA_REAL_KLINES names no folder with real candles")
    return Path(folder)


def real(symbol: str) -> Candles:
    """All real candles of ``LINKUSDT``."""
    table = pd.read_csv(real_folder() / f"{symbol}-15m.csv.gz")
    columns = (table[name].to_numpy(dtype=np.float64) for name in ("open", "high", "low", "close", "volume"))
    return Candles(Pair.parse(symbol), M15, table["timestamp"].to_numpy(dtype=np.int64), *columns)


def minutes_of(candles: Candles, seed: int = 5) -> Candles:
    """1m candles that make up these: a path from open to close that touches high and low once, each somewhere."""
    rng = np.random.default_rng(seed)
    count = candles.timeframe.minutes
    parts: list[Candle] = []
    for whole in candles:
        corners = rng.permutation(count)[:2]
        path = rng.uniform(whole.low, whole.high, count + 1)
        path[0], path[-1] = whole.open, whole.close
        for n in range(count):
            touched = [p for p, corner in zip((whole.high, whole.low), corners, strict=True) if n == corner]
            prices = [float(path[n]), float(path[n + 1]), *touched]
            time = whole.open_time + n * 60_000
            parts.append(Candle(time, prices[0], max(prices), min(prices), prices[1], whole.volume / count))
    return Candles.of(candles.pair, Timeframe.parse("1m"), parts)
