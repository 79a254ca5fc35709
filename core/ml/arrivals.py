"""How many outcomes a day, and how long until the next so many: Gamma-Poisson with clusters, exact, without scipy.

Outcomes come in bunches, for pairs move together: the variance of their daily count is not its mean but
``BUNCHING`` times as much. They are counted as bunches of that size arriving at random (Poisson) at a rate that is
itself uncertain (Gamma). Waiting for ``k`` bunches at such a rate is a ratio of two Gammas, whose distribution is the
regularised incomplete beta function (Abramowitz and Stegun 26.5), so the range holds what is not known of the rate and
what chance does to the count, both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

BUNCHING = 1.8
"""Variance over mean of the signals' daily count: 1.80 on five pairs and 767 days (2022-2024), 1.5 to 1.8 in windows
of 2 to 30 days. Taken as known, so that one more outcome can never make a forecast later."""

PRIOR_BUNCHES = 8.0
"""How much a rate from history counts: a relative error of 35% (1 / sqrt(8)). Between quarters of the same two years
the rate differed by 24%; that the exchange and the times are others is not in that figure."""

_JEFFREYS = 0.5  # the shape of a Poisson rate's prior that says nothing
_FURTHEST = 3_650.0  # days; what lies beyond ten years is not a date


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What is known of the rate: Gamma with ``shape`` bunches in ``days`` days."""

    shape: float
    days: float

    @property
    def per_day(self) -> float:
        """The middle of what the rate may be, in outcomes per day."""
        return self.rate(0.5)

    def rate(self, quantile: float) -> float:
        """A quantile of the rate, outcomes per day; Wilson and Hilferty (1931), within 2% from a shape of 2 on."""
        z = NormalDist().inv_cdf(quantile)
        spread = 1 / (9 * self.shape)
        cube = max(0.0, 1 - spread + z * math.sqrt(spread))
        return BUNCHING * self.shape * cube**3 / self.days

    def days_to(self, outcomes: int, quantile: float) -> float | None:
        """Days until ``outcomes`` more have come, at this quantile of the wait; None beyond ten years.

        The chance of waiting no longer than ``t`` is ``I(t / (t + days); outcomes / BUNCHING, shape)``.
        """
        if outcomes <= 0:
            return 0.0
        bunches = outcomes / BUNCHING
        if self._chance_within(_FURTHEST, bunches) < quantile:
            return None
        low, high = 0.0, _FURTHEST
        while high - low > 1e-6 * max(1.0, high):
            middle = (low + high) / 2
            if self._chance_within(middle, bunches) < quantile:
                low = middle
            else:
                high = middle
        return high

    def more_in(self, days: float, quantile: float) -> float:
        """How many outcomes more ``days`` days bring, at this quantile of the count; a real number, for a curve."""
        if days <= 0:
            return 0.0
        low, high = 0.0, 1.0
        while self._chance_within(days, high) > 1 - quantile:
            high *= 2
        while high - low > 1e-4 * max(1.0, high):
            middle = (low + high) / 2
            if self._chance_within(days, middle) > 1 - quantile:
                low = middle
            else:
                high = middle
        return high * BUNCHING

    def _chance_within(self, days: float, bunches: float) -> float:
        return incomplete_beta(bunches, self.shape, days / (days + self.days))


def arrivals(outcomes: int, days: float, prior_per_day: float | None) -> Arrivals | None:
    """What ``outcomes`` in ``days`` days say of the rate, beside a rate from history where there is one.

    None where nothing can be said: no history, and less than a day or no outcome at all. Raises ValueError for
    negative numbers.
    """
    if outcomes < 0 or days < 0 or (prior_per_day or 0.0) < 0:
        raise ValueError(f"{outcomes} outcomes in {days} days beside {prior_per_day} a day is not possible")
    bunches = outcomes / BUNCHING
    if prior_per_day:
        return Arrivals(PRIOR_BUNCHES + bunches, PRIOR_BUNCHES * BUNCHING / prior_per_day + days)
    return Arrivals(_JEFFREYS + bunches, days) if outcomes and days >= 1 else None


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function ``I_x(a, b)`` for positive ``a`` and ``b`` and ``x`` in [0, 1].

    The continued fraction of Abramowitz and Stegun 26.5.8 by Lentz's method; against an exact one off by less than
    1e-12.
    """
    if not 0 < x < 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges quickly only below here
        return 1 - incomplete_beta(b, a, 1 - x)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(front) / a * _fraction(a, b, x)


def _fraction(a: float, b: float, x: float) -> float:
    tiny = 1e-300
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1), tiny)
    value = d
    for m in range(1, 2_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _not_zero(1 + term * d, tiny)
            c = _not_zero(1 + term / c, tiny)
            value *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return value


def _not_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny
