"""Research as a test's desk has it: each answer at once, or when it is let; what was asked is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from core.engine.what_if import Change
from core.errors import JulabaError, UsageError
from core.ml.what_if_worth import Side
from core.services.chat_backtest import BacktestView
from core.services.exports import ExportView
from core.services.stored_history import FetchView, StoredPair
from core.services.views import Actor, Progress
from core.services.what_if import FlipView, OneView, Question, SingleView, WhatIfView

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001"
    "f61738550000000049454e44ae426082"
)


def figures(signals: int, wins: int, gross: float, net: float) -> dict[str, Any]:
    return {
        "signals": signals,
        "wins": wins,
        "win_rate": wins / signals if signals else None,
        "realized_r": gross,
        "realized_r_net": net,
        "profit_factor": 1.08,
        "profit_factor_net": 0.93,
        "ambiguous_share": 0.03,
        "gap_ended": 0,
        "too_new": 1,
    }


def a_backtest(days: int = 90, pairs: Sequence[str] = ("LINK/USDT", "ETH/USDT")) -> BacktestView:
    return BacktestView(
        pairs={pair: figures(20, 8, 1.5, -1.0) for pair in pairs},
        missing=(),
        days=days,
        start=NOON - timedelta(days=days),
        end=NOON,
        total=figures(20 * len(pairs), 8 * len(pairs), 3.0, -2.0),
        target_first={"realized_r": 4.0},
        win_interval=(0.28, 0.52),
        mean_interval=(-0.4, 0.3),
        drawdown=6.25,
        picture=PNG,
        csv=b"signal_id,timestamp\nLINKUSDT_1,2026-11-01T00:00:00Z\n",
        csv_size=52,
        seconds=3.2,
    )


def a_fetch(days: int = 90) -> FetchView:
    link = StoredPair("LINK/USDT", 90.0, 8640, 0, 0, NOON - timedelta(days=90), NOON, new=8640)
    return FetchView(days, (link, replace(link, pair="ETH/USDT", new=0, gaps=2, missing=5)), 12.0)


def a_what_if(change: Change, single: SingleView | None = None) -> WhatIfView:
    flip = FlipView(12, "LINK/USDT", "LONG", NOON, False, True, 1.2, "1h down")
    return WhatIfView(
        change=change,
        signals=100,
        since=NOON - timedelta(days=60),
        until=NOON,
        before=Side(29, 28, 3.2, 84.0),
        after=Side(31, 30, 5.1, 312.0),
        flips=(flip,),
        flips_total=3,
        moved=20,
        difference=1.9,
        interval=(-2.0, 5.8),
        apart=22,
        unknown={"gemini": 4},
        not_reproduced=0,
        guessed=0,
        no_model=0,
        paused_since=None,
        single=single,
    )


def a_single() -> SingleView:
    was = OneView(True, "", 17.1, (18.05, 18.43, 19.0), "STOP_LOSS", "", -1.0, -1.05, -126.0)
    now = OneView(True, "", 17.0, (18.2, 18.68, 19.4), "STOP_LOSS", "TP1", 0.25, 0.2, 24.0)
    return SingleView(12, 7, "LINK/USDT", "LONG", NOON, 17.48, was, now, PNG)


@dataclass
class FakeResearch:
    """``let`` unset holds every work back; ``fails`` is raised instead of an answer."""

    let: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    fails: JulabaError | None = None
    backtests: BacktestView = field(default_factory=a_backtest)
    export_view: ExportView | None = None
    running: str = ""

    def __post_init__(self) -> None:
        self.let.set()

    def cancel(self, what: str, actor: Actor) -> None:
        if self.running != what:
            raise UsageError(f"no {what} is running")
        self.fails = UsageError(f"the {what} was cancelled by {actor.name}")
        self.let.set()

    def pairs(self) -> tuple[str, ...]:
        return ("LINK/USDT", "ETH/USDT", "SOL/USDT")

    async def _work(self, what: str, progress: Progress, *asked: Any) -> None:
        if self.running:
            raise UsageError(f"a {self.running} is already running; wait for its end or cancel it")
        self.asked.append((what, *asked))
        self.running = what
        progress("half of it", 0.5)
        await self.let.wait()
        self.running = ""
        if self.fails is not None:
            raise self.fails

    async def backtest(self, pairs: Sequence[str], days: int, most: int, progress: Progress) -> BacktestView:
        await self._work("backtest", progress, tuple(pairs), days)
        return replace(self.backtests, days=days)

    async def fetch(self, days: int, progress: Progress) -> FetchView:
        await self._work("fetch", progress, days)
        return a_fetch(days)

    async def export(self, what: str, most: int, progress: Progress) -> ExportView:
        await self._work("export", progress, what)
        return self.export_view or ExportView(what, f"julaba-{what}.csv", {what: 3}, 9, b"a,b\n1,2\n")

    async def what_if(self, question: Question, progress: Progress) -> WhatIfView:
        await self._work("whatif", progress, question)
        return a_what_if(question.change, a_single() if question.number is not None else None)
