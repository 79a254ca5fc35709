"""``julaba replay`` as a person calls it: one object, one file, one line for what went wrong."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from core.bootstrap import candle_store
from core.cli import main
from core.domain.candles import Pair
from core.ml.dataset import from_table
from core.services.records import LEDGER_COLUMNS
from tests.core.cli.calling import answer, called, refused
from tests.markets import walk

LOOSE = """
pairs: [{symbol: LINK/USDT, risk: 0.5}, {symbol: ETH/USDT}]
strategy: {adx_min: 10, volume_ratio_min: 0, rsi_long_max: 100, rsi_short_min: 0}
rules: {alignment: veto, alignment_timeframes: ["1h"]}
"""
RANGE = ("--from", "2024-01-06", "--to", "2024-01-14")


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """1500 candles of LINK, ETH and BTC, 600 of SOL, and settings under which they trade."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(LOOSE)
    store = candle_store(tmp_path / "data")
    for number, (name, rows) in enumerate({"LINK": 1500, "ETH": 1500, "SOL": 600, "BTC": 1500}.items()):
        store.save(replace(walk(rows, seed=3 + number), pair=Pair.parse(name)))
    return tmp_path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_one_object_and_every_closed_trade_in_the_file(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = answer(capsys, "replay", *RANGE, "--out", "out/trades.csv")

    rows = rows_of(shelf / "out/trades.csv")
    assert set(data) >= {"trades", "open", "refused", "refusals", "equity", "from", "to", "layers"}
    assert data["trades"] == len(rows) > 0
    assert data["refused"] == sum(data["refusals"].values()) > 0
    assert tuple(rows[0]) == LEDGER_COLUMNS
    assert all(row["exit_reason"] and row["trade_id"] and row["realized_r"] for row in rows)
    assert all("2024-01-06" <= row["timestamp"] < "2024-01-14" for row in rows)


def test_the_file_is_history_and_named_as_in_the_backtest(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer(capsys, "replay", *RANGE, "--layers", "none", "--out", "replay.csv")
    answer(capsys, "backtest", *RANGE, "--out", "backtest.csv")

    names = {(row["symbol"], row["timestamp"]): row["signal_id"] for row in rows_of(shelf / "backtest.csv")}
    rows = rows_of(shelf / "replay.csv")
    both = [row for row in rows if (row["symbol"], row["timestamp"]) in names]
    assert both
    assert all(row["signal_id"] == names[row["symbol"], row["timestamp"]] for row in both)
    assert {(row["source"], row["sample_weight"]) for row in rows} == {("backtest", "0.3")}
    assert from_table(pd.read_csv(shelf / "replay.csv")).counts() == {"backtest": len(rows)}


def test_a_pause_by_the_drawdown_limit_says_since_when(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "replay", *RANGE)["paused_since"] is None

    with (shelf / "config.yaml").open("a") as file:
        file.write("portfolio: {drawdown_warn: 0.0001, drawdown_pause: 0.0001}\n")
    found = answer(capsys, "replay", *RANGE)
    assert "2024-01-06T" < found["paused_since"] < "2024-01-14T"
    assert answer(capsys, "replay", *RANGE, "--layers", "none")["paused_since"] is None

    _, out, _ = called(capsys, "replay", *RANGE)
    assert f"entries paused by the drawdown limit since {found['paused_since']}" in out


def test_it_says_that_neither_gemini_nor_the_model_is_asked(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = called(capsys, "replay", *RANGE)
    assert "asked neither Gemini nor the model, which has learned from these candles" in out

    with pytest.raises(SystemExit):
        main(["replay", "--help"])
    assert "asks neither Gemini" in " ".join(capsys.readouterr().out.split())


def test_every_refusal_can_be_read_afterwards(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = answer(capsys, "replay", *RANGE)
    exported = answer(capsys, "export", "decisions", "--ledger", "data/replay/julaba.sqlite", "--out", "d.csv")

    rows = rows_of(shelf / "d.csv")
    refused = [row for row in rows if row["status"] == "refused"]
    assert exported["rows"] == len(rows)
    assert len(refused) == data["refused"]
    for row in refused:
        assert f"refuse: {row['reason']}" in row.values()


def test_the_bare_strategy_refuses_nothing(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = answer(capsys, "replay", *RANGE, "--layers", "none")
    assert (data["refused"], data["refusals"], data["layers"]) == (0, {}, "none")


def test_a_second_replay_begins_anew_and_ends_the_same(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "replay", *RANGE) == answer(capsys, "replay", *RANGE)


def test_a_file_without_trades_still_has_its_columns(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = answer(capsys, "replay", "--from", "2024-01-06", "--to", "2024-01-06T00:15", "--out", "t.csv")

    assert data["trades"] == 0
    assert (shelf / "t.csv").read_text() == ",".join(LEDGER_COLUMNS) + "\n"


def test_days_end_at_the_last_candle_of_the_pairs(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = answer(capsys, "replay", "--pairs", "SOL/USDT", "--days", "2")
    assert (data["from"], data["to"]) == ("2024-01-05T06:00:00Z", "2024-01-07T06:00:00Z")


def test_a_person_reads_sentences_and_warnings_go_beside(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = called(capsys, "replay", "--pairs", "LINK,XRP", *RANGE)

    assert code == 0
    assert out.startswith("2024-01-06T00:00:00Z to 2024-01-14T00:00:00Z\ntrades ")
    assert "warning: XRP/USDT has no 15m candles stored and is left out" in err
    assert "julaba export decisions --ledger" in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--pairs", "XRP"), 1, "no 15m candles of XRP/USDT stored"),
        (("--pairs", "??"), 2, "is not a pair"),
        (("--pairs", ""), 2, "names no pair"),
        (("--pairs", " , "), 2, "names no pair"),
        (("--from", "2030-01-01"), 1, "no 15m candles of LINK/USDT, ETH/USDT from 2030-01-01T00:00:00Z"),
        (("--pairs", "SOL", "--from", "2024-01-10"), 1, "no 15m candles of SOL/USDT from 2024-01-10"),
        (("--to", "2020-01-01"), 1, "no 15m candles of"),
        (("--days", "5", "--from", "2024-01-01"), 2, "--days and --from"),
        (("--from", "2024-01-02", "--to", "2024-01-01"), 2, "must lie after"),
        (("--layers", "some"), 2, "--layers"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_the_last_ledger(
    shelf: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, words: str
) -> None:
    ledger = shelf / "data/replay/julaba.sqlite"
    ledger.parent.mkdir()
    ledger.write_bytes(b"the last one")
    refused(capsys, code, words, "replay", *arguments)
    assert ledger.read_bytes() == b"the last one"
