"""All variants in one table: what is planted is found, noise is not, and the number of looks is counted."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from core.config import Ml
from core.errors import DataError
from core.ml.dataset import Dataset, from_table
from core.ml.evaluation import PURGE_MS
from core.services.checks.learning import Learning, check_learning
from tests.core.ml.planted import table


def samples(effect: float, n: int = 400) -> Dataset:
    """Every third row is a signal."""
    rows = from_table(table(n, effect=effect, every=10))
    return replace(rows, is_signal=np.arange(n) % 3 == 0)


@cache
def run(effect: float) -> Learning:
    return check_learning({"v1": samples(effect)}, Ml(), PURGE_MS)


def test_every_kind_is_taught_by_signals_and_by_all_and_judged_apart() -> None:
    found = run(0.0)

    assert [(t.kind, t.learned, t.judged) for t in found.trials] == [
        (kind, learned, judged)
        for kind in ("xgb", "forest", "logistic")
        for learned, judged in (("signals", "signals"), ("candidates", "signals"), ("candidates", "candidates"))
    ]
    assert {t.rows for t in found.trials if t.learned == "signals"} == {found.signals} == {134}
    assert {t.metrics.n for t in found.trials if t.judged == "candidates"} == {240}
    assert found.trainings == 6


def test_noise_is_told_from_nothing_and_the_number_of_variants_is_said() -> None:
    found = run(0.0)

    assert not any(t.stands for t in found.trials)
    assert found.verdict.startswith("9 variants were tried, each by one fixed recipe, none of them tuned.")
    assert "After Holm's correction no variant is better than guessing." in found.verdict


def test_a_planted_effect_stands_after_the_correction_for_all_rows() -> None:
    found = run(2.0)
    judged = [t for t in found.trials if t.judged == "candidates"]

    assert all(t.stands for t in judged)
    assert "these are better than guessing: v1 xgb (" in found.verdict


def test_what_holds_for_candidates_only_is_said_to_be_no_proof() -> None:
    found = run(2.0)
    hint = replace(found, trials=tuple(replace(t, stands=t.judged == "candidates") for t in found.trials))

    assert "On signals, which alone are proof, none is." in hint.verdict


def test_augmentation_and_a_search_are_left_out_whatever_the_settings_say() -> None:
    tuned = check_learning({"v1": samples(0.0)}, Ml(augment=True, tune_trials=3), PURGE_MS)

    assert tuned == run(0.0)


def test_it_is_plain_json_and_tells_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    found = check_learning({"v1": samples(0.0, 90)}, Ml(), PURGE_MS, lambda done, total: told.append((done, total)))

    assert told == [(i, 6) for i in range(1, 7)]
    assert json.loads(json.dumps(found.data(), allow_nan=False))["variants"] == 9


def test_without_candidates_it_says_what_to_do() -> None:
    with pytest.raises(DataError, match="take more days or more pairs"):
        check_learning({"v1": samples(0.0).take(np.zeros(400, dtype=bool))}, Ml(), PURGE_MS)


def test_without_signals_only_the_hint_is_left() -> None:
    rows = samples(0.0, 90)
    found = check_learning({"v1": replace(rows, is_signal=np.zeros(90, dtype=bool))}, Ml(), PURGE_MS)

    assert found.base_rates[0] is None
    assert "There are too few signals to judge by." in found.verdict
