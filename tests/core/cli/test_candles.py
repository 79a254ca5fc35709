"""``fetch`` and ``candles`` as a person types them: the answer, the exit code, what lies on disk afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.adapters.candle_files import CandleFiles
from core.cli import main
from core.domain.candles import Pair, Timeframe
from tests.fakes.mexc import DAY, START, FakeMexc, InThread, broken, candles_of, refused

LINK, ETH = Pair("LINK", "USDT"), Pair("ETH", "USDT")
M15 = Timeframe.parse("15m")
STEP = M15.ms


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def mexc(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMexc]:
    with InThread(FakeMexc()) as server:
        monkeypatch.setenv("JULABA__EXCHANGE__BASE_URL", server.url)
        monkeypatch.setenv("JULABA__EXCHANGE__RATE_LIMIT_MS", "0")
        yield server


@pytest.fixture
def store() -> CandleFiles:
    return CandleFiles(Path("data/candles"))


def one_object(out: str) -> Any:
    assert out.count("\n") == 1
    return json.loads(out)


def one_error(err: str) -> str:
    (sentence,) = [line for line in err.splitlines() if line.startswith("error: ")]
    return sentence


def test_fetch_brings_the_days_asked_for(
    mexc: FakeMexc, store: CandleFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "--pairs", "LINK/USDT,eth", "--days", "9", "--json"]) == 0

    captured = capsys.readouterr()
    answer = one_object(captured.out)
    assert answer["pairs"]["LINK/USDT"] == {
        "new": 864,
        "candles": 864,
        "missing": 0,
        "first": "2024-01-02T00:00:00Z",
        "last": "2024-01-10T23:45:00Z",
    }
    assert set(answer["pairs"]) == {"LINK/USDT", "ETH/USDT"}
    assert list(store.load(LINK, M15)) == list(candles_of(LINK, M15, START + DAY, START + 10 * DAY))
    assert sorted(captured.err.splitlines()) == ["ETH/USDT: 864 new candles", "LINK/USDT: 864 new candles"]


def test_fetching_again_asks_for_no_candles(mexc: FakeMexc, capsys: pytest.CaptureFixture[str]) -> None:
    main(["fetch", "--pairs", "LINK", "--days", "3"])
    asked = len(mexc.asked("klines"))
    mexc.now += 2 * STEP

    assert main(["fetch", "--pairs", "LINK", "--days", "3"]) == 0

    assert len(mexc.asked("klines")) == asked + 1
    assert "LINK/USDT    2 new" in capsys.readouterr().out


def test_fetch_takes_a_range_and_a_timeframe(mexc: FakeMexc, store: CandleFiles) -> None:
    words = ["--from", "2024-01-02", "--to", "2024-01-03T12:00Z", "--timeframe", "1h"]
    assert main(["fetch", "--pairs", "LINK", *words]) == 0

    hour = Timeframe.parse("1h")
    assert list(store.load(LINK, hour)) == list(candles_of(LINK, hour, START + DAY, START + 2 * DAY + DAY // 2))


def test_fetch_brings_all_configured_pairs_and_the_reference(mexc: FakeMexc, store: CandleFiles) -> None:
    mexc.symbols |= {"SOLUSDT": "1", "AVAXUSDT": "1"}

    assert main(["fetch", "--days", "1"]) == 0

    assert {p.base for p in store.pairs(M15)} == {"LINK", "ETH", "SOL", "AVAX", "POL", "BTC"}


def test_an_unknown_pair_names_its_successor_and_nothing_is_written(
    mexc: FakeMexc, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "--pairs", "MATIC/USDT", "--days", "1", "--json"]) == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert one_error(captured.err) == (
        "error: MATIC/USDT is not listed by the exchange; its likely successor is POL/USDT"
    )
    assert not Path("data").exists()


def test_with_an_unknown_pair_the_others_are_fetched(
    mexc: FakeMexc, store: CandleFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "--pairs", "MATIC,LINK", "--days", "1", "--json"]) == 1

    captured = capsys.readouterr()
    answer = one_object(captured.out)
    assert len(store.load(LINK, M15)) == 96
    assert set(answer["pairs"]) == {"LINK/USDT"}
    assert "POL/USDT" in answer["failed"]["MATIC/USDT"]
    assert "warning: MATIC/USDT" in captured.err
    assert "POL/USDT" in one_error(captured.err)


def test_a_pair_delisted_meanwhile_does_not_keep_the_others(
    mexc: FakeMexc, store: CandleFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    mexc.gone = {"ETHUSDT"}

    assert main(["fetch", "--pairs", "ETH,LINK", "--days", "1"]) == 1

    assert store.pairs(M15) == (LINK,)
    assert "ETH/USDT" in one_error(capsys.readouterr().err)


def test_a_busy_exchange_is_asked_again(mexc: FakeMexc, store: CandleFiles) -> None:
    mexc.faults = [refused("0.01"), broken(503)]

    assert main(["fetch", "--pairs", "LINK", "--days", "1"]) == 0
    assert len(store.load(LINK, M15)) == 96


def test_a_broken_candle_file_is_named_and_kept(
    mexc: FakeMexc, store: CandleFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store.path(LINK, M15)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"broken")

    assert main(["fetch", "--pairs", "LINK,ETH", "--days", "1"]) == 1

    assert "LINKUSDT-15m.parquet" in one_error(capsys.readouterr().err)
    assert path.read_bytes() == b"broken"
    assert len(store.load(ETH, M15)) == 96


@pytest.mark.parametrize(
    "words",
    [
        ["--days", "0"],
        ["--days", "3", "--from", "2024-01-01"],
        ["--from", "2024-01-02", "--to", "2024-01-01"],
        ["--from", "soon"],
        ["--pairs", "LINK/"],
        ["--timeframe", "2h"],
    ],
)
def test_wrong_use_is_exit_2_and_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", *words]) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert captured.err.startswith("error: ")


def csv(name: str, lines: list[str]) -> Path:
    path = Path(name)
    path.write_text("timestamp,open,high,low,close,volume\n" + "".join(lines))
    return path


def lines(count: int) -> list[str]:
    return [
        f"{c.open_time},{c.open},{c.high},{c.low},{c.close},{c.volume}\n"
        for c in candles_of(LINK, M15, START, START + count * STEP)
    ]


def test_import_reports_gaps_and_is_no_failure(store: CandleFiles, capsys: pytest.CaptureFixture[str]) -> None:
    rows = lines(10)
    csv("LINKUSDT-15m.csv", rows[:3] + rows[5:])

    assert main(["candles", "import", "LINKUSDT-15m.csv", "--json"]) == 0

    (answer,) = one_object(capsys.readouterr().out)["files"]
    assert answer["gaps"] == [{"from": "2024-01-01T00:45:00Z", "to": "2024-01-01T01:15:00Z", "missing": 2}]
    assert (answer["pair"], answer["candles"], answer["new"], answer["missing"]) == ("LINK/USDT", 8, 8, 2)
    assert len(store.load(LINK, M15)) == 8


def test_import_takes_a_folder_and_tells_what_is_new(store: CandleFiles, capsys: pytest.CaptureFixture[str]) -> None:
    Path("folder").mkdir()
    csv("folder/LINKUSDT_15m_1d.csv", lines(4))
    csv("folder/ETHUSDT-15m.csv", lines(3))
    Path("folder/notes.txt").write_text("not mine")

    assert main(["candles", "import", "folder"]) == 0
    assert main(["candles", "import", "folder"]) == 0

    out = capsys.readouterr().out
    assert ["4 new" in out, "3 new" in out, out.count(", 0 new")] == [True, True, 2]
    assert store.pairs(M15) == (ETH, LINK)


def test_import_tells_which_stored_candles_it_changed(store: CandleFiles, capsys: pytest.CaptureFixture[str]) -> None:
    rows = lines(6)
    csv("LINKUSDT-15m.csv", rows)
    assert main(["candles", "import", "LINKUSDT-15m.csv", "--json"]) == 0
    assert one_object(capsys.readouterr().out)["files"][0]["changed"] == 0

    other = [row.replace("\n", "1\n") if number in (2, 4) else row for number, row in enumerate(rows)]
    csv("LINKUSDT-15m.csv", other)
    assert main(["candles", "import", "LINKUSDT-15m.csv"]) == 0
    said = "0 new, 2 stored before with other values and replaced, first 2024-01-01T00:30:00Z"
    assert said in capsys.readouterr().out

    csv("LINKUSDT-15m.csv", rows)
    assert main(["candles", "import", "LINKUSDT-15m.csv", "--json"]) == 0
    (answer,) = one_object(capsys.readouterr().out)["files"]
    assert (answer["new"], answer["changed"], answer["first_changed"]) == (0, 2, "2024-01-01T00:30:00Z")


@pytest.mark.parametrize("verb", ["import", "check"])
@pytest.mark.parametrize("name", ["nope.csv", "LINKUSDT-15m.csv"])
def test_a_file_that_is_not_there(verb: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["candles", verb, name]) == 1
    assert one_error(capsys.readouterr().err) == f"error: there is no file {name}"


def test_export_into_a_file_names_it(store: CandleFiles, capsys: pytest.CaptureFixture[str]) -> None:
    store.save(candles_of(LINK, M15, START, START + STEP))
    Path("notes.txt").touch()

    assert main(["candles", "export", "--pairs", "LINK", "--out", "notes.txt"]) == 1
    assert one_error(capsys.readouterr().err) == "error: Not a directory: notes.txt"


def test_one_bad_file_means_nothing_is_written(store: CandleFiles, capsys: pytest.CaptureFixture[str]) -> None:
    rows = lines(5)
    csv("ETHUSDT-15m.csv", rows)
    csv("LINKUSDT-15m.csv", rows[:3] + rows[2:])

    assert main(["candles", "import", "ETHUSDT-15m.csv", "LINKUSDT-15m.csv"]) == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    sentence = one_error(captured.err)
    assert "LINKUSDT-15m.csv, line 5 (2024-01-01T00:30:00Z): duplicate" in sentence
    assert not Path("data").exists()


def test_check_of_what_is_stored(store: CandleFiles, capsys: pytest.CaptureFixture[str]) -> None:
    whole = candles_of(LINK, M15, START, START + 9 * STEP)
    store.save(whole.rows(0, 3))
    store.save(whole.rows(4, 9))

    assert main(["candles", "check", "--json"]) == 0

    (answer,) = one_object(capsys.readouterr().out)["files"]
    assert (answer["missing"], answer["faults"]) == (1, [])


def test_check_tells_every_fault_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    rows = lines(6)
    rows[1] = rows[1].replace(",", ",x", 1)
    csv("LINKUSDT-15m.csv", rows + rows[-1:])

    assert main(["candles", "check", "LINKUSDT-15m.csv"]) == 1

    captured = capsys.readouterr()
    assert "fault: line 3 (2024-01-01T00:15:00Z): open is not a finite number" in captured.out
    assert "fault: line 8 (2024-01-01T01:15:00Z): duplicate" in captured.out
    assert one_error(captured.err) == "error: 2 faults found"


def test_check_of_a_broken_file_goes_on_to_the_next(store: CandleFiles, capsys: pytest.CaptureFixture[str]) -> None:
    store.save(candles_of(LINK, M15, START, START + STEP))
    store.path(ETH, M15).write_bytes(b"broken")

    assert main(["candles", "check"]) == 1

    out = capsys.readouterr().out
    assert "ETHUSDT-15m.parquet is no readable candle file" in out
    assert "LINK/USDT" in out


def test_check_without_candles(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["candles", "check"]) == 1
    assert "fetch or import" in one_error(capsys.readouterr().err)
    assert main(["candles", "check", "--pairs", "LINK"]) == 1
    assert "LINK/USDT" in one_error(capsys.readouterr().err)


def test_export_writes_the_names_the_owner_knows(store: CandleFiles, capsys: pytest.CaptureFixture[str]) -> None:
    store.save(candles_of(LINK, M15, START, START + 2 * DAY))

    assert main(["candles", "export", "--days", "1", "--json"]) == 0

    captured = capsys.readouterr()
    (answer,) = one_object(captured.out)["files"]
    assert (answer["file"], answer["candles"]) == ("data/historical/LINKUSDT_15m_1d.csv", 96)
    assert "warning: no 15m candles of ETH/USDT" in captured.err


def test_export_and_import_are_a_round_trip(store: CandleFiles) -> None:
    whole = candles_of(LINK, M15, START, START + 2 * DAY)
    store.save(whole)

    assert main(["candles", "export", "--pairs", "LINK", "--out", "there"]) == 0
    assert main(["candles", "import", "there/LINKUSDT_15m_2d.csv", "--data-dir", "other"]) == 0

    assert list(CandleFiles(Path("other/candles")).load(LINK, M15)) == list(whole)


def test_export_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["candles", "export"]) == 1
    assert "nothing to export" in one_error(capsys.readouterr().err)
    assert not Path("data").exists()
