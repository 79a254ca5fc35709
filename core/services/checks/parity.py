"""Parity: the live loop replayed on stored candles gives the backtest's trades, and every difference has a name.

Two implementations that share neither the way to an outcome nor the way through time must agree: the loop goes candle
by candle through the ledger, the backtest searches arrays. Once for the bare strategy, once with all layers against the
portfolio backtest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import numpy as np

from core.config import Settings
from core.domain.candles import BoolArray, Candles, Pair, iso
from core.domain.trading import ExitReason
from core.ports import Ledger, SettableClock
from core.services.backtest import COLUMNS, run_backtest
from core.services.checks.differences import (
    Difference,
    Key,
    Table,
    Value,
    account_tables,
    differences,
    money_row,
)
from core.services.portfolio import PortfolioRun, run_portfolio
from core.services.records import ledger_row
from core.services.replay import Replay, replay

RELATIVE = 1e-5
"""Numbers of the two worlds this close (relative) are the same: the loop keeps some hundred candles of history."""

_NOT_COMPARED = ("signal_id", "source", "sample_weight")  # they say where a row comes from, not what happened
FIELDS = (*(c for c in COLUMNS if c not in (*_NOT_COMPARED, "timestamp", "symbol")), "realized_r_net", "ambiguous")


@dataclass(frozen=True)
class Parity:
    """``compared`` trades, ``refused`` refusals and ``closes`` of the account were held against each other; of each
    difference ``first`` is the backtest's value and ``second`` the replay's."""

    layers: bool
    compared: int
    differences: tuple[Difference, ...]
    refused: int = 0
    closes: int = 0


Books = Callable[[], AbstractAsyncContextManager[Ledger]]
"""Opens an empty ledger for one replay."""


async def check_parity(
    candles: Mapping[Pair, Candles],
    settings: Settings,
    books: Books,
    clock: Callable[[int], SettableClock],
    start_ms: int,
    end_ms: int,
    *,
    layers: bool,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Parity:
    """Replays ``[start_ms, end_ms)`` and holds it against the backtest, or with ``layers`` the portfolio backtest.

    ``candles`` hold the pairs to trade and BTC as the reference; earlier ones warm up. ``clock`` gives a clock that
    stands at an epoch time in ms. Without layers only entries count that both worlds are meant to give: with
    ``candles.min_history`` candles in their stretch, ``strategy.max_bars`` after them, and not ended by a gap.
    """
    async with books() as ledger:
        moment = clock(start_ms)
        found = await replay(candles, settings, ledger, moment, start_ms, end_ms, layers=layers, progress=progress)
        curve = await ledger.equity_curve()
    if not layers:
        return _bare(candles, settings, found, start_ms, end_ms)
    return _whole(run_portfolio(candles, settings, start_ms, end_ms), found, curve)


def _bare(candles: Mapping[Pair, Candles], settings: Settings, found: Replay, start_ms: int, end_ms: int) -> Parity:
    traded = {p: c for p in settings.traded if (c := candles.get(p)) is not None}
    judges = {p: _Trusted.of(c.between(None, end_ms), settings) for p, c in traded.items()}
    theirs: dict[Key, Mapping[str, Value]] = {}
    for row in found.trades:
        if row.follow.follow.exit_reason is ExitReason.GAP or not judges[row.decision.pair](row.decision.open_time):
            continue
        theirs[str(row.decision.pair), iso(row.decision.open_time)] = ledger_row(row, settings)
    ours: dict[Key, Mapping[str, Value]] = {}
    for part in run_backtest(traded, settings, start_ms, end_ms).parts:
        columns = part.columns()
        for index, time in enumerate(part.indicators.time[part.entries.row]):
            if judges[part.pair](int(time)):
                ours[str(part.pair), iso(int(time))] = {name: columns[name][index] for name in FIELDS}
    return Parity(False, len(ours), tuple(differences(ours, theirs, "trade", RELATIVE)))


@dataclass(frozen=True, eq=False)
class _Trusted:
    """Which entries both worlds are meant to give."""

    candles: Candles
    able: BoolArray

    @classmethod
    def of(cls, candles: Candles, settings: Settings) -> _Trusted:
        able = np.zeros(len(candles), dtype=np.bool_)
        for first, last in candles.stretches(settings.candles.max_gap):
            able[first + settings.candles.min_history - 1 : last] = True
        able[max(0, len(candles) - settings.strategy.max_bars) :] = False
        return cls(candles, able)

    def __call__(self, time: int) -> bool:
        return bool(self.able[self.candles.time.searchsorted(time)])


def _whole(run: PortfolioRun, found: Replay, curve: list[tuple[int, float]]) -> Parity:
    trades: dict[Key, Mapping[str, Value]] = {}
    for row in found.trades:
        record, key = row.follow, (str(row.decision.pair), iso(row.decision.open_time))
        amounts = (record.quantity, record.risk_amount, record.entry_fill, record.pnl, record.r_net)
        trades[key] = money_row(amounts, record.follow)
    refused: dict[Key, Mapping[str, Value]] = {}
    for row in found.rows:
        if row.decision.status == "refused":
            verdict = next((v for v in row.decision.verdicts if v.ruling == "refuse"), None)
            rule = f"{verdict.layer}: {verdict.rule}" if verdict else "unknown"
            refused[str(row.decision.pair), iso(row.decision.open_time)] = {"refused by": rule}
    closes = {("account", iso(time)): {"equity": equity} for time, equity in curve}
    theirs: tuple[Table, Table, Table] = (trades, refused, closes)
    ours = account_tables(run)
    found_differences = tuple(
        difference
        for what, here, there in zip(("trade", "refusal", "close"), ours, theirs, strict=True)
        for difference in differences(here, there, what, RELATIVE)
    )
    return Parity(True, len(ours[0]), found_differences, len(ours[1]), len(ours[2]))
