"""A seeded market: pairs that move with BTC, regimes, clustered volatility, fat tails, a daily rhythm of volume.

Everything is made of one-minute candles in blocks of a week. A block depends on (seed, pair, week) and nothing else,
so any window can be made again, in any order, and every timeframe is a resampling of the same minutes. Prices cannot
run away: each week ends at a price drawn from a process that returns to the pair's level.

It is livelier than the real market, so that a demo shows something: about 0.23 signals per pair and day where real
candles of 2022 to 2024 give 0.12. Its trends carry a drift, so a crossover reaches 1.5R before its stop in about 44%
of the cases; that says nothing about a real market.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from core.domain.candles import Candle, Candles, FloatArray, IntArray, Pair, Timeframe
from core.errors import UsageError

MINUTE_MS = 60_000
WEEK = 7 * 24 * 60  # minutes in a block
_WEEKS = 5_000  # weeks since 1970 that have a price: to the year 2065
_RETURN = 0.97  # what is left of a price's distance from its level after a week
_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Nature:
    """How a pair behaves. ``sigma`` is the usual standard deviation of a minute's own return, ``beta`` how much of
    BTC's moves it follows, ``volume`` a usual minute's turnover in USDT, ``tick`` the price step."""

    price: float
    beta: float
    sigma: float
    volume: float
    tick: float


NATURES = {
    "BTC": Nature(60_000.0, 1.0, 0.00042, 400_000.0, 0.01),
    "ETH": Nature(3_000.0, 1.05, 0.00034, 220_000.0, 0.01),
    "SOL": Nature(150.0, 1.2, 0.00058, 110_000.0, 0.01),
    "LINK": Nature(17.0, 1.1, 0.00058, 30_000.0, 0.001),
    "AVAX": Nature(35.0, 1.15, 0.00060, 25_000.0, 0.001),
    "POL": Nature(0.5, 1.0, 0.00062, 12_000.0, 0.0001),
    "XRP": Nature(2.2, 1.0, 0.00055, 90_000.0, 0.0001),
    "ADA": Nature(0.75, 1.05, 0.00058, 40_000.0, 0.0001),
    "DOT": Nature(6.5, 1.1, 0.00060, 18_000.0, 0.001),
    "NEAR": Nature(4.8, 1.2, 0.00066, 16_000.0, 0.001),
    "ARB": Nature(0.9, 1.15, 0.00068, 11_000.0, 0.0001),
}
_OTHER = Nature(5.0, 1.0, 0.0006, 15_000.0, 0.0001)
DEMO_PAIRS = tuple(Pair(base, "USDT") for base in NATURES)


@dataclass(frozen=True, eq=False, slots=True)
class _Moves:
    """A week of minutes: log returns, their standard deviations, and how busy the market was (1 = as usual)."""

    returns: FloatArray
    sigma: FloatArray
    busy: FloatArray


class MarketSim:
    """Candles of any pair at any time since 1970, the same for the same seed.

    ``MarketSim(7).candles(Pair.parse("LINK"), Timeframe.parse("15m"), start_ms, end_ms)``
    """

    def __init__(self, seed: int = 7, pairs: Sequence[Pair] = DEMO_PAIRS) -> None:
        self.seed = seed
        self._pairs = tuple(pairs)
        self._market = lru_cache(maxsize=128)(self._market_week)
        self._week = lru_cache(maxsize=32)(self._minutes_of_week)
        self._coarse = lru_cache(maxsize=4096)(self._resampled_week)
        self._anchors = lru_cache(maxsize=None)(self._weekly_prices)

    def pairs(self) -> tuple[Pair, ...]:
        return self._pairs

    def candles(self, pair: Pair, timeframe: Timeframe, start_ms: int, end_ms: int) -> Candles:
        """Whole candles with open times in ``[start_ms, end_ms)``. Raises UsageError outside 1970..2065."""
        first, last = start_ms // (WEEK * MINUTE_MS), max(start_ms, end_ms - 1) // (WEEK * MINUTE_MS)
        weeks = [self._coarse(pair, timeframe, week) for week in range(first, last + 1)]
        return _together(weeks).between(start_ms, end_ms)

    def running(self, pair: Pair, timeframe: Timeframe, now_ms: int) -> Candle:
        """The candle that is open at ``now_ms``, as far as its closed minutes go; flat before the first of them."""
        opened = timeframe.floor(now_ms)
        minute = Timeframe.parse("1m")
        known = self.candles(pair, minute, opened, max(opened + 1, minute.floor(now_ms)))
        if now_ms - opened < MINUTE_MS:
            price = float(known.open[0])
            return Candle(opened, price, price, price, price, 0.0)
        return resampled(known, timeframe).candle(0)

    # Weeks.

    def _resampled_week(self, pair: Pair, timeframe: Timeframe, week: int) -> Candles:
        return resampled(self._week(pair, week), timeframe)

    def _minutes_of_week(self, pair: Pair, week: int) -> Candles:
        nature = NATURES.get(pair.base, _OTHER)
        moves = self._moves(pair, nature, week)
        log_close = self._anchored(pair, nature, week, moves.returns)
        rng = self._rng(pair.symbol, "bars", week)
        start = float(self._anchors(pair.base)[week])
        log_open = np.concatenate(([start], log_close[:-1]))
        high, low = _extremes(rng, log_open, log_close, moves.sigma)
        prices = [np.round(np.exp(part) / nature.tick) * nature.tick for part in (log_open, high, low, log_close)]
        opens, highs, lows, closes = (np.maximum(np.round(part, 10), nature.tick) for part in prices)
        minutes = np.arange(week * WEEK, (week + 1) * WEEK, dtype=np.int64)
        turnover = nature.volume * moves.busy * _rhythm(minutes) * np.exp(rng.normal(-0.08, 0.4, WEEK))
        volume = np.round(turnover / closes, 4)
        return Candles(pair, Timeframe.parse("1m"), minutes * MINUTE_MS, opens, highs, lows, closes, volume)

    def _anchored(self, pair: Pair, nature: Nature, week: int, returns: FloatArray) -> FloatArray:
        """The log price path, bent evenly so that it ends at the week's last price."""
        anchors = self._anchors(pair.base)
        path = np.cumsum(returns)
        wanted = anchors[week + 1] - anchors[week]
        bend: FloatArray = np.arange(1, WEEK + 1) / WEEK * (wanted - path[-1])
        return np.asarray(anchors[week] + path + bend, dtype=np.float64)

    def _weekly_prices(self, base: str) -> FloatArray:
        """The log price at the start of every week: the pair's level, and a distance that fades; BTC's in part."""
        nature = NATURES.get(base, _OTHER)
        own = _fading(self._rng(base, "anchors", 0).normal(0, 0.04 if base == "BTC" else 0.03, _WEEKS), _RETURN)
        if base != "BTC":
            own = own + 0.8 * (self._anchors("BTC") - np.log(NATURES["BTC"].price))
        return np.asarray(np.log(nature.price) + own, dtype=np.float64)

    def _moves(self, pair: Pair, nature: Nature, week: int) -> _Moves:
        market = self._market(week)
        if pair.base == "BTC":
            return market
        own = self._own_moves(pair.base, nature.sigma, week, liveliness=0.55)
        returns = nature.beta * market.returns + own.returns
        sigma = np.sqrt((nature.beta * market.sigma) ** 2 + own.sigma**2)
        return _Moves(returns, sigma, market.busy**0.6 * own.busy**0.6)

    def _market_week(self, week: int) -> _Moves:
        """What moves all pairs together: BTC's own moves."""
        return self._own_moves("BTC", NATURES["BTC"].sigma, week, liveliness=1.0)

    def _own_moves(self, base: str, sigma: float, week: int, liveliness: float) -> _Moves:
        """One source of moves for a week: regimes for drift and calm, clustered volatility, jumps."""
        if not 0 <= week < _WEEKS - 1:
            raise UsageError("the simulated market has prices from 1970 to 2065 only")
        rng = self._rng(base, "moves", week)
        drift, calm = _regimes(rng, liveliness)
        spread = sigma * calm * np.exp(self._clusters(base, week))
        shocks = rng.standard_t(4, WEEK) / np.sqrt(2)
        jumps = _jumps(rng, liveliness)
        returns = spread * (shocks + drift) + sigma * jumps
        busy = (spread / sigma) ** 0.9 * (1 + 0.9 * np.abs(drift) / 0.1) + np.abs(jumps) / 2
        return _Moves(returns, spread, busy)

    def _clusters(self, base: str, week: int) -> FloatArray:
        """Log volatility: slow waves that meet at the weeks' ends, so that no week begins with a jump."""
        ends = self._rng(base, "calm", 0).normal(0, 0.22, _WEEKS)
        rng = self._rng(base, "clusters", week)
        wave = _fading(rng.normal(0, 0.03, WEEK), 0.996)
        bend = np.arange(1, WEEK + 1) / WEEK
        bridged = wave - wave[0] + (ends[week] - 0) * (1 - bend) + bend * (ends[week + 1] - wave[-1] + wave[0])
        return np.asarray(np.clip(bridged, -1.1, 1.3), dtype=np.float64)

    def _rng(self, name: str, purpose: str, week: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(name.encode()), zlib.crc32(purpose.encode()), week])


def _regimes(rng: np.random.Generator, liveliness: float) -> tuple[FloatArray, FloatArray]:
    """Drift in standard deviations a minute, and a factor on volatility, for a week of regimes of 3 to 30 hours."""
    drift, calm = np.zeros(WEEK), np.ones(WEEK)
    at = 0
    while at < WEEK:
        length = int(60 * np.clip(rng.lognormal(2.1, 0.6), 3, 30))
        kind = rng.choice(4, p=(0.3, 0.3, 0.25, 0.15))
        part = slice(at, min(WEEK, at + length))
        if kind < 2:
            strength = rng.uniform(0.03, 0.09) * liveliness
            drift[part] = strength if kind == 0 else -strength
        else:
            calm[part] = 0.6 if kind == 2 else 1.7
        at += length
    return drift, _smoothed(calm, 45)


def _jumps(rng: np.random.Generator, liveliness: float) -> FloatArray:
    """News: a few times a week the price runs for some minutes, in usual standard deviations a minute."""
    out = np.zeros(WEEK)
    for _ in range(rng.poisson(4 * liveliness)):
        start, length = int(rng.integers(0, WEEK)), int(rng.integers(3, 25))
        part = out[start : start + length]
        part += rng.choice((-1, 1)) * rng.uniform(8, 22) * np.linspace(1, 0, len(part)) / np.sqrt(length)
    return out


def _extremes(
    rng: np.random.Generator, log_open: FloatArray, log_close: FloatArray, sigma: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """High and low of each minute, as a random walk from open to close would reach them."""
    move = log_close - log_open
    reach = [np.sqrt(move**2 - 2 * sigma**2 * np.log(rng.uniform(1e-9, 1, len(move)))) for _ in range(2)]
    return log_open + 0.5 * (move + reach[0]), log_open + 0.5 * (move - reach[1])


def _rhythm(minutes: IntArray) -> FloatArray:
    """Volume over the day and the week: least near 04:00 UTC, most when America trades, quiet at weekends."""
    hour = minutes % _DAY / 60
    day = (minutes // _DAY + 3) % 7
    wave = 1 + 0.38 * np.cos((hour - 15.5) / 24 * 2 * np.pi) + 0.12 * np.cos((hour - 8) / 12 * 2 * np.pi)
    return np.asarray(wave * np.where(day >= 5, 0.7, 1.0), dtype=np.float64)


def _fading(shocks: FloatArray, keep: float) -> FloatArray:
    """``x[t] = keep * x[t-1] + shocks[t]``."""
    out = np.empty_like(shocks)
    value = 0.0
    for i, shock in enumerate(shocks.tolist()):
        value = keep * value + shock
        out[i] = value
    return out


def _smoothed(values: FloatArray, width: int) -> FloatArray:
    padded = np.pad(values, (width, width), mode="edge")
    return np.convolve(padded, np.ones(width) / width, mode="same")[width:-width]


def resampled(candles: Candles, timeframe: Timeframe) -> Candles:
    """Candles of a longer timeframe from shorter ones: every candle present is used, an unfinished one included."""
    if timeframe == candles.timeframe or not len(candles):
        return candles if timeframe == candles.timeframe else Candles.empty(candles.pair, timeframe)
    opened = candles.time - candles.time % timeframe.ms
    first = np.flatnonzero(np.concatenate(([True], np.diff(opened) > 0)))
    last = np.concatenate((first[1:], [len(opened)])) - 1
    return Candles(
        candles.pair,
        timeframe,
        opened[first],
        candles.open[first],
        np.maximum.reduceat(candles.high, first),
        np.minimum.reduceat(candles.low, first),
        candles.close[last],
        np.add.reduceat(candles.volume, first),
    )


def _together(parts: Sequence[Candles]) -> Candles:
    columns = ("time", "open", "high", "low", "close", "volume")
    joined = (np.concatenate([getattr(part, column) for part in parts]) for column in columns)
    return Candles(parts[0].pair, parts[0].timeframe, *joined)
