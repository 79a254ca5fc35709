"""How good a kind of model is on rows it has not seen: walk-forward in time, and a random split beside it.

Walk-forward trains on the past and predicts the slice that follows, again and again; between the two lies a purge as
long as an outcome may take, so that no training row knows anything of the slice. The random split is what many people
look at; it lets rows of the same hours sit on both sides and so flatters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np

from core.config import Ml
from core.domain.candles import BoolArray, FloatArray, IntArray
from core.errors import ModelError
from core.ml.dataset import Dataset, weights
from core.ml.importance import Importance, Looked, importance, look
from core.ml.intervals import clusterings
from core.ml.measures import NOTHING, Metrics, metrics
from core.ml.slices import Slices, slices
from core.ml.training import Kind, check, fit

Progress = Callable[[str, float], None]
Method = Literal["walk_forward", "random_split"]

PURGE_MS = 100 * 15 * 60_000
"""100 bars of 15 minutes: the longest a trade may take."""

_FIRST_TRAINING = 0.4  # of the rows, before the first slice
_FEWEST_TRAINING = 20  # rows; a fold that would learn from fewer is left out
_TEST_SHARE = 0.2

NOTES: dict[Method, str] = {
    "walk_forward": "trained on the past, tested on what followed",
    "random_split": "random 80/20 split: optimistic, rows of the same hours lie on both sides",
}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Predictions on unseen rows and what they are worth. ``rows`` are row numbers of the dataset, ascending in time;
    ``probability`` and ``base`` (the training part's base rate) belong to them.

    ``metrics`` are of the signals among them. Where there are candidates too, ``candidates`` are the figures of all
    rows together: an early hint, never a proof. ``fold`` says which slice each row was predicted in. ``slices`` are of
    the signals, of a walk-forward only; ``importance`` is of all rows, where it was asked for.
    """

    method: Method
    folds: int
    metrics: Metrics
    candidates: Metrics | None
    rows: IntArray
    probability: FloatArray
    base: FloatArray
    fold: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    slices: Slices | None = None
    importance: tuple[Importance, ...] | None = None

    def to_json(self) -> dict[str, object]:
        """A plain mapping for manifests and the command line."""
        found: dict[str, object] = {"method": NOTES[self.method], "folds": self.folds, **asdict(self.metrics)}
        found["with_candidates"] = asdict(self.candidates) if self.candidates else None
        if self.slices is not None:
            found["slices"] = {"note": self.slices.note, "all": [asdict(each) for each in self.slices.slices]}
        if self.importance is not None:
            found["importance"] = [asdict(each) for each in self.importance]
        return found


def walk_forward(
    dataset: Dataset,
    settings: Ml,
    kind: Kind | None = None,
    *,
    folds: int = 5,
    purge_ms: int = PURGE_MS,
    looking: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Predictions for the newer part of the rows in ``folds`` slices, each from a model of what came before it.

    Weights, early stopping and base rate come from the training part alone. Slices whose past is too short or one-sided
    are left out, so ``metrics.n`` may be 0. ``kind`` None: that of ``ml.model``. ``looking``: also
    find what the models look at (``importance``). Raises ModelError as ``training.check`` does.
    """
    check(dataset)
    wanted = later_slices(len(dataset), folds)
    parts = []
    for number, rows in enumerate(wanted):
        tell = _within(progress, f"evaluating, slice {number + 1} of {len(wanted)}", number, len(wanted))
        known = known_before(dataset, int(rows[0]), purge_ms)
        if (part := _predict(dataset, known, rows, settings, kind, looking, tell)) is not None:
            parts.append(part)
    return _collect("walk_forward", dataset, parts)


def later_slices(count: int, folds: int = 5) -> list[IntArray]:
    """The row numbers of each slice of a walk-forward over ``count`` rows: the newer part, cut into ``folds``."""
    first = max(_FEWEST_TRAINING, int(np.ceil(count * _FIRST_TRAINING)))
    return [s for s in np.array_split(np.arange(first, max(first, count)), folds) if len(s)]


def _within(progress: Progress | None, title: str, number: int, count: int) -> Progress:
    """Progress of one slice of ``count`` as progress of the whole, told once at its start."""

    def tell(text: str, done: float) -> None:
        if progress:
            progress(f"{title}: {text}" if text else title, (number + done) / count)

    tell("", 0.0)
    return tell


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
    part = _predict(dataset, known, rows, settings, kind)
    return _collect("random_split", dataset, [] if part is None else [part])


@dataclass(frozen=True, eq=False)
class _Part:
    """The predictions of one slice. ``looked``: what the model did with it, where that was asked for."""

    rows: IntArray
    probability: FloatArray
    base: float
    looked: Looked | None


def _predict(
    dataset: Dataset,
    known: BoolArray,
    rows: IntArray,
    settings: Ml,
    kind: Kind | None,
    looking: bool = False,
    progress: Progress | None = None,
) -> _Part | None:
    """Predictions of ``rows`` from a model of the ``known`` rows; None where those cannot teach."""
    past = dataset.take(known)
    if len(past) < _FEWEST_TRAINING:
        return None
    try:
        check(past)
    except ModelError:
        return None
    weight = weights(past, int(past.time.max()), settings.half_life_days)
    model = fit(past, weight, settings, kind or settings.model, progress)
    looked = look(model, dataset.X[rows], dataset.y[rows], settings.seed) if looking else None
    return _Part(rows, model.predict(dataset.X[rows]), float(np.average(past.y, weights=weight)), looked)


def _collect(method: Method, dataset: Dataset, parts: list[_Part]) -> Evaluation:
    if not parts:
        nothing = np.empty(0, dtype=np.float64)
        return Evaluation(method, 0, NOTHING, None, np.empty(0, dtype=np.int64), nothing, nothing)
    rows = np.concatenate([part.rows for part in parts])
    probability = np.concatenate([part.probability for part in parts])
    base = np.concatenate([np.full(len(part.rows), part.base) for part in parts])
    signal = dataset.is_signal[rows]

    def columns(chosen: BoolArray) -> tuple[FloatArray, IntArray, FloatArray, FloatArray, IntArray, IntArray]:
        of = rows[chosen]
        known = (dataset.r[of], dataset.time[of], dataset.end_time[of])
        return probability[chosen], dataset.y[of], base[chosen], *known

    everything = None if signal.all() else metrics(*columns(np.ones(len(rows), dtype=np.bool_)))
    places = None
    if method == "walk_forward" and signal.any():
        of = rows[signal]
        places = slices(*columns(signal), dataset.pair[of], dataset.regime[of])
    looked = [part.looked for part in parts if part.looked is not None]
    worth = None
    if looked:
        worth = importance(dataset.features, looked, clusterings(dataset.time[rows], dataset.end_time[rows]))
    fold = np.concatenate([np.full(len(part.rows), number) for number, part in enumerate(parts)])
    figures = metrics(*columns(signal))
    return Evaluation(
        method, len(parts), figures, everything, rows, probability, base, fold.astype(np.int64), places, worth
    )
