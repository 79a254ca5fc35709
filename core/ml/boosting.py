"""XGBoost's two kinds of model: boosted trees that stop early, and a random forest grown in one round.

The library is imported inside the functions, for only the worker process may load it.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from core.domain.candles import FloatArray
from core.errors import ModelError
from core.ml.dataset import Dataset

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
FOREST: dict[str, object] = {
    **PARAMETERS,
    "tree_method": "hist",  # the exact method cannot draw features by node
    "num_parallel_tree": TREES,
    "learning_rate": 1.0,  # one round says all there is to say; XGBoost itself divides by the number of trees
    "max_depth": 6,  # trees that are averaged may be deeper than trees that mend each other
    "subsample": 0.632,  # the share of different rows in a bootstrap sample (Breiman 2001)
    "colsample_bynode": 0.5,
}
"""The forest's settings: each tree sees other rows and each split other features; there is nothing to stop early."""

_STOPPING_SHARE = 0.2  # the newest slice, on which early stopping looks
_STOPPING_ROUNDS = 15
_STOPPING_MIN_ROWS = 20  # a smaller slice stops by luck; then all trees are grown


def fit_boosted(dataset: Dataset, weight: FloatArray, seed: int) -> tuple[bytes, int, int]:
    """Boosted trees: the model file, how many of its rounds predict, and how many rows served early stopping."""
    import xgboost as xgb

    newest = _stopping_rows(dataset)
    older = np.ones(len(dataset), dtype=np.bool_)
    if newest:
        # The slice is purged as an evaluation is: an outcome still open at its start must not be learned from.
        older = dataset.end_time <= dataset.time[-newest]
        older[-newest:] = False
    stops: dict[str, Any] = {}
    if newest and len(np.unique(dataset.y[older])) == 2:
        looked_at = _matrix(dataset, weight, slice(-newest, None))
        stops = {"evals": [(looked_at, "newest")], "early_stopping_rounds": _STOPPING_ROUNDS}
    else:
        newest, older = 0, np.ones(len(dataset), dtype=np.bool_)
    settings = {**PARAMETERS, "seed": seed}
    booster = xgb.train(settings, _matrix(dataset, weight, older), num_boost_round=TREES, verbose_eval=False, **stops)
    trees = booster.best_iteration + 1 if newest else TREES
    return bytes(booster.save_raw("json")), trees, newest


def fit_forest(dataset: Dataset, weight: FloatArray, seed: int) -> bytes:
    """A random forest as the model file of a single boosting round."""
    import xgboost as xgb

    rows = _matrix(dataset, weight, slice(None))
    return bytes(xgb.train({**FOREST, "seed": seed}, rows, num_boost_round=1, verbose_eval=False).save_raw("json"))


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


def _matrix(dataset: Dataset, weight: FloatArray, rows: Any) -> Any:
    import xgboost as xgb

    return xgb.DMatrix(
        dataset.X[rows],
        label=dataset.y[rows],
        weight=weight[rows],
        feature_names=list(dataset.features),
        nthread=1,
    )


def _stopping_rows(dataset: Dataset) -> int:
    """How many of the newest rows early stopping may look at; 0 where they are too few or all the same."""
    rows = int(len(dataset) * _STOPPING_SHARE)
    return rows if rows >= _STOPPING_MIN_ROWS and len(np.unique(dataset.y[-rows:])) == 2 else 0
