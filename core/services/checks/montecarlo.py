"""Monte Carlo: what else could have happened, to an account and to a market.

First the account's own trades in other orders: a drawdown is one order's luck. Then other markets, made of the real
days in blocks, through the whole backtest: the account, its limits and its breakers. Blocks keep what lies within some
days (volatility, the hours, what pairs do together) and break what lasts longer: a rule that lives on trends of weeks
looks worse here than it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from core.config import Settings
from core.domain.candles import DAY_MS, Candles, FloatArray, Pair
from core.engine.metrics import max_drawdown_share, win_rate
from core.engine.resampling import FAN, Paths, another_market, reordered, whole_days
from core.services.portfolio import PortfolioRun, run_portfolio


@dataclass(frozen=True, eq=False)
class OtherOrders:
    """The trades in other orders; ``real`` is (final equity over the start, deepest fall) in their own order.

    ``real`` is compounded like the others, one trade after the other: where trades overlapped it is a little off what
    the account had (real years: by 0.05% of the start).

    The falls are those between closed trades: what a trade was under water on its way is not in them.
    """

    trades: int
    days: int
    real: tuple[float, float]
    shuffled: Paths
    drawn: Paths


@dataclass(frozen=True, eq=False)
class OtherMarkets:
    """One value per market drawn: final equity and deepest fall (marked at every close), net R in all, the share of
    trades won net (NaN without trades), how many trades, and whether the drawdown limit ended all entries.

    ``fan`` (5, days + 1) are the quantiles ``FAN`` of equity at the end of each day; all equity as a multiple of the
    start. ``real`` is the same backtest on the candles as they are. ``source_days`` is how many days there were to
    draw from.
    """

    source_days: int
    days: int
    block_days: float
    final: FloatArray
    drawdown: FloatArray
    net_r: FloatArray
    win_rate: FloatArray
    trades: FloatArray
    paused: FloatArray
    fan: FloatArray
    real: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class MonteCarlo:
    """``orders`` None: the account took no trade; ``markets`` None: none were asked for, or no whole day is there.

    ``limit`` is the drawdown (share) at which entries pause; ``paused_since`` when that happened in fact, epoch ms.
    """

    orders: OtherOrders | None
    markets: OtherMarkets | None
    limit: float
    paused_since: int | None


def check_montecarlo(
    candles: Mapping[Pair, Candles],
    settings: Settings,
    start_ms: int,
    end_ms: int,
    *,
    trials: int = 1000,
    markets: int = 200,
    block_days: float = 3,
    seed: int = 7,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> MonteCarlo:
    """The portfolio backtest of ``[start_ms, end_ms)`` and what chance could have made of it.

    ``trials`` orders of its trades and ``markets`` other markets; ``block_days`` is the mean length of a block.
    ``candles`` as for ``run_portfolio``. The same input and ``seed`` give the same answer.
    """
    rng = np.random.default_rng(seed)
    run = run_portfolio(candles, settings, start_ms, end_ms)
    orders = other_orders(run, trials, rng)
    others = None
    if markets > 0:
        others = _other_markets(candles, settings, run, (start_ms, end_ms), markets, block_days, rng, progress)
    return MonteCarlo(orders, others, settings.portfolio.drawdown_pause, run.paused_since)


def other_orders(run: PortfolioRun, trials: int, rng: np.random.Generator) -> OtherOrders | None:
    """Other orders of a run's trades, each with the share of equity it won or lost; None without trades.

    A trade's share is its net profit over the equity at its entry: net R at the risk that was actually taken. Trades of
    one UTC day stay together and in their order.
    """
    if not run.trades:
        return None
    closes = np.array([trade.candidate.close_time for trade in run.trades], dtype=np.int64)
    equity = run.equity[np.searchsorted(run.time, closes)]
    returns = np.array([trade.pnl for trade in run.trades]) / equity
    day = closes // DAY_MS
    path: FloatArray = np.cumprod(np.concatenate(([1.0], 1 + returns)), dtype=np.float64)
    return OtherOrders(
        len(returns),
        len(np.unique(day)),
        (float(path[-1]), max_drawdown_share(path)),
        reordered(returns, day, trials, rng, replacement=False),
        reordered(returns, day, trials, rng, replacement=True),
    )


def _other_markets(
    candles: Mapping[Pair, Candles],
    settings: Settings,
    run: PortfolioRun,
    period: tuple[int, int],
    count: int,
    block_days: float,
    rng: np.random.Generator,
    progress: Callable[[int, int], None],
) -> OtherMarkets | None:
    source = whole_days(list(candles.values()), *period)
    if not len(source):
        return None
    per_day = DAY_MS // settings.frame.ms
    # Days before the range, on which nothing is traded, so that other markets begin as warm as the real one.
    before = math.ceil(settings.candles.history / per_day)
    length = max(1, round((period[1] - period[0]) / DAY_MS))
    begin = int(source[0]) + before * DAY_MS
    rows: list[Mapping[str, float]] = []
    daily = np.empty((count, length + 1))
    for number in range(count):
        market = another_market(candles, source, before + length, block_days, rng)
        other = run_portfolio(market, settings, begin)
        rows.append(_figures(other, settings))
        daily[number] = np.concatenate(([settings.paper.start_balance], other.equity[per_day - 1 :: per_day]))
        progress(number + 1, count)
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    fan = np.quantile(daily / settings.paper.start_balance, FAN, axis=0)
    return OtherMarkets(len(source), length, block_days, **columns, fan=fan, real=_figures(run, settings))


def _figures(run: PortfolioRun, settings: Settings) -> dict[str, float]:
    results = np.array([trade.r_net for trade in run.trades], dtype=np.float64)
    won = win_rate(results)
    equity = np.concatenate(([settings.paper.start_balance], run.equity))
    return {
        "final": float(equity[-1] / equity[0]),
        "drawdown": max_drawdown_share(equity),
        "net_r": float(results.sum()),
        "win_rate": math.nan if won is None else won,
        "trades": float(len(results)),
        "paused": float(run.paused_since is not None),
    }
