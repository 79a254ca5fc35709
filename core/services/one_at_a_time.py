"""Long work of which there is one at a time, and which a person may end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from core.errors import UsageError

T = TypeVar("T")


class OneAtATime:
    """Work by the name ``what`` ("backtest"): a second one is refused, the running one can be cancelled."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._task: asyncio.Task[Any] | None = None
        self._ended_by = ""

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the work gives. Raises UsageError where one is running already, or where somebody cancelled it."""
        if self._task is not None:
            raise UsageError(f"a {self._what} is already running; wait for its end or cancel it")
        task = asyncio.create_task(work(), name=self._what)
        self._task = task
        self._ended_by = ""
        try:
            return await task
        except asyncio.CancelledError:
            if self._ended_by:
                raise UsageError(f"the {self._what} was cancelled by {self._ended_by}") from None
            raise
        finally:
            task.cancel()  # whoever waited was cancelled: the work must not go on by itself
            await asyncio.gather(task, return_exceptions=True)
            self._task = None

    def cancel(self, by: str) -> None:
        """Ends what runs. Raises UsageError where nothing does."""
        if self._task is None:
            raise UsageError(f"no {self._what} is running")
        self._ended_by = by
        self._task.cancel()
