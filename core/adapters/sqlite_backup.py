"""Copies of the ledger while others write to it: whole, checked, and there under their name only when they are."""

from __future__ import annotations

import os
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from core.adapters import migrations
from core.adapters.clocks import SystemClock
from core.adapters.sqlite_troubles import trouble
from core.errors import StoreError

FOLDER = "backups"
"""Below the data directory: what is copied lies here."""

KEPT_MIGRATIONS = 5
_PAGES = 256  # a megabyte at a time: a wish to stop is heard between two, and the bot's own commits find the disk free
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z")
_BEFORE = re.compile(rf"before-migration-\d+-\d+-{STAMP.pattern}(-\d+)?\.sqlite")


def stamp(moment: datetime) -> str:
    """A moment (aware, UTC) as part of a file's name, in an order that is the time's."""
    return f"{moment:%Y-%m-%dT%H%M%SZ}"


def free_name(folder: Path, stem: str, suffix: str) -> Path:
    """``stem`` + ``suffix`` in the folder, with a number where that is taken."""
    names = (f"{stem}{f'-{n}' if n > 1 else ''}{suffix}" for n in range(1, 1000))
    return next(folder / name for name in names if not os.path.lexists(folder / name))


def copy_database(source: sqlite3.Connection, target: Path, go_on: Callable[[], None] = lambda: None) -> None:
    """The database as it stands now, in one new file (0600, on the disk), proved whole by SQLite's own check.

    ``go_on`` is called again and again and may raise to end it. Raises StoreError where the copy is damaged,
    sqlite3.Error and OSError; leaves an unfinished ``target`` to the caller.
    """
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    # Within a transaction that reads: what others commit meanwhile neither gets in nor makes it begin again.
    source.execute("BEGIN")
    try:
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        with closing(sqlite3.connect(target, isolation_level=None)) as copy:
            source.backup(copy, pages=_PAGES, progress=lambda *_: go_on())
            copy.execute("PRAGMA journal_mode = DELETE")  # WAL is two files, and a copy is to be one
            fault = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    finally:
        source.execute("ROLLBACK")
    if fault != "ok":
        raise StoreError(f"the ledger is damaged: {' '.join(str(fault).split())}; `julaba restore` brings a copy back")
    to_disk(target)


def open_beside(path: Path) -> sqlite3.Connection:
    """A connection that looks and writes nothing, also while the bot runs. Raises sqlite3.Error.

    Opened for writing all the same: a read-only one would leave its -wal and -shm files behind as somebody else's.
    """
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    db.execute("PRAGMA query_only = ON")
    return db


def version_of(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def row_counts(path: Path) -> Mapping[str, int]:
    """Each table's rows."""
    with closing(open_beside(path)) as db:
        names = [n for (n,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {
            name: db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for name in names
            if not name.startswith("sqlite_")
        }


def to_disk(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def keep_before_migration(db: sqlite3.Connection, path: Path) -> Path | None:
    """Copies a ledger of an older form before it is brought to today's; None where there is nothing to bring.

    Raises StoreError when that cannot be done: the ledger stays as it is, and the migration must not begin.
    """
    held, wanted = version_of(db), len(migrations.MIGRATIONS)
    if not 0 < held < wanted:
        return None
    folder = path.parent / FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        target = free_name(folder, f"before-migration-{held}-{wanted}-{stamp(SystemClock().now())}", ".sqlite")
        with staging(folder) as aside:
            copy_database(db, aside / target.name)
            (aside / target.name).replace(target)
        to_disk(folder)
        keep_newest(folder, _BEFORE, KEPT_MIGRATIONS)
    except (sqlite3.Error, OSError, StoreError) as error:
        reason = trouble(error, folder) if isinstance(error, sqlite3.Error) else error
        raise StoreError(
            f"the ledger {path} must be brought from form {held} to {wanted}, and could not be copied first: {reason}; "
            "nothing was changed"
        ) from error
    return target


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A folder beside the results for what is not finished yet; gone at the end, whatever the end is."""
    with tempfile.TemporaryDirectory(prefix=".staging-", dir=folder, ignore_cleanup_errors=True) as name:
        yield Path(name)


def keep_newest(folder: Path, name: re.Pattern[str], keep: int) -> None:
    """Removes the oldest files of this kind, and no other; what cannot be removed stays until the next time."""
    kind = sorted((p for p in folder.iterdir() if name.fullmatch(p.name) and p.is_file()), key=moment_of)
    for path in kind[: max(0, len(kind) - keep)]:
        with suppress(OSError):
            path.unlink()


def moment_of(path: Path) -> tuple[str, int, str]:
    """An order of age by the name: a file's own times change on the way to another computer."""
    found = STAMP.search(path.name)
    return found[0] if found else "", len(path.name), path.name
