"""The strategy the way a first version is written: a DataFrame, a loop over its rows, one thing after the other.

It is the yardstick of ``make bench`` and shares no code with the engine. It is right, too: a test holds that it
finds the same signals with the same outcomes, for being faster than something wrong would say nothing. Smoothed
indicators use pandas' own ``rolling`` and ``ewm``; the Hurst exponent, the regime, the signals and the outcomes go row
by row.

As a program (``python -m tests.bench.row_by_row FOLDER``) it reads every ``*-15m.csv`` there and prints what came out.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

STEP_MS = 900_000
MAX_GAP = 8
WARM_UP = 50
MAX_BARS = 100
COOLDOWN = 8


def run(frame: pd.DataFrame, symbol: str) -> pd.DataFrame:
    """The signals of one pair with their outcomes: the columns of the training CSV, a row per signal.

    ``frame`` has the columns timestamp (open time, epoch ms), open, high, low, close, volume, oldest first.
    """
    frame = frame.reset_index(drop=True)
    stretch = (frame["timestamp"].diff() > (MAX_GAP + 1) * STEP_MS).cumsum()
    table = pd.concat([_indicators(part) for _, part in frame.groupby(stretch)])
    rows = []
    last_signal = None
    for i in range(1, len(table) - MAX_BARS):
        now, before = table.iloc[i], table.iloc[i - 1]
        if now["bar"] < WARM_UP:
            continue
        direction = _crossover(before, now)
        if direction is None or not _passes(now, direction):
            continue
        if last_signal is not None and i - last_signal < COOLDOWN:
            continue
        last_signal = i
        trade = _follow(table, i, direction)
        if trade is not None:
            rows.append(_row(table, i, symbol, direction, trade))
    return pd.DataFrame(rows)


def _wilder(values: pd.Series, seed_at: int, seed: float) -> pd.Series:
    """Wilder's smoothing over 14 from a given first value on."""
    smoothed = values.copy()
    smoothed.iloc[:seed_at] = np.nan
    smoothed.iloc[seed_at] = seed
    return smoothed.ewm(alpha=1 / 14, adjust=False).mean()


def _indicators(part: pd.DataFrame) -> pd.DataFrame:
    """Every indicator of candles without a long gap."""
    df = part.copy()
    df["bar"] = range(len(df))
    df["sma_15"] = df["close"].rolling(15).mean()
    df["sma_40"] = df["close"].rolling(40).mean()
    df["volume_sma"] = df["volume"].rolling(20).mean()
    names = ["rsi", "adx", "atr"]
    if len(df) < 28:
        df[names] = np.nan
    else:
        df["rsi"] = _rsi(df["close"])
        df["atr"], df["adx"] = _atr_and_adx(df)
    df["atr_percent"] = df["atr"] / df["close"] * 100
    df["volume_ratio"] = df["volume"] / df["volume_sma"]
    df["sma_distance_percent"] = (df["close"] - df["sma_40"]) / df["sma_40"] * 100
    df["hurst"] = [_hurst(df["close"].iloc[max(0, i - 99) : i + 1].to_numpy()) for i in range(len(df))]
    df["regime"] = [_regime(hurst, adx) for hurst, adx in zip(df["hurst"], df["adx"], strict=True)]
    opened = pd.to_datetime(df["timestamp"], unit="ms", utc=True)
    df["hour"], df["day_of_week"] = opened.dt.hour, opened.dt.day_of_week
    return df


def _rsi(close: pd.Series) -> pd.Series:
    change = close.diff()
    gain, loss = change.clip(lower=0), -change.clip(upper=0)
    up = _wilder(gain, 14, gain.iloc[1:15].mean())
    down = _wilder(loss, 14, loss.iloc[1:15].mean())
    return 100 * up / (up + down)


def _atr_and_adx(df: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    before = df["close"].shift()
    ranges = pd.concat([df["high"] - df["low"], (df["high"] - before).abs(), (df["low"] - before).abs()], axis=1)
    true_range = ranges.max(axis=1)
    true_range.iloc[0] = np.nan
    up, down = df["high"].diff(), -df["low"].diff()
    plus = up.where((up > down) & (up > 0), 0.0)
    minus = down.where((down > up) & (down > 0), 0.0)
    # TA-Lib begins the directional sums with thirteen values, the range's average with fourteen.
    wide, plus, minus = (_wilder(x, 13, x.iloc[1:14].sum() / 14) for x in (true_range, plus, minus))
    di_plus, di_minus = 100 * plus / wide, 100 * minus / wide
    dx = 100 * (di_plus - di_minus).abs() / (di_plus + di_minus)
    return _wilder(true_range, 14, true_range.iloc[1:15].mean()), _wilder(dx, 27, dx.iloc[14:28].mean())


def _hurst(prices: np.ndarray) -> float:
    if len(prices) < 50:
        return np.nan
    lags = range(2, min(20, len(prices) // 2))
    deviations = [max(float(np.std(prices[lag:] - prices[:-lag])), 1e-10) for lag in lags]
    return float(np.polyfit(np.log(lags), np.log(deviations), 1)[0])


def _regime(hurst: float, adx: float) -> str:
    if np.isnan(hurst) or np.isnan(adx):
        return "UNKNOWN"
    if hurst > 0.55 and adx > 25:
        return "TRENDING"
    if hurst < 0.45 or adx < 20:
        return "CHOPPY"
    return "VOLATILE" if adx > 30 else "WEAK_TRENDING"


def _crossover(before: pd.Series, now: pd.Series) -> str | None:
    was, is_ = before["sma_15"] - before["sma_40"], now["sma_15"] - now["sma_40"]
    if abs(was) < 1e-10 * before["close"]:
        was = 0.0
    if abs(is_) < 1e-10 * now["close"]:
        is_ = 0.0
    if was <= 0 and is_ > 0:
        return "LONG"
    return "SHORT" if was >= 0 and is_ < 0 else None


def _passes(now: pd.Series, direction: str) -> bool:
    if not now["adx"] >= 25 or not now["volume_ratio"] >= 0.75:
        return False
    if direction == "LONG" and not now["rsi"] <= 70:
        return False
    if direction == "SHORT" and not now["rsi"] >= 30:
        return False
    return now["regime"] not in ("CHOPPY", "UNKNOWN")


def _follow(table: pd.DataFrame, i: int, direction: str) -> dict[str, Any] | None:
    """The trade entered at row ``i``, candle by candle; None where candles go missing for too long before it ends."""
    entry, risk = table["close"].iloc[i], 2 * table["atr"].iloc[i]
    sign = 1 if direction == "LONG" else -1
    stop = entry - sign * risk
    targets = [entry + sign * r * risk for r in (1.5, 2.5, 4.0)]
    hits, remaining, realized = 0, 1.0, 0.0
    for j in range(i + 1, i + MAX_BARS + 1):
        candle = table.iloc[j]
        if candle["timestamp"] - table["timestamp"].iloc[j - 1] > (MAX_GAP + 1) * STEP_MS:
            return None
        best, worst = (candle["high"], candle["low"]) if sign > 0 else (candle["low"], candle["high"])
        reason, price = None, np.nan
        if sign * (worst - stop) <= 0:
            reason, price, realized = "STOP_LOSS", stop, realized - remaining
        else:
            for target, share, r in zip(targets[hits:], (0.5, 0.3, 0.2)[hits:], (1.5, 2.5, 4.0)[hits:], strict=True):
                if sign * (best - target) < 0:
                    break
                hits, remaining, realized = hits + 1, remaining - share, realized + share * r
            if hits == 3:
                reason, price = "TP3_FULL", targets[2]
            elif j == i + MAX_BARS:
                reason, price = "TIMEOUT", candle["close"]
                realized += remaining * sign * (price - entry) / risk
        if reason is not None:
            levels = {"stop_loss": stop, "tp1": targets[0], "tp2": targets[1], "tp3": targets[2]}
            minutes = (candle["timestamp"] - table["timestamp"].iloc[i]) // 60_000
            return levels | {"at": price, "reason": reason, "hits": hits, "r": realized, "minutes": minutes}
    return None


def _row(table: pd.DataFrame, i: int, symbol: str, direction: str, trade: dict[str, Any]) -> dict[str, Any]:
    now = table.iloc[i]
    entry = ("atr", "atr_percent", "rsi", "adx", "volume_ratio", "hurst", "sma_distance_percent", "regime")
    return {
        "signal_id": f"{symbol}_{i}",
        "timestamp": pd.Timestamp(now["timestamp"], unit="ms", tz="UTC").strftime("%Y-%m-%dT%H:%M:%SZ"),
        "symbol": symbol,
        "direction": direction,
        "entry_price": now["close"],
        **{f"entry_{name}": now[name] for name in (*entry, "hour", "day_of_week")},
        **{name: trade[name] for name in ("stop_loss", "tp1", "tp2", "tp3")},
        "exit_price": trade["at"],
        "exit_reason": trade["reason"],
        **{f"tp{n}_hit": trade["hits"] >= n for n in (1, 2, 3)},
        "sl_hit": trade["reason"] == "STOP_LOSS",
        "realized_r": trade["r"],
        "duration_minutes": trade["minutes"],
        "outcome": int(trade["r"] > 0),
        "source": "backtest",
        "sample_weight": 0.3,
    }


def main(folder: Path) -> None:
    for path in sorted(folder.glob("*-15m.csv")):
        found = run(pd.read_csv(path), path.name.removesuffix("-15m.csv"))
        print(f"{path.name}: {len(found)} signals, {found['outcome'].sum()} won, {found['realized_r'].sum():+.2f} R")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
