"""The same unseen signals with the model and without it: what a walk-forward's predictions would have let through.

Every prediction is out of sample. A rule looks at a prediction's rank among those before it, as the bot does live, so
it knows no more than the bot would have known. Portfolio limits and sizes play no part: a signal is worth its R.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.config import Gemini, Ml
from core.domain.candles import BoolArray, FloatArray, IntArray
from core.domain.trading import ModelOpinion, Opinions
from core.engine.filters import combined_confidence
from core.engine.metrics import max_drawdown
from core.ml.dataset import Dataset
from core.ml.differences import difference
from core.ml.evaluation import Evaluation
from core.ml.intervals import clusterings
from core.ml.measures import ERROR
from core.ml.prediction import RECENT, percentile_of

WEIGHT = 0.5
"""The influence at which "model on" is shown."""


@dataclass(frozen=True, eq=False)
class Switched:
    """One rule: the signals it takes as a mask, what they made together, and the deepest fall of their sum.

    ``gain`` is the mean of the taken less the mean of all, with its clustered 95% interval; None where nothing or
    everything is taken.
    """

    name: str
    words: str
    taken: BoolArray
    n: int
    total: float
    mean: float | None
    drawdown: float
    gain: float | None
    gain_low: float | None
    gain_high: float | None

    def curve(self, r: FloatArray) -> FloatArray:
        """The running sum of R over all signals in the order of closing; what is not taken adds nothing."""
        return np.cumsum(np.where(self.taken, r, 0.0))


@dataclass(frozen=True, eq=False)
class OnOff:
    """Unseen signals in the order of closing: ``closed`` epoch ms, ``r`` in R; ``net`` False where costs are unknown.

    ``rules``: off (every signal), on (the bot's rule), half (a rank from 0.5 among all that was predicted before).
    """

    closed: IntArray
    r: FloatArray
    net: bool
    rules: tuple[Switched, Switched, Switched]


def on_off(dataset: Dataset, found: Evaluation, settings: Ml) -> OnOff | None:
    """None where the walk-forward predicted no signal."""
    rows = found.rows
    rank = ranks(found.probability, found.fold, dataset.time[rows])
    signal = dataset.is_signal[rows]
    if not signal.any():
        return None
    order = np.lexsort((dataset.time[rows[signal]], dataset.end_time[rows[signal]]))
    of = rows[signal][order]
    probability, rank = found.probability[signal][order], rank[signal][order]
    net = not np.isnan(dataset.r_net[of]).any()
    r = dataset.r_net[of] if net else dataset.r[of]
    clusters = clusterings(dataset.time[of], dataset.end_time[of])
    passes = np.array([_passes(p, q, settings) for p, q in zip(probability.tolist(), rank.tolist(), strict=True)])
    enters = "rank" if settings.scale == "percentile" else "probability"
    least = (settings.threshold - Gemini().neutral * (1 - WEIGHT)) / WEIGHT
    rules = (
        ("off", "every signal", np.ones(len(of), dtype=np.bool_)),
        ("on", f"weight {WEIGHT:g}: {enters} from {least:.2f}", passes),
        ("half", "rank from 0.50", np.asarray(rank >= 0.5, dtype=np.bool_)),
    )
    off, on, half = (_switched(name, words, taken, r, clusters) for name, words, taken in rules)
    return OnOff(dataset.end_time[of], r, net, (off, on, half))


def ranks(probability: FloatArray, fold: IntArray, time: IntArray) -> FloatArray:
    """Each prediction's rank (``percentile_of``) among the last 200 of the same model that were decided earlier.

    Arrays in time order.
    """
    found = np.full(len(probability), 0.5)
    for i in range(len(probability)):
        first = int(np.searchsorted(fold, fold[i]))
        last = first + int(np.searchsorted(time[first:i], time[i]))
        recent = probability[max(first, last - RECENT) : last]
        found[i] = percentile_of(float(probability[i]), recent.tolist())
    return found


def _passes(probability: float, rank: float, settings: Ml) -> bool:
    opinions = Opinions(model=ModelOpinion("", probability, probability, rank))
    confidence = combined_confidence(opinions, WEIGHT, Gemini(), settings)
    return confidence is not None and confidence >= settings.threshold


def _switched(name: str, words: str, taken: BoolArray, r: FloatArray, clusters: tuple[IntArray, ...]) -> Switched:
    everything = np.ones(len(r), dtype=np.bool_)
    gain = difference(r, taken, everything, clusters) if taken.any() and not taken.all() else None
    low, high = (gain and gain.interval(ERROR)) or (None, None)
    curve = np.cumsum(np.where(taken, r, 0.0))
    return Switched(
        name=name,
        words=words,
        taken=taken,
        n=int(taken.sum()),
        total=float(r[taken].sum()),
        mean=float(r[taken].mean()) if taken.any() else None,
        drawdown=max_drawdown(np.concatenate(([0.0], curve))),
        gain=gain.value if gain else None,
        gain_low=low,
        gain_high=high,
    )
