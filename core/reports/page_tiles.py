"""The key figures of a backtest, in the words of a trader."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.domain.candles import DAY_MS, BoolArray, FloatArray, IntArray
from core.domain.trading import Follow
from core.engine.metrics import (
    daily_returns,
    expectancy,
    exposure,
    longest_underwater,
    max_drawdown,
    profit_factor,
    sharpe,
    sortino,
    win_rate,
    worst_drawdown,
)


@dataclass(frozen=True, slots=True)
class Tile:
    """A key figure: ``tone`` is good, bad or empty."""

    label: str
    value: str
    detail: str = ""
    tone: str = ""


def account_tiles(
    results: Sequence[tuple[Follow, float, float]],
    time: IntArray,
    equity: FloatArray,
    benchmark: FloatArray,
    exposed: BoolArray,
    start_balance: float,
    target_first: float,
) -> tuple[Tile, ...]:
    """Tiles of an account. ``results``: a closed trade's follow, net R and net USDT; arrays (n,) as in ``Account``.

    ``target_first``: the net P&L had ambiguous candles touched their targets before the stop.
    """
    returns = daily_returns(time, equity)
    change = equity[-1] / start_balance - 1 if len(equity) else 0.0
    total = float(equity[-1]) - start_balance if len(equity) else 0.0
    pnl = [money for _, _, money in results]
    stop_first = f"stop first, as counted: {_signed(total, 0)}"
    other = Tile("Target first", _signed(target_first, 0, " USDT"), stop_first, _tone(target_first))
    tiles = [
        Tile(
            "Net P&L", _signed(total, 0, " USDT"), f"{_signed(change * 100, 1)}% of {start_balance:,.0f}", _tone(total)
        ),
        _benchmark(benchmark, change),
        _win_rate([f for f, _, _ in results], [r for _, r, _ in results], "trades"),
        _factor(pnl, "won for each 1 lost, in USDT"),
        _expectancy([r for _, r, _ in results], sum(pnl) / len(pnl) if pnl else None),
        _drawdown(time, equity),
        _ratio("Sharpe", sharpe(returns), "of daily returns, a year", returns),
        _ratio("Sortino", sortino(returns), "only falls count as risk", returns),
        Tile("Exposure", _share(exposure(exposed)), "of the time something was open"),
    ]
    return (*tiles, *_r_tiles([follow for follow, _, _ in results], [r for _, r, _ in results], other))


def signal_tiles(results: Sequence[tuple[Follow, float]], target_first: float) -> tuple[Tile, ...]:
    """Tiles of signals that no account took. ``results``: a follow and its net R, in time order.

    ``target_first``: the net R had ambiguous candles touched their targets before the stop.
    """
    net = [r for _, r in results]
    ends, place = np.unique([follow.exit_time or 0 for follow, _ in results], return_inverse=True)
    closed = np.bincount(place, weights=net, minlength=len(ends)) if results else np.empty(0)
    deepest = max_drawdown(np.concatenate(([0.0], np.cumsum(closed))))
    fall = Tile("Max drawdown", f"{deepest:.1f} R", "of the sum of closed signals, net")
    middle = (
        _win_rate([f for f, _ in results], net, "signals"),
        _factor(net, "won for each 1 lost, in R"),
        _expectancy(net, None),
        fall,
    )
    stop_first = f"stop first, as counted: {_signed(sum(net), 1)}"
    other = Tile("Target first", _signed(target_first, 1, " R"), stop_first, _tone(target_first))
    return (*middle, *_r_tiles([follow for follow, _ in results], net, other)) if results else ()


def _benchmark(benchmark: FloatArray, change: float) -> Tile:
    if not len(benchmark) or not benchmark[0] > 0:
        return Tile("Basket held", "–")
    held = float(benchmark[-1] / benchmark[0]) - 1
    words = "the account did better" if change > held else "the account did worse"
    return Tile("Basket held", f"{_signed(held * 100, 1)}%", words if change != held else "", _tone(held))


def _win_rate(follows: Sequence[Follow], net: Sequence[float], what: str) -> Tile:
    wins, before = sum(r > 0 for r in net), win_rate([follow.realized_r for follow in follows])
    detail = f"{wins} of {len(net)} {what} after costs" + (f", {before:.0%} before" if before is not None else "")
    return Tile("Win rate", _share(win_rate(net)), detail)


def _factor(results: Sequence[float], words: str) -> Tile:
    factor = profit_factor(results)
    tone = "" if factor is None else "good" if factor > 1 else "bad"
    return Tile("Profit factor", _number(factor), words if factor is not None else "nothing was lost", tone)


def _expectancy(net: Sequence[float], money: float | None) -> Tile:
    mean = expectancy(net)
    if mean is None:
        return Tile("Expectancy", "–")
    return Tile(
        "Expectancy",
        _signed(mean, 2, " R"),
        f"{_signed(money, 2)} USDT a trade" if money is not None else "net, a signal",
        _tone(mean),
    )


def _drawdown(time: IntArray, equity: FloatArray) -> Tile:
    """The deepest fall as a share of its high, and the longest time below a high."""
    worst = worst_drawdown(time, equity)
    if worst is None:
        return Tile("Max drawdown", _share(0.0), "never below a high")
    days = longest_underwater(time, equity) / DAY_MS
    under = f"{days:.0f} days" if days >= 2 else f"{days * 24:.0f} hours"
    return Tile("Max drawdown", _share(worst.share), f"longest below a high: {under}", "bad")


def _ratio(label: str, value: float | None, words: str, returns: FloatArray) -> Tile:
    if value is None:
        words = "too few days to say" if len(returns) < 2 else "no day fell" if np.ptp(returns) > 0 else "nothing moved"
    return Tile(label, _number(value), words, _tone(value))


def _r_tiles(follows: Sequence[Follow], net: Sequence[float], target_first: Tile) -> tuple[Tile, ...]:
    if not follows:
        return ()
    gross = sum(follow.realized_r for follow in follows)
    ambiguous = sum(follow.ambiguous for follow in follows)
    return (
        Tile("R net", _signed(sum(net), 1), f"{_signed(gross, 1)} before costs", _tone(sum(net))),
        Tile("Ambiguous", _share(ambiguous / len(follows)), f"{ambiguous} touched stop and target in one candle"),
        target_first,
    )


def _tone(value: float | None) -> str:
    return "good" if value is not None and value > 0 else "bad" if value is not None and value < 0 else ""


def _signed(value: float, digits: int, unit: str = "") -> str:
    text = f"{value:+,.{digits}f}".replace("-", "−")
    return (text if float(f"{value:.{digits}f}") else text[1:]) + unit


def _number(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:,.2f}".replace("-", "−")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}".replace("-", "−")
