"""The tables of the backtest page: trades by group, by month, and refusals by rule."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from core.domain.candles import FloatArray, IntArray
from core.engine.metrics import profit_factor

if TYPE_CHECKING:
    from core.reports.backtest_report import Account, ReportRefusal, ReportTrade

T = TypeVar("T")

GROUPS: tuple[tuple[str, Callable[[ReportTrade], Hashable]], ...] = (
    ("Pair", lambda t: str(t.candidate.pair)),
    ("Direction", lambda t: t.candidate.direction.value),
    ("Regime", lambda t: t.candidate.snapshot.regime.value),
    ("Exit", lambda t: t.follow.exit_reason.value if t.follow.exit_reason else "OPEN"),
    ("Hour (UTC)", lambda t: t.candidate.snapshot.hour),
)


def groups(trades: Sequence[ReportTrade]) -> list[dict[str, Any]]:
    """A table per kind of group: rows of name, trades, share won, R gross, R net, profit factor and P&L, or None."""
    return [
        {"title": title, "rows": [[name, *_figures(part)] for name, part in sorted(_parts(trades, key).items())]}
        for title, key in GROUPS
    ]


def _figures(trades: Sequence[ReportTrade]) -> list[float | None]:
    gross = sum(t.follow.realized_r for t in trades)
    net = [t.r_net for t in trades]
    factor = profit_factor(net)
    pnl = [t.pnl for t in trades if t.pnl is not None]
    return [
        len(trades),
        round(sum(r > 0 for r in net) / len(net), 4),
        round(gross, 4),
        round(sum(net), 4),
        None if factor is None else round(factor, 4),
        round(sum(pnl), 2) if pnl else None,
    ]


def months(trades: Sequence[ReportTrade], account: Account | None) -> list[tuple[int, int, float, int]]:
    """``(year, month, value, trades closed)`` in order, every month of the range of trades or account.

    The value is the change of equity over the month (0.02 = 2%), without an account the sum of net R of the trades that
    closed in it. A close at midnight belongs to the month that it ends.
    """
    closed: dict[int, list[float]] = {}
    for trade in trades:
        if trade.follow.exit_time is not None:
            closed.setdefault(_month(trade.follow.exit_time), []).append(trade.r_net)
    value = {month: sum(results) for month, results in closed.items()}
    if account is not None and len(account.time):
        value = _equity_changes(account)
    if not value:
        return []
    span = range(min(value), max(value) + 1)
    return [(1970 + m // 12, m % 12 + 1, round(value.get(m, 0.0), 6), len(closed.get(m, ()))) for m in span]


def cumulated_r(trades: Sequence[ReportTrade], time: IntArray) -> FloatArray:
    """The net R of all trades whose exit candle had closed by each ``time`` (epoch ms), (n,)."""
    closed = sorted(
        (t.follow.exit_time + t.candidate.timeframe.ms, t.r_net) for t in trades if t.follow.exit_time is not None
    )
    total = np.cumsum([0.0, *(r for _, r in closed)])
    found: FloatArray = total[np.searchsorted([at for at, _ in closed], time, side="right")]
    return found


def _month(ms: int) -> int:
    """Months since January 1970."""
    return int(np.datetime64(ms, "ms").astype("datetime64[M]").astype(np.int64))


def _equity_changes(account: Account) -> dict[int, float]:
    month = (account.time - 1).astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    last = np.append(np.flatnonzero(np.diff(month)), len(month) - 1)
    ends = account.equity[last]
    starts = np.concatenate((account.equity[:1], ends[:-1]))
    changes = np.where(starts > 0, ends / np.where(starts > 0, starts, 1.0) - 1, 0.0)
    return {int(m): float(c) for m, c in zip(month[last], changes, strict=True)}


def refusals(refused: Sequence[ReportRefusal]) -> list[list[Any]]:
    """Rows of rule, signals refused, of how many the outcome is known, the share of those won net, R gross, R net."""
    rows = []
    for name, part in sorted(_parts(refused, lambda r: f"{r.verdict.layer}: {r.verdict.rule}").items()):
        net = [r.r_net for r in part if r.r_net is not None]
        gross = [r.r_gross for r in part if r.r_gross is not None]
        won = round(sum(r > 0 for r in net) / len(net), 4) if net else None
        rows.append([name, len(part), len(net), won, round(sum(gross), 4), round(sum(net), 4)])
    return rows


def _parts(values: Iterable[T], key: Callable[[T], Any]) -> dict[Any, list[T]]:
    parts: dict[Any, list[T]] = {}
    for value in values:
        parts.setdefault(key(value), []).append(value)
    return parts
