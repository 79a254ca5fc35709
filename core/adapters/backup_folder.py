"""``<data-dir>/backups``: one archive a day and those made by hand; what else lies there is nobody's business here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.adapters.archive import LEDGER, SUFFIX, Manifest, file_name, newest_entry, write_archive
from core.adapters.instance_lock import instance_lock
from core.adapters.restoring import restore
from core.adapters.sqlite_backup import FOLDER, STAMP, keep_newest, moment_of
from core.domain.backups import Backup, Restored
from core.errors import StoreError

_DAILY = re.compile(rf"julaba-{STAMP.pattern}(-\d+)?{re.escape(SUFFIX)}")
_ANY = re.compile(rf"julaba-{STAMP.pattern}(-by-hand)?(-\d+)?{re.escape(SUFFIX)}")


@dataclass(frozen=True)
class BackupFolder:
    """Implements ``core.services.backups.BackupStore``; every method waits for the disk."""

    data_dir: Path

    def make(
        self,
        now: datetime,
        *,
        by_hand: bool = False,
        out: Path | None = None,
        go_on: Callable[[], None] = lambda: None,
    ) -> Backup:
        """Writes a backup, to ``out`` (a file or a folder) or here; also while a bot runs. Raises StoreError."""
        if not (self.data_dir / LEDGER).exists():
            raise StoreError(f"there is no ledger {self.data_dir / LEDGER}, so there is nothing to back up")
        if out is None or out.is_dir():
            out = file_name(out or self.data_dir / FOLDER, now, by_hand=by_hand)
        manifest = write_archive(self.data_dir, out, now, go_on)
        return _backup(out, manifest)

    def keep(self, number: int) -> None:
        """Removes the oldest of the daily ones. Those made by hand, renamed or somebody else's stay."""
        folder = self.data_dir / FOLDER
        if folder.is_dir():
            keep_newest(folder, _DAILY, number)

    def restore(self, source: Path, now: datetime) -> Restored:
        """Puts a backup in the place of ledger and models. Raises StoreError, also while a bot runs here."""
        if not source.is_file():
            raise StoreError(f"there is no file {source}")
        with instance_lock(self.data_dir):
            manifest, aside = restore(self.data_dir, source, now)
        return Restored(_backup(source, manifest) if manifest is not None else None, aside)

    def newest(self) -> tuple[Path, datetime] | None:
        """The newest one here and when it was made, None without any."""
        folder = self.data_dir / FOLDER
        found = [p for p in folder.iterdir() if _ANY.fullmatch(p.name)] if folder.is_dir() else []
        if not found:
            return None
        newest = max(found, key=moment_of)
        return newest, datetime.strptime(moment_of(newest)[0], "%Y-%m-%dT%H%M%SZ").replace(tzinfo=UTC)


def entry_backed_up(folder: BackupFolder) -> Mapping[str, Any] | None:
    """The newest audit entry of the newest backup; None where there is none, or it cannot be read."""
    newest = folder.newest()
    if newest is None:
        return None
    try:
        return newest_entry(newest[0]) or None
    except (StoreError, OSError):
        return None


def _backup(path: Path, manifest: Manifest) -> Backup:
    return Backup(
        path=path,
        size=path.stat().st_size,
        made_at=datetime.fromisoformat(manifest.made_at),
        database_version=manifest.database_version,
        rows=manifest.rows,
        models=manifest.models,
    )
