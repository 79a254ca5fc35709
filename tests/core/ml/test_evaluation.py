"""Evaluation: nothing of a slice is known to the model that predicts it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import Ml
from core.domain.candles import DAY_MS
from core.errors import ModelError
from core.ml.dataset import Dataset, from_table
from core.ml.evaluation import PURGE_MS, Evaluation, known_before, random_split, walk_forward
from core.ml.measures import metrics, shift_p
from tests.core.ml.planted import table


def data(n: int, effect: float = 0.0, seed: int = 1, every: int = 20) -> Dataset:
    return from_table(table(n, effect=effect, seed=seed, every=every))


@given(st.integers(20, 80), st.integers(1, 30))
def test_a_training_row_is_known_and_a_purge_older_than_the_slice(row: int, every: int) -> None:
    rows = data(90, every=every)
    known = known_before(rows, row)

    assert (rows.time[known] <= rows.time[row] - PURGE_MS).all()
    assert (rows.end_time[known] <= rows.time[row]).all()
    assert not known[row:].any()


def test_a_row_that_is_still_open_teaches_nothing_however_long_ago_it_was_decided() -> None:
    rows = data(90)
    open_still = replace(rows, end_time=np.where(np.arange(90) == 10, rows.time[70], rows.end_time))

    assert known_before(rows, 60)[10]
    assert not known_before(open_still, 60)[10]
    assert known_before(open_still, 70)[10]


def test_the_base_rate_is_that_of_the_past_alone_weighted_as_the_model_sees_it() -> None:
    rows = data(200)
    found = walk_forward(rows, Ml(half_life_days=5.0))

    for part in np.unique(found.fold):
        first = found.rows[found.fold == part][0]
        past = rows.take(known_before(rows, int(first)))
        recency = 0.5 ** ((past.time.max() - past.time) / DAY_MS / 5.0)
        np.testing.assert_allclose(found.base[found.fold == part], (recency * past.y).sum() / recency.sum())


def test_changing_the_future_changes_no_earlier_prediction() -> None:
    rows = data(200, effect=1.0)
    cut = 150
    other = replace(
        rows,
        X=np.where((np.arange(200) >= cut)[:, None], rows.X + 5, rows.X),
        y=np.where(np.arange(200) >= cut, 1 - rows.y, rows.y),
    )
    one, two = walk_forward(rows, Ml()), walk_forward(other, Ml())
    # Slices begin at 80, 104, 128, 152, 176: those that begin before the cut were trained on unchanged rows.
    early = one.rows < cut

    assert early.sum() == 70
    np.testing.assert_array_equal(one.probability[early], two.probability[early])


def test_each_row_is_predicted_at_most_once_and_only_the_newer_part() -> None:
    found = walk_forward(data(200), Ml())

    assert (np.diff(found.rows) > 0).all()
    assert found.rows[0] == 80


def test_a_planted_effect_is_found_and_noise_is_not() -> None:
    real, noise = walk_forward(data(600, effect=1.5), Ml()).metrics, walk_forward(data(600), Ml()).metrics

    assert real.auc_low is not None
    assert real.auc_low > 0.6
    assert real.brier_skill is not None
    assert real.brier_skill > 0
    assert real.permutation_p == pytest.approx(0.003, abs=0.002)
    assert real.better_r is not None
    assert real.worse_r is not None
    assert real.better_r > real.worse_r
    assert noise.auc_low is not None
    assert noise.auc_high is not None
    assert noise.auc_low < 0.5 < noise.auc_high


@pytest.mark.parametrize("n", [2, 10, 24, 49])
def test_few_rows_give_none_and_no_error(n: int) -> None:
    rows = replace(data(n), y=np.arange(n) % 2)
    for found in (walk_forward(rows, Ml()), random_split(rows, Ml())):
        assert found.metrics.n <= n
        assert found.to_json()["auc_low"] is None or found.metrics.auc is not None


def test_no_slice_at_all_leaves_every_figure_none() -> None:
    rows = replace(data(10), y=np.arange(10) % 2)

    assert walk_forward(rows, Ml()).metrics.n == 0
    assert walk_forward(rows, Ml()).metrics.auc is None


def test_one_class_is_refused() -> None:
    with pytest.raises(ModelError, match="nothing to tell apart"):
        walk_forward(replace(data(60), y=np.ones(60, dtype=np.int64)), Ml())


def test_the_random_split_says_what_it_is_and_is_the_same_each_time() -> None:
    rows = data(100)
    found = random_split(rows, Ml())

    assert "optimistic" in str(found.to_json()["method"])
    assert found.metrics.n == 20
    np.testing.assert_array_equal(found.probability, random_split(rows, Ml()).probability)


def test_candidates_hint_but_only_signals_prove() -> None:
    rows = data(200)
    mixed = replace(rows, is_signal=np.arange(200) % 4 == 0)
    found = walk_forward(mixed, Ml())

    assert found.metrics.n == 30
    assert found.candidates is not None
    assert found.candidates.n == 120
    assert walk_forward(rows, Ml()).candidates is None


def test_accuracy_stands_beside_the_majority_and_skill_beside_the_base_rate() -> None:
    y = np.array([1, 0, 0, 0, 1] * 10, dtype=np.int64)
    flat = np.full(50, 0.4)
    time = np.arange(50, dtype=np.int64) * 86_400_000
    found = metrics(flat, y, flat, np.where(y == 1, 2.0, -1.0), time, time + 3_600_000)

    assert (found.accuracy, found.majority, found.auc, found.brier_skill) == (0.6, 0.6, 0.5, 0.0)
    assert (found.better_r, found.worse_r) == (None, None)
    assert [(b.low, b.n, b.won) for b in found.calibration] == [(0.4, 50, 0.4)]


def test_the_shift_test_is_not_fooled_by_runs() -> None:
    """Two slow waves that have nothing to do with each other: plain shuffling would find p near 0."""
    hits = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        first, second = (np.convolve(rng.standard_normal(239), np.ones(40), "valid") for _ in range(2))
        p = shift_p(first, (second > 0).astype(np.int64))
        hits += p is not None and p < 0.05

    assert hits <= 12


def test_progress_is_told_per_slice() -> None:
    told: list[tuple[str, float]] = []
    walk_forward(data(100), Ml(), progress=lambda text, done: told.append((text, done)))

    assert [text for text, _ in told] == [f"evaluating, slice {i} of 5" for i in range(1, 6)]


def test_an_evaluation_is_plain_json() -> None:
    import json

    found: Evaluation = walk_forward(data(120), Ml())

    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["n"] == found.metrics.n
