"""What a model looks at, and whether that helps it: both on rows it has not learned from.

*Use*: the mean absolute share of a feature in the log-odds of a prediction (its exact Shapley value, see
``core.ml.reasons``). A model uses what it has learned, noise too. *Worth*: how much the squared error grows when the
feature's values are shuffled among the held-out rows (Breiman 2001, "Random Forests"), with a clustered interval; a
worth that cannot be told from 0 is a feature that does not help.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.domain.candles import FloatArray, IntArray
from core.ml.boosting import asked
from core.ml.differences import mean_interval
from core.ml.logistic import Logistic
from core.ml.measures import ERROR
from core.ml.training import Fitted

_MOST_ROWS = 40_000  # rows x features x shuffles that are predicted for one slice: a tenth of a second
_MOST_SHARES = 300  # rows whose shares are worked out in one slice, spread evenly: a forest's take a millisecond each
_MOST_SHUFFLES = 10


@dataclass(frozen=True, slots=True)
class Importance:
    """One feature: ``use`` in log-odds, ``worth`` in squared error (above 0 it helps) with its 95% interval."""

    feature: str
    use: float
    worth: float
    worth_low: float | None
    worth_high: float | None


@dataclass(frozen=True, eq=False)
class Looked:
    """One slice of a walk-forward: ``use`` as above ``[some rows, k]``, ``loss`` what shuffling costs ``[rows, k]``."""

    use: FloatArray
    loss: FloatArray


def look(model: Fitted, rows: FloatArray, outcome: IntArray, seed: int) -> Looked:
    """What ``model`` does with held-out ``rows`` ``[n, k]``; the same seed gives the same shuffles."""
    rng = np.random.default_rng(seed)
    n, k = rows.shape
    shuffles = int(np.clip(_MOST_ROWS // max(1, n * k), 1, _MOST_SHUFFLES))
    # All the same (NaN counts as one value): shuffling changes nothing.
    columns = [column for column in range(k) if len(np.unique(rows[:, column])) > 1]
    # One call for all: calling the library costs more than a few hundred rows do.
    copies = np.tile(rows, (1 + len(columns) * shuffles, 1))
    for number, column in enumerate(columns):
        for part in range(shuffles):
            first = n * (1 + number * shuffles + part)
            copies[first : first + n, column] = rng.permutation(rows[:, column])
    squared = np.square(model.predict(copies).reshape(-1, n) - outcome)
    loss = np.zeros((n, k))
    loss[:, columns] = (squared[1:].reshape(len(columns), shuffles, n).mean(axis=1) - squared[0]).T
    some = np.unique(np.linspace(0, n - 1, min(n, _MOST_SHARES)).astype(np.int64))
    return Looked(np.abs(shares(model, rows[some])[:, :-1]), loss)


def shares(model: Fitted, rows: FloatArray) -> FloatArray:
    """Exact shares of the log-odds ``[n, k + 1]``, the base last; each row sums to its log-odds."""
    if model.kind == "logistic":
        linear = Logistic.from_json(model.payload)
        return np.column_stack((linear.log_odds(rows), np.full(len(rows), linear.intercept)))
    return asked(model.booster, rows, model.features, model.trees, pred_contribs=True)


def importance(
    features: Sequence[str], looked: Sequence[Looked], clusters: tuple[IntArray, ...]
) -> tuple[Importance, ...]:
    """The features, the most used first; ``clusters`` belong to the rows of all of ``looked`` together."""
    use, loss = (np.concatenate([getattr(each, name) for each in looked]) for name in ("use", "loss"))
    found = []
    for column, name in enumerate(features):
        bounds = mean_interval(loss[:, column], clusters, ERROR) if loss[:, column].any() else None
        low, high = bounds or (None, None)
        found.append(Importance(name, float(use[:, column].mean()), float(loss[:, column].mean()), low, high))
    return tuple(sorted(found, key=lambda i: (-i.use, i.feature)))
