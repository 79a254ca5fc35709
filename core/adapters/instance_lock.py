"""One instance per data directory: a lock that the operating system drops when the process ends, however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from core.errors import StoreError


@contextmanager
def instance_lock(data_dir: Path) -> Iterator[None]:
    """Holds ``<data-dir>/julaba.lock``. Raises StoreError naming the process that holds it already."""
    data_dir.mkdir(parents=True, exist_ok=True)
    holder = data_dir / "julaba.pid"
    lock = FileLock(data_dir / "julaba.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StoreError(f"Julaba is already running in {data_dir} (process {_read(holder)}); stop it first") from None
    try:
        holder.write_text(str(os.getpid()))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _read(holder: Path) -> str:
    try:
        return holder.read_text().strip() or "unknown"
    except OSError:
        return "unknown"
