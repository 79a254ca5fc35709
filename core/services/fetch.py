"""Downloading history: only what is missing, page by page, saved as it comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial, reduce
from typing import TypeVar

import numpy as np

from core.domain.candles import Candles, Pair, Timeframe
from core.errors import MarketError, RateLimited, UnknownPair
from core.ports import CandleStore, MarketData

log = logging.getLogger(__name__)

T = TypeVar("T")
Progress = Callable[[int, int], None]
Sleep = Callable[[float], Awaitable[None]]

PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds before the second, third ... try
LONGEST_PAUSE = 120.0  # an exchange that wants longer has banned us: that is for a person to know
PAGES_PER_SAVE = 10


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What a fetch did. ``missing``: candles of the range that the exchange does not have either."""

    pair: Pair
    new: int
    stored: int  # in the range asked for, afterwards
    missing: int
    first: int | None  # open times of what is stored in the range, epoch ms
    last: int | None


async def fetch_history(
    market: MarketData,
    store: CandleStore,
    pair: Pair,
    timeframe: Timeframe,
    start_ms: int,
    end_ms: int,
    now_ms: int,
    *,
    page: int,
    progress: Progress = lambda done, total: None,
    sleep: Sleep = asyncio.sleep,
) -> FetchResult:
    """Completes the stored closed candles of ``[start_ms, end_ms)``; ``now_ms`` is the exchange's time.

    ``page`` is the most candles one request gives (``exchange.page``); ``progress(done, total)`` counts missing
    candles worked through. What was received is saved also when this is cancelled or fails, so that the next call
    goes on from there. Raises UnknownPair, RateLimited or MarketError once retrying has not helped, and DataError
    when the stored file is broken.
    """
    start_ms, end_ms = _on_grid(start_ms, timeframe), min(_on_grid(end_ms, timeframe), timeframe.floor(now_ms))
    before = await asyncio.to_thread(store.load, pair, timeframe, start_ms, end_ms)
    holes = find_holes(before, start_ms, end_ms)
    total = sum(end - start for start, end in holes) // timeframe.ms
    done = 0
    unsaved: list[Candles] = []
    progress(done, total)
    try:
        for start, end in holes:
            while start < end:
                until = min(end, start + page * timeframe.ms)
                answer = await patiently(partial(market.candles, pair, timeframe, start, until, now_ms), sleep)
                unsaved.append(answer)
                # Nothing there: the history begins later or has a hole, so on to what lies behind it. A short answer
                # may have been cut by the exchange: ask again from where it ended.
                reached = int(answer.time[-1]) + timeframe.ms if len(answer) else until
                done += (reached - start) // timeframe.ms
                start = reached
                progress(done, total)
                if len(unsaved) >= PAGES_PER_SAVE:
                    await asyncio.to_thread(store.save, _joined(unsaved))
                    unsaved.clear()
        if unsaved:
            await asyncio.to_thread(store.save, _joined(unsaved))
            unsaved.clear()
    finally:
        # Broken off. Not awaited: after Ctrl-C the loop is ending, and what was received is worth a short moment.
        if unsaved:
            store.save(_joined(unsaved))
    after = await asyncio.to_thread(store.load, pair, timeframe, start_ms, end_ms)
    return _result(before, after, max(0, end_ms - start_ms) // timeframe.ms)


async def fetch_pairs(
    market: MarketData,
    store: CandleStore,
    pairs: Iterable[Pair],
    timeframe: Timeframe,
    start_ms: int,
    now_ms: int,
    *,
    page: int,
    progress: Callable[[float], None],
) -> dict[Pair, FetchResult | MarketError]:
    """``fetch_history`` of several pairs up to now, side by side; one that fails leaves the others alone.

    ``progress`` is told the fraction done (0..1) over all of them. Raises DataError for a broken file.
    """
    shares = dict.fromkeys(pairs, 0.0)

    async def one(pair: Pair) -> FetchResult | MarketError:
        def told(done: int, total: int) -> None:
            shares[pair] = done / total if total else 1.0
            progress(sum(shares.values()) / len(shares))

        try:
            return await fetch_history(
                market, store, pair, timeframe, start_ms, now_ms, now_ms, page=page, progress=told
            )
        except MarketError as error:
            return error

    return dict(zip(shares, await asyncio.gather(*(one(pair) for pair in shares)), strict=True))


def find_holes(stored: Candles, start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    """What is not stored of ``[start_ms, end_ms)``, as ranges of open times, oldest first. Wants times on the grid."""
    step = stored.timeframe.ms
    if end_ms <= start_ms:
        return []
    edges = np.concatenate(([start_ms - step], stored.between(start_ms, end_ms).time, [end_ms]))
    return [(int(edges[i]) + step, int(edges[i + 1])) for i in np.flatnonzero(np.diff(edges) > step)]


async def patiently(ask: Callable[[], Awaitable[T]], sleep: Sleep = asyncio.sleep) -> T:
    """What ``ask`` gives, asked again after a fault, with growing pauses or the one the exchange wishes.

    Raises the last MarketError; at once UnknownPair, and a RateLimited that wants minutes.
    """
    for pause in PAUSES:
        try:
            return await ask()
        except UnknownPair:
            raise
        except RateLimited as error:
            if error.retry_after > LONGEST_PAUSE:
                raise
            pause = max(pause, error.retry_after)
        except MarketError as error:
            log.info("asking again in %g s: %s", pause, error)
        await sleep(pause)
    return await ask()


def _on_grid(ms: int, timeframe: Timeframe) -> int:
    """The first open time at or after ``ms``."""
    return timeframe.floor(ms + timeframe.ms - 1)


def _joined(pages: list[Candles]) -> Candles:
    return reduce(Candles.joined, pages)


def _result(before: Candles, after: Candles, wanted: int) -> FetchResult:
    return FetchResult(
        pair=after.pair,
        new=len(after) - len(before),
        stored=len(after),
        missing=wanted - len(after),
        first=int(after.time[0]) if len(after) else None,
        last=int(after.time[-1]) if len(after) else None,
    )
