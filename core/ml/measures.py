"""What predictions are worth once their outcomes are known: every figure with its interval and its baseline.

Rows are not independent, so each interval clusters them in time (``core.ml.intervals.clusterings``: by UTC day, and by
longer blocks where outcomes overlap more) and the widest counts. All intervals are of 95%.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.domain.candles import BoolArray, FloatArray, IntArray
from core.engine.ranks import mid_ranks
from core.ml.differences import Difference, difference, mean_interval
from core.ml.intervals import MIN_DF, Auc, auc, brier, brier_skill, bundles, clusterings, student_quantile

ERROR = 0.05
"""Of every interval, both sides together."""

TENTHS = tuple(tenth / 10 for tenth in range(11))

_SHIFTS = 999
_SMALLEST_P = 1e-7  # as far as the t quantile goes


@dataclass(frozen=True, slots=True)
class Bucket:
    """Predictions in ``[low, high)``: how many, what they said on average, how often it was a win.

    ``won_low`` and ``won_high`` bound the last (Wilson 1927, with n over the design effect of the clustering as Korn
    and Graubard 1998, and Student's t in place of z); None with too few separate stretches of time.
    """

    low: float
    high: float
    n: int
    predicted: float
    won: float
    won_low: float | None = None
    won_high: float | None = None


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures on unseen rows; None where one is not defined (one class only, too few rows or days).

    ``accuracy`` is at 0.5, ``majority`` what always saying the commoner outcome would have had, and ``over_majority``
    the first less the second, row by row. ``auc_low`` and ``auc_high`` bound a 95% interval clustered in time, as all
    ``_low`` and ``_high`` do; ``auc_p`` is the one-sided error at which it just reaches 0.5. ``brier_skill`` is against
    the base rate of the training part. ``better_r`` and ``worse_r`` are the mean gross R of the rows above and below
    the median prediction, ``r_gain`` the first less the second. ``permutation_p`` is the share of shifts in time of
    the outcomes against the predictions that do as well. ``predicted`` is the mean prediction.
    """

    n: int
    base_rate: float | None
    accuracy: float | None
    majority: float | None
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    brier: float | None
    brier_skill: float | None
    better_r: float | None
    worse_r: float | None
    permutation_p: float | None
    calibration: tuple[Bucket, ...]
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    over_majority: float | None = None
    over_majority_low: float | None = None
    over_majority_high: float | None = None
    auc_p: float | None = None
    brier_skill_low: float | None = None
    brier_skill_high: float | None = None
    r_gain: float | None = None
    r_gain_low: float | None = None
    r_gain_high: float | None = None
    predicted: float | None = None


NOTHING = Metrics(0, None, None, None, None, None, None, None, None, None, None, None, ())


def metrics(
    probability: FloatArray,
    outcome: IntArray,
    base: FloatArray,
    r: FloatArray,
    time: IntArray,
    end_time: IntArray,
) -> Metrics:
    """All figures from arrays of one length, sorted by time; see Metrics for what is None when."""
    n = len(outcome)
    if not n:
        return NOTHING
    clusters = clusterings(time, end_time)
    won = float(outcome.mean())
    right = ((probability >= 0.5) == (outcome == 1)).astype(np.float64)
    commoner = (outcome == (won > 0.5)).astype(np.float64)
    accuracy = _share_interval(right, clusters)
    over = mean_interval(right - commoner, clusters, ERROR) if (right != commoner).any() else None
    area = auc(probability, outcome, clusters)
    low, high = auc_interval(area)
    skill_low, skill_high = skill_interval(probability, outcome, base, clusters) or (None, None)
    better, worse, gain = halves(probability, r, clusters)
    gain_low, gain_high = (gain and gain.interval(ERROR)) or (None, None)
    return Metrics(
        n=n,
        base_rate=won,
        accuracy=float(right.mean()),
        majority=float(commoner.mean()),
        auc=area.value if area else None,
        auc_low=low,
        auc_high=high,
        brier=brier(probability, outcome),
        brier_skill=brier_skill(probability, outcome, base),
        better_r=better,
        worse_r=worse,
        permutation_p=shift_p(probability, outcome),
        calibration=calibration(probability, outcome, clusters),
        accuracy_low=accuracy[0] if accuracy else None,
        accuracy_high=accuracy[1] if accuracy else None,
        over_majority=float((right - commoner).mean()),
        over_majority_low=over[0] if over else None,
        over_majority_high=over[1] if over else None,
        auc_p=auc_p(area),
        brier_skill_low=skill_low,
        brier_skill_high=skill_high,
        r_gain=gain.value if gain else None,
        r_gain_low=gain_low,
        r_gain_high=gain_high,
        predicted=float(probability.mean()),
    )


def auc_interval(area: Auc | None) -> tuple[float, float] | tuple[None, None]:
    """The two-sided interval of an AUC, within 0 and 1; (None, None) where there is none."""
    if area is None or not area.spreads:
        return None, None
    return max(0.0, area.low(ERROR / 2)), min(1.0, area.high(ERROR / 2))


def auc_p(area: Auc | None) -> float | None:
    """The one-sided error at which the interval's lower end just reaches 0.5: small means better than guessing.

    Above 0.5 where the AUC itself lies below. None without an interval; never below 1e-7.
    """
    if area is None or not area.spreads:
        return None
    off = abs(area.value - 0.5)
    low, high = math.log(_SMALLEST_P), math.log(0.5)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if area.reach(math.exp(middle)) < off else (middle, high)
    p = math.exp(high)
    return p if area.value >= 0.5 else 1 - p


def skill_interval(
    probability: FloatArray, outcome: IntArray, base: FloatArray, clusters: tuple[IntArray, ...]
) -> tuple[float, float] | None:
    """The interval of the Brier skill (``skill_values``); None where there is none or too few rows apart."""
    values = skill_values(probability, outcome, base)
    return None if values is None else mean_interval(values, clusters, ERROR)


def skill_values(probability: FloatArray, outcome: IntArray, base: FloatArray) -> FloatArray | None:
    """Each row's share of the Brier skill: their mean is the skill, their spread that of the ratio (delta method).

    None where ``base`` is never wrong.
    """
    squared, reference = np.square(probability - outcome), np.square(base - outcome)
    mean = float(reference.mean())
    if mean <= 0:
        return None
    ratio = float(squared.mean()) / mean
    return np.asarray(1 - ratio - (squared - ratio * reference) / mean, dtype=np.float64)


def halves(
    probability: FloatArray, r: FloatArray, clusters: tuple[IntArray, ...]
) -> tuple[float | None, float | None, Difference | None]:
    """Mean R of the rows above and below the median prediction, and the difference of the two."""
    middle = float(np.median(probability))
    above: BoolArray = probability > middle
    below: BoolArray = probability < middle
    found = difference(r, above, below, clusters)
    return (float(r[above].mean()), float(r[below].mean()), found) if found else (None, None, None)


def shift_p(probability: FloatArray, outcome: IntArray) -> float | None:
    """A permutation p that keeps both series' own rhythm: the outcomes are shifted in a circle against the predictions.

    Rows must be in time order. Plain shuffling would break the runs that neighbours share and call them evidence.
    All shifts are tried up to 999, evenly spaced beyond. None with one class or fewer than 20 rows.
    """
    n, wins = len(outcome), int(outcome.sum())
    if n < 20 or wins in (0, n):
        return None
    rank = mid_ranks(probability)
    shifts = np.unique(np.linspace(1, n - 1, min(n - 1, _SHIFTS)).astype(np.int64))
    won = np.flatnonzero(outcome)
    sums = rank[(won[None, :] + shifts[:, None]) % n].sum(axis=1)
    return float((1 + (sums >= rank[won].sum()).sum()) / (1 + len(shifts)))


def calibration(
    probability: FloatArray, outcome: IntArray, clusters: tuple[IntArray, ...], edges: Sequence[float] = TENTHS
) -> tuple[Bucket, ...]:
    """The buckets between ``edges`` (0 to 1) that hold predictions, from low to high; the last holds its upper edge."""
    place = np.minimum(np.searchsorted(edges, probability, side="right"), len(edges) - 1) - 1
    buckets = []
    for b in np.unique(place).tolist():
        chosen: BoolArray = place == b
        won = outcome[chosen].astype(np.float64)
        bounds = _share_interval(won, tuple(labels[chosen] for labels in clusters))
        low, high = bounds or (None, None)
        said = float(probability[chosen].mean())
        buckets.append(Bucket(edges[b], edges[b + 1], len(won), said, float(won.mean()), low, high))
    return tuple(buckets)


def _share_interval(hits: FloatArray, clusters: tuple[IntArray, ...]) -> tuple[float, float] | None:
    """Wilson's interval of the mean of zeros and ones with n over the design effect, the widest over the clusterings.

    The design effect is the clustered variance over that of independent rows, at least 1. Where all are the same it
    cannot be seen; then each cluster counts as one row.
    """
    n, share = len(hits), float(hits.mean())
    lows, highs = [], []
    for labels in clusters:
        label, sizes, df = bundles(labels)
        if df < MIN_DF:
            return None
        rows = df + 1
        if 0 < share < 1:
            sums = np.bincount(label, weights=hits - share)
            clustered = float(np.square(sums).sum()) * len(sizes) / (len(sizes) - 1) / n**2
            rows = n / max(1.0, clustered / (share * (1 - share) / n))
        low, high = _wilson(share, rows, student_quantile(1 - ERROR / 2, df))
        lows.append(low)
        highs.append(high)
    return min(lows), max(highs)


def _wilson(share: float, n: float, reach: float) -> tuple[float, float]:
    middle = (share + reach**2 / (2 * n)) / (1 + reach**2 / n)
    half = reach * math.sqrt(share * (1 - share) / n + reach**2 / (4 * n**2)) / (1 + reach**2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)
