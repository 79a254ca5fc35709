from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.domain.candles import FloatArray, Pair
from core.engine.metrics import max_drawdown
from core.reports.page_tables import cumulated_r
from core.services.backtest import Backtest, run_backtest
from core.services.backtest_report import backtest_report
from core.services.portfolio import PortfolioRun, run_portfolio
from tests.core.reports.made import market, settings
from tests.markets import M15, START

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def both() -> tuple[Backtest, PortfolioRun]:
    candles, start = market(), START + 10 * DAY_MS
    return run_backtest(candles, settings(), start), run_portfolio(candles, settings(), start)


def tiles(report: object) -> dict[str, tuple[str, str]]:
    return {tile.label: (tile.value, tile.detail) for tile in report.tiles}  # type: ignore[attr-defined]


def test_the_account_s_trades_are_those_of_the_run(both: tuple[Backtest, PortfolioRun]) -> None:
    backtest, run = both
    report = backtest_report(backtest, run)

    assert [t.pnl for t in report.trades] == [t.pnl for t in run.trades]
    assert report.account is not None
    assert report.account.equity is run.equity
    assert set(report.candles) == {Pair.parse(name) for name in ("LINK", "ETH", "SOL")}


def test_the_tiles_agree_with_the_run_s_own_figures(both: tuple[Backtest, PortfolioRun]) -> None:
    backtest, run = both
    found, figures = tiles(backtest_report(backtest, run)), run.figures()

    assert found["Sharpe"][0].replace("−", "-") == f"{figures['sharpe']:.2f}"
    assert found["Sortino"][0].replace("−", "-") == f"{figures['sortino']:.2f}"
    assert found["Exposure"][0] == f"{figures['exposure']:.1%}"
    assert found["Ambiguous"][0] == f"{figures['ambiguous_share']:.1%}"
    assert found["Expectancy"][0].replace("−", "-").removesuffix(" R") == f"{figures['expectancy_r_net']:+.2f}"
    other = figures["target_first"]["equity"] - figures["start_balance"]
    assert found["Target first"][0].replace("−", "-") == f"{other:+,.0f} USDT"


def test_a_ratio_that_cannot_be_had_says_why(both: tuple[Backtest, PortfolioRun]) -> None:
    backtest, run = both

    def details(equity: FloatArray) -> tuple[str, str]:
        lived = replace(run, trades=(), time=run.time[: len(equity)], equity=equity)
        found = tiles(backtest_report(backtest, lived))
        return found["Sharpe"][1], found["Sortino"][1]

    week = np.full(7 * 96, 10_000.0)
    assert details(week) == ("nothing moved", "nothing moved")
    assert details(week + np.arange(len(week))) == ("of daily returns, a year", "no day fell")
    assert details(week[:50]) == ("too few days to say", "too few days to say")


def test_a_refused_signal_brings_what_it_became(both: tuple[Backtest, PortfolioRun]) -> None:
    backtest, run = both
    became = {(t.candidate.pair, t.candidate.open_time): t for t in backtest.trades}

    for refusal in backtest_report(backtest, run).refused:
        signal = became.get((refusal.candidate.pair, refusal.candidate.open_time))
        assert refusal.r_net == (signal.realized_r_net if signal else None)
        assert refusal.r_gross == (signal.follow.realized_r if signal else None)


def test_without_an_account_every_signal_counts_in_time_order(both: tuple[Backtest, PortfolioRun]) -> None:
    backtest, _ = both
    report = backtest_report(backtest)

    assert len(report.trades) == backtest.summary["total"]["signals"]
    times = [trade.candidate.open_time for trade in report.trades]
    assert times == sorted(times)
    assert all(trade.pnl is None for trade in report.trades)
    assert tiles(report)["R net"][0].replace("−", "-") == f"{backtest.summary['total']['realized_r_net']:+.1f}"


def test_the_drawdown_of_signals_is_that_of_their_sum(both: tuple[Backtest, PortfolioRun]) -> None:
    backtest, _ = both
    report = backtest_report(backtest)

    times = np.arange(report.start_ms, report.end_ms + M15.ms, M15.ms)
    deepest = max_drawdown(np.append(0.0, cumulated_r(report.trades, times)))
    assert tiles(report)["Max drawdown"][0] == f"{deepest:.1f} R"


def test_candidates_that_are_no_signals_are_left_out() -> None:
    candles = market()
    report = backtest_report(run_backtest(candles, settings(), candidates=True))

    assert len(report.trades) == len(backtest_report(run_backtest(candles, settings())).trades)


def test_a_pause_and_open_trades_are_said(both: tuple[Backtest, PortfolioRun]) -> None:
    backtest, run = both
    report = backtest_report(backtest, replace(run, paused_since=START, open=2, decided=3))

    assert any("From 2024-01-01 00:00 UTC on nothing was taken" in note for note in report.notes)
    assert any("2 trades were still open at the end" in note for note in report.notes)
    assert any("In 3 ambiguous candles" in note for note in report.notes)
