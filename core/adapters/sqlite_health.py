"""A look at the database that changes nothing, also while the bot writes to it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from core.adapters.migrations import MIGRATIONS
from core.adapters.sqlite_backup import open_beside
from core.adapters.sqlite_database import unpack
from core.adapters.sqlite_troubles import trouble
from core.domain.audit_chain import HEAD, broken_link
from core.errors import StoreError

_MARKS = 3  # the form of the database that first has marks
_STEPS = 10_000  # SQLite's instructions between two looks at the time


def summary(path: Path, seconds: float, backed_up: Mapping[str, Any] | None = None) -> str:
    """What is in the database, in half a sentence. Raises StoreError for one that is broken or not ours.

    ``backed_up`` is the newest audit entry of the newest backup: it must still be there. Raises TimeoutError when
    looking would take longer than ``seconds``.
    """
    until = time.monotonic() + seconds
    try:
        # Opened for writing though nothing is written: a read-only connection would leave its -wal and -shm files
        # behind, owned by whoever asked the doctor, and the bot could then not write to them.
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=seconds)) as db:
            db.execute("PRAGMA query_only = ON")
            db.row_factory = sqlite3.Row
            db.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
            return _summary(db, backed_up)
    except sqlite3.Error as error:
        if time.monotonic() > until:
            raise TimeoutError from None
        raise StoreError(f"{path} cannot be read: {error}") from error


def tables(path: Path) -> Iterator[tuple[str, list[str], list[dict[str, object]]]]:
    """Every table as it is stored, by name, all of one moment. Raises StoreError."""
    try:
        with closing(open_beside(path)) as db:
            db.execute("BEGIN")
            found = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
            for (name,) in sorted(found.fetchall()):
                cursor = db.execute(f'SELECT * FROM "{name}"')
                columns = [column[0] for column in cursor.description]
                yield name, columns, [dict(zip(columns, row, strict=True)) for row in cursor]
    except sqlite3.Error as error:
        raise trouble(error, path) from error


def _summary(db: sqlite3.Connection, backed_up: Mapping[str, Any] | None) -> str:
    fault = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if fault != "ok":
        raise StoreError(f"the database is damaged: {' '.join(str(fault).split())}")
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise StoreError(f"the database has version {version}, this program knows {len(MIGRATIONS)}")
    if version == 0:
        raise StoreError("the file is a database, but none of Julaba's")
    entries = unpack(db.execute("SELECT * FROM audit ORDER BY entry_id"))
    if (entry := broken_link(entries)) is not None:
        raise StoreError(
            f"entry {entry} of the audit log was changed after it was written, or the one before it is gone"
        )
    noted = db.execute("SELECT value FROM marks WHERE name = ?", (HEAD,)).fetchone() if version >= _MARKS else None
    for head, where in ((noted and json.loads(noted[0]), "the ledger itself"), (backed_up, "the newest backup")):
        if head and not any(e["entry_id"] == head["entry_id"] and e["hash"] == head["hash"] for e in entries):
            raise StoreError(
                f"entry {head['entry_id']} of the audit log is gone, and {where} knows of it: its end was cut off"
                + ("" if head is not backed_up else ", or an older backup was restored (`julaba backup` ends that)")
            )
    decisions, trades = (
        db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("decisions", "follows WHERE kind = 'trade'")
    )
    return f"intact, {decisions:,} decisions, {trades:,} trades, an unbroken audit log of {len(entries):,} entries"
