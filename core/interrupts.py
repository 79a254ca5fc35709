"""Ctrl-C outside a command's own work: while modules are imported, and while the interpreter ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


def stop_at_once(number: int, frame: FrameType | None) -> NoReturn:
    """A signal handler for when nothing is under way: a KeyboardInterrupt might be swallowed by an import."""
    os.write(2, b"stopped\n")
    os._exit(130)


@contextmanager
def gracefully() -> Iterator[None]:
    """Within, Ctrl-C raises KeyboardInterrupt, and asyncio.run cancels: both clean up, and need just this handler.

    Where ``stop_at_once`` was not installed, as in tests, nothing changes.
    """
    if signal.getsignal(signal.SIGINT) is not stop_at_once:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, stop_at_once)
