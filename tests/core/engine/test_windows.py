from __future__ import annotations

import numpy as np
import pytest

from core.engine import windows
from core.engine.indicators import indicators
from core.engine.strategy import crossings
from core.engine.windows import rolling_mean, window_sum
from tests.markets import walk


@pytest.mark.parametrize("size", [1, 2, 3, 14, 15, 20, 40, 63, 64, 98])
def test_a_window_sum_is_the_sum_of_its_window(size: int) -> None:
    values = np.random.default_rng(size).normal(0, 1, 200)

    sums = window_sum(values, size)

    assert np.allclose(sums, [values[i : i + size].sum() for i in range(200 - size + 1)], rtol=1e-13, atol=1e-13)


def test_a_window_longer_than_the_values_gives_nothing() -> None:
    assert len(window_sum(np.ones(3), 4)) == 0
    assert np.isnan(rolling_mean(np.ones(3), 4)).all()


def test_a_huge_value_leaves_no_trace_behind_its_window() -> None:
    values = np.concatenate(([1e15, 3.7], np.zeros(60)))

    assert (rolling_mean(values, 20)[22:] == 0).all()


def test_equal_windows_give_equal_bits_wherever_they_stand() -> None:
    values = np.random.default_rng(0).normal(100, 5, 500)

    assert np.array_equal(rolling_mean(values, 40)[139:], rolling_mean(values[100:], 40)[39:])


def test_means_and_crossings_do_not_know_where_a_block_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    candles = walk(700, seed=3)
    whole = rolling_mean(candles.close, 40), crossings(indicators(candles))

    monkeypatch.setattr(windows, "_BLOCK", 7)

    assert np.array_equal(rolling_mean(candles.close, 40), whole[0], equal_nan=True)
    assert np.array_equal(crossings(indicators(candles)), whole[1])
    assert np.count_nonzero(whole[1]) > 10
