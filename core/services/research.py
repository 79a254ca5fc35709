"""Research by chat: backtests, what-ifs, history, exports. Each in a process of its own, one of a kind at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Concatenate, ParamSpec, TypeVar

from core.config import Settings
from core.domain.candles import DAY_MS, Pair, to_ms
from core.errors import MarketError, UsageError
from core.ports import CandleStore, Clock, MarketData
from core.services.chat_backtest import BacktestView, backtest_job
from core.services.exports import KINDS, ExportView, export_job
from core.services.fetch import FetchResult, fetch_pairs
from core.services.one_at_a_time import OneAtATime
from core.services.reading import Stores
from core.services.stored_history import FetchView, stored_after
from core.services.views import Actor, Progress
from core.services.what_if import Question, WhatIfView, what_if_job
from core.services.worker import Worker

MOST_DAYS = 1500
"""Of history that the chat fetches or looks at."""

_FETCHING = 0.5  # of a backtest's progress

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Desk:
    """What research stands on. ``save`` writes the candles in memory to their files; ``settings`` are as configured."""

    settings: Settings
    in_force: Callable[[], Settings]
    clock: Clock
    history: MarketData
    candles: CandleStore
    stores: Stores
    save: Callable[[], Coroutine[Any, Any, None]]
    monotonic: Callable[[], float] = time.monotonic


class Research:
    """All methods raise a JulabaError with a sentence for a person."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._asking = asyncio.Lock()
        self._work = {what: OneAtATime(what) for what in ("backtest", "fetch", "export")}

    def cancel(self, what: str, actor: Actor) -> None:
        """Ends the running ``backtest`` or ``fetch``. Raises UsageError where there is none."""
        self._work[what].cancel(actor.name)

    def pairs(self) -> tuple[str, ...]:
        """Those that may be named, in their order."""
        return tuple(str(pair) for pair in self._desk.in_force().traded)

    async def backtest(self, pairs: Sequence[str], days: int, most: int, progress: Progress) -> BacktestView:
        """Every signal of these pairs (none named: of all) in the last ``days``, followed to its end.

        What is missing of their candles is fetched first. ``most``: bytes that the CSV may have.
        """
        return await self._work["backtest"].run(lambda: self._backtest(pairs, days, most, progress))

    async def _backtest(self, pairs: Sequence[str], days: int, most: int, progress: Progress) -> BacktestView:
        desk, settings = self._desk, self._desk.in_force()
        began = desk.monotonic()
        chosen = tuple(self._known(name) for name in pairs) or settings.traded
        warm_up = settings.candles.history * settings.frame.ms
        found = await self._fetched(
            dict.fromkeys((*chosen, settings.btc)),
            days * DAY_MS + warm_up,
            lambda done: progress("history", 0.5 * done),
        )
        faults = [f"{pair}: {result}" for pair, result in found.items() if isinstance(result, MarketError)]
        view = await _apart(
            lambda words, done: progress(words, _FETCHING + (1 - _FETCHING) * done),
            backtest_job,
            desk.candles,
            settings,
            chosen,
            days,
            most,
        )
        return replace(
            view,
            changed=settings != desk.settings,
            warning=f"the history could not be completed ({'; '.join(faults)})" if faults else "",
            seconds=desk.monotonic() - began,
        )

    async def fetch(self, days: int, progress: Progress) -> FetchView:
        """Completes the candles of the last ``days`` of all pairs, and of BTC; what is there is not asked for again."""
        return await self._work["fetch"].run(lambda: self._fetch(days, progress))

    async def _fetch(self, days: int, progress: Progress) -> FetchView:
        desk, settings, began = self._desk, self._desk.in_force(), self._desk.monotonic()
        pairs = dict.fromkeys((*settings.traded, settings.btc))
        found = await self._fetched(pairs, days * DAY_MS, lambda done: progress("candles", done))
        stored = await stored_after(desk.candles, settings.frame, found)
        return FetchView(days, stored, desk.monotonic() - began)

    async def _fetched(
        self, pairs: dict[Pair, None], span_ms: int, progress: Callable[[float], None]
    ) -> dict[Pair, FetchResult | MarketError]:
        desk, frame = self._desk, self._desk.settings.frame
        await desk.save()
        now = to_ms(desk.clock.now())
        page = desk.settings.exchange.page
        return await fetch_pairs(
            desk.history, desk.candles, pairs, frame, frame.floor(now - span_ms), now, page=page, progress=progress
        )

    async def export(self, what: str, most: int, progress: Progress) -> ExportView:
        """A table of the ledger as CSV, or ``all`` of them in a zip. ``most``: bytes that the file may have."""
        if what not in (*KINDS, "all"):
            raise UsageError(f"{what} is none of {', '.join(KINDS)} and all")
        desk = self._desk
        return await self._work["export"].run(
            lambda: _apart(progress, export_job, desk.stores, desk.in_force(), what, most)
        )

    async def what_if(self, question: Question, progress: Progress) -> WhatIfView:
        """The last signals, or one of them, decided again with something changed. Several askers take turns."""
        desk = self._desk
        for pair in question.change.pairs:
            self._known(str(pair))
        async with self._asking:
            await desk.save()
            return await _apart(progress, what_if_job, desk.candles, desk.stores, desk.in_force(), question)

    def _known(self, name: str) -> Pair:
        pair, traded = Pair.parse(name), self._desk.in_force().traded
        if pair not in (*traded, self._desk.settings.btc):
            raise UsageError(f"{pair} is not among the pairs: {', '.join(p.base for p in traded)}")
        return pair


async def _apart(
    progress: Progress, job: Callable[Concatenate[Progress, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """What the job gives, in a process of its own that ends with it."""
    async with Worker() as worker:
        return await worker.run_with_progress(progress, job, *args, **kwargs)
