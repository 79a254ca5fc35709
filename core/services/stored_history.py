"""What is stored of each pair, and what a fetch has added to it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from core.domain.candles import DAY_MS, Pair, Timeframe, to_datetime
from core.errors import MarketError
from core.ports import CandleStore
from core.services.fetch import FetchResult, find_holes


@dataclass(frozen=True, slots=True)
class StoredPair:
    """All that is stored of a pair: ``gaps`` holes with ``missing`` candles in them, between the first and the last.

    ``new``: candles that this fetch has added. ``fault``: why it could not be completed.
    """

    pair: str
    days: float
    candles: int
    gaps: int
    missing: int
    first: datetime | None
    last: datetime | None
    new: int = 0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class FetchView:
    days: int
    pairs: tuple[StoredPair, ...]
    seconds: float

    @property
    def new(self) -> int:
        return sum(pair.new for pair in self.pairs)


async def stored_after(
    store: CandleStore, frame: Timeframe, found: Mapping[Pair, FetchResult | MarketError]
) -> tuple[StoredPair, ...]:
    """A line for each pair that was fetched, whether or not it could be. Raises DataError for a broken file."""
    return tuple([await asyncio.to_thread(_line, store, frame, pair, result) for pair, result in found.items()])


def _line(store: CandleStore, frame: Timeframe, pair: Pair, result: FetchResult | MarketError) -> StoredPair:
    candles = store.load(pair, frame)
    fault, new = (str(result), 0) if isinstance(result, MarketError) else ("", result.new)
    if not len(candles):
        return StoredPair(str(pair), 0.0, 0, 0, 0, None, None, new, fault)
    first, end = int(candles.time[0]), int(candles.time[-1]) + frame.ms
    holes = find_holes(candles, first, end)
    return StoredPair(
        pair=str(pair),
        days=(end - first) / DAY_MS,
        candles=len(candles),
        gaps=len(holes),
        missing=sum(stop - start for start, stop in holes) // frame.ms,
        first=to_datetime(first),
        last=to_datetime(end),
        new=new,
        fault=fault,
    )
