"""What a backtest looks at: stored candles of a range, with those beside and below them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from core.config import Settings
from core.domain.candles import DAY_MS, Candles, Pair, Timeframe
from core.ports import CandleStore


@dataclass(frozen=True, eq=False)
class Stored:
    """The pairs that have candles in ``[start, end)``, epoch ms, each with all before ``end``: earlier ones warm up.

    ``last`` is the close at which the candles end, wherever ``end`` was named.
    """

    candles: dict[Pair, Candles]
    start: int
    end: int
    last: int


def within(found: Mapping[Pair, Candles], from_ms: int | None, to_ms: int | None, days: int | None) -> Stored:
    """The range of ``found``, which must hold something: ``days`` back from its end, unless a beginning is named.

    The end is the last candle's close where none is named; ``days`` do not reach beyond the first candle.
    """
    frame = next(iter(found.values())).timeframe
    first = min(int(c.time[0]) for c in found.values())
    last = max(int(c.time[-1]) + frame.ms for c in found.values())
    end = to_ms or last
    start = max(first, end - days * DAY_MS) if days else first
    start = start if from_ms is None else from_ms
    return Stored({pair: c for pair, c in found.items() if len(c.between(start, end))}, start, end, last)


def beside(store: CandleStore, stored: Stored, settings: Settings) -> dict[Pair, Candles]:
    """Stored candles of BTC and of the settings' other pairs, for the features that look there. Raises DataError."""
    others = dict.fromkeys(p for p in (*settings.traded, settings.btc) if p not in stored.candles)
    frame = next(iter(stored.candles.values())).timeframe
    loaded = {pair: store.load(pair, frame, None, stored.end) for pair in others}
    return {pair: candles for pair, candles in loaded.items() if len(candles)}


def smaller(
    store: CandleStore, timeframe: Timeframe | None, pairs: Iterable[Pair], start_ms: int | None, end_ms: int | None
) -> dict[Pair, Candles]:
    """Stored candles of a smaller timeframe for the pairs that have some. Raises DataError."""
    if timeframe is None:
        return {}
    stored = set(store.pairs(timeframe))
    loaded = {pair: store.load(pair, timeframe, start_ms, end_ms) for pair in pairs if pair in stored}
    return {pair: candles for pair, candles in loaded.items() if len(candles)}
