"""What can be learned at all: every feature set and kind of model, walk-forward, on signals and on candidates.

A table of many trials always has a best row. So every row is kept, their number is said, and Holm's correction over all
of them says which is left when all were looked at. Nothing here is chosen by its result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from core.config import Ml
from core.errors import DataError
from core.ml.dataset import Dataset
from core.ml.differences import holm
from core.ml.evaluation import Evaluation, walk_forward
from core.ml.measures import ERROR, Metrics
from core.ml.training import Kind

Sort = Literal["signals", "candidates"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One row: ``kind`` of model on the feature set ``features``, taught by ``learned``, judged on unseen ``judged``.

    ``rows`` are those it was given, ``stands`` whether it is better than guessing when all trials count.
    """

    features: str
    kind: Kind
    learned: Sort
    judged: Sort
    rows: int
    metrics: Metrics
    stands: bool = False

    @property
    def name(self) -> str:
        return f"{self.features} {self.kind}"


@dataclass(frozen=True, slots=True)
class Learning:
    """All trials in a fixed order; ``trainings`` is how many walk-forwards gave them."""

    trials: tuple[Trial, ...]
    trainings: int
    signals: int
    candidates: int
    base_rates: tuple[float | None, float | None]

    @property
    def tested(self) -> int:
        return sum(t.metrics.auc_p is not None for t in self.trials)

    @property
    def verdict(self) -> str:
        """What may be said of all of them together, in plain words."""
        tried = f"{len(self.trials)} variants were tried, each by one fixed recipe, none of them tuned"
        proofs = [t for t in self.trials if t.judged == "signals" and t.metrics.auc is not None]
        if not proofs:
            return f"{tried}. There are too few signals to judge by."
        middle = sorted(t.metrics.auc or 0.0 for t in proofs)
        spread = f"AUC on unseen signals lies between {middle[0]:.2f} and {middle[-1]:.2f}; 0.50 is guessing"
        worse = [t for t in self.trials if t.metrics.auc_high is not None and t.metrics.auc_high < 0.5]
        below = f" {len(worse)} of the {self.tested} that could be tested lie wholly below 0.50." if worse else ""
        left = [t for t in self.trials if t.stands]
        if not left:
            return f"{tried}. {spread}. After Holm's correction no variant is better than guessing.{below}"
        names = ", ".join(f"{t.name} ({t.learned}, judged on {t.judged})" for t in left)
        hint = "" if any(t.judged == "signals" for t in left) else " On signals, which alone are proof, none is."
        return f"{tried}. {spread}. After Holm's correction these are better than guessing: {names}.{hint}{below}"

    def data(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "variants": len(self.trials),
            "tested": self.tested,
            "trainings": self.trainings,
            "signals": self.signals,
            "candidates": self.candidates,
            "base_rates": list(self.base_rates),
            "trials": [asdict(trial) for trial in self.trials],
        }


def check_learning(
    samples: Mapping[str, Dataset],
    settings: Ml,
    purge_ms: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Learning:
    """The trials on ``samples``: every candidate, by the name of its feature set; ``is_signal`` marks the signals.

    Each kind of model learns once from the signals alone and once from all candidates; the latter is judged on the
    signals among its unseen rows, and on all of them as an early hint. Neither augmentation nor a search is used.
    Raises DataError without a candidate and ModelError where they cannot teach.
    """
    if not samples or not all(len(each) for each in samples.values()):
        raise DataError("no candidate in this range to learn from; take more days or more pairs")
    plain = settings.model_copy(update={"augment": False, "tune_trials": 0})
    kinds = get_args(Kind)
    total = len(samples) * len(kinds) * 2
    trials: list[Trial] = []
    done = 0
    for features, everything in samples.items():
        signals = everything.take(everything.is_signal)
        for kind in kinds:
            for learned, rows in (("signals", signals), ("candidates", everything)):
                if len(rows):
                    found = walk_forward(rows, plain, kind, purge_ms=purge_ms)
                    trials += _trials(features, kind, "signals" if learned == "signals" else "candidates", rows, found)
                done += 1
                progress(done, total)
    stands = holm([t.metrics.auc_p for t in trials], ERROR)
    first = next(iter(samples.values()))
    wins = (first.y[first.is_signal], first.y)
    return Learning(
        trials=tuple(replace(t, stands=s) for t, s in zip(trials, stands, strict=True)),
        trainings=total,
        signals=int(first.is_signal.sum()),
        candidates=len(first),
        base_rates=(float(wins[0].mean()) if len(wins[0]) else None, float(wins[1].mean())),
    )


def _trials(features: str, kind: Kind, learned: Sort, rows: Dataset, found: Evaluation) -> list[Trial]:
    judged = [Trial(features, kind, learned, "signals", len(rows), found.metrics)]
    if learned == "candidates" and found.candidates is not None:
        judged.append(Trial(features, kind, learned, "candidates", len(rows), found.candidates))
    return judged
