"""The report: the success metrics of a ledger, their trend against a week before, and red flags told once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import accumulate
from typing import Any

from core.config import Settings
from core.domain.candles import DAY_MS, iso, to_ms
from core.domain.messages import Notice
from core.ml.success import Figures, Learned, Metric, Pace, Period, flags, metrics, present
from core.ml.unclear import Unclear, unclear_of
from core.ports import ChatStore, Clock, Ledger
from core.services.bus import Bell
from core.services.pictures import Draw
from core.services.stock import Stock, Stockroom

WEEK_MS = 7 * DAY_MS


@dataclass(frozen=True, eq=False)
class Facts:
    """What a ledger has to say of success. Times are epoch ms.

    ``closed``: when live outcomes became known, ascending; ``trades``: (close, net P&L); ``equity``: (close, equity),
    ascending; ``asked``: (candle, approved) of signals Gemini answered; ``looks``: (time, accuracy, n) of the gate's;
    ``unclear``: on how many signals a layer could not tell.
    """

    closed: Sequence[int]
    trades: Sequence[tuple[int, float]]
    equity: Sequence[tuple[int, float]]
    asked: Sequence[tuple[int, bool]]
    looks: Sequence[tuple[int, float | None, int]]
    unclear: Unclear = field(default_factory=Unclear)


@dataclass(frozen=True, eq=False)
class Report:
    """The table at ``now``, ``days`` after the ledger's first candle; ``period`` is the one it is measured by."""

    now: datetime
    days: float
    period: Period
    metrics: tuple[Metric, ...]
    equity: tuple[tuple[int, float], ...]
    unclear: Unclear = field(default_factory=Unclear)

    @property
    def flags(self) -> tuple[Metric, ...]:
        return flags(self.metrics)

    @property
    def shown(self) -> tuple[Metric, ...]:
        """The lines of the present period, then those of the bootstrap."""
        return tuple(m for m in self.metrics if m.applies)

    @property
    def headline(self) -> str:
        """``2 weeks: 1 of 4 on target, no red flag``; flags of the bootstrap are counted apart."""
        mine = [m for m in self.metrics if m.period == self.period]
        good = sum(m.state == "good" for m in mine)
        raised = sum(m.raised for m in mine)
        before = len(self.flags) - raised
        told = f"{raised} red flag{'' if raised == 1 else 's'}" if raised else "no red flag"
        return (
            f"{self.period}: {good} of {len(mine)} on target, {told}{f', {before} at the bootstrap' if before else ''}"
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "time": iso(to_ms(self.now)),
            "days": self.days,
            "period": self.period,
            "headline": self.headline,
            "flags": [f"{m.period}: {m.name}" for m in self.flags],
            "metrics": [asdict(m) for m in self.metrics],
            "unknown": {"signals": self.unclear.signals, **self.unclear.counts},
        }


@dataclass(frozen=True, slots=True)
class ReportView:
    """What ``/report`` shows: the report (None before the first candle) and its picture, a PNG."""

    report: Report | None
    picture: bytes | None


def figures_at(facts: Facts, moment: int) -> Figures | None:
    """The ledger's figures as they stood at ``moment`` (epoch ms); None before its first candle."""
    if not facts.equity or moment < facts.equity[0][0]:
        return None
    pnl = [p for time, p in facts.trades if time <= moment]
    asked = [approved for time, approved in facts.asked if time <= moment]
    looks = [(accuracy, n) for time, accuracy, n in facts.looks if time <= moment]
    equity = [value for time, value in facts.equity if time <= moment]
    peaks = accumulate(equity, max)
    return Figures(
        days=(moment - facts.equity[0][0]) / DAY_MS,
        outcomes=sum(time <= moment for time in facts.closed),
        trades=len(pnl),
        wins=sum(p > 0 for p in pnl),
        gains=sum(p for p in pnl if p > 0),
        losses=-sum(p for p in pnl if p < 0),
        drawdown=max(1 - value / peak for value, peak in zip(equity, peaks, strict=True)),
        asked=len(asked),
        rejected=sum(not approved for approved in asked),
        live_accuracy=looks[-1][0] if looks else None,
        live_n=looks[-1][1] if looks else 0,
    )


async def facts_of(ledger: Ledger, chat: ChatStore, settings: Settings) -> Facts:
    """Read from a ledger; the looks are those of its present line."""
    frame_ms = settings.frame.ms
    line = (await ledger.controls()).line
    looks = [json.loads(body) for body in await chat.looks(line)]
    trades = [(f.follow.exit_time, f.pnl) for f in await ledger.closed_trades()]
    signals = await ledger.decisions(signals_only=True)
    return Facts(
        closed=[o.exit_time + frame_ms for o in await ledger.outcomes()],
        trades=[(time + frame_ms, pnl) for time, pnl in trades if time is not None],
        equity=await ledger.equity_curve(),
        asked=[(d.decided_at, d.gemini_approve) for d in signals if d.gemini_approve is not None],
        looks=[(to_ms(datetime.fromisoformat(k["looked_at"])), k["accuracy"], k["n"]) for k in looks],
        unclear=unclear_of(signals),
    )


def report_of(facts: Facts, stock: Stock, settings: Settings, champion: Mapping[str, float | None]) -> Report | None:
    """The report at the stock's moment; None before the ledger's first candle. ``champion``: walk-forward figures.

    What was to be expected comes from the stored candles of the watched pairs.
    """
    moment = to_ms(stock.now)
    now = figures_at(facts, moment)
    if now is None:
        return None
    learned = Learned(
        samples=stock.counts["backtest signals"],
        n=int(champion.get("n") or 0),
        accuracy=champion.get("accuracy"),
        majority=champion.get("majority"),
        auc=champion.get("auc"),
    )
    pace = Pace(stock.history_per_day, stock.forecast.seen.pairs, settings.bootstrap_ms / DAY_MS)
    found = metrics(now, figures_at(facts, moment - WEEK_MS), learned, pace)
    equity = tuple((time, value) for time, value in facts.equity if time <= moment)
    return Report(stock.now, now.days, present(now.days), found, equity, facts.unclear)


REVIEWED = "report"
"""The mark that names the UTC day of the last look for red flags: a restart must not look earlier than a day after."""


class SuccessDesk:
    """The report of a running bot, and its red flags as notices: each once, looked for once a day."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        ledger: Ledger,
        chat: ChatStore,
        bell: Bell,
        stockroom: Stockroom,
        champion: Callable[[], Mapping[str, float | None]],
        draw: Draw = asyncio.to_thread,
    ) -> None:
        """``champion`` gives the champion's walk-forward figures, empty without one."""
        self._draw = draw
        self.stockroom = stockroom
        self._settings = settings
        self._clock = clock
        self._ledger = ledger
        self._chat = chat
        self._bell = bell
        self._champion = champion
        self._reviewed = ""  # the UTC day of the last review, as marked; empty before the first look at the mark

    async def report(self) -> Report | None:
        """The present report; None before the first candle."""
        facts = await facts_of(self._ledger, self._chat, self._settings)
        stock = await self.stockroom.stock()
        return await asyncio.to_thread(report_of, facts, stock, self._settings, self._champion())

    async def view(self) -> ReportView:
        """The report with its picture."""
        from core.reports.success_chart import success_chart

        report = await self.report()
        if report is None:
            return ReportView(None, None)
        picture = await self._draw(success_chart, report.headline, report.shown, report.equity)
        return ReportView(report, picture)

    async def review(self) -> None:
        """Tells of red flags that are new; for the upkeep, which may call as often as it likes."""
        day = f"{self._clock.now():%Y-%m-%d}"
        self._reviewed = self._reviewed or await self._ledger.mark(REVIEWED) or ""
        if self._reviewed == day:
            return
        report = await self.report()
        notices = [flag_notice(m, report.now) for m in report.flags] if report else []
        await self._ledger.set_mark(REVIEWED, day, notices)
        self._reviewed = day
        if notices:
            self._bell.ring()


def flag_notice(metric: Metric, now: datetime) -> Notice:
    """A red flag in words. Its key is the metric's, so that the store keeps it once for ever."""
    change = f" What would mend it: {metric.change}." if metric.change else ""
    return Notice(
        key=f"report:{metric.period}:{metric.key}",
        time=now,
        topic="report",
        title=f"Red flag: {metric.name} {metric.shown} ({metric.warned}; {metric.wanted} wanted)",
        detail=f"{metric.cause[0].upper()}{metric.cause[1:]}.{change} /report",
    )
