"""Files that are there whole or not at all, and whose faults name the path that was given."""

from __future__ import annotations

import errno
import os
import threading
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


def test_a_pipe_is_written_into_and_stays_one(tmp_path: Path) -> None:
    """As /dev/null and /dev/stdout are: a file renamed to their name would be the end of them."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()

    with whole_file(path) as file:
        file.write("text")

    reader.join()
    assert read == ["text"]
    assert path.is_fifo()
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]


def test_a_device_is_written_into_and_its_fault_names_it() -> None:
    full = Path("/dev/full")
    if not full.is_char_device():
        pytest.skip("this machine has no /dev/full")

    with pytest.raises(OSError, match="No space left") as error, whole_file(full) as file:
        file.write("text")

    assert error.value.filename == "/dev/full"
    assert full.is_char_device()


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    link = tmp_path / "report.html"
    link.symlink_to(tmp_path / "kept" / "report.html")

    with whole_file(link) as file:
        file.write("text")

    assert link.is_symlink()
    assert (tmp_path / "kept" / "report.html").read_text() == "text"
