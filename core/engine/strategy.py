"""Crossings, signal filters and levels of docs/strategy.md: for arrays (backtest) and for the last candle (live)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.config import Strategy
from core.domain.candles import BoolArray, Candles, FloatArray, IntArray
from core.domain.trading import TARGET_R, Candidate, Direction, Levels, Regime, Ruling, Snapshot, Verdict
from core.engine.indicators import REGIMES, Indicators, indicators
from core.engine.windows import blocks, rolling_mean

SignArray = npt.NDArray[np.int8]

TIE = 1e-10
"""Two SMAs closer than this share of the close are equal; rounding would otherwise invent crossings."""

_SLOW = 40  # the longer SMA; two of its values need one candle more


def crossings(ind: Indicators) -> SignArray:
    """+1 where SMA 15 crosses above SMA 40 at that candle's close, -1 below, 0 elsewhere; (n,) int8.

    A crossing starts at or beyond equality and ends clearly on the other side. No crossing spans two stretches,
    since each stretch begins with undefined SMAs.
    """
    close, fast, slow = ind.close, ind.sma_15, ind.sma_40
    out = np.zeros(len(close), dtype=np.int8)
    for first, last in blocks(1, len(close)):
        part = slice(first - 1, last)
        out[first:last] = _crossings(close[part], fast[part], slow[part])[1:]
    return out


def _crossings(close: FloatArray, fast: FloatArray, slow: FloatArray) -> SignArray:
    distance = fast - slow
    side = np.where(np.abs(distance) < TIE * close, 0.0, np.sign(distance))  # NaN stays NaN and compares False
    out = np.zeros(len(close), dtype=np.int8)
    out[1:][(side[:-1] <= 0) & (side[1:] > 0)] = 1
    out[1:][(side[:-1] >= 0) & (side[1:] < 0)] = -1
    return out


def levels(direction: Direction, entry: float, atr: float, stop_atr: float = 2.0) -> Levels:
    """Stop at ``stop_atr`` ATR (1R) against the entry, targets at 1.5R, 2.5R and 4R.

    Raises ValueError where no stop distance can be had: an ATR or entry that is not finite and positive.
    """
    distance = stop_atr * atr
    if not (math.isfinite(entry) and math.isfinite(distance) and entry > 0 and distance > 0):
        raise ValueError(f"no levels for entry {entry} with ATR {atr}")
    sign = direction.sign
    first, second, third = (entry + sign * r * distance for r in TARGET_R)
    return Levels(direction, entry, entry - sign * distance, (first, second, third))


def signal_verdicts(
    snapshot: Snapshot, direction: Direction, bars_since_signal: int | None, settings: Strategy
) -> tuple[Verdict, ...]:
    """What makes a candidate a signal: adx, rsi, volume, regime, cooldown, each PASS or REFUSE with its number.

    ``bars_since_signal`` counts the pair's candles since its previous signal, None when there was none. An indicator
    that is not yet defined refuses.
    """
    return (
        _at_least("adx", "ADX", snapshot.adx, settings.adx_min, 1),
        _at_most("rsi", "RSI", snapshot.rsi, settings.rsi_long_max, 1)
        if direction is Direction.LONG
        else _at_least("rsi", "RSI", snapshot.rsi, settings.rsi_short_min, 1),
        _at_least("volume", "volume ratio", snapshot.volume_ratio, settings.volume_ratio_min, 2),
        _regime_verdict(snapshot, settings),
        _cooldown_verdict(bars_since_signal, settings.cooldown_bars),
    )


def _at_least(rule: str, name: str, value: float, limit: float, digits: int) -> Verdict:
    relation = "is at least" if value >= limit else "is below"
    return _compared(rule, name, value, value >= limit, f"{relation} {limit:g}", digits)


def _at_most(rule: str, name: str, value: float, limit: float, digits: int) -> Verdict:
    relation = "is at most" if value <= limit else "is above"
    return _compared(rule, name, value, value <= limit, f"{relation} {limit:g}", digits)


def _compared(rule: str, name: str, value: float, passes: bool, relation: str, digits: int) -> Verdict:
    if math.isnan(value):
        return Verdict("signal", rule, Ruling.REFUSE, None, f"{name} is not known yet")
    ruling = Ruling.PASS if passes else Ruling.REFUSE
    return Verdict("signal", rule, ruling, value, f"{name} {value:.{digits}f} {relation}")


def _regime_verdict(snapshot: Snapshot, settings: Strategy) -> Verdict:
    if snapshot.regime is Regime.UNKNOWN:
        return Verdict("signal", "regime", Ruling.REFUSE, None, "the regime is not known yet")
    words = snapshot.regime.value.lower().replace("_", " ")
    ruling = Ruling.REFUSE if snapshot.regime in settings.refused_regimes else Ruling.PASS
    return Verdict("signal", "regime", ruling, snapshot.hurst, f"the market is {words}, Hurst {snapshot.hurst:.2f}")


def _cooldown_verdict(bars: int | None, wanted: int) -> Verdict:
    if bars is None:
        return Verdict("signal", "cooldown", Ruling.PASS, None, "no signal before this one")
    ruling = Ruling.PASS if bars >= wanted else Ruling.REFUSE
    relation = "at least" if bars >= wanted else "fewer than"
    return Verdict("signal", "cooldown", ruling, float(bars), f"{bars} bars since the last signal, {relation} {wanted}")


@dataclass(frozen=True, eq=False)
class Entries:
    """Candidates as arrays of one length, oldest first: the row of the entry candle, the sign of the direction,
    whether it is a signal, and the rows since the signal before it (-1: none)."""

    row: IntArray
    sign: SignArray
    is_signal: BoolArray
    bars_since: IntArray

    def __len__(self) -> int:
        return len(self.row)

    def only(self, chosen: BoolArray) -> Entries:
        return Entries(self.row[chosen], self.sign[chosen], self.is_signal[chosen], self.bars_since[chosen])


def candidates(
    candles: Candles, ind: Indicators, settings: Strategy, *, max_gap: int = 8, first_row: int = 0
) -> Entries:
    """All candidates from ``first_row`` on, with the signals among them.

    The first ``settings.warmup_bars`` rows of each stretch give none. The cooldown counts rows from signal to signal
    and starts at ``first_row``: what came before is not known.
    """
    sign = crossings(ind)
    allowed = sign != 0
    allowed[:first_row] = False
    for start, stop in candles.stretches(max_gap):
        allowed[start : min(stop, start + settings.warmup_bars)] = False
    row = np.flatnonzero(allowed & (ind.atr > 0)).astype(np.int64)
    is_signal, bars_since = chained(row, passes_rules(ind, row, sign[row], settings), settings.cooldown_bars)
    return Entries(row, sign[row], is_signal, bars_since)


def passes_rules(ind: Indicators, row: IntArray, sign: SignArray, settings: Strategy) -> BoolArray:
    """Whether each candidate passes every signal rule but the cooldown; NaN never does."""
    rsi = ind.rsi[row]
    rsi_fits = np.where(sign > 0, rsi <= settings.rsi_long_max, rsi >= settings.rsi_short_min)
    passes: BoolArray = (
        (ind.adx[row] >= settings.adx_min) & rsi_fits & (ind.at(row).volume_ratio >= settings.volume_ratio_min)
    )
    # The regime needs the Hurst exponent, which costs more than all else: only what is still in question is asked.
    regime = ind.at(row[passes]).regime
    refused = [REGIMES.index(Regime(name)) for name in (Regime.UNKNOWN, *settings.refused_regimes)]
    passes[passes] = ~np.isin(regime, refused)
    return passes


def chained(row: IntArray, passes: BoolArray, cooldown: int) -> tuple[BoolArray, IntArray]:
    """Which of the candidates that pass are signals, and each candidate's rows since the signal before it (-1: none).

    ``row`` and ``passes`` are (n,), rising. The cooldown runs from signal to signal: each decides about those after it.
    """
    is_signal = np.zeros(len(row), dtype=np.bool_)
    last = -1  # index of the last signal among the candidates
    for index in np.flatnonzero(passes):
        if last < 0 or row[index] - row[last] >= cooldown:
            is_signal[index] = True
            last = int(index)
    signals = np.flatnonzero(is_signal)
    before = np.searchsorted(signals, np.arange(len(row)))  # signals strictly before each candidate
    previous = row[signals[before - 1]] if len(signals) else row
    return is_signal, np.where(before > 0, row - previous, -1)


def candidate_at(
    candles: Candles, ind: Indicators, row: int, sign: int, bars_since: int | None, settings: Strategy
) -> Candidate:
    """The full candidate of one crossing. Raises ValueError where its ATR gives no levels."""
    direction = Direction.LONG if sign > 0 else Direction.SHORT
    snapshot = ind.snapshot(row)
    return Candidate(
        candles.pair,
        candles.timeframe,
        direction,
        snapshot,
        levels(direction, snapshot.close, snapshot.atr, settings.stop_atr),
        signal_verdicts(snapshot, direction, bars_since, settings),
    )


def propose(window: Candles, last_signal_time: int | None, strategy: Strategy, max_gap: int) -> Candidate | None:
    """The candidate at the close of the window's last candle, or None.

    None where nothing crosses, or where that candle is among the first ``strategy.warmup_bars`` of its stretch.
    ``last_signal_time`` is the open time (epoch ms) of the pair's previous signal; the cooldown counts the window's
    rows after it, so a window longer than the cooldown is enough when that signal lies before it. This is the
    definition; the live loop's ``tracker`` finds the same without going through the window again, and is held to it.
    """
    stretches = window.stretches(max_gap)
    if not stretches or stretches[-1][1] - stretches[-1][0] <= strategy.warmup_bars:
        return None
    # Most candles cross nothing, and an SMA depends on its own window alone: these few closes decide to the last bit.
    recent = window.close[-(_SLOW + 1) :]
    sign = int(_crossings(recent, rolling_mean(recent, 15), rolling_mean(recent, _SLOW))[-1])
    if sign == 0:
        return None
    stretch = window.rows(*stretches[-1])
    ind = indicators(stretch, max_gap)
    if not ind.atr[-1] > 0:
        return None
    bars_since = None
    if last_signal_time is not None:
        bars_since = len(window) - int(np.searchsorted(window.time, last_signal_time, side="right"))
    return candidate_at(stretch, ind, len(stretch) - 1, sign, bars_since, strategy)


def last_snapshot(window: Candles, max_gap: int) -> Snapshot | None:
    """The indicators at the window's last candle; None for an empty window."""
    stretches = window.stretches(max_gap)
    if not stretches:
        return None
    return indicators(window.rows(*stretches[-1]), max_gap).snapshot(-1)
