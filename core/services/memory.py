"""What the trading loop knows between candles, and the one door to changing it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

from core.domain.candles import Candles, Pair
from core.domain.ledger import Controls, Step, Switch
from core.engine.history import History, Windows
from core.engine.step import Book
from core.errors import UsageError


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


class Changing(asyncio.Lock):
    """Held by whoever changes the memory, from reading it until the store has the change.

    A change that breaks off, by a fault or by a cancelled task, may be in the store all the same. So whoever comes next
    finds the memory read anew from there: nothing is decided on a memory that may be behind its store.
    """

    def __init__(self, read_anew: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._read_anew = read_anew
        self._in_doubt = False

    async def __aenter__(self) -> None:
        await super().__aenter__()
        if not self._in_doubt:
            return
        try:
            await self._read_anew()
        except BaseException:
            self.release()
            raise
        self._in_doubt = False

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What a person asked for and may not have is refused before anything is written.
        self._in_doubt = not (kind is None or issubclass(kind, UsageError))
        await super().__aexit__(kind, error, trace)
