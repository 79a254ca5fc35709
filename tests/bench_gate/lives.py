"""Many lives of a model line at once: every look of each, by the gate's own formulae on arrays of many trials.

``core.ml.gate.measure`` takes one look of one life; a test holds that what stands here gives the same figures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import pool

import numpy as np

from core.config import Settings
from core.domain.candles import DAY_MS, FloatArray, IntArray
from core.ml.gate import alpha_of, look_count
from core.ml.intervals import Auc
from tests.bench_gate.planting import Model, Outcomes, Random, Source

SETTINGS = Settings().gate
CHUNK = 50  # trials a batch: its arrays stay in the cache

_FEWEST_DF = 3.0


@dataclass(frozen=True, eq=False)
class Figures:
    """Per trial what ``core.ml.gate.Figures`` has; NaN for None."""

    accuracy: FloatArray
    auc: FloatArray
    auc_low: FloatArray
    brier_skill: FloatArray


@dataclass(frozen=True, eq=False)
class Approvals:
    """[trials, looks], 1 or 0: gate ready, AUC bound alone, bare rule; and the AUC. NaN beyond the outcomes."""

    gate: FloatArray
    bound: FloatArray
    bare: FloatArray
    auc: FloatArray

    @property
    def looks(self) -> int:
        """How many looks the outcomes gave."""
        return int((~np.isnan(self.gate[0])).sum())


def so_far(approved: FloatArray) -> FloatArray:
    """[looks]: the share of trials approved at that look or an earlier one."""
    return np.asarray(np.maximum.accumulate(approved, axis=1).mean(axis=0), dtype=np.float64)


def figures(probability: FloatArray, won: IntArray, decided: IntArray, closed: IntArray, alpha: float) -> Figures:
    """The figures of one look on arrays [trials, n]; ``auc_low`` is one-sided at ``alpha``."""
    order = np.argsort(probability, axis=1)
    return _figures(probability, won, decided, closed, order, alpha)


def _figures(
    probability: FloatArray, won: IntArray, decided: IntArray, closed: IntArray, order: IntArray, alpha: float
) -> Figures:
    base = won.mean(axis=1)
    reference = base * (1 - base)
    error = np.square(probability - won).mean(axis=1)
    skill = np.divide(error, reference, out=np.full(len(base), np.nan), where=reference > 0)
    area, influence, floor = _influence(probability, won, order)
    spreads = [
        _spread(influence, np.take_along_axis(labels, order, axis=1), floor) for labels in _labels(decided, closed)
    ]
    low = np.full(len(area), np.nan)
    for row in np.flatnonzero(~np.isnan(area)):
        own = tuple((float(deviation[row]), float(df[row])) for deviation, df in spreads)
        if all(df >= _FEWEST_DF for _, df in own):
            low[row] = max(0.0, Auc(float(area[row]), own).low(alpha))
    return Figures(((probability >= 0.5) == (won == 1)).mean(axis=1), area, low, 1 - skill)


def _influence(probability: FloatArray, won: IntArray, order: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """AUC [trials], per-row influence [trials, n] in the order of probability, and the variance without any signal."""
    trials, n = probability.shape
    value = np.take_along_axis(probability, order, axis=1)
    win = np.take_along_axis(won, order, axis=1) == 1
    place = np.broadcast_to(np.arange(n), (trials, n))
    new = np.ones((trials, n), dtype=bool)
    new[:, 1:] = value[:, 1:] != value[:, :-1]
    first = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    ends = np.concatenate([new[:, 1:], np.ones((trials, 1), dtype=bool)], axis=1)
    last = np.minimum.accumulate(np.where(ends, place, n)[:, ::-1], axis=1)[:, ::-1]
    up_to = np.concatenate([np.zeros((trials, 1), dtype=np.int64), np.cumsum(win, axis=1)], axis=1)
    wins_below = (np.take_along_axis(up_to, first, axis=1) + np.take_along_axis(up_to, last + 1, axis=1)) / 2
    losses_below = (first + last + 1) / 2 - wins_below
    wins = up_to[:, -1:].astype(np.float64)
    losses = n - wins
    wins[(wins == 0) | (losses == 0)] = np.nan
    area = (losses_below * win).sum(axis=1, keepdims=True) / (wins * losses)
    influence = np.where(win, (losses_below / losses - area) / wins, (1 - wins_below / wins - area) / losses)
    ties = (np.square((last - first + 1).astype(np.float64)) - 1).sum(axis=1) / (n * (n - 1))
    floor = (n + 1 - ties) / (12 * wins[:, 0] * losses[:, 0])
    return area[:, 0], influence, floor


def _labels(decided: IntArray, closed: IntArray) -> tuple[IntArray, IntArray]:
    """``core.ml.intervals.clusterings`` per trial; where a block is a day the two are alike, which changes nothing."""
    day = decided // DAY_MS
    long = np.quantile(closed - decided, 0.9, axis=1)
    block = np.maximum(1, np.ceil(2 * long / DAY_MS)).astype(np.int64)
    return day, day // block[:, None]


def _spread(influence: FloatArray, labels: IntArray, floor: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Standard error and degrees of freedom [trials] of one way of clustering."""
    trials, n = labels.shape
    labels = labels - labels.min(axis=1, keepdims=True)
    width = int(labels.max()) + 1
    flat = (labels + np.arange(trials)[:, None] * width).ravel()
    sizes = np.bincount(flat, minlength=trials * width).reshape(trials, width)
    sums = np.bincount(flat, weights=influence.ravel(), minlength=trials * width).reshape(trials, width)
    count = (sizes > 0).sum(axis=1)
    df = n**2 / np.square(sizes).sum(axis=1) - 1
    # One cluster alone has no spread; it is left out by its degrees of freedom.
    variance = np.square(sums).sum(axis=1) * count / np.maximum(1, count - 1)
    return np.sqrt(np.maximum(variance, floor)), df


def live(source: Source, model: Model, looks: int, rng: Random, trials: int) -> Approvals:
    """``trials`` lives of ``looks`` looks each, or of as many as the source's outcomes give."""
    outcomes, probabilities = [], []
    for _ in range(trials):
        outcomes.append(source(rng, look_count(looks)))
        probabilities.append(model(rng, outcomes[-1]))
    return approvals(outcomes, np.stack(probabilities), looks)


def approvals(outcomes: list[Outcomes], probability: FloatArray, looks: int) -> Approvals:
    """What gate, bound and bare rule say at every look of lives of one length."""
    won, decided, closed = (np.stack([getattr(o, name) for o in outcomes]) for name in ("won", "decided", "closed"))
    trials, length = probability.shape
    order = np.argsort(probability, axis=1)
    found = np.full((4, trials, looks), np.nan)
    for index in range(1, looks + 1):
        n = look_count(index)
        if n > length:
            break
        look = _figures(
            probability[:, :n],
            won[:, :n],
            decided[:, :n],
            closed[:, :n],
            order[order < n].reshape(trials, n),
            alpha_of(index, SETTINGS.error),
        )
        bound, bare = look.auc_low > 0.5, look.accuracy > SETTINGS.min_accuracy
        found[:, :, index - 1] = bound & bare & (look.brier_skill > 0), bound, bare, look.auc
    return Approvals(*found)


def _job(source: Source, model: Model, looks: int, job: tuple[int, int]) -> FloatArray:
    seed, trials = job
    found = live(source, model, looks, np.random.default_rng(seed), trials)
    return np.stack([found.gate, found.bound, found.bare, found.auc])


def run(workers: pool.Pool, source: Source, model: Model, looks: int, trials: int, seed: int) -> Approvals:
    """The same for the same seed, however many processes there are."""
    jobs = [(seed * 1_000_003 + i, min(CHUNK, trials - i)) for i in range(0, trials, CHUNK)]
    work: Callable[[tuple[int, int]], FloatArray] = partial(_job, source, model, looks)
    return Approvals(*np.concatenate(workers.map(work, jobs), axis=1))
