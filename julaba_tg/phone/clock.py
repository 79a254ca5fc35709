"""Time for the simulated world: the computer's, and a simulated one that runs faster, pauses and steps."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from core.domain.candles import Timeframe, to_datetime, to_ms

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def wall_now() -> datetime:
    """The computer's time, aware UTC: what a phone writes beside a message."""
    return _EPOCH + timedelta(microseconds=time.time_ns() // 1000)


class SimClock:
    """Simulated time = start + elapsed real time * speed. A ``core.ports.Clock``.

    ``candles_per_second`` counts candles of ``timeframe``: 4 with 15m makes an hour pass each second; 0 stands still.
    """

    def __init__(self, start: datetime, candles_per_second: float = 4.0, timeframe: Timeframe | None = None) -> None:
        self.timeframe = timeframe or Timeframe.parse("15m")
        self._base_ms = float(to_ms(start))
        self._since = time.monotonic()
        self._speed = candles_per_second
        self._paused = False
        self._until: float | None = None
        self._changed = asyncio.Event()

    @property
    def candles_per_second(self) -> float:
        return self._speed

    @property
    def paused(self) -> bool:
        return self._paused

    @property
    def stands(self) -> bool:
        """Whether time has come to where ``run_until`` ends it."""
        return self._until is not None and self._exact() >= self._until

    @property
    def rate(self) -> float:
        """Simulated seconds for each real one; 0 while paused."""
        return 0.0 if self._paused else self._speed * self.timeframe.ms / 1000

    def now_ms(self) -> int:
        """Simulated epoch milliseconds."""
        return int(self._exact())

    def now(self) -> datetime:
        return to_datetime(self.now_ms())

    def _exact(self) -> float:
        exact = self._base_ms + (time.monotonic() - self._since) * self.rate * 1000
        return exact if self._until is None else min(exact, max(self._base_ms, self._until))

    def _rebase(self, base_ms: float) -> None:
        self._base_ms, self._since = base_ms, time.monotonic()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def pause(self) -> None:
        self._rebase(self._exact())
        self._paused = True

    def resume(self) -> None:
        self._rebase(self._exact())
        self._paused = False

    def run_until(self, epoch_ms: float | None) -> None:
        """Time goes to this moment and stands there, however busy the computer is; None: it goes on and on."""
        if epoch_ms != self._until:
            self._rebase(self._exact())
            self._until = epoch_ms

    def set_speed(self, candles_per_second: float) -> None:
        """Raises ValueError for a negative speed."""
        if candles_per_second < 0:
            raise ValueError("time does not run backwards")
        self._rebase(self._exact())
        self._speed = candles_per_second

    def step(self, candles: int = 1) -> datetime:
        """Moves on to the ``candles``-th next close and gives it."""
        frame = self.timeframe.ms
        self._rebase(float((self.now_ms() // frame + candles) * frame))
        return self.now()

    def set(self, moment: datetime) -> None:
        """Jumps to a moment, forwards or back."""
        self._rebase(float(to_ms(moment)))

    async def sleep_until(self, moment: datetime) -> None:
        """Returns once ``now() >= moment``; a pause or ``run_until`` holds it, a step or a jump wakes it."""
        target = to_ms(moment)
        while (missing := target - self._exact()) > 0:
            changed = self._changed
            held = self.rate == 0 or (self._until is not None and self._until < target)
            seconds = None if held else missing / 1000 / self.rate
            try:
                async with asyncio.timeout(seconds):
                    await changed.wait()
            except TimeoutError:
                continue
