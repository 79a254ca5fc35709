"""Putting a backup in the place of what is there: from one rename on it is done, or will be at the next start.

What a restore brings is gathered in ``.restore-...``, checked and on the disk. Then that folder is named ``restoring``:
before this rename nothing has changed, after it the rest can be done again and again until it is through. Everyone who
takes the data directory's lock does so first (``finish``).
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from contextlib import closing
from datetime import datetime
from pathlib import Path

from core.adapters.archive import LEDGER, MODELS, Manifest, check_ledger, unpack
from core.adapters.sqlite_backup import copy_database, free_name, open_beside, stamp, to_disk
from core.errors import StoreError

log = logging.getLogger(__name__)

_READY = "restoring"
_ASIDE = "aside"  # a file in there: the name of the folder for what is replaced
_UNFINISHED = ".restore-"


def restore(data_dir: Path, source: Path, now: datetime) -> tuple[Manifest | None, Path | None]:
    """Replaces ledger and models by those of a backup, the caller holding the lock; gives its manifest.

    A single ``.sqlite`` file (a copy from before a migration) brings the ledger alone and has no manifest. The folder
    given is where that lies which was there before, None where there was nothing. Raises StoreError, all as it was.
    """
    for leftover in data_dir.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        gathering = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=data_dir))
        try:
            manifest = _gather(source, gathering)
            (gathering / _ASIDE).write_text(free_name(data_dir, f"replaced-{stamp(now)}", "").name)
            for path in (gathering / _ASIDE, gathering):
                to_disk(path)
            gathering.rename(data_dir / _READY)
        except BaseException:
            shutil.rmtree(gathering, ignore_errors=True)
            raise
        to_disk(data_dir)
        return manifest, finish(data_dir)
    except OSError as error:
        raise StoreError(f"{source} could not be brought back: {error.strerror or error}") from error


def _gather(source: Path, folder: Path) -> Manifest | None:
    with source.open("rb") as file:
        plain = file.read(15) == b"SQLite format 3"
    if plain:
        check_ledger(source, source)
        with closing(open_beside(source)) as db:
            copy_database(db, folder / LEDGER)
        return None
    (folder / MODELS).mkdir(mode=0o700)
    manifest = unpack(source, folder)
    to_disk(folder / MODELS)
    return manifest


def finish(data_dir: Path) -> Path | None:
    """Does what a restore has still to do, also one that was cut off; gives where the former state lies now.

    Does nothing where there is none. Raises OSError.
    """
    new = data_dir / _READY
    if not new.is_dir():
        return None
    named = new / _ASIDE
    aside = data_dir / named.read_text() if named.exists() else None
    if aside is not None:
        _exchange(data_dir, new, aside)
        named.unlink()
    new.rmdir()
    to_disk(data_dir)
    return aside if aside is not None and aside.is_dir() else None


def _exchange(data_dir: Path, new: Path, aside: Path) -> None:
    """Old out, new in, the ledger last: as long as it waits in ``new``, the one in its place is the old one."""
    if (new / MODELS).is_dir():
        _move(data_dir / MODELS, aside)
        (new / MODELS).rename(data_dir / MODELS)
    if (new / LEDGER).exists():
        for name in (LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm"):  # an old -wal beside a new ledger would ruin it
            _move(data_dir / name, aside)
        to_disk(data_dir)
        (new / LEDGER).rename(data_dir / LEDGER)
    to_disk(data_dir)


def _move(path: Path, aside: Path) -> None:
    if os.path.lexists(path):
        aside.mkdir(mode=0o700, exist_ok=True)
        path.rename(free_name(aside, path.name, ""))


def finish_cut_off(data_dir: Path) -> None:
    """``finish`` for whoever takes the lock: said in the log, for it is another ledger that goes on now."""
    try:
        aside = finish(data_dir)
    except OSError as error:
        raise StoreError(
            f"a restore in {data_dir} was cut off and cannot be finished: {error.strerror or error}"
        ) from error
    if aside is not None:
        log.warning("a restore that was cut off is finished now; what was there before lies in %s", aside)
