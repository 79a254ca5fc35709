"""When there will be enough samples, and whether the gate could open then: dates with a range, or why there is none.

Everything follows from how many live outcomes came in how many days. Where few have come, the rate that the stored
candles' signals had stands beside them (``arrivals``); where there is neither, the answer is that it cannot be told.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from core.config import Gate
from core.ml.arrivals import Arrivals, arrivals
from core.ml.gate import look_count
from core.ml.opening import LookAhead, Skill, look_ahead, looks_within, will_open

Basis = Literal["nothing", "history", "seen", "both"]

TAIL = 0.1
"""Each range holds four times in five: one in ten is earlier, one in ten later."""

YEAR = 365.0
_MARKS = (50, 200)
_SHARE_NEEDS = 10  # outcomes before the share of trades among them says anything


@dataclass(frozen=True, slots=True)
class Seen:
    """What has been lived so far.

    ``outcomes`` closed trades and closed shadows of refused signals, ``trades`` of them trades, ``scored`` of them
    with a prediction stored before; ``days`` since the first candle watched (real number), ``pairs`` watched,
    ``looks`` taken by the gate.
    """

    outcomes: int
    trades: int
    scored: int
    days: float
    pairs: int
    looks: int = 0


@dataclass(frozen=True, slots=True)
class Reach:
    """When ``target`` outcomes are there: ``left`` more, in ``days`` (the middle of the range), ``low`` to ``high``.

    Days and times are None where it cannot be told or is more than ten years away; 0 and the present when reached.
    """

    target: int
    left: int
    days: float | None
    low: float | None
    high: float | None
    on: datetime | None
    earliest: datetime | None
    latest: datetime | None

    @property
    def weeks(self) -> int | None:
        """The range as plus or minus so many weeks, the wider side, rounded up; None without both ends."""
        if self.days is None or self.low is None or self.high is None:
            return None
        return math.ceil(max(self.high - self.days, self.days - self.low) / 7)

    @property
    def text(self) -> str:
        """``12 Feb (±3 weeks)``, ``there``, or that it cannot be told."""
        if self.left == 0:
            return "there"
        if self.on is None:
            return "cannot be told"
        return (
            f"{date_text(self.on)} (±{self.weeks} week{'' if self.weeks == 1 else 's'})"
            if self.weeks
            else f"{date_text(self.on)} or later"
        )


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecast made at ``now``.

    ``per_day`` with ``per_day_low`` and ``per_day_high`` is the rate of live outcomes with its range (four times in
    five), None where nothing can be said; ``basis`` where it comes from. ``gate`` is the next look at which the gate's
    floors can be met, counted in scored outcomes. ``looks`` are the looks of the next year at this rate. ``opens`` is
    whether the gate could pass at one of them, None where it cannot be told, with its ``sentence``; ``told`` is the
    rate in a sentence, ``known`` what both come from. Before the first model no outcome has a prediction, so ``gate``
    supposes that one speaks from now on.
    """

    now: datetime
    seen: Seen
    basis: Basis
    per_day: float | None
    per_day_low: float | None
    per_day_high: float | None
    to_50: Reach
    to_200: Reach
    gate: Reach
    looks: tuple[LookAhead, ...]
    opens: bool | None
    sentence: str
    told: str
    skill: Skill | None = None
    known: Arrivals | None = None


def forecast(
    seen: Seen,
    now: datetime,
    settings: Gate,
    *,
    prior_per_day: float | None = None,
    skill: Skill | None = None,
    more_pairs: int = 0,
) -> Forecast:
    """The forecast from what was seen until ``now`` (aware UTC).

    ``prior_per_day`` is what all the watched pairs together gave in history, signals per day (None: not known);
    ``skill`` the champion's walk-forward (None: no model). ``more_pairs``: as if so many were added now and each
    brought what the present ones bring. More outcomes in the same days never make a date later.
    Raises ValueError for negative numbers, and for more pairs beside none.
    """
    known = arrivals(seen.outcomes, seen.days, prior_per_day)
    if more_pairs:
        known = _shared_by(known, seen.pairs, more_pairs)
    to_50, to_200 = (_reach(mark, seen.outcomes, known, now) for mark in _MARKS)
    first = max(seen.looks + 1, _first_open_look(seen, settings))
    gate = _reach(look_count(first), seen.scored, known, now)
    basis: Basis = "both" if prior_per_day and seen.outcomes else "history" if prior_per_day else "seen"
    bare = Forecast(
        now=now, seen=seen, basis=basis if known else "nothing", per_day=None, per_day_low=None, per_day_high=None,
        to_50=to_50, to_200=to_200, gate=gate, looks=(), opens=None,
        sentence="whether the gate will open cannot be told", told=_told(seen, known, prior_per_day), skill=skill,
        known=known,
    )  # fmt: skip
    if known is None:
        return bare
    ahead = _looks(first, seen, known.per_day, skill, settings)
    fast = _looks(first, seen, known.rate(1 - TAIL), skill, settings)
    opens, sentence = will_open(skill, ahead, fast)
    return replace(
        bare,
        per_day=known.per_day,
        per_day_low=known.rate(TAIL),
        per_day_high=known.rate(1 - TAIL),
        looks=ahead,
        opens=opens,
        sentence=sentence,
    )


def _shared_by(known: Arrivals | None, pairs: int, more: int) -> Arrivals | None:
    if more < 0 or pairs < 1:
        raise ValueError(f"{more} more pairs beside {pairs} say nothing")
    return None if known is None else replace(known, days=known.days * pairs / (pairs + more))


def _looks(first: int, seen: Seen, per_day: float, skill: Skill | None, settings: Gate) -> tuple[LookAhead, ...]:
    reached = looks_within(first, seen.scored + per_day * YEAR)
    if skill is None:
        return tuple(LookAhead(i, look_count(i), 0.0, None, None) for i in reached)
    return tuple(look_ahead(i, skill, per_day, settings.error) for i in reached)


def _first_open_look(seen: Seen, settings: Gate) -> int:
    """The first look whose count meets the floors: outcomes, and trades at the share seen so far."""
    share = seen.trades / seen.outcomes if seen.outcomes >= _SHARE_NEEDS else 1.0
    index = 1
    while look_count(index) < settings.min_outcomes or (share and look_count(index) * share < settings.min_trades):
        index += 1
    return index


def _reach(target: int, there: int, known: Arrivals | None, now: datetime) -> Reach:
    left = max(0, target - there)
    if known is None and left:
        return Reach(target, left, None, None, None, None, None, None)
    days, low, high = (known.days_to(left, q) if known else 0.0 for q in (0.5, TAIL, 1 - TAIL))
    return Reach(target, left, days, low, high, _after(now, days), _after(now, low), _after(now, high))


def _after(now: datetime, days: float | None) -> datetime | None:
    return None if days is None else now + timedelta(days=days)


def _told(seen: Seen, known: Arrivals | None, prior: float | None) -> str:
    counted = f"{seen.outcomes or 'no'} live outcome{'' if seen.outcomes == 1 else 's'} in {days_text(seen.days)}"
    if known is None:
        return f"{counted}: how fast they come cannot be told yet"
    rate = f"{known.per_day:.2g} a day ({known.rate(TAIL):.2g} to {known.rate(1 - TAIL):.2g})"
    if not prior:
        return f"{counted}: {rate}"
    return f"{counted}, and these pairs' history gave {prior:.2g} a day: {rate}"


def days_text(days: float) -> str:
    """``less than a day``, ``1 day``, ``12 days``."""
    whole = int(days)
    return "less than a day" if whole < 1 else "1 day" if whole == 1 else f"{whole} days"


def date_text(moment: datetime) -> str:
    """``12 Feb 2027``."""
    return f"{moment.day} {moment:%b %Y}"


__all__ = ["Forecast", "LookAhead", "Reach", "Seen", "Skill", "date_text", "days_text", "forecast"]
