"""How many R a signal may bring: a regression that only ever makes positions smaller, and only once it has shown skill.

It is fitted by squared error. Realized R lies between -1 and about 2.3 by the rules of the exits, so there is no
outlier to be robust against; and what a size is to follow is the mean, while a robust loss leans towards the middle
outcome, which here is the full loss.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from core.config import Ml
from core.domain.candles import FloatArray, IntArray
from core.errors import ModelError
from core.ml.boosting import REGRESSION, asked, booster_from, fit_regression
from core.ml.dataset import Dataset, weights
from core.ml.evaluation import PURGE_MS, Progress, known_before, later_slices
from core.ml.features import row_of
from core.ml.intervals import clusterings
from core.ml.parts import parts_of
from core.ml.ranks import rank_correlation

SIZING = "sizing.json"
"""The file beside a model that holds its regression."""

_FORMAT = "julaba-sizing-1"
_ERROR = 0.05  # of the two-sided interval
_FEWEST = 20  # rows to learn from


@dataclass(frozen=True, slots=True)
class SizingFigures:
    """The regression on signals it has not seen; None where a figure is not defined.

    ``rank_correlation`` is Spearman's of predicted and realized R with its 95% interval clustered in time. ``mae`` is
    the mean absolute error in R, ``mae_constant`` that of always saying the training part's mean; ``skill`` is
    ``1 - squared error / squared error of that constant``.
    """

    n: int
    rank_correlation: float | None = None
    low: float | None = None
    high: float | None = None
    mae: float | None = None
    mae_constant: float | None = None
    skill: float | None = None

    @property
    def counts(self) -> bool:
        """Whether it may have a say in the size: its order is surely better than chance."""
        return self.low is not None and self.low > 0

    @property
    def sentence(self) -> str:
        if self.rank_correlation is None:
            return f"size model: {self.n} unseen signals are too few to tell whether it helps; sizes stay as they are"
        found = f"size model: rank correlation {self.rank_correlation:+.2f}"
        if self.low is None or self.high is None:
            return f"{found} on {self.n} unseen signals, too few days to tell it from chance; sizes stay as they are"
        found = f"{found} ({self.low:+.2f} to {self.high:+.2f}) on {self.n} unseen signals"
        if self.counts:
            return f"{found}: with a weight it makes positions smaller where it expects less"
        doubt = "it orders them the wrong way round" if self.high < 0 else "it cannot be told from chance"
        return f"{found}: {doubt}; sizes stay as they are"


@dataclass(frozen=True)
class SizingModel:
    """A fitted regression with what it said of signals it had not seen (``out_of_fold``, ascending) and its figures."""

    features: tuple[str, ...]
    rounds: int
    label: str
    payload: bytes = field(repr=False)
    out_of_fold: tuple[float, ...] = field(repr=False)
    figures: SizingFigures

    def to_json(self) -> bytes:
        content = {
            "format": _FORMAT,
            "features": self.features,
            "rounds": self.rounds,
            "label": self.label,
            "figures": asdict(self.figures),
            "out_of_fold": self.out_of_fold,
            "model": json.loads(self.payload),
        }
        return json.dumps(content, allow_nan=False).encode()

    @classmethod
    def from_json(cls, content: bytes) -> SizingModel:
        """Raises ModelError where it is something else, or is cut."""
        try:
            data = json.loads(content)
            if data["format"] != _FORMAT:
                raise ModelError(f"the size model has the format {data['format']!r}, this version reads {_FORMAT!r}")
            return cls(
                features=tuple(data["features"]),
                rounds=int(data["rounds"]),
                label=str(data["label"]),
                payload=json.dumps(data["model"]).encode(),
                out_of_fold=tuple(float(value) for value in data["out_of_fold"]),
                figures=SizingFigures(**data["figures"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError("it is no size model, or a part of it is missing") from error


class Sizer:
    """A size model that can be asked; it answers only where its figures let it have a say."""

    def __init__(self, model: SizingModel) -> None:
        """Raises ModelError where the file is not whole."""
        self.model = model
        self._known = np.array(model.out_of_fold)
        self._booster: Any = booster_from(model.payload, REGRESSION["objective"])
        if tuple(self._booster.feature_names or ()) != model.features:
            raise ModelError("the size model has other features than it says")
        if not 0 < model.rounds <= self._booster.num_boosted_rounds():
            raise ModelError("the size model has fewer trees than it says")

    def predict(self, rows: FloatArray) -> FloatArray:
        """The expected R of each row of ``[n, k]``."""
        return asked(self._booster, rows, self.model.features, self.model.rounds)

    def rank(self, features: Mapping[str, float]) -> float | None:
        """The rank (0..1, ties half) of the expected R among what was said of unseen signals; None: it has no say.

        Raises ModelError for a feature that is missing or infinite.
        """
        if not self.model.figures.counts:
            return None
        value = float(self.predict(row_of(features, self.model.features))[0])
        # Files keep what a float32 said as a double: both sides of the comparison are the same number.
        return float((self._known < value).mean() + 0.5 * (self._known == value).mean())


def train_sizing(
    dataset: Dataset, settings: Ml, now_ms: int, *, purge_ms: int = PURGE_MS, progress: Progress | None = None
) -> SizingModel | None:
    """The regression on all rows whose profit is known, judged walk-forward; None where there are too few of them.

    With ``ml.label: net`` it learns the R after costs. Weights, early stopping, noisy copies and the purge are the
    classifier's. The same data, settings and seed give the same bytes.
    """
    rows = dataset.take(np.isfinite(_target(dataset, settings)))
    target = _target(rows, settings)
    if len(rows) < max(_FEWEST, settings.min_rows):
        return None
    places, predicted, constant = _out_of_fold(rows, target, settings, purge_ms, progress)
    signal = rows.is_signal[places]
    places, predicted, constant = places[signal], predicted[signal], constant[signal]
    payload, rounds = _fit(rows, weights(rows, now_ms, settings.half_life_days), settings)
    figures = _figures(predicted, constant, target[places], rows.time[places], rows.end_time[places])
    told = tuple(np.sort(predicted).tolist())
    return SizingModel(dataset.features, rounds, settings.label, payload, told, figures)


def _out_of_fold(
    rows: Dataset, target: FloatArray, settings: Ml, purge_ms: int, progress: Progress | None
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Row numbers, predictions and the training part's mean for each slice of a walk-forward."""
    slices = later_slices(len(rows))
    places, predicted, constant = [np.empty(0, dtype=np.int64)], [np.empty(0)], [np.empty(0)]
    for number, later in enumerate(slices):
        if progress:
            progress(f"size model, slice {number + 1} of {len(slices)}", number / len(slices))
        known = known_before(rows, int(later[0]), purge_ms)
        if known.sum() < _FEWEST:
            continue
        past = rows.take(known)
        weight = weights(past, int(past.time.max()), settings.half_life_days)
        payload, rounds = _fit(past, weight, settings)
        booster = booster_from(payload, REGRESSION["objective"])
        places.append(later)
        predicted.append(asked(booster, rows.X[later], rows.features, rounds))
        constant.append(np.full(len(later), np.average(target[known], weights=weight)))
    return np.concatenate(places), np.concatenate(predicted), np.concatenate(constant)


def _fit(rows: Dataset, weight: FloatArray, settings: Ml) -> tuple[bytes, int]:
    learned, newest = parts_of(rows, weight, settings, stops=True)
    return fit_regression(learned, newest, lambda of: _target(of, settings), settings.seed)


def _target(rows: Dataset, settings: Ml) -> FloatArray:
    return rows.r_net if settings.label == "net" else rows.r


def _figures(
    predicted: FloatArray, constant: FloatArray, realized: FloatArray, time: IntArray, end_time: IntArray
) -> SizingFigures:
    n = len(predicted)
    if not n:
        return SizingFigures(0)
    found = rank_correlation(predicted, realized, clusterings(time, end_time))
    bounds = found.interval(_ERROR) if found else None
    reference = float(np.square(constant - realized).mean())
    return SizingFigures(
        n=n,
        rank_correlation=found.value if found else None,
        low=bounds[0] if bounds else None,
        high=bounds[1] if bounds else None,
        mae=float(np.abs(predicted - realized).mean()),
        mae_constant=float(np.abs(constant - realized).mean()),
        skill=1 - float(np.square(predicted - realized).mean()) / reference if reference > 0 else None,
    )
