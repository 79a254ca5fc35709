"""The computer's clock beside the exchange's: compared at every close, told when it is wrong by more than a moment."""

from __future__ import annotations

from core.ports import Clock, MarketData, MeasuredClock
from core.services.faults import Faults

TELL_FROM = 2.0  # seconds of difference
WELL_BELOW = 1.0  # so that a clock at the edge does not come and go

FAULT = "clock"


class ClockWatch:
    """Asks the exchange for its time and measures the clock on the way. Only a ``MeasuredClock`` is set right."""

    def __init__(self, clock: Clock, market: MarketData, faults: Faults) -> None:
        self._clock = clock if isinstance(clock, MeasuredClock) else None
        self._market = market
        self._faults = faults

    @property
    def offset(self) -> float | None:
        """Seconds this computer is ahead of the exchange; None where that is unknown, or the exchange is the clock."""
        return self._clock.offset if self._clock is not None else None

    async def server_time(self) -> int:
        """The exchange's time, epoch ms. Raises MarketError."""
        if self._clock is None:
            return await self._market.server_time()
        asked_at = self._clock.stamp()
        heard = await self._market.server_time()
        self._clock.heard(asked_at, heard)
        await self._tell(self._clock.offset or 0.0)
        return heard

    async def _tell(self, offset: float) -> None:
        if abs(offset) >= TELL_FROM:
            side = "ahead of" if offset > 0 else "behind"
            await self._faults.raised(
                FAULT,
                f"This computer's clock is {_words(abs(offset))} {side} the exchange's; the exchange's is used",
                "Trading goes on at the right moments. Set the clock right, best by time synchronisation.",
            )
        elif abs(offset) < WELL_BELOW:
            await self._faults.cleared(FAULT, "This computer's clock is right again")


def _words(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"
