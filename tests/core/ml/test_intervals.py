"""AUC with clustered intervals, Student's t, Brier skill."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.candles import DAY_MS, FloatArray, IntArray
from core.ml.intervals import auc, brier, brier_skill, clusterings, mean_low, student_quantile

HOUR = 3_600_000


def own_clusters(n: int) -> tuple[IntArray, ...]:
    return (np.arange(n, dtype=np.int64),)


@pytest.mark.parametrize("df", [3, 3.4, 4.9, 5, 8.5, 20, 100, 2000])
@pytest.mark.parametrize("tail", [0.5, 0.3, 0.025, 0.007, 0.0005, 1e-7])
def test_the_t_quantile_agrees_with_an_exact_one(df: float, tail: float) -> None:
    stats = pytest.importorskip("scipy.stats")

    assert student_quantile(1 - tail, df) == pytest.approx(stats.t.isf(tail, df), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize(("probability", "df"), [(0.4, 10), (1.0, 10), (0.9, 2.9)])
def test_the_t_quantile_refuses_what_it_cannot_do(probability: float, df: float) -> None:
    with pytest.raises(ValueError, match="no t quantile"):
        student_quantile(probability, df)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 1)), min_size=2, max_size=40))
def test_the_auc_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[int, int]]) -> None:
    p = np.array([r[0] / 8 for r in rows])
    y = np.array([r[1] for r in rows], dtype=np.int64)
    wins, losses = p[y == 1], p[y == 0]
    found = auc(p, y, own_clusters(len(p)))

    if not len(wins) or not len(losses):
        assert found is None
        return
    pairs = [(a > b) + 0.5 * (a == b) for a in wins for b in losses]
    assert found is not None
    assert found.value == pytest.approx(sum(pairs) / len(pairs))


def test_doubling_every_row_within_its_cluster_narrows_nothing() -> None:
    """Copies of a row are no further evidence; independent rows would shrink the error by the root of two."""
    rng = np.random.default_rng(2)
    y = (rng.random(200) < 0.4).astype(np.int64)
    p = 0.4 + 0.01 * y + 0.1 * rng.random(200)
    once, twice = auc(p, y, own_clusters(200)), auc(np.tile(p, 2), np.tile(y, 2), (np.tile(np.arange(200), 2),))
    naive = auc(np.tile(p, 2), np.tile(y, 2), own_clusters(400))

    assert once is not None
    assert twice is not None
    assert naive is not None
    assert twice.spreads[0][0] == pytest.approx(once.spreads[0][0], rel=0.05)
    assert naive.spreads[0][0] < 0.8 * twice.spreads[0][0]


def test_a_perfect_order_on_few_rows_is_no_less_doubtful_than_guessing_on_as_many() -> None:
    outcome = np.repeat([0, 1], [30, 20])
    found = auc(np.linspace(0.1, 0.9, 50), outcome, own_clusters(50))

    assert found is not None
    assert found.value == 1.0
    error, _ = found.spreads[0]
    assert error == pytest.approx(math.sqrt(51 / (12 * 20 * 30)))  # Mann and Whitney's, where DeLong's would be 0


def test_clusters_are_utc_days_and_longer_blocks_where_outcomes_last_long() -> None:
    start = np.arange(100, dtype=np.int64) * 6 * HOUR
    short, long = clusterings(start, start + HOUR), clusterings(start, start + 25 * HOUR)

    assert len(short) == 1
    assert (short[0] == start // DAY_MS).all()
    assert len(np.unique(long[1])) == math.ceil(25 / 3)


def test_without_enough_stretches_of_time_there_is_no_interval() -> None:
    p = np.linspace(0, 1, 50)
    found = auc(p, (p > 0.5).astype(np.int64), (np.arange(50) // 25,))

    assert found is not None
    assert found.low(0.05) == -math.inf


def test_brier_skill_is_zero_for_the_base_rate_itself_and_none_where_that_is_never_wrong() -> None:
    y = np.array([1, 0, 0, 0], dtype=np.int64)
    flat: FloatArray = np.full(4, 0.25)

    assert brier_skill(flat, y, 0.25) == 0
    assert brier(flat, y) == pytest.approx(0.1875)
    assert brier_skill(flat, np.zeros(4, dtype=np.int64), 0.0) is None


def test_the_lower_bound_of_a_mean_lies_below_it_and_is_none_with_few_clusters() -> None:
    values = np.random.default_rng(1).normal(1, 1, 100)
    low = mean_low(values, own_clusters(100), 0.05)

    assert low is not None
    assert 0.6 < low < values.mean()
    assert mean_low(values, (np.arange(100) // 40,), 0.05) is None
