"""How near a pair is to its next signal: the averages, the close that would make them cross, each filter's verdict.

Pure, and worked out by the very functions that trade: a price that is said to cross, crosses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.config import Strategy
from core.domain.candles import Candles, FloatArray
from core.domain.trading import Direction, Regime, Snapshot, Verdict
from core.engine.strategy import TIE, signal_verdicts
from core.engine.windows import rolling_mean

FAST, SLOW = 15, 40


@dataclass(frozen=True, slots=True)
class Crossing:
    """The nearest next close at which the averages would cross in ``direction``.

    At ``price`` and beyond it they cross; None where no price could do it. ``change`` is its distance from the last
    close as a fraction of that, signed; ``atrs`` the same in ATR, None before there is one. A LONG with a ``change``
    below 0 crosses also where the price stands still.
    """

    direction: Direction
    price: float | None
    change: float | None
    atrs: float | None


@dataclass(frozen=True, slots=True)
class Nearness:
    """Where the averages stand at the last close. ``gap`` is SMA 15 less SMA 40 as a fraction of the close, signed.

    ``crossed``: they crossed at that very close, so there is a candidate. ``next``: the crossings that the next close
    could bring; one way only, unless the averages are equal. ``still``: after how many candles they would cross if the
    price stayed where it is, None where they would not.
    """

    gap: float
    gap_atrs: float | None
    crossed: Direction | None
    next: tuple[Crossing, ...]
    still: int | None = None


def nearness(candles: Candles, snapshot: Snapshot) -> Nearness | None:
    """None where the pair's stretch (``candles`` since the last long gap) is too short for an SMA 40."""
    closes = candles.close
    if len(closes) < SLOW:
        return None
    side = side_of(closes)
    before = side_of(closes[:-1]) if len(closes) > SLOW else None
    distance = snapshot.sma_15 - snapshot.sma_40
    atr = snapshot.atr if snapshot.atr > 0 else None
    ways = [d for d in Direction if side * d.sign <= 0]
    return Nearness(
        gap=distance / snapshot.close,
        gap_atrs=distance / atr if atr else None,
        crossed=next((d for d in Direction if before is not None and before * d.sign <= 0 < side * d.sign), None),
        next=tuple(_way(closes, direction, atr) for direction in ways),
        still=_candles_until(closes, side),
    )


def _candles_until(closes: FloatArray, side: int) -> int | None:
    """After 40 candles at one price the averages are equal: whoever has not crossed by then, does not."""
    ahead = np.append(closes[-(SLOW - 1) :], np.full(SLOW, closes[-1]))
    sides = (side_of(ahead[row : row + SLOW]) for row in range(SLOW))
    return next((n for n, there in enumerate(sides, 1) if there != 0 and there != side), None)


def _way(closes: FloatArray, direction: Direction, atr: float | None) -> Crossing:
    price, last = crossing_price(closes, direction), float(closes[-1])
    if price is None:
        return Crossing(direction, None, None, None)
    return Crossing(direction, price, price / last - 1, (price - last) / atr if atr else None)


def side_of(closes: FloatArray) -> int:
    """Where SMA 15 lies at the last of at least 40 closes: above SMA 40 (1), below (-1), or the two are equal (0)."""
    recent = closes[-SLOW:]
    distance = float(rolling_mean(recent, FAST)[-1] - rolling_mean(recent, SLOW)[-1])
    return 0 if abs(distance) < TIE * float(recent[-1]) else 1 if distance > 0 else -1


def crossing_price(closes: FloatArray, direction: Direction) -> float | None:
    """The least next close (for a SHORT the highest) that puts SMA 15 on the side of ``direction``.

    None where that would be no price. The next averages are straight lines in the next close ``c``, and SMA 15 less
    SMA 40 is c / 24 less what the closes that stay say. Rounding decides the last digits, so the line only says where
    the search by the strategy's own test begins.
    """
    recent = closes[-(SLOW - 1) :]
    rest = float(recent.sum()) / SLOW - float(recent[-(FAST - 1) :].sum()) / FAST
    exact = rest / (1 / FAST - 1 / SLOW - direction.sign * TIE)
    width = 1e-9 * float(recent.max())
    if exact <= 2 * width:
        return None
    near, far = exact - direction.sign * width, exact + direction.sign * width
    while (middle := near + (far - near) / 2) not in (near, far):
        if side_of(np.append(recent, middle)) == direction.sign:
            far = middle
        else:
            near = middle
    return far


def filter_verdicts(
    snapshot: Snapshot, direction: Direction, bars_since_signal: int | None, settings: Strategy
) -> tuple[Verdict, ...]:
    """``strategy.signal_verdicts``, with what it takes for those that refuse in the sentence."""
    return tuple(
        Verdict(v.layer, v.rule, v.ruling, v.number, _further(v, snapshot, bars_since_signal, settings))
        for v in signal_verdicts(snapshot, direction, bars_since_signal, settings)
    )


def _further(verdict: Verdict, snapshot: Snapshot, bars: int | None, settings: Strategy) -> str:
    if verdict.rule == "regime" and snapshot.regime is Regime.CHOPPY:
        return f"the market is choppy: {choppy_words(snapshot)}"
    if verdict.rule == "cooldown" and bars is not None and bars < settings.cooldown_bars:
        left = settings.cooldown_bars - bars
        return f"{bars} bars since the last signal, {settings.cooldown_bars} wanted: {left} to go"
    return verdict.sentence


def choppy_words(snapshot: Snapshot) -> str:
    """Which of the two limits make this market choppy."""
    reasons = []
    if not math.isnan(snapshot.hurst) and snapshot.hurst < 0.45:
        reasons.append(f"Hurst {snapshot.hurst:.2f} (below 0.45)")
    if snapshot.adx < 20:
        reasons.append(f"ADX {snapshot.adx:.1f} (below 20)")
    return " and ".join(reasons)
