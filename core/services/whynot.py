"""What keeps a pair from being traded right now, in the order in which the live loop asks, and how far each is off.

Everything is read from what the loop itself goes by: its candles and indicators, its rules in force, its account. Where
the averages have not crossed, the rest is what would be said of a crossover at the last close.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from core.config import Settings
from core.domain.candles import Candles, Pair, Timeframe, to_datetime
from core.domain.ledger import DecisionRecord
from core.domain.trading import Candidate, Direction, Opinions, Ruling, Snapshot, Verdict
from core.engine import filters, trader
from core.engine.nearness import Nearness, filter_verdicts, nearness
from core.engine.strategy import levels
from core.engine.tracker import Tracker
from core.engine.trader import Stance
from core.errors import UsageError
from core.ports import Ledger
from core.services.asking import LowerCandles
from core.services.loop import TradingLoop
from core.services.memory import Memory

Stage = Literal["candles", "crossover", "filters", "rules", "gemini", "portfolio"]
LOWER_PATIENCE = 2.0  # seconds of wall time for candles below the trading timeframe: a person waits

_STAGES: dict[str, Stage] = {"signal": "filters", "rules": "rules", "portfolio": "portfolio", "size": "portfolio"}


@dataclass(frozen=True, slots=True)
class Point:
    """One thing on the way to a trade. ``direction`` None: it is the same either way."""

    stage: Stage
    rule: str
    ruling: Ruling
    words: str
    direction: Direction | None = None


@dataclass(frozen=True, slots=True)
class WhyNot:
    """A pair at its last close. ``first`` is the first point that refuses, None where nothing does.

    ``points`` come in the order in which they are asked. ``decision`` is the number under which a crossover at that
    very close was decided, with its ``status``; the points are then what was said of it. ``near`` is None where there
    are too few candles for the averages.
    """

    pair: str
    closed_at: datetime | None
    close: float | None
    first: Point | None
    points: tuple[Point, ...]
    near: Nearness | None
    snapshot: Snapshot | None
    decision: int | None = None
    status: str = ""


class WhyNotDesk:
    """``note`` says of a pair why it is not watched as the others are, empty where it is."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        loop: TradingLoop,
        note: Callable[[Pair], str],
        lower: LowerCandles,
        gemini_present: bool,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._loop = loop
        self._note = note
        self._lower = lower
        self._gemini = gemini_present

    async def whynot(self, text: str) -> WhyNot:
        """Raises UsageError for a pair that is not among the settings'."""
        pair = Pair.parse(text)
        if pair not in self._settings.traded:
            known = ", ".join(p.base for p in self._settings.traded)
            raise UsageError(f"{pair} is not among the pairs: {known}")
        history = self._loop.memory.histories.get(pair)
        tracker = history.tracker if history is not None else None
        snapshot = tracker.snapshot() if tracker is not None else None
        if history is None or tracker is None or snapshot is None:
            none = Point("candles", "history", Ruling.REFUSE, self._note(pair) or "there are no candles of it yet")
            return WhyNot(str(pair), None, None, none, (none,), None, None)
        found = await self._ledger.decisions(snapshot.open_time, pair)
        lower = await self._lower_candles(pair, snapshot.open_time + self._settings.frame.ms)
        return self._view(pair, history.candles, tracker, snapshot, found[-1] if found else None, lower)

    async def _lower_candles(self, pair: Pair, close_time: int) -> dict[str, Candles]:
        """As the loop asks for them at a signal, but with less patience: what is not there is unknown."""
        found = {}
        for name in self._loop.in_force.rules.alignment_timeframes:
            if Timeframe.parse(name).minutes < self._settings.frame.minutes:
                try:
                    async with asyncio.timeout(LOWER_PATIENCE):
                        candles = await self._lower.lower(pair, name, close_time)
                except TimeoutError:
                    continue
                if candles is not None:
                    found[name] = candles
        return found

    def _view(
        self,
        pair: Pair,
        candles: Candles,
        tracker: Tracker,
        snapshot: Snapshot,
        decided: DecisionRecord | None,
        lower: Mapping[str, Candles],
    ) -> WhyNot:
        settings, near = self._loop.in_force, nearness(candles.tail(len(tracker)), snapshot)
        points = list(_candle_points(self._note(pair), tracker, settings))
        if decided is not None:
            points += [_crossed(decided.direction), *_points(decided.verdicts)]
        else:
            bars = bars_since_signal(self._loop.memory, pair, tracker, settings)
            points += signal_points(near, snapshot, bars, settings)
            points += self._later_points(pair, candles, snapshot, near, lower)
        first = next((p for p in points if p.ruling is Ruling.REFUSE and _concerns(p, near)), None)
        return WhyNot(
            pair=str(pair),
            closed_at=to_datetime(snapshot.open_time) + timedelta(milliseconds=settings.frame.ms),
            close=snapshot.close,
            first=first,
            points=tuple(points),
            near=near,
            snapshot=snapshot,
            decision=None if decided is None else decided.decision_id,
            status="" if decided is None else decided.status,
        )

    def _later_points(
        self,
        pair: Pair,
        candles: Candles,
        snapshot: Snapshot,
        near: Nearness | None,
        lower: Mapping[str, Candles],
    ) -> list[Point]:
        """What the layers behind the filters would say of a crossover at the last close, for each way that could be."""
        if not snapshot.atr > 0:
            return []
        facts, said = self._facts(pair, candles, lower), {}
        for direction in Direction:
            verdicts = self._decided(pair, snapshot, direction, facts)
            said[direction] = [v for v in verdicts if v.layer in _STAGES and v.rule != "risk"]
        rules = _both_ways({d: [v for v in said[d] if v.layer == "rules"] for d in said})
        rest = _both_ways({d: [v for v in said[d] if v.layer != "rules"] for d in said})
        asked = "Gemini is asked when there is a signal" if self._gemini else "no Gemini key: the rules decide"
        gemini = Point("gemini", "gemini", Ruling.ABSENT, asked)
        mode = Point("portfolio", "mode", Ruling.REFUSE, "the mode is signals: nothing is traded")
        return [*rules, gemini, *rest, *([mode] if self._settings.mode == "signals" else [])]

    def _facts(self, pair: Pair, candles: Candles, lower: Mapping[str, Candles]) -> filters.Facts:
        settings, memory = self._loop.in_force, self._loop.memory
        keep = settings.candles.history
        close_time = int(candles.time[-1]) + settings.frame.ms
        known = {p: h.candles.between(None, close_time).tail(keep) for p, h in memory.histories.items()}
        held = {p.pair: known[p.pair] for p in memory.book.account.positions if p.pair in known}
        return filters.gather_facts(
            known[pair], known.get(settings.btc), lower, held, settings.rules, settings.candles.max_gap
        )

    def _decided(
        self, pair: Pair, snapshot: Snapshot, direction: Direction, facts: filters.Facts
    ) -> tuple[Verdict, ...]:
        """The loop's own decision on a crossover that is only supposed; who is asked at a signal alone has no say."""
        settings, memory = self._loop.in_force, self._loop.memory
        supposed = levels(direction, snapshot.close, snapshot.atr, settings.strategy.stop_atr)
        candidate = Candidate(pair, settings.frame, direction, snapshot, supposed, ())
        stance = Stance(outcomes=memory.outcomes, paused=memory.controls.paused, enabled=self._loop.enabled(pair))
        return trader.decide(candidate, Opinions(), facts, memory.book.account, stance, settings).verdicts


def bars_since_signal(memory: Memory, pair: Pair, tracker: Tracker, settings: Settings) -> int | None:
    """As the loop counts them at the newest candle; None where there was no signal yet."""
    last, early = memory.book.last_signals.get(pair), memory.early.get(pair, 0)
    if early > (last or 0) and tracker.rows_after(early) < settings.strategy.cooldown_bars:
        last = early
    return None if last is None else tracker.rows_after(last)


def signal_points(near: Nearness | None, snapshot: Snapshot, bars_since: int | None, settings: Settings) -> list[Point]:
    """What makes a candle a signal of the strategy: a crossover first, then its filters. Pure."""
    ways = _ways(near)
    said = {d: filter_verdicts(snapshot, d, bars_since, settings.strategy) for d in Direction}
    filters_said = _both_ways(said)
    if near is None:
        return [Point("crossover", "crossover", Ruling.REFUSE, "too few candles for SMA 40"), *filters_said]
    if near.crossed is not None:
        return [_crossed(near.crossed), *[p for p in filters_said if p.direction in (None, *ways)]]
    return [Point("crossover", "crossover", Ruling.REFUSE, "no crossover at the last close"), *filters_said]


def _crossed(direction: Direction) -> Point:
    return Point("crossover", "crossover", Ruling.PASS, "the averages have crossed at the last close", direction)


def _candle_points(note: str, tracker: Tracker, settings: Settings) -> list[Point]:
    wanted, there = settings.candles.min_history, len(tracker)
    if note:
        return [Point("candles", "watched", Ruling.REFUSE, note)]
    if there < wanted:
        hours = (wanted - there) * settings.frame.ms / 3_600_000
        words = f"{there} of {wanted} candles since the last gap: {hours:.3g} hours to go"
        return [Point("candles", "history", Ruling.REFUSE, words)]
    return [Point("candles", "history", Ruling.PASS, f"{there} candles, {wanted} wanted")]


def _points(verdicts: Sequence[Verdict]) -> list[Point]:
    """What was stored with a decision."""
    stages: dict[str, Stage] = {**_STAGES, "gemini": "gemini", "model": "gemini", "combined": "gemini"}
    return [Point(stages[v.layer], v.rule, v.ruling, v.sentence) for v in verdicts if v.layer in stages]


def _both_ways(said: Mapping[Direction, Sequence[Verdict]]) -> list[Point]:
    """One point where both ways are told the same, else one for each."""
    points = []
    for long, short in zip(said[Direction.LONG], said[Direction.SHORT], strict=True):
        stage = _STAGES[long.layer]
        if (long.ruling, long.sentence) == (short.ruling, short.sentence):
            points.append(Point(stage, long.rule, long.ruling, long.sentence))
            continue
        points += [
            Point(stage, v.rule, v.ruling, v.sentence, d) for d, v in ((Direction.LONG, long), (Direction.SHORT, short))
        ]
    return points


def _ways(near: Nearness | None) -> tuple[Direction, ...]:
    """The directions that a signal could have: the crossover's, else those the next close could bring."""
    if near is None:
        return tuple(Direction)
    return (near.crossed,) if near.crossed is not None else tuple(c.direction for c in near.next)


def _concerns(point: Point, near: Nearness | None) -> bool:
    return point.direction is None or point.direction in _ways(near)
