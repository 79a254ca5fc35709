"""The portfolio backtest over stored candles: what one account would have made of all pairs' signals together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.config import Settings
from core.domain.candles import BoolArray, Candles, FloatArray, IntArray, Pair
from core.engine.indicators import indicators
from core.engine.outcomes import find_outcomes
from core.engine.portfolio import AccountRun, FactsOf, LowerCandles, Market, PortfolioTrade, Refusal, run_account
from core.engine.strategy import candidates

__all__ = ["PortfolioRun", "PortfolioTrade", "Refusal", "run_portfolio"]


@dataclass(frozen=True, eq=False)
class PortfolioRun:
    """One account over all pairs; the arrays are (n,), one value per close in the range (union over pairs).

    ``trades`` and ``refused`` are in the order of their signals; ``open`` counts what is open at the end. ``time``
    close times, epoch ms; ``equity`` USDT at those closes, costs paid, before the entries of the same close;
    ``exposed`` whether anything was open; ``benchmark`` USDT: the start balance spread evenly over the pairs at the
    first close and held, without costs. ``paused_since``: the close at which the drawdown limit ended all entries.
    """

    trades: tuple[PortfolioTrade, ...]
    refused: tuple[Refusal, ...]
    open: int
    time: IntArray
    equity: FloatArray
    exposed: BoolArray
    benchmark: FloatArray
    settings: Settings
    paused_since: int | None = None

    def figures(self) -> dict[str, Any]:
        """The run in numbers, as JSON can hold them; None where nothing can be said."""
        return {"trades": len(self.trades), "open": self.open, "refused": len(self.refused)}


def run_portfolio(
    candles: Mapping[Pair, Candles],
    settings: Settings,
    start_ms: int | None = None,
    end_ms: int | None = None,
    *,
    lower: LowerCandles | None = None,
) -> PortfolioRun:
    """Trades every signal in ``[start_ms, end_ms)`` with one account, as ``replay`` with its layers does.

    ``candles`` hold the traded pairs (those of ``settings.pairs`` count) and, where stored, ``settings.btc``; what
    lies before ``start_ms`` warms up. ``lower``: stored candles below the trading timeframe for the alignment rule;
    without them that timeframe is unknown. ``settings.mode`` is not looked at.
    """
    used = {pair: c.between(None, end_ms) for pair, c in candles.items()}
    start = start_ms if start_ms is not None else min((int(c.time[0]) for c in used.values() if len(c)), default=0)
    markets = [_market(used[pair], settings, start) for pair in settings.traded if pair in used]
    run = run_account(markets, FactsOf(used, settings, lower or {}), settings, start)
    return PortfolioRun(
        trades=run.trades,
        refused=run.refused,
        open=run.open,
        time=run.time,
        equity=run.equity,
        exposed=run.exposed,
        benchmark=_benchmark(markets, run, settings),
        settings=settings,
        paused_since=run.paused_since,
    )


def _market(candles: Candles, settings: Settings, start_ms: int) -> Market:
    rules, max_gap = settings.strategy, settings.candles.max_gap
    ind = indicators(candles, max_gap)
    first_row = int(np.searchsorted(candles.time, start_ms))
    entries = candidates(candles, ind, rules, max_gap=max_gap, first_row=first_row)
    entries = entries.only(entries.is_signal)
    outcomes = find_outcomes(
        candles,
        entries.row,
        entries.sign,
        ind.atr[entries.row],
        stop_atr=rules.stop_atr,
        max_bars=rules.max_bars,
        fills=settings.fills,
        breakeven=rules.breakeven_after_tp1,
        max_gap=max_gap,
    )
    return Market(candles, ind, entries, outcomes)


def _benchmark(markets: Sequence[Market], run: AccountRun, settings: Settings) -> FloatArray:
    """The basket: a pair that begins later lies in cash until its first close, one that ends keeps its last."""
    opens = run.time - settings.frame.ms
    worth = np.zeros(len(opens))
    held = [m.candles.between(int(opens[0]), None) for m in markets] if len(opens) else []
    held = [c for c in held if len(c)]
    for candles in held:
        row = np.maximum(np.searchsorted(candles.time, opens, side="right") - 1, 0)
        worth += candles.close[row] / candles.close[0]
    return worth * (settings.paper.start_balance / len(held)) if held else worth
