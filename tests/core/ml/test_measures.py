"""Every figure has an interval that holds when rows of a day share their fate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.domain.candles import DAY_MS, FloatArray, IntArray
from core.ml.intervals import auc, brier_skill, clusterings
from core.ml.measures import Metrics, auc_p, metrics, shift_p, skill_interval

QUARTER = 900_000


def days(count: int, each: int) -> tuple[IntArray, IntArray]:
    """Decision and end of ``each`` rows on each of ``count`` days, an hour long."""
    time = (np.arange(count)[:, None] * DAY_MS + np.arange(each) * QUARTER).ravel()
    return time, time + 4 * QUARTER


def figures(probability: FloatArray, won: IntArray, each: int = 1, base: float = 0.4) -> Metrics:
    time, end = days(len(won) // each, each)
    return metrics(probability, won, np.full(len(won), base), np.where(won == 1, 2.0, -1.0), time, end)


def test_the_interval_of_the_accuracy_holds_when_a_days_rows_share_their_fate() -> None:
    """Five rows a day that win or lose together: with plain n the interval would miss far more often than 5%."""
    inside, plain = 0, 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        won = np.repeat((rng.random(40) < 0.4).astype(np.int64), 5)
        found = figures(np.full(200, 0.3), won, each=5)
        assert found.accuracy is not None
        assert found.accuracy_low is not None
        assert found.accuracy_high is not None
        inside += found.accuracy_low <= 0.6 <= found.accuracy_high
        plain += abs(found.accuracy - 0.6) < 1.96 * (0.24 / 200) ** 0.5

    assert inside >= 0.92 * 300
    assert plain < 0.75 * 300


def test_the_interval_of_the_skill_holds_when_a_days_rows_share_their_fate() -> None:
    """Predictions that are true probabilities: their skill is known, and found inside in 19 of 20 trials."""
    rng = np.random.default_rng(5)
    chance = rng.uniform(0.1, 0.7, 100_000)
    won = (rng.random(100_000) < chance).astype(np.int64)
    true = brier_skill(chance, won, 0.4)
    assert true is not None
    inside = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        chance = np.repeat(rng.uniform(0.1, 0.7, 60), 4)
        won = np.repeat((rng.random(60) < chance[::4]).astype(np.int64), 4)
        found = figures(chance, won, each=4)
        assert found.brier_skill_low is not None
        assert found.brier_skill_high is not None
        inside += found.brier_skill_low <= true <= found.brier_skill_high

    assert inside >= 0.91 * 300


def test_the_skill_lies_in_the_middle_of_its_interval() -> None:
    rng = np.random.default_rng(1)
    chance, won = rng.random(120), rng.integers(0, 2, 120)
    base = rng.uniform(0.3, 0.5, 120)
    bounds = skill_interval(chance, won, base, clusterings(*days(120, 1)))
    assert bounds is not None

    assert sum(bounds) / 2 == pytest.approx(brier_skill(chance, won, base))


def test_what_always_says_the_base_rate_has_surely_no_skill() -> None:
    won, base = np.array([1, 0, 0, 0, 1] * 10), np.linspace(0.3, 0.5, 50)

    assert skill_interval(base, won, base, clusterings(*days(50, 1))) == pytest.approx((0, 0), abs=1e-12)


def test_always_saying_the_commoner_is_the_majority_and_has_no_interval_of_its_own() -> None:
    found = figures(np.full(50, 0.3), np.array([1, 0, 0, 0, 1] * 10))

    assert (found.accuracy, found.majority, found.over_majority) == (0.6, 0.6, 0.0)
    assert (found.over_majority_low, found.over_majority_high) == (None, None)


def test_a_model_worse_than_the_majority_is_surely_so() -> None:
    won = np.array([1, 0, 0, 0, 0] * 40)
    found = figures(np.where(np.arange(200) % 2 == 0, 0.9, 0.1), won)

    assert found.over_majority is not None
    assert found.over_majority_high is not None
    assert found.over_majority < 0
    assert found.over_majority_high < 0


@pytest.mark.parametrize("effect", [-1.0, 0.0, 0.3, 1.0])
def test_p_is_the_error_at_which_the_interval_reaches_guessing(effect: float) -> None:
    rng = np.random.default_rng(2)
    won = rng.integers(0, 2, 90)
    area = auc(won * effect + rng.normal(0, 1, 90), won, clusterings(*days(90, 1)))
    assert area is not None
    p = auc_p(area)
    assert p is not None

    if area.value >= 0.5:
        assert area.low(p) == pytest.approx(0.5, abs=1e-4)
    else:
        assert area.high(1 - p) == pytest.approx(0.5, abs=1e-4)
    assert (p < 0.5) == (area.value > 0.5)


def test_the_better_half_has_more_r_by_a_difference_with_an_interval_that_holds() -> None:
    """R is 2 or -1 and P(win) is higher by a half on average above the median: 1.5R."""
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        chance = rng.random(200)
        found = figures(chance, (rng.random(200) < chance).astype(np.int64))
        assert found.better_r is not None
        assert found.worse_r is not None
        assert found.r_gain == pytest.approx(found.better_r - found.worse_r)
        assert found.r_gain_low is not None
        assert found.r_gain_high is not None
        inside += found.r_gain_low <= 1.5 <= found.r_gain_high

    assert inside >= 0.92 * 200


def test_every_bucket_says_how_sure_its_share_of_wins_is() -> None:
    rng = np.random.default_rng(4)
    chance = rng.uniform(0.2, 0.6, 400)
    found = figures(chance, (rng.random(400) < chance).astype(np.int64))

    assert [b.low for b in found.calibration] == [0.2, 0.3, 0.4, 0.5]
    for bucket in found.calibration:
        assert bucket.won_low is not None
        assert bucket.won_high is not None
        assert bucket.won_low < bucket.won < bucket.won_high
        assert bucket.won_low < bucket.predicted < bucket.won_high


def test_a_bucket_that_always_lost_is_not_surely_zero() -> None:
    bucket = figures(np.full(40, 0.15), np.zeros(40, dtype=np.int64)).calibration[0]

    assert (bucket.won, bucket.won_low) == (0, 0)
    assert bucket.won_high is not None
    assert 0.05 < bucket.won_high < 0.2


def test_on_three_days_nothing_has_an_interval() -> None:
    rng = np.random.default_rng(6)
    found = figures(rng.random(60), rng.integers(0, 2, 60), each=20)
    bounds = [value for name, value in vars_of(found).items() if name.endswith(("_low", "_high"))]

    assert set(bounds) == {None}
    assert found.auc_p is None
    assert replace(found, calibration=()).auc is not None


def vars_of(found: Metrics) -> dict[str, object]:
    return {name: getattr(found, name) for name in found.__slots__}


def test_a_constant_is_no_rarer_than_any_shift_of_it() -> None:
    assert shift_p(np.full(40, 0.4), np.arange(40) % 2) == 1.0
