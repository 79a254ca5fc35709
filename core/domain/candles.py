"""Candles: one, and many as arrays.

Inside arrays a time is the candle's open time in epoch milliseconds, UTC (int64); everywhere a person or a store
sees it, it is an aware UTC datetime.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from core.errors import UsageError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

DAY_MS, HOUR_MS = 86_400_000, 3_600_000

_MINUTES = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60}
_SYMBOL = re.compile(r"^[A-Z0-9]{1,20}$")
_QUOTES = ("USDT", "USDC", "BTC", "ETH")


def to_datetime(ms: int) -> datetime:
    """The aware UTC datetime of an epoch time in milliseconds."""
    return datetime.fromtimestamp(ms // 1000, UTC) + timedelta(milliseconds=ms % 1000)


def to_ms(moment: datetime) -> int:
    """Epoch milliseconds of an aware datetime; a naive one raises ValueError."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return round(moment.timestamp() * 1000)


def iso(ms: int) -> str:
    """``2024-01-03T01:45:00Z``: how every file and message of ours writes a time."""
    return to_datetime(ms).strftime("%Y-%m-%dT%H:%M:%SZ")


def isos(times: IntArray) -> list[str]:
    """``iso`` of every time at once."""
    return [f"{text}Z" for text in np.datetime_as_string(times.astype("datetime64[ms]"), unit="s").tolist()]


@dataclass(frozen=True, slots=True)
class Timeframe:
    """A candle's length: ``Timeframe.parse("15m").ms == 900_000``."""

    name: str
    minutes: int

    @classmethod
    def parse(cls, name: str) -> Timeframe:
        """Raises UsageError for anything but 1m, 5m, 15m, 30m and 1h."""
        if name not in _MINUTES:
            raise UsageError(f"timeframe {name!r} is not one of {', '.join(_MINUTES)}")
        return cls(name, _MINUTES[name])

    @property
    def ms(self) -> int:
        return self.minutes * 60_000

    def floor(self, ms: int) -> int:
        """The open time of the candle that holds the moment ``ms``."""
        return ms - ms % self.ms


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """A market such as LINK/USDT; ``str`` gives that form, ``symbol`` the exchange's LINKUSDT."""

    base: str
    quote: str

    @classmethod
    def parse(cls, text: str) -> Pair:
        """Reads ``LINK/USDT``, ``linkusdt``, ``LINK-USDT`` or ``LINK`` (against USDT). Raises UsageError."""
        clean = text.strip().upper().replace("-", "/").replace("_", "/")
        base, slash, quote = clean.partition("/")
        if not slash:
            quote = next((q for q in _QUOTES if base.endswith(q) and base != q), "")
            base, quote = (base.removesuffix(quote), quote) if quote else (base, "USDT")
        if not (_SYMBOL.match(base) and _SYMBOL.match(quote)):
            raise UsageError(f"{text!r} is not a pair: write it like LINK/USDT")
        return cls(base, quote)

    @property
    def symbol(self) -> str:
        return self.base + self.quote

    def __str__(self) -> str:
        return f"{self.base}/{self.quote}"


@dataclass(frozen=True, slots=True)
class Candle:
    """One closed bar ``[open_time, open_time + timeframe)``; ``open_time`` in epoch ms, volume in base units."""

    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, eq=False)
class Candles:
    """A pair's closed candles, oldest first: seven arrays of one length. Never changed in place."""

    pair: Pair
    timeframe: Timeframe
    time: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    def __len__(self) -> int:
        return len(self.time)

    def __iter__(self) -> Iterator[Candle]:
        return (self.candle(i) for i in range(len(self)))

    def candle(self, row: int) -> Candle:
        return Candle(
            int(self.time[row]),
            float(self.open[row]),
            float(self.high[row]),
            float(self.low[row]),
            float(self.close[row]),
            float(self.volume[row]),
        )

    def rows(self, start: int | None, stop: int | None) -> Candles:
        """The candles of a row range, as a slice would give them."""
        part = slice(start, stop)
        return Candles(
            self.pair,
            self.timeframe,
            self.time[part],
            self.open[part],
            self.high[part],
            self.low[part],
            self.close[part],
            self.volume[part],
        )

    def tail(self, count: int) -> Candles:
        return self.rows(max(0, len(self) - count), None)

    def between(self, start_ms: int | None, end_ms: int | None) -> Candles:
        """Open times in ``[start_ms, end_ms)``; None leaves that side open."""
        first = 0 if start_ms is None else int(np.searchsorted(self.time, start_ms))
        last = len(self) if end_ms is None else int(np.searchsorted(self.time, end_ms))
        return self.rows(first, last)

    def joined(self, newer: Candles) -> Candles:
        """These candles with ``newer`` behind them; where both hold a time, the newer row counts."""
        if not len(newer):
            return self
        kept = self.between(None, int(newer.time[0]))
        columns = ("time", "open", "high", "low", "close", "volume")
        return Candles(
            self.pair, self.timeframe, *(np.concatenate((getattr(kept, c), getattr(newer, c))) for c in columns)
        )

    def stretches(self, max_gap: int) -> list[tuple[int, int]]:
        """Row ranges ``[first, last)`` that hold no gap of more than ``max_gap`` missing candles."""
        if not len(self):
            return []
        broken = np.diff(self.time) >= (max_gap + 2) * self.timeframe.ms
        cuts = [0, *(int(i) + 1 for i in np.flatnonzero(broken)), len(self)]
        return list(pairwise(cuts))

    @classmethod
    def of(cls, pair: Pair, timeframe: Timeframe, candles: list[Candle]) -> Candles:
        """From single candles, oldest first."""
        column = {
            name: np.array([getattr(c, name) for c in candles], dtype=np.float64)
            for name in ("open", "high", "low", "close", "volume")
        }
        return cls(pair, timeframe, np.array([c.open_time for c in candles], dtype=np.int64), **column)

    @classmethod
    def empty(cls, pair: Pair, timeframe: Timeframe) -> Candles:
        return cls.of(pair, timeframe, [])
