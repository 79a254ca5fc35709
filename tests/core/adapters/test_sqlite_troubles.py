"""The disk full, the database locked: nothing half done, a sentence, and the next write goes through."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from core.adapters.sqlite_database import Database
from core.errors import StoreError
from tests.ledgers import Books, books, facts_of


@contextmanager
def locked_by_another(path: Path) -> Iterator[None]:
    """Somebody else's write, begun and not ended."""
    with closing(sqlite3.connect(path / "julaba.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def impatient(kept: Books) -> None:
    await kept.db._writer.execute("PRAGMA busy_timeout = 20")


async def no_room(kept: Books, *, pages: int = 0) -> None:
    """SQLite's own SQLITE_FULL from here on: the file may grow by so many pages and no further."""
    async with kept.db._writer.execute("PRAGMA page_count") as cursor:
        row = await cursor.fetchone()
    assert row is not None
    await kept.db._writer.execute(f"PRAGMA max_page_count = {row[0] + pages}")


async def room_again(kept: Books) -> None:
    await kept.db._writer.execute("PRAGMA max_page_count = 1000000")


async def together(kept: Books, *statements: str) -> None:
    async with kept.db.transaction() as tx:
        for statement in statements:
            await tx.execute(statement)


LARGE = "x" * 20_000


async def test_a_lock_held_elsewhere_is_a_sentence_and_nothing_is_stored(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        await impatient(kept)
        with locked_by_another(tmp_path):
            with pytest.raises(StoreError, match=r"The database is locked: another process writes to .*close what has"):
                await kept.ledger.set_mark("a", "1")
            assert await kept.ledger.mark("a") is None  # and reading goes on
        await kept.ledger.set_mark("a", "2")

        assert await kept.ledger.mark("a") == "2"


async def test_a_full_disk_is_a_sentence_nothing_is_stored_and_room_makes_it_well(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        await kept.ledger.set_mark("before", "1")
        before = await facts_of(kept)
        await no_room(kept)
        with pytest.raises(StoreError, match=r"The disk is full: nothing more can be written to .*make room"):
            await together(
                kept, "INSERT INTO marks VALUES ('first', 'fits')", f"INSERT INTO marks VALUES ('second', '{LARGE}')"
            )
        assert await facts_of(kept) == before
        assert await kept.ledger.mark("first") is None
        await room_again(kept)
        await kept.ledger.set_mark("second", LARGE)

        assert await kept.ledger.mark("before") == "1"
        assert await kept.ledger.mark("second") == LARGE


async def test_a_commit_that_fails_is_ended_and_the_next_one_begins(tmp_path: Path) -> None:
    """A deferred foreign key fails at COMMIT itself: SQLite leaves such a transaction open."""
    async with books(tmp_path) as kept:
        with pytest.raises(StoreError, match="FOREIGN KEY"):
            await together(
                kept,
                "PRAGMA defer_foreign_keys = ON",
                "INSERT INTO verdicts VALUES (7, 0, 'rules', 'x', 'pass', NULL, '')",
            )
        assert not kept.db._writer.in_transaction  # which would keep everybody else from writing
        await kept.ledger.set_mark("a", "1")

        assert await kept.ledger.mark("a") == "1"
        assert await kept.db.rows("SELECT * FROM verdicts") == []


async def test_cancelled_while_it_waits_for_the_lock_leaves_no_transaction_open(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        with locked_by_another(tmp_path):
            writing = asyncio.create_task(kept.ledger.set_mark("a", "1"))
            await asyncio.sleep(0.05)
            writing.cancel()
            await asyncio.sleep(0.05)
            writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        await kept.ledger.set_mark("b", "2")

        assert await kept.ledger.mark("a") is None
        assert await kept.ledger.mark("b") == "2"


async def test_cancelled_in_the_middle_of_a_statement_leaves_nothing(tmp_path: Path) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)"
    slow = f"{numbers} INSERT INTO marks SELECT i, 0 FROM n"
    async with books(tmp_path) as kept:
        writing = asyncio.create_task(kept.db.write(slow))
        await asyncio.sleep(0.03)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert not kept.db._writer.in_transaction
        await kept.ledger.set_mark("a", "1")
        assert [row["name"] for row in await kept.db.rows("SELECT name FROM marks")] == ["a"]


ON_A_SMALL_DISK = """
import asyncio, sys
from pathlib import Path
from typing import Any
from core.adapters.sqlite_database import Database
from core.adapters.backup_folder import BackupFolder
from core.adapters.clocks import SystemClock
from core.errors import StoreError

async def main(folder):
    async with Database(folder / "julaba.sqlite") as db:
        written = 0
        filler = (folder / "filler").open("wb", buffering=0)
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass
        try:
            for written in range(10_000):
                async with db.transaction() as tx:
                    await tx.execute("INSERT INTO marks VALUES (?, 'a')", (f"{written}-a",))
                    await tx.execute("INSERT INTO marks VALUES (?, 'b')", (f"{written}-b",))
        except StoreError as error:
            print(error)
        try:
            BackupFolder(folder).make(SystemClock().now())
        except StoreError as error:
            print(error)
        print(len(await db.rows("SELECT * FROM marks")) == 2 * written, written < 10_000 - 1)
        filler.close()
        (folder / "filler").unlink()
        await db.write("INSERT INTO marks VALUES ('after', '')")
        print((await db.row("PRAGMA integrity_check"))[0], sorted(p.name for p in (folder / "backups").iterdir()))

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="no file system can be made here")
def test_a_disk_that_is_really_full_is_lived_through(tmp_path: Path) -> None:
    """On a file system of two megabytes, which the kernel takes away with the process."""
    command = f'mount -t tmpfs -o size=2m tmpfs "{tmp_path}" && exec "{sys.executable}" -c "$SCRIPT" "{tmp_path}"'
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", command],
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), "SCRIPT": ON_A_SMALL_DISK},
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("no file system can be made here")

    full, backup, nothing_half, well = done.stdout.splitlines()
    assert full.startswith("The disk is full: nothing more can be written to ")
    assert backup.startswith("no backup could be written") or backup.startswith("The disk is full")
    assert nothing_half == "True True"
    assert well == "ok []"


def kept_file(folder: Path) -> Path:
    async def fill() -> None:
        async with Database(folder / "julaba.sqlite") as db:
            await db.write("INSERT INTO marks VALUES ('a', ?)", (LARGE * 20,))

    asyncio.run(fill())
    return folder / "julaba.sqlite"


def open_and_read(path: Path) -> None:
    async def look() -> None:
        async with Database(path) as db:
            await db.rows("SELECT * FROM marks")

    asyncio.run(look())


def test_a_damaged_page_is_named_with_the_way_back(tmp_path: Path) -> None:
    path = kept_file(tmp_path)
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)

    with pytest.raises(StoreError, match=r"damaged .*`julaba restore`"):
        open_and_read(path)


def test_a_file_cut_short_is_named_with_the_way_back(tmp_path: Path) -> None:
    path = kept_file(tmp_path)
    path.write_bytes(path.read_bytes()[:5000])

    with pytest.raises(StoreError, match=r"damaged .*`julaba restore`"):
        open_and_read(path)


def test_a_start_that_fails_closes_what_it_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection left open would keep the process alive for ever."""
    opened: list[Any] = []
    real = Database._connect

    async def once(self: Database, stack: object) -> object:
        if opened:
            raise sqlite3.OperationalError("unable to open database file")
        opened.append(await real(self, stack))  # type: ignore[arg-type]
        return opened[0]

    monkeypatch.setattr(Database, "_connect", once)
    with pytest.raises(StoreError, match="unable to open"):
        open_and_read(tmp_path / "julaba.sqlite")
    assert not opened[0]._running
