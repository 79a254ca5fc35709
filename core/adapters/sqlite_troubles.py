"""What SQLite refuses, in a sentence that says what to do."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from core.errors import StoreError

NO_ROOM = 1_000_000  # bytes; with less, an input or output error is one of a full disk

_WORDS = {
    "SQLITE_FULL": "The disk is full: nothing more can be written to {path}; make room there",
    "SQLITE_BUSY": "The database is locked: another process writes to {path}; close what has it open",
    "SQLITE_LOCKED": "The database is locked: another process writes to {path}; close what has it open",
    "SQLITE_READONLY": "The database is read-only: let the user that runs Julaba write to {path} and its folder",
    "SQLITE_PERM": "The database is read-only: let the user that runs Julaba write to {path} and its folder",
    "SQLITE_CANTOPEN": "The database {path} cannot be used: {reason}; look at its folder and whose it is",
    "SQLITE_CORRUPT": "The database {path} is damaged ({reason}): stop Julaba and bring a copy back, `julaba restore`",
    "SQLITE_NOTADB": "The file {path} cannot be used: {reason}; move it aside, or bring a copy back, `julaba restore`",
    "SQLITE_IOERR": "The disk does not answer: {path} can be neither read nor written ({reason}); look at the disk",
}


def trouble(error: sqlite3.Error, path: Path) -> StoreError:
    """The error in words for its owner, by SQLite's own code."""
    code = str(getattr(error, "sqlite_errorname", ""))
    kind = "_".join(code.split("_")[:2])  # SQLITE_IOERR_WRITE is an SQLITE_IOERR
    if kind == "SQLITE_IOERR" and _free(path) < NO_ROOM:
        kind = "SQLITE_FULL"
    words = _WORDS.get(kind, "The database {path} refused: {reason}")
    return StoreError(words.format(path=path, reason=error))


def _free(path: Path) -> float:
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return float("inf")
