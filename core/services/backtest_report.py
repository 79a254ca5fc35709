"""A backtest and its account as what the report page shows."""

from __future__ import annotations

import numpy as np

from core.domain.candles import Pair, to_datetime
from core.reports.backtest_report import Account, BacktestReport, ReportRefusal, ReportTrade
from core.reports.page_tiles import account_tiles, signal_tiles
from core.services.backtest import Backtest, BacktestTrade
from core.services.portfolio import PortfolioRun, Refusal


def backtest_report(backtest: Backtest, portfolio: PortfolioRun | None = None) -> BacktestReport:
    """With ``portfolio`` the trades of its account, else every signal of ``backtest`` followed by itself.

    What refused signals would have made is taken from ``backtest``, which knows those with all their bars.
    """
    signals = [
        part.trade(int(index), backtest.settings)
        for part in backtest.parts
        for index in np.flatnonzero(part.entries.is_signal)
    ]
    followed = {(t.candidate.pair, t.candidate.open_time): t for t in signals}
    account: Account | None = None
    refused: tuple[ReportRefusal, ...] = ()
    if portfolio is None:
        signals.sort(key=lambda t: (t.candidate.open_time, t.candidate.pair))
        trades = tuple(ReportTrade(t.candidate, t.follow, t.realized_r_net) for t in signals)
        other = backtest.summary["target_first"]["realized_r_net"]
        tiles = signal_tiles([(t.follow, t.realized_r_net) for t in signals], other)
    else:
        trades = tuple(ReportTrade(t.candidate, t.follow, t.r_net, t.pnl) for t in portfolio.trades)
        refused = tuple(_refused(refusal, followed) for refusal in portfolio.refused)
        account = Account(portfolio.time, portfolio.equity, portfolio.benchmark, portfolio.exposed)
        start = backtest.settings.paper.start_balance
        tiles = account_tiles(
            [(t.follow, t.r_net, t.pnl) for t in portfolio.trades],
            *(portfolio.time, portfolio.equity, portfolio.benchmark, portfolio.exposed),
            *(start, _pnl(portfolio.target_first, start)),
        )
    return BacktestReport(
        settings=backtest.settings,
        start_ms=backtest.start_ms,
        end_ms=backtest.end_ms,
        candles={part.pair: part.candles for part in backtest.parts},
        trades=trades,
        tiles=tiles,
        refused=refused,
        account=account,
        notes=tuple(_notes(backtest, portfolio)),
    )


def _refused(refusal: Refusal, followed: dict[tuple[Pair, int], BacktestTrade]) -> ReportRefusal:
    found = followed.get((refusal.candidate.pair, refusal.candidate.open_time))
    if found is None:
        return ReportRefusal(refusal.candidate, refusal.verdict)
    return ReportRefusal(refusal.candidate, refusal.verdict, found.follow.realized_r, found.realized_r_net)


def _pnl(portfolio: PortfolioRun, start: float) -> float:
    return float(portfolio.equity[-1]) - start if len(portfolio.equity) else 0.0


def _notes(backtest: Backtest, portfolio: PortfolioRun | None) -> list[str]:
    notes = []
    if portfolio is None:
        notes.append(
            "No account here: every signal is followed by itself, without limits, sizes and rules, and counted in R."
        )
    elif portfolio.paused_since is not None:
        limit = backtest.settings.portfolio.drawdown_pause
        notes.append(
            f"From {to_datetime(portfolio.paused_since):%Y-%m-%d %H:%M} UTC on nothing was taken: a drawdown of "
            f"{limit:.0%} (portfolio.drawdown_pause) ends all entries until somebody resumes."
        )
    if portfolio is not None and portfolio.open:
        what = "1 trade was" if portfolio.open == 1 else f"{portfolio.open} trades were"
        notes.append(f"{what} still open at the end: in the equity, not among the trades.")
    if portfolio is not None and portfolio.decided:
        notes.append(f"In {portfolio.decided} ambiguous candles smaller candles told what came first.")
    if gaps := backtest.summary["total"]["gap_ended"]:
        what = "signal was" if gaps == 1 else "signals were"
        notes.append(f"{gaps} {what} open when candles went missing for too long.")
    return notes
