"""Background tasks with an owner: long work does not sit in a handler, and nothing is left running at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any

log = logging.getLogger(__name__)


BEGUN: ContextVar[list[asyncio.Task[None]] | None] = ContextVar("BEGUN", default=None)
"""Where a handler's tasks are noted, so that its update counts as dealt with only when they have ended."""


class Tasks:
    """Holds what it starts; a task that fails is logged, never lost in silence."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._running.add(task)
        if (begun := BEGUN.get()) is not None:
            begun.append(task)
        task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Cancels what still runs and waits for it."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("%s failed", task.get_name(), exc_info=error)
