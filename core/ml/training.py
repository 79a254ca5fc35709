"""Training: XGBoost, a random forest, or a logistic regression as the honest baseline, all behind one call.

The same data, settings and seed give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from core.config import Ml
from core.domain.candles import FloatArray
from core.errors import ModelError, TooFewSamples
from core.ml.dataset import Dataset, weights
from core.ml.features import set_name
from core.ml.fitting import Fitted, Kind, fit_once
from core.ml.tuning import Progress, tuned_parameters

__all__ = ["Fitted", "Kind", "TrainedModel", "check", "data_hash", "fit", "train"]


@dataclass(frozen=True)
class TrainedModel:
    """A fitted model as bytes with what is needed to name and judge it; what ``Fitted`` has too is told there."""

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
    copies: int = 0
    tuned: Mapping[str, float] = field(default_factory=dict)


def train(
    dataset: Dataset, settings: Ml, now_ms: int, kind: Kind | None = None, progress: Progress | None = None
) -> TrainedModel:
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
    fitted = fit(dataset, weight, settings, kind, progress)
    name = hashlib.sha256(f"{digest} {settings.seed}".encode() + fitted.payload).hexdigest()[:8]
    return TrainedModel(
        model_id=f"{kind}-{set_name(dataset.features)}-{name}",
        kind=kind,
        features=dataset.features,
        payload=fitted.payload,
        trees=fitted.trees,
        rows=len(dataset),
        stopping_rows=fitted.stopping_rows,
        data_hash=digest,
        seed=settings.seed,
        base_rate=float(np.average(dataset.y, weights=weight)),
        copies=fitted.copies,
        tuned=fitted.tuned,
    )


def check(dataset: Dataset) -> None:
    """Refuses what XGBoost would swallow in silence. Raises ModelError."""
    if not len(dataset):
        raise ModelError("there are no samples to learn from")
    if len(np.unique(dataset.y)) < 2:
        only = "won" if dataset.y[0] else "lost"
        raise ModelError(
            f"all {len(dataset)} samples {only}: there is nothing to tell apart; take more days or more pairs"
        )
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


def fit(dataset: Dataset, weight: FloatArray, settings: Ml, kind: Kind, progress: Progress | None = None) -> Fitted:
    """One fit without the floor on rows; for folds of an evaluation. ``dataset`` must have passed ``check``.

    With ``ml.tune_trials`` it first searches settings, and with ``ml.augment`` it also learns from noisy copies of its
    rows. All of that sees the rows it is given and nothing else: whoever gives it the past alone can leak nothing.
    """
    trials = settings.tune_trials
    tuned = tuned_parameters(dataset, weight, settings, trials, kind, progress) if trials else {}
    return fit_once(dataset, weight, settings, kind, tuned)
