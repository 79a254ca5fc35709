"""Tells whoever supervises this process how it is: systemd, and a dead man's switch elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from core.domain.health import Health

PING_EVERY = 60.0  # seconds of wall time
STATUS_EVERY = 10.0


class Supervisor(Protocol):
    """systemd, or nobody."""

    @property
    def watchdog_seconds(self) -> float | None: ...
    @property
    def present(self) -> bool: ...
    def tell(self, *lines: str) -> None: ...


class Supervision:
    """``run`` beside the work; ``ready`` once everything is up. Both watchers hear nothing while health is down."""

    def __init__(
        self, look: Callable[[], Awaitable[Health]], supervisor: Supervisor, ping: Callable[[], Awaitable[bool]] | None
    ) -> None:
        self._look = look
        self._supervisor = supervisor
        self._ping = ping

    def ready(self) -> None:
        self._supervisor.tell("READY=1")

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self._supervisor.present:
                tasks.create_task(self._tell())
            if self._ping is not None:
                tasks.create_task(self._call(self._ping))

    async def _tell(self) -> None:
        watchdog = self._supervisor.watchdog_seconds
        try:
            while True:
                health = await self._look()
                alive = ["WATCHDOG=1"] if watchdog and health.state != "down" else []
                self._supervisor.tell(*alive, f"STATUS={summary(health)}")
                await asyncio.sleep(min(watchdog / 2, STATUS_EVERY) if watchdog else STATUS_EVERY)
        finally:
            self._supervisor.tell("STOPPING=1")

    async def _call(self, ping: Callable[[], Awaitable[bool]]) -> None:
        while True:
            if (await self._look()).state != "down":
                await ping()
            await asyncio.sleep(PING_EVERY)


def summary(health: Health) -> str:
    """One line: the state, and the worst of what is wrong."""
    worst = [t.sentence for t in health.troubles if t.state == health.state]
    more = f" (+{len(health.troubles) - 1} more)" if len(health.troubles) > 1 else ""
    return f"{health.state}: {worst[0]}{more}" if worst else health.state
