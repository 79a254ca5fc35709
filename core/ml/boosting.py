"""XGBoost's kinds of model: boosted trees that stop early, and a random forest grown in one round.

The library is imported inside the functions, for only the worker process may load it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from core.domain.candles import FloatArray
from core.errors import ModelError
from core.ml.dataset import Dataset
from core.ml.parts import Part

TREES = 100
_COMMON: dict[str, object] = {
    "tree_method": "exact",  # a few thousand rows at most: no histogram, so no binning to explain
    "nthread": 1,  # one row takes 0.2 ms on one thread and 25 ms on too many
    "verbosity": 0,
}
PARAMETERS: dict[str, object] = {
    **_COMMON,
    "objective": "binary:logistic",
    "eval_metric": "logloss",
    "max_depth": 4,
    "learning_rate": 0.1,
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

REGRESSION: dict[str, object] = {
    **_COMMON,
    "objective": "reg:squarederror",
    "eval_metric": "rmse",
    "max_depth": 3,
    "learning_rate": 0.1,
    "min_child_weight": 10,  # rows in a leaf: the mean of fewer profits is an anecdote
}

_STOPPING_ROUNDS = 15


def fit_boosted(
    learned: Part, newest: Part | None, seed: int, parameters: Mapping[str, object] | None = None
) -> tuple[bytes, int]:
    """Boosted trees for win or loss: the model file, and how many of its rounds predict.

    ``newest``: the rows on which early stopping looks; None: all rounds are grown. ``parameters`` replace the plain.
    """
    settings = {**PARAMETERS, **(parameters or {}), "seed": seed}
    return _grown(settings, matrix(learned), None if newest is None else matrix(newest))


def fit_forest(learned: Part, seed: int, parameters: Mapping[str, object] | None = None) -> bytes:
    """A random forest for win or loss as the model file of a single boosting round."""
    import xgboost as xgb

    settings = {**FOREST, **(parameters or {}), "seed": seed}
    return bytes(xgb.train(settings, matrix(learned), num_boost_round=1, verbose_eval=False).save_raw("json"))


def fit_regression(
    learned: Part, newest: Part | None, target: Callable[[Dataset], FloatArray], seed: int
) -> tuple[bytes, int]:
    """Boosted trees for a number per row, ``target`` of the rows: the model file, and how many rounds predict."""
    looked_at = None if newest is None else matrix(newest, target(newest.rows))
    return _grown({**REGRESSION, "seed": seed}, matrix(learned, target(learned.rows)), looked_at)


def booster_from(payload: bytes, objective: object = PARAMETERS["objective"]) -> Any:
    """The XGBoost model in a payload. Raises ModelError where it is none, is cut, or has another objective."""
    import xgboost as xgb

    try:
        # Looked at before XGBoost is: it aborts the whole process on some files that are JSON but not its own.
        learner = json.loads(payload)["learner"]
        trees, found = learner["gradient_booster"]["model"]["trees"], learner["objective"]["name"]
        if not isinstance(trees, list) or found != objective:
            raise ModelError("it is an XGBoost model of another kind")
        booster = xgb.Booster({"nthread": 1})
        booster.load_model(bytearray(payload))
    except (xgb.core.XGBoostError, ValueError, KeyError, TypeError) as error:
        raise ModelError("it is no XGBoost model, or a part of it is missing") from error
    return booster


def asked(booster: Any, rows: FloatArray, features: tuple[str, ...], rounds: int, **options: Any) -> FloatArray:
    """What the first ``rounds`` rounds of a booster say of rows ``[n, k]``; by default it would use all it has."""
    import xgboost as xgb

    given = xgb.DMatrix(rows, feature_names=list(features), nthread=1)
    return np.asarray(booster.predict(given, iteration_range=(0, rounds), **options), dtype=np.float64)


def matrix(part: Part, target: FloatArray | None = None) -> Any:
    """XGBoost's form of weighted rows; ``target`` None: win or loss."""
    import xgboost as xgb

    rows = part.rows
    return xgb.DMatrix(
        rows.X,
        label=rows.y if target is None else target,
        weight=part.weight,
        feature_names=list(rows.features),
        nthread=1,
    )


def _grown(settings: Mapping[str, object], learned: Any, newest: Any | None) -> tuple[bytes, int]:
    import xgboost as xgb

    stops = {} if newest is None else {"evals": [(newest, "newest")], "early_stopping_rounds": _STOPPING_ROUNDS}
    booster = xgb.train(dict(settings), learned, num_boost_round=TREES, verbose_eval=False, **stops)
    return bytes(booster.save_raw("json")), TREES if newest is None else booster.best_iteration + 1
