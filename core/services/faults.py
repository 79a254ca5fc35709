"""Faults told once: an alert when something breaks, one when it is well again, silence between."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from core.domain.messages import Notice
from core.ports import Clock, Ledger
from core.services.bus import Bell


class Faults:
    """``raised`` and ``cleared`` may be called as often as one likes; only changes become alerts."""

    def __init__(self, clock: Clock, ledger: Ledger, bell: Bell) -> None:
        self._clock = clock
        self._ledger = ledger
        self._bell = bell
        self._active: dict[str, str] = {}

    @property
    def active(self) -> tuple[str, ...]:
        """The sentences of what is wrong now."""
        return tuple(self._active.values())

    async def raised(self, name: str, title: str, detail: str = "") -> None:
        known = name in self._active
        self._active[name] = title
        if not known:
            await self._tell(lambda now: self._notice("fault", name, title, detail, now))

    async def cleared(self, name: str, title: str) -> None:
        if self._active.pop(name, None) is not None:
            await self._tell(lambda now: self._notice("recovered", name, title, "", now))

    def _notice(self, topic: str, name: str, title: str, detail: str, now: datetime) -> Notice:
        key = f"{topic}:{name}:{round(now.timestamp() * 1000)}"
        return Notice(key=key, time=now, topic="fault" if topic == "fault" else "recovered", title=title, detail=detail)

    async def _tell(self, make: Callable[[datetime], Notice]) -> None:
        await self._ledger.publish([make(self._clock.now())])
        self._bell.ring()
