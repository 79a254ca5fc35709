"""What the live loop knows of a pair: its newest candles and their indicators, the same whenever the process began.

Wilder's smoothing never quite forgets, so a value depends on where it was begun. Here it is begun at fixed times: the
values at a candle are those of all stored candles from ``history_start`` on, and nothing else. See docs/why.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from zlib import crc32

from core.domain.candles import Candle, Candles, Pair, Timeframe
from core.domain.window import Window
from core.engine.tracker import Tracker

GRID = 384
"""Candles from one fixed beginning to the next: four days of 15m. More would be more to load, less more to begin."""


def history_start(pair: Pair, frame: Timeframe, open_time: int, keep: int) -> int:
    """The open time (epoch ms) of the first candle that the values at the candle ``open_time`` may depend on.

    That is ``keep`` candles before the newest anchor. Anchors stand ``GRID`` candles apart and, for each pair, at
    another time, so that hundreds of pairs do not begin anew at the same close.
    """
    return _anchor(pair, frame, open_time) - keep * frame.ms


def _anchor(pair: Pair, frame: Timeframe, open_time: int) -> int:
    shift = crc32(pair.symbol.encode()) % GRID * frame.ms
    return open_time - (open_time - shift) % (GRID * frame.ms)


class History:
    """A pair's candles from ``history_start`` on, and their tracker. ``append`` costs O(1), an anchor a millisecond.

    It holds ``keep`` + 1 to ``keep`` + ``GRID`` candles, fewer where the market has gaps or is young.
    """

    def __init__(self, candles: Candles, keep: int, max_gap: int) -> None:
        self._pair, self._frame = candles.pair, candles.timeframe
        self._keep = keep
        self._max_gap = max_gap
        self._next_anchor = 0
        if len(candles):
            candles = candles.between(self._pass_anchor(int(candles.time[-1])), None)
        self._window = Window(candles)
        self._tracker: Tracker | None = None

    def _pass_anchor(self, time: int) -> int:
        """The start that holds from the newest anchor on."""
        anchor = _anchor(self._pair, self._frame, time)
        self._next_anchor = anchor + GRID * self._frame.ms
        return anchor - self._keep * self._frame.ms

    @property
    def candles(self) -> Candles:
        """What is known, oldest first: a view that stays as it is when candles come."""
        return self._window.candles

    @property
    def last_time(self) -> int | None:
        """The open time (epoch ms) of the newest candle; None where nothing is known."""
        return self._window.last_time

    @property
    def last_close(self) -> float | None:
        return self._window.last_close

    @property
    def tracker(self) -> Tracker:
        """The indicators at the newest candle; worked out when first asked for, then moved on with each candle."""
        if self._tracker is None:
            self._tracker = Tracker.over(self.candles, self._max_gap)
        return self._tracker

    def append(self, candle: Candle) -> None:
        """Raises ValueError for a candle that is not newer than the newest one."""
        self._window.append(candle)
        if candle.open_time >= self._next_anchor:
            self._window.drop_before(self._pass_anchor(candle.open_time))
            self._tracker = None
        elif self._tracker is not None:
            self._tracker.update(candle)


class Windows(Mapping[Pair, Candles]):
    """The candles of many histories, each looked up when it is asked for."""

    def __init__(self, histories: Mapping[Pair, History]) -> None:
        self._histories = histories

    def __getitem__(self, pair: Pair) -> Candles:
        return self._histories[pair].candles

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._histories)

    def __len__(self) -> int:
        return len(self._histories)
