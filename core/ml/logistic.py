"""Logistic regression: the honest baseline, and a model that is read at a glance."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from core.domain.candles import FloatArray, IntArray
from core.errors import ModelError

RIDGE = 1.0
"""The penalty on squared coefficients of standardised columns, unless another is asked for."""


@dataclass(frozen=True)
class Logistic:
    """Ridge-penalised logistic regression on standardised columns; a missing value counts as the column's mean."""

    mean: FloatArray
    scale: FloatArray
    coefficients: FloatArray
    intercept: float

    @classmethod
    def fit(cls, rows: FloatArray, outcome: IntArray, weight: FloatArray, ridge: float = RIDGE) -> Logistic:
        """Newton's method (iteratively reweighted least squares); the intercept is not penalised."""
        known = ~np.isnan(rows)
        counts = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, rows, 0.0).sum(axis=0) / counts
        centred = np.where(known, rows - mean, 0.0)
        scale = np.sqrt(np.square(centred).sum(axis=0) / counts)
        scale[scale < 1e-12] = 1.0  # a constant column says nothing: its standardised values are all 0
        design = np.column_stack((np.ones(len(rows)), centred / scale))
        penalty = np.diag([1e-9, *([ridge] * rows.shape[1])])
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
