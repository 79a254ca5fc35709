"""Rank correlation: the textbook's value, and an interval that outcomes moving together do not fool."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engine.ranks import mid_ranks
from core.ml.ranks import rank_correlation

ALONE = (np.arange(200),)


def test_the_value_is_the_textbooks_with_ties_at_their_middle_rank() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    one, two = rng.integers(0, 20, 200).astype(float), rng.choice([-1.0, 2.3], 200)
    found = rank_correlation(one, two, ALONE)

    assert found is not None
    assert found.value == pytest.approx(stats.spearmanr(one, two).statistic, abs=1e-12)
    np.testing.assert_array_equal(mid_ranks(np.array([3.0, 1.0, 3.0])), [2.5, 1.0, 2.5])


def test_one_value_only_and_too_few_rows_are_no_correlation() -> None:
    assert rank_correlation(np.ones(10), np.arange(10.0), (np.arange(10),)) is None
    assert rank_correlation(np.ones(1), np.ones(1), (np.arange(1),)) is None


def test_few_clusters_give_a_value_without_an_interval() -> None:
    values = np.arange(200.0)
    found = rank_correlation(values, values, (np.arange(200), np.arange(200) // 100))

    assert found is not None
    assert found.value == pytest.approx(1.0)
    assert found.interval(0.05) is None


def test_on_independent_rows_the_spread_is_near_that_of_chance() -> None:
    rng = np.random.default_rng(2)
    found = rank_correlation(rng.normal(size=200), rng.normal(size=200), ALONE)

    assert found is not None
    (error, df), *rest = found.spreads
    assert rest == []
    assert 1 / math.sqrt(199) <= error < 1.3 / math.sqrt(199)
    assert df == pytest.approx(199)


def test_noise_that_is_shared_within_days_passes_no_more_often_than_promised() -> None:
    """Five rows a day share most of both series; counted one by one, noise would pass many times too often."""
    rng, days, alone = np.random.default_rng(4), np.repeat(np.arange(40), 5), np.arange(200)
    passed = {"days": 0, "rows": 0}
    for _ in range(150):
        one, two = (rng.normal(size=40)[days] + 0.3 * rng.normal(size=200) for _ in range(2))
        for name, labels in (("days", days), ("rows", alone)):
            found = rank_correlation(one, two, (labels,))
            low, high = (found.interval(0.1) if found else None) or (-1, 1)
            passed[name] += not low <= 0 <= high

    assert 5 <= passed["days"] <= 26  # 15 of 150 are promised
    assert passed["rows"] > 50


@given(st.lists(st.floats(-5, 5), min_size=8, max_size=30), st.integers(0, 9))
def test_it_lies_between_minus_one_and_one_and_turns_with_its_sign(values: list[float], seed: int) -> None:
    one = np.array(values)
    two = np.random.default_rng(seed).normal(size=len(one))
    found, turned = (rank_correlation(x, two, (np.arange(len(one)),)) for x in (one, -one))

    if found is None:
        assert len(set(values)) == 1
        return
    assert turned is not None
    low, high = found.interval(0.05) or (-1, 1)
    assert -1 <= low <= found.value <= high <= 1
    assert turned.value == pytest.approx(-found.value)
