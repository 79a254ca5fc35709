"""One process per data directory, and a second one that says who is first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.adapters.instance_lock import instance_lock
from core.errors import StoreError

HOLD = """
import sys, time
from pathlib import Path
from core.adapters.instance_lock import instance_lock
from core.errors import StoreError
try:
    with instance_lock(Path(sys.argv[2])):
        print("held", flush=True)
        time.sleep(60)
except StoreError as error:
    print(error, flush=True)
"""


def start(folder: Path | str, command: str = "run", cwd: Path | None = None) -> subprocess.Popen[str]:
    environ = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    line = [sys.executable, "-c", HOLD, command, str(folder)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=cwd, env=environ)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def test_a_second_start_names_the_process_its_command_and_since_when(tmp_path: Path) -> None:
    first = start(tmp_path, "demo")
    assert said(first) == "held"
    second = start(tmp_path)
    try:
        words = said(second)
    finally:
        end(first, second)

    assert words.startswith(f"Julaba is already running in {tmp_path}: process {first.pid}, `julaba demo`, since ")
    assert words.endswith(" UTC; stop it first")


@pytest.mark.parametrize("way", ["symlink", "relative", "dots"])
def test_another_way_to_the_same_directory_is_the_same_directory(tmp_path: Path, way: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    paths: dict[str, Path | str] = {"symlink": tmp_path / "link", "relative": "data", "dots": folder / ".." / "data"}
    with instance_lock(folder):
        second = start(paths[way], cwd=tmp_path)
        assert f"process {os.getpid()}" in said(second)
        end(second)


def test_after_kill_nine_the_directory_is_free_and_the_dead_is_not_named(tmp_path: Path) -> None:
    first = start(tmp_path)
    assert said(first) == "held"
    end(first)
    with instance_lock(tmp_path):
        third = start(tmp_path)
        words = said(third)
        end(third)

    assert f"process {os.getpid()}" in words


def test_of_two_that_start_at_once_one_runs_and_the_other_names_it(tmp_path: Path) -> None:
    both = start(tmp_path), start(tmp_path)
    try:
        words = {process.pid: said(process) for process in both}
    finally:
        end(*both)
    (winner,) = [number for number, word in words.items() if word == "held"]
    (told,) = [word for word in words.values() if word != "held"]

    assert f"process {winner}" in told


def test_a_name_left_by_the_dead_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before it could say who it is, beside what an earlier one left."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.setattr("core.adapters.instance_lock._PATIENCE", 0.05)
    with instance_lock(tmp_path):
        (tmp_path / "julaba.pid").write_text(f"{ended.pid}\n2026-01-01T00:00:00+00:00\njulaba run\n")
        with pytest.raises(StoreError, match="process unknown"), instance_lock(tmp_path):
            pass


def test_the_lock_is_given_back(tmp_path: Path) -> None:
    for _ in range(2):
        with instance_lock(tmp_path):
            pass
    assert not (tmp_path / "julaba.pid").exists()
