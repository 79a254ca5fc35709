"""Rows as CSV: one way to write them, for exports and replays."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.services.whole_file import whole_file

_FORMULA = re.compile(r"\s*[=+\-@]")
_NUMBER = re.compile(r"[+-]?[0-9][0-9.]*(?:e[+-]?[0-9]+)?", re.IGNORECASE)


def write_rows(path: Path, rows: Sequence[Mapping[str, object]], columns: Sequence[str] = ()) -> None:
    """All rows' columns, ``columns`` first; None and NaN are empty, floats in full. Whole or not at all.

    Without rows the file still has ``columns`` as its header. A text that a spreadsheet would work out (``=1+1``: the
    audit has the words of strangers too) begins with an apostrophe there, as spreadsheets mark text. Raises OSError.
    """
    names = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    with whole_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            writer.writerow([_cell(row.get(name)) for name in names])


def _cell(value: object) -> object:
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return "" if value is None or (isinstance(value, float) and value != value) else value
