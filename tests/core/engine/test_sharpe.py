"""Sharpe ratios that know how many were tried: worked examples, and what noise makes of them."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from core.domain.candles import FloatArray
from core.engine.sharpe import (
    TrialCounter,
    Trials,
    deflated_sharpe,
    expected_best_sharpe,
    probabilistic_sharpe,
    rank_correlation,
    sharpe_moments,
)


def noise(rows: int, periods: int, seed: int, common: float = 0.0) -> FloatArray:
    """Series without skill; ``common`` of their variance is shared by all."""
    rng = np.random.default_rng(seed)
    shared, own = rng.normal(size=periods), rng.normal(size=(rows, periods))
    mixed: FloatArray = math.sqrt(common) * shared + math.sqrt(1 - common) * own
    return mixed


def of_the_best(series: FloatArray) -> tuple[float, float]:
    """The best one's deflated Sharpe ratio, and its probability as if nobody else had been tried."""
    counter = TrialCounter()
    moments = counter.add(series)
    best = int(np.argmax(moments.sharpe))
    deflated = deflated_sharpe(moments, counter.trials())[best]
    return float(deflated), probabilistic_sharpe(float(moments.sharpe[best]), moments.periods)


def test_the_example_of_the_paper() -> None:
    """Bailey and Lopez de Prado 2014: five years of days, 100 trials, a yearly Sharpe ratio of 2.5: 0.90, not 0.95."""
    yearly, days, trials, variance = 2.5, 1250, 100, 0.5
    spread = math.sqrt(variance / 250)
    normal = stats.norm
    bar = spread * (
        (1 - np.euler_gamma) * normal.ppf(1 - 1 / trials) + np.euler_gamma * normal.ppf(1 - 1 / trials / math.e)
    )
    daily = yearly / math.sqrt(250)
    wanted = normal.cdf((daily - bar) * math.sqrt(days - 1) / math.sqrt(1 + 3 * daily + (10 - 1) / 4 * daily**2))

    found = probabilistic_sharpe(
        daily, days, skew=-3, kurtosis=10, benchmark=expected_best_sharpe(variance / 250, trials)
    )

    assert found == pytest.approx(wanted, abs=1e-12)
    assert found == pytest.approx(0.9004, abs=5e-5)
    assert expected_best_sharpe(variance / 250, trials) == pytest.approx(0.1132, abs=5e-5)


def test_skew_and_tails_widen_the_doubt_as_the_formula_says() -> None:
    """By hand: 24 steps, and 1 + 0.5 (a skew of -1) + 9 / 4 * 0.25 (a kurtosis of 10) below the root."""
    found = probabilistic_sharpe(0.5, 25, skew=-1.0, kurtosis=10.0, benchmark=0.1)

    assert found == pytest.approx(NormalDist().cdf(0.4 * math.sqrt(24 / 2.0625)), rel=1e-12)


def test_the_moments_are_those_of_another_library() -> None:
    series = noise(3, 400, seed=1) ** 3

    found = sharpe_moments(series)

    np.testing.assert_allclose(found.sharpe, series.mean(axis=1) / series.std(axis=1, ddof=1))
    np.testing.assert_allclose(found.skew, stats.skew(series, axis=1))
    np.testing.assert_allclose(found.kurtosis, stats.kurtosis(series, axis=1, fisher=False))


def test_the_expected_best_is_what_drawing_the_best_gives() -> None:
    drawn = np.random.default_rng(3).normal(0, 0.07, size=(4000, 200)).max(axis=1).mean()

    assert expected_best_sharpe(0.07**2, 200) == pytest.approx(drawn, rel=0.01)


def test_the_probability_is_right_as_often_as_it_says() -> None:
    """Of noise, a probability above 0.95 comes in 5 of 100, also on days that are mostly empty and skewed."""
    rng = np.random.default_rng(4)
    days = np.where(rng.random((4000, 400)) < 0.4, rng.choice([-1.0, -1.0, 2.0], size=(4000, 400)), 0.0)
    found = sharpe_moments(days)
    said = [
        probabilistic_sharpe(s, found.periods, skew=k, kurtosis=t)
        for s, k, t in zip(found.sharpe, found.skew, found.kurtosis, strict=True)
    ]

    assert np.mean(np.array(said) > 0.95) == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize("common", [0.0, 0.5, 0.9])
def test_the_best_of_a_thousand_that_are_noise_is_hardly_ever_called_skill(common: float) -> None:
    """Undeflated it would be far more often: always, where the trials have nothing in common."""
    said = np.array([of_the_best(noise(1000, 120, seed, common)) for seed in range(60)])

    deflated, plain = (said > 0.95).mean(axis=0)
    assert deflated <= 0.07
    assert plain > 0.25


def test_skill_that_is_there_is_found_among_a_thousand() -> None:
    series = noise(1000, 500, seed=5)
    series[123] += 0.35

    assert of_the_best(series)[0] > 0.95


def test_settings_that_trade_the_same_are_one_trial() -> None:
    series = noise(20, 100, seed=6)
    once, twice = TrialCounter(), TrialCounter()
    once.add(series)
    twice.add(series)
    twice.add(np.concatenate((series[:7], np.zeros((3, 100)))))

    assert twice.trials() == Trials(
        27, 20, *(getattr(once.trials(), n) for n in ("effective", "variance", "expected_best"))
    )


def test_the_bar_is_set_by_the_spread_of_the_distinct_trials() -> None:
    series = noise(12, 60, seed=3, common=0.5)
    series[:, 0] = 0.0
    sharpe = series.mean(axis=1) / series.std(axis=1, ddof=1)
    counter = TrialCounter()
    counter.add(series)
    series[:, 0] = -0.0  # the same trades: a day without any has this sign after some sums
    counter.add(series)

    found = counter.trials()
    assert (found.count, found.distinct) == (24, 12)
    assert found.variance == pytest.approx(np.square(sharpe - sharpe.mean()).sum() / 11)
    assert found.expected_best == expected_best_sharpe(found.variance, 12)


def test_batches_make_no_difference() -> None:
    series = noise(50, 80, seed=7, common=0.4)
    whole, parts = TrialCounter(), TrialCounter()
    whole.add(series)
    for first in range(0, 50, 7):
        parts.add(series[first : first + 7])

    one, other = whole.trials(), parts.trials()
    assert (one.count, one.distinct, one.variance) == (other.count, other.distinct, other.variance)
    assert one.effective == pytest.approx(other.effective)


@pytest.mark.parametrize("common", [0.0, 0.3, 0.8])
def test_the_effective_number_follows_the_mean_correlation(common: float) -> None:
    series = noise(300, 2000, seed=8, common=common)
    correlation = np.corrcoef(series)
    mean = (correlation.sum() - 300) / (300 * 299)
    counter = TrialCounter()
    counter.add(series)

    assert counter.trials().effective == pytest.approx(max(mean, 0) + (1 - max(mean, 0)) * 300)


def test_what_does_not_move_has_no_ratio() -> None:
    found = sharpe_moments(np.array([[0.0, 0.0, 0.0], [0.1, 0.1, 0.1], [1.0, -1.0, 2.0]]))
    counter = TrialCounter()
    counter.add(np.zeros((2, 10)))

    assert np.isnan(found.sharpe).tolist() == [True, True, False]
    assert np.isnan(sharpe_moments(np.array([1.0])).sharpe).all()
    assert math.isnan(probabilistic_sharpe(math.nan, 10))
    assert counter.trials() == Trials(0, 0, 0.0, 0.0, 0.0)
    assert np.isnan(deflated_sharpe(sharpe_moments(np.zeros(10)), counter.trials())).all()


@given(st.floats(-0.5, 0.5), st.integers(2, 3000), st.floats(-2, 2), st.floats(0, 10), st.floats(0, 0.3))
def test_a_probability_is_one_and_a_higher_bar_is_harder(
    sharpe: float, periods: int, skew: float, more: float, bar: float
) -> None:
    kurtosis = 1 + skew**2 + more  # no distribution has less
    low = probabilistic_sharpe(sharpe, periods, skew=skew, kurtosis=kurtosis)
    high = probabilistic_sharpe(sharpe, periods, skew=skew, kurtosis=kurtosis, benchmark=bar)

    assert 0 <= high <= low <= 1


def test_more_trials_raise_the_bar_and_one_has_none() -> None:
    bars = [expected_best_sharpe(0.01, n) for n in (1, 2, 10, 100, 1000)]

    assert bars[0] == 0
    assert bars == sorted(bars)
    with pytest.raises(ValueError, match="trials"):
        expected_best_sharpe(0.01, 0)


def test_the_rank_correlation_leaves_out_what_is_missing() -> None:
    one, other = np.array([1.0, 2.0, np.nan, 3.0, 9.0]), np.array([10.0, 20.0, 5.0, 25.0, 24.0])

    assert rank_correlation(one, other) == pytest.approx(0.8)
    assert rank_correlation(one[:3], other[:3]) is None
    assert rank_correlation(np.ones(5), other) is None
