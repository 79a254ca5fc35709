from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.bootstrap import candle_store
from core.domain.candles import Candles, Pair, Timeframe
from tests.core.cli.calling import answer, called, refused
from tests.markets import M15, walk

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


def test_a_file_that_cannot_be_written_is_named_as_given(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = called(capsys, "backtest", "--pairs", "LINK", "--out", str(shelf))

    assert (code, out) == (1, "")
    assert err == f"error: Is a directory: {shelf}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("backtest", "--pairs", "XRP"), 1, "no 15m candles of XRP/USDT stored"),
        (("backtest", "--from", "2030-01-01"), 1, "from 2030-01-01T00:00:00Z; get them"),
        (("backtest", "--pairs", "LINK", "--timeframe", "5m"), 1, "no 5m candles of LINK/USDT"),
        (("backtest", "--days", "5", "--from", "2024-01-01"), 2, "--days and --from"),
        (("backtest", "--from", "2024-01-02", "--to", "2024-01-01"), 2, "must lie after"),
        (("backtest", "--pairs", "LINK/"), 2, "is not a pair"),
        (("backtest", "--history", "some"), 2, "--history"),
        (("backtest", "--by", "weekday"), 2, "--by"),
    ],
)
def test_wrong_use_is_one_line(
    shelf: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, words: str
) -> None:
    refused(capsys, code, words, *arguments)


def test_the_account_stands_below_the_signals(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = answer(capsys, "backtest")
    _, out, err = called(capsys, "backtest")

    figures = data["portfolio"]
    assert figures["trades"] + figures["open"] + figures["refused"] > 0
    assert figures["equity"] == pytest.approx(10_000 + figures["pnl"], abs=1e-6) or figures["open"]
    assert set(figures["by"]) == {"pair", "regime", "hour", "month"}
    assert figures["target_first"]["trades"] >= 0
    assert figures["benchmark"]["drawdown"]["share"] > 0
    assert "hold the basket" in out
    assert "warning: no BTC/USDT candles: the BTC check will say that it cannot tell" in err.splitlines()
    assert max(len(line) for line in out.splitlines()) <= 100


def test_the_account_can_be_left_out(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = answer(capsys, "backtest", "--signals-only")
    _, out, err = called(capsys, "backtest", "--signals-only", "--by", "hour")

    assert data["portfolio"] is None
    assert data["by"]["hour"]
    assert "account" not in out
    assert "BTC" not in err
    assert sum(f["signals"] for f in data["by"]["hour"].values()) == data["total"]["signals"]


def test_tables_by_regime_hour_and_month_are_there_when_asked_for(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, plain, _ = called(capsys, "backtest")
    _, by_month, _ = called(capsys, "backtest", "--by", "month")
    _, details, _ = called(capsys, "backtest", "--details")

    assert "2024-01  " not in plain
    assert "2024-01  " in by_month
    assert details.startswith(plain.rstrip())
    assert [line.split()[0] for line in details.splitlines() if "P&L net, $" in line] == ["regime", "hour", "month"]
    assert max(len(line) for line in details.splitlines()) <= 100


def test_stored_smaller_candles_tell_the_order_inside_a_candle(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wild = wide(walk(3000, seed=6))
    candle_store(shelf / "data").save(wild)
    (shelf / "config.yaml").write_text("detail_timeframe: 5m")
    before = answer(capsys, "backtest", "--pairs", "LINK", "--signals-only")["total"]
    candle_store(shelf / "data").save(thirds(wild))

    data = answer(capsys, "backtest", "--pairs", "LINK", "--candidates")
    _, out, _ = called(capsys, "backtest", "--pairs", "LINK")

    total = data["total"]
    assert before["decided"] == 0
    assert total["ambiguous_share"] == before["ambiguous_share"] > 0
    assert total["decided"] == round(total["ambiguous_share"] * total["signals"])
    assert total["realized_r"] > before["realized_r"]
    assert data["target_first"]["realized_r"] == total["realized_r"]
    assert f"unless 5m candles tell ({total['decided']} told)" in out


def wide(candles: Candles) -> Candles:
    """Every thirtieth candle reaches far to both sides."""
    reach = np.where(np.arange(len(candles)) % 30 == 0, 0.06, 0.0) * candles.close
    return replace(candles, high=candles.high + reach, low=candles.low - reach)


def thirds(candles: Candles) -> Candles:
    """5m candles that reach the high in the first and the low in the last of the three."""
    frame = Timeframe.parse("5m")
    time = (candles.time[:, None] + np.arange(3) * frame.ms).ravel()
    middle = (candles.open + candles.close) / 2
    opened = np.stack([candles.open, middle, middle], axis=1)
    close = np.stack([middle, middle, candles.close], axis=1)
    high, low = np.maximum(opened, close), np.minimum(opened, close)
    high[:, 0], low[:, 2] = candles.high, candles.low
    columns = (opened, high, low, close, np.ones_like(opened))
    return Candles(candles.pair, frame, time, *(column.ravel() for column in columns))


def test_what_a_backtest_does_not_use_is_not_loaded(shelf: Path) -> None:
    script = (
        "import sys\n"
        "from core.cli import main\n"
        "assert main(['backtest', '--pairs', 'LINK', '--details', '--out', 'b.csv']) == 0\n"
        "heavy = 'pandas', 'matplotlib', 'asyncio', 'tqdm', 'xgboost', 'scipy', 'ccxt', 'aiosqlite', 'joblib'\n"
        "print('LOADED', [name for name in heavy if name in sys.modules])\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=shelf, capture_output=True, text=True, check=True, env=environ
    )

    assert done.stdout.splitlines()[-1] == "LOADED []"
