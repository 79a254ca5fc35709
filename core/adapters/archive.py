"""A backup as one file: the ledger, the models, and a manifest that says what must be in it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import sqlite3
import tarfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import core
from core.adapters.migrations import MIGRATIONS
from core.adapters.sqlite_backup import (
    copy_database,
    free_name,
    open_beside,
    row_counts,
    staging,
    stamp,
    to_disk,
    version_of,
)
from core.adapters.sqlite_troubles import trouble
from core.errors import StoreError

SUFFIX = ".tar.gz"
LEDGER = "julaba.sqlite"
MODELS = "models"
_MANIFEST = "manifest.json"
_FORMAT = 1
_POINTER = "champion.json"
_BLOCK = 1_000_000
_MANIFEST_MOST = 10_000_000  # bytes; a larger one is none


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive holds. ``files``: SHA-256 by name; ``rows``: of each table; ``made_at`` in ISO, UTC.

    ``audit`` is the newest entry of the audit log, ``{"entry_id": 57, "hash": "..."}``; empty where there is none.
    """

    format: int
    made_at: str
    julaba: str
    database_version: int
    rows: Mapping[str, int]
    files: Mapping[str, str]
    audit: Mapping[str, Any] = field(default_factory=dict)

    @property
    def models(self) -> int:
        """How many models lie beside the ledger."""
        return sum(name.endswith(".manifest.json") for name in self.files)


def write_archive(data_dir: Path, out: Path, made_at: datetime, go_on: Callable[[], None] = lambda: None) -> Manifest:
    """The ledger and the models of a data directory as one new file (0600), read back and compared before it is there.

    The ledger is that of one moment, also while the bot writes. ``go_on`` is called again and again and may raise to
    end it. Raises StoreError; nothing is left of what could not be finished.
    """
    if os.path.lexists(out):
        raise StoreError(f"{out} exists already; name another file")
    try:
        out.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with staging(out.parent) as aside:
            manifest = _gather(data_dir, aside, made_at, go_on)
            packed = aside / "packed"
            _pack(aside, manifest, packed, go_on)
            if read_manifest(packed, go_on) != manifest:
                raise StoreError(f"what was written to {out.parent} is not what was read; look at the disk")
            packed.replace(out)
        to_disk(out.parent)
    except sqlite3.Error as error:
        raise trouble(error, data_dir / LEDGER) from error
    except OSError as error:
        raise StoreError(f"no backup could be written to {out.parent}: {error.strerror or error}") from error
    return manifest


def _gather(data_dir: Path, aside: Path, made_at: datetime, go_on: Callable[[], None]) -> Manifest:
    """Copies everything aside. The ledger first: a model it names is then among the files, which are never fewer."""
    with closing(open_beside(data_dir / LEDGER)) as db:
        version = version_of(db)
        copy_database(db, aside / LEDGER, go_on)
    if not 0 < version <= len(MIGRATIONS):
        raise StoreError(_unknown(data_dir / LEDGER, version))
    names = [LEDGER, *_copy_models(data_dir / MODELS, aside / MODELS, go_on)]
    return Manifest(
        format=_FORMAT,
        made_at=made_at.isoformat(timespec="seconds"),
        julaba=core.__version__,
        database_version=version,
        rows=row_counts(aside / LEDGER),
        files={name: _hash_of(aside / name) for name in names},
        audit=_newest_entry(aside / LEDGER),
    )


def _newest_entry(ledger: Path) -> dict[str, Any]:
    with closing(open_beside(ledger)) as db:
        found = db.execute("SELECT entry_id, hash FROM audit ORDER BY entry_id DESC LIMIT 1").fetchone()
    return {"entry_id": found[0], "hash": found[1]} if found else {}


def _copy_models(source: Path, target: Path, go_on: Callable[[], None]) -> list[str]:
    """The files of all models, by the name they have in the archive. Each of them is only ever replaced whole."""
    if not source.is_dir():
        return []
    target.mkdir(mode=0o700, exist_ok=True)
    pointer = _content(source / _POINTER)
    for path in sorted(source.iterdir()):
        go_on()
        if path.is_file() and not path.name.startswith(".") and (content := _content(path)) is not None:
            (target / path.name).write_bytes(content)
    if _content(source / _POINTER) != pointer:  # a champion was crowned meanwhile: all of it once more
        for path in target.iterdir():
            path.unlink()
        return _copy_models(source, target, go_on)
    return [f"{MODELS}/{path.name}" for path in sorted(target.iterdir())]


def _content(path: Path) -> bytes | None:
    """None for a file that is gone: the bot may have deleted an old model since it was listed."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _pack(aside: Path, manifest: Manifest, packed: Path, go_on: Callable[[], None]) -> None:
    with (
        _new_file(packed) as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as pressed,
        tarfile.open(fileobj=pressed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        text = json.dumps(asdict(manifest), indent=1).encode()
        tar.addfile(_member(_MANIFEST, len(text)), io.BytesIO(text))
        for name in manifest.files:
            with (aside / name).open("rb") as content:
                tar.addfile(_member(name, os.fstat(content.fileno()).st_size), _Watched(content, go_on))
    to_disk(packed)


def _member(name: str, size: int) -> tarfile.TarInfo:
    """Without the owner's name or the computer's time: the same content gives the same bytes."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info


class _Watched:
    """A file that asks ``go_on`` each time it is read."""

    def __init__(self, file: io.BufferedReader, go_on: Callable[[], None]) -> None:
        self._file, self._go_on = file, go_on

    def read(self, size: int = -1) -> bytes:
        self._go_on()
        return self._file.read(size)


def read_manifest(path: Path, go_on: Callable[[], None] = lambda: None) -> Manifest:
    """Reads all of an archive and compares each file with its checksum. Raises StoreError, OSError where it is gone."""
    return _read(path, None, go_on)


def newest_entry(path: Path) -> Mapping[str, Any]:
    """The newest audit entry that an archive holds, by its manifest alone. Raises StoreError, OSError."""
    try:
        with tarfile.open(path, "r|gz") as tar:
            member = tar.next()
            content = tar.extractfile(member) if member is not None else None
            if member is None or content is None:
                raise StoreError(f"{path} is no backup of Julaba: it is empty")
            return _manifest(member, content.read(_MANIFEST_MOST), path).audit
    except (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is no backup of Julaba, or a damaged one: {error}") from error


def unpack(path: Path, folder: Path) -> Manifest:
    """The same, and writes the files into ``folder``; SQLite checks the ledger. Raises StoreError, OSError."""
    manifest = _read(path, folder, lambda: None)
    check_ledger(folder / LEDGER, path)
    if dict(row_counts(folder / LEDGER)) != dict(manifest.rows):
        raise StoreError(f"{path} is damaged: its ledger has other rows than its manifest says")
    return manifest


def check_ledger(ledger: Path, named: Path) -> int:
    """The form of a ledger that can be used here. Raises StoreError for a damaged, foreign or newer one."""
    try:
        with closing(open_beside(ledger)) as db:
            version, fault = version_of(db), db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise StoreError(f"{named} is no backup of Julaba, or a damaged one: {error}") from error
    if fault != "ok":
        raise StoreError(f"{named} is damaged: {' '.join(str(fault).split())}")
    if not 0 < version <= len(MIGRATIONS):
        raise StoreError(_unknown(named, version))
    return version


def _unknown(path: Path, version: int) -> str:
    if version == 0:
        return f"{path} is a database, but none of Julaba's"
    return f"{path} was made by a newer Julaba (form {version}, this one knows {len(MIGRATIONS)}); update Julaba first"


def _read(path: Path, folder: Path | None, go_on: Callable[[], None]) -> Manifest:
    try:
        with tarfile.open(path, "r|gz") as tar:
            return _members(tar, path, folder, go_on)
    except (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is no backup of Julaba, or a damaged one: {error}") from error


def _members(tar: tarfile.TarFile, path: Path, folder: Path | None, go_on: Callable[[], None]) -> Manifest:
    """Only names that the manifest lists are written, so that no archive writes outside of ``folder``."""
    manifest: Manifest | None = None
    missing: dict[str, str] = {}
    for member in tar:
        content = tar.extractfile(member) if member.isfile() else None
        if content is None:
            raise StoreError(f"{path} is no backup of Julaba: {member.name!r} is no file")
        if manifest is None:
            manifest = _manifest(member, content.read(_MANIFEST_MOST), path)
            missing = dict(manifest.files)
            continue
        wanted = missing.pop(member.name)
        if _taken(content, folder / member.name if folder else None, go_on) != wanted:
            raise StoreError(f"{path} is damaged: {member.name} is not the file its manifest describes")
    if manifest is None or missing:
        raise StoreError(f"{path} is damaged: it lacks {', '.join(sorted(missing)[:3]) or _MANIFEST}")
    return manifest


def _manifest(member: tarfile.TarInfo, text: bytes, path: Path) -> Manifest:
    if member.name != _MANIFEST:
        raise StoreError(f"{path} is no backup of Julaba: it does not begin with its manifest")
    found = json.loads(text)
    if int(found["format"]) > _FORMAT:
        raise StoreError(f"{path} was made by a newer Julaba ({found['julaba']}); update Julaba first")
    manifest = Manifest(**found)
    if manifest.database_version > len(MIGRATIONS):
        raise StoreError(_unknown(path, manifest.database_version))
    names = {name for name in manifest.files if name != LEDGER}
    if LEDGER not in manifest.files or any(not _is_model(name) for name in names):
        raise StoreError(f"{path} is no backup of Julaba: its manifest names other files than a ledger and models")
    return manifest


def _is_model(name: str) -> bool:
    folder, _, file = name.partition("/")
    return folder == MODELS and file not in ("", ".", "..") and "/" not in file and "\\" not in file


def _taken(content: IO[bytes], target: Path | None, go_on: Callable[[], None]) -> str:
    """The SHA-256 of what is read, which is also written to ``target``."""
    digest = hashlib.sha256()
    with _new_file(target) if target is not None else nullcontext() as file:
        while block := content.read(_BLOCK):
            go_on()
            digest.update(block)
            if file is not None:
                file.write(block)
        if file is not None:
            file.flush()
            os.fsync(file.fileno())
    return digest.hexdigest()


def _new_file(path: Path) -> IO[bytes]:
    """For its owner alone: what people said and traded is nobody else's."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_name(folder: Path, made_at: datetime, *, by_hand: bool) -> Path:
    """Where a backup made now goes; those made by hand are never cleared away."""
    return free_name(folder, f"julaba-{stamp(made_at)}{'-by-hand' if by_hand else ''}", SUFFIX)
