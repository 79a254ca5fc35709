"""Calling the command line in this process, for tests of what it prints."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.cli import main


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    code = main(arguments)
    out, err = capsys.readouterr()
    return code, out, err


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The one JSON object of a command that succeeds."""
    code, out, _ = called(capsys, *arguments, "--json")
    assert code == 0
    assert out.count("\n") == 1
    found: dict[str, Any] = json.loads(out)
    return found


def refused(capsys: pytest.CaptureFixture[str], code: int, words: str, *arguments: str) -> None:
    """Holds that a command ends with ``code`` and says why in one line, with ``words`` in it, and nothing else."""
    found, out, err = called(capsys, *arguments)
    assert found == code
    assert out == ""
    assert err.startswith("error: ")
    assert words in err
    assert err.count("\n") == 1
