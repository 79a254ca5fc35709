"""A backtest as one picture for the chat: its equity with the figures that matter first."""

from __future__ import annotations

import numpy as np

from core.domain.candles import HOUR_MS, iso
from core.reports.backtest_report import BacktestReport
from core.reports.charts import equity_chart
from core.reports.month_chart import month_chart
from core.reports.page_tables import cumulated_r, months

_TITLE = 24  # letters of pairs that fit beside the dates
_WORDS = (
    *(("Net P&L", ""), ("R net", "R "), ("Win rate", "won net "), ("Profit factor", "PF ")),
    ("Max drawdown", "drawdown "),
)


def backtest_picture(report: BacktestReport) -> bytes:
    """The account's equity beside the basket held, drawdown below; without an account the cumulated net R. A PNG."""
    account = report.account
    names = [pair.base for pair in report.candles]
    what = " ".join(names)
    what = what if len(what) <= _TITLE else f"{len(names)} pairs"
    title = f"{what} · {iso(report.start_ms)[:10]} to {iso(report.end_ms)[:10]}"
    if account is not None and len(account.time):
        benchmark = account.benchmark if account.benchmark.min() > 0 else None
        return equity_chart(account.time, account.equity, title, benchmark, _words(report))
    end = report.end_ms + -report.end_ms % HOUR_MS  # a range that ends within a candle ends with that candle's close
    time = np.append(np.arange(report.start_ms, end, HOUR_MS), end)
    return equity_chart(time, cumulated_r(report.trades, time), title, None, _words(report))


def backtest_months(report: BacktestReport) -> bytes:
    """The months as a heat map: change of equity, without an account net R. A PNG. Raises ValueError without any."""
    return month_chart(months(report.trades, report.account), "By month", in_r=report.account is None)


def _words(report: BacktestReport) -> str:
    """``−655 USDT · 47 trades · won net 46.8% · PF 0.78 · drawdown 14.6%``."""
    value = {tile.label: tile.value for tile in report.tiles}
    said = [prefix + value[label] for label, prefix in _WORDS if label in value]
    if report.account is not None:
        said = [words for words in said if not words.startswith("R ")]
    what = "trade" if report.account is not None else "signal"
    count = f"{len(report.trades)} {what}{'' if len(report.trades) == 1 else 's'}"
    return " · ".join([*said[:1], count, *said[1:]])
