"""How Julaba is: what ``/healthz``, ``/metrics`` and ``/health`` show. Times are aware UTC, lengths in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

State = Literal["ok", "degraded", "down"]
"""``degraded``: it works, something is amiss. ``down``: it does not do its work, and a restart may help."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong now, in one sentence, and how bad that is."""

    state: State
    sentence: str


@dataclass(frozen=True, slots=True)
class TradingHealth:
    """``late``: since the newest close that is past and not yet settled; 0 where all are."""

    started: bool
    last_close: datetime | None
    late: float
    equity: float
    open_trades: int
    paused: str
    restarts: int  # how often it broke off or stood still, and began again


@dataclass(frozen=True, slots=True)
class PairHealth:
    """A watched pair. ``candle_age``: seconds since its newest candle closed; None before the first."""

    pair: str
    candle_age: float | None
    quarantined: str  # why, empty where it is not


@dataclass(frozen=True, slots=True)
class ChatHealth:
    """``silent``: since Telegram last answered getUpdates; None where there is no chat."""

    silent: float | None
    trouble: str
    restarts: int
    waiting: int  # alerts in the outbox
    oldest: float | None  # how long the oldest of them has waited, as far as this process has seen


@dataclass(frozen=True, slots=True)
class ProcessHealth:
    """``loop_lag``: the longest the event loop was held up within the last minute. ``memory`` in bytes (RSS)."""

    version: str
    uptime: float
    memory: int | None
    loop_lag: float
    commit_age: float | None  # since the database last took a transaction; one is tried every minute
    training: bool


@dataclass(frozen=True, slots=True)
class Health:
    """All of it at one moment. ``clock_offset``: seconds this computer is ahead of the exchange, None where unknown."""

    at: datetime
    troubles: tuple[Trouble, ...]
    trading: TradingHealth
    pairs: tuple[PairHealth, ...]
    chat: ChatHealth
    process: ProcessHealth
    clock_offset: float | None

    @property
    def state(self) -> State:
        """The worst of the troubles."""
        states = {t.state for t in self.troubles}
        return "down" if "down" in states else "degraded" if "degraded" in states else "ok"
