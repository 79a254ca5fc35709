"""How much history the exchange has of a pair: looked for by a few pages, without fetching all of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from core.domain.candles import DAY_MS, Candles, Pair, Timeframe
from core.ports import MarketData
from core.services.fetch import find_holes, patiently


@dataclass(frozen=True, slots=True)
class Depth:
    """``days`` of candles up to now, ``whole``: at least as many as were asked for.

    In the first and the newest page, ``looked`` candles in all, ``missing`` are not there; ``longest_gap`` is counted
    in candles.
    """

    pair: Pair
    days: float
    whole: bool
    looked: int
    missing: int
    longest_gap: int


async def depth_of(market: MarketData, pair: Pair, frame: Timeframe, wanted_ms: int, now_ms: int, page: int) -> Depth:
    """Looks back at most ``wanted_ms``. Some eight requests for a pair younger than that, two for an older one.

    Raises UnknownPair, RateLimited and MarketError, once asking again has not helped.
    """
    span, end = page * frame.ms, frame.floor(now_ms)

    async def at(number: int) -> Candles:
        """The page that ends ``number`` pages before now."""
        stop = end - number * span
        return await patiently(partial(market.candles, pair, frame, stop - span, stop, now_ms))

    newest = await at(0)
    if not len(newest):
        return Depth(pair, 0.0, False, 0, 0, 0)
    there, first = 0, newest  # the oldest page that is known to have candles
    absent = max(1, -(-wanted_ms // span))
    oldest = await at(absent - 1) if absent > 1 else newest
    whole = len(oldest) > 0
    if whole:
        there, first = absent - 1, oldest
    while not whole and absent - there > 1:
        middle = (there + absent) // 2
        candles = await at(middle)
        if len(candles):
            there, first = middle, candles
        else:
            absent = middle
    return _depth(pair, first, newest, end, whole)


def _depth(pair: Pair, first: Candles, newest: Candles, end: int, whole: bool) -> Depth:
    begins, step = int(first.time[0]), first.timeframe.ms
    pages = [first] if first is newest else [first, newest]
    missing, longest, looked = 0, 0, 0
    for candles in pages:
        start, stop = int(candles.time[0]), int(candles.time[-1]) + step
        gaps = [(b - a) // step for a, b in find_holes(candles, start, stop)]
        missing, longest = missing + sum(gaps), max([longest, *gaps])
        looked += (stop - start) // step
    return Depth(pair, (end - begins) / DAY_MS, whole, looked, missing, longest)
