"""Closed signals with what every layer said before: the evidence of what each layer is worth. Pure.

A look is taken at fixed counts of closed outcomes only, on exactly the first so many in the order of closing, and each
spends a part of one error budget. What it says depends on nothing later, so asking often costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.domain.candles import FloatArray, IntArray, Timeframe
from core.domain.ledger import DecisionRecord, FollowRecord
from core.domain.trading import ExitReason, FollowKind, Ruling, Verdict
from core.ml.gate import look_count, looks_up_to
from core.ml.intervals import clusterings

ERROR = 0.05
"""Over all looks there will ever be."""

_NO_SAMPLE = (ExitReason.GAP, ExitReason.MANUAL)
_KEPT_STATES = ("taken", "refused", "signal_only")
_NOT_ASKED = "not asked"

Answer = Literal["absent", "not asked", "no opinion", "opinion"]


@dataclass(frozen=True, slots=True)
class Lived:
    """A signal that has closed as a trade or as the shadow of one that was not taken. Times in epoch ms, R per 1R.

    ``decided`` is the close of its candle, ``closed`` the close at which the outcome was known.
    """

    decision: DecisionRecord
    is_trade: bool
    decided: int
    closed: int
    gross: float
    net: float

    def verdict(self, layer: str, rule: str) -> Verdict | None:
        return verdict_of(self.decision, layer, rule)


def lived(rows: Iterable[tuple[DecisionRecord, FollowRecord]]) -> tuple[Lived, ...]:
    """The evidence in a ledger, in the order of closing. Left out: candidates, what was found too late, what a gap or a
    person ended, what is still open, and decisions that are not older than their outcome: those knew it."""
    found = [one for decision, follow in rows if (one := _lived(decision, follow)) is not None]
    return tuple(sorted(found, key=lambda one: (one.closed, one.decision.decision_id)))


def _lived(decision: DecisionRecord, record: FollowRecord) -> Lived | None:
    follow = record.follow
    if not decision.is_signal or decision.status not in _KEPT_STATES or record.kind is FollowKind.SHADOW_CANDIDATE:
        return None
    if follow.exit_reason is None or follow.exit_reason in _NO_SAMPLE or follow.exit_time is None:
        return None
    if record.r_net is None or not (math.isfinite(record.r_net) and math.isfinite(follow.realized_r)):
        return None
    frame = Timeframe.parse(decision.timeframe).ms
    closed = follow.exit_time + frame
    if decision.decided_at >= closed:
        return None
    return Lived(
        decision=decision,
        is_trade=record.kind is FollowKind.TRADE,
        decided=decision.open_time + frame,
        closed=closed,
        gross=follow.realized_r,
        net=record.r_net,
    )


def verdict_of(decision: DecisionRecord, layer: str, rule: str) -> Verdict | None:
    return next((v for v in decision.verdicts if v.layer == layer and v.rule == rule), None)


def answer_of(decision: DecisionRecord) -> Answer:
    """Whether Gemini was there for a signal, was asked, and answered."""
    verdict = verdict_of(decision, "gemini", "gemini")
    if verdict is None or verdict.ruling is Ruling.ABSENT:
        return "absent"
    if decision.gemini_confidence is not None and decision.gemini_approve is not None:
        return "opinion" if 0 <= decision.gemini_confidence <= 1 else "no opinion"
    return "not asked" if reason_of(decision) == _NOT_ASKED else "no opinion"


def reason_of(decision: DecisionRecord) -> str:
    """Why Gemini gave no opinion, in the words that were stored; empty where none were."""
    verdict = verdict_of(decision, "gemini", "gemini")
    return verdict.sentence.rpartition("no opinion: ")[2] if verdict is not None else ""


@dataclass(frozen=True, slots=True)
class Glance:
    """A look: its number (from 1), on how many outcomes it is, the error it may spend, and when the next is due."""

    index: int
    n: int
    error: float
    following: int


def glance(outcomes: int) -> Glance | None:
    """The newest look that ``outcomes`` closed outcomes give; None before the first.

    Look k spends ``ERROR / (k (k + 1))``: half of it at the first, and all of them together never more than it.
    """
    index = looks_up_to(outcomes)
    if not index:
        return None
    return Glance(index, look_count(index), ERROR / (index * (index + 1)), look_count(index + 1))


FIRST_LOOK = look_count(1)


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Lived signals as arrays of one length, in their order."""

    gross: FloatArray
    net: FloatArray
    clusters: tuple[IntArray, ...]

    @classmethod
    def of(cls, signals: Sequence[Lived]) -> Outcomes:
        decided = np.array([s.decided for s in signals], dtype=np.int64)
        closed = np.array([s.closed for s in signals], dtype=np.int64)
        return cls(
            gross=np.array([s.gross for s in signals], dtype=np.float64),
            net=np.array([s.net for s in signals], dtype=np.float64),
            clusters=clusterings(decided, closed),
        )
