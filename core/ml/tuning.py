"""A search for better settings, inside the rows of one fit: nested in a walk-forward it never sees what is tested.

Optuna's TPE sampler (Bergstra et al. 2011), seeded, tries settings from a small space on slices in time of the rows
it is given; the plain settings are always its first try, so it has to beat them. Nothing is cut short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.config import Ml
from core.domain.candles import BoolArray, FloatArray, IntArray
from core.errors import ModelError
from core.ml.dataset import Dataset
from core.ml.fitting import Kind, fit_once
from core.ml.parts import settled

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Range:
    """What a setting may be, and what it plainly is. ``log``: steps of equal proportion."""

    plain: float
    low: float
    high: float
    log: bool = False
    whole: bool = False


SPACE: Mapping[Kind, Mapping[str, Range]] = {
    "xgb": {
        "max_depth": Range(4, 2, 6, whole=True),
        "learning_rate": Range(0.1, 0.02, 0.3, log=True),
        "min_child_weight": Range(1, 1, 20, log=True),
        "subsample": Range(1, 0.5, 1),
        "colsample_bytree": Range(1, 0.4, 1),
        "lambda": Range(1, 0.1, 30, log=True),
    },
    "forest": {
        "max_depth": Range(6, 2, 8, whole=True),
        "min_child_weight": Range(1, 1, 20, log=True),
        "colsample_bynode": Range(0.5, 0.2, 1),
        "lambda": Range(1, 0.1, 30, log=True),
    },
    "logistic": {"ridge": Range(1, 0.01, 1000, log=True)},
}
"""The settings that are searched; what is not named stays plain."""

_FIRST_TRAINING = 0.5  # of the rows, before the first inner slice
_SLICES = 3
_FEWEST = 20  # rows to learn from, and to be scored on
_LEAST = 1e-6  # probabilities are kept this far from 0 and 1: one sure and wrong answer is not infinitely bad


def tuned_parameters(
    dataset: Dataset,
    weight: FloatArray,
    settings: Ml,
    trials: int,
    kind: Kind | None = None,
    progress: Progress | None = None,
) -> dict[str, float]:
    """The settings with the lowest log loss on later rows of ``dataset``, each slice predicted from what came before.

    ``kind`` None: that of ``ml.model``. The same rows, seed and trials give the same settings; none (the plain ones)
    where the rows are too few to tell settings apart. ``progress`` is told of each trial. Raises ModelError where
    Optuna is not installed.
    """
    optuna = _optuna()
    kind = kind or settings.model
    slices = inner_slices(dataset)
    if not slices or trials < 1:
        return {}
    space = SPACE[kind]
    tell = progress or (lambda text, done: None)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=settings.seed))
    study.enqueue_trial({name: _whole(one.plain, one) for name, one in space.items()})

    def loss(trial: Any) -> float:
        tell(f"trying settings, {trial.number + 1} of {trials}", trial.number / trials)
        tried = {name: _suggested(trial, name, one) for name, one in space.items()}
        return _log_loss(dataset, weight, settings, kind, tried, slices)

    study.optimize(loss, n_trials=trials, n_jobs=1)
    return {name: study.best_params[name] for name in space}


def inner_slices(dataset: Dataset) -> list[tuple[BoolArray, IntArray]]:
    """(rows to learn from, rows to be scored on) in time, purged; those that are too short or one-sided left out."""
    rows = np.arange(int(np.ceil(len(dataset) * _FIRST_TRAINING)), len(dataset))
    found = []
    for later in np.array_split(rows, _SLICES):
        if len(later) < _FEWEST:
            continue
        known = settled(dataset, int(dataset.time[later[0]]))
        if known.sum() >= _FEWEST and len(np.unique(dataset.y[known])) == 2:
            found.append((known, later))
    return found


def _log_loss(
    dataset: Dataset,
    weight: FloatArray,
    settings: Ml,
    kind: Kind,
    tried: Mapping[str, float],
    slices: list[tuple[BoolArray, IntArray]],
) -> float:
    losses, counts = [], []
    for known, later in slices:
        own = weight[known] / weight[known].mean()
        found = fit_once(dataset.take(known), own, settings, kind, tried).predict(dataset.X[later])
        p = np.clip(found, _LEAST, 1 - _LEAST)
        losses.append(-np.where(dataset.y[later] == 1, np.log(p), np.log(1 - p)))
        counts.append(weight[later])
    return float(np.average(np.concatenate(losses), weights=np.concatenate(counts)))


def _suggested(trial: Any, name: str, one: Range) -> float:
    if one.whole:
        return int(trial.suggest_int(name, int(one.low), int(one.high)))
    return float(trial.suggest_float(name, one.low, one.high, log=one.log))


def _whole(value: float, one: Range) -> float:
    return int(value) if one.whole else float(value)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise ModelError(
            "searching settings needs Optuna: pip install 'julaba[tune]' (in Julaba's own folder: "
            ".venv/bin/pip install '.[tune]'), or set ml.tune_trials to 0"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # or a search that is stopped warns of its last trial
    return optuna
