"""The champion in memory: a probability with its exact reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from core.domain.candles import FloatArray
from core.errors import ModelError
from core.ml.boosting import asked, booster_from
from core.ml.features import row_of
from core.ml.logistic import Logistic
from core.ml.manifest import Manifest
from core.ml.reasons import Reasons
from core.ml.trees import Trees
from core.ports import Prediction

RECENT = 200
"""How many of the last predictions a percentile and an average are taken from."""

BASE = "base"
"""The name of the last contribution: the log-odds before any feature has spoken."""


class Model(Protocol):
    """What every kind of model can do with rows ``[n, k]``."""

    def probability(self, row: FloatArray) -> float:
        """P(win) of one row ``[k]``: what ``predict`` gives, to float32 rounding, at the pace of live trading."""
        ...

    def predict(self, rows: FloatArray) -> FloatArray: ...

    def contributions(self, row: FloatArray) -> FloatArray:
        """Shares of the log-odds of one row ``[k]``: ``[k + 1]``, the base last; they sum to the log-odds."""
        ...


@dataclass(frozen=True)
class _Trees:
    booster: Any = field(repr=False)
    features: tuple[str, ...]
    trees: int
    laid_out: Trees = field(repr=False)
    reasons: Reasons | None = field(repr=False)  # None where there would be too much to look up

    def probability(self, row: FloatArray) -> float:
        return self.laid_out.probability(row)

    def _run(self, rows: FloatArray, **options: Any) -> FloatArray:
        return asked(self.booster, rows, self.features, self.trees, **options)

    def predict(self, rows: FloatArray) -> FloatArray:
        return self._run(rows)

    def contributions(self, row: FloatArray) -> FloatArray:
        if self.reasons is not None:
            return self.reasons.shares_of(row)
        shares: FloatArray = self._run(row[None, :], pred_contribs=True)[0]
        return shares


@dataclass(frozen=True)
class _Linear:
    model: Logistic

    def probability(self, row: FloatArray) -> float:
        return float(self.model.predict(row[None, :])[0])

    def predict(self, rows: FloatArray) -> FloatArray:
        return self.model.predict(rows)

    def contributions(self, row: FloatArray) -> FloatArray:
        return np.append(self.model.log_odds(row[None, :])[0], self.model.intercept)


@dataclass(frozen=True)
class Champion:
    """A model that has been checked against its manifest and can be asked."""

    manifest: Manifest
    model: Model = field(repr=False)

    @property
    def model_id(self) -> str:
        return self.manifest.model_id

    @property
    def features(self) -> tuple[str, ...]:
        return self.manifest.features

    @classmethod
    def of(cls, payload: bytes, manifest: Manifest) -> Champion:
        """From the bytes of a model file. Raises ModelError where they are not the model the manifest describes."""
        if manifest.kind == "logistic":
            linear = Logistic.from_json(payload)
            if len(linear.coefficients) != len(manifest.features):
                raise ModelError("the model has other features than its manifest")
            return cls(manifest, _Linear(linear))
        booster = booster_from(payload)
        if tuple(booster.feature_names or ()) != manifest.features:
            raise ModelError("the model has other features than its manifest")
        if not 0 < manifest.trees <= booster.num_boosted_rounds():
            raise ModelError("the model has fewer trees than its manifest says")
        laid_out = Trees.of(payload, manifest.trees)
        if laid_out.features != len(manifest.features):
            raise ModelError("the model has other features than its manifest")
        return cls(manifest, _Trees(booster, manifest.features, manifest.trees, laid_out, Reasons.of(laid_out)))

    def probability(self, features: Mapping[str, float]) -> float:
        """P(win) alone, without its reasons: the quick way. Errors as in ``predict``."""
        return min(1.0, max(0.0, self.model.probability(row_of(features, self.features)[0])))

    def predict(self, features: Mapping[str, float]) -> Prediction:
        """P(win) with exact additive contributions in log-odds, the strongest first and the base last.

        A missing feature is NaN, reported as None; further names are ignored. Raises ModelError where a name the
        model needs is not there, or a value is infinite.
        """
        row = row_of(features, self.features)
        shares = self.model.contributions(row[0]).tolist()
        order = sorted(range(len(self.features)), key=lambda i: (-abs(shares[i]), i))
        named = [(self.features[i], _known(float(row[0, i])), shares[i]) for i in order]
        probability = min(1.0, max(0.0, self.model.probability(row[0])))
        return Prediction(self.model_id, probability, (*named, (BASE, None, shares[-1])))

    def predict_rows(self, rows: FloatArray) -> FloatArray:
        """P(win) of each row of ``[n, k]``, columns in the order of ``features``."""
        return self.model.predict(rows)


def percentile_of(probability: float, recent: Sequence[float]) -> float:
    """The rank of a probability among the last 200 of ``recent`` (0..1, ties half); 0.5 where there are none.

    The prediction itself must not be in ``recent``.
    """
    last = recent[-RECENT:]
    if not last:
        return 0.5
    return (sum(p < probability for p in last) + 0.5 * sum(p == probability for p in last)) / len(last)


def average(recent: Sequence[float]) -> float | None:
    """The mean of the last 200 probabilities, None where there are none."""
    last = recent[-RECENT:]
    return math.fsum(last) / len(last) if last else None


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
