from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from core.bootstrap import candle_store
from core.domain.candles import Candles, Pair
from tests.core.cli.calling import answer, called
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


def test_backtest_prints_a_table_and_warns_of_pairs_without_candles(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = called(capsys, "backtest")

    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("2024-01-01T00:00:00Z to ")
    assert [line.split()[0] for line in lines if "USDT" in line] == ["LINK/USDT", "ETH/USDT"]
    assert len({len(line) for line in lines[2:8]}) == 1
    assert [line for line in err.splitlines() if "SOL/USDT" in line] == [
        "warning: SOL/USDT has no 15m candles stored and is left out"
    ]


def test_backtest_names_what_is_stored_and_not_taken(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("MATIC", "XRP", "BTC"):
        candle_store(shelf / "data").save(replace(walk(300, seed=8), pair=Pair.parse(name)))

    _, _, err = called(capsys, "backtest")
    assert (
        "warning: POL/USDT has no 15m candles stored and is left out; MATIC/USDT is stored, its former name: "
        "take it with --pairs MATIC/USDT"
    ) in err.splitlines()
    assert "warning: stored but not configured, so left out: XRP/USDT (--pairs takes them)" in err.splitlines()
    assert err.count("MATIC/USDT is stored") == err.count("XRP/USDT") == 1

    _, _, err = called(capsys, "backtest", "--pairs", "LINK")
    assert "warning" not in err


@pytest.mark.parametrize("command", ["backtest", "indicators"])
def test_a_file_that_cannot_be_written_is_named_as_given(
    shelf: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    words = ["indicators", "LINK"] if command == "indicators" else ["backtest", "--pairs", "LINK"]

    code, out, err = called(capsys, *words, "--out", str(shelf))
    assert (code, out) == (1, "")
    assert err == f"error: Is a directory: {shelf}\n"


def test_backtest_writes_the_training_data_and_one_object(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = answer(capsys, "backtest", "--pairs", "LINK/USDT,ETHUSDT", "--out", "out/data.csv")

    with (shelf / "out/data.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert set(data) >= {"pairs", "total", "from", "to", "ambiguous_share"}
    assert set(data["pairs"]) == {"LINK/USDT", "ETH/USDT"}
    assert data["total"]["signals"] == len(rows) > 0
    assert set(data["pairs"]["LINK/USDT"]) >= {"signals", "wins", "win_rate", "realized_r", "profit_factor"}


def test_candidates_are_more_rows_and_a_second_table(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signals = answer(capsys, "backtest", "--pairs", "LINK")
    everything = answer(capsys, "backtest", "--pairs", "LINK", "--candidates")
    _, out, _ = called(capsys, "backtest", "--pairs", "LINK", "--candidates")

    assert everything["total"]["signals"] == signals["total"]["signals"]
    assert everything["total"]["candidates"]["count"] > signals["total"]["signals"]
    assert "candidates" in out


def test_days_end_at_the_last_candle_or_at_to(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = answer(capsys, "backtest", "--pairs", "LINK", "--days", "10")
    before = answer(capsys, "backtest", "--pairs", "LINK", "--days", "10", "--to", "2024-01-21")

    assert (last["from"], last["to"]) == ("2024-01-22T06:00:00Z", "2024-02-01T06:00:00Z")
    assert (before["from"], before["to"]) == ("2024-01-11T00:00:00Z", "2024-01-21T00:00:00Z")


def test_history_none_begins_cold(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for history, first in (("none", "2024-01-11T12:30:00Z"), ("all", "2024-01-11T00:00:00Z")):
        answer(
            capsys,
            *("backtest", "--pairs", "LINK", "--candidates", "--from", "2024-01-11"),
            *("--history", history, "--out", "data.csv"),
        )
        with (shelf / "data.csv").open() as file:
            entries = [row["timestamp"] for row in csv.DictReader(file)]
        assert min(entries) >= first
        assert (min(entries) < "2024-01-11T12:30:00Z") == (history == "all")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("backtest", "--pairs", "XRP"), 1, "no 15m candles of XRP/USDT stored"),
        (("backtest", "--from", "2030-01-01"), 1, "in this range"),
        (("backtest", "--pairs", "LINK", "--timeframe", "5m"), 1, "no 5m candles of LINK/USDT"),
        (("backtest", "--days", "5", "--from", "2024-01-01"), 2, "--days and --from"),
        (("backtest", "--from", "2024-01-02", "--to", "2024-01-01"), 2, "must lie after"),
        (("backtest", "--pairs", "LINK/"), 2, "is not a pair"),
        (("backtest", "--history", "some"), 2, "--history"),
        (("indicators", "XRP/USDT"), 1, "no 15m candles of XRP/USDT"),
        (("indicators", "??"), 2, "is not a pair"),
        (("indicators",), 2, "PAIR"),
    ],
)
def test_wrong_use_is_one_line(
    shelf: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, words: str
) -> None:
    found, out, err = called(capsys, *arguments)

    assert found == code
    assert out == ""
    assert err.startswith("error: ")
    assert words in err
    assert err.count("\n") == 1


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
