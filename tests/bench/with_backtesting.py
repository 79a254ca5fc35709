"""The same entries in backtesting.py: three partial trades per entry, each with the stop and a target of its own.

backtesting.py is AGPL and lives in tests only. It fills a stop that the candle opens beyond at the open, which is our
``fills: pessimistic``; a target that the candle opens beyond it fills at the open as well, which is better than the
target and which we never do.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from core.domain.candles import Candles, FloatArray, IntArray
from core.domain.trading import TARGET_R
from core.engine.outcomes import EXITS, OPEN, Outcomes
from core.engine.strategy import SignArray

SIZES = (5, 3, 2)  # 50%, 30% and 20%; it takes whole units only
MAX_BARS = 100


class Leg(NamedTuple):
    """How one part of an entry ended: the row of the candle, the price, R per unit of this part."""

    row: int
    price: float
    r: float


Legs = dict[tuple[int, int], Leg]
"""By the entry's row and the number of its target, 0 to 2."""


def theirs(candles: Candles, row: IntArray, sign: SignArray, atr: FloatArray, *, max_gap: int = 8) -> Legs:
    """What backtesting.py makes of entries at the close of each ``row``, all arrays (n,), rows ascending.

    A trade still open after 100 candles, or at the last candle before a long gap, is closed at that close. Legs still
    open at the last candle are not among them.
    """
    ends = {last - 1 for _, last in candles.stretches(max_gap)}
    entries: Callable[[], tuple[Any, ...]] = lambda: (row, sign, atr)  # noqa: E731
    stats = run(candles, entries, ends)
    legs: Legs = {}
    for trade in stats.to_dict("records"):
        at, part = trade["Tag"]
        entry, price = float(trade["EntryPrice"]), float(trade["ExitPrice"])
        r = np.sign(trade["Size"]) * (price - entry) / abs(entry - trade["SL"])
        legs[at, part] = Leg(int(trade["ExitBar"]), price, float(r))
    return legs


def run(candles: Candles, entries: Callable[[], tuple[Any, ...]], stretch_ends: set[int] | None = None) -> pd.DataFrame:
    """Its table of closed trades. ``entries`` is called inside its run, so that indicators may count to its time."""
    os.environ["TQDM_DISABLE"] = "1"
    from backtesting import Backtest, Strategy

    ends = stretch_ends or set()

    class Crossovers(Strategy):  # type: ignore[misc]
        def init(self) -> None:
            row, sign, atr = entries()
            found = zip(row.tolist(), sign.tolist(), atr.tolist(), strict=True)
            self.plan = {at: (side, 2.0 * width) for at, side, width in found}

        def next(self) -> None:
            bar = len(self.data) - 1
            for trade in self.trades:
                if bar - trade.entry_bar >= MAX_BARS or bar in ends:
                    trade.close()
            if bar not in self.plan or bar in ends:
                return
            sign, risk = self.plan[bar]
            entry = float(self.data.Close[-1])
            order = self.buy if sign > 0 else self.sell
            for part, (size, r) in enumerate(zip(SIZES, TARGET_R, strict=True)):
                order(size=size, sl=entry - sign * risk, tp=entry + sign * r * risk, tag=(bar, part))

    table = pd.DataFrame(
        {name.capitalize(): getattr(candles, name) for name in ("open", "high", "low", "close", "volume")},
        index=pd.to_datetime(candles.time, unit="ms"),
    )
    game = Backtest(table, Crossovers, cash=1e15, margin=1, trade_on_close=True, hedging=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="backtesting")  # it uses names that newer pandas gives up
        warnings.filterwarnings("ignore", message="Some trades remain open")  # as they do with us
        trades: pd.DataFrame = game.run()["_trades"]
    return trades


def ours(found: Outcomes) -> Legs:
    """The legs of closed entries; a part whose target was not hit ends where the rest of the trade does."""
    legs: Legs = {}
    for index in np.flatnonzero(found.exit != OPEN):
        entry, sign = found.entry[index], int(found.sign[index])
        risk = found.risk[index]
        for part in range(3):
            hit = found.targets_hit[index] > part
            price = found.targets[index, part] if hit else found.exit_price[index]
            row = found.target_row[index, part] if hit else found.exit_row[index]
            leg = Leg(int(row), float(price), float(sign * (price - entry) / risk))
            legs[int(found.entry_row[index]), part] = leg
    return legs


def reason(found: Outcomes, index: int, part: int) -> str:
    return f"TP{part + 1}" if found.targets_hit[index] > part else EXITS[int(found.exit[index])].value
