"""Gemini's scoreboard: how often it speaks and refuses, what it costs, and whether its confidence means anything. Pure.

Its confidence is what the prompt asks for, how likely the trade ends in profit, and is scored as that: by calibration
and by its Brier score against the base rate. Counts are of today; what is scored is scored at the newest look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from core.config import Gemini
from core.domain.candles import DAY_MS, BoolArray, FloatArray, IntArray
from core.domain.ledger import DecisionRecord
from core.ml.differences import Difference, difference, mean_interval
from core.ml.intervals import brier, mean_low
from core.ml.lived import FIRST_LOOK, Glance, Lived, Outcomes, answer_of, glance, reason_of
from core.ml.measures import Bucket, calibration, skill_values

INTERVAL = 0.05
"""The error of each interval that is shown."""

BUCKETS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Edges of the confidence buckets; the last holds its upper edge."""

WANTED = (0.30, 0.50)
RED_FLAG = (0.20, 0.70)
"""Shares of signals refused: what is wanted, and beyond what something is wrong."""

FEW_ANSWERS = 20
_MOST_REASONS = 5
_MILLION = 1_000_000

Rejection = Literal["too few to judge", "as wanted", "outside what is wanted", "red flag"]


@dataclass(frozen=True, slots=True)
class Side:
    """The closed signals Gemini approved, or refused: win rate and mean R."""

    n: int
    win_rate: float | None
    gross: float | None
    net: float | None


@dataclass(frozen=True, slots=True)
class Score:
    """What closed outcomes say at a look. ``base`` is the win rate, ``skill`` of Brier against it, 95% interval.

    That interval is shown; judged is by one-sided bounds at the look's own error: ``bound``, the upper one, below 0 is
    worse than the base rate, ``floor``, the lower one, above 0 is better. ``difference``: mean net R of approved less
    refused.
    """

    look: Glance
    base: float
    buckets: tuple[Bucket, ...]
    brier: float
    base_brier: float
    skill: float | None
    skill_low: float | None
    skill_high: float | None
    bound: float | None
    floor: float | None
    approved: Side
    refused: Side
    difference: float | None
    low: float | None
    high: float | None

    @property
    def worse(self) -> bool:
        """Worse than always saying the base rate, beyond what chance explains."""
        return self.bound is not None and self.bound < 0


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens of the answers that were accepted, and what they cost in USD. ``days`` since the first, at least 1."""

    prompt_tokens: int
    output_tokens: int
    usd: float
    days: float

    @property
    def tokens_per_day(self) -> float:
        return (self.prompt_tokens + self.output_tokens) / self.days

    @property
    def usd_per_day(self) -> float:
        return self.usd / self.days


@dataclass(frozen=True, slots=True)
class Scoreboard:
    """``asked`` signals in all, ``answered`` with an opinion, ``refused`` of those; ``doubted``: approved, but with a
    confidence below the threshold. ``closed`` opinions have an outcome. ``sources``: who spoke, the most first."""

    asked: int
    answered: int
    refused: int
    doubted: int
    closed: int
    next_look: int
    reasons: tuple[tuple[str, int], ...]
    sources: tuple[tuple[str, int], ...]
    cost: Cost
    score: Score | None

    @property
    def rejection_rate(self) -> float | None:
        return self.refused / self.answered if self.answered else None

    @property
    def rejection(self) -> Rejection:
        rate = self.rejection_rate
        if rate is None or self.answered < FEW_ANSWERS:
            return "too few to judge"
        if not RED_FLAG[0] <= rate <= RED_FLAG[1]:
            return "red flag"
        return "as wanted" if WANTED[0] <= rate <= WANTED[1] else "outside what is wanted"

    @property
    def conclusion(self) -> str:
        """One sentence."""
        if not self.asked:
            return "Gemini was never asked."
        if self.score is None:
            return f"{self.closed} of {FIRST_LOOK} closed opinions: too few to score its confidence."
        score = self.score
        if score.skill is None or score.bound is None:
            return f"On {score.look.n} closed opinions nothing can be told: too few separate days, or one outcome only."
        if score.worse:
            return f"Its confidence is worse than always saying {score.base:.0%}, beyond chance."
        if score.floor is not None and score.floor > 0:
            return f"Its confidence tells more than always saying {score.base:.0%}."
        return f"Its confidence cannot be told from always saying {score.base:.0%}."

    def data(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self) | {
            "rejection_rate": self.rejection_rate,
            "rejection": self.rejection,
            "worse": self.score is not None and self.score.worse,
            "tokens_per_day": self.cost.tokens_per_day,
            "usd_per_day": self.cost.usd_per_day,
            "conclusion": self.conclusion,
        }


def scoreboard(
    decisions: Sequence[DecisionRecord],
    closed: Sequence[Lived],
    settings: Gemini,
    threshold: float,
    now_ms: int,
    *,
    whole: bool = False,
) -> Scoreboard:
    """The board from all ``decisions`` and from ``closed`` signals, as ``lived`` gives them.

    ``threshold`` is the combined confidence that takes a signal; ``whole`` scores all closed opinions as one look.
    """
    asked = [(d, a) for d in decisions if d.is_signal and (a := answer_of(d)) in ("opinion", "no opinion")]
    opinions = [d for d, a in asked if a == "opinion"]
    scored = [s for s in closed if answer_of(s.decision) == "opinion"]
    look = Glance(1, len(scored), INTERVAL, len(scored)) if whole and scored else glance(len(scored))
    return Scoreboard(
        asked=len(asked),
        answered=len(opinions),
        refused=sum(d.gemini_approve is False for d in opinions),
        doubted=sum(d.gemini_approve is True and _confidence(d) < threshold for d in opinions),
        closed=len(scored),
        next_look=FIRST_LOOK if look is None else look.following,
        reasons=_commonest(reason_of(d) or "no reason given" for d, a in asked if a == "no opinion"),
        sources=_commonest(d.gemini_source or "unnamed" for d in opinions),
        cost=_cost([d for d, _ in asked], settings, now_ms),
        score=None if look is None else _score(scored[: look.n], look),
    )


def _confidence(decision: DecisionRecord) -> float:
    assert decision.gemini_confidence is not None
    return decision.gemini_confidence


def _commonest(words: Iterable[str]) -> tuple[tuple[str, int], ...]:
    counts = Counter(words)
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_REASONS])


def _cost(asked: Sequence[DecisionRecord], settings: Gemini, now_ms: int) -> Cost:
    prompt = sum(d.gemini_prompt_tokens for d in asked)
    output = sum(d.gemini_output_tokens for d in asked)
    first = min((d.decided_at for d in asked), default=now_ms)
    usd = (prompt * settings.price_in + output * settings.price_out) / _MILLION
    return Cost(prompt, output, usd, max(1.0, (now_ms - first) / DAY_MS))


# -- scored at a look --


def _score(signals: Sequence[Lived], look: Glance) -> Score:
    outcomes = Outcomes.of(signals)
    said = np.array([_confidence(s.decision) for s in signals], dtype=np.float64)
    won: IntArray = (outcomes.gross > 0).astype(np.int64)
    approved: BoolArray = np.array([s.decision.gemini_approve is True for s in signals], dtype=np.bool_)
    values = _skill_values(said, won)
    skill = None if values is None else float(values.mean())
    low, high = _both_sides(values, outcomes, INTERVAL)
    apart = _apart(outcomes, approved)
    r_low, r_high = (apart and apart.interval(INTERVAL)) or (None, None)
    return Score(
        look=look,
        base=float(won.mean()),
        buckets=calibration(said, won, outcomes.clusters, BUCKETS),
        brier=brier(said, won),
        base_brier=brier(_others(won), won),
        skill=skill,
        skill_low=low,
        skill_high=high,
        bound=None if values is None else _upper(values, outcomes, look.error),
        floor=None if values is None else mean_low(values, outcomes.clusters, look.error),
        approved=_side(outcomes, approved),
        refused=_side(outcomes, ~approved),
        difference=None if apart is None else apart.value,
        low=r_low,
        high=r_high,
    )


def _others(won: IntArray) -> FloatArray:
    """The win rate of the other outcomes, for each one: a base rate that has not seen the outcome it is to tell."""
    n = len(won)
    if n < 2:
        return np.full(n, 0.5)
    return np.asarray((won.sum() - won) / (n - 1), dtype=np.float64)


def _skill_values(said: FloatArray, won: IntArray) -> FloatArray | None:
    """Each opinion's share of the skill; None where all outcomes are the same, so that the base rate is never wrong."""
    return None if won.min() == won.max() else skill_values(said, won, _others(won))


def _both_sides(values: FloatArray | None, outcomes: Outcomes, alpha: float) -> tuple[float | None, float | None]:
    found = None if values is None else mean_interval(values, outcomes.clusters, alpha)
    return found or (None, None)


def _upper(values: FloatArray, outcomes: Outcomes, error: float) -> float | None:
    """One-sided: all of the look's error lies where it would blame Gemini wrongly."""
    low = mean_low(-values, outcomes.clusters, error)
    return None if low is None else -low


def _apart(outcomes: Outcomes, approved: BoolArray) -> Difference | None:
    return difference(outcomes.net, approved, ~approved, outcomes.clusters)


def _side(outcomes: Outcomes, chosen: BoolArray) -> Side:
    n = int(chosen.sum())
    if not n:
        return Side(0, None, None, None)
    gross, net = outcomes.gross[chosen], outcomes.net[chosen]
    return Side(n, float((gross > 0).mean()), float(gross.mean()), float(net.mean()))
