"""One fit of one kind of model, with settings that are already chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from core.config import Ml
from core.domain.candles import FloatArray
from core.ml.boosting import asked, booster_from, fit_boosted, fit_forest
from core.ml.dataset import Dataset
from core.ml.logistic import RIDGE, Logistic
from core.ml.parts import parts_of

Kind = Literal["xgb", "forest", "logistic"]

NAMES: Mapping[Kind, str] = {"xgb": "boosted trees", "forest": "a random forest", "logistic": "the logistic"}
"""The kinds in words."""


@dataclass(frozen=True)
class Fitted:
    """The bare result of a fit. ``payload`` is the model file (XGBoost's JSON, or JSON coefficients).

    ``trees`` is how many boosting rounds predict (1 for a forest, whose trees all grow in one; 0 for the logistic),
    ``stopping_rows`` how many of the newest rows only served early stopping, ``copies`` how many noisy copies of rows
    were learned from, ``tuned`` the settings that a search has found, by name.
    """

    kind: Kind
    features: tuple[str, ...]
    payload: bytes = field(repr=False)
    trees: int
    stopping_rows: int = 0
    copies: int = 0
    tuned: Mapping[str, float] = field(default_factory=dict)

    def predict(self, rows: FloatArray) -> FloatArray:
        """P(win) for each row of ``[n, k]``, float64."""
        if self.kind == "logistic":
            return Logistic.from_json(self.payload).predict(rows)
        return asked(self.booster, rows, self.features, self.trees)

    @cached_property
    def booster(self) -> Any:
        """The trees as XGBoost has them, read from the payload once; the logistic has none."""
        return booster_from(self.payload)


def fit_once(
    dataset: Dataset, weight: FloatArray, settings: Ml, kind: Kind, tuned: Mapping[str, float] | None = None
) -> Fitted:
    """A fit with the plain settings of its kind, or with ``tuned`` ones in their place; no search.

    It sees the rows it is given and nothing else. ``dataset`` must have passed ``training.check``.
    """
    chosen = tuned or {}
    learned, newest = parts_of(dataset, weight, settings, stops=kind == "xgb")
    trees = 0
    if kind == "logistic":
        payload = Logistic.fit(learned.rows.X, learned.rows.y, learned.weight, chosen.get("ridge", RIDGE)).to_json()
    elif kind == "forest":
        payload, trees = fit_forest(learned, settings.seed, chosen), 1
    else:
        payload, trees = fit_boosted(learned, newest, settings.seed, chosen)
    held = len(newest.rows) if newest else 0
    return Fitted(kind, dataset.features, payload, trees, held, learned.copies, dict(chosen))
