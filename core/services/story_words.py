"""What happened in a day or a week, as the lines of its story. Pure; R is net of costs per 1R risked, money USDT."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.domain.ledger import DecisionRecord, FollowRecord
from core.domain.trading import Ruling
from core.engine.advisory import UNANSWERED
from core.ml.forecast import Forecast
from core.ports import Outcome

Span = Literal["day", "week"]

FEW = 5
"""Outcomes below which not even a range can be given."""

MOST_NAMED = 3  # layers and filters that are named with what they refused; the others are counted

_WHO = {
    "gemini": "Gemini",
    "combined": "the confidence",
    "model": "the model",
    "btc": "BTC",
    "adx": "ADX",
    "rsi": "RSI",
}


@dataclass(frozen=True, eq=False)
class Facts:
    """What a ledger knows of the time from ``since`` to ``until`` (epoch ms, the first not included).

    ``decisions`` are all candidates decided in it and ``follows`` what became of them by their id, as far as known by
    ``until``; ``closed`` the trades that ended in it, ``outcomes`` the live outcomes that became known in it. ``known``
    counts all of these there have ever been. ``flips``: how many of the signals that have ended the model would have
    turned round at ``flip_weight``, and what that would have added in R; None where it spoke on none.
    """

    span: Span
    since: int
    until: int
    equity: float
    change: float
    open_trades: int
    closed: tuple[FollowRecord, ...]
    decisions: tuple[DecisionRecord, ...]
    follows: Mapping[int, FollowRecord]
    outcomes: tuple[Outcome, ...]
    known: int
    champion: str | None
    new_champion: bool
    forecast: Forecast | None
    flips: tuple[int, float] | None = None
    flip_weight: float = 0.0

    @property
    def signals(self) -> tuple[DecisionRecord, ...]:
        return tuple(d for d in self.decisions if d.is_signal)

    @property
    def refused(self) -> tuple[DecisionRecord, ...]:
        return tuple(d for d in self.signals if d.status == "refused")

    @property
    def filtered(self) -> tuple[DecisionRecord, ...]:
        return tuple(d for d in self.decisions if not d.is_signal)


@dataclass(frozen=True, slots=True)
class Refusals:
    """What one layer or filter refused: how many, and the net R of those that have ended."""

    who: str
    n: int
    made: tuple[float, ...]

    @property
    def total(self) -> float:
        return math.fsum(self.made)


def refusals(decisions: Iterable[DecisionRecord], follows: Mapping[int, FollowRecord]) -> list[Refusals]:
    """By who refused them first, the busiest first."""
    by_whom: dict[str, list[DecisionRecord]] = {}
    for decision in decisions:
        by_whom.setdefault(refused_by(decision), []).append(decision)
    found = [
        Refusals(who, len(those), tuple(r for d in those if (r := made_by(follows.get(d.decision_id))) is not None))
        for who, those in by_whom.items()
    ]
    return sorted(found, key=lambda f: (-f.n, f.who))


def refused_by(decision: DecisionRecord) -> str:
    """The first that said no, in a word or two."""
    verdict = next((v for v in decision.verdicts if v.ruling is Ruling.REFUSE), None)
    if verdict is None:
        return "nobody" if decision.status != "refused" else decision.reason or "no reason"
    if verdict.layer == "approval":
        return _no_yes(verdict.sentence)
    name = verdict.layer if verdict.layer in {"gemini", "combined", "model"} else verdict.rule
    return _WHO.get(name, name.replace("_", " "))


def _no_yes(sentence: str) -> str:
    """What became of a trade's card: a no, no answer, or a yes that could not count any more."""
    if sentence.endswith("said no"):
        return "a person"
    return "silence" if sentence == UNANSWERED else "a late yes"


def made_by(record: FollowRecord | None) -> float | None:
    """The net R of what has ended by itself; None for what is open, or what a gap or a person ended."""
    if record is None or record.r_net is None or record.follow.exit_reason in ("GAP", "MANUAL", None):
        return None
    return record.r_net if math.isfinite(record.r_net) else None


def noise(made: Sequence[float]) -> str:
    """How much of a mean is luck: an honest sentence about so many results in R."""
    n = len(made)
    if n < FEW:
        return f"{_count(n, 'result')} {'is' if n == 1 else 'are'} luck, not evidence."
    mean = math.fsum(made) / n
    spread = math.sqrt(math.fsum((r - mean) ** 2 for r in made) / (n - 1))
    half = 1.96 * spread / math.sqrt(n)
    where = "luck alone does that" if abs(mean) <= half else "more than luck usually does, but one week proves nothing"
    return f"Together {_signed(mean)} each, give or take {half:.2f}R over {n}: {where}."


def title(facts: Facts, when: str) -> str:
    """``Sat 21 Nov: +$31.20 · equity $10,240 · 2 trades``: all that a locked phone shows."""
    return f"{when}: {_money(facts.change, '+')} · equity {_money(facts.equity)} · {_count(len(facts.closed), 'trade')}"


def lines(facts: Facts) -> tuple[str, ...]:
    return _week(facts) if facts.span == "week" else _day(facts)


def _day(facts: Facts) -> tuple[str, ...]:
    return (*_trades(facts), *_signals(facts), *_ahead(facts))


def _week(facts: Facts) -> tuple[str, ...]:
    return (*_trades(facts), *_extremes(facts), *_signals(facts), *_would_have(facts), *_learned(facts), *_ahead(facts))


def _trades(facts: Facts) -> list[str]:
    still = f"{facts.open_trades or 'none'} open now"
    if not facts.closed:
        return [f"No trade closed, {still}."]
    won = sum(t.pnl > 0 for t in facts.closed)
    total = math.fsum(t.r_net or 0.0 for t in facts.closed)
    pnl = math.fsum(t.pnl for t in facts.closed)
    return [
        f"{_count(len(facts.closed), 'trade')} closed, {won} won: {_money(pnl, '+')}, {_signed(total)} net; {still}."
    ]


def _extremes(facts: Facts) -> list[str]:
    if len(facts.closed) < 2:
        return []
    best, worst = max(facts.closed, key=_r), min(facts.closed, key=_r)
    return [f"Best {_trade(best)}, worst {_trade(worst)}."]


def _r(record: FollowRecord) -> float:
    return record.r_net or 0.0


def _trade(record: FollowRecord) -> str:
    return f"{record.pair.base} {record.follow.levels.direction} {_signed(_r(record))}"


def _signals(facts: Facts) -> list[str]:
    """What came and what was refused by whom: first the layers, then the strategy's own filters."""
    statuses = Counter(d.status for d in facts.signals)
    if not facts.signals:
        found = ["No signal."]
    else:
        others = [f"{n} {status.replace('_', ' ')}" for status, n in statuses.most_common() if status != "refused"]
        by = ", ".join(f"{r.who} {r.n}" for r in refusals(facts.refused, facts.follows))
        refused = [f"{len(facts.refused)} refused ({by})"] if facts.refused else []
        found = [f"{_count(len(facts.signals), 'signal')}: {', '.join([*others, *refused])}."]
    if facts.filtered and facts.span == "day":
        by = ", ".join(f"{r.who} {r.n}" for r in refusals(facts.filtered, facts.follows)[:MOST_NAMED])
        found.append(f"The filters stopped {_count(len(facts.filtered), 'crossover')}: {by}.")
    return found


def _would_have(facts: Facts) -> list[str]:
    """What the refused would have made, by their shadows, with a word about luck."""
    told, made = [], []
    for kind, decisions in (("", facts.refused), ("filter ", facts.filtered)):
        found = refusals(decisions, facts.follows)
        told += [f"Refused by {kind}{_worth(r)}" for r in found[:MOST_NAMED]]
        made += [r for refusal in found for r in refusal.made]
    return [*told, noise(made)] if made else told


def _worth(refusal: Refusals) -> str:
    if not refusal.made:
        return f"{refusal.who}: {refusal.n}, none has ended yet."
    ended = "" if len(refusal.made) == refusal.n else f" ({len(refusal.made)} have ended)"
    return f"{refusal.who}: {refusal.n}{ended}, they would have made {_signed(refusal.total)}."


def _learned(facts: Facts) -> list[str]:
    """What came in for the model, how often it was right, and what a weight would have changed."""
    spoke = [o for o in facts.outcomes if o.probability is not None]
    right = sum(((o.probability or 0.0) >= 0.5) == (o.realized_r > 0) for o in spoke)
    said = f"{_count(len(facts.outcomes), 'outcome')} to learn from, {facts.known} in all"
    said += f"; the model spoke on {len(spoke)} and was right on {right}." if spoke else "."
    found = [said]
    if facts.new_champion:
        found.append(f"New champion: {facts.champion}.")
    if facts.flips is not None:
        n, gained = facts.flips
        weight = f"With the model at {facts.flip_weight:.0%}"
        many = f"{_count(n, 'signal')} would have gone the other way, {_signed(gained)}."
        found.append(f"{weight} {many}" if n else f"{weight} no signal would have gone the other way.")
    return found


def _ahead(facts: Facts) -> list[str]:
    """How far the first look at which the gate could say yes is; looks before it are taken, but cannot."""
    if facts.forecast is None:
        return []
    gate = facts.forecast.gate
    if gate.left == 0:
        return ["The gate looks with the next outcome."]
    left = f"First look that could say yes: in {_count(gate.left, 'outcome')}"
    if gate.days is None:
        return [f"{left}; when that is cannot be told yet."]
    return [f"{left}, about {_count(round(gate.days), 'day')}: {gate.text}."]


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _signed(value: float) -> str:
    """``+1.20R``; what rounds to nothing has no minus."""
    return f"{round(value, 2) + 0.0:+.2f}R"


def _money(value: float, sign: str = "") -> str:
    size = abs(value)
    shown = f"{size:,.0f}" if size >= 100 or size == round(size) else f"{size:,.2f}"
    return f"{'-' if value < 0 and float(shown.replace(',', '')) else sign}${shown}"
