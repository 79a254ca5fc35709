"""The strategy's indicators as arrays: each stretch of candles by itself, each column when it is first asked for.

Most of what a backtest looks at are the few rows where something crosses, so most columns are never needed whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property

import numpy as np
import numpy.typing as npt

from core.domain.candles import DAY_MS, HOUR_MS, BoolArray, Candles, FloatArray, IntArray
from core.domain.trading import Regime, Snapshot
from core.engine.hurst import hurst_at, rolling_hurst
from core.engine.windows import rolling_mean

RegimeArray = npt.NDArray[np.int8]

REGIMES: tuple[Regime, ...] = tuple(Regime)
"""The regime of a code in ``Indicators.regime`` is ``REGIMES[code]``."""

FLOATS = (
    *("close", "sma_15", "sma_40", "rsi", "adx", "di_plus", "di_minus", "atr", "atr_percent", "volume_sma"),
    *("volume_ratio", "sma_distance_percent", "hurst"),
)
NAMES = ("time", *FLOATS, "regime", "hour", "day_of_week")
"""The columns of ``Indicators``."""

_CODE = {regime: code for code, regime in enumerate(REGIMES)}


class Indicators(ABC):
    """One row per candle. Floats are float64 with NaN = not yet defined; percents are 0..100.

    ``time`` is the open time in epoch ms, UTC; ``hour`` (0..23) and ``day_of_week`` (Monday = 0) are of that time.
    ``regime`` holds codes into ``REGIMES``. The arrays are not to be changed.
    """

    def __init__(self, time: IntArray) -> None:
        self.time = time

    @abstractmethod
    def _column(self, name: str) -> FloatArray:
        """A column that is not made of others."""

    def __len__(self) -> int:
        return len(self.time)

    @cached_property
    def close(self) -> FloatArray:
        return self._column("close")

    @cached_property
    def volume(self) -> FloatArray:
        return self._column("volume")

    @cached_property
    def sma_15(self) -> FloatArray:
        return self._column("sma_15")

    @cached_property
    def sma_40(self) -> FloatArray:
        return self._column("sma_40")

    @cached_property
    def rsi(self) -> FloatArray:
        return self._column("rsi")

    @cached_property
    def adx(self) -> FloatArray:
        return self._column("adx")

    @cached_property
    def di_plus(self) -> FloatArray:
        return self._column("di_plus")

    @cached_property
    def di_minus(self) -> FloatArray:
        return self._column("di_minus")

    @cached_property
    def atr(self) -> FloatArray:
        return self._column("atr")

    @cached_property
    def volume_sma(self) -> FloatArray:
        return self._column("volume_sma")

    @cached_property
    def hurst(self) -> FloatArray:
        return self._column("hurst")

    @cached_property
    def atr_percent(self) -> FloatArray:
        return self.atr / self.close * 100

    @cached_property
    def volume_ratio(self) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: FloatArray = np.where(self.volume_sma > 0, self.volume / self.volume_sma, np.nan)
        return ratio

    @cached_property
    def sma_distance_percent(self) -> FloatArray:
        return (self.close - self.sma_40) / self.sma_40 * 100

    @cached_property
    def regime(self) -> RegimeArray:
        return regime_codes(self.hurst, self.adx)

    @cached_property
    def hour(self) -> IntArray:
        return self.time % DAY_MS // HOUR_MS

    @cached_property
    def day_of_week(self) -> IntArray:
        return (self.time // DAY_MS + 3) % 7  # 1970-01-01 was a Thursday

    def rows(self, start: int | None, stop: int | None) -> Indicators:
        """A row range, as a slice would give it."""
        return _Part(self, slice(start, stop))

    def at(self, row: IntArray) -> Indicators:
        """Some rows alone, (m,), numbered from 0: Hurst and regime are worked out for these rows only."""
        return _Part(self, row)

    def _hurst_at(self, row: IntArray) -> FloatArray:
        return self.hurst[row]

    def regimes(self) -> list[Regime]:
        """The regime of every row."""
        return [REGIMES[code] for code in self.regime]

    def snapshot(self, row: int) -> Snapshot:
        """Everything at one candle's close; a negative row counts from the end."""
        one = self.at(np.array([row % len(self)]))
        values = {name: float(getattr(one, name)[0]) for name in FLOATS}
        return Snapshot(
            open_time=int(one.time[0]),
            **values,
            regime=REGIMES[one.regime[0]],
            hour=int(one.hour[0]),
            day_of_week=int(one.day_of_week[0]),
        )


def indicators(candles: Candles, max_gap: int = 8) -> Indicators:
    """Every indicator of every candle.

    ``max_gap`` is the longest run of missing candles that is bridged by rows; behind a longer one everything starts
    anew. The value of a row depends on no later candle.
    """
    return _OfCandles(candles, candles.stretches(max_gap))


class _Part(Indicators):
    """Some rows of others: a range, or row numbers."""

    def __init__(self, whole: Indicators, part: slice | IntArray) -> None:
        super().__init__(whole.time[part])
        self._whole = whole
        self._part = part

    def _column(self, name: str) -> FloatArray:
        if name == "hurst" and not isinstance(self._part, slice):
            return self._whole._hurst_at(self._part)
        column: FloatArray = getattr(self._whole, name)[self._part]
        return column


class _OfCandles(Indicators):
    """The indicators of candles, with what has been worked out so far."""

    def __init__(self, candles: Candles, stretches: list[tuple[int, int]]) -> None:
        super().__init__(candles.time)
        self._candles = candles
        self._stretches = stretches
        self._firsts = np.array([first for first, _ in stretches], dtype=np.int64)
        self._known_hurst: tuple[BoolArray, FloatArray] | None = None

    def _column(self, name: str) -> FloatArray:
        candles = self._candles
        if name in ("close", "volume"):
            return np.ascontiguousarray(getattr(candles, name), dtype=np.float64)
        if len(self._stretches) == 1:
            return _COLUMNS[name](candles)
        out = np.full(len(candles), np.nan)
        for first, last in self._stretches:
            out[first:last] = _COLUMNS[name](candles.rows(first, last))
        return out

    def _hurst_at(self, row: IntArray) -> FloatArray:
        """Each row once, straight from the formula, so that it has the same bits whoever asks and however often."""
        if self._known_hurst is None:
            self._known_hurst = np.zeros(len(self), dtype=np.bool_), np.full(len(self), np.nan)
        known, value = self._known_hurst
        missing = row[~known[row]]
        if len(missing):
            stretch = np.searchsorted(self._firsts, missing, side="right") - 1
            for index in sorted(set(stretch.tolist())):
                first, last = self._stretches[index]
                here = missing[stretch == index]
                value[here] = hurst_at(self.close[first:last], here - first)
            known[missing] = True
        return value[row]


def _arrays(candles: Candles, *names: str) -> list[FloatArray]:
    """TA-Lib wants its arrays in one piece."""
    return [np.ascontiguousarray(getattr(candles, name), dtype=np.float64) for name in names]


def _wilder(function: str, *inputs: str) -> Callable[[Candles], FloatArray]:
    """A function of TA-Lib over 14 candles, smoothed as Wilder (1978) did."""

    def compute(candles: Candles) -> FloatArray:
        from core.engine.talib_alone import talib

        column: FloatArray = getattr(talib, function)(*_arrays(candles, *inputs), 14)
        return column

    return compute


# What needs the candles before it, for candles without a long gap.
_COLUMNS: dict[str, Callable[[Candles], FloatArray]] = {
    "sma_15": lambda candles: rolling_mean(candles.close, 15),
    "sma_40": lambda candles: rolling_mean(candles.close, 40),
    "rsi": _wilder("RSI", "close"),
    "adx": _wilder("ADX", "high", "low", "close"),
    "di_plus": _wilder("PLUS_DI", "high", "low", "close"),
    "di_minus": _wilder("MINUS_DI", "high", "low", "close"),
    "atr": _wilder("ATR", "high", "low", "close"),
    "volume_sma": lambda candles: rolling_mean(candles.volume, 20),
    "hurst": lambda candles: rolling_hurst(np.ascontiguousarray(candles.close)),
}


def regime_of(hurst: float, adx: float) -> Regime:
    """The regime of one candle: the first rule that holds."""
    if hurst != hurst or adx != adx:  # NaN is not itself
        return Regime.UNKNOWN
    if hurst > 0.55 and adx > 25:
        return Regime.TRENDING
    if hurst < 0.45 or adx < 20:
        return Regime.CHOPPY
    return Regime.VOLATILE if adx > 30 else Regime.WEAK_TRENDING


def regime_codes(hurst: FloatArray, adx: FloatArray) -> RegimeArray:
    """``regime_of`` every row, as a code into ``REGIMES``."""
    rules = (
        (np.isnan(hurst) | np.isnan(adx), Regime.UNKNOWN),
        ((hurst > 0.55) & (adx > 25), Regime.TRENDING),
        ((hurst < 0.45) | (adx < 20), Regime.CHOPPY),
        (adx > 30, Regime.VOLATILE),
    )
    codes = np.select([rule for rule, _ in rules], [_CODE[regime] for _, regime in rules], _CODE[Regime.WEAK_TRENDING])
    return codes.astype(np.int8)
