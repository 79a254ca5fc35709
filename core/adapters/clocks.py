"""Sources of time: the computer, set right or not, the exchange, a replay. Each implements ``core.ports.Clock``."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

from core.domain.candles import to_datetime
from core.errors import MarketError, RateLimited
from core.ports import MarketData

log = logging.getLogger(__name__)

SHORTEST_WAIT = 0.01  # seconds between two looks at the exchange's clock
LONGEST_WAIT = 1.0
LONGEST_BACK_OFF = 60.0
SAMPLES = 8  # the speed is measured over this many looks
MEASURABLE = 0.1  # seconds between first and last look, below which latency drowns the speed
SURE = 1.0  # seconds of a question and its answer, up to which the answer tells the time well enough
SLICE = 5.0  # seconds between two looks while sleeping: a computer that slept itself is soon noticed
LIKE_OURS = (0.8, 1.25)  # a speed in here is real time, and the time since the last look may be added


class SystemClock:
    """The computer's own time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep_until(self, moment: datetime) -> None:
        # In slices, because the computer may sleep or its clock be set meanwhile.
        while (left := (moment - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 - nobody announces the time
            await asyncio.sleep(min(left, 30))


def elapsed_seconds() -> float:
    """Seconds that have passed, whatever is done to the computer's clock, and also while it sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class CorrectedClock:
    """The computer's time, set right by what the exchange says (``core.ports.MeasuredClock``).

    As long as the exchange was never heard it is the computer's own. From then on it is the exchange's time as last
    heard and what has passed since, so that nobody who sets the computer's clock moves it. ``now()`` never goes back:
    set right by a minute, it stands still for a minute, while ``sleep_until`` goes by the time as it is.
    """

    def __init__(
        self,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        elapsed: Callable[[], float] = elapsed_seconds,
        slice_seconds: float = SLICE,
    ) -> None:
        self._wall = wall
        self._elapsed = elapsed
        self._slice = slice_seconds
        self._heard: tuple[float, int] | None = None  # (elapsed seconds, exchange ms at that moment)
        self._latest: datetime | None = None

    def now(self) -> datetime:
        true = self._true()
        self._latest = true if self._latest is None else max(self._latest, true)
        return self._latest

    async def sleep_until(self, moment: datetime) -> None:
        while (left := (moment - self._true()).total_seconds()) > 0:  # noqa: ASYNC110 - nobody announces the time
            await asyncio.sleep(min(left, self._slice))

    def stamp(self) -> float:
        return self._elapsed()

    def heard(self, asked_at: float, exchange_ms: int) -> None:
        """See ``MeasuredClock``. A slow answer is believed only where it proves the time as known wrong."""
        answered = self._elapsed()
        middle, half = (asked_at + answered) / 2, (answered - asked_at) / 2
        if self._heard is not None and exchange_ms <= self._heard[1] and middle - self._heard[0] > SURE:
            return  # a clock that stands (a cached answer): ours goes on
        off = abs((to_datetime(exchange_ms) - self._at(middle)).total_seconds())
        if 2 * half <= SURE or off > half:
            self._heard = (middle, exchange_ms)

    @property
    def offset(self) -> float | None:
        if self._heard is None:
            return None
        return (self._wall() - self._at(self._elapsed())).total_seconds()

    def _true(self) -> datetime:
        return self._at(self._elapsed())

    def _at(self, moment: float) -> datetime:
        if self._heard is None:
            return self._wall() + timedelta(seconds=moment - self._elapsed())
        at, exchange_ms = self._heard
        return to_datetime(exchange_ms) + timedelta(seconds=moment - at)


class ExchangeClock:
    """The exchange's time, also where it runs thousands of times faster than ours, as a simulated exchange's may.

    ``now()`` is the time last heard, plus what has passed since only when the exchange's clock keeps the pace of
    ours: so it never runs ahead, and never goes back. ``sleep_until`` is what asks the exchange; call ``start`` once
    before the first ``now()``.
    """

    def __init__(self, market: MarketData, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._market = market
        self._monotonic = monotonic
        self._samples: deque[tuple[float, int]] = deque(maxlen=SAMPLES)  # (our seconds, exchange ms)
        self._latest = 0  # ms; what now() has given out at most
        self._asking = asyncio.Lock()
        self._failing = False

    async def start(self) -> None:
        """Asks the time once. Raises MarketError."""
        await self._sample()

    def now(self) -> datetime:
        """Raises MarketError before the exchange has ever been asked."""
        if not self._samples:
            raise MarketError("the exchange's clock has not been read yet")
        asked_at, heard = self._samples[-1]
        speed = self._speed()
        if speed is not None and LIKE_OURS[0] <= speed <= LIKE_OURS[1]:
            heard += int((self._monotonic() - asked_at) * 1000 * min(speed, 1.0))
        self._latest = max(self._latest, heard)
        return to_datetime(self._latest)

    async def sleep_until(self, moment: datetime) -> None:
        """An exchange that fails is asked again, with pauses and one line in the log."""
        pause = await self._listen()
        while (left := self._left(moment)) > 0:
            await asyncio.sleep(max(pause, self._wait(left)))
            pause = await self._listen()

    def _left(self, moment: datetime) -> float:
        """Exchange seconds to go; 1 as long as its time is unknown."""
        return (moment - self.now()).total_seconds() if self._samples else 1.0

    def _wait(self, left: float) -> float:
        """Our seconds until the next look, for ``left`` seconds of the exchange's."""
        speed = self._speed()
        if speed is None:
            return 2 * SHORTEST_WAIT  # not known yet: look often, so that a fast clock is soon seen as one
        return min(max(left / speed, SHORTEST_WAIT), LONGEST_WAIT) if speed > 0 else LONGEST_WAIT

    def _speed(self) -> float | None:
        """Exchange seconds per second of ours; None until it can be told."""
        if len(self._samples) < 2:
            return None
        (first_at, first), (last_at, last) = self._samples[0], self._samples[-1]
        span = last_at - first_at
        return (last - first) / 1000 / span if span >= MEASURABLE else None

    async def _listen(self) -> float:
        """One look at the exchange's clock; gives the seconds to pause, more than 0 when it failed."""
        try:
            await self._sample()
        except MarketError as error:
            if not self._failing:
                log.warning("the exchange's clock cannot be read: %s", error)
            self._failing = True
            return min(error.retry_after, LONGEST_BACK_OFF) if isinstance(error, RateLimited) else LONGEST_WAIT
        if self._failing:
            log.warning("the exchange's clock can be read again")
        self._failing = False
        return 0.0

    async def _sample(self) -> None:
        wanted_at = self._monotonic()
        async with self._asking:
            # Several sleepers share one look: it is fresh enough when it was asked for after we wanted it.
            if self._samples and self._samples[-1][0] >= wanted_at:
                return
            heard = await self._market.server_time()
            # Stamped with the moment of arrival: the true time is later by the way back, never earlier.
            self._samples.append((self._monotonic(), heard))


class ReplayClock:
    """Time that stands still until ``advance`` moves it."""

    def __init__(self, start: datetime) -> None:
        self._now = _aware(start)
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._order = count()

    def now(self) -> datetime:
        return self._now

    def advance(self, to: datetime) -> None:
        """Moves time forward and wakes who waited for it, earliest first. Raises ValueError for a step back."""
        if _aware(to) < self._now:
            raise ValueError(f"time cannot go back from {self._now} to {to}")
        self._now = to
        due = sorted(s for s in self._sleepers if s[0] <= to)
        self._sleepers = [s for s in self._sleepers if s[0] > to]
        for _, _, sleeper in due:
            if not sleeper.done():
                sleeper.set_result(None)

    async def sleep_until(self, moment: datetime) -> None:
        if moment <= self._now:
            return
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers.append((moment, next(self._order), sleeper))
        await sleeper


def _aware(moment: datetime) -> datetime:
    if moment.utcoffset() != timedelta(0):
        raise ValueError(f"{moment!r} is not UTC")
    return moment
