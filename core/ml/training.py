"""Fitting: XGBoost, a random forest, or a logistic regression as the honest baseline, all behind one call.

The same data, settings and seed give the same bytes.

The learning libraries are imported inside the functions, for only the worker process may load them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from core.config import Ml
from core.domain.candles import FloatArray
from core.errors import ModelError, TooFewSamples
from core.ml.boosting import booster_from, fit_boosted, fit_forest
from core.ml.dataset import Dataset, weights
from core.ml.logistic import Logistic

Kind = Literal["xgb", "forest", "logistic"]


@dataclass(frozen=True)
class TrainedModel:
    """A fitted model as bytes with what is needed to name and judge it.

    ``payload`` is the model file (XGBoost's JSON, or JSON coefficients), ``trees`` how many boosting rounds predict (1
    for a forest, whose trees all grow in one; 0 for the logistic), ``stopping_rows`` how many of the newest rows only
    served early stopping.
    """

    model_id: str
    kind: Kind
    features: tuple[str, ...]
    payload: bytes = field(repr=False)
    trees: int
    rows: int
    stopping_rows: int
    data_hash: str
    seed: int
    base_rate: float


def train(dataset: Dataset, settings: Ml, now_ms: int, kind: Kind | None = None) -> TrainedModel:
    """A model of the whole dataset, weighted by source and recency with a mean of 1; ``kind`` None: ``ml.model``.

    Raises TooFewSamples where there are fewer than ``settings.min_rows`` rows, ModelError for one outcome only, no
    values at all, or infinite ones. ``now_ms`` is the moment of training; it changes nothing for rows before it.
    """
    if len(dataset) < settings.min_rows:
        raise TooFewSamples(len(dataset), settings.min_rows)
    check(dataset)
    weight = weights(dataset, now_ms, settings.half_life_days)
    digest = data_hash(dataset, weight)
    kind = kind or settings.model
    fitted = fit(dataset, weight, settings, kind)
    name = hashlib.sha256(f"{digest} {settings.seed}".encode() + fitted.payload).hexdigest()[:8]
    return TrainedModel(
        model_id=f"{kind}-{settings.features}-{name}",
        kind=kind,
        features=dataset.features,
        payload=fitted.payload,
        trees=fitted.trees,
        rows=len(dataset),
        stopping_rows=fitted.stopping_rows,
        data_hash=digest,
        seed=settings.seed,
        base_rate=float(np.average(dataset.y, weights=weight)),
    )


def check(dataset: Dataset) -> None:
    """Refuses what XGBoost would swallow in silence. Raises ModelError."""
    if not len(dataset):
        raise ModelError("there are no samples to learn from")
    if len(np.unique(dataset.y)) < 2:
        only = "won" if dataset.y[0] else "lost"
        raise ModelError(f"all {len(dataset)} samples {only}: there is nothing to tell apart")
    if np.isinf(dataset.X).any():
        column = dataset.features[int(np.flatnonzero(np.isinf(dataset.X).any(axis=0))[0])]
        raise ModelError(f"the feature {column} holds an infinite value")
    if np.isnan(dataset.X).all():
        raise ModelError("no feature has a value in any sample")


def data_hash(dataset: Dataset, weight: FloatArray) -> str:
    """SHA-256 of everything a fit sees: feature names, values, labels, weights, order."""
    digest = hashlib.sha256(json.dumps(dataset.features).encode())
    for array in (dataset.X, dataset.y, dataset.time, weight):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Fitted:
    """The bare result of a fit; ``payload`` as in TrainedModel."""

    kind: Kind
    features: tuple[str, ...]
    payload: bytes = field(repr=False)
    trees: int
    stopping_rows: int

    def predict(self, rows: FloatArray) -> FloatArray:
        """P(win) for each row of ``[n, k]``, float64."""
        if self.kind == "logistic":
            return Logistic.from_json(self.payload).predict(rows)
        import xgboost as xgb

        booster = booster_from(self.payload)
        matrix = xgb.DMatrix(rows, feature_names=list(self.features), nthread=1)
        return np.asarray(booster.predict(matrix, iteration_range=(0, self.trees)), dtype=np.float64)


def fit(dataset: Dataset, weight: FloatArray, settings: Ml, kind: Kind) -> Fitted:
    """One fit without the floor on rows; for folds of an evaluation. ``dataset`` must have passed ``check``.

    It sees the rows it is given and nothing else, whatever ``settings`` ask it to do with them.
    """
    if kind == "logistic":
        return Fitted(kind, dataset.features, Logistic.fit(dataset.X, dataset.y, weight).to_json(), 0, 0)
    if kind == "forest":
        return Fitted(kind, dataset.features, fit_forest(dataset, weight, settings.seed), 1, 0)
    return Fitted(kind, dataset.features, *fit_boosted(dataset, weight, settings.seed))
