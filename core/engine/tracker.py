"""The indicators of one pair, moved on by one candle at a time: what the live loop has instead of ``indicators``.

A new candle costs the same however long the history is. The values are those of ``core.engine.indicators`` to 1e-9
(relative; absolute near zero), and ``candidate`` means what ``strategy.propose`` means: tests hold them equal.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from core.config import Strategy
from core.domain.candles import DAY_MS, HOUR_MS, Candle, Candles, Pair, Timeframe
from core.domain.trading import Candidate, Direction, Snapshot
from core.engine.hurst import FLOOR, LAGS, MIN_PERIODS, WINDOW, hurst_at, slope_weights
from core.engine.indicators import regime_of
from core.engine.strategy import TIE, levels, signal_verdicts

_NAN = math.nan
_KEPT = 128  # rows that the longest look back (Hurst's window and the close before it) needs, and some


class Tracker:
    """A pair's indicators at its newest candle. ``update`` with each closed candle, oldest first.

    Two trackers that were given the same candles agree to the last bit, whether they were given one by one or at once
    by ``over``. A gap of more than ``max_gap`` missing candles starts everything anew. It remembers the open time
    of every candle given (8 bytes each), for the cooldown counts rows; all else it keeps is of fixed size.
    """

    def __init__(self, pair: Pair, timeframe: Timeframe, max_gap: int) -> None:
        self._pair = pair
        self._timeframe = timeframe
        self._longest = (max_gap + 1) * timeframe.ms  # from one candle to the next within a stretch
        self._times = array("q")
        self._begin_stretch()

    def _begin_stretch(self) -> None:
        self._rows = 0
        self._wilder = Wilder()
        self._closes = MovingMeans(15, 40)
        self._volumes = MovingMeans(20)
        self._hurst = RunningHurst()
        self._fast = self._slow = self._usual = self._side = self._side_before = _NAN

    @classmethod
    def over(cls, candles: Candles, max_gap: int) -> Tracker:
        """As if every candle had been given to ``update``, in about a millisecond for 500 of them."""
        tracker = cls(candles.pair, candles.timeframe, max_gap)
        stretches = candles.stretches(max_gap)
        if not stretches:
            return tracker
        tracker._times.extend(candles.time.tolist())
        first, last = stretches[-1]
        high, low, close, volume = (
            column[first:last].tolist() for column in (candles.high, candles.low, candles.close, candles.volume)
        )
        for prices in zip(high, low, close, strict=True):
            tracker._wilder.update(*prices)
        # Only Wilder's smoothing remembers everything; the windows need no more than they look back on.
        anchor = _last_anchor(last - first - 1)
        for row in range(max(0, min(anchor, last - first) - _KEPT), last - first):
            tracker._rows = row + 1
            tracker._cross(close[row], volume[row])
            if row >= anchor:
                tracker._hurst.update(tracker._closes.values, row)
        return tracker

    def __len__(self) -> int:
        """How many candles the present stretch has."""
        return self._rows

    @property
    def time(self) -> int | None:
        """The open time (epoch ms) of the newest candle; None before the first."""
        return self._times[-1] if self._times else None

    def rows_after(self, time: int) -> int:
        """How many of the candles given, of any stretch, have an open time after ``time`` (epoch ms)."""
        return len(self._times) - bisect_right(self._times, time)

    def update(self, candle: Candle) -> None:
        """Takes the next closed candle. Raises ValueError for one that is not newer than the last."""
        time = candle.open_time
        if self._times:
            step = time - self._times[-1]
            if step <= 0:
                raise ValueError(f"{self._pair}: candle {time} is not newer than {self._times[-1]}")
            if step > self._longest:
                self._begin_stretch()
        self._times.append(time)
        self._rows += 1
        self._wilder.update(candle.high, candle.low, candle.close)
        self._cross(candle.close, candle.volume)
        self._hurst.update(self._closes.values, self._rows - 1)

    def _cross(self, close: float, volume: float) -> None:
        """The averages, and on which side of the slow one the fast one lies: 0 where the two are equal."""
        self._fast, self._slow = self._closes.push(close)
        (self._usual,) = self._volumes.push(volume)
        self._side_before = self._side
        distance = self._fast - self._slow
        self._side = 0.0 if abs(distance) < TIE * close else distance  # NaN stays NaN and compares False

    def snapshot(self) -> Snapshot | None:
        """Every indicator at the newest candle; None before the first."""
        if not self._times:
            return None
        time, wilder = self._times[-1], self._wilder
        close, slow, usual = self._closes.values[-1], self._slow, self._usual
        hurst = self._hurst.value(self._closes.values, self._rows)
        return Snapshot(
            open_time=time,
            close=close,
            sma_15=self._fast,
            sma_40=slow,
            rsi=wilder.rsi,
            adx=wilder.adx,
            di_plus=wilder.di_plus,
            di_minus=wilder.di_minus,
            atr=wilder.atr,
            atr_percent=wilder.atr / close * 100,
            volume_sma=usual,
            volume_ratio=self._volumes.values[-1] / usual if usual > 0 else _NAN,
            sma_distance_percent=(close - slow) / slow * 100,
            hurst=hurst,
            regime=regime_of(hurst, wilder.adx),
            hour=time % DAY_MS // HOUR_MS,
            day_of_week=(time // DAY_MS + 3) % 7,
        )

    def candidate(self, last_signal_time: int | None, settings: Strategy) -> Candidate | None:
        """The candidate at the close of the newest candle, or None: ``strategy.propose`` on all candles given."""
        before, side = self._side_before, self._side
        if not ((before <= 0 and side > 0) or (before >= 0 and side < 0)):
            return None
        snapshot = self.snapshot()
        if self._rows <= settings.warmup_bars or snapshot is None or not snapshot.atr > 0:
            return None
        direction = Direction.LONG if side > 0 else Direction.SHORT
        bars_since = None if last_signal_time is None else self.rows_after(last_signal_time)
        return Candidate(
            self._pair,
            self._timeframe,
            direction,
            snapshot,
            levels(direction, snapshot.close, snapshot.atr, settings.stop_atr),
            signal_verdicts(snapshot, direction, bars_since, settings),
        )


class Wilder:
    """RSI, ATR and the directional indicators over 14 candles, seeded and smoothed as TA-Lib does it.

    RSI, ATR and the DIs are known from the 15th candle on, ADX from the 28th; NaN before. Without any movement RSI and
    the DIs are 0, and a candle without direction leaves the ADX as it was. J. W. Wilder, "New Concepts in Technical
    Trading Systems" (1978).
    """

    def __init__(self) -> None:
        self._rows = 0
        self._high = self._low = self._close = _NAN
        self._gain = self._loss = self._plus = self._minus = self._range = self._dx = 0.0
        self.rsi = self.adx = self.di_plus = self.di_minus = self.atr = _NAN

    def update(self, high: float, low: float, close: float) -> None:
        row = self._rows
        self._rows = row + 1
        up, down, change = high - self._high, self._low - low, close - self._close
        reach = max(high - low, abs(high - self._close), abs(low - self._close))
        self._high, self._low, self._close = high, low, close
        if row == 0:
            return
        gain, loss = (change, 0.0) if change > 0 else (0.0, -change)
        if down > 0 and up < down:
            plus, minus = 0.0, down
        elif up > 0 and up > down:
            plus, minus = up, 0.0
        else:
            plus = minus = 0.0
        if row < 14:
            self._gain += gain
            self._loss += loss
            self._plus += plus
            self._minus += minus
            self._range += reach
            return
        if row == 14:
            self._gain, self._loss = (self._gain + gain) / 14, (self._loss + loss) / 14
            self.atr = (self._range + reach) / 14
        else:
            self._gain, self._loss = (self._gain * 13 + gain) / 14, (self._loss * 13 + loss) / 14
            self.atr = (self.atr * 13 + reach) / 14
        moved = self._gain + self._loss
        self.rsi = 100 * (self._gain / moved) if moved else 0.0
        # The directional sums take 13 candles and smooth the 14th already, where RSI and ATR average all 14.
        self._plus += plus - self._plus / 14
        self._minus += minus - self._minus / 14
        self._range += reach - self._range / 14
        self._direct(row)

    def _direct(self, row: int) -> None:
        total = self._range
        self.di_plus = 100 * (self._plus / total) if total else 0.0
        self.di_minus = 100 * (self._minus / total) if total else 0.0
        either = self.di_plus + self.di_minus
        dx = 100 * (abs(self.di_plus - self.di_minus) / either) if either else None
        if row <= 27:
            self._dx += 0.0 if dx is None else dx
            if row == 27:
                self.adx = self._dx / 14
        elif dx is not None:
            self.adx = (self.adx * 13 + dx) / 14


class MovingMeans:
    """Means of the last values for some sizes, to the bit as ``windows.rolling_mean`` gives them.

    Sums of 2, 4, 8 ... neighbours are built from each other and put together by the binary digits of the size, as
    ``window_sum`` does it: nothing is ever subtracted, so nothing drifts. ``values`` begins with NaN, which makes a
    mean NaN until its window is full.
    """

    def __init__(self, *sizes: int) -> None:
        widths = [1 << n for n in range(max(sizes).bit_length())]
        self._lists = [[_NAN] * _KEPT for _ in widths]
        self.values = self._lists[0]  # oldest first
        self._steps = [(-1 - width, *pair) for width, pair in zip(widths, pairwise(self._lists), strict=False)]
        self._parts = [(size, list(self._digits(size))) for size in sizes]

    def _digits(self, size: int) -> Iterator[tuple[list[float], int]]:
        """The lists that hold the parts of a window, the oldest part first, and where from the end each lies."""
        left = size
        for power, sums in enumerate(self._lists):
            if size & (1 << power):
                left -= 1 << power
                yield sums, -1 - left

    def push(self, value: float) -> list[float]:
        """Takes the next value; the mean for each size."""
        self.values.append(value)
        for back, shorter, longer in self._steps:
            value = shorter[back] + value
            longer.append(value)
        if len(self.values) >= 2 * _KEPT:
            for sums in self._lists:
                del sums[:-_KEPT]
        means = []
        for size, parts in self._parts:
            total = 0.0
            for sums, back in parts:
                total += sums[back]
            means.append(total / size)
        return means


class RunningHurst:
    """What ``hurst_at`` gives at the newest row, from running sums of each lag's steps and squared steps.

    The sums begin anew every 64 rows, counted from the stretch's first: they neither drift nor depend on when the
    process began. Where a variance has lost digits to cancellation, the formula itself is asked.
    """

    def __init__(self) -> None:
        self._sums: list[float] = []
        self._squares: list[float] = []
        self._largest: list[float] = []  # of the squares since they began anew: what their rounding is a share of

    def update(self, closes: list[float], row: int) -> None:
        """``closes`` end with the stretch's row ``row`` and hold at least ``WINDOW`` more, if the stretch has them."""
        if row < _FIRST_ANCHOR:
            return
        if row == _last_anchor(row):
            self._begin(closes[-min(row + 1, WINDOW) :])
            return
        close = closes[-1]
        entering = [close - past for past in closes[_ENTERING]]
        if row >= WINDOW:
            gone = closes[-WINDOW - 1]
            leaving = [past - gone for past in closes[_LEAVING]]
            self._sums = [s + a - b for s, a, b in zip(self._sums, entering, leaving, strict=True)]
            self._squares = [s + a * a - b * b for s, a, b in zip(self._squares, entering, leaving, strict=True)]
        else:
            self._sums = [s + a for s, a in zip(self._sums, entering, strict=True)]
            self._squares = [s + a * a for s, a in zip(self._squares, entering, strict=True)]
        self._largest = [a if a > b else b for a, b in zip(self._squares, self._largest, strict=True)]

    def _begin(self, window: list[float]) -> None:
        x = np.array(window)
        steps = [x[lag:] - x[:-lag] for lag in LAGS]
        self._sums = [float(s.sum()) for s in steps]
        self._squares = [float((s * s).sum()) for s in steps]
        self._largest = self._squares

    def value(self, closes: list[float], rows: int) -> float:
        """The exponent after ``rows`` rows of the stretch; NaN while there are fewer than ``MIN_PERIODS``."""
        if rows < MIN_PERIODS:
            return _NAN
        window = min(rows, WINDOW)
        exponent = 0.0
        for (lag, weight), steps, squares, largest in zip(
            _WEIGHTS, self._sums, self._squares, self._largest, strict=True
        ):
            size = window - lag
            spread = squares - steps * steps / size
            if spread <= _ILL_CONDITIONED * largest and largest > 0:
                return float(hurst_at(np.array(closes[-window:]), np.array([window - 1]))[0])
            exponent += weight * math.log(max(spread / size, _LEAST_VARIANCE))
        return exponent


_WEIGHTS = slope_weights()
_FIRST_ANCHOR = MIN_PERIODS - 1
_ANCHOR_EVERY = 64
# Some 64 additions leave about 3e-14 of the largest sum as error: a variance above this share of it is right to 3e-11.
_ILL_CONDITIONED = 1e-3
_LEAST_VARIANCE = FLOOR * FLOOR
# The closes that the newest step of each lag begins with, and those that the oldest, just left behind, ended with.
_ENTERING = slice(-1 - LAGS[0], -1 - LAGS[-1] - 1, -1)
_LEAVING = slice(-WINDOW - 1 + LAGS[0], -WINDOW - 1 + LAGS[-1] + 1)


def _last_anchor(row: int) -> int:
    """The newest row up to ``row`` at which Hurst's sums begin anew; the first of all where there is none yet."""
    return max(_FIRST_ANCHOR, row - (row - _FIRST_ANCHOR) % _ANCHOR_EVERY)
