"""What the services need from the outside. Adapters implement these; only ``bootstrap`` knows which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from core.domain.candles import Candles, Pair, Timeframe
from core.domain.trading import Candidate, GeminiOpinion


class Clock(Protocol):
    """Where time comes from: the system, the exchange or a replay."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    async def sleep_until(self, moment: datetime) -> None:
        """Returns once ``now() >= moment``; at once when it already is."""
        ...


@dataclass(frozen=True, slots=True)
class Market:
    """A pair the exchange lists. ``active`` False: paused or going."""

    pair: Pair
    active: bool


class MarketData(Protocol):
    """An exchange's public side."""

    async def server_time(self) -> int:
        """The exchange's clock, epoch ms. Raises MarketError."""
        ...

    async def markets(self) -> dict[Pair, Market]:
        """All spot markets. Raises MarketError."""
        ...

    async def candles(self, pair: Pair, timeframe: Timeframe, start_ms: int, end_ms: int, now_ms: int) -> Candles:
        """Closed candles with open times in ``[start_ms, end_ms)``, checked; one request of at most a page.

        ``now_ms`` is the exchange's time: a candle that has not closed by then is left out. May be fewer than
        asked for, never unsorted, doubled or broken. Raises UnknownPair, RateLimited, MarketError.
        """
        ...

    async def close(self) -> None: ...


class CandleStore(Protocol):
    """Candles kept on disk, one file per pair and timeframe."""

    def load(self, pair: Pair, timeframe: Timeframe, start_ms: int | None = None, end_ms: int | None = None) -> Candles:
        """Stored candles with open times in ``[start_ms, end_ms)``; empty where nothing is stored. Raises DataError."""
        ...

    def save(self, candles: Candles) -> int:
        """Merges into what is stored, atomically; gives the number of candles that are new. Raises DataError."""
        ...

    def pairs(self, timeframe: Timeframe) -> tuple[Pair, ...]:
        """The pairs with stored candles, sorted."""
        ...


class Advisor(Protocol):
    """Gemini, or what stands for it."""

    async def opinion(self, candidate: Candidate, recent: Candles) -> GeminiOpinion | str:
        """An opinion, or a short sentence saying why there is none. Never raises."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Prediction:
    """One probability with the exact inputs it came from. ``contributions``: (feature, value, log-odds), sorted."""

    model_id: str
    probability: float
    contributions: Sequence[tuple[str, float | None, float]]


class Predictor(Protocol):
    """The champion in memory."""

    @property
    def model_id(self) -> str | None: ...

    async def predict(self, candidate: Candidate) -> Prediction | str:
        """A prediction, or a short sentence saying why there is none ("learning 31/50"). Never raises."""
        ...
