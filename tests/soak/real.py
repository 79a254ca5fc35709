"""Real 15m candles on the simulated exchange: moved to the soak's days, and split into minutes that fit them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from core.domain.candles import Candle, Candles, FloatArray, Pair, Timeframe
from core.services.candle_csv import read_csv
from julaba_tg.phone.market_sim import resampled
from tests.soak.world import M15

MINUTES = 15
NAMES = ("LINK/USDT", "ETH/USDT", "SOL/USDT", "AVAX/USDT", "POL/USDT", "BTC/USDT")
FORMER = {"POLUSDT": "MATICUSDT"}
M1 = Timeframe.parse("1m")


class SplitSource:
    """``candles``: 15m ones of some pairs. Shorter ones are a straight walk from the open over both extremes to the
    close: the nearer extreme to the open's side first, so that a rising candle falls first. Nothing is random.
    """

    def __init__(self, candles: dict[Pair, Candles]) -> None:
        self._base = candles
        self._kept = lru_cache(maxsize=64)(self._all)

    def pairs(self) -> tuple[Pair, ...]:
        return tuple(self._base)

    def candles(self, pair: Pair, timeframe: Timeframe, start_ms: int, end_ms: int) -> Candles:
        if timeframe.ms >= M15.ms:
            return self._kept(pair, timeframe).between(start_ms, end_ms)
        around = self._base[pair].between(M15.floor(start_ms), end_ms)
        return resampled(minutes_of(around), timeframe).between(start_ms, end_ms)

    def running(self, pair: Pair, timeframe: Timeframe, now_ms: int) -> Candle | None:
        """Flat at the last close known."""
        before = self._base[pair].between(None, M15.floor(now_ms)).tail(1)
        if not len(before):
            return None
        price = float(before.close[0])
        return Candle(timeframe.floor(now_ms), price, price, price, price, 0.0)

    def _all(self, pair: Pair, timeframe: Timeframe) -> Candles:
        return resampled(self._base[pair], timeframe)


def minutes_of(candles: Candles) -> Candles:
    """15 one-minute candles for each; together they are it again, to the last bit but for the volume's sum."""
    count = len(candles)
    rising = candles.close >= candles.open
    first = np.where(rising, candles.low, candles.high)
    second = np.where(rising, candles.high, candles.low)
    ends: FloatArray = np.empty((count, MINUTES + 1))
    corners = (candles.open, first, second, candles.close)
    for part in range(3):
        for step in range(6):
            share = step / 5
            ends[:, 5 * part + step] = corners[part] * (1 - share) + corners[part + 1] * share
    ends = np.clip(ends, candles.low[:, None], candles.high[:, None])  # a last bit of rounding may lie outside
    opened, closed = ends[:, :-1], ends[:, 1:]
    time = (candles.time[:, None] + np.arange(MINUTES) * M1.ms).ravel()
    volume = np.repeat(candles.volume / MINUTES, MINUTES)
    high, low = np.maximum(opened, closed), np.minimum(opened, closed)
    return Candles(candles.pair, M1, time, opened.ravel(), high.ravel(), low.ravel(), closed.ravel(), volume)


def real_source(folder: Path, start_ms: int, history_ms: int) -> SplitSource:
    """The folder's first candles, moved by whole weeks so that ``history_ms`` of them lie before ``start_ms``."""
    found = {Pair.parse(name): _read(folder, Pair.parse(name)) for name in NAMES}
    first = max(int(c.time[0]) for c in found.values())
    week = 7 * 96 * M15.ms
    shift = (start_ms - history_ms - first) // week * week
    return SplitSource({pair: _moved(candles, shift) for pair, candles in found.items()})


def _read(folder: Path, pair: Pair) -> Candles:
    file = folder / f"{FORMER.get(pair.symbol, pair.symbol)}-15m.csv.gz"
    return replace(read_csv(file), pair=pair)


def _moved(candles: Candles, shift: int) -> Candles:
    c = candles
    return Candles(c.pair, c.timeframe, c.time + shift, c.open, c.high, c.low, c.close, c.volume)
