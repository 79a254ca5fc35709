"""Ranks and their correlation, held to another library."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from core.engine.ranks import mid_ranks, spearman

FEW = st.integers(-3, 3).map(float)


@given(st.lists(FEW, min_size=1, max_size=20))
def test_ranks_are_those_of_another_library(values: list[float]) -> None:
    np.testing.assert_allclose(mid_ranks(np.array(values)), stats.rankdata(values))


@given(st.lists(st.tuples(FEW, FEW), min_size=2, max_size=20))
def test_the_correlation_is_that_of_another_library_or_unknown_where_one_side_is_all_the_same(
    pairs: list[tuple[float, float]],
) -> None:
    first, second = np.array(pairs).T
    found = spearman(first, second)

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        assert found is None
    else:
        assert found == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-12)


def test_one_row_has_no_correlation() -> None:
    assert spearman(np.ones(1), np.ones(1)) is None
