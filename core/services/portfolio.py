"""The portfolio backtest over stored candles: what one account would have made of all pairs' signals together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np

from core.config import Settings
from core.domain.candles import DAY_MS, BoolArray, Candles, FloatArray, IntArray, Pair, iso
from core.engine import metrics
from core.engine.portfolio import AccountRun, FactsOf, LowerCandles, Market, PortfolioTrade, Refusal, run_account
from core.services.backtest import Backtest, market_of, targets_first

__all__ = ["PortfolioRun", "PortfolioTrade", "Refusal", "run_portfolio"]


@dataclass(frozen=True, eq=False)
class PortfolioRun:
    """One account over all pairs; the arrays are (n,), one value per close in the range (union over pairs).

    ``trades`` and ``refused`` are in the order of their signals; ``open`` counts what is open at the end. ``time``
    close times, epoch ms; ``equity`` USDT at those closes, costs paid, before the entries of the same close;
    ``exposed`` whether anything was open; ``benchmark`` USDT: the start balance spread evenly over the pairs at the
    first close and held, without costs. ``decided``: trades in whose ambiguous candle smaller candles told the order;
    ``paused_since``: the close at which the drawdown limit ended all entries.
    """

    trades: tuple[PortfolioTrade, ...]
    refused: tuple[Refusal, ...]
    open: int
    time: IntArray
    equity: FloatArray
    exposed: BoolArray
    benchmark: FloatArray
    settings: Settings
    decided: int = 0
    paused_since: int | None = None
    again: Callable[[], PortfolioRun] | None = field(default=None, repr=False)

    @cached_property
    def target_first(self) -> PortfolioRun:
        """The same market lived through with the other order in ambiguous candles: targets before the stop.

        Run when first asked for; this run itself where no signal's outcome depends on the order.
        """
        return self.again() if self.again is not None else self

    def figures(self) -> dict[str, Any]:
        """The run in numbers, as JSON can hold them; None where nothing can be said.

        Money in USDT: ``pnl`` is net, ``pnl_gross`` before fees and slippage, both of closed trades. R is gross unless
        the name ends in ``_net``; ``wins`` are gross. Shares are 0..1, times ISO, lengths days. ``by``: the trades by
        pair and by regime, hour (UTC) and month of their signal candle. ``target_first``: the main figures with
        the other order in ambiguous candles.
        """
        refusals = Counter(f"{r.verdict.layer}: {r.verdict.rule}" for r in self.refused)
        other = self.target_first._main_figures()
        return {
            "from": iso(int(self.time[0]) - self.settings.frame.ms) if len(self.time) else None,
            "to": iso(int(self.time[-1])) if len(self.time) else None,
            "start_balance": self.settings.paper.start_balance,
            **self._main_figures(),
            "exposure": metrics.exposure(self.exposed),
            "open": self.open,
            "refused": len(self.refused),
            "refusals": dict(sorted(refusals.items(), key=lambda item: (-item[1], item[0]))),
            "paused_since": None if self.paused_since is None else iso(self.paused_since),
            "ambiguous_share": _mean([t.follow.ambiguous for t in self.trades]),
            "decided": self.decided,
            "target_first": other,
            "benchmark": {"equity": _last(self.benchmark), **_curve_figures(self.time, self.benchmark)},
            "by": {name: self._by(key) for name, key in _GROUPS.items()},
        }

    def _main_figures(self) -> dict[str, Any]:
        pnl = [t.pnl for t in self.trades]
        gross = [t.follow.realized_r * t.risk_amount for t in self.trades]
        return {
            "equity": _last(self.equity) if len(self.equity) else self.settings.paper.start_balance,
            **_curve_figures(self.time, self.equity),
            **_trade_figures(self.trades),
            "pnl_gross": sum(gross),
            "costs": sum(gross) - sum(pnl),
            "expectancy": metrics.expectancy(pnl),
            "expectancy_r": metrics.expectancy([t.follow.realized_r for t in self.trades]),
            "expectancy_r_net": metrics.expectancy([t.r_net for t in self.trades]),
            "profit_factor": metrics.profit_factor(gross),
        }

    def _by(self, key: Callable[[PortfolioTrade], str]) -> dict[str, Any]:
        groups: dict[str, list[PortfolioTrade]] = {}
        for trade in self.trades:
            groups.setdefault(key(trade), []).append(trade)
        return {name: _trade_figures(groups[name]) for name in sorted(groups)}


_GROUPS: dict[str, Callable[[PortfolioTrade], str]] = {
    "pair": lambda trade: str(trade.candidate.pair),
    "regime": lambda trade: trade.candidate.snapshot.regime.value,
    "hour": lambda trade: f"{trade.candidate.snapshot.hour:02d}",
    "month": lambda trade: iso(trade.candidate.open_time)[:7],
}


def run_portfolio(
    candles: Mapping[Pair, Candles],
    settings: Settings,
    start_ms: int | None = None,
    end_ms: int | None = None,
    *,
    lower: LowerCandles | None = None,
    detail: Mapping[Pair, Candles] | None = None,
    backtest: Backtest | None = None,
) -> PortfolioRun:
    """Trades every signal in ``[start_ms, end_ms)`` with one account, as ``replay`` with its layers does.

    ``candles`` hold the traded pairs (those of ``settings.pairs`` count) and, where stored, ``settings.btc``; what
    lies before ``start_ms`` warms up. ``lower``: stored candles below the trading timeframe for the alignment rule;
    without them that timeframe is unknown. ``detail``: candles that tell the order inside an ambiguous candle.
    ``backtest``: a backtest of the same pairs, settings, range and detail, whose work is then not done again.
    ``settings.mode`` is not looked at.
    """
    if backtest is not None:
        start_ms, end_ms = backtest.start_ms, backtest.end_ms
        known = {part.pair: part.market for part in backtest.parts}
    else:
        known = {
            pair: market_of(candles[pair], settings, start_ms, end_ms, detail=(detail or {}).get(pair))
            for pair in settings.traded
            if pair in candles
        }
    markets = [known[pair] for pair in settings.traded if pair in known]
    start = (
        start_ms
        if start_ms is not None
        else min((int(m.candles.time[0]) for m in markets if len(m.candles)), default=0)
    )
    used = {pair: c.between(None, end_ms) for pair, c in candles.items()} | {m.pair: m.candles for m in markets}
    facts = FactsOf(used, settings, lower or {})
    others = [targets_first(market, settings) for market in markets]
    depends = any(other is not market for other, market in zip(others, markets, strict=True))
    again = partial(_run, others, facts, settings, start) if depends else None
    return _run(markets, facts, settings, start, again)


def _run(
    markets: Sequence[Market],
    facts: FactsOf,
    settings: Settings,
    start_ms: int,
    again: Callable[[], PortfolioRun] | None = None,
) -> PortfolioRun:
    run = run_account(markets, facts, settings, start_ms)
    return PortfolioRun(
        trades=run.trades,
        refused=run.refused,
        open=run.open,
        time=run.time,
        equity=run.equity,
        exposed=run.exposed,
        benchmark=_benchmark(markets, run, settings),
        settings=settings,
        decided=run.decided,
        paused_since=run.paused_since,
        again=again,
    )


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


def _curve_figures(time: IntArray, equity: FloatArray) -> dict[str, Any]:
    returns = metrics.daily_returns(time, equity)
    worst = metrics.worst_drawdown(time, equity)
    return {
        "return": float(equity[-1] / equity[0] - 1) if len(equity) else None,
        "annual_growth": metrics.annual_growth(time, equity),
        "sharpe": metrics.sharpe(returns),
        "sortino": metrics.sortino(returns),
        "drawdown": None
        if worst is None
        else {
            "depth": worst.depth,
            "share": worst.share,
            "start": iso(worst.start),
            "trough": iso(worst.trough),
            "end": None if worst.end is None else iso(worst.end),
            "days": worst.length / DAY_MS,
        },
        "underwater_days": metrics.longest_underwater(time, equity) / DAY_MS,
    }


def _trade_figures(trades: Sequence[PortfolioTrade]) -> dict[str, Any]:
    gross, net = [t.follow.realized_r for t in trades], [t.r_net for t in trades]
    pnl = [t.pnl for t in trades]
    return {
        "trades": len(trades),
        "wins": sum(r > 0 for r in gross),
        "win_rate": metrics.win_rate(gross),
        "wins_net": sum(p > 0 for p in pnl),
        "realized_r": sum(gross),
        "realized_r_net": sum(net),
        "pnl": sum(pnl),
        "profit_factor_net": metrics.profit_factor(pnl),
    }


def _last(values: FloatArray) -> float | None:
    return float(values[-1]) if len(values) else None


def _mean(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None
