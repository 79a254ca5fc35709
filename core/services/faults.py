"""Faults told once: an alert when something breaks, one when it is well again, silence between.

What has been told is kept in the store with the alert itself: a restart in the middle tells nothing twice, and the
all-clear comes all the same.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime

from core.domain.messages import Notice
from core.ports import Clock, Ledger
from core.services.bus import Bell

log = logging.getLogger(__name__)

TOLD = "faults told"
"""The mark that holds the names of the faults whose end has not been told yet, as a JSON list."""


class Faults:
    """``raised`` and ``cleared`` may be called as often as one likes; only changes become alerts."""

    def __init__(self, clock: Clock, ledger: Ledger, bell: Bell) -> None:
        self._clock = clock
        self._ledger = ledger
        self._bell = bell
        self._active: dict[str, str] = {}
        self._told: set[str] = set()
        self._untold: dict[str, Notice] = {}  # what the store would not take: told when it is well again
        self._started = False

    async def start(self) -> None:
        """Remembers what an earlier run has told. Raises StoreError."""
        if not self._started:
            self._told |= set(json.loads(await self._ledger.mark(TOLD) or "[]"))
            self._started = True

    @property
    def active(self) -> tuple[str, ...]:
        """The sentences of what is wrong now."""
        return tuple(self._active.values())

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """The same with their names."""
        return tuple(self._active.items())

    def is_active(self, name: str) -> bool:
        return name in self._active

    async def raised(self, name: str, title: str, detail: str = "") -> None:
        """Raises StoreError where the alert cannot be stored; it is kept until it can, or until the fault is over."""
        if name not in self._active:
            log.warning("%s", f"{title}: {detail}" if detail else title)
        self._active[name] = title
        if name not in self._told:
            notice = self._untold.setdefault(name, self._notice("fault", name, title, detail))
            self._told.add(name)
            try:
                await self._tell(notice)
            except BaseException:
                self._told.discard(name)
                raise
            self._untold.pop(name, None)

    async def cleared(self, name: str, title: str) -> None:
        """Raises StoreError where the all-clear cannot be stored; it is told at the next call."""
        if self._active.pop(name, None) is not None:
            log.warning("%s", title)  # a warning too, so that the terminal shows the end of what it showed begin
        was_told, late = name in self._told, self._untold.pop(name, None)
        if not was_told and late is None:
            return
        self._told.discard(name)
        over = self._notice("recovered", name, title, "")
        try:
            await self._tell(*([late] if late is not None else []), over)
        except BaseException:
            self._told |= {name} if was_told else set()
            self._untold |= {name: late} if late is not None else {}
            raise

    def forget(self, name: str) -> None:
        """No longer a fault, without an alert: something else has been said in its place."""
        self._active.pop(name, None)
        self._told.discard(name)
        self._untold.pop(name, None)

    def _notice(self, topic: str, name: str, title: str, detail: str) -> Notice:
        now: datetime = self._clock.now()
        key = f"{topic}:{name}:{round(now.timestamp() * 1000)}"
        return Notice(key=key, time=now, topic="fault" if topic == "fault" else "recovered", title=title, detail=detail)

    async def _tell(self, *notices: Notice) -> None:
        await self._ledger.set_mark(TOLD, json.dumps(sorted(self._told)), notices)
        self._bell.ring()
