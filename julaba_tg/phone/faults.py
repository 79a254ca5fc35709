"""Trouble on request: what a server should do wrong, for how often or how long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(slots=True)
class Fault:
    """One kind of trouble. ``method`` "*" is every call; ``times`` None means until ``until`` or for ever.

    ``since`` is for a server that must remember when it began, by its own time.
    """

    kind: str
    method: str = "*"
    times: int | None = 1
    until: float | None = None  # monotonic seconds
    status: int = 500
    retry_after: float = 1
    seconds: float = 3600.0  # how long a hang lasts
    hits: int = 0
    since: int | None = None
    cleared: asyncio.Event = field(default_factory=asyncio.Event)

    def over(self) -> bool:
        spent = self.times is not None and self.hits >= self.times
        return spent or (self.until is not None and time.monotonic() >= self.until)


@dataclass(slots=True)
class Faults:
    """The faults of one server. Every server knows ``error``, ``rate_limit``, ``drop``, ``down`` and ``hang``."""

    kinds: frozenset[str]
    _active: list[Fault] = field(default_factory=list)

    def add(
        self,
        kind: str,
        *,
        method: str = "*",
        times: int | None = 1,
        seconds: float | None = None,
        status: int = 500,
        retry_after: float = 1,
    ) -> Fault:
        """Makes trouble: ``times`` calls of ``method``, or all of them for ``seconds``. Raises ValueError.

        With ``kind="hang"`` the seconds say how long each of the ``times`` calls waits.
        """
        if kind not in self.kinds:
            raise ValueError(f"{kind!r} is not one of {', '.join(sorted(self.kinds))}")
        fault = Fault(kind, method.lower(), times, status=status, retry_after=retry_after)
        if seconds is not None and kind == "hang":
            fault.seconds = seconds
        elif seconds is not None:
            fault.times, fault.until = None, time.monotonic() + seconds
        self._active.append(fault)
        return fault

    def take(self, *names: str) -> Fault | None:
        """The fault this call meets, by any of its names, counted; None when all is well."""
        self._active = [fault for fault in self._active if not fault.over()]
        for fault in self._active:
            if fault.method in {"*", *(name.lower() for name in names)}:
                fault.hits += 1
                return fault
        return None

    def clear(self) -> None:
        """All is well again, also for what is hanging."""
        for fault in self._active:
            fault.cleared.set()
        self._active = []

    @property
    def active(self) -> tuple[Fault, ...]:
        return tuple(fault for fault in self._active if not fault.over())


COMMON = frozenset({"error", "rate_limit", "drop", "down", "hang"})


def kinds(*more: str) -> frozenset[str]:
    """The common kinds and a server's own."""
    return COMMON | frozenset(more)


def cut(request: web.Request, body: Iterable[bytes] = ()) -> web.Response:
    """Closes the connection without an answer; the returned response goes nowhere."""
    transport = request.transport
    if transport is not None:
        for part in body:
            transport.write(part)
        if body:
            transport.close()
        else:
            transport.abort()
    return web.Response(status=500)


async def hang(fault: Fault) -> None:
    """Waits as long as the fault says, or until it is cleared."""
    with suppress(TimeoutError):
        async with asyncio.timeout(fault.seconds):
            await fault.cleared.wait()
