from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.reports.backtest_picture import _words, backtest_months, backtest_picture
from core.reports.backtest_report import BacktestReport
from core.reports.charts import equity_chart
from core.reports.month_chart import month_chart
from tests.core.reports.made import nothing, report, signals_only
from tests.core.reports.test_charts import size
from tests.markets import START


@pytest.mark.parametrize("shown", [report, signals_only, nothing])
def test_any_backtest_is_a_picture(shown: object) -> None:
    made = shown()  # type: ignore[operator]

    assert size(backtest_picture(made)) == (1080, 810)
    assert backtest_picture(made) == backtest_picture(made)


def test_the_basket_held_is_in_the_picture() -> None:
    account = report().account
    assert account is not None
    other = replace(report(), account=replace(account, benchmark=account.benchmark[::-1]))

    assert backtest_picture(report()) != backtest_picture(other)


def test_more_pairs_than_fit_are_counted() -> None:
    candles = {replace(pair, base=f"{pair.base}{n}"): c for n in range(9) for pair, c in report().candles.items()}

    assert size(backtest_picture(replace(report(), candles=candles))) == (1080, 810)


def test_a_benchmark_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        equity_chart([START], [1.0], "t", np.ones(2))


@pytest.mark.parametrize("days", [20, 100, 300, 800, 3000, 9000])
def test_the_foot_has_two_to_seven_moments_however_long_the_time(days: int) -> None:
    from core.reports.charts import _time_ticks

    times = START + np.arange(0, days + 1, dtype=np.int64) * 86_400_000
    ticks, names = _time_ticks(times)

    assert 2 <= len(ticks) <= 7
    assert len(set(names)) == len(names)
    assert times[0] <= min(ticks) < max(ticks) <= times[-1]


@pytest.mark.parametrize(("years", "height"), [(1, 350), (3, 850)])
def test_months_are_drawn_half_a_year_to_a_row(years: int, height: int) -> None:
    months = [(2020 + n // 12, n % 12 + 1, (n % 5 - 2) / 50, n) for n in range(12 * years)]

    width, found = size(month_chart(months, "Months $"))

    assert width == 1080
    assert abs(found - height) < 60


def test_only_the_newest_years_are_drawn() -> None:
    months = [(1990 + n // 12, n % 12 + 1, 0.01, 1) for n in range(12 * 30)]

    assert size(month_chart(months, "t"))[1] < 1700


def test_months_of_a_backtest_are_a_picture_and_none_are_an_error() -> None:
    assert size(backtest_months(report()))[0] == 1080
    assert size(backtest_months(signals_only()))[0] == 1080
    empty: BacktestReport = replace(signals_only(), trades=())
    with pytest.raises(ValueError, match="no months"):
        backtest_months(empty)


def test_the_words_say_which_wins_are_meant_and_one_trade_is_one() -> None:
    made = report()

    assert f" · {len(made.trades)} trades · won net " in _words(made)
    assert " · 1 trade · " in _words(replace(made, trades=made.trades[:1]))
