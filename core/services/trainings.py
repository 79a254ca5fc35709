"""What a restart must know of trainings: the newest one, and whether it came to its end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace

from core.domain.candles import to_ms
from core.ports import Clock, Ledger

MARK = "training"
MOST_BEGINNINGS = 3
"""A training that ended the whole process this often is not taken up again: it may be what ends it."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A training begun with this many live outcomes at this time (epoch ms); ``open``: beginnings without an end."""

    outcomes: int
    at: int
    open: int = 0

    @property
    def cut_off(self) -> bool:
        """Begun, not ended, and worth another beginning."""
        return 0 < self.open < MOST_BEGINNINGS


class Trainings:
    """The memory of the newest training, kept in the store."""

    def __init__(self, clock: Clock, ledger: Ledger) -> None:
        self._clock = clock
        self._ledger = ledger

    async def last(self) -> Tried | None:
        stored = await self._ledger.mark(MARK)
        return Tried(**json.loads(stored)) if stored else None

    @asynccontextmanager
    async def remembered(self, *, own: bool) -> AsyncIterator[None]:
        """Around a training. One of the bot's ``own`` that a kill or a stop cuts off is seen by ``last`` as not ended.

        A person's is not: the command it came by is kept, and given to the handlers again.
        """
        last = await self.last()
        begun = Tried(
            outcomes=await self._ledger.outcome_count(),
            at=to_ms(self._clock.now()),
            open=1 + (last.open if last is not None else 0) if own else 0,
        )
        await self._keep(begun)
        try:
            yield
        except Exception:  # it failed, which is an end too: the same data would only fail again
            await self._keep(replace(begun, open=0))
            raise
        await self._keep(replace(begun, open=0))

    async def _keep(self, tried: Tried) -> None:
        await self._ledger.set_mark(MARK, json.dumps(asdict(tried)))
