"""``julaba backup``, ``julaba restore`` and the doctor's line about them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.adapters.instance_lock import instance_lock
from core.services.doctor import backup_line
from tests.backups import held, lived_in
from tests.core.cli.calling import answer, called, refused

NOW = datetime(2026, 11, 21, 14, 30, tzinfo=UTC)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return lived_in(tmp_path / "data", "old")


def test_a_backup_says_what_was_written_how_large_and_that_it_was_checked(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with instance_lock(place):  # a bot runs
        code, out, _ = called(capsys, "backup")
    (made,) = (place / "backups").iterdir()

    assert code == 0
    assert made.name.endswith("Z-by-hand.tar.gz")
    assert f"data/backups/{made.name} written: {made.stat().st_size / 1e3:,.1f} kB, 0 decisions, " in out
    assert out.endswith("1 model; it was read back and is whole\n")


def test_a_backup_made_here_is_restored_there(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = answer(capsys, "backup", "--out", "b.tar.gz")
    assert made["rows"]["marks"] == 3
    assert made["bytes"] == Path("b.tar.gz").stat().st_size
    lived_in(place.with_name("there"), "new")
    done = answer(capsys, "restore", "b.tar.gz", "--data-dir", "there")

    assert held(place.with_name("there")) == held(place)
    assert held(Path(done["aside"]))[0][0] == ("new-0", "new")


def test_what_cannot_be_backed_up_or_restored_is_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("text").write_text("hello")
    answer(capsys, "backup", "--out", "b.tar.gz")
    refused(capsys, 1, "b.tar.gz exists already", "backup", "--out", "b.tar.gz")
    refused(capsys, 1, "nothing to back up", "backup", "--data-dir", "nowhere")
    refused(capsys, 1, "there is no file nowhere", "restore", "nowhere")
    refused(capsys, 1, "text is no backup of Julaba", "restore", "text")
    refused(capsys, 2, "required: FILE", "restore")
    with instance_lock(place):
        refused(capsys, 1, "stop it first, then restore", "restore", "b.tar.gz")


@pytest.mark.parametrize(
    ("hours", "state", "words"),
    [
        (None, "warn", "none yet"),
        (3, "ok", "the newest is b.tar.gz, 3 hours old"),
        (47, "ok", "47 hours old"),
        (49, "warn", "2 days old"),
        (-1, "ok", "0 hours old"),
    ],
)
def test_the_doctor_says_how_old_the_newest_is(hours: int | None, state: str, words: str) -> None:
    newest = None if hours is None else (Path("backups/b.tar.gz"), NOW - timedelta(hours=hours))
    line = backup_line(newest, ledger=True, keep=14, now=NOW)

    assert line.state == state
    assert words in line.found


def test_the_doctor_misses_no_backup_where_there_is_nothing_to_back_up() -> None:
    assert backup_line(None, ledger=False, keep=14, now=NOW).state == "ok"


def test_the_doctor_says_who_must_make_one_where_none_is_kept() -> None:
    line = backup_line((Path("b.tar.gz"), NOW - timedelta(days=9)), ledger=True, keep=0, now=NOW)

    assert "backup.keep is 0" in line.advice
