"""The C library's memory, kept small in a process that lives for months. On other systems nothing of this happens.

glibc gives each thread an arena of its own and keeps what is freed in it; with a dozen threads that draw, read and
write now and then, a bot that needs 200 MB holds 300 after some days.
"""

from __future__ import annotations

import ctypes
import time
from asyncio import to_thread
from collections.abc import Callable

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # malloc.h
_ARENAS = 2
_LARGE = 256 * 1024
"""Bytes from which a block is the system's own and goes back to it when freed; glibc would let this limit grow."""

_EVERY = 300.0
"""Seconds between two tidyings; one takes milliseconds, in a thread."""


def few_arenas() -> bool:
    """Lets all threads share two arenas; best before there are threads. False where it is not glibc's memory."""
    try:
        library = ctypes.CDLL(None)
        return bool(library.mallopt(_M_ARENA_MAX, _ARENAS) and library.mallopt(_M_MMAP_THRESHOLD, _LARGE))
    except (AttributeError, OSError, TypeError):
        return False


class Tidy:
    """``await tidy()`` whenever there is time: now and then it gives back what is free."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last = monotonic()

    async def __call__(self) -> None:
        if self._monotonic() - self._last < _EVERY:
            return
        self._last = self._monotonic()
        await to_thread(give_back)


def give_back() -> bool:
    """Free memory at the end and inside of every arena goes back to the system; False where there was none."""
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError, TypeError):
        return False
