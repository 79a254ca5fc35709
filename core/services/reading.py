"""Reading the whole ledger in another process: a year of it takes seconds, which the bot's own loop has not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from core.ports import ChatStore, Ledger

T = TypeVar("T")

Stores = Callable[[], AbstractAsyncContextManager[tuple[Ledger, ChatStore]]]
"""Opens the bot's ledger once more, and what the chat keeps beside it, to read from. Can be pickled."""


def read(stores: Stores, look: Callable[[Ledger, ChatStore], Awaitable[T]]) -> T:
    """What ``look`` finds there; for a worker process, which has no event loop. Raises StoreError."""

    async def whole() -> T:
        async with stores() as (ledger, chat):
            return await look(ledger, chat)

    return asyncio.run(whole())
