"""Whether the gate can open at all: the AUC each coming look would ask for, beside the AUC a model seems to have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

from core.ml.arrivals import BUNCHING
from core.ml.gate import alpha_of, look_count
from core.ml.intervals import student_quantile

ENOUGH_ROWS = 100
"""Unseen signals a walk-forward needs before it may say that a gate will stay shut."""

ASSUMED_DESIGN_EFFECT = 1.5
"""How many times the variance of independent rows an AUC has, where the evaluation gives no interval to measure it."""

_BLOCK_DAYS = 2.0  # the gate also bundles in blocks longer than outcomes last: two days, where 90% end within one
_FEWEST_DF = 3.0


@dataclass(frozen=True, slots=True)
class Skill:
    """A champion's walk-forward on signals: ``n`` unseen rows, their base rate, the AUC with its 95% interval."""

    n: int
    base_rate: float
    auc: float
    auc_low: float | None = None
    auc_high: float | None = None

    @classmethod
    def of(cls, metrics: Mapping[str, float | None]) -> Skill | None:
        """From an evaluation's figures by name; None where they hold no AUC."""
        n, base, area = metrics.get("n"), metrics.get("base_rate"), metrics.get("auc")
        if not n or base is None or area is None or not 0 < base < 1:
            return None
        return cls(int(n), base, area, metrics.get("auc_low"), metrics.get("auc_high"))

    @property
    def design_effect(self) -> float:
        """How much overlap and pairs that move together widen the AUC: measured from the interval, at least 1."""
        if self.auc_low is None or self.auc_high is None:
            return ASSUMED_DESIGN_EFFECT
        half = max(self.auc - self.auc_low, self.auc_high - self.auc)  # one side may have been cut at 0 or 1
        error = half / NormalDist().inv_cdf(0.975)
        return max(1.0, error**2 / null_variance(self.n, self.base_rate))


@dataclass(frozen=True, slots=True)
class LookAhead:
    """A coming look: at how many outcomes, the error it may spend, the AUC it would ask for (None: no interval on so
    few), and the chance of reaching that if the walk-forward's AUC is the true one."""

    index: int
    n: int
    alpha: float
    needed: float | None
    chance: float | None


def null_variance(n: int, base_rate: float) -> float:
    """The variance of an AUC without any signal on ``n`` independent rows (Mann and Whitney 1947)."""
    wins = base_rate * n
    return (n + 1) / (12 * wins * (n - wins))


def variance(area: float, n: int, base_rate: float) -> float:
    """The variance of an AUC whose true value is ``area``, independent rows (Hanley and McNeil 1982)."""
    wins, losses = base_rate * n, (1 - base_rate) * n
    over_two, two_over = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (wins - 1) * (over_two - area**2) + (losses - 1) * (two_over - area**2)
    return spread / (wins * losses)


def look_ahead(index: int, skill: Skill, per_day: float, error: float) -> LookAhead:
    """Look ``index`` of a line whose outcomes come at ``per_day``; ``error`` is the line's whole budget.

    The asked AUC is 0.5 plus Student's quantile times the standard error, with the design effect of the walk-forward,
    and as many degrees of freedom as blocks of two days would give at this rate.
    """
    n, alpha = look_count(index), alpha_of(index, error)
    df = n / (per_day * _BLOCK_DAYS + BUNCHING) - 1
    if df < _FEWEST_DF:
        return LookAhead(index, n, alpha, None, None)
    effect = skill.design_effect
    reach = student_quantile(1 - alpha, df) * math.sqrt(effect * null_variance(n, skill.base_rate))
    needed = 0.5 + reach
    error_now = math.sqrt(effect * max(variance(skill.auc, n, skill.base_rate), 1e-12))
    return LookAhead(index, n, alpha, needed, 1 - NormalDist().cdf((needed - skill.auc) / error_now))


def looks_within(first: int, outcomes: float, most: int = 40) -> range:
    """The looks from ``first`` on that ``outcomes`` outcomes reach, at most ``most`` of them."""
    index = first
    while index < first + most and look_count(index) <= outcomes:
        index += 1
    return range(first, index)


def will_open(
    skill: Skill | None, ahead: tuple[LookAhead, ...], fast: tuple[LookAhead, ...]
) -> tuple[bool | None, str]:
    """Whether the gate could pass at one of the looks of the next year, with a sentence.

    ``ahead`` are the looks reached at the rate seen, ``fast`` those at its upper end. False needs an evaluation of
    at least ``ENOUGH_ROWS`` whose AUC, even at its upper bound, no look would let pass; or no look in a year. True
    says that the point estimate would pass, not that it will. Only the AUC is judged here: Brier skill, accuracy and
    the number of trades must hold as well.
    """
    if not fast:
        return False, "no look is reached within a year, even at the faster end of this rate"
    if skill is None:
        return None, "without an evaluated model it cannot be told whether the gate will open"
    least = min((look.needed for look in fast if look.needed is not None), default=None)
    if least is None:
        return None, "on so few separate days no look has an interval, so it cannot be told whether the gate will open"
    shown = f"AUC {skill.auc:.2f}"
    if skill.auc_high is not None and skill.auc_high < least:
        if skill.n < ENOUGH_ROWS:
            return None, f"{skill.n} unseen signals are too few to tell whether the gate will open"
        return False, (
            f"the gate will not open within a year: the model's {shown} is at most {skill.auc_high:.2f}, and even "
            f"the easiest look asks for {least:.2f}"
        )
    passing = next((look for look in ahead if look.needed is not None and look.needed <= skill.auc), None)
    if passing is not None:
        return True, (
            f"the gate can open: {shown} would pass the look at {passing.n} outcomes, which asks for "
            f"{passing.needed:.2f} (a chance of {passing.chance:.0%})"
        )
    high = "" if skill.auc_high is None else f" to {skill.auc_high:.2f}"
    return None, (
        f"it cannot be told whether the gate will open: {shown}{high}, and the easiest look of a year asks for "
        f"{least:.2f}"
    )
