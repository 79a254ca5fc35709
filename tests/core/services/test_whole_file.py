"""Files that are there whole or not at all, and whose faults name the path that was given."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from core.services.whole_file import whole_file


def test_a_folder_is_named_as_given(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as error, whole_file(tmp_path):
        pytest.fail("there is nothing to write into")

    assert error.value.filename == str(tmp_path)
    assert not tmp_path.with_name(tmp_path.name + ".tmp").exists()


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()

    with pytest.raises(NotADirectoryError) as error, whole_file(tmp_path / "notes.txt" / "out.csv"):
        pytest.fail("there is nothing to write into")

    assert error.value.filename == str(tmp_path / "notes.txt")


def test_a_place_that_cannot_be_written_is_named_as_given(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("older")
    (tmp_path / "out.csv.tmp").mkdir()  # stands for whatever keeps the file beside it from being opened

    with pytest.raises(OSError, match=r"out\.csv'") as error, whole_file(path):
        pytest.fail("there is nothing to write into")

    assert error.value.filename == str(path)
    assert path.read_text() == "older"


def test_a_full_disk_names_the_file_and_keeps_the_older(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("older")

    with pytest.raises(OSError, match="No space left") as error, whole_file(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    assert error.value.filename == str(path)
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]
    assert path.read_text() == "older"
