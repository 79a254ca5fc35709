"""The durable outbox as the chat sees it: what waits, what was sent, which message shows what."""

from __future__ import annotations

from core.ports import ChatStore, MessageRef, OutboxItem
from core.services.bus import Bell


class Outbox:
    """The queue is in the store, the bell says when to look: this puts the two together for the notifier."""

    def __init__(self, chat: ChatStore, bell: Bell) -> None:
        self._chat = chat
        self._bell = bell

    async def pending(self, limit: int) -> list[OutboxItem]:
        return await self._chat.pending(limit)

    async def sent(self, item_id: int, message: MessageRef | None) -> None:
        await self._chat.sent(item_id, message)

    async def failed(self, item_id: int, error: str) -> None:
        await self._chat.failed(item_id, error)

    async def changed(self, timeout: float) -> None:
        """Returns when something new may be pending, at the latest after ``timeout`` seconds."""
        await self._bell.heard(timeout)

    async def remember(self, subject: str, message: MessageRef) -> None:
        await self._chat.remember(subject, message)

    async def message_of(self, subject: str) -> MessageRef | None:
        return await self._chat.message_of(subject)

    async def subject_of(self, message: MessageRef) -> str | None:
        return await self._chat.subject_of(message)
