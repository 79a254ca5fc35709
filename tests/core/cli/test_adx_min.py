"""``--adx-min`` on ``backtest`` and ``pipeline``: said, kept out of the proof, and refused where it makes no sense."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from core.bootstrap import candle_store
from tests.core.cli.calling import answer, called, refused
from tests.markets import walk


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    candle_store(tmp_path / "data").save(walk(6000, seed=6))
    return tmp_path


def kinds(path: Path) -> Counter[str]:
    with path.open() as file:
        return Counter(row["kind"] for row in csv.DictReader(file))


def test_a_backtest_with_a_looser_filter_says_so_and_marks_its_rows(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = answer(capsys, "backtest", "--pairs", "LINK", "--signals-only")
    loose = answer(capsys, "backtest", "--pairs", "LINK", "--signals-only", "--adx-min", "20", "--out", "l.csv")

    assert (own["adx_min"], loose["adx_min"]) == (25, 20)
    assert loose["total"]["signals"] > own["total"]["signals"]
    found = kinds(shelf / "l.csv")
    assert found["signal"] == own["total"]["signals"]
    assert found["candidate"] > 0
    _, out, _ = called(capsys, "backtest", "--pairs", "LINK", "--signals-only", "--adx-min", "20")
    assert out.startswith("ADX filter loosened from 25 to 20, for this backtest only\n")


def test_a_pipeline_with_a_looser_filter_learns_from_more_and_proves_with_the_same(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = answer(capsys, "backtest", "--pairs", "LINK", "--signals-only")
    found = answer(capsys, "pipeline", "--offline", "--pairs", "LINK", "--adx-min", "20")

    assert found["adx_min"] == 20
    assert found["backtest"]["total"]["signals"] == own["total"]["signals"]
    table = kinds(shelf / "data" / "historical" / "backtest_training_data.csv")
    assert table["signal"] == own["total"]["signals"]
    assert table["candidate"] > 0


def test_what_makes_no_sense_is_refused(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, 2, "--adx-min 30 does not loosen", "backtest", "--adx-min", "30")
    refused(capsys, 2, "--adx-min 25 does not loosen", "pipeline", "--offline", "--adx-min", "25")
    refused(capsys, 2, "leave --adx-min out", "pipeline", "--offline", "--candidates", "--adx-min", "20")
    refused(capsys, 2, "invalid float value", "backtest", "--adx-min", "low")
