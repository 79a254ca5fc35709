"""A restore killed at any moment leaves the old state or the new one, and never a mixture."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.adapters.backup_folder import BackupFolder
from core.adapters.instance_lock import instance_lock
from tests.backups import held, lived_in

NOW = datetime(2026, 11, 21, 14, 30, 5, tzinfo=UTC)

KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path

left = int(sys.argv[3])
def dying(real):
    def call(*args, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **options)
    return call

from core.adapters.backup_folder import BackupFolder
from core.adapters import restoring
restoring.to_disk = dying(restoring.to_disk)
for name in ("rename", "rmdir", "unlink", "mkdir"):
    setattr(os, name, dying(getattr(os, name)))
BackupFolder(Path(sys.argv[1])).restore(Path(sys.argv[2]), datetime.now(UTC))
print("through", flush=True)
"""


def killed_bot(folder: Path, word: str) -> Path:
    """As a bot leaves it that was killed: the newest commits are in the -wal alone."""
    with closing(sqlite3.connect(lived_in(folder / "alive", word) / "julaba.sqlite")) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("INSERT INTO marks VALUES ('newest', 'in the wal')")
        db.commit()
        shutil.copytree(folder / "alive", folder / "dead")
    assert (folder / "dead" / "julaba.sqlite-wal").stat().st_size > 0
    return folder / "dead"


def test_what_was_there_is_moved_aside_whole_with_what_its_wal_still_held(tmp_path: Path) -> None:
    new = BackupFolder(lived_in(tmp_path / "other", "new")).make(NOW)
    here = killed_bot(tmp_path / "here", "old")
    (here / "candles").mkdir()
    done = BackupFolder(here).restore(new.path, NOW)

    assert held(here) == held(tmp_path / "other")
    assert done.aside == here / "replaced-2026-11-21T143005Z"
    assert ("newest", "in the wal") in held(done.aside)[0]
    left = {"candles", "julaba.lock", "julaba.sqlite", "models", done.aside.name}
    assert {p.name for p in here.iterdir()} == left


def test_a_copy_from_before_a_migration_brings_the_ledger_and_leaves_the_models(tmp_path: Path) -> None:
    single = lived_in(tmp_path / "other", "new") / "julaba.sqlite"
    here = lived_in(tmp_path / "here", "old")
    models = held(here)[1]
    done = BackupFolder(here).restore(single, NOW)

    assert done.backup is None
    assert held(here) == (held(tmp_path / "other")[0], models)


def restored_until(step: int, here: Path, source: Path) -> int:
    """The exit code of a restore that is killed before its ``step``-th change to a folder or wait for the disk."""
    return subprocess.run(
        [sys.executable, "-c", KILLED, str(here), str(source), str(step)],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        stdout=subprocess.PIPE,
        check=False,
    ).returncode


@pytest.mark.parametrize("step", [3, 6, 12, 13, 15, 16, 17, 19, 20, 21, 22, 24, 26])
def test_killed_at_any_step_it_is_the_old_state_or_at_the_next_start_the_new(tmp_path: Path, step: int) -> None:
    new = BackupFolder(lived_in(tmp_path / "other", "new")).make(NOW)
    here = killed_bot(tmp_path / "here", "old")
    old, wanted = held(here.with_name("alive")), held(tmp_path / "other")

    assert restored_until(step, here, new.path) == -signal.SIGKILL
    with instance_lock(here):  # the next start
        found, aside = held(here), list(here.glob("replaced-*"))
    assert found in (old, wanted)
    assert [held(folder) for folder in aside] == ([old] if found == wanted else [])
    assert not (here / "restoring").exists()


def test_after_a_restore_that_never_began_the_next_one_does_all(tmp_path: Path) -> None:
    new = BackupFolder(lived_in(tmp_path / "other", "new")).make(NOW)
    here = lived_in(tmp_path / "here", "old")
    restored_until(9, here, new.path)
    assert list(here.glob(".restore-*"))
    BackupFolder(here).restore(new.path, NOW)

    assert held(here) == held(tmp_path / "other")
    assert not list(here.glob(".restore-*"))
