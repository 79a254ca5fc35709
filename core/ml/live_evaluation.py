"""What the live predictions were worth: the figures of a walk-forward, from predictions stored before their outcomes.

Only what was stored at the decision counts, under the name of the model that said it; nothing is predicted anew. And
only up to the gate's last look: to look at every new outcome would be to test until it looks good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from core.domain.candles import to_ms
from core.ml.gate import ScoredPrediction
from core.ml.measures import NOTHING, Metrics, metrics
from core.ml.slices import Slices, slices


@dataclass(frozen=True, slots=True)
class LiveOutcome:
    """A prediction with its outcome's gross ``r``; ``decision_id`` is the stored decision that holds the prediction."""

    decision_id: int
    prediction: ScoredPrediction
    r: float
    regime: str


@dataclass(frozen=True, slots=True)
class LiveEvaluation:
    """The figures of the first outcomes in the order of closing.

    ``metrics`` and ``slices`` are as in a walk-forward, but for the Brier skill, which is against the best constant in
    hindsight as the gate has it. ``models`` counts the predictions by model, ``decisions`` are their ids in the order
    of the decisions. ``late`` predictions were left out: they are not older than their outcome. ``waiting`` came after
    the look and are not looked at.
    """

    metrics: Metrics
    slices: Slices
    models: Mapping[str, int]
    decisions: tuple[int, ...]
    late: int
    waiting: int

    @property
    def sentence(self) -> str:
        m = self.metrics
        if not m.n:
            return f"The gate has not looked yet; {self.waiting} predictions with an outcome wait for its first look."
        start = f"On the {m.n} outcomes up to the gate's last look"
        if m.auc is None or m.auc_low is None or m.auc_high is None:
            return f"{start} it cannot be told whether the predictions know anything."
        if m.auc_low > 0.5:
            known = "better than guessing by this look alone (the gate asks for more)"
        elif m.auc_high < 0.5:
            known = "worse than guessing"
        else:
            known = "not to be told from guessing"
        return f"{start} the predictions are {known}: AUC {m.auc:.2f} ({m.auc_low:.2f} to {m.auc_high:.2f})."

    def to_json(self) -> dict[str, object]:
        """A plain mapping, with the names of ``Evaluation.to_json``."""
        return {
            "method": "predictions stored before their outcomes, up to the gate's last look",
            "sentence": self.sentence,
            **asdict(self.metrics),
            "slices": {"note": self.slices.note, "all": [asdict(each) for each in self.slices.slices]},
            "models": dict(self.models),
            "decisions": list(self.decisions),
            "late": self.late,
            "waiting": self.waiting,
        }


def evaluate_live(outcomes: Sequence[LiveOutcome], count: int) -> LiveEvaluation:
    """The figures of the first ``count`` outcomes in the order of closing, those of the gate's last look.

    A prediction that is not older than its outcome is left out before counting, as the gate does. Raises ValueError
    where one is given twice or is no probability.
    """
    timely = [o for o in outcomes if o.prediction.decided_at < o.prediction.closed_at]
    keys = {(o.prediction.decided_at, o.prediction.pair, o.prediction.direction) for o in timely}
    if len(keys) != len(timely) or len({o.decision_id for o in timely}) != len(timely):
        raise ValueError("a prediction is given twice: each outcome counts once")
    if wrong := next((o for o in timely if not 0 <= o.prediction.probability <= 1), None):
        raise ValueError(f"{wrong.prediction.probability} is no probability (decision {wrong.decision_id})")
    late = len(outcomes) - len(timely)
    chosen = sorted(timely, key=_closing)[:count]
    if not chosen:
        return LiveEvaluation(NOTHING, Slices(()), {}, (), late, len(timely))
    chosen.sort(key=lambda o: (o.prediction.decided_at, o.decision_id))
    said = [o.prediction for o in chosen]
    won = np.array([p.outcome for p in said], dtype=np.int64)
    columns = (
        np.array([p.probability for p in said], dtype=np.float64),
        won,
        np.full(len(won), won.mean()),
        np.array([o.r for o in chosen], dtype=np.float64),
        np.array([to_ms(p.decided_at) for p in said], dtype=np.int64),
        np.array([to_ms(p.closed_at) for p in said], dtype=np.int64),
    )
    return LiveEvaluation(
        metrics=metrics(*columns),
        slices=slices(*columns, [p.pair for p in said], [o.regime for o in chosen]),
        models=dict(sorted(Counter(p.model_id for p in said).items())),
        decisions=tuple(o.decision_id for o in chosen),
        late=late,
        waiting=len(timely) - len(chosen),
    )


def _closing(outcome: LiveOutcome) -> tuple[object, ...]:
    """The gate's order."""
    p = outcome.prediction
    return p.closed_at, p.decided_at, p.pair, p.direction
