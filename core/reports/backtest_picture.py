"""A backtest as one picture for the chat: its equity with the figures that matter first."""

from __future__ import annotations

import numpy as np

from core.domain.candles import FloatArray, IntArray, iso
from core.reports.backtest_page import BacktestReport
from core.reports.charts import equity_chart
from core.reports.month_chart import month_chart
from core.reports.page_tables import months

_WORDS = (("Net P&L", ""), ("R net", "R "), ("Win rate", "won "), ("Profit factor", "PF "), ("Max drawdown", "fell "))


def backtest_picture(report: BacktestReport) -> bytes:
    """The account's equity beside the basket held, drawdown below; without an account the cumulated net R. A PNG."""
    account = report.account
    names = [pair.base for pair in report.candles]
    what = " ".join(names) if len(names) <= 6 else f"{len(names)} pairs"
    title = f"{what} · {iso(report.start_ms)[:10]} to {iso(report.end_ms)[:10]}"
    if account is not None and len(account.time):
        benchmark = account.benchmark if account.benchmark.min() > 0 else None
        return equity_chart(account.time, account.equity, title, benchmark, _words(report))
    return equity_chart(*_cumulated(report), title, None, _words(report))


def backtest_months(report: BacktestReport) -> bytes:
    """The months as a heat map: change of equity, without an account net R. A PNG. Raises ValueError without any."""
    found = [
        (int(year), int(month), change, int(n)) for year, month, change, n in months(report.trades, report.account)
    ]
    return month_chart(found, "By month", in_r=report.account is None)


def _words(report: BacktestReport) -> str:
    """``−655 USDT · 47 trades · won 46.8% · PF 0.78 · fell 14.6%``."""
    value = {tile.label: tile.value for tile in report.tiles}
    said = [prefix + value[label] for label, prefix in _WORDS if label in value]
    if report.account is not None:
        said = [words for words in said if not words.startswith("R ")]
    what = "trades" if report.account is not None else "signals"
    return " · ".join([*said[:1], f"{len(report.trades)} {what}", *said[1:]])


def _cumulated(report: BacktestReport) -> tuple[IntArray, FloatArray]:
    """Net R summed up in the order of the exits, from 0 at the start to the end of the range."""
    closed = sorted((t.follow.exit_time, t.r_net) for t in report.trades if t.follow.exit_time is not None)
    total = np.cumsum([0.0, *(r for _, r in closed)])
    times = np.array([report.start_ms, *(time for time, _ in closed), report.end_ms], dtype=np.int64)
    return times, np.append(total, total[-1])
