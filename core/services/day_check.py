"""One UTC day of the ledger against a backtest of the same day: every difference with its cause.

A cause is proven where it can be: the backtest is worked out again with the candles the loop really had, and with the
rules that were in force earlier, and a difference that vanishes there has its name. The rest is read from the ledger.
What neither explains is ``UNKNOWN``: the loop and the backtest disagree, and one of them is wrong.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.config import Settings
from core.domain.candles import DAY_MS, Candles, Pair, iso, to_datetime
from core.domain.ledger import DecisionRecord
from core.domain.trading import Direction, ExitReason, Follow, Leg, Levels, Ruling
from core.engine.history import GRID
from core.engine.strategy import candidate_at
from core.ports import CandleStore, TradeRow
from core.services.backtest import market_of
from core.services.day_book import DayBook

RELATIVE = 1e-5
"""Prices and R this close (relative) are the same: the loop's indicators begin some hundred candles back."""

UNKNOWN = "unknown"
MISSED = "missed candle"
CHANGED = "settings changed"
LATE = "late"
YOUNG = "history too short"
NOT_STORED = "candle not stored"
BETWEEN = "fill between closes"
BY_HAND = "closed by hand"

_OF_LAYER = {
    "gemini": "Gemini",
    "combined": "weight and confidence",
    "rules": "rule",
    "size": "limit",
    "approval": "a person",
}
_OF_LIMIT = {"switch": "pair off", "pause": "pause"} | dict.fromkeys(("daily_loss", "drawdown", "cooldown"), "breaker")


@dataclass(frozen=True, slots=True)
class DayDifference:
    """One thing that is not as in the backtest. ``time`` is the signal's close (epoch ms).

    ``what``: *signal* (only one of the two has it), *levels*, *not taken*, or *outcome*.
    """

    pair: Pair
    time: int
    direction: Direction
    what: str
    cause: str
    detail: str

    @property
    def line(self) -> str:
        """``LINK LONG 14:15: not taken, limit (3 of 3 positions open)``."""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.pair.base} {self.direction} {to_datetime(self.time):%H:%M}: {self.what}, {self.cause}{detail}"

    def data(self) -> dict[str, str]:
        told = {"pair": str(self.pair), "time": iso(self.time), "direction": str(self.direction)}
        return told | {"what": self.what, "cause": self.cause, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class DayCheck:
    """``signals`` of the day, in the ledger or the backtest; ``outcomes`` that were known in it and were compared."""

    day: int  # epoch ms of its 00:00 UTC
    signals: int
    outcomes: int
    differences: tuple[DayDifference, ...]

    @property
    def unknown(self) -> tuple[DayDifference, ...]:
        return tuple(d for d in self.differences if d.cause == UNKNOWN)

    @property
    def title(self) -> str:
        """``Parity 20 Nov: 2 of 5 signals differ from the backtest``."""
        differing = sum(d.what != "outcome" for d in self.differences)
        ended = len(self.differences) - differing
        parts = [f"{differing} of {self.signals} {_many(self.signals, 'signal')}"] if differing or not ended else []
        parts += [f"{ended} of {self.outcomes} {_many(self.outcomes, 'outcome')}"] if ended else []
        verb = "differs" if differing + ended == 1 else "differ"
        return f"Parity {to_datetime(self.day):%d %b}: {' and '.join(parts)} {verb} from the backtest"

    @property
    def causes(self) -> Mapping[str, int]:
        """How many differences each cause explains, the most frequent first."""
        return dict(Counter(d.cause for d in self.differences).most_common())

    def data(self) -> dict[str, Any]:
        """As JSON: what is kept of the last check, and what the command line prints."""
        return {
            "day": iso(self.day)[:10],
            "signals": self.signals,
            "outcomes": self.outcomes,
            "unknown": len(self.unknown),
            "causes": dict(self.causes),
            "differences": [d.data() for d in self.differences],
        }


def _many(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"


def check_day(store: CandleStore, settings: Settings, book: DayBook) -> DayCheck:
    """Holds the ledger's day against the backtest of the stored candles. CPU for a worker or a thread.

    ``settings`` are those in force now, ``book`` has those of the day. Raises DataError for a broken candle file.
    """
    stored = _stored(store, settings, book)
    today = book.rules_of(settings)
    base = _world(stored, today, book)
    others = [(CHANGED, _world(stored, rules, book)) for rules in book.rules_before(settings)]
    had = {pair: candles for pair, c in stored.items() if (candles := book.known_of(c)) is not None}
    if had:
        lacking = stored | had
        others = [(MISSED, _world(lacking, today, book)), *others]
        others += [(CHANGED, _world(lacking, rules, book)) for rules in book.rules_before(settings)]
    return _Check(stored, today, book, base, others).result()


def _stored(store: CandleStore, settings: Settings, book: DayBook) -> dict[Pair, Candles]:
    """Every pair's candles to where the ledger has come, with what warms the indicators up."""
    start = book.start - (settings.candles.history + GRID) * settings.frame.ms
    pairs = dict.fromkeys((*settings.traded, *book.pairs))
    return {pair: store.load(pair, settings.frame, start, book.known_until) for pair in pairs}


# -- what a backtest says --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Entry:
    """A crossover in one backtest. ``young``: on fewer candles than the live loop trusts."""

    levels: Levels
    is_signal: bool
    young: bool
    follow: Follow


_Key = tuple[Pair, int]
_World = Mapping[_Key, _Entry]


def _world(stored: Mapping[Pair, Candles], settings: Settings, book: DayBook) -> _World:
    """Every crossover of the days that matter. A pair's cooldown runs from where the ledger knows it to begin."""
    found: dict[_Key, _Entry] = {}
    for pair, candles in stored.items():
        if not len(candles):
            continue
        market = market_of(candles, settings, book.chain_start(pair), None, candidates=True)
        entries = market.entries
        starts = np.array([first for first, _ in market.candles.stretches(settings.candles.max_gap)])
        for index, row in enumerate(entries.row.tolist()):
            time = int(market.candles.time[row])
            began = int(starts[np.searchsorted(starts, row, side="right") - 1])
            since = int(entries.bars_since[index])
            sign = int(entries.sign[index])
            candidate = candidate_at(
                market.candles, market.at_entry, index, sign, None if since < 0 else since, settings.strategy
            )
            found[pair, time] = _Entry(
                levels=candidate.levels,
                is_signal=bool(entries.is_signal[index]),
                young=row + 1 - began < settings.candles.min_history,
                follow=market.outcomes.follow(index, market.candles),
            )
    return found


# -- holding them together -------------------------------------------------------------------------------------------


class _Check:
    def __init__(
        self,
        stored: Mapping[Pair, Candles],
        settings: Settings,
        book: DayBook,
        base: _World,
        others: Sequence[tuple[str, _World]],
    ) -> None:
        self._stored = stored
        self._settings = settings
        self._book = book
        self._base = base
        self._others = others
        self._frame = settings.frame.ms
        self._decisions = {(d.pair, d.open_time): d for d in book.decisions}
        self._levels = book.levels

    def result(self) -> DayCheck:
        keys = sorted(self._signal_keys(), key=lambda key: (key[1], key[0]))
        found = [d for key in keys if (d := self._signal(key)) is not None]
        outcomes = [row for row in self._book.rows if self._ends_in_the_day(row)]
        found += [d for row in outcomes if (d := self._outcome(row)) is not None]
        found.sort(key=lambda d: d.cause != UNKNOWN)
        return DayCheck(self._book.day, len(keys), len(outcomes), tuple(found))

    def _signal_keys(self) -> set[_Key]:
        first, last = self._book.day, self._book.day + DAY_MS
        theirs = {key for key, d in self._decisions.items() if d.is_signal}
        ours = {key for key, entry in self._base.items() if entry.is_signal}
        traded = set(self._settings.traded)  # a pair taken out of the settings has exits alone
        return {k for k in theirs | ours if k[0] in traded and first <= k[1] < last}

    # signals

    def _signal(self, key: _Key) -> DayDifference | None:
        decision, entry = self._decisions.get(key), self._base.get(key)
        if not self._agrees(decision, entry):
            cause, detail = self._cause_of_signal(key, decision, entry)
        elif decision is None or not decision.is_signal:
            cause, detail = YOUNG, f"fewer than {self._settings.candles.min_history} candles without a gap"
        elif decision.status == "taken":
            return None
        else:
            cause, detail = cause_of_refusal(decision)
            return DayDifference(key[0], key[1] + self._frame, decision.direction, "not taken", cause, detail)
        both = _is_signal(decision) and entry is not None and entry.is_signal
        direction = entry.levels.direction if entry else decision.direction if decision else Direction.LONG
        return DayDifference(key[0], key[1] + self._frame, direction, "levels" if both else "signal", cause, detail)

    def _agrees(self, decision: DecisionRecord | None, entry: _Entry | None) -> bool:
        """Both say signal with the same levels, or both say none; an untrusted one is none for the ledger."""
        theirs, ours = _is_signal(decision), entry is not None and entry.is_signal
        if theirs and ours:
            assert decision is not None
            assert entry is not None
            return _same_levels(self._levels.get(decision.decision_id), entry.levels)
        return theirs == (ours and not (entry is not None and entry.young))

    def _cause_of_signal(self, key: _Key, decision: DecisionRecord | None, entry: _Entry | None) -> tuple[str, str]:
        pair, time = key
        for cause, world in self._others:
            if self._agrees(decision, world.get(key)):
                return cause, ""
        if not _is_signal(decision):
            if time > self._book.handled(pair):
                return LATE, "its candle had not been worked through by then"
            return UNKNOWN, f"only the backtest has it; the ledger has {_ledger_words(decision)}"
        if time not in self._stored[pair].time:
            return NOT_STORED, "the files lack what the loop has seen; fetch it"
        if entry is None or not entry.is_signal:
            return UNKNOWN, f"only the ledger has it; the backtest has {'a candidate' if entry else 'no crossover'}"
        assert decision is not None
        return UNKNOWN, _levels_words(self._levels.get(decision.decision_id), entry.levels)

    # outcomes

    def _ends_in_the_day(self, row: TradeRow) -> bool:
        """The earlier of both ends was known in the day; levels that differ were told with the signal."""
        entry = self._base.get((row.decision.pair, row.decision.open_time))
        if entry is None or not _same_levels(row.follow.follow.levels, entry.levels):
            return False
        ends = [self._candle_of(f.exit_time) for f in (row.follow.follow, entry.follow) if f.exit_time is not None]
        return bool(ends) and self._book.day <= min(ends) < self._book.day + DAY_MS

    def _candle_of(self, time: int) -> int:
        """The candle a leg belongs to: one that was known between closes has the time one timeframe before that."""
        return -(-time // self._frame) * self._frame

    def _legs(self, follow: Follow) -> list[tuple[int, Leg]]:
        """Each leg with its candle."""
        return [(self._candle_of(leg.time), leg) for leg in follow.legs]

    def _outcome(self, row: TradeRow) -> DayDifference | None:
        decision, paper = row.decision, row.follow.follow
        key = decision.pair, decision.open_time
        expected = self._base[key].follow
        place = self._first_difference(paper, expected)
        if place is None:
            return None
        cause, detail = self._cause_of_outcome(row, key, expected, place)
        return DayDifference(
            decision.pair, key[1] + self._frame, decision.direction, "outcome", cause, detail or _ends(paper, expected)
        )

    def _first_difference(self, paper: Follow, expected: Follow) -> int | None:
        """The index of the first leg that is not the same; None where all are."""
        theirs, ours = self._legs(paper), self._legs(expected)
        for place in range(max(len(theirs), len(ours))):
            if place >= len(theirs) or place >= len(ours) or not _same_leg(theirs[place], ours[place]):
                return place
        return None

    def _cause_of_outcome(self, row: TradeRow, key: _Key, expected: Follow, place: int) -> tuple[str, str]:
        paper = row.follow.follow
        legs = self._legs(paper)
        leg = legs[place][1] if place < len(legs) else None
        if leg is not None and leg.name == ExitReason.MANUAL:
            return BY_HAND, ""
        for cause, world in self._others:
            entry = world.get(key)
            if entry is not None and self._first_difference(paper, entry.follow) is None:
                return cause, ""
        if row.follow.missing:
            return MISSED, f"{row.follow.missing} {_many(row.follow.missing, 'candle')} of it never came"
        if leg is None and self._legs(expected)[place][0] > self._book.handled(key[0]):
            return LATE, "its candles had not been worked through by then"
        inside = leg is not None and (leg.time % self._frame != 0 or expected.ambiguous)
        if inside and self._settings.paper.exits_between_closes:
            return BETWEEN, ""
        return UNKNOWN, ""


def cause_of_refusal(decision: DecisionRecord) -> tuple[str, str]:
    """Why a signal that both have was not traded: the cause and the ledger's own sentence."""
    if decision.status == "missed":
        return LATE, decision.reason
    if decision.status == "signal_only":
        return "mode", decision.reason
    if decision.status == "waiting":
        return "mode", "it waits for a person's answer"
    verdict = next((v for v in decision.verdicts if v.ruling is Ruling.REFUSE and v.layer != "variant"), None)
    if verdict is None:
        return UNKNOWN, f"{decision.status} without a verdict that refuses"
    if verdict.layer == "portfolio":
        return _OF_LIMIT.get(verdict.rule, "limit"), verdict.sentence
    return _OF_LAYER.get(verdict.layer, UNKNOWN), verdict.sentence


def _is_signal(decision: DecisionRecord | None) -> bool:
    return decision is not None and decision.is_signal


def _close(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return first is second
    return math.isclose(first, second, rel_tol=RELATIVE, abs_tol=1e-9)


def _same_levels(theirs: Levels | None, ours: Levels) -> bool:
    """Entry, direction and stop; the targets follow from these."""
    return (
        theirs is not None
        and theirs.direction == ours.direction
        and all(_close(a, b) for a, b in zip(_prices(theirs), _prices(ours), strict=True))
    )


def _prices(levels: Levels) -> Iterator[float]:
    yield from (levels.entry, levels.stop, *levels.targets)


def _same_leg(theirs: tuple[int, Leg], ours: tuple[int, Leg]) -> bool:
    (candle, leg), (other_candle, other) = theirs, ours
    return (
        (candle, leg.name) == (other_candle, other.name)
        and _close(leg.price, other.price)
        and _close(leg.fraction, other.fraction)
        and _close(leg.r, other.r)
    )


def _ledger_words(decision: DecisionRecord | None) -> str:
    if decision is None:
        return "no crossover"
    refused = next((v.sentence for v in decision.verdicts if v.ruling is Ruling.REFUSE), "")
    return f"a candidate{f': {refused}' if refused else ''}"


def _levels_words(theirs: Levels | None, ours: Levels) -> str:
    if theirs is None:
        return "the ledger follows it nowhere"
    return f"entry {theirs.entry:.8g}, stop {theirs.stop:.8g}; backtest {ours.entry:.8g}, {ours.stop:.8g}"


def _ends(paper: Follow, expected: Follow) -> str:
    return f"paper {_end(paper)}; backtest {_end(expected)}"


def _end(follow: Follow) -> str:
    return f"{follow.exit_reason or 'open'} {follow.realized_r:+.2f}R"


def lines_of(differences: Iterable[DayDifference], most: int) -> list[str]:
    """At most so many lines, the last of which counts the rest."""
    lines = [d.line for d in differences]
    return lines if len(lines) <= most else [*lines[: most - 1], f"… and {len(lines) - most + 1} more"]
