"""What stands around a candidate at its close: the market's last day, BTC, longer averages, the other pairs.

One piece of code serves a backtest's thousands of rows and the live loop's single one, so both see the same numbers.
Only rows at or before a candidate's own candle are ever read, none beyond a gap longer than ``max_gap``, and none
more than ``LOOK_BACK`` candles old, so that the live loop, which keeps few, sees no less than a backtest does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from core.config import Settings
from core.domain.candles import BoolArray, Candles, FloatArray, IntArray, Pair
from core.engine.filters import TIE

SURROUNDINGS: tuple[str, ...] = (
    *("return_4", "return_16", "return_96", "volatility_ratio", "range_position"),
    *("timeframe_alignment", "trend_strength"),
    *("btc_correlation", "btc_return_4", "btc_return_16"),
    "return_rank",
)

DAY = 96
"""Candles in the longest window: a day of 15m."""

LOOK_BACK = 246
"""Candles that the longest average needs at most: 40 of six candles each, and the six that are not whole."""

_LONGER = (2, 4, 6)  # candles in one of the longer timeframes
_STRENGTH = 4  # the one whose distance between the averages is a feature itself
_FEWEST_OTHERS = 2
_AT_ONCE = 4096  # rows: what is laid out as windows of a day stays within a few megabytes


@dataclass(frozen=True, eq=False)
class Track:
    """A pair's closes by open time (epoch ms), and the rows at which its unbroken stretches begin."""

    time: IntArray
    close: FloatArray
    starts: IntArray

    @classmethod
    def of(cls, candles: Candles, max_gap: int) -> Track:
        starts = [first for first, _ in candles.stretches(max_gap)]
        return cls(candles.time, candles.close, np.array(starts, dtype=np.int64))

    def find(self, times: IntArray) -> IntArray:
        """The rows of these open times, -1 where there is no such candle."""
        if not len(self.time):
            return np.full(len(times), -1, dtype=np.int64)
        row = np.minimum(np.searchsorted(self.time, times), len(self.time) - 1)
        return np.where(self.time[row] == times, row, -1).astype(np.int64)

    def reaches(self, row: IntArray, back: int) -> BoolArray:
        """Whether the candle ``back`` rows before each lies in the same stretch."""
        if not len(self.starts):
            return np.zeros(len(row), dtype=np.bool_)
        start = self.starts[np.maximum(np.searchsorted(self.starts, row, side="right") - 1, 0)]
        return np.asarray((row >= 0) & (row - start >= back), dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class Scene:
    """The candles of all pairs that are looked at together. ``peers`` are those that a rank is taken among."""

    tracks: Mapping[Pair, Track]
    peers: tuple[Pair, ...]
    btc: Pair
    max_gap: int
    _returns: dict[bytes, FloatArray] = field(default_factory=dict, repr=False)
    _btc_returns: dict[bytes, FloatArray] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, candles: Iterable[Candles], peers: Iterable[Pair], btc: Pair, max_gap: int) -> Scene:
        """From each pair's candles, of which only times and closes are kept."""
        tracks = {c.pair: Track.of(c, max_gap) for c in candles if len(c)}
        return cls(tracks, tuple(sorted(set(peers) & set(tracks))), btc, max_gap)

    def place(self, pair: Pair) -> int | None:
        """Where a pair stands among the peers."""
        at = bisect_left(self.peers, pair)
        return at if at < len(self.peers) and self.peers[at] == pair else None

    def day_returns(self, times: IntArray) -> FloatArray:
        """Each peer's ratio of closes over the last day at these open times, ``[peers, n]``; NaN where unknown.

        The last answer is kept: live, all candidates of a close ask for the same moment.
        """
        key = times.tobytes()
        if key not in self._returns:
            self._returns.clear()
            found = [_day_return(self.tracks[pair], self.tracks[pair].find(times)) for pair in self.peers]
            self._returns[key] = np.array(found).reshape(len(self.peers), len(times))
        return self._returns[key]

    def btc_returns(self, track: Track, times: IntArray) -> FloatArray:
        """BTC's log returns of the last day at these open times, ``[n, DAY]``; NaN where unknown. The last is kept."""
        key = times.tobytes()
        if key not in self._btc_returns:
            self._btc_returns.clear()
            found = _windows(np.log(track.close), track, track.find(times), DAY + 1, differences=True)
            self._btc_returns[key] = found
        return self._btc_returns[key]


def scene_of(candles: Iterable[Candles], tested: Iterable[Pair], settings: Settings) -> Scene:
    """What features may look at beside a pair's own candles.

    Ranks are among the pairs of the settings, as they are live, and those tested; one that has no candles is no peer.
    """
    return Scene.of(candles, (*settings.traded, *tested), settings.btc, settings.candles.max_gap)


def surroundings(candles: Candles, times: IntArray, sign: IntArray, atr: FloatArray, scene: Scene) -> FloatArray:
    """``SURROUNDINGS`` of a pair at these open times: float64 ``[n, len(SURROUNDINGS)]``, NaN = cannot be known.

    ``candles`` are the pair's own, ``sign`` +1 for LONG and -1 for SHORT, ``atr`` its ATR in the quote currency.
    """
    own = Track.of(candles, scene.max_gap)
    found = np.full((len(times), len(SURROUNDINGS)), np.nan)
    for part in _parts(len(times)):
        columns = _Rows(candles, own, scene, times[part], sign[part].astype(np.float64), atr[part]).columns()
        found[part] = np.column_stack([columns[name] for name in SURROUNDINGS])
    return found


def _parts(count: int) -> Iterator[slice]:
    for first in range(0, count, _AT_ONCE):
        yield slice(first, first + _AT_ONCE)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Some candidates of one pair."""

    candles: Candles
    own: Track
    scene: Scene
    times: IntArray
    sign: FloatArray
    atr: FloatArray

    def columns(self) -> dict[str, FloatArray]:
        row = self.own.find(self.times)
        returns = _windows(np.log(self.own.close), self.own, row, DAY + 1, differences=True)
        return {
            **{f"return_{back}": self._return(row, back) for back in (4, 16, DAY)},
            "volatility_ratio": _ratio(returns[:, -16:].std(axis=1), returns.std(axis=1)),
            "range_position": self._range_position(row),
            **self._longer(row),
            **self._btc(),
            "return_rank": self._rank(row),
        }

    def _return(self, row: IntArray, back: int) -> FloatArray:
        """The move of the last ``back`` candles in ATR, positive where it went the trade's way."""
        return _ratio(
            self.sign * (_at(self.own.close, row, self.own, 0) - _at(self.own.close, row, self.own, back)), self.atr
        )

    def _range_position(self, row: IntArray) -> FloatArray:
        """Where the close lies in the day's range: 0 at the end that the trade leaves, 1 at the end it runs to."""
        high = _windows(self.candles.high, self.own, row, DAY).max(axis=1)
        low = _windows(self.candles.low, self.own, row, DAY).min(axis=1)
        place = _ratio(_at(self.own.close, row, self.own, 0) - low, high - low)
        return np.where(self.sign > 0, place, 1 - place)

    def _longer(self, row: IntArray) -> dict[str, FloatArray]:
        """Longer timeframes, resampled as ``filters.resample_closes`` does: the sign of SMA 15 - SMA 40 of each."""
        distances = {number: self._distance(row, number) for number in _LONGER}
        close = _at(self.own.close, row, self.own, 0)
        signs = [np.where(np.abs(d) < TIE * close, 0.0, np.sign(d)) for d in distances.values()]
        known = np.array([~np.isnan(d) for d in distances.values()])
        agree = np.array([s == self.sign for s in signs]) & known
        return {
            "timeframe_alignment": _ratio(agree.sum(axis=0).astype(np.float64), known.sum(axis=0).astype(np.float64)),
            "trend_strength": _ratio(self.sign * distances[_STRENGTH], self.atr),
        }

    def _distance(self, row: IntArray, number: int) -> FloatArray:
        step = self.candles.timeframe.ms
        last_parts = np.flatnonzero((self.own.time + step) % (number * step) == 0)
        place = np.searchsorted(last_parts, row, side="right") - 1
        there = (row >= 0) & (place >= 39)
        oldest = last_parts[np.where(there, place - 39, 0)] if len(last_parts) else np.zeros(len(row), dtype=np.int64)
        there &= self.own.reaches(row, 0) & (row - oldest <= LOOK_BACK)
        there &= self._same_stretch(row, oldest)
        found = np.full(len(row), np.nan)
        if there.any():
            picked = last_parts[place[there][:, None] + np.arange(-39, 1)]
            closes = self.own.close[picked]
            found[there] = closes[:, -15:].mean(axis=1) - closes.mean(axis=1)
        return found

    def _same_stretch(self, row: IntArray, oldest: IntArray) -> BoolArray:
        starts = self.own.starts
        if not len(starts):
            return np.zeros(len(row), dtype=np.bool_)
        same = np.searchsorted(starts, row, side="right") == np.searchsorted(starts, oldest, side="right")
        return np.asarray(same, dtype=np.bool_)

    def _btc(self) -> dict[str, FloatArray]:
        """How BTC moved, in its own daily deviations and the trade's direction, and how the pair moves with it."""
        none = np.full(len(self.times), np.nan)
        track = self.scene.tracks.get(self.scene.btc)
        if track is None:
            return dict.fromkeys(("btc_correlation", "btc_return_4", "btc_return_16"), none)
        returns = self.scene.btc_returns(track, self.times)
        spread = returns.std(axis=1)
        moves = {
            f"btc_return_{back}": _ratio(self.sign * returns[:, -back:].sum(axis=1), spread * np.sqrt(back))
            for back in (4, 16)
        }
        return {"btc_correlation": self._correlation(track), **moves}

    def _correlation(self, btc: Track) -> FloatArray:
        """Pearson's, of the last 96 log returns that both have, as ``filters.correlation`` has it."""
        times, in_own, in_btc = _shared(self.own.time, btc.time)
        longest = (self.scene.max_gap + 1) * self.candles.timeframe.ms
        starts = np.concatenate(([0], np.flatnonzero(np.diff(times) > longest) + 1)) if len(times) else np.empty(0)
        both = Track(times, self.own.close[in_own], starts.astype(np.int64))
        row = both.find(self.times)
        own = _windows(np.log(self.own.close[in_own]), both, row, DAY + 1, differences=True)
        other = _windows(np.log(btc.close[in_btc]), both, row, DAY + 1, differences=True)
        own, other = own - own.mean(axis=1, keepdims=True), other - other.mean(axis=1, keepdims=True)
        spread = np.sqrt(np.square(own).sum(axis=1) * np.square(other).sum(axis=1))
        return _ratio((own * other).sum(axis=1), spread)

    def _rank(self, row: IntArray) -> FloatArray:
        """The share of the other pairs that the last day's move is ahead of, in the trade's direction; ties half."""
        own = _day_return(self.own, row)
        other = self.scene.day_returns(self.times)
        if (place := self.scene.place(self.candles.pair)) is not None:
            other = np.delete(other, place, axis=0)
        known = (~np.isnan(other)).sum(axis=0).astype(np.float64)
        below = ((other < own) + 0.5 * (other == own)).sum(axis=0)
        rank = _ratio(np.where(known >= _FEWEST_OTHERS, below, np.nan), known)
        rank[np.isnan(own)] = np.nan
        return np.where(self.sign > 0, rank, 1 - rank)


def _shared(one: IntArray, other: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """The open times that both have, and their rows in each. Live they nearly always are the same times."""
    if np.array_equal(one, other):
        rows = np.arange(len(one))
        return one, rows, rows
    return np.intersect1d(one, other, assume_unique=True, return_indices=True)


def _day_return(track: Track, row: IntArray) -> FloatArray:
    return _ratio(_at(track.close, row, track, 0), _at(track.close, row, track, DAY))


def _at(values: FloatArray, row: IntArray, track: Track, back: int) -> FloatArray:
    """The value ``back`` rows before each, NaN where that is not in the same stretch."""
    there = track.reaches(row, back)
    found = np.full(len(row), np.nan)
    found[there] = values[row[there] - back]
    return found


def _windows(values: FloatArray, track: Track, row: IntArray, length: int, *, differences: bool = False) -> FloatArray:
    """``[n, length]``: the last ``length`` values up to each row (their differences: one fewer), NaN where unknown."""
    there = track.reaches(row, length - 1)
    found = np.full((len(row), length), np.nan)
    if there.any():
        found[there] = values[row[there][:, None] + np.arange(1 - length, 1)]
    return np.diff(found, axis=1) if differences else found


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """NaN where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(below > 0, above / below, np.nan)
    return np.asarray(found, dtype=np.float64)
