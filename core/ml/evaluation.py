"""How good a kind of model is on rows it has not seen: walk-forward in time, and a random split beside it.

Walk-forward trains on the past and predicts the slice that follows, again and again; between the two lies a purge as
long as an outcome may take, so that no training row knows anything of the slice. The random split is what many people
look at; it lets rows of the same hours sit on both sides and so flatters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from core.config import Ml
from core.domain.candles import BoolArray, FloatArray, IntArray
from core.errors import ModelError
from core.ml.dataset import Dataset, weights
from core.ml.intervals import auc, brier, brier_skill, clusterings
from core.ml.training import Kind, check, fit

Progress = Callable[[str, float], None]
Method = Literal["walk_forward", "random_split"]

PURGE_MS = 100 * 15 * 60_000
"""100 bars of 15 minutes: the longest a trade may take."""

_FIRST_TRAINING = 0.4  # of the rows, before the first slice
_FEWEST_TRAINING = 20  # rows; a fold that would learn from fewer is left out
_TEST_SHARE = 0.2
_SHIFTS = 999
_CONFIDENCE_TAIL = 0.025

NOTES: dict[Method, str] = {
    "walk_forward": "trained on the past, tested on what followed",
    "random_split": "random 80/20 split: optimistic, rows of the same hours lie on both sides",
}


@dataclass(frozen=True, slots=True)
class Bucket:
    """Predictions in ``[low, high)``: how many, what they said on average, how often it was a win."""

    low: float
    high: float
    n: int
    predicted: float
    won: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures on unseen rows; None where one is not defined (one class only, too few rows or days).

    ``accuracy`` is at 0.5, ``majority`` what always saying the commoner outcome would have. ``auc_low`` and
    ``auc_high`` bound a 95% interval clustered in time. ``brier_skill`` is against the base rate of the training part.
    ``better_r`` and ``worse_r`` are the mean gross R of the rows above and below the median prediction.
    ``permutation_p`` is the share of shifts in time of the outcomes against the predictions that do as well.
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


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Predictions on unseen rows and what they are worth. ``rows`` are row numbers of the dataset, ascending in time;
    ``probability`` and ``base`` (the training part's base rate) belong to them.

    ``metrics`` are of the signals among them. Where there are candidates too, ``candidates`` are the figures of all
    rows together: an early hint, never a proof.
    """

    method: Method
    folds: int
    metrics: Metrics
    candidates: Metrics | None
    rows: IntArray
    probability: FloatArray
    base: FloatArray

    def to_json(self) -> dict[str, object]:
        """A plain mapping for manifests and the command line."""
        hint = asdict(self.candidates) if self.candidates else None
        return {"method": NOTES[self.method], "folds": self.folds, **asdict(self.metrics), "with_candidates": hint}


def walk_forward(
    dataset: Dataset,
    settings: Ml,
    kind: Kind | None = None,
    *,
    folds: int = 5,
    purge_ms: int = PURGE_MS,
    progress: Progress | None = None,
) -> Evaluation:
    """Predictions for the newer part of the rows in ``folds`` slices, each from a model of what came before it.

    Weights, early stopping and base rate come from the training part alone. Slices whose past is too short or one-sided
    are left out, so ``metrics.n`` may be 0. ``kind`` None: that of ``ml.model``. Raises ModelError as
    ``training.check`` does.
    """
    check(dataset)
    first = max(_FEWEST_TRAINING, int(np.ceil(len(dataset) * _FIRST_TRAINING)))
    slices = [s for s in np.array_split(np.arange(first, max(first, len(dataset))), folds) if len(s)]
    parts = []
    for done, rows in enumerate(slices):
        if progress:
            progress(f"evaluating, slice {done + 1} of {len(slices)}", done / len(slices))
        known = known_before(dataset, int(rows[0]), purge_ms)
        if (predicted := _predict(dataset, known, rows, settings, kind)) is not None:
            parts.append((rows, *predicted))
    return _collect("walk_forward", dataset, parts)


def known_before(dataset: Dataset, row: int, purge_ms: int = PURGE_MS) -> BoolArray:
    """The rows a model may have learned from when row ``row`` is decided: outcome known, and a purge before it."""
    now = dataset.time[row]
    return np.asarray((dataset.time <= now - purge_ms) & (dataset.end_time <= now), dtype=np.bool_)


def random_split(dataset: Dataset, settings: Ml, kind: Kind | None = None) -> Evaluation:
    """The labelled random 80/20 split, seeded: what others print, for comparison. Never a proof."""
    check(dataset)
    order = np.random.default_rng(settings.seed).permutation(len(dataset))
    rows = np.sort(order[: max(1, round(len(dataset) * _TEST_SHARE))])
    known = np.ones(len(dataset), dtype=np.bool_)
    known[rows] = False
    predicted = _predict(dataset, known, rows, settings, kind)
    return _collect("random_split", dataset, [] if predicted is None else [(rows, *predicted)])


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
        return Metrics(0, None, None, None, None, None, None, None, None, None, None, None, ())
    won = float(outcome.mean())
    area = auc(probability, outcome, clusterings(time, end_time))
    bounded = area is not None and bool(area.spreads)
    better, worse = _halves(probability, r)
    return Metrics(
        n=n,
        base_rate=won,
        accuracy=float(((probability >= 0.5) == (outcome == 1)).mean()),
        majority=max(won, 1 - won),
        auc=area.value if area else None,
        auc_low=max(0.0, area.low(_CONFIDENCE_TAIL)) if area and bounded else None,
        auc_high=min(1.0, area.high(_CONFIDENCE_TAIL)) if area and bounded else None,
        brier=brier(probability, outcome),
        brier_skill=brier_skill(probability, outcome, base),
        better_r=better,
        worse_r=worse,
        permutation_p=shift_p(probability, outcome),
        calibration=_calibration(probability, outcome),
    )


def shift_p(probability: FloatArray, outcome: IntArray) -> float | None:
    """A permutation p that keeps both series' own rhythm: the outcomes are shifted in a circle against the predictions.

    Rows must be in time order. Plain shuffling would break the runs that neighbours share and call them evidence.
    All shifts are tried up to 999, evenly spaced beyond. None with one class or fewer than 20 rows.
    """
    n, wins = len(outcome), int(outcome.sum())
    if n < 20 or wins in (0, n):
        return None
    _, position, counts = np.unique(probability, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[position]
    shifts = np.unique(np.linspace(1, n - 1, min(n - 1, _SHIFTS)).astype(np.int64))
    won = np.flatnonzero(outcome)
    sums = rank[(won[None, :] + shifts[:, None]) % n].sum(axis=1)
    return float((1 + (sums >= rank[won].sum()).sum()) / (1 + len(shifts)))


def _halves(probability: FloatArray, r: FloatArray) -> tuple[float | None, float | None]:
    middle = float(np.median(probability))
    above, below = r[probability > middle], r[probability < middle]
    return (float(above.mean()), float(below.mean())) if len(above) and len(below) else (None, None)


def _calibration(probability: FloatArray, outcome: IntArray) -> tuple[Bucket, ...]:
    tenth = np.minimum((probability * 10).astype(np.int64), 9)
    return tuple(
        Bucket(
            low=int(b) / 10,
            high=(int(b) + 1) / 10,
            n=int((tenth == b).sum()),
            predicted=float(probability[tenth == b].mean()),
            won=float(outcome[tenth == b].mean()),
        )
        for b in np.unique(tenth)
    )


def _predict(
    dataset: Dataset, known: BoolArray, rows: IntArray, settings: Ml, kind: Kind | None
) -> tuple[FloatArray, FloatArray] | None:
    """(probability, base rate) for ``rows`` from a model of the ``known`` rows; None where those cannot teach."""
    past = dataset.take(known)
    if len(past) < _FEWEST_TRAINING:
        return None
    try:
        check(past)
    except ModelError:
        return None
    weight = weights(past, int(past.time.max()), settings.half_life_days)
    model = fit(past, weight, settings, kind or settings.model)
    base = float(np.average(past.y, weights=weight))
    return model.predict(dataset.X[rows]), np.full(len(rows), base)


def _collect(method: Method, dataset: Dataset, parts: list[tuple[IntArray, FloatArray, FloatArray]]) -> Evaluation:
    empty = np.empty(0, dtype=np.float64)
    rows = np.concatenate([p[0] for p in parts]) if parts else np.empty(0, dtype=np.int64)
    probability = np.concatenate([p[1] for p in parts]) if parts else empty
    base = np.concatenate([p[2] for p in parts]) if parts else empty
    signal = dataset.is_signal[rows]

    def figures(chosen: BoolArray) -> Metrics:
        of = rows[chosen]
        columns = (dataset.y[of], base[chosen], dataset.r[of], dataset.time[of], dataset.end_time[of])
        return metrics(probability[chosen], *columns)

    everything = None if signal.all() else figures(np.ones(len(rows), dtype=np.bool_))
    return Evaluation(method, len(parts), figures(signal), everything, rows, probability, base)
