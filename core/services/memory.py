"""What the trading loop knows between candles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.domain.candles import Candles, Pair
from core.domain.ledger import Controls, Step, Switch
from core.engine.history import History, Windows
from core.engine.step import Book


@dataclass(slots=True)
class Memory:
    """What the loop keeps between candles. Replaced field by field, only after the store has it."""

    book: Book
    controls: Controls
    switches: dict[Pair, Switch]
    cursors: dict[Step, dict[Pair, int]]
    outcomes: int
    recent: list[float]  # probabilities of ``recent_model``, oldest first
    recent_model: str | None
    histories: dict[Pair, History]
    early: dict[Pair, int]  # each pair's newest signal that was seen but not trusted, by its candle's open time

    @property
    def windows(self) -> Mapping[Pair, Candles]:
        """Each pair's candles, up to the newest."""
        return Windows(self.histories)
