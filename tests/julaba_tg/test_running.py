"""The log below the data directory."""

from __future__ import annotations

import errno
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from julaba_tg.running import LogFile


def test_a_log_file_on_a_full_disk_costs_its_lines_and_floods_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = LogFile(tmp_path / "julaba.log")

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    record = logging.LogRecord("core.x", logging.WARNING, __file__, 1, "The disk is full", (), None)
    monkeypatch.setattr(handler, "flush", full)
    handler.emit(record)
    assert capsys.readouterr().err == ""

    handler.emit(logging.LogRecord("core.x", logging.WARNING, __file__, 1, "%d", ("no number",), None))
    assert "Logging error" in capsys.readouterr().err
    monkeypatch.undo()
    handler.close()


def test_the_interpreters_end_looks_through_nothing_any_more() -> None:
    """Collecting what two hundred megabytes of libraries leave behind took three seconds after "stopped"."""
    code = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 999)); import julaba_tg.cli as c; "
    ended = subprocess.run(
        [sys.executable, "-c", code + "c.main()", "--version"], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (0, "True")
