"""The chosen kind of model beside the honest baseline: the logistic, judged on the same unseen signals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.ml.dataset import Dataset
from core.ml.differences import mean_interval
from core.ml.evaluation import Evaluation
from core.ml.fitting import NAMES, Kind
from core.ml.intervals import brier, clusterings
from core.ml.measures import Metrics

BASELINE: Kind = "logistic"

_ERROR = 0.05  # of the two-sided interval


@dataclass(frozen=True, slots=True)
class AgainstBaseline:
    """``gain`` is the baseline's Brier score less the chosen kind's on ``n`` signals (above 0: the chosen is better).

    ``low`` and ``high`` bound its 95% interval clustered in time, None with too few days. ``metrics`` are the
    baseline's own figures. Without signals that both were judged on, all of it is None.
    """

    kind: Kind
    n: int
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    metrics: Metrics | None = None

    @property
    def sentence(self) -> str:
        if self.kind == BASELINE:
            return "the logistic is the baseline itself"
        name, other = NAMES[self.kind], NAMES[BASELINE]
        if self.gain is None:
            return f"{name} cannot be compared with {other}: no unseen signals"
        word = "lower" if self.gain > 0 else "higher"
        found = (
            f"squared error of {name} {word} by {abs(self.gain):.4f} than that of {other} on the same {self.n} signals"
        )
        if self.low is None or self.high is None:
            return f"{found}: too few days to tell it from chance"
        interval = f"(gain {self.low:+.4f} to {self.high:+.4f})"
        if self.low > 0:
            return f"{found} {interval}: better than {other}, which may be no good itself"
        if self.high < 0:
            return f"{found} {interval}: {other} does better; `ml.model: logistic` takes it"
        return f"{found} {interval}: no difference that could not be chance"

    def to_json(self) -> dict[str, object]:
        figures = {} if self.metrics is None else {"auc": self.metrics.auc, "brier": self.metrics.brier}
        told = {"kind": BASELINE, "n": self.n, "gain": self.gain, "low": self.low, "high": self.high}
        return {**told, **figures, "sentence": self.sentence}


def against_baseline(dataset: Dataset, kind: Kind, walked: Evaluation, baseline: Evaluation) -> AgainstBaseline:
    """Compares two walk-forwards of the same dataset on the signals that both have predicted."""
    rows, ours, theirs = np.intersect1d(walked.rows, baseline.rows, assume_unique=True, return_indices=True)
    signal = dataset.is_signal[rows]
    rows, ours, theirs = rows[signal], ours[signal], theirs[signal]
    if not len(rows):
        return AgainstBaseline(kind, 0)
    outcome = dataset.y[rows]
    before, after = baseline.probability[theirs], walked.probability[ours]
    gains = np.square(before - outcome) - np.square(after - outcome)
    bounds = mean_interval(gains, clusterings(dataset.time[rows], dataset.end_time[rows]), _ERROR)
    low, high = bounds or (None, None)
    gain = brier(before, outcome) - brier(after, outcome)
    return AgainstBaseline(kind, len(rows), gain, low, high, baseline.metrics)
