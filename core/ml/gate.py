"""The gate: the evidence a model line must show before it may influence a trade. Pure; its inputs are a list.

A *look* is one stored evaluation. Looks happen at fixed counts of live outcomes (50, 100, 150, 200, 300 and every
further 100), each spends a part of one error budget, and the parts add up to less than the budget for ever: however
long a line lives, and however often it is retrained, noise is let through at most that often. What a look says depends
only on the outcomes up to its count, never on when it is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Literal

import numpy as np

from core.config import Gate
from core.domain.candles import FloatArray, IntArray, to_ms
from core.ml.intervals import auc, brier_skill, clusterings

State = Literal["blocked", "weak", "ready"]

HANDOVER = timedelta(minutes=30)
"""How far apart a takeover and the predictions before and after it may be noted."""

_FIRST_LOOKS = (50, 100, 150, 200)
_EVERY = 100

# Shares of the budget. On the first four counts even a good model can hardly be told from noise, so little is spent
# there. The rest is spent as 1 / (m + 4) - 1 / (m + 5): slow enough that a later look, which may be the first with an
# effective n of 300 when outcomes overlap, still has something to spend, and telescoping, so that the sum is known.
_FIRST_SHARES = (0.01, 0.02, 0.02, 0.03)
_LATER_SHARE = 1 - sum(_FIRST_SHARES)
_SLOWNESS = 5


@dataclass(frozen=True, slots=True)
class ScoredPrediction:
    """A live outcome with the prediction that was stored before it: times aware UTC, ``outcome`` 1 for a win.

    ``decided_at`` is the candle's close at which the champion ``model_id`` gave ``probability``; ``closed_at`` when
    the outcome was known. ``source`` says whether it was a trade or the shadow of a refused signal.
    """

    decided_at: datetime
    closed_at: datetime
    probability: float
    outcome: int
    source: Literal["trade", "shadow"]
    model_id: str
    pair: str
    direction: str


@dataclass(frozen=True, slots=True)
class Reign:
    """From ``since`` (aware UTC) on ``model_id`` was the champion of ``line``, until the next reign began."""

    since: datetime
    line: str
    model_id: str


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing asked of the evidence: its number, what it must reach (or exceed), and a sentence for a person."""

    name: str
    met: bool
    number: float | None
    threshold: float | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Look:
    """What the gate said at its look number ``index`` (from 1) on the first ``n`` outcomes, ``trades`` of them trades.

    ``alpha`` is the error spent here and the level of ``auc_low``. ``state`` is blocked (a floor is missing), weak
    (floors met, evidence lacking) or ready (an approver may be asked).
    """

    index: int
    n: int
    looked_at: datetime
    alpha: float
    auc: float | None
    auc_low: float | None
    brier_skill: float | None
    accuracy: float | None
    trades: int
    state: State
    conditions: tuple[Condition, ...]


def look_count(index: int) -> int:
    """The number of outcomes at which look ``index`` (from 1) is taken: 50, 100, 150, 200, 300, 400, ...

    Raises ValueError below 1.
    """
    if index < 1:
        raise ValueError(f"looks are counted from 1, not {index}")
    early = len(_FIRST_LOOKS)
    return _FIRST_LOOKS[index - 1] if index <= early else _FIRST_LOOKS[-1] + _EVERY * (index - early)


def alpha_of(index: int, total: float) -> float:
    """The error spent at look ``index`` (from 1) of a budget ``total``; over all looks it adds up to ``total``."""
    look_count(index)
    if index <= len(_FIRST_SHARES):
        return total * _FIRST_SHARES[index - 1]
    later = index - len(_FIRST_SHARES) + _SLOWNESS
    return total * _LATER_SHARE * _SLOWNESS / ((later - 1) * later)


def next_look(looks_done: int) -> int:
    """The number of outcomes at which the next look is taken."""
    return look_count(looks_done + 1)


def look_due(outcomes: int, looks_done: int) -> int | None:
    """The count of the look that is due now, None when the next one has not been reached.

    More than one may be due (after a long absence); each is taken in its turn, on its own count.
    """
    due = next_look(looks_done)
    return due if outcomes >= due else None


def looks_up_to(outcomes: int) -> int:
    """How many looks ``outcomes`` outcomes give in all."""
    return next(i for i in count() if look_count(i + 1) > outcomes)


def floors(outcomes: int, trades: int, settings: Gate) -> tuple[Condition, Condition]:
    """The two counts that come before any evidence; they may be shown at any time, for they spend nothing."""
    return (
        Condition(
            "outcomes",
            outcomes >= settings.min_outcomes,
            float(outcomes),
            float(settings.min_outcomes),
            f"{outcomes} of {settings.min_outcomes} live outcomes"
            if outcomes <= settings.min_outcomes
            else f"{outcomes} live outcomes, {settings.min_outcomes} are needed",
        ),
        Condition(
            "trades",
            trades >= settings.min_trades,
            float(trades),
            float(settings.min_trades),
            f"{trades} of them are trades, {settings.min_trades} are needed",
        ),
    )


def by_champions(evidence: Iterable[ScoredPrediction], reigns: Sequence[Reign], line: str) -> list[ScoredPrediction]:
    """The predictions of ``line`` made by whoever was its champion then; ``reigns`` in the order in which they began.

    What a model foretold before or after its reign, or for another line, is no evidence for this one: choosing
    afterwards whose predictions count would be looking again. A model may be early or late by ``HANDOVER``, for files,
    book and a decision under way do not change in one instant. Nothing is known against what is older than all reigns.
    """
    ends = [*(reign.since for reign in reigns[1:]), None]
    spans = [
        (reign.since - HANDOVER, None if end is None else end + HANDOVER, reign)
        for reign, end in zip(reigns, ends, strict=False)
    ]

    def counts(prediction: ScoredPrediction) -> bool:
        at = prediction.decided_at
        if not reigns or at < reigns[0].since:
            return True
        return any(
            reign.line == line and reign.model_id == prediction.model_id and began <= at and (end is None or at < end)
            for began, end, reign in spans
        )

    return [prediction for prediction in evidence if counts(prediction)]


def examine(evidence: Sequence[ScoredPrediction], looks_done: int, settings: Gate, looked_at: datetime) -> Look:
    """The next look of a line, on its first ``next_look(looks_done)`` outcomes in the order of closing.

    ``evidence`` may hold more and in any order. The model passes when the lower bound of its AUC, clustered in time,
    lies above 0.5 at this look's error, and its Brier score beats the best constant *in hindsight*, which is the
    strict choice: no base rate known in advance does better. Raises ValueError when no look is due, when a prediction
    is not older than its outcome, is given twice, or is no probability.
    """
    index, wanted = looks_done + 1, next_look(looks_done)
    if len(evidence) < wanted:
        raise ValueError(f"no look is due: {len(evidence)} of {wanted} outcomes")
    for prediction in evidence:
        _check(prediction)
    if len({(p.decided_at, p.pair, p.direction) for p in evidence}) != len(evidence):
        raise ValueError("a prediction is given twice: each outcome counts once")
    first = sorted(evidence, key=lambda p: (p.closed_at, p.decided_at, p.pair, p.direction))[:wanted]
    trades = sum(p.source == "trade" for p in first)
    figures = measure(
        np.array([p.probability for p in first], dtype=np.float64),
        np.array([p.outcome for p in first], dtype=np.int64),
        np.array([to_ms(p.decided_at) for p in first], dtype=np.int64),
        np.array([to_ms(p.closed_at) for p in first], dtype=np.int64),
        alpha_of(index, settings.error),
    )
    must = (*floors(wanted, trades, settings), _accuracy_condition(figures, settings))
    asked = (_auc_condition(figures), _skill_condition(figures))
    state: State = "blocked"
    if all(c.met for c in must):
        state = "ready" if all(c.met for c in asked) else "weak"
    return Look(
        index=index,
        n=wanted,
        looked_at=looked_at,
        alpha=figures.alpha,
        auc=figures.auc,
        auc_low=figures.auc_low,
        brier_skill=figures.brier_skill,
        accuracy=figures.accuracy,
        trades=trades,
        state=state,
        conditions=(*must, *asked),
    )


def _check(prediction: ScoredPrediction) -> None:
    if not prediction.decided_at < prediction.closed_at:
        raise ValueError(
            f"the prediction for {prediction.pair} of {prediction.decided_at.isoformat()} is not older than its "
            f"outcome of {prediction.closed_at.isoformat()}"
        )
    if not 0 <= prediction.probability <= 1:
        raise ValueError(f"{prediction.probability} is no probability ({prediction.pair}, {prediction.decided_at})")
    if prediction.outcome not in (0, 1):
        raise ValueError(f"{prediction.outcome} is no outcome: 0 or 1 is wanted")


@dataclass(frozen=True, slots=True)
class Figures:
    """What one look measures, before any threshold. ``majority`` is the accuracy of always saying the commoner."""

    n: int
    alpha: float
    accuracy: float
    majority: float
    wins: int
    auc: float | None
    auc_low: float | None
    brier_skill: float | None


def measure(
    probability: FloatArray, outcome: IntArray, decided_ms: IntArray, closed_ms: IntArray, alpha: float
) -> Figures:
    """The figures of one look from arrays of one length; ``auc_low`` is one-sided at ``alpha``, None if undefined."""
    base = float(outcome.mean())
    area = auc(probability, outcome, clusterings(decided_ms, closed_ms))
    return Figures(
        n=len(outcome),
        alpha=alpha,
        accuracy=float(((probability >= 0.5) == (outcome == 1)).mean()),
        majority=max(base, 1 - base),
        wins=int(outcome.sum()),
        auc=None if area is None else area.value,
        auc_low=None if area is None or not area.spreads else max(0.0, area.low(alpha)),
        brier_skill=brier_skill(probability, outcome, base),
    )


def _accuracy_condition(figures: Figures, settings: Gate) -> Condition:
    commoner = "WIN" if figures.wins * 2 > figures.n else "LOSE"
    return Condition(
        "accuracy",
        figures.accuracy > settings.min_accuracy,
        figures.accuracy,
        settings.min_accuracy,
        f"accuracy {figures.accuracy:.1%} on {figures.n} outcomes, more than {settings.min_accuracy:.0%} is asked; "
        f"always saying {commoner} has {figures.majority:.1%}",
    )


def _auc_condition(figures: Figures) -> Condition:
    if figures.auc is None:
        sentence = "AUC is not defined: all outcomes are the same"
    elif figures.auc_low is None:
        sentence = f"AUC {figures.auc:.2f}, but the outcomes lie in too few separate stretches of time for an interval"
    else:
        sentence = (
            f"AUC {figures.auc:.2f}, at least {figures.auc_low:.2f} at the error of {figures.alpha:.2%} that this look "
            "may spend; more than 0.50, which is guessing, is asked"
        )
    met = figures.auc_low is not None and figures.auc_low > 0.5
    return Condition("auc", met, figures.auc_low, 0.5, sentence)


def _skill_condition(figures: Figures) -> Condition:
    skill = figures.brier_skill
    if skill is None:
        sentence = "Brier skill is not defined: all outcomes are the same"
    else:
        word = "better" if skill > 0 else "no better"
        sentence = f"Brier skill {skill:+.1%}: the probabilities are {word} than always saying {_base(figures):.0%}"
    return Condition("brier_skill", skill is not None and skill > 0, skill, 0.0, sentence)


def _base(figures: Figures) -> float:
    return figures.wins / figures.n
