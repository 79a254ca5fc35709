"""The story of the day and of the week: frozen at the time its owner chose, told once, to be had at any time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from core.config import Settings
from core.domain.candles import DAY_MS, to_datetime, to_ms
from core.domain.messages import Digest
from core.ml.forecast import Forecast
from core.ml.lived import lived
from core.ml.worth import layer_report
from core.ports import ChampionBook, Clock, Ledger, TradeRow
from core.services.bus import Bell
from core.services.loop import TradingLoop
from core.services.people import People
from core.services.story_times import daily, last_moment, weekly
from core.services.story_words import Facts, Span, lines, title

MARK = "stories"
"""The mark that holds, for each span, the local date of the last story (``date``) and where it ended (``until``)."""

LATEST = timedelta(hours=12)  # a story that could not be told for longer than this is left out
NOTEWORTHY = timedelta(minutes=30)  # later than this it says so
SPANS: dict[Span, int] = {"day": DAY_MS, "week": 7 * DAY_MS}


@dataclass(frozen=True, slots=True)
class StoryView:
    """A story as of now: the last 24 hours or the last seven days."""

    span: Span
    since: datetime
    until: datetime
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Due:
    """A story whose time has come: of which local day, when that was, and where the day is one."""

    span: Span
    day: date
    moment: datetime
    zone: ZoneInfo


class Stories:
    """``review`` belongs to the upkeep, which may call it as often as it likes.

    ``settings`` gives those that count now, ``zone`` the time zone of whoever is told, ``forecast`` when there will be
    enough outcomes.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        zone: Callable[[], Awaitable[ZoneInfo]],
        clock: Clock,
        ledger: Ledger,
        loop: TradingLoop,
        bell: Bell,
        champions: ChampionBook | None,
        forecast: Callable[[], Awaitable[Forecast]],
    ) -> None:
        self._settings = settings
        self._zone = zone
        self._clock = clock
        self._ledger = ledger
        self._loop = loop
        self._bell = bell
        self._champions = champions
        self._forecast = forecast
        self._kept: dict[str, dict[str, object]] | None = None

    async def now(self, span: Span) -> StoryView:
        """The last 24 hours, or seven days, up to the newest close. Raises nothing of its own."""
        until = to_ms(self._clock.now())
        facts = await self._facts(span, until - SPANS[span], until)
        when = "The last 24 hours" if span == "day" else "The last 7 days"
        return StoryView(span, to_datetime(facts.since), to_datetime(until), title(facts, when), lines(facts))

    async def review(self) -> None:
        """Freezes what is due into the outbox: once for each local day and week, at most ``LATEST`` too late."""
        for span in SPANS:
            due = self._due(span, await self._zone())
            if due is not None and await self._is_new(due) and self._is_ready(due.moment):
                await self._tell(due)

    # -- what is due --

    def _due(self, span: Span, zone: ZoneInfo) -> _Due | None:
        now, notify = self._clock.now(), self._settings().notify
        weekday: int | None = None
        at: time | None = daily(notify.daily_at)
        if span == "week":
            weekday, at = weekly(notify.weekly_at) or (None, None)
        found = last_moment(now, at, zone, weekday) if at is not None else None
        if found is None or now - found[1] >= LATEST:
            return None
        return _Due(span, *found, zone)

    async def _is_new(self, due: _Due) -> bool:
        told = (await self._told()).get(due.span)
        return told is None or str(told["date"]) < due.day.isoformat()

    async def _told(self) -> dict[str, dict[str, object]]:
        if self._kept is None:
            self._kept = json.loads(await self._ledger.mark(MARK) or "{}")
        return self._kept

    def _is_ready(self, moment: datetime) -> bool:
        """The last close before the moment has been handled, or has had a candle's time to be."""
        frame, last = self._settings().frame, self._loop.last_close
        wanted = frame.floor(to_ms(moment))
        return (last is not None and last >= wanted) or to_ms(self._clock.now()) >= wanted + frame.ms

    # -- telling --

    async def _tell(self, due: _Due) -> None:
        """Nothing is said of a time before the first candle, but it is noted as looked at."""
        until = to_ms(due.moment)
        curve = await self._ledger.equity_curve()
        events = []
        if curve and curve[0][0] < until:
            facts = await self._facts(due.span, await self._begin(due), until)
            events.append(self._digest(due, facts))
        told = await self._told() | {due.span: {"date": due.day.isoformat(), "until": until}}
        await self._ledger.set_mark(MARK, json.dumps(told), events)
        self._kept = told
        if events:
            self._bell.ring()

    async def _begin(self, due: _Due) -> int:
        """Where the last story ended, so that nothing falls between two; a span before where that is too long ago."""
        until, usual = to_ms(due.moment), SPANS[due.span]
        told = (await self._told()).get(due.span)
        ended = int(str(told["until"])) if told is not None else 0
        return ended if until - 2 * usual < ended < until else until - usual

    def _digest(self, due: _Due, facts: Facts) -> Digest:
        when = f"{due.day:%a} {due.day.day} {due.day:%b}"
        if due.span == "week":
            when = f"The week to {when}"
        late = self._clock.now() - due.moment
        said = f"Told late: I was not there at {due.moment.astimezone(due.zone):%H:%M} that day."
        return Digest(
            key=f"digest:{due.span}:{due.day.isoformat()}",
            time=due.moment,
            span=due.span,
            since=to_datetime(facts.since),
            title=title(facts, when),
            lines=(*lines(facts), *([said] if late >= NOTEWORTHY else [])),
        )

    # -- what happened --

    async def _facts(self, span: Span, since: int, until: int) -> Facts:
        settings, ledger = self._settings(), self._ledger
        frame_ms = settings.frame.ms
        curve = await ledger.equity_curve()
        decisions = [d for d in await ledger.decisions(since - frame_ms) if since < d.open_time + frame_ms <= until]
        rows = await ledger.trade_rows(since_ms=since - frame_ms)
        closed = [
            t
            for t in await ledger.closed_trades()
            if t.follow.exit_time is not None and since < t.follow.exit_time + frame_ms <= until
        ]
        outcomes = await ledger.outcomes()
        new = tuple(o for o in outcomes if since < o.exit_time + frame_ms <= until)
        reigns = await self._champions.champions() if self._champions is not None else []
        flips, weight = await self._flips(rows, since, until) if span == "week" else (None, 0.0)
        equity = _equity_at(curve, until, settings.paper.start_balance)
        return Facts(
            span=span,
            since=since,
            until=until,
            equity=equity,
            change=equity - _equity_at(curve, since, settings.paper.start_balance),
            open_trades=len(self._loop.account.positions),
            closed=tuple(closed),
            decisions=tuple(decisions),
            follows={r.decision.decision_id: r.follow for r in rows if _known(r, until, frame_ms)},
            outcomes=new,
            known=sum(o.exit_time + frame_ms <= until for o in outcomes),
            champion=reigns[-1].model_id if reigns else None,
            new_champion=bool(reigns) and since < reigns[-1].since <= until,
            forecast=await self._forecast(),
            flips=flips,
            flip_weight=weight,
        )

    async def _flips(self, rows: list[TradeRow], since: int, until: int) -> tuple[tuple[int, float] | None, float]:
        """How many of the signals that ended in the span the model would turn round, and what that would add in R."""
        frame_ms = self._settings().frame.ms
        told = [r for r in rows if _known(r, until, frame_ms)]
        inside = [r for r in told if since < r.decision.open_time + frame_ms <= until]
        ended = await asyncio.to_thread(lived, [(r.decision, r.follow) for r in inside])
        settings, approved = self._loop.in_force, self._loop.memory.controls.approved_weight
        report = await asyncio.to_thread(layer_report, ended, settings, approved, whole=True)
        layer = report.layer("model")
        if not layer.asked or layer.with_it is None or layer.without is None:
            return None, report.weight
        return (layer.apart, layer.with_it.total - layer.without.total), report.weight


def owner_zone(settings: Settings, people: People) -> Callable[[], Awaitable[ZoneInfo]]:
    """The zone of the person whose private chat the alerts go to; a group has the one that is configured."""
    approvers = (user for user, role in settings.access.users.items() if role == "approver")
    owner = settings.telegram.chat_id or next(approvers, 0)

    async def zone() -> ZoneInfo:
        return ZoneInfo((await people.of(owner) if owner > 0 else people.usual).zone)

    return zone


def _known(row: TradeRow, until: int, frame_ms: int) -> bool:
    """Whether what became of it was known by ``until`` (epoch ms): a story that is told late knows no more for that."""
    ended = row.follow.follow.exit_time
    return ended is not None and ended + frame_ms <= until


def _equity_at(curve: list[tuple[int, float]], moment: int, start: float) -> float:
    """The equity at the newest close up to ``moment`` (epoch ms); the starting balance before the first."""
    return next((value for at, value in reversed(curve) if at <= moment), start)
