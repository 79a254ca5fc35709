"""The chosen kind beside the logistic: on the same signals, with an interval, in a sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.config import Ml
from core.ml.baseline import against_baseline
from core.ml.dataset import Dataset, from_table
from core.ml.evaluation import Evaluation, walk_forward
from tests.core.ml.planted import table


def data(n: int = 300) -> Dataset:
    return from_table(table(n, effect=1.0))


def saying(walked: Evaluation, dataset: Dataset, sureness: float) -> Evaluation:
    """The same walk-forward from somebody who knows the outcomes ``sureness`` well; 0.5 knows nothing."""
    y = dataset.y[walked.rows]
    return replace(walked, probability=np.where(y == 1, sureness, 1 - sureness))


def test_the_same_predictions_are_no_difference() -> None:
    rows = data()
    walked = walk_forward(rows, Ml())
    found = against_baseline(rows, "xgb", walked, walked)

    assert (found.n, found.gain, found.low, found.high) == (180, 0.0, 0.0, 0.0)
    assert found.sentence.endswith("no difference that could not be chance")


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        (0.8, 0.5, "better than the logistic, which may be no good itself"),
        (0.5, 0.8, "the logistic does better; `ml.model: logistic` takes it"),
    ],
)
def test_a_clear_difference_is_said_either_way(ours: float, theirs: float, words: str) -> None:
    rows = data()
    walked = walk_forward(rows, Ml())
    found = against_baseline(rows, "xgb", saying(walked, rows, ours), saying(walked, rows, theirs))

    assert found.gain == pytest.approx((1 - theirs) ** 2 - (1 - ours) ** 2)
    assert found.sentence.endswith(words)
    assert "on the same 180 signals" in found.sentence


def test_only_signals_that_both_have_predicted_are_compared() -> None:
    rows = replace(data(), is_signal=np.arange(300) % 2 == 0)
    walked = walk_forward(rows, Ml())
    half = replace(walked, rows=walked.rows[90:], probability=walked.probability[90:])

    assert against_baseline(rows, "forest", walked, half).n == 45
    none = against_baseline(rows, "forest", walked, replace(walked, rows=walked.rows[:0], probability=np.empty(0)))
    assert none.sentence == "a random forest cannot be compared with the logistic: no unseen signals"


def test_the_baseline_is_not_compared_with_itself() -> None:
    rows = data(100)
    walked = walk_forward(rows, Ml(), "logistic")

    assert against_baseline(rows, "logistic", walked, walked).sentence == "the logistic is the baseline itself"
