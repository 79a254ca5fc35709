from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engine.metrics import (
    Drawdown,
    annual_growth,
    daily_returns,
    expectancy,
    exposure,
    longest_underwater,
    max_drawdown,
    max_drawdown_share,
    profit_factor,
    sharpe,
    sortino,
    win_rate,
    worst_drawdown,
)

RESULTS = [2.3, -1.0, -1.0, 0.25, 0.0]


def test_figures_by_hand() -> None:
    assert win_rate(RESULTS) == 0.4
    assert profit_factor(RESULTS) == pytest.approx(2.55 / 2)
    assert expectancy(RESULTS) == pytest.approx(0.11)
    assert max_drawdown(np.cumsum([0, *RESULTS])) == pytest.approx(2.0)
    assert max_drawdown_share([100, 120, 90, 130, 104]) == pytest.approx(0.25)


def test_without_results_nothing_is_claimed() -> None:
    assert (win_rate([]), profit_factor([]), expectancy([]), max_drawdown([]), max_drawdown_share([])) == (
        None,
        None,
        None,
        0,
        0,
    )


def test_without_a_loss_there_is_no_profit_factor() -> None:
    assert profit_factor([1.0, 2.0]) is None
    assert profit_factor([-1.0]) == 0


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        max_drawdown_share([100, 0])


CURVE = np.array([100.0, 120, 90, 130, 104, 110, 130, 125])
HOURS = np.arange(len(CURVE)) * 3_600_000


def test_a_drawdown_by_hand() -> None:
    worst = worst_drawdown(HOURS, CURVE)

    assert worst == Drawdown(30, 0.25, HOURS[1], HOURS[2], HOURS[3], 2 * 3_600_000)
    assert longest_underwater(HOURS, CURVE) == 3 * 3_600_000
    unhealed = worst_drawdown(HOURS[4:], CURVE[4:])
    assert unhealed == Drawdown(5, 1 - 125 / 130, HOURS[6], HOURS[7], None, 3_600_000)


def test_where_nothing_falls_there_is_no_drawdown() -> None:
    for curve in ([], [5.0], [1.0, 1.0, 2.0]):
        assert worst_drawdown(HOURS[: len(curve)], curve) is None
        assert longest_underwater(HOURS[: len(curve)], curve) == 0


curves = st.lists(st.integers(1, 60).map(float), min_size=1, max_size=40)


@given(curves)
def test_the_worst_drawdown_is_the_deepest_of_all_falls(curve: list[float]) -> None:
    time = np.arange(len(curve)) * 900_000
    worst = worst_drawdown(time, curve)
    falls = [1 - later / high for n, high in enumerate(curve) for later in curve[n:]]

    assert (worst.share if worst else 0.0) == pytest.approx(max(falls))
    assert (worst.share if worst else 0.0) == pytest.approx(max_drawdown_share(curve))
    if worst is not None:
        at = {int(t): value for t, value in zip(time, curve, strict=True)}
        assert worst.start < worst.trough < (worst.end or worst.trough + 1)
        assert at[worst.start] - at[worst.trough] == worst.depth
        assert worst.depth == pytest.approx(worst.share * at[worst.start])
        between = [v for t, v in at.items() if worst.start < t < (worst.end or time[-1] + 1)]
        assert max(between) < at[worst.start]
        assert worst.end is None or at[worst.end] >= at[worst.start]
        assert worst.length == (worst.end or time[-1]) - worst.start <= longest_underwater(time, curve)


@given(curves, st.integers(0, 300))
def test_daily_returns_multiply_to_the_whole(curve: list[float], offset: int) -> None:
    time = (np.arange(len(curve)) * 17 + offset) * 3_600_000
    returns = daily_returns(time, curve)

    assert np.prod(1 + returns) == pytest.approx(curve[-1] / curve[0])
    assert len(returns) == (0 if len(curve) < 2 else -(-int(time[-1]) // 86_400_000) - int(time[0]) // 86_400_000)


def test_a_day_ends_with_its_close_at_midnight() -> None:
    time = np.array([12, 24, 36, 72, 80]) * 3_600_000

    assert daily_returns(time, [100, 110, 121, 121, 242]).tolist() == pytest.approx([0.1, 0.1, 0.0, 1.0])


def test_ratios_by_hand() -> None:
    returns = [0.01, -0.02, 0.03, 0.0]

    assert sharpe(returns) == pytest.approx(0.005 / np.std(returns, ddof=1) * np.sqrt(365))
    assert sortino(returns) == pytest.approx(0.005 / np.sqrt(0.0004 / 4) * np.sqrt(365))


@pytest.mark.parametrize("returns", [[], [0.01], [0.01, 0.01], [0.1, np.nan], [0.1, np.inf]])
def test_no_ratio_where_it_is_not_defined(returns: list[float]) -> None:
    assert (sharpe(returns), sortino(returns)) == (None, None)


@given(st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=60), st.floats(0.01, 100))
def test_ratios_have_the_sign_of_the_mean_and_no_scale(returns: list[float], scale: float) -> None:
    values = np.round(returns, 6)
    for ratio in (sharpe, sortino):
        once, scaled = ratio(values), ratio(values * scale)
        if once is not None and scaled is not None:
            assert scaled == pytest.approx(once)
            assert np.sign(round(once, 9)) == np.sign(round(float(values.mean()), 12)) or abs(once) < 1e-6


def test_growth_is_told_from_a_year_on() -> None:
    year = np.array([0, 365, 730]) * 86_400_000

    assert annual_growth(year, [100, 150, 121]) == pytest.approx(0.1)
    assert annual_growth(year[:2], [100, 121]) == pytest.approx(0.21)
    assert annual_growth(year[:2] - [0, 1], [100, 121]) is None
    assert annual_growth(year, [100, 150, 0]) is None


def test_exposure_is_a_share_of_the_closes() -> None:
    assert exposure(np.array([True, False, True, True])) == 0.75
    assert exposure(np.empty(0, dtype=np.bool_)) is None
