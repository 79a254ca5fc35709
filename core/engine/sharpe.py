"""Is a Sharpe ratio skill? The probabilistic and the deflated Sharpe ratio, for one series or for a whole sweep.

Returns are per period (here: net R per UTC day, days without a trade included as 0), ratios are per period too and
without a risk-free rate: R is earned on risk, not on cash. Formulas: Bailey and Lopez de Prado, "The Sharpe Ratio
Efficient Frontier" (2012) and "The Deflated Sharpe Ratio" (2014).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from core.domain.candles import FloatArray, IntArray
from core.engine.ranks import spearman

EULER = 0.5772156649015329  # the Euler-Mascheroni constant

_NORMAL = NormalDist()
_FLAT = 1e-12  # a spread below this share of the largest return is rounding, not risk


@dataclass(frozen=True, eq=False)
class SharpeMoments:
    """What the tests below need of each of k series: (k,) each. NaN where a series does not move.

    ``sharpe`` is the mean over the sample's standard deviation (n - 1), ``skew`` and ``kurtosis`` are the population's
    third and fourth standardised moments (a normal has 0 and 3); ``periods`` is the length of the series.
    """

    sharpe: FloatArray
    skew: FloatArray
    kurtosis: FloatArray
    periods: int


def sharpe_moments(returns: FloatArray) -> SharpeMoments:
    """Of each row of ``returns``, (k, periods) or (periods,). Rows shorter than two periods give NaN."""
    rows = np.atleast_2d(np.asarray(returns, dtype=np.float64))
    count, periods = rows.shape
    if periods < 2:
        nothing = np.full(count, np.nan)
        return SharpeMoments(nothing, nothing, nothing, periods)
    mean = rows.mean(axis=1)
    off = rows - mean[:, None]
    square = off * off  # a power would take ten times as long
    second = square.mean(axis=1)
    moves = np.sqrt(second) > _FLAT * np.abs(rows).max(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        sharpe = mean / np.sqrt(second * periods / (periods - 1))
        skew = (square * off).mean(axis=1) / second**1.5
        kurtosis = (square * square).mean(axis=1) / second**2
    sharpe, skew, kurtosis = (np.where(moves, value, np.nan) for value in (sharpe, skew, kurtosis))
    return SharpeMoments(sharpe, skew, kurtosis, periods)


def probabilistic_sharpe(
    sharpe: float, periods: int, *, skew: float = 0.0, kurtosis: float = 3.0, benchmark: float = 0.0
) -> float:
    """The probability, 0..1, that the true Sharpe ratio lies above ``benchmark``, given the one seen.

    All ratios per period. NaN for fewer than two periods or a ratio that is NaN. Bailey and Lopez de Prado
    2012: a normal with the variance ``(1 - skew SR + (kurtosis - 1) / 4 SR^2) / (n - 1)``.
    """
    if periods < 2 or not math.isfinite(sharpe):
        return math.nan
    # Never negative for moments of one sample, as kurtosis >= 1 + skew^2; rounding may say otherwise.
    variance = max(1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2, 1e-12)
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt((periods - 1) / variance))


def expected_best_sharpe(variance: float, trials: float) -> float:
    """The Sharpe ratio that the best of ``trials`` without skill is expected to show; per period, as ``variance`` is.

    ``variance`` is that of the trials' Sharpe ratios. 0 for one trial, who is not chosen. Bailey and Lopez de Prado
    2014: ``sqrt(V) ((1 - g) Z(1 - 1/N) + g Z(1 - 1/(N e)))``. Raises ValueError for fewer than one trial or a
    negative variance.
    """
    if trials < 1 or variance < 0:
        raise ValueError(f"{trials} trials with a variance of {variance}")
    if trials < 2:  # the approximation is for many; between one and two it would fall below zero
        return 0.0
    usual = _NORMAL.inv_cdf(1 - 1 / trials)
    rare = _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - EULER) * usual + EULER * rare)


@dataclass(frozen=True, slots=True)
class Trials:
    """How many were tried, and what their best shows without any skill.

    ``count`` series moved at all, ``distinct`` of them differ: settings that take the very same trades are one trial.
    ``effective`` is the implied number of independent trials, ``c + (1 - c) distinct`` with the mean correlation ``c``
    (Bailey and Lopez de Prado 2014, appendix 3). ``variance`` and ``expected_best`` are per period.

    ``expected_best`` takes ``distinct`` for N, not ``effective``: what correlated trials have in common is missing from
    the variance between them already, and a second discount would forgive too much. It costs little: from 100 to 1,000
    trials the bar rises by 29%.
    """

    count: int
    distinct: int
    effective: float
    variance: float
    expected_best: float


class TrialCounter:
    """Gathers trials batch by batch, so that a hundred thousand series need not lie in memory together."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._sharpe: list[FloatArray] = []
        self._direction: FloatArray | None = None
        self._count = 0

    def add(self, returns: FloatArray) -> SharpeMoments:
        """Counts the rows of ``returns``, (k, periods), and gives their moments. All batches have the same periods."""
        rows = np.ascontiguousarray(returns, dtype=np.float64) + 0.0  # -0.0 and 0.0 are the same return
        found = sharpe_moments(rows)
        moving = np.flatnonzero(np.isfinite(found.sharpe))
        self._count += len(moving)
        fresh = np.array([index for index in moving if self._first_time(rows[index])], dtype=np.int64)
        if len(fresh):
            off = rows[fresh] - rows[fresh].mean(axis=1, keepdims=True)
            unit = off / np.sqrt((off**2).sum(axis=1, keepdims=True))
            summed = unit.sum(axis=0)
            self._direction = summed if self._direction is None else self._direction + summed
            self._sharpe.append(found.sharpe[fresh])
        return found

    def trials(self) -> Trials:
        """What was tried so far."""
        sharpe = np.concatenate(self._sharpe or [np.empty(0)])
        distinct = len(sharpe)
        variance = float(sharpe.var(ddof=1)) if distinct > 1 else 0.0
        effective = float(distinct)
        if distinct > 1 and self._direction is not None:
            # The squared length of the summed unit series is the sum of all correlations, the n with themselves too.
            mean = (float(self._direction @ self._direction) - distinct) / (distinct * (distinct - 1))
            mean = min(max(mean, 0.0), 1.0)
            effective = mean + (1 - mean) * distinct
        best = expected_best_sharpe(variance, distinct) if distinct else 0.0
        return Trials(self._count, distinct, effective, variance, best)

    def _first_time(self, row: FloatArray) -> bool:
        key = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
        new = key not in self._seen
        self._seen.add(key)
        return new


def deflated_sharpe(moments: SharpeMoments, trials: Trials) -> FloatArray:
    """For each series the probability that its true Sharpe ratio is above what luck gives the best of all trials.

    (k,) in 0..1, NaN where a series does not move. Near 1: skill is likely; 0.5: it is what the best of so many would
    show anyway.
    """
    return np.array(
        [
            probabilistic_sharpe(
                float(sharpe), moments.periods, skew=float(skew), kurtosis=float(tails), benchmark=trials.expected_best
            )
            for sharpe, skew, tails in zip(moments.sharpe, moments.skew, moments.kurtosis, strict=True)
        ]
    )


def rank_correlation(one: FloatArray, other: FloatArray) -> float | None:
    """Spearman's, over the places where both are numbers; None for fewer than three or without any difference."""
    both: IntArray = np.flatnonzero(np.isfinite(one) & np.isfinite(other))
    if len(both) < 3:
        return None
    return spearman(one[both], other[both])
