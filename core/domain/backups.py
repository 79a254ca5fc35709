"""What is known of a backup."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Backup:
    """A file that was written, read back and found whole. ``rows``: of each table of its ledger."""

    path: Path
    size: int  # bytes
    made_at: datetime
    database_version: int
    rows: Mapping[str, int]
    models: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore has put in place; without ``backup`` it was a ledger alone. ``aside``: where the former lies."""

    backup: Backup | None
    aside: Path | None
