"""Indicators of DESIGN 3 as arrays, each stretch of candles computed by itself."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from core.domain.candles import Candles, FloatArray, IntArray
from core.domain.trading import Regime, Snapshot
from core.engine.hurst import rolling_hurst
from core.engine.windows import rolling_mean

RegimeArray = npt.NDArray[np.int8]

REGIMES: tuple[Regime, ...] = tuple(Regime)
"""The regime of a code in ``Indicators.regime`` is ``REGIMES[code]``."""

_CODE = {regime: code for code, regime in enumerate(REGIMES)}
_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000


@dataclass(frozen=True, eq=False)
class Indicators:
    """One row per candle. Floats are float64 with NaN = not yet defined; percents are 0..100.

    ``time`` is the open time in epoch ms, UTC; ``hour`` (0..23) and ``day_of_week`` (Monday = 0) are of that time.
    ``regime`` holds codes into ``REGIMES``.
    """

    time: IntArray
    close: FloatArray
    sma_15: FloatArray
    sma_40: FloatArray
    rsi: FloatArray
    adx: FloatArray
    di_plus: FloatArray
    di_minus: FloatArray
    atr: FloatArray
    atr_percent: FloatArray
    volume_sma: FloatArray
    volume_ratio: FloatArray
    sma_distance_percent: FloatArray
    hurst: FloatArray
    regime: RegimeArray
    hour: IntArray
    day_of_week: IntArray

    def __len__(self) -> int:
        return len(self.time)

    def rows(self, start: int | None, stop: int | None) -> Indicators:
        """A row range, as a slice would give it."""
        return Indicators(**{f.name: getattr(self, f.name)[start:stop] for f in fields(self)})

    def regimes(self) -> list[Regime]:
        """The regime of every row."""
        return [REGIMES[code] for code in self.regime]

    def snapshot(self, row: int) -> Snapshot:
        """Everything at one candle's close; a negative row counts from the end."""
        return Snapshot(
            open_time=int(self.time[row]),
            close=float(self.close[row]),
            sma_15=float(self.sma_15[row]),
            sma_40=float(self.sma_40[row]),
            rsi=float(self.rsi[row]),
            adx=float(self.adx[row]),
            di_plus=float(self.di_plus[row]),
            di_minus=float(self.di_minus[row]),
            atr=float(self.atr[row]),
            atr_percent=float(self.atr_percent[row]),
            volume_sma=float(self.volume_sma[row]),
            volume_ratio=float(self.volume_ratio[row]),
            sma_distance_percent=float(self.sma_distance_percent[row]),
            hurst=float(self.hurst[row]),
            regime=REGIMES[self.regime[row]],
            hour=int(self.hour[row]),
            day_of_week=int(self.day_of_week[row]),
        )


def indicators(candles: Candles, max_gap: int = 8) -> Indicators:
    """Every indicator of every candle.

    ``max_gap`` is the longest run of missing candles that is bridged by rows; behind a longer one everything starts
    anew. The value of a row depends on no later candle.
    """
    columns = {name: np.full(len(candles), np.nan) for name in _STRETCH_COLUMNS}
    for first, last in candles.stretches(max_gap):
        for name, values in _of_stretch(candles.rows(first, last)).items():
            columns[name][first:last] = values
    close, volume = candles.close, candles.volume
    with np.errstate(divide="ignore", invalid="ignore"):
        volume_ratio = np.where(columns["volume_sma"] > 0, volume / columns["volume_sma"], np.nan)
    return Indicators(
        time=candles.time,
        close=close,
        **columns,
        atr_percent=columns["atr"] / close * 100,
        volume_ratio=volume_ratio,
        sma_distance_percent=(close - columns["sma_40"]) / columns["sma_40"] * 100,
        regime=regime_codes(columns["hurst"], columns["adx"]),
        hour=candles.time % _DAY_MS // _HOUR_MS,
        day_of_week=(candles.time // _DAY_MS + 3) % 7,  # 1970-01-01 was a Thursday
    )


_STRETCH_COLUMNS = ("sma_15", "sma_40", "rsi", "adx", "di_plus", "di_minus", "atr", "volume_sma", "hurst")


def _of_stretch(candles: Candles) -> dict[str, FloatArray]:
    """What needs the candles before it, for candles without a long gap."""
    import talib  # costs half a second, as it brings pandas along

    high, low, close = (np.ascontiguousarray(c, dtype=np.float64) for c in (candles.high, candles.low, candles.close))
    return {
        "sma_15": rolling_mean(close, 15),
        "sma_40": rolling_mean(close, 40),
        "rsi": talib.RSI(close, 14),
        "adx": talib.ADX(high, low, close, 14),
        "di_plus": talib.PLUS_DI(high, low, close, 14),
        "di_minus": talib.MINUS_DI(high, low, close, 14),
        "atr": talib.ATR(high, low, close, 14),
        "volume_sma": rolling_mean(candles.volume, 20),
        "hurst": rolling_hurst(close),
    }


def regime_codes(hurst: FloatArray, adx: FloatArray) -> RegimeArray:
    """The regime of every row as a code into ``REGIMES``: the first rule that holds (DESIGN 3)."""
    rules = (
        (np.isnan(hurst) | np.isnan(adx), Regime.UNKNOWN),
        ((hurst > 0.55) & (adx > 25), Regime.TRENDING),
        ((hurst < 0.45) | (adx < 20), Regime.CHOPPY),
        (adx > 30, Regime.VOLATILE),
    )
    codes = np.select([rule for rule, _ in rules], [_CODE[regime] for _, regime in rules], _CODE[Regime.WEAK_TRENDING])
    return codes.astype(np.int8)
