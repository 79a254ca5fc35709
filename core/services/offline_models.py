"""The registry of a data directory on which no bot runs: for the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from core.domain.candles import to_ms
from core.domain.ledger import Controls
from core.domain.messages import Event, Notice
from core.errors import UsageError
from core.ports import ChampionRecord, ChatStore, Clock, Ledger, StoredApproval
from core.services.registry import ROLLED_BACK, Registry

T = TypeVar("T")

SHELL = "the command line"


class NoBook:
    """Where there is no database yet: nobody has kept a book, and nothing is written for a mere look."""

    async def champions(self) -> list[ChampionRecord]:
        return []

    async def crowned(
        self, record: ChampionRecord, controls: Controls | None = None, events: Iterable[Event] = ()
    ) -> None:
        return

    async def intend(self, record: ChampionRecord, news: Event) -> None:
        return

    async def intended(self) -> None:
        return None

    async def promised(self) -> StoredApproval | None:
        return None


async def in_a_thread(function: Callable[..., T], /, *arguments: Any) -> T:
    """The command's own process may load the learning libraries."""
    return await asyncio.to_thread(function, *arguments)


@dataclass(frozen=True)
class OfflineModels:
    """``ledger`` and ``chat`` are None where there is no database yet."""

    registry: Registry
    clock: Clock
    ledger: Ledger | None = None
    chat: ChatStore | None = None

    async def go_back(self, *, do: bool) -> tuple[str, str, float]:
        """The model a rollback goes back to, the champion it leaves, and the weight that ends with it.

        Nothing is changed without ``do``. Raises UsageError where there is nothing to go back to, and ModelError.
        """
        found = await self.registry.list()
        if found.before is None:
            raise UsageError("there is nothing to go back to: no earlier champion's files are there and whole")
        back, champion = found.before, found.champion or "none"
        controls = await self.ledger.controls() if self.ledger else Controls()
        if not do:
            return back, champion, controls.approved_weight
        await self.registry.check(back)
        now, weight = self.clock.now(), controls.approved_weight
        ends = f"The weight {weight:g} is taken away. " if weight > 0 else ""
        notice = Notice(
            key=f"model:rollback:{to_ms(now)}",
            time=now,
            topic="weight" if weight > 0 else "training",
            title=f"{SHELL.capitalize()} went back to {back}",
            detail=f"{ends}It takes the place of {champion}; the evidence stays.",
        )
        changed = replace(controls, approved_weight=0.0, approved_model=None) if weight > 0 else None
        await self.registry.crown(back, controls.line, SHELL, f"{ROLLED_BACK} from {champion}", changed, [notice])
        if self.chat is not None:
            await self.chat.audit(to_ms(now), 0, SHELL, "rollback", f"{champion} to {back}")
        return back, champion, weight
