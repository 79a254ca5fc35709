"""``julaba sweep`` as a person calls it; also killed, stopped and called again."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from core.bootstrap import candle_store
from core.cli import main
from tests.core.cli.calling import answer, called, refused
from tests.core.services.sweep.shelf import candles
from tests.markets import real_folder

ROOT = Path(__file__).parents[3]
CONFIG = """
pairs: [{symbol: LINK/USDT}, {symbol: ETH/USDT}, {symbol: SOL/USDT}]
strategy: {adx_min: 24, volume_ratio_min: 0.5, max_bars: 60}
"""
SETS = ("--set", "adx_min=20:28:2", "--set", "stop_atr=1,2", "--windows", "2", "--jobs", "1")
MANY = (
    *("sweep", "--set", "adx_min=10:32:2", "--set", "stop_atr=1:2.25:0.25", "--set", "cooldown_bars=0,20,40,60"),
    *("--set", "rsi_long_max=55,100", "--windows", "2"),
)  # 576 settings, 29 parts


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pairs, forty days."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    store = candle_store(tmp_path / "data")
    for one in candles().values():
        store.save(one)
    return tmp_path


def test_one_object_with_both_sides_the_luck_and_the_walk(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = answer(capsys, "sweep", *SETS)

    best = data["best"]
    assert (data["settings"], len(best), data["found"], data["sort"]) == (10, 10, 0, "is")
    assert [b["is"]["sharpe"] for b in best] == sorted((b["is"]["sharpe"] for b in best), reverse=True)
    assert set(best[0]["values"]) == {"adx_min", "stop_atr"}
    assert set(best[0]["is"]) == set(best[0]["oos"]) >= {"trades", "realized_r", "realized_r_net", "deflated_sharpe"}
    assert all(0 <= b[side]["deflated_sharpe"] <= 1 for b in best for side in ("is", "oos"))
    assert data["configured"]["values"] == {"adx_min": 24, "stop_atr": 2}
    assert data["trials"]["is"]["distinct"] <= 10
    assert len(data["walk_forward"]["choices"]) == 2
    assert [(w["window"], w["segment"]) for w in data["windows"]] == [(1, "is"), (1, "oos"), (2, "is"), (2, "oos")]
    assert Path(data["results"]).exists()


def test_the_second_call_finds_everything_there_and_says_the_same(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = answer(capsys, "sweep", *SETS)
    code, out, err = called(capsys, "sweep", *SETS, "--json")

    assert code == 0
    assert "10 of 10 settings were there" in err
    assert json.loads(out) == {**first, "found": 10}


def test_a_person_reads_a_table_and_sentences(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = called(capsys, "sweep", *SETS)

    assert code == 0
    lines = out.splitlines()
    assert "in-sample, 28 days" in lines[2]
    assert "out-of-sample, 12 days" in lines[2]
    assert lines[3].split() == ["adx_min", "stop_atr", *(2 * ["|", *COLUMNS])]
    assert len({line.index("|") for line in (lines[2], lines[3], *lines[5:15])} | {lines[4].index("+")}) == 1
    assert sum(line.lstrip().startswith("*24 ") for line in lines) == 1
    assert "Without any skill the best of" in out
    assert "Walk-forward: the best in-sample of each window" in out
    assert "10 settings, 3 pairs, 40 days" in err


COLUMNS = ("trades", "gross", "net", "R/trade", "Sharpe", "DSR")


def test_the_configured_setting_is_shown_also_where_it_is_not_among_the_best(
    shelf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    more = (*SETS, "--sort", "oos")
    best = answer(capsys, "sweep", *more)["best"]
    sharpe = [b["oos"]["sharpe"] for b in best]
    rank = [b["configured"] for b in best].index(True)
    assert sharpe == sorted(sharpe, reverse=True)
    assert rank > 0

    monkeypatch.setattr("core.cli.sweep_words.SHOWN", rank)
    _, out, _ = called(capsys, "sweep", *more)

    assert out.splitlines()[5 + rank].lstrip().startswith("*24 ")
    assert len(answer(capsys, "sweep", *more)["best"]) == rank


@pytest.mark.parametrize("wider", [("--days", "400"), ("--from", "2023-01-01", "--to", "2025-01-01")])
def test_windows_lie_where_candles_are(shelf: Path, capsys: pytest.CaptureFixture[str], wider: tuple[str, ...]) -> None:
    """Asking for more than is stored changes nothing: there is no window of empty months."""
    assert answer(capsys, "sweep", *SETS, *wider)["windows"] == answer(capsys, "sweep", *SETS)["windows"]


def test_a_range_is_what_was_asked(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = answer(capsys, "sweep", *SETS, "--to", "2024-02-05", "--days", "30")

    assert (data["from"], data["to"]) == ("2024-01-06T00:00:00Z", "2024-02-05T00:00:00Z")


def test_without_a_grid_one_is_taken_and_named(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, err = called(capsys, "sweep", "--pairs", "LINK", "--windows", "2", "--random", "12", "--jobs", "1")

    assert "no --set: trying adx_min=20,22.5,25" in err
    assert "12 settings of 180, 1 pair," in err


def test_rows_and_a_picture_where_they_are_wanted(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = answer(capsys, "sweep", *SETS, "--out", "deep/rows.parquet", "--png", "deep/map.png")

    png = (shelf / "deep/map.png").read_bytes()
    assert pq.read_table(shelf / "deep/rows.parquet").num_rows == 10 * 3 * 4
    assert struct.unpack(">II", png[16:24]) == (1080, 1080)
    assert data["png"] == "deep/map.png"


def test_nobody_trades_and_it_says_so(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = called(capsys, "sweep", "--set", "adx_min=98,99", "--jobs", "1", "--png", "map.png")

    assert code == 0
    assert "No setting traded in-sample." in out
    assert "no picture: nothing was traded" in err
    assert answer(capsys, "sweep", "--set", "adx_min=98,99", "--jobs", "1")["agreement"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--set", "adx=1"), 2, "there is no setting 'adx'"),
        (("--set", "adx_min=200"), 2, "adx_min: 200 cannot be"),
        (("--windows", "30"), 2, "take fewer --windows"),
        (("--windows", "0"), 2, "'0' is not a whole number"),
        (("--train-share", "1"), 2, "must be a share from 0.1 to 0.9"),
        (("--train-share", "x"), 2, "must be a share"),
        (("--random", "-3"), 2, "whole number"),
        (("--days", "3", "--from", "2024-01-01"), 2, "--days and --from"),
        (("--from", "2024-01-02", "--to", "2024-01-01"), 2, "must lie after"),
        (("--jobs", "2", "--dask", "tcp://127.0.0.1:1"), 2, "--jobs is for this machine"),
        (("--axes", "max_bars", "--set", "adx_min=1,2"), 2, "max_bars was not varied"),
        (("--axes", "adx_min,adx_min", "--set", "adx_min=1,2"), 2, "must name two settings"),
        (("--pairs", "XRP"), 1, "no 15m candles of XRP/USDT stored"),
        (("--from", "2030-01-01"), 1, "from 2030-01-01T00:00:00Z; get them"),
    ],
)
def test_wrong_use_is_one_line_and_nothing_is_begun(
    shelf: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, words: str
) -> None:
    refused(capsys, code, words, "sweep", *arguments)
    assert not (shelf / "data/sweeps").exists()


def test_the_help_says_how_the_windows_lie(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sweep", "--help"])

    said = " ".join(capsys.readouterr().out.split())
    assert "windows one after the other, each an in-sample part and the out-of-sample part behind it" in said
    assert "goes on where it stopped" in said


def started(folder: Path, arguments: Sequence[str]) -> subprocess.Popen[str]:
    """The real command in a process group of its own, telling of each part."""
    return subprocess.Popen(
        [sys.executable, "-c", "from julaba_tg.cli import main; main()", *arguments, "--verbose"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if words in line:
            return
    raise AssertionError("".join(seen))


def results(folder: Path) -> str:
    (found,) = (folder / "data/sweeps").glob("*/results.parquet")
    return hashlib.sha256(found.read_bytes()).hexdigest()


def test_killed_in_the_middle_it_goes_on_and_the_result_is_the_same(
    shelf: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    straight = tmp_path_factory.mktemp("straight")
    without = answer(capsys, *MANY, "--jobs", "1", "--out", str(straight / "rows.parquet"))
    for found in (shelf / "data/sweeps").rglob("*.parquet"):
        found.unlink()

    with started(shelf, [*MANY, "--jobs", "2"]) as process:
        wait_for(process, " 100 of 576 settings done")
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not list((shelf / "data/sweeps").glob("*/results.parquet"))

    code, out, err = called(capsys, *MANY, "--jobs", "1", "--json")
    again = json.loads(out)

    assert code == 0
    assert 100 <= again["found"] < 576
    assert f"{again['found']} of 576 settings were there" in err
    assert results(shelf) == hashlib.sha256((straight / "rows.parquet").read_bytes()).hexdigest()
    assert again == {**without, "found": again["found"]}


def test_one_ctrl_c_ends_all_of_it_and_keeps_what_is_done(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with started(shelf, [*MANY, "--jobs", "2"]) as process:
        wait_for(process, " 60 of 576 settings done")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it: to the workers too
        out, err = process.communicate(timeout=60)  # returns when nobody holds its stderr: the workers are gone too

    assert (process.returncode, out) == (130, "")
    said = [line for line in err.splitlines() if " INFO " not in line]
    assert said == ["stopped"]
    assert answer(capsys, *MANY, "--jobs", "1")["found"] >= 60


@pytest.mark.real
def test_a_thousand_settings_on_five_pairs_and_two_years_survive_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    symbols = ("LINK", "ETH", "SOL", "AVAX", "MATIC")
    paths = [str(real_folder() / f"{symbol}USDT-15m.csv.gz") for symbol in symbols]
    monkeypatch.chdir(tmp_path)
    assert called(capsys, "candles", "import", *paths)[0] == 0
    big = (
        *("sweep", "--pairs", ",".join(symbols), "--days", "730", "--jobs", "2"),
        *("--set", "adx_min=15:33:2", "--set", "rsi_long_max=60:80:5"),
        *("--set", "volume_ratio_min=0.5,0.75,1,1.25", "--set", "stop_atr=1.5:3.5:0.5"),
    )
    with started(tmp_path, big) as process:
        wait_for(process, " 200 of 1000 settings done")
        process.kill()
        process.communicate()
    resumed = answer(capsys, *big)
    killed = results(tmp_path)
    for path in (tmp_path / "data/sweeps").rglob("*.parquet"):
        path.unlink()
    straight = answer(capsys, *big)

    assert 200 <= resumed["found"] < 1000
    assert straight == {**resumed, "found": 0}
    assert results(tmp_path) == killed
    assert (straight["settings"], len(straight["pairs"])) == (1000, 5)
