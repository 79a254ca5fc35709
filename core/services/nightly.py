"""Parity, nightly: each finished UTC day of the ledger against a backtest of it, told where the two differ.

Beside it, what such a check needs and no ledger keeps is noted while it can be seen (``day_book.Witness``).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np

from core.config import Settings
from core.domain.candles import DAY_MS, Pair, iso, to_datetime, to_ms
from core.domain.messages import Notice
from core.ports import CandleStore, Clock, Ledger
from core.services.bus import Bell
from core.services.day_book import WITNESS, DayBook, Witness, read_day, rules_in
from core.services.day_check import DayCheck, check_day, lines_of
from core.services.loop import TradingLoop
from core.services.worker import Worker

log = logging.getLogger(__name__)

MARK = "parity"
"""The mark that holds the last check: ``DayCheck.data()`` and when it was (``checked``, ISO)."""

MOST_DAYS = 7  # caught up after the bot was down
MOST_LINES = 10  # of an alert
KEPT_MS = 10 * DAY_MS  # how long holes and former rules are remembered

Compare = Callable[[Settings, DayBook], Awaitable[DayCheck]]


class Nightly:
    """``review`` belongs to the upkeep, which may call it as often as it likes.

    ``watched`` gives the pairs whose candles are waited for, ``save`` writes the candles that are only in memory.
    """

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        loop: TradingLoop,
        bell: Bell,
        watched: Callable[[], tuple[Pair, ...]],
        save: Callable[[], Awaitable[None]],
        compare: Compare,
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._loop = loop
        self._bell = bell
        self._watched = watched
        self._save = save
        self._compare = compare
        self._witness: Witness | None = None
        self._looked: tuple[int | None, Settings] | None = None
        self._done: int | None = None  # the newest day that needs no look any more

    async def review(self) -> None:
        """Notes what is new, then checks one day that is due, the oldest first."""
        await self._note()
        while (day := await self._due()) is not None:
            book = await read_day(self._ledger, self._loop.in_force, day)
            if book is not None:
                await self._save()
                await self._keep(await self._compare(self._loop.in_force, book))
            self._done = day
            if book is not None:
                return  # days without a book cost nothing: they hold up none that has one

    async def _due(self) -> int | None:
        """The oldest finished day that has not been checked; None while its last candle is still being handled."""
        if self._loop.last_close is None:
            return None
        newest = self._loop.last_close // DAY_MS * DAY_MS - DAY_MS
        if self._done is None:
            self._done = await self._last_checked()
        first = newest - (MOST_DAYS - 1) * DAY_MS
        day = first if self._done is None else max(first, self._done + DAY_MS)
        return day if day <= newest and self._is_over(day + DAY_MS) else None

    async def _last_checked(self) -> int | None:
        kept = await self._ledger.mark(MARK)
        if kept is None:
            return None
        return to_ms(datetime.fromisoformat(json.loads(kept)["day"] + "T00:00:00+00:00"))

    def _is_over(self, end: int) -> bool:
        """All that are traded have handled the day's last candle, or have had a candle's time to."""
        frame_ms = self._loop.in_force.frame.ms
        if to_ms(self._clock.now()) >= end + frame_ms:
            return True
        traded = set(self._loop.in_force.traded) & set(self._watched())
        return all((self._loop.handled(pair) or 0) >= end - frame_ms for pair in traded)

    async def _keep(self, found: DayCheck) -> None:
        now = self._clock.now()
        value = json.dumps(found.data() | {"checked": iso(to_ms(now))})
        if not found.differences:
            log.info("parity %s: %d signals and %d outcomes as in the backtest", found.data()["day"], found.signals,
                     found.outcomes)  # fmt: skip
            await self._ledger.set_mark(MARK, value)
            return
        log.log(logging.ERROR if found.unknown else logging.INFO, "%s: %s", found.title, found.causes)
        await self._ledger.set_mark(MARK, value, [notice_of(found, now)])
        self._bell.ring()

    async def _note(self) -> None:
        """Rules, holes and beginnings, as they are at a new close."""
        now = (self._loop.last_close, self._loop.in_force)
        if self._looked is not None and self._looked[0] == now[0] and self._looked[1] is now[1]:
            return
        if self._witness is None:
            self._witness = Witness.from_json(await self._ledger.mark(WITNESS))
        seen = self._seen(self._witness)
        if seen != self._witness:
            await self._ledger.set_mark(WITNESS, seen.to_json())
            self._witness = seen
        self._looked = now

    def _seen(self, before: Witness) -> Witness:
        now = to_ms(self._clock.now())
        rules, since, holes = list(before.rules), dict(before.since), dict(before.holes)
        present = json.loads(json.dumps(rules_in(self._loop.in_force)))
        if not rules or rules[-1][1] != present:
            rules = [*_recent(rules, now), (now, present)]
        for pair in self._loop.in_force.traded:
            handled = self._loop.handled(pair)
            if handled is not None:  # without former rules nobody has looked yet: it may be watched for long
                since.setdefault(str(pair), handled if before.rules else 0)
        for pair, window in self._loop.memory.windows.items():
            known = [list(hole) for hole in holes.get(str(pair), ()) if hole[1] > now - KEPT_MS]
            found = [hole for hole in holes_of(window.time, window.timeframe.ms) if hole[1] > now - KEPT_MS]
            every = sorted([*known, *(hole for hole in found if hole not in known)])
            if every:
                holes[str(pair)] = every
            else:
                holes.pop(str(pair), None)
        return replace(before, since=since, holes=holes, rules=tuple(rules))


def _recent(rules: list[tuple[int, Mapping[str, Any]]], now: int) -> list[tuple[int, Mapping[str, Any]]]:
    """Those that were in force within ``KEPT_MS``: the newest always is."""
    until = [at for at, _ in rules[1:]]
    old = sum(end < now - KEPT_MS for end in until)
    return rules[old:]


def holes_of(times: np.ndarray[Any, np.dtype[np.int64]], frame_ms: int) -> list[list[int]]:
    """The (first, last) open times that are missing between neighbours."""
    before = np.flatnonzero(np.diff(times) > frame_ms)
    return [[int(times[n]) + frame_ms, int(times[n + 1]) - frame_ms] for n in before]


def notice_of(found: DayCheck, now: datetime) -> Notice:
    """Silent where every difference has its cause, loud where one has none."""
    lines = lines_of(found.differences, MOST_LINES)
    title = found.title
    if found.unknown:
        count = len(found.unknown)
        title = f"{title}, {count} without a cause"
        lines.append("What no cause explains is a fault of the bot or of its data: `julaba check day` shows it whole.")
    return Notice(
        key=f"parity:{to_datetime(found.day):%Y-%m-%d}",
        time=now,
        topic="fault" if found.unknown else "report",
        title=title,
        detail="\n".join(lines),
    )


def in_a_process(candles: CandleStore) -> Compare:
    """``check_day`` in a process of its own, ended afterwards: its memory goes with it."""

    async def compare(settings: Settings, book: DayBook) -> DayCheck:
        async with Worker() as worker:
            return await worker.run(check_day, candles, settings, book)

    return compare
