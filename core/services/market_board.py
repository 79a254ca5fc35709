"""How each pair stands at its last close: what a trader reads off a chart, in numbers. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from core.config import Settings
from core.domain.candles import DAY_MS, Candles, Pair, to_datetime
from core.domain.trading import Direction, Regime
from core.engine.filters import TIE, gather_facts
from core.engine.history import History
from core.engine.windows import rolling_mean
from core.services.prices import LivePrice

NEAR = 8
"""Candles: averages that would meet within so many, going on as they have, are about to cross."""

_PACE = 4  # candles over which it is seen how fast the averages come together
_FAST, _SLOW = 15, 40


@dataclass(frozen=True, slots=True)
class Cross:
    """A crossover that has just been (``candles`` 0) or would come in about so many candles."""

    direction: Direction
    candles: int


@dataclass(frozen=True, slots=True)
class MarketLine:
    """A pair at its last close; ``live`` is what it costs now. Figures that are not known yet are None.

    ``change`` is the share since the close a day before, ``distance`` how far SMA 15 lies above SMA 40 in percent of
    that one.
    """

    pair: str
    enabled: bool
    close: float | None
    at: datetime | None
    live: LivePrice | None
    change: float | None
    regime: Regime
    adx: float | None
    rsi: float | None
    volume_ratio: float | None
    hurst: float | None
    distance: float | None
    cross: Cross | None


@dataclass(frozen=True, slots=True)
class MarketView:
    """``btc_trend``: the sign of SMA 15 - SMA 40 of ``btc`` on 1h, None where it is not known."""

    lines: tuple[MarketLine, ...]
    btc: str
    btc_trend: int | None
    btc_change: float | None


def market_line(pair: Pair, enabled: bool, history: History | None, live: LivePrice | None) -> MarketLine:
    snapshot = history.tracker.snapshot() if history is not None else None
    if history is None or snapshot is None:
        unknown = (None,) * 5
        return MarketLine(str(pair), enabled, None, None, live, None, Regime.UNKNOWN, *unknown, None)
    candles = history.candles
    gap = snapshot.sma_15 - snapshot.sma_40
    return MarketLine(
        pair=str(pair),
        enabled=enabled,
        close=snapshot.close,
        at=to_datetime(snapshot.open_time + candles.timeframe.ms),
        live=live,
        change=change_of(candles, DAY_MS),
        regime=snapshot.regime,
        adx=_known(snapshot.adx),
        rsi=_known(snapshot.rsi),
        volume_ratio=_known(snapshot.volume_ratio),
        hurst=_known(snapshot.hurst),
        distance=_known(gap / snapshot.sma_40 * 100),
        cross=next_cross(candles),
    )


def change_of(candles: Candles, back_ms: int) -> float | None:
    """The share by which the last close differs from the one ``back_ms`` before, None where there is no such candle."""
    if not len(candles):
        return None
    row = int(candles.time.searchsorted(int(candles.time[-1]) - back_ms))
    if int(candles.time[row]) != int(candles.time[-1]) - back_ms:
        return None
    return float(candles.close[-1] / candles.close[row] - 1)


def next_cross(candles: Candles) -> Cross | None:
    """Whether the averages have just crossed, or would within ``NEAR`` candles at the pace of the last few.

    A straight line through two points: a hint where to look, no forecast. Averages reach across no gap here, unlike
    those of signals: a pair with missing candles shows no cross until they are behind it.
    """
    last = candles.tail(_SLOW + _PACE)
    if len(last) < _SLOW + _PACE or len(last.stretches(0)) > 1:
        return None
    gaps = (rolling_mean(last.close, _FAST) - rolling_mean(last.close, _SLOW))[-_PACE - 1 :]
    gaps = np.where(np.abs(gaps) < TIE * last.close[-_PACE - 1 :], 0.0, gaps)
    now, before, first = float(gaps[-1]), float(gaps[-2]), float(gaps[0])
    if now and before * now <= 0:
        return Cross(Direction.LONG if now > 0 else Direction.SHORT, 0)
    if first * now < 0 or abs(now) >= abs(first):
        return None  # they go apart, or one crossing has just been undone
    wait = max(1, math.ceil(abs(now) / ((abs(first) - abs(now)) / _PACE)))
    return Cross(Direction.SHORT if first > 0 else Direction.LONG, wait) if wait <= NEAR else None


def btc_of(settings: Settings, windows: Mapping[Pair, Candles]) -> tuple[int | None, float | None]:
    """BTC's 1h trend, as the rules see it, and its change over a day."""
    window = windows.get(settings.btc)
    if window is None or not len(window):
        return None, None
    facts = gather_facts(window, window, {}, {}, settings.rules, settings.candles.max_gap)
    return facts.btc_trend, change_of(window, DAY_MS)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
