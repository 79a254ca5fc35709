"""A known trouble is a line or two in the log, a surprise the whole of its traceback."""

from __future__ import annotations

import logging
import sys

from core.errors import StoreError
from core.log_lines import LogLines


def written(error: Exception) -> str:
    try:
        try:
            raise OSError(28, "No space left on device")
        except OSError as reason:
            raise error from reason
    except Exception:
        record = logging.LogRecord("core.x", logging.ERROR, __file__, 1, "trading broke off", (), sys.exc_info())
    return LogLines().format(record)


def test_a_trouble_raised_on_purpose_is_its_sentence_and_where_it_came_from() -> None:
    first, second = written(StoreError("The disk is full")).splitlines()

    assert first.endswith("ERROR core.x: trading broke off")
    assert second.startswith("StoreError: The disk is full (test_log_lines.py:")


def test_a_surprise_keeps_its_whole_traceback() -> None:
    text = written(KeyError("close"))

    assert "Traceback (most recent call last)" in text
    assert "No space left on device" in text
    assert text.endswith("KeyError: 'close'")
