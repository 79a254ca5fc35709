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
        self._told: set[str] = set()

    @property
    def active(self) -> tuple[str, ...]:
        """The sentences of what is wrong now."""
        return tuple(self._active.values())

    async def raised(self, name: str, title: str, detail: str = "") -> None:
        self._active[name] = title
        if name not in self._told:
            self._told.add(name)
            try:
                await self._tell(lambda now: self._notice("fault", name, title, detail, now))
            except BaseException:
                self._told.discard(name)  # what could not be stored is told when it can
                raise

    async def cleared(self, name: str, title: str) -> None:
        if self._active.pop(name, None) is not None and name in self._told:
            self._told.discard(name)
            await self._tell(lambda now: self._notice("recovered", name, title, "", now))

    def forget(self, name: str) -> None:
        """No longer a fault, without an alert: something else has been said in its place."""
        self._active.pop(name, None)
        self._told.discard(name)

    def _notice(self, topic: str, name: str, title: str, detail: str, now: datetime) -> Notice:
        key = f"{topic}:{name}:{round(now.timestamp() * 1000)}"
        return Notice(key=key, time=now, topic="fault" if topic == "fault" else "recovered", title=title, detail=detail)

    async def _tell(self, make: Callable[[datetime], Notice]) -> None:
        await self._ledger.publish([make(self._clock.now())])
        self._bell.ring()
