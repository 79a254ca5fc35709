"""What runs in vectorbt's own environment: ``python vectorbt_side.py IN.npz OUT.npz``. It can import nothing of ours.

In: candles of all pairs as matrices (candles, pairs), and windows of ``max_bars + 1`` candles, one column per entry,
that begin with the entry's candle. Out: seconds, crossovers, and for each of three targets how every entry ended.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

began = time.perf_counter()
import vectorbt as vbt  # noqa: E402 - its import is measured

IMPORTED = time.perf_counter() - began
TARGETS = (1.5, 2.5, 4.0)
SHARES = (0.5, 0.3, 0.2)


def signals(m: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Entries long and short by its own indicators, and the ATR. It has neither an ADX nor a Hurst exponent."""
    close = m["close"]
    fast, slow = vbt.MA.run(close, 15, short_name="fast"), vbt.MA.run(close, 40, short_name="slow")
    rsi = vbt.RSI.run(close, 14, ewm=True).rsi.to_numpy()
    atr = vbt.ATR.run(m["high"], m["low"], close, 14, ewm=True).atr.to_numpy()
    busy = m["volume"] >= 0.75 * vbt.MA.run(m["volume"], 20).ma.to_numpy()
    above, below = fast.ma_crossed_above(slow).to_numpy(), fast.ma_crossed_below(slow).to_numpy()
    return above & busy & (rsi <= 70), below & busy & (rsi >= 30), atr


def trades(m: dict[str, Any], targets: int = 3) -> list[Any]:
    """Candles to trades: one portfolio per target, for it knows one stop and one target a position."""
    long, short, atr = signals(m)
    stop = np.nan_to_num(2 * atr / m["close"], nan=0.1)
    parts = list(zip(TARGETS, SHARES, strict=True))[:targets]
    return [portfolio(m, long, short, stop, r, share).trades.records for r, share in parts]


def timed(m: dict[str, Any], targets: int, runs: int) -> list[float]:
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        trades(m, targets)
        taken.append(time.perf_counter() - start)
    return taken


def portfolio(m: dict[str, Any], long: Any, short: Any, stop: Any, r: float, share: float, **more: Any) -> Any:
    return vbt.Portfolio.from_signals(
        m["close"],
        entries=long,
        short_entries=short,
        open=m["open"],
        high=m["high"],
        low=m["low"],
        sl_stop=stop,
        tp_stop=r * stop,
        stop_entry_price="close",
        size=share,
        init_cash=1e12,
        upon_opposite_entry="ignore",
        **more,
    )


def ends(m: dict[str, Any], r: float) -> tuple[Any, Any]:
    """Row within the window and price at which every entry ended, closed at the window's last candle at the latest."""
    first = np.zeros(m["close"].shape, dtype=bool)
    first[0] = True
    last = np.zeros_like(first)
    last[-1] = True
    is_long = m["sign"] > 0
    found = portfolio(
        m, first & is_long, first & ~is_long, m["stop"][None, :], r, 1.0, exits=last, short_exits=last
    ).trades.records
    row, price = np.full(len(m["sign"]), -1), np.full(len(m["sign"]), np.nan)
    row[found["col"]], price[found["col"]] = found["exit_idx"], found["exit_price"]
    return row, price


def main(source: str, target: str) -> None:
    with np.load(source) as file:
        given = {name: file[name] for name in file.files}
    m = {name: given[name] for name in ("open", "high", "low", "close", "volume")}
    start = time.perf_counter()
    trades(m)
    first = time.perf_counter() - start
    taken = timed(m, 3, int(given["runs"]))
    fast, slow = vbt.MA.run(m["close"], 15), vbt.MA.run(m["close"], 40)
    windows = {name.removeprefix("w_"): given[name] for name in given if name.startswith("w_")}
    found = [ends(windows, r) for r in TARGETS]
    np.savez(
        target,
        seconds=taken,
        seconds_one=timed(m, 1, int(given["runs"])),
        compiling=first - float(np.median(taken)),
        importing=IMPORTED,
        above=fast.ma_crossed_above(slow).to_numpy(),
        below=fast.ma_crossed_below(slow).to_numpy(),
        row=np.stack([row for row, _ in found], axis=1),
        price=np.stack([price for _, price in found], axis=1),
        version=vbt.__version__,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
