"""Champion and challenger on the same unseen rows: which is better, by how much, and how sure that is.

The champion is asked as it is: its file was finished before these rows were decided, a purge apart, so its predictions
are as honest as stored ones. The challenger's own file has learned from them, so what stands for it is its recipe's
walk-forward: each slice predicted by a model of what came before. Comparing again after every few outcomes will now
and then crown a model that is no better. That costs little, for a crown brings no influence: the gate alone opens, and
its budget of error belongs to the line, whoever leads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.domain.candles import FloatArray, IntArray
from core.errors import ModelError
from core.ml.dataset import Dataset
from core.ml.differences import mean_interval
from core.ml.evaluation import PURGE_MS, Evaluation
from core.ml.intervals import auc_influence, brier, clusterings
from core.ml.prediction import Champion

FEWEST_NEW = 30
"""Signals the champion has not learned from, before two models can be compared."""

_ERROR = 0.05  # of the two-sided intervals


@dataclass(frozen=True, slots=True)
class Score:
    """One model on the rows of a comparison; ``auc`` is None where all of them ended alike."""

    brier: float
    auc: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same ``n`` signals, new to both. Without enough of them all but the names is None.

    ``gain`` is the champion's Brier score less the challenger's (above 0: the challenger is better), ``low`` and
    ``high`` its 95% interval clustered in time; ``auc_gain`` and its bounds likewise, the challenger's less the
    champion's. ``better``: the whole interval of ``gain`` lies above 0.
    """

    champion_id: str | None
    challenger_id: str
    n: int
    better: bool
    sentence: str
    champion: Score | None = None
    challenger: Score | None = None
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    auc_gain: float | None = None
    auc_low: float | None = None
    auc_high: float | None = None

    @property
    def first(self) -> bool:
        """There is no champion to be compared with."""
        return self.champion_id is None

    @property
    def same(self) -> bool:
        """The challenger is the champion again: the same samples, the same model."""
        return self.champion_id == self.challenger_id

    @property
    def worse(self) -> bool:
        """The whole interval of ``gain`` lies below 0."""
        return self.high is not None and self.high < 0

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Comparison:
        """Raises TypeError or KeyError where it is no comparison."""
        scores = {name: Score(**data[name]) if data[name] else None for name in ("champion", "challenger")}
        return cls(**{**data, **scores})


def compare(
    champion: Champion | None,
    challenger_id: str,
    dataset: Dataset,
    walked: Evaluation,
    *,
    label: str = "gross",
    purge_ms: int = PURGE_MS,
) -> Comparison:
    """Compares on the signals of the walk-forward decided a purge after the last outcome the champion learned from.

    The models may use different features, as long as the dataset has all of the champion's. Without a champion the
    challenger is better, for anything is. Loads the learning libraries. Raises ModelError where the champion cannot
    be asked.
    """
    if champion is None:
        return _without(None, challenger_id, 0, "it is the first model and becomes champion", better=True)
    if champion.model_id == challenger_id:
        return _without(challenger_id, challenger_id, 0, "nothing is new: the same samples give the champion again")
    stays = f"the champion {champion.model_id} stays"
    if champion.manifest.label != label:
        learned = f"it learned outcomes {champion.manifest.label} of costs, the challenger {label}"
        return _without(champion.model_id, challenger_id, 0, f"{stays}: {learned}, so they cannot be compared")
    if missing := [name for name in champion.features if name not in dataset.features]:
        return _without(
            champion.model_id, challenger_id, 0, f"{stays}: it uses features these samples lack ({', '.join(missing)})"
        )
    new = (dataset.time[walked.rows] > champion.manifest.trained_until + purge_ms) & dataset.is_signal[walked.rows]
    rows = walked.rows[new]
    if len(rows) < FEWEST_NEW:
        needed = f"{len(rows)} signals are new to it, {FEWEST_NEW} are needed to compare"
        return _without(champion.model_id, challenger_id, len(rows), f"{stays}: {needed}")
    before = champion.predict_rows(_columns(dataset, champion.features)[rows])
    clusters = clusterings(dataset.time[rows], dataset.end_time[rows])
    return _compared(champion.model_id, challenger_id, before, walked.probability[new], dataset.y[rows], clusters)


def _without(champion_id: str | None, challenger_id: str, n: int, sentence: str, better: bool = False) -> Comparison:
    return Comparison(champion_id, challenger_id, n, better, sentence)


def _columns(dataset: Dataset, features: tuple[str, ...]) -> FloatArray:
    return dataset.X[:, [dataset.features.index(name) for name in features]]


def _compared(
    champion_id: str,
    challenger_id: str,
    before: FloatArray,
    after: FloatArray,
    outcome: IntArray,
    clusters: tuple[IntArray, ...],
) -> Comparison:
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise ModelError(f"{champion_id} or {challenger_id} gives no number on some of the rows")
    gains = np.square(before - outcome) - np.square(after - outcome)
    gain, bounds = float(gains.mean()), mean_interval(gains, clusters, _ERROR)
    first, second = auc_influence(before, outcome), auc_influence(after, outcome)
    area, area_bounds = None, None
    if first is not None and second is not None:
        # The two areas come from the same rows: their difference has the difference of the influences (DeLong 1988).
        area = second[0] - first[0]
        area_bounds = mean_interval(area + len(outcome) * (second[1] - first[1]), clusters, _ERROR)
    low, high = bounds or (None, None)
    auc_low, auc_high = area_bounds or (None, None)
    better = low is not None and low > 0
    return Comparison(
        champion_id=champion_id,
        challenger_id=challenger_id,
        n=len(outcome),
        better=better,
        sentence=_sentence(champion_id, len(outcome), gain, bounds, better),
        champion=Score(brier(before, outcome), first[0] if first else None),
        challenger=Score(brier(after, outcome), second[0] if second else None),
        gain=gain,
        low=low,
        high=high,
        auc_gain=area,
        auc_low=auc_low,
        auc_high=auc_high,
    )


def _sentence(champion_id: str, n: int, gain: float, bounds: tuple[float, float] | None, better: bool) -> str:
    word = "lower" if gain > 0 else "higher"
    found = f"squared error {word} by {abs(gain):.4f} on {n} signals new to both"
    if bounds is None:
        return f"the champion {champion_id} stays: {found}, on too few days to tell it from chance"
    interval = f"(gain {bounds[0]:+.4f} to {bounds[1]:+.4f})"
    if better:
        return f"it does better than {champion_id}: {found} {interval}"
    doubt = "it is worse" if bounds[1] < 0 else "which may be chance"
    return f"the champion {champion_id} stays: {found} {interval}, {doubt}"
