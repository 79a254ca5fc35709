"""What the paper account made: over the last days, by pair, by day of a calendar month. Pure; trades in, figures out.

A trade counts whole on the day it ended, and a day is one of the person's own time zone; what ends with the close at
midnight belongs to the old day. Money is USDT; net is after fees and slippage, as the account has it, and gross is
before them.
"""

from __future__ import annotations

import calendar
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from core.config import Settings
from core.domain.candles import to_datetime, to_ms
from core.domain.ledger import FollowRecord
from core.engine.metrics import Drawdown, expectancy, profit_factor, worst_drawdown
from core.services.desk_views import trade_view
from core.services.views import TradeView

MOST_POINTS = 1_400
"""Of a curve in a picture: more than it is wide tells nothing."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Trades added up one way, net or gross. ``factor`` is None without a loss, the averages without a trade."""

    pnl: float
    wins: int
    factor: float | None
    each: float | None  # USDT a trade
    r_each: float | None


@dataclass(frozen=True, slots=True)
class PairProfit:
    """One pair's trades, net."""

    pair: str
    trades: int
    wins: int
    pnl: float
    r: float


@dataclass(frozen=True, slots=True)
class DayProfit:
    day: date
    pnl: float
    trades: int


@dataclass(frozen=True, slots=True)
class ProfitView:
    """``days`` None: all there is. ``since`` and ``until`` are the first and the last day, both included.

    ``equity`` is at the last close, ``change`` what it has moved since the first day began, open trades included; so is
    ``drawdown``, the deepest fall from a high within these days. ``pairs``: the best first.
    """

    days: int | None
    since: date
    until: date
    trades: int
    net: Sums
    gross: Sums
    costs: float  # fees and slippage
    best: TradeView | None
    worst: TradeView | None
    pairs: tuple[PairProfit, ...]
    equity: float
    change: float
    drawdown: Drawdown | None
    open_trades: int
    open_pnl: float
    picture: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CalendarView:
    """A month, its days with trades oldest first. ``before`` and ``after``: months as ``2026-10``, None where nothing
    can be there."""

    month: date  # its first day
    days: tuple[DayProfit, ...]
    before: str | None
    after: str | None
    picture: bytes | None = field(default=None, repr=False)

    @property
    def pnl(self) -> float:
        return sum(day.pnl for day in self.days)

    @property
    def trades(self) -> int:
        return sum(day.trades for day in self.days)


def ended_at(record: FollowRecord, settings: Settings) -> int:
    """When a closed trade's end was known, epoch ms."""
    assert record.follow.exit_time is not None
    return record.follow.exit_time + settings.frame.ms


def day_of(time_ms: int, zone: ZoneInfo) -> date:
    """The day that a close belongs to: the one at midnight ends the old day, as it does for the daily loss."""
    return to_datetime(time_ms - 1).astimezone(zone).date()


def day_start(day: date, zone: ZoneInfo) -> int:
    """Epoch ms of a day's first moment; where midnight itself is skipped by the clocks, of what comes in its place."""
    return to_ms(datetime(day.year, day.month, day.day, tzinfo=zone))


def first_day(days: int, now: datetime, zone: ZoneInfo) -> date:
    """The first of the last ``days`` days, today included."""
    return now.astimezone(zone).date() - timedelta(days=days - 1)


def sums(pnl: Sequence[float], r: Sequence[float]) -> Sums:
    return Sums(sum(pnl), sum(value > 0 for value in pnl), profit_factor(pnl), expectancy(pnl), expectancy(r))


def gross_pnl(record: FollowRecord, settings: Settings) -> float:
    """What a trade made before fees and slippage, from the price at which it was entered.

    That is the plan's, unless a person said yes to it: then R are still the plan's, and the money is not.
    """
    levels = record.follow.levels
    planned = record.follow.realized_r * record.quantity * levels.risk
    if math.isclose(record.risk_amount, record.quantity * levels.risk, rel_tol=1e-9):
        return planned
    sign = levels.direction.sign
    paid = record.entry_fill / (1 + sign * settings.paper.slippage_rate)
    return planned - sign * (paid - levels.entry) * record.quantity


def profit_of(
    trades: Sequence[FollowRecord],
    curve: Sequence[tuple[int, float]],
    days: int | None,
    now: datetime,
    zone: ZoneInfo,
    settings: Settings,
) -> ProfitView:
    """The figures of the trades that ended within the span. ``trades`` and ``curve`` (close in epoch ms, equity) are
    all there are; what is open is left for the caller to add."""
    until = now.astimezone(zone).date()
    since = first_day(days, now, zone) if days is not None else _very_first(trades, curve, until, zone, settings)
    start = day_start(since, zone)
    found = [t for t in trades if ended_at(t, settings) > start]
    net, gross = [t.pnl for t in found], [gross_pnl(t, settings) for t in found]
    points = span(curve, start, settings.paper.start_balance)
    times, values = np.array([p[0] for p in points], dtype=np.int64), [p[1] for p in points]
    return ProfitView(
        days=days,
        since=since,
        until=until,
        trades=len(found),
        net=sums(net, [t.r_net or 0.0 for t in found]),
        gross=sums(gross, [made / t.risk_amount for made, t in zip(gross, found, strict=True)]),
        costs=sum(gross) - sum(net),
        best=trade_view(max(found, key=lambda t: t.pnl), settings) if found else None,
        worst=trade_view(min(found, key=lambda t: t.pnl), settings) if found else None,
        pairs=_by_pair(found),
        equity=values[-1],
        change=values[-1] - values[0],
        drawdown=worst_drawdown(times, values),
        open_trades=0,
        open_pnl=0.0,
    )


def _very_first(
    trades: Sequence[FollowRecord],
    curve: Sequence[tuple[int, float]],
    until: date,
    zone: ZoneInfo,
    settings: Settings,
) -> date:
    known = [*(ended_at(t, settings) for t in trades), *(time for time, _ in curve[:1])]
    return min((day_of(time, zone) for time in known), default=until)


def _by_pair(trades: Sequence[FollowRecord]) -> tuple[PairProfit, ...]:
    groups: dict[str, list[FollowRecord]] = defaultdict(list)
    for trade in trades:
        groups[str(trade.pair)].append(trade)
    lines = [
        PairProfit(
            pair, len(group), sum(t.pnl > 0 for t in group), sum(t.pnl for t in group), sum(t.r_net or 0 for t in group)
        )
        for pair, group in groups.items()
    ]
    return tuple(sorted(lines, key=lambda line: (-line.pnl, line.pair)))


def span(curve: Sequence[tuple[int, float]], start: int, balance: float) -> list[tuple[int, float]]:
    """The curve from ``start`` (epoch ms) on, with what it stood at then, or at the account's beginning if later."""
    before = [value for time, value in curve if time <= start]
    after = [(time, value) for time, value in curve if time > start]
    first = start if before or not after else after[0][0] - 1
    return [(first, before[-1] if before else balance), *after]


def thinned(points: Sequence[tuple[int, float]], most: int = MOST_POINTS) -> list[tuple[int, float]]:
    """At most about ``most`` of them, the ends and every part's highest and lowest among them: no fall gets lost."""
    if len(points) <= most:
        return list(points)
    values = np.array([value for _, value in points])
    edges = np.linspace(0, len(points), most // 2 + 1).astype(int)
    chosen = {0, len(points) - 1}
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        chosen |= {first + int(values[first:last].argmin()), first + int(values[first:last].argmax())}
    return [points[row] for row in sorted(chosen)]


def by_day(trades: Sequence[FollowRecord], zone: ZoneInfo, settings: Settings) -> tuple[DayProfit, ...]:
    """The days on which trades ended, oldest first."""
    groups: dict[date, list[float]] = defaultdict(list)
    for trade in sorted(trades, key=lambda t: ended_at(t, settings)):
        groups[day_of(ended_at(trade, settings), zone)].append(trade.pnl)
    return tuple(DayProfit(day, sum(values), len(values)) for day, values in sorted(groups.items()))


def calendar_of(
    trades: Sequence[FollowRecord], month: date | None, now: datetime, zone: ZoneInfo, settings: Settings
) -> CalendarView:
    """A month's days; ``month`` is any day in it, None the present one. Paging ends at the first trade and at today."""
    every = by_day(trades, zone, settings)
    today = now.astimezone(zone).date()
    first = (month or today).replace(day=1)
    oldest = every[0].day.replace(day=1) if every else first
    return CalendarView(
        month=first,
        days=tuple(day for day in every if day.day.replace(day=1) == first),
        before=month_name(first - timedelta(days=1)) if first > oldest else None,
        after=month_name(_next_month(first)) if first < today.replace(day=1) else None,
    )


def _next_month(first: date) -> date:
    return first + timedelta(days=calendar.monthrange(first.year, first.month)[1])


def month_name(day: date) -> str:
    """``2026-10``."""
    return f"{day:%Y-%m}"
