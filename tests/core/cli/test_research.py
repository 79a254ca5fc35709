from __future__ import annotations

import csv
from pathlib import Path

import pytest

from core.bootstrap import candle_store
from core.domain.candles import Candles, Pair
from tests.core.cli.calling import answer, called, refused
from tests.markets import LINK, M15, START, walk

ETH = Pair.parse("ETH/USDT")


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with 3000 candles of LINK and 2000 of ETH; no settings file beside it."""
    monkeypatch.chdir(tmp_path)
    store = candle_store(tmp_path / "data")
    store.save(walk(3000, seed=6))
    eth = walk(2000, seed=7)
    store.save(Candles(ETH, M15, eth.time, eth.open, eth.high, eth.low, eth.close, eth.volume))
    return tmp_path


def test_indicators_writes_every_candle_in_range(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = answer(capsys, "indicators", "LINK/USDT", "--out", "i.csv", "--from", "2024-01-02", "--to", "2024-01-03")

    with (shelf / "i.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("timestamp", "open", "high", "low", "close", "volume", "sma_15", "sma_40", "rsi", "adx", "di_plus"),
        *("di_minus", "atr", "atr_percent", "volume_sma", "volume_ratio", "sma_distance_percent", "hurst", "regime"),
        *("hour", "day_of_week"),
    ]
    assert len(rows) == data["candles"] == 96
    assert rows[0]["timestamp"] == str(START + 96 * M15.ms)
    assert rows[0]["sma_40"] != ""
    assert float(rows[-1]["adx"]) == data["last"]["adx"]
    assert data["last"]["time"] == "2024-01-02T23:45:00Z"


def test_a_file_that_cannot_be_written_is_named_as_given(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = called(capsys, "indicators", "LINK", "--out", str(shelf))

    assert (code, out) == (1, "")
    assert err == f"error: Is a directory: {shelf}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("indicators", "XRP/USDT"), 1, "no 15m candles of XRP/USDT"),
        (("indicators", "??"), 2, "is not a pair"),
        (("indicators",), 2, "PAIR"),
    ],
)
def test_wrong_use_is_one_line(
    shelf: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, words: str
) -> None:
    refused(capsys, code, words, *arguments)


def test_indicators_without_history_are_empty_at_first(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = answer(
        capsys,
        *("indicators", "LINK/USDT", "--out", "i.csv", "--from", "2024-01-02", "--to", "2024-01-02T02:00"),
        *("--history", "none"),
    )

    with (shelf / "i.csv").open() as file:
        assert [row["adx"] for row in csv.DictReader(file)] == [""] * 8
    assert data["last"]["adx"] is None
    assert data["last"]["regime"] == "UNKNOWN"


def test_indicators_for_a_person_show_the_last_candle(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = called(capsys, "indicators", "LINK")

    assert code == 0
    assert out.startswith(f"{LINK} 15m, candle of 2024-02-01T05:45:00Z")
    assert "sma_distance_percent" in out


def test_what_is_not_known_yet_is_a_dash(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = called(
        capsys, *("indicators", "LINK/USDT", "--from", "2024-01-01", "--to", "2024-01-01T02:00", "--history", "none")
    )

    assert code == 0
    assert "nan" not in out
    assert [line.split() for line in out.splitlines() if "hurst" in line] == [["hurst", "-"]]
