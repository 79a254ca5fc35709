"""One instance per data directory: a lock that the operating system drops when the process ends, however it ends."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from core.adapters.clocks import SystemClock
from core.adapters.restoring import finish_cut_off
from core.errors import StoreError

_PATIENCE = 1.0  # seconds in which the one who was quicker has said who it is
_HOLDER = "julaba.pid"


@contextmanager
def instance_lock(data_dir: Path) -> Iterator[None]:
    """Holds ``<data-dir>/julaba.lock``; a restore that was cut off is finished first.

    Raises StoreError naming the process that holds it already, what that does and since when.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    holder = data_dir / _HOLDER
    lock = FileLock(data_dir / "julaba.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StoreError(f"Julaba is already running in {data_dir}: {_who(holder)}; stop it first") from None
    try:
        _say_who(holder)
        finish_cut_off(data_dir)
        yield
    finally:
        with suppress(OSError):  # a full or read-only disk: the lock is what counts, and it is given back
            holder.unlink(missing_ok=True)
        lock.release()


def _say_who(holder: Path) -> None:
    """Who holds the lock, for whoever comes second: process, beginning, command; renamed, so that nobody reads half."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    command = f"julaba {name}" if name.isidentifier() else "julaba"
    part = holder.with_name(f".{holder.name}.{os.getpid()}")
    with suppress(OSError):  # the lock holds without it
        part.write_text(f"{os.getpid()}\n{SystemClock().now().isoformat(timespec='seconds')}\n{command}\n")
        part.replace(holder)


def _who(holder: Path) -> str:
    """Waits a little for one that took the lock a moment ago, or after one that was killed and left its name here."""
    until = time.monotonic() + _PATIENCE
    while (found := _read(holder)) is None and time.monotonic() < until:
        time.sleep(0.02)
    return found or "process unknown"


def _read(holder: Path) -> str | None:
    """None where nobody has said so yet, or one that has ended."""
    try:
        number, since, command = holder.read_text().splitlines()
        begun = datetime.fromisoformat(since)
        os.kill(int(number), 0)
    except PermissionError:
        pass  # it lives, as somebody else's
    except (OSError, ValueError):
        return None
    return f"process {number}, `{command}`, since {begun:%d %b %Y %H:%M} UTC"
