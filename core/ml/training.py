"""Fitting: XGBoost, and a logistic regression as the honest baseline. The same data gives the same bytes.

The learning libraries are imported inside the functions, for only the worker process may load them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from core.config import Ml
from core.domain.candles import FloatArray, IntArray
from core.errors import ModelError, TooFewSamples
from core.ml.dataset import Dataset, weights

Kind = Literal["xgb", "logistic"]

TREES = 100
PARAMETERS: dict[str, object] = {
    "objective": "binary:logistic",
    "eval_metric": "logloss",
    "max_depth": 4,
    "learning_rate": 0.1,
    "tree_method": "exact",  # a few thousand rows at most: no histogram, so no binning to explain
    "nthread": 1,  # one row takes 0.2 ms on one thread and 25 ms on too many
    "verbosity": 0,
}

_STOPPING_SHARE = 0.2  # the newest slice, on which early stopping looks
_STOPPING_ROUNDS = 15
_STOPPING_MIN_ROWS = 20  # a smaller slice stops by luck; then all trees are grown
_RIDGE = 1.0


@dataclass(frozen=True)
class TrainedModel:
    """A fitted model as bytes with what is needed to name and judge it.

    ``payload`` is the model file (XGBoost's JSON, or JSON coefficients), ``trees`` how many trees predict (0 for the
    logistic), ``stopping_rows`` how many of the newest rows only served early stopping.
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


def train(dataset: Dataset, settings: Ml, now_ms: int, kind: Kind = "xgb") -> TrainedModel:
    """A model of the whole dataset, weighted by source and recency with a mean of 1.

    Raises TooFewSamples where there are fewer than ``settings.min_rows`` rows, ModelError for one outcome only, no
    values at all, or infinite ones. ``now_ms`` is the moment of training; it changes nothing for rows before it.
    """
    if len(dataset) < settings.min_rows:
        raise TooFewSamples(len(dataset), settings.min_rows)
    check(dataset)
    weight = weights(dataset, now_ms, settings.half_life_days)
    digest = data_hash(dataset, weight)
    fitted = fit(dataset, weight, settings.seed, kind)
    name = hashlib.sha256(f"{kind} {settings.seed} {digest} {sorted(PARAMETERS.items())}".encode()).hexdigest()[:8]
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


def fit(dataset: Dataset, weight: FloatArray, seed: int, kind: Kind = "xgb") -> Fitted:
    """One fit without the floor on rows; for folds of an evaluation. ``dataset`` must have passed ``check``."""
    if kind == "logistic":
        return Fitted(kind, dataset.features, Logistic.fit(dataset.X, dataset.y, weight).to_json(), 0, 0)
    return _fit_trees(dataset, weight, seed)


def booster_from(payload: bytes) -> Any:
    """The XGBoost model in a payload. Raises ModelError where it is none, or is cut."""
    import xgboost as xgb

    try:
        # Looked at before XGBoost is: it aborts the whole process on some files that are JSON but not its own.
        learner = json.loads(payload)["learner"]
        trees, objective = learner["gradient_booster"]["model"]["trees"], learner["objective"]["name"]
        if not isinstance(trees, list) or objective != PARAMETERS["objective"]:
            raise ModelError("it is an XGBoost model of another kind")
        booster = xgb.Booster({"nthread": 1})
        booster.load_model(bytearray(payload))
    except (xgb.core.XGBoostError, ValueError, KeyError, TypeError) as error:
        raise ModelError("it is no XGBoost model, or a part of it is missing") from error
    return booster


def _fit_trees(dataset: Dataset, weight: FloatArray, seed: int) -> Fitted:
    import xgboost as xgb

    newest = _stopping_rows(dataset)
    older = np.ones(len(dataset), dtype=np.bool_)
    if newest:
        # The slice is purged as an evaluation is: an outcome still open at its start must not be learned from.
        older = dataset.end_time <= dataset.time[-newest]
        older[-newest:] = False

    def matrix(rows: Any) -> Any:
        return xgb.DMatrix(
            dataset.X[rows],
            label=dataset.y[rows],
            weight=weight[rows],
            feature_names=list(dataset.features),
            nthread=1,
        )

    stops: dict[str, Any] = {}
    if newest and len(np.unique(dataset.y[older])) == 2:
        stops = {"evals": [(matrix(slice(-newest, None)), "newest")], "early_stopping_rounds": _STOPPING_ROUNDS}
    else:
        newest, older = 0, np.ones(len(dataset), dtype=np.bool_)
    booster = xgb.train({**PARAMETERS, "seed": seed}, matrix(older), num_boost_round=TREES, verbose_eval=False, **stops)
    trees = booster.best_iteration + 1 if newest else TREES
    return Fitted("xgb", dataset.features, bytes(booster.save_raw("json")), trees, newest)


def _stopping_rows(dataset: Dataset) -> int:
    """How many of the newest rows early stopping may look at; 0 where they are too few or all the same."""
    rows = int(len(dataset) * _STOPPING_SHARE)
    return rows if rows >= _STOPPING_MIN_ROWS and len(np.unique(dataset.y[-rows:])) == 2 else 0


@dataclass(frozen=True)
class Logistic:
    """Ridge-penalised logistic regression on standardised columns; a missing value counts as the column's mean."""

    mean: FloatArray
    scale: FloatArray
    coefficients: FloatArray
    intercept: float

    @classmethod
    def fit(cls, rows: FloatArray, outcome: IntArray, weight: FloatArray) -> Logistic:
        """Newton's method (iteratively reweighted least squares); the intercept is not penalised."""
        known = ~np.isnan(rows)
        counts = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, rows, 0.0).sum(axis=0) / counts
        centred = np.where(known, rows - mean, 0.0)
        scale = np.sqrt(np.square(centred).sum(axis=0) / counts)
        scale[scale < 1e-12] = 1.0  # a constant column says nothing: its standardised values are all 0
        design = np.column_stack((np.ones(len(rows)), centred / scale))
        penalty = np.diag([1e-9, *([_RIDGE] * rows.shape[1])])
        beta = np.zeros(design.shape[1])
        for _ in range(100):
            chance = _sigmoid(design @ beta)
            gradient = design.T @ (weight * (outcome - chance)) - penalty @ beta
            curvature = (design * (weight * chance * (1 - chance))[:, None]).T @ design + penalty
            step = np.linalg.solve(curvature, gradient)
            beta = beta + step
            if float(np.abs(step).max()) < 1e-10:
                break
        return cls(mean, scale, beta[1:], float(beta[0]))

    def log_odds(self, rows: FloatArray) -> FloatArray:
        """Each column's share of the log-odds, ``[n, k]``; with ``intercept`` added they sum to the whole."""
        centred = np.where(np.isnan(rows), 0.0, rows - self.mean)
        return np.asarray(centred / self.scale * self.coefficients, dtype=np.float64)

    def predict(self, rows: FloatArray) -> FloatArray:
        return _sigmoid(self.log_odds(rows).sum(axis=1) + self.intercept)

    def to_json(self) -> bytes:
        content = {
            "format": "julaba-logistic-1",
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "coefficients": self.coefficients.tolist(),
            "intercept": self.intercept,
        }
        return json.dumps(content, indent=1).encode()

    @classmethod
    def from_json(cls, payload: bytes) -> Logistic:
        """Raises ModelError where the payload is something else, or is cut."""
        try:
            content = json.loads(payload)
            mean, scale, coefficients = (
                np.array(content[name], dtype=np.float64) for name in ("mean", "scale", "coefficients")
            )
            return cls(mean, scale, coefficients, float(content["intercept"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError("it is no logistic model, or a part of it is missing") from error


def _sigmoid(x: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -500, 500))), dtype=np.float64)
