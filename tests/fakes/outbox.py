"""An outbox in memory, for tests of the chat."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from core.domain.messages import Event, is_urgent
from julaba_tg.ports import MessageRef, OutboxItem
from tests.fakes.desk import NOON


class FakeOutbox:
    """In memory, urgent first like the real one."""

    def __init__(self) -> None:
        self.items: list[OutboxItem] = []
        self.done: list[tuple[int, MessageRef | None]] = []
        self.errors: list[tuple[int, str]] = []
        self.subjects: dict[str, MessageRef] = {}
        self.told: datetime | None = None
        self._ids = itertools.count(1)
        self._bell = asyncio.Event()

    def put(self, *events: Event) -> None:
        for event in events:
            self.items.append(OutboxItem(next(self._ids), event, NOON, 0))
        self._bell.set()

    async def pending(self, limit: int) -> Sequence[OutboxItem]:
        return sorted(self.items, key=lambda i: (not is_urgent(i.event), i.item_id))[:limit]

    async def sending(self, item_ids: Sequence[int], chat_id: int | None) -> None:
        self._change(item_ids, lambda i: replace(i, perhaps_told=chat_id is not None))

    async def sent(self, item_ids: Sequence[int], message: MessageRef | None, subject: str = "") -> None:
        self.items = [i for i in self.items if i.item_id not in set(item_ids)]
        self.done += [(item_id, message) for item_id in item_ids]
        if message is not None and subject:
            self.subjects[subject] = message

    async def failed(self, item_ids: Sequence[int], error: str) -> None:
        self._change(item_ids, lambda i: replace(i, attempts=i.attempts + 1))
        self.errors += [(item_id, error) for item_id in item_ids]

    def _change(self, item_ids: Sequence[int], change: Callable[[OutboxItem], OutboxItem]) -> None:
        self.items = [change(i) if i.item_id in set(item_ids) else i for i in self.items]

    async def told_until(self) -> datetime | None:
        return self.told

    async def set_told_until(self, moment: datetime) -> None:
        self.told = moment

    async def changed(self, timeout: float) -> None:
        self._bell.clear()
        if not self.items:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._bell.wait(), timeout)

    async def message_of(self, subject: str) -> MessageRef | None:
        return self.subjects.get(subject)

    async def subject_of(self, message: MessageRef) -> str | None:
        return next((s for s, ref in self.subjects.items() if ref == message), None)
