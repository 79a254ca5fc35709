"""A backup is there whole or not at all, is what was there at one moment, and is cleared away only by who made it."""

from __future__ import annotations

import asyncio
import io
import os
import sqlite3
import stat
import tarfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.adapters import archive, migrations, sqlite_backup
from core.adapters.backup_folder import BackupFolder
from core.adapters.instance_lock import instance_lock
from core.adapters.migrations import MIGRATIONS, migrate
from core.adapters.sqlite_database import Database
from core.errors import StoreError
from tests.backups import held, lived_in

NOW = datetime(2026, 11, 21, 14, 30, 5, tzinfo=UTC)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_backup_is_one_private_file_that_names_its_moment_and_restores_exactly(tmp_path: Path) -> None:
    here = lived_in(tmp_path / "here", "old")
    made = BackupFolder(here).make(NOW)
    BackupFolder(tmp_path / "there").restore(made.path, NOW)

    assert names(here / "backups") == ["julaba-2026-11-21T143005Z.tar.gz"]
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert (made.models, made.rows["marks"], made.size) == (1, 3, made.path.stat().st_size)
    assert held(tmp_path / "there") == held(here)


def test_the_ledger_alone_is_enough_and_without_one_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing to back up"):
        BackupFolder(tmp_path).make(NOW)
    lived_in(tmp_path, "old")
    for path in (tmp_path / "models").iterdir():
        path.unlink()
    (tmp_path / "models").rmdir()

    assert BackupFolder(tmp_path).make(NOW).models == 0


def test_a_backup_works_while_a_bot_runs_and_holds_what_was_committed(tmp_path: Path) -> None:
    async def write_on() -> None:
        async with Database(tmp_path / "julaba.sqlite") as db:
            await db.write("INSERT INTO marks VALUES ('committed', '')")
            async with db.transaction() as tx:
                await tx.execute("INSERT INTO marks VALUES ('under way', '')")
                made = await asyncio.to_thread(BackupFolder(tmp_path).make, NOW)
            assert made.rows["marks"] == 4

    lived_in(tmp_path, "old")
    with instance_lock(tmp_path):
        asyncio.run(write_on())


def test_what_is_written_during_the_copy_neither_enters_it_nor_makes_it_begin_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived_in(tmp_path, "old", rows=300)
    monkeypatch.setattr(sqlite_backup, "_PAGES", 1)
    asked = []

    with closing(sqlite3.connect(tmp_path / "julaba.sqlite")) as bot:

        def busy() -> None:
            asked.append(1)
            bot.execute("INSERT INTO marks VALUES (?, 'new')", (f"new-{len(asked)}",))
            bot.commit()

        made = BackupFolder(tmp_path).make(NOW, go_on=busy)

    assert made.rows["marks"] == 300
    assert len(asked) < 200


def test_one_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    def stop() -> None:
        raise StoreError("broken off")

    lived_in(tmp_path, "old")
    with pytest.raises(StoreError, match="broken off"):
        BackupFolder(tmp_path).make(NOW, go_on=stop)

    assert names(tmp_path / "backups") == []


def test_a_damaged_ledger_is_not_taken_for_a_backup(tmp_path: Path) -> None:
    path = lived_in(tmp_path, "old") / "julaba.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        root = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'marks'").fetchone()[0]
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096 + 8 : (root - 1) * 4096 + 40] = b"\xff" * 32
    path.write_bytes(content)

    with pytest.raises(StoreError, match=r"damaged.*julaba restore"):
        BackupFolder(tmp_path).make(NOW)
    assert names(tmp_path / "backups") == []


def test_what_the_disk_did_not_keep_is_noticed_before_it_is_called_a_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived_in(tmp_path, "old")
    real = sqlite_backup.to_disk

    def forgetful(path: Path) -> None:
        if path.name == "packed":
            os.truncate(path, path.stat().st_size // 2)
        real(path)

    monkeypatch.setattr(archive, "to_disk", forgetful)
    with pytest.raises(StoreError, match="damaged"):
        BackupFolder(tmp_path).make(NOW)
    assert names(tmp_path / "backups") == []


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    lived_in(tmp_path, "old")
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match=r"no backup could be written to .*file"):
        BackupFolder(tmp_path).make(NOW, out=tmp_path / "file" / "b.tar.gz")


def test_out_is_a_new_file_or_a_folder(tmp_path: Path) -> None:
    folder = BackupFolder(lived_in(tmp_path / "data", "old"))

    assert folder.make(NOW, out=tmp_path / "b.tar.gz").path == tmp_path / "b.tar.gz"
    assert folder.make(NOW, by_hand=True, out=tmp_path).path == tmp_path / "julaba-2026-11-21T143005Z-by-hand.tar.gz"
    with pytest.raises(StoreError, match="exists already"):
        folder.make(NOW, out=tmp_path / "b.tar.gz")


def test_the_newest_daily_ones_stay_and_nothing_else_is_ever_removed(tmp_path: Path) -> None:
    folder = BackupFolder(lived_in(tmp_path, "old"))
    others = [
        "julaba-2026-11-01T000000Z-by-hand.tar.gz",
        "julaba-old.tar.gz",
        "notes.txt",
        "before-migration-1-2.sqlite",
    ]
    made = [folder.make(NOW + timedelta(days=n)).path for n in range(4)]
    for name in others:
        (tmp_path / "backups" / name).write_text("mine")
    os.utime(made[0])  # a copy to another computer: the newest by its file's time, the oldest by its name
    folder.keep(2)

    assert names(tmp_path / "backups") == sorted([*others, made[2].name, made[3].name])
    assert folder.newest() == (made[3], NOW + timedelta(days=3))


def test_two_in_one_second_are_two(tmp_path: Path) -> None:
    folder = BackupFolder(lived_in(tmp_path, "old"))
    first, second = folder.make(NOW), folder.make(NOW)

    assert first.path != second.path
    folder.keep(1)
    assert names(tmp_path / "backups") == [second.path.name]


# Before a migration.


def of_form(number: int, path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger as an earlier version left it, with a pause in it."""
    with monkeypatch.context() as before, closing(sqlite3.connect(path, isolation_level=None)) as db:
        before.setattr(migrations, "MIGRATIONS", MIGRATIONS[:number])
        migrate(db)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("INSERT INTO controls VALUES ('paused', '\"by Ann\"')")
    return path


async def opened(path: Path) -> None:
    async with Database(path):
        pass


async def test_a_ledger_of_an_older_form_is_copied_before_it_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = of_form(2, tmp_path / "julaba.sqlite", monkeypatch)
    await opened(path)
    await opened(path)

    (copy,) = (tmp_path / "backups").iterdir()
    assert copy.name.startswith(f"before-migration-2-{len(MIGRATIONS)}-20")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert db.execute("SELECT value FROM controls").fetchall() == [('"by Ann"',)]


async def test_a_new_ledger_is_not_copied(tmp_path: Path) -> None:
    await opened(tmp_path / "julaba.sqlite")

    assert not (tmp_path / "backups").exists()


async def test_a_copy_that_fails_stops_the_migration_and_leaves_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = of_form(2, tmp_path / "julaba.sqlite", monkeypatch)
    (tmp_path / "backups").write_text("in the way")

    with pytest.raises(StoreError, match=r"from form 2 to \d+, and could not be copied first: .*nothing was changed"):
        await opened(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)


async def test_the_newest_five_copies_from_before_migrations_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "backups").mkdir()
    for day in range(1, 8):
        (tmp_path / "backups" / f"before-migration-1-2-2020-01-0{day}T000000Z.sqlite").write_text("")
    await opened(of_form(2, tmp_path / "julaba.sqlite", monkeypatch))
    kept = names(tmp_path / "backups")

    assert [name[-23:-15] for name in kept if "1-2-2020" in name] == ["20-01-04", "20-01-05", "20-01-06", "20-01-07"]
    assert len(kept) == 5


# What restore refuses.


def packed(path: Path, **files: bytes) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


MANIFEST = (
    b'{"format": %d, "made_at": "2026-11-21T14:30:05+00:00", "julaba": "9", "database_version": 1, "rows": {}, '
    b'"files": %s}'
)


def strange_files(folder: Path) -> list[tuple[Path, str]]:
    whole = BackupFolder(lived_in(folder / "other", "new")).make(NOW).path.read_bytes()
    cut, bent, text = folder / "cut", folder / "bent", folder / "text"
    cut.write_bytes(whole[: len(whole) - 300])
    bent.write_bytes(whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:])
    text.write_text("hello")
    songs = folder / "songs.sqlite"
    with closing(sqlite3.connect(songs)) as db:
        db.execute("CREATE TABLE songs (title)")
    newer = folder / "newer.sqlite"
    newer.write_bytes((folder / "other" / "julaba.sqlite").read_bytes())
    with closing(sqlite3.connect(newer)) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    return [
        (folder / "nowhere", "there is no file"),
        (folder, "there is no file"),
        (text, "no backup of Julaba"),
        (cut, "no backup of Julaba, or a damaged one"),
        (bent, "damaged"),
        (songs, "a database, but none of Julaba's"),
        (newer, "made by a newer Julaba"),
        (packed(folder / "a", other=b"x"), "no backup of Julaba"),
        (packed(folder / "b", **{"manifest.json": MANIFEST % (1, b"{}")}), "other files than a ledger"),
        (packed(folder / "c", **{"manifest.json": MANIFEST % (99, b"{}")}), "made by a newer Julaba"),
        (
            packed(
                folder / "d",
                **{
                    "manifest.json": MANIFEST % (1, b'{"julaba.sqlite": "", "models/../../evil": ""}'),
                    "models/../../evil": b"",
                },
            ),
            "other files than a ledger",
        ),
    ]


def test_what_is_no_whole_backup_of_this_or_an_older_version_changes_nothing(tmp_path: Path) -> None:
    here = lived_in(tmp_path / "here", "old")
    before = held(here), [*names(here), "julaba.lock"]
    for path, words in strange_files(tmp_path):
        with pytest.raises(StoreError, match=words):
            BackupFolder(here).restore(path, NOW)

        assert (held(here), sorted({*names(here), "julaba.lock"})) == (before[0], sorted(before[1])), path


def test_a_running_bot_is_not_restored_over(tmp_path: Path) -> None:
    here = lived_in(tmp_path / "here", "old")
    made = BackupFolder(here).make(NOW)
    with instance_lock(here), pytest.raises(StoreError, match=f"already running .*process {os.getpid()}"):
        BackupFolder(here).restore(made.path, NOW)
