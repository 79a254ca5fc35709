"""The durable outbox as the chat sees it: what waits, what was sent, which message shows what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from core.domain.candles import to_datetime, to_ms
from core.ports import ChatStore, MessageRef, OutboxItem
from core.services.bus import Bell


class Outbox:
    """The queue is in the store, the bell says when to look: this puts the two together for the notifier."""

    def __init__(self, chat: ChatStore, bell: Bell) -> None:
        self._chat = chat
        self._bell = bell

    async def pending(self, limit: int) -> list[OutboxItem]:
        return await self._chat.pending(limit)

    async def sending(self, item_ids: Sequence[int], chat_id: int | None) -> None:
        await self._chat.sending(item_ids, chat_id)

    async def sent(self, item_ids: Sequence[int], message: MessageRef | None, subject: str = "") -> None:
        await self._chat.sent(item_ids, message, subject)

    async def failed(self, item_ids: Sequence[int], error: str) -> None:
        await self._chat.failed(item_ids, error)

    async def told_until(self) -> datetime | None:
        moment = await self._chat.told_until()
        return None if moment is None else to_datetime(moment)

    async def set_told_until(self, moment: datetime) -> None:
        await self._chat.set_told_until(to_ms(moment))

    async def changed(self, timeout: float) -> None:
        """Returns when something new may be pending, at the latest after ``timeout`` seconds."""
        await self._bell.heard(timeout)

    async def message_of(self, subject: str) -> MessageRef | None:
        return await self._chat.message_of(subject)

    async def subject_of(self, message: MessageRef) -> str | None:
        return await self._chat.subject_of(message)
