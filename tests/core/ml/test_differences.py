"""Differences of means: the textbook's where rows are independent, wider where they are not, none from too little."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.ml.differences import Difference, difference, holm, mean_interval, weighted_difference
from core.ml.intervals import mean_low, student_quantile


def test_independent_rows_in_two_sets_give_the_error_of_two_samples() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, 200)
    first = np.arange(200) < 80

    found = difference(values, first, ~first, (np.arange(200),))

    assert found is not None
    a, b = values[:80], values[80:]
    expected = math.sqrt((a.var() / 80 + b.var() / 120) * 200 / 199)
    assert found.value == pytest.approx(a.mean() - b.mean())
    assert found.spreads[0] == pytest.approx((expected, 79))


def test_rows_in_both_sets_cancel_as_far_as_they_do() -> None:
    """The mean of a part less that of the whole is the gap between the parts, times the share left out."""
    rng = np.random.default_rng(2)
    values, everything = rng.normal(0, 1, 100), np.ones(100, dtype=bool)
    kept = np.arange(100) < 70
    own = (np.arange(100),)

    nested, apart = difference(values, kept, everything, own), difference(values, kept, ~kept, own)

    assert nested is not None
    assert apart is not None
    assert nested.value == pytest.approx(0.3 * apart.value)
    assert nested.spreads[0][0] == pytest.approx(0.3 * apart.spreads[0][0], rel=0.02)  # the share is a sample too


def test_rows_that_move_together_widen_the_interval() -> None:
    rng = np.random.default_rng(3)
    values = np.repeat(rng.normal(0, 1, 40), 5)
    first = np.repeat(np.arange(40) % 2 == 0, 5)

    alone = difference(values, first, ~first, (np.arange(200),))
    days = difference(values, first, ~first, (np.repeat(np.arange(40), 5),))

    assert alone is not None
    assert days is not None
    assert days.reach(0.05) > 2 * alone.reach(0.05)


def test_the_widest_of_several_clusterings_counts() -> None:
    found = Difference(0.2, ((0.1, 50.0), (0.15, 20.0)))

    assert found.reach(0.05) == pytest.approx(0.15 * student_quantile(0.975, 20))


@pytest.mark.parametrize("gap", [0.05, 0.2, 0.5])
def test_at_its_own_p_the_interval_just_reaches_zero(gap: float) -> None:
    found = Difference(gap, ((0.1, 40.0), (0.12, 15.0)))
    assert found.p is not None

    assert found.reach(found.p) == pytest.approx(gap, rel=1e-3)


def test_too_few_stretches_of_time_give_a_number_without_an_interval() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    first = np.array([True, True, True, False, False, False])

    found = difference(values, first, ~first, (np.array([0, 0, 1, 2, 2, 3]),))

    assert found is not None
    assert found.value == pytest.approx(-3.0)
    assert (found.interval(0.05), found.p) == (None, None)


def test_few_rows_that_make_the_difference_decide_about_its_freedom() -> None:
    """A hundred rows in both sets are no help where the difference hangs on three."""
    values = np.random.default_rng(4).normal(0, 1, 103)
    kept = np.arange(103) < 100

    found = difference(values, kept, np.ones(103, dtype=bool), (np.arange(103),))

    assert found is not None
    assert found.spreads == ()


def test_equal_sets_differ_by_nothing_and_an_empty_one_cannot_be_compared() -> None:
    values, everything = np.arange(30.0), np.ones(30, dtype=bool)

    same = difference(values, everything, everything, (np.arange(30),))

    assert same is not None
    assert (same.value, same.p) == (0.0, None)
    assert difference(values, everything, ~everything, (np.arange(30),)) is None


def test_noise_that_moves_together_is_told_from_nothing_in_one_of_twenty() -> None:
    rng = np.random.default_rng(5)
    fooled, trials = 0, 400
    for _ in range(trials):
        days = np.repeat(np.arange(60), 3)
        values = np.repeat(rng.standard_t(4, 60), 3) + rng.normal(0, 0.5, 180)
        kept = np.repeat(rng.random(60) < 0.4, 3)
        found = difference(values, kept, np.ones(180, dtype=bool), (days,))
        assert found is not None
        interval = found.interval(0.05)
        fooled += interval is not None and not interval[0] <= 0 <= interval[1]

    assert fooled / trials < 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


def test_a_mean_has_the_same_bound_on_both_sides() -> None:
    values, days = np.random.default_rng(6).normal(0.3, 1, 90), (np.repeat(np.arange(30), 3),)

    interval = mean_interval(values, days, 0.05)

    assert interval is not None
    assert interval[0] == mean_low(values, days, 0.025)
    assert sum(interval) / 2 == pytest.approx(values.mean())
    assert mean_interval(values[:3], (np.array([0, 0, 1]),), 0.05) is None


@pytest.mark.parametrize(
    ("p_values", "fallen"),
    [
        ([0.01, 0.04, 0.03, 0.005], [True, False, False, True]),  # Holm's own procedure on a classic example
        ([0.04], [True]),
        ([0.04, None, None], [True, False, False]),
        ([0.03, 0.03], [False, False]),
        ([0.025, 0.05], [True, True]),
        ([None], [False]),
        ([], []),
    ],
)
def test_holm_steps_down_until_one_stands(p_values: list[float | None], fallen: list[bool]) -> None:
    assert holm(p_values, 0.05) == fallen


def test_rows_at_half_size_move_the_mean_in_part_and_are_as_sure_as_rows_left_out() -> None:
    """At half size the gap between the two groups shows in part; whether it is there is the same question."""
    rng = np.random.default_rng(8)
    values, own = rng.normal(0, 1, 100), (np.arange(100),)
    doubted = np.arange(100) < 30
    full = np.ones(100)

    halved = weighted_difference(values, np.where(doubted, 0.5, 1.0), full, own)
    left_out = difference(values, ~doubted, full > 0, own)

    assert halved is not None
    assert left_out is not None
    sizes = np.where(doubted, 0.5, 1.0)
    assert halved.value == pytest.approx(np.average(values, weights=sizes) - values.mean())
    assert abs(halved.value) < abs(left_out.value)
    assert halved.p == pytest.approx(left_out.p, rel=0.05)
    assert halved.spreads[0][1] == pytest.approx(29)  # as few as the doubted rows, less one


def test_weights_that_are_all_alike_change_no_mean_and_none_at_all_is_no_answer() -> None:
    values, own = np.arange(10.0), (np.arange(10),)

    same = weighted_difference(values, np.full(10, 0.5), np.ones(10), own)

    assert same is not None
    assert same.value == pytest.approx(0)
    assert weighted_difference(values, np.zeros(10), np.ones(10), own) is None
