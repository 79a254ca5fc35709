"""A pair's newest candles, growing at one end: a new candle costs the same however many there are."""

from __future__ import annotations

import numpy as np

from core.domain.candles import Candle, Candles, FloatArray, IntArray

_PRICES = ("open", "high", "low", "close", "volume")
_SPARE = 256  # rows free at the end of a new buffer, at least


class Window:
    """Candles that are appended at the end and dropped from the beginning; ``candles`` is the present as ``Candles``.

    Rows already written are never written again, so what ``candles`` gave earlier stays as it was. When the buffer is
    full, the rows still wanted move to a new one: spread over the candles between, an ``append`` costs O(1).
    """

    def __init__(self, candles: Candles) -> None:
        """Holds a copy of ``candles``, which may be empty."""
        self._pair, self._timeframe = candles.pair, candles.timeframe
        self._start = self._stop = 0  # the rows of the buffers that are held
        self._view: Candles | None = None
        self._last: tuple[int, float] | None = None
        if len(candles):
            self._last = int(candles.time[-1]), float(candles.close[-1])
        self._move(candles)

    def __len__(self) -> int:
        return self._stop - self._start

    @property
    def candles(self) -> Candles:
        """All candles held, oldest first: a view, not a copy."""
        if self._view is None:
            part = slice(self._start, self._stop)
            self._view = Candles(
                self._pair, self._timeframe, self._time[part], *(column[part] for column in self._columns)
            )
        return self._view

    @property
    def last_time(self) -> int | None:
        """The open time (epoch ms) of the newest candle; None for an empty window."""
        return self._last[0] if self._last else None

    @property
    def last_close(self) -> float | None:
        return self._last[1] if self._last else None

    def append(self, candle: Candle) -> None:
        """Raises ValueError for a candle that is not newer than the newest one."""
        if self._last and candle.open_time <= self._last[0]:
            raise ValueError(f"{self._pair}: candle {candle.open_time} is not newer than {self._last[0]}")
        if self._stop == len(self._time):
            self._move(self.candles)
        row = self._stop
        self._time[row] = candle.open_time
        opened, high, low, close, volume = self._columns
        opened[row], high[row], low[row] = candle.open, candle.high, candle.low
        close[row], volume[row] = candle.close, candle.volume
        self._stop = row + 1
        self._last = candle.open_time, candle.close
        self._view = None

    def drop_before(self, time: int) -> None:
        """Lets go of the candles with an open time before ``time`` (epoch ms)."""
        self._start += int(np.searchsorted(self._time[self._start : self._stop], time))
        self._last = self._last if len(self) else None
        self._view = None

    def _move(self, candles: Candles) -> None:
        """Into new buffers, with half as much room again as there are candles."""
        self._start, self._stop = 0, len(candles)
        room = self._stop + max(self._stop // 2, _SPARE)
        self._time: IntArray = np.zeros(room, dtype=np.int64)
        self._time[: self._stop] = candles.time
        self._columns: tuple[FloatArray, ...] = tuple(np.zeros(room) for _ in _PRICES)
        for column, name in zip(self._columns, _PRICES, strict=True):
            column[: self._stop] = getattr(candles, name)
