"""Candles on their way to the files: kept in memory for a while, holes asked for again while they are fresh."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

from core.domain.candles import Candles, Pair, Timeframe, iso
from core.errors import DataError, MarketError
from core.ports import CandleStore, MarketData
from core.services.faults import Faults
from core.services.fetch import find_holes

log = logging.getLogger(__name__)

SAVE_AFTER = 96  # candles kept in memory before they go to the candle files
ASK_AGAIN = 8  # closes at which a hole is asked for again; a later start asks for it too
MOST_HOLES = 50  # asked for at one close


@dataclass(frozen=True, slots=True)
class _Hole:
    pair: Pair
    start: int
    end: int
    left: int  # how often it is still asked for


class CandleKeeper:
    """Writes closed candles, many at once: what is only in memory could also be fetched again.

    A candle that the exchange fills in later is put into the files and into the log, never into a decision of the past.
    """

    def __init__(self, market: MarketData, store: CandleStore, faults: Faults, frame: Timeframe) -> None:
        self._market = market
        self._store = store
        self._faults = faults
        self._frame = frame
        self._unsaved: dict[Pair, list[Candles]] = {}
        self._holes: list[_Hole] = []

    def keep(self, arrived: Mapping[Pair, Candles]) -> None:
        for pair, candles in arrived.items():
            self._unsaved.setdefault(pair, []).append(candles)

    def note_holes(self, candles: Candles, newest: int | None) -> None:
        """What ``candles`` leave out since the one before them, open at ``newest``, and among themselves."""
        if not len(candles):
            return
        start = int(candles.time[0]) if newest is None else newest + self._frame.ms
        for first, end in find_holes(candles, start, int(candles.time[-1])):
            log.warning("%s: the exchange has no candle from %s to %s", candles.pair, iso(first), iso(end))
            self._holes.append(_Hole(candles.pair, first, end, ASK_AGAIN))

    async def look_after(self, now_ms: int) -> None:
        """After each close: asks for the holes once more, writes when there is much to write."""
        holes, self._holes = self._holes[-MOST_HOLES:], []
        self._holes += [h for h in await asyncio.gather(*(self._asked(hole, now_ms) for hole in holes)) if h]
        if any(sum(len(c) for c in parts) >= SAVE_AFTER for parts in self._unsaved.values()):
            await self.save()

    async def _asked(self, hole: _Hole, now_ms: int) -> _Hole | None:
        """What is left of a hole to ask for; None when it is filled, or has been asked for often enough."""
        try:
            found = await self._market.candles(hole.pair, self._frame, hole.start, hole.end, now_ms)
            if len(found):
                # Into the file at once: among the unsaved ones it would be out of order.
                await asyncio.to_thread(self._store.save, found)
                log.warning(
                    "%s: the exchange has filled in %s candles from %s; the files have them now, "
                    "what was decided without them stays",
                    hole.pair,
                    len(found),
                    iso(int(found.time[0])),
                )
        except (MarketError, DataError, OSError) as error:
            log.info("%s: asking for the hole at %s again: %s", hole.pair, iso(hole.start), error)
            return hole if hole.left > 1 else None
        filled = len(found) == (hole.end - hole.start) // self._frame.ms
        return None if filled or hole.left <= 1 else _Hole(hole.pair, hole.start, hole.end, hole.left - 1)

    async def save(self) -> None:
        """Writes all that is only in memory. Trouble with the disk is told once and tried again."""
        unsaved, self._unsaved = self._unsaved, {}  # candles go on coming while these are written
        failed: list[str] = []
        for pair, parts in unsaved.items():
            whole = reduce(Candles.joined, parts)
            try:
                await asyncio.to_thread(self._store.save, whole)
            except (DataError, OSError) as error:
                failed.append(f"{pair}: {error}")
                self._unsaved[pair] = [whole, *self._unsaved.get(pair, [])]
        if failed:
            await self._faults.raised("files", "Candles cannot be written to the disk", "; ".join(failed))
        elif unsaved:
            await self._faults.cleared("files", "Candles are written again")
