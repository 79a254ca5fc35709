"""A data directory with a ledger and models, small and made at once, and all that is in it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from core.adapters.sqlite_database import Database


def lived_in(folder: Path, word: str, rows: int = 3) -> Path:
    """Marks of this word in the ledger, a champion of this name beside it."""

    async def fill() -> None:
        async with Database(folder / "julaba.sqlite") as db:
            for number in range(rows):
                await db.write("INSERT INTO marks VALUES (?, ?)", (f"{word}-{number}", word))

    asyncio.run(fill())
    models = folder / "models"
    models.mkdir(exist_ok=True)
    for name in (f"{word}.json", f"{word}.manifest.json"):
        (models / name).write_text(word)
    (models / "champion.json").write_text(word)
    return folder


def held(folder: Path) -> tuple[list[tuple[object, ...]], dict[str, str]]:
    """The ledger's marks and the models' files."""
    with closing(sqlite3.connect(folder / "julaba.sqlite")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = db.execute("SELECT name, value FROM marks ORDER BY name").fetchall()
    models = folder / "models"
    return rows, {path.name: path.read_text() for path in sorted(models.iterdir())} if models.is_dir() else {}
