"""The daily backup: made by the running bot, once a UTC day, kept ``backup.keep`` deep."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from core.config import Settings
from core.domain.backups import Backup
from core.errors import StoreError
from core.ports import Clock, Ledger
from core.services.faults import Faults

MARK = "backup"
"""The ledger's mark with the day of the newest daily backup."""

AGAIN_AFTER = timedelta(minutes=10)


class BackupStore(Protocol):
    """Where backups lie; its methods wait for the disk, so they belong into a thread."""

    def make(self, now: datetime, *, go_on: Callable[[], None]) -> Backup: ...
    def keep(self, number: int) -> None: ...


class Backups:
    """``review`` is asked at every round of upkeep and nearly always has nothing to do."""

    def __init__(self, settings: Settings, clock: Clock, ledger: Ledger, faults: Faults, store: BackupStore) -> None:
        self._keep = settings.backup.keep
        self._clock = clock
        self._ledger = ledger
        self._faults = faults
        self._store = store
        self._done = ""  # the day of which nothing more is wanted
        self._not_before: datetime | None = None  # after one that failed

    async def review(self) -> None:
        """Makes the day's backup where it is missing, at the start as after midnight; a failure is told once."""
        now = self._clock.now()
        day = f"{now:%Y-%m-%d}"
        if self._keep == 0 or day == self._done or (self._not_before is not None and now < self._not_before):
            return
        if await self._ledger.mark(MARK) != day:
            try:
                await _in_a_thread(lambda go_on: self._store.make(now, go_on=go_on))
                await asyncio.to_thread(self._store.keep, self._keep)
            except (StoreError, OSError) as error:
                self._not_before = now + AGAIN_AFTER
                await self._faults.raised("backup", "The daily backup failed", str(error))
                return
            await self._ledger.set_mark(MARK, day)
        self._done, self._not_before = day, None
        await self._faults.cleared("backup", "The daily backup is made again")


async def _in_a_thread(work: Callable[[Callable[[], None]], Backup]) -> Backup:
    """Off the loop; whoever stops waiting ends the work too, so that no Ctrl-C waits for a large ledger."""
    stopped = threading.Event()

    def go_on() -> None:
        if stopped.is_set():
            raise StoreError("the backup was broken off")

    try:
        return await asyncio.to_thread(work, go_on)
    finally:
        stopped.set()
