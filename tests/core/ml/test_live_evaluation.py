"""Live figures come from stored predictions alone, each older than its outcome, and only up to the last look."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from core.config import Gate
from core.ml.gate import ScoredPrediction, examine
from core.ml.live_evaluation import LiveOutcome, evaluate_live

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def outcome(number: int, probability: float = 0.4, won: int = 0, *, hours: float = 5, model: str = "m1") -> LiveOutcome:
    """Decided ``number`` half days after noon, known ``hours`` later."""
    decided = NOON + number * timedelta(hours=12)
    closed = decided + timedelta(hours=hours)
    said = ScoredPrediction(decided, closed, probability, won, "trade", model, "LINK/USDT", "LONG")
    return LiveOutcome(number + 1, said, 1.5 if won else -1.0, "TRENDING")


def many(n: int, *, skilled: bool = False, seed: int = 1) -> list[LiveOutcome]:
    rng = np.random.default_rng(seed)
    won = rng.integers(0, 2, n)
    lean = 0.16 * (won - 0.5) if skilled else np.zeros(n)
    chance = np.clip(0.5 + lean + rng.normal(0, 0.1, n), 0, 1)
    return [outcome(i, float(chance[i]), int(won[i])) for i in range(n)]


def test_the_figures_are_those_of_the_gates_look_on_the_same_outcomes() -> None:
    rows = many(90)
    look = examine([o.prediction for o in rows], 0, Gate(), NOON)
    found = evaluate_live(rows, look.n)

    assert found.metrics.n == look.n == 50
    assert found.metrics.auc == look.auc
    assert found.metrics.accuracy == look.accuracy
    assert found.metrics.brier_skill == pytest.approx(look.brier_skill)
    assert found.waiting == 40


def test_outcomes_after_the_look_change_nothing() -> None:
    rows = many(90)
    other = [*rows[:50], *(replace(o, r=9.0, prediction=replace(o.prediction, probability=0.99)) for o in rows[50:])]

    assert evaluate_live(rows, 50) == evaluate_live(other, 50)


def test_the_look_takes_what_closed_first_as_the_gate_does() -> None:
    rows = many(50)
    last_to_close = outcome(-1, 0.99, 1, hours=24 * 40)

    assert 0 not in evaluate_live([last_to_close, *rows], 50).decisions
    assert evaluate_live([last_to_close, *rows], 51).decisions[0] == 0


def test_a_prediction_that_is_not_older_than_its_outcome_is_left_out_and_counted() -> None:
    rows = many(60)
    late = [outcome(100, 1.0, 1, hours=0), outcome(101, 1.0, 1, hours=-1)]
    found = evaluate_live([*rows, *late], 62)

    assert found.late == 2
    assert found.metrics.n == 60
    assert not {101, 102} & set(found.decisions)
    assert replace(found, late=0) == evaluate_live(rows, 62)


def test_each_outcome_counts_once() -> None:
    one, other = outcome(0), outcome(1)

    with pytest.raises(ValueError, match="counts once"):
        evaluate_live([one, replace(one, decision_id=7)], 2)
    with pytest.raises(ValueError, match="counts once"):
        evaluate_live([one, replace(other, decision_id=one.decision_id)], 2)


def test_what_is_no_probability_is_refused_with_its_decision() -> None:
    with pytest.raises(ValueError, match=r"1\.2 is no probability \(decision 1\)"):
        evaluate_live([outcome(0, 1.2)], 1)


def test_whose_predictions_they_are_is_counted_and_ids_are_in_the_order_of_decisions() -> None:
    rows = [outcome(3, model="m2"), outcome(0, hours=90), outcome(1), outcome(2)]
    found = evaluate_live(rows, 10)

    assert found.models == {"m1": 3, "m2": 1}
    assert found.decisions == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("skilled", "count", "said"),
    [
        (False, 0, "The gate has not looked yet; 100 predictions with an outcome wait for its first look."),
        (False, 100, "On the 100 outcomes up to the gate's last look the predictions are not to be told from guessing"),
        (True, 100, "predictions are better than guessing by this look alone (the gate asks for more): AUC 0."),
        (False, 1, "it cannot be told whether the predictions know anything."),
    ],
)
def test_it_is_said_in_a_sentence(skilled: bool, count: int, said: str) -> None:
    assert said in evaluate_live(many(100, skilled=skilled), count).sentence


def test_it_is_plain_json() -> None:
    found = json.loads(json.dumps(evaluate_live(many(50), 50).to_json(), allow_nan=False))

    assert found["n"] == 50
    assert {s["group"] for s in found["slices"]["all"]} == {"pair", "regime", "block", "hour", "year"}
