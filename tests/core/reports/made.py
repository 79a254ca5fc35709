"""A report of made-up candles, for tests of the page and its picture."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from core.config import PairSettings, Portfolio, Settings
from core.domain.candles import Candles, Pair
from core.reports.backtest_report import BacktestReport
from core.services.backtest import run_backtest
from core.services.backtest_report import backtest_report
from core.services.portfolio import run_portfolio
from tests.markets import START, walk

PAIRS = ("LINK/USDT", "ETH/USDT", "SOL/USDT")
DAY_MS = 86_400_000


def market(rows: int = 9000, pairs: tuple[str, ...] = PAIRS) -> dict[Pair, Candles]:
    """A walk per pair, with a short gap and one that trades do not cross."""
    gaps = {row: missing for row, missing in ((1500, 4), (2500, 40)) if row < rows}
    made = (walk(rows, seed=20 + n, price=10.0 * 7**n, gaps=gaps) for n in range(len(pairs)))
    return {
        Pair.parse(name): replace(candles, pair=Pair.parse(name)) for name, candles in zip(pairs, made, strict=True)
    }


def settings(pairs: tuple[str, ...] = PAIRS) -> Settings:
    """One position at a time, so that signals are refused too."""
    chosen = tuple(PairSettings(symbol=name, risk=0.5) for name in pairs)
    return Settings(pairs=chosen, portfolio=Portfolio(max_positions=1))


@cache
def report(rows: int = 9000) -> BacktestReport:
    """With an account, from the tenth day on."""
    candles, start = market(rows), START + 10 * DAY_MS
    backtest = run_backtest(candles, settings(), start)
    return backtest_report(backtest, run_portfolio(candles, settings(), start))


@cache
def signals_only() -> BacktestReport:
    return backtest_report(run_backtest(market(), settings()))


@cache
def nothing() -> BacktestReport:
    """Too few candles for any signal."""
    candles = market(120)
    return backtest_report(run_backtest(candles, settings()), run_portfolio(candles, settings()))
