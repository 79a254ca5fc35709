"""CSV in and out: all forms the owner has, every fault with its line and time."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings

from core.domain.candles import Candles, Pair, Timeframe, iso
from core.engine.candle_faults import find_gaps
from core.errors import DataError
from core.services.candle_csv import check_csv, csv_name, names_of, read_csv, write_csv
from tests.core.adapters.test_candle_files import candle_sets
from tests.fakes.mexc import START, candle_at, candles_of

LINK = Pair("LINK", "USDT")
M15 = Timeframe.parse("15m")
STEP = M15.ms
HEAD = "timestamp,open,high,low,close,volume\n"
REAL = os.environ.get("JULABA_REAL_KLINES")


def line(row: int) -> str:
    c = candle_at(START + row * STEP)
    return f"{c.open_time},{c.open},{c.high},{c.low},{c.close},{c.volume}\n"


def lines(count: int) -> list[str]:
    return [line(row) for row in range(count)]


def file(folder: Path, text: str, name: str = "LINKUSDT-15m.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "pair", "timeframe"),
    [
        ("LINKUSDT-15m.csv.gz", LINK, "15m"),
        ("LINKUSDT_15m_90d.csv", LINK, "15m"),
        ("linkusdt-1h.csv", LINK, "1h"),
        ("1INCHUSDT_5m.CSV", Pair("1INCH", "USDT"), "5m"),
        ("LINK-USDT-30m.csv", LINK, "30m"),
        ("ETHBTC-1m-2024.csv", Pair("ETH", "BTC"), "1m"),
    ],
)
def test_pair_and_timeframe_come_from_the_name(name: str, pair: Pair, timeframe: str) -> None:
    assert names_of(Path("somewhere") / name) == (pair, Timeframe.parse(timeframe))


@pytest.mark.parametrize("name", ["candles.csv", "LINKUSDT.csv", "LINKUSDT-7m.csv", "LINKUSDT-15m.txt", "-15m.csv"])
def test_a_name_that_says_neither_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="name must say pair and timeframe"):
        names_of(Path(name))


@given(candle_sets())
@settings(max_examples=50)
def test_writing_and_reading_gives_the_same_bits(candles: Candles) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / csv_name(LINK, M15, 90)
        write_csv(candles, path)
        if len(candles):
            assert list(read_csv(path)) == list(candles)
        else:
            with pytest.raises(DataError, match="holds no candles"):
                read_csv(path)


def test_the_name_the_owner_knows() -> None:
    assert csv_name(LINK, M15, 90) == "LINKUSDT_15m_90d.csv"


def test_written_in_plain_columns(tmp_path: Path) -> None:
    path = tmp_path / "new" / "LINKUSDT_15m_1d.csv"
    write_csv(candles_of(LINK, M15, START, START + STEP), path)

    assert path.read_text() == HEAD + line(0)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["LINKUSDT-15m.csv", "LINKUSDT-15m.csv.gz"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("\n", "\n", id="plain"),
        pytest.param("\n", "\r\n", id="line ends of Windows"),
        pytest.param("timestamp", "\ufefftimestamp", id="byte order mark"),
        pytest.param("timestamp,open", " Timestamp , OPEN", id="spelling of names"),
        pytest.param(str(START), iso(START), id="ISO"),
        pytest.param(str(START), "2024-01-01 00:00:00", id="ISO without zone"),
        pytest.param(str(START), "2024-01-01T02:00:00+02:00", id="ISO in another zone"),
        pytest.param(str(START), f"{START}.0", id="time with a point"),
    ],
)
def test_all_forms_are_read_alike(tmp_path: Path, name: str, old: str, new: str) -> None:
    text = (HEAD + "".join(lines(5))).replace(old, new)

    assert list(read_csv(file(tmp_path, text, name))) == list(candles_of(LINK, M15, START, START + 5 * STEP))


def test_further_columns_and_another_order_do_not_matter(tmp_path: Path) -> None:
    rows = [[*text.strip().split(",")[::-1], "my_note"] for text in lines(3)]
    text = "\n".join(",".join(row) for row in [["volume", "close", "low", "high", "open", "timestamp", "note"], *rows])

    assert list(read_csv(file(tmp_path, text))) == list(candles_of(LINK, M15, START, START + 3 * STEP))


def test_a_gap_is_read_as_it_is(tmp_path: Path) -> None:
    rows = lines(6)
    found = read_csv(file(tmp_path, HEAD + "".join(rows[:2] + rows[5:])))

    assert [gap.missing for gap in find_gaps(found)] == [3]


@pytest.mark.parametrize("count", [4, 40])
def test_rows_of_a_coarser_timeframe_are_refused(tmp_path: Path, count: int) -> None:
    rows = lines(count)
    for name in ("LINKUSDT-5m.csv", "LINKUSDT-1m.csv"):
        with pytest.raises(DataError, match="the rows are 15m apart, the name says"):
            read_csv(file(tmp_path, HEAD + "".join([*rows[:20], *rows[22:]]), name))
    assert len(read_csv(file(tmp_path, HEAD + "".join(rows)))) == count


def test_a_few_rows_with_gaps_are_believed(tmp_path: Path) -> None:
    assert len(read_csv(file(tmp_path, HEAD + "".join(lines(3)), "LINKUSDT-5m.csv"))) == 3


@pytest.mark.parametrize(
    ("time", "why"),
    [
        (str(START // 1000), "looks like epoch seconds: milliseconds (or ISO, UTC) are wanted"),
        ("yesterday", "is not a time: epoch milliseconds or ISO such as 2024-01-03T01:45:00Z (UTC) are wanted"),
        (str(START * 1000), "is not epoch milliseconds of this century"),
    ],
)
def test_a_time_that_is_none_is_told_what_is_wanted(tmp_path: Path, time: str, why: str) -> None:
    with pytest.raises(DataError) as error:
        read_csv(file(tmp_path, (HEAD + "".join(lines(3))).replace(str(START), time)))

    assert f"timestamp {why}: '{time}'" in str(error.value)


def spoil(row: int, column: int, value: str) -> str:
    rows = [text.strip().split(",") for text in lines(6)]
    rows[row][column] = value
    return HEAD + "\n".join(",".join(cells) for cells in rows) + "\n"


@pytest.mark.parametrize(
    ("text", "where", "why"),
    [
        pytest.param(spoil(2, 1, "abc"), "line 4 (2024-01-01T00:30:00Z)", "'abc'", id="text"),
        pytest.param(spoil(2, 4, "NaN"), "line 4 (2024-01-01T00:30:00Z)", "'NaN'", id="NaN"),
        pytest.param(spoil(2, 5, ""), "line 4 (2024-01-01T00:30:00Z)", "volume", id="nothing"),
        pytest.param(spoil(2, 1, "1_0.5"), "line 4 (2024-01-01T00:30:00Z)", "'1_0.5'", id="underscore"),
        pytest.param(spoil(2, 1, "inf"), "line 4 (2024-01-01T00:30:00Z)", "'inf'", id="infinite"),
        pytest.param(spoil(2, 3, "0"), "line 4 (2024-01-01T00:30:00Z)", "above 0", id="zero price"),
        pytest.param(spoil(2, 2, "1"), "line 4 (2024-01-01T00:30:00Z)", "high is below", id="high"),
        pytest.param(spoil(2, 3, "99"), "line 4 (2024-01-01T00:30:00Z)", "low is above", id="low"),
        pytest.param(spoil(2, 5, "-1"), "line 4 (2024-01-01T00:30:00Z)", "negative", id="volume"),
        pytest.param(spoil(2, 0, str(START + STEP)), "line 4 (2024-01-01T00:15:00Z)", "duplicate", id="duplicate"),
        pytest.param(spoil(2, 0, str(START - STEP)), "line 4 (2023-12-31T23:45:00Z)", "out of order", id="disorder"),
        pytest.param(spoil(2, 0, str(START + 1)), "line 4 (2024-01-01T00:00:00Z)", "15m grid", id="grid"),
        pytest.param(spoil(2, 0, "noon"), "line 4 (noon)", "'noon'", id="no time"),
        pytest.param(spoil(2, 0, ""), "line 4 (no time)", "timestamp", id="empty time"),
        pytest.param(spoil(2, 0, str(START // 1000)), "line 4 (1704067200)", "milliseconds", id="seconds"),
        pytest.param(HEAD + line(0) + line(1)[:30] + "\n" + line(2), "line 3 (2024", "6 expected", id="short"),
        pytest.param(HEAD + line(0) + line(1).strip() + ",9\n" + line(2), "line 3 (2024", "7 values", id="long row"),
        pytest.param(HEAD + line(0) + "\n" + line(2), "line 3 (no time)", "0 values", id="blank line"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_line_and_time(tmp_path: Path, text: str, where: str, why: str) -> None:
    path = file(tmp_path, text)

    with pytest.raises(DataError) as caught:
        read_csv(path)

    sentence = str(caught.value)
    assert sentence.startswith(f"{path}, {where}")
    assert why in sentence
    assert "\n" not in sentence


def test_checking_gives_every_fault_with_its_line(tmp_path: Path) -> None:
    rows = lines(8)
    rows[1] = rows[1].replace(",", ",x", 1)
    rows[3] = "broken\n"
    rows[5] = rows[4]

    _, faults = check_csv(file(tmp_path, HEAD + "".join(rows)))

    assert [(f.line, f.reason.split(":")[0]) for f in faults] == [
        (3, "open is not a finite number"),
        (5, "1 values, 6 expected"),
        (7, "duplicate"),
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (HEAD.encode(), "holds no candles"),
        (b"time,open,high,low,close,volume\n1,2,3,4,5,6\n", "no column timestamp"),
        (b"timestamp;open;high;low;close;volume\n", "no column"),
        (b"timestamp,open,open,high,low,close,volume\n1,2,3,4,5,6,7\n", "column open is there twice"),
        (b"\xff\xfe\x00", "no text file"),
        (HEAD.encode() + b'"' + line(0).encode(), "no CSV"),
        (HEAD.encode() + b'"1\n2",1,1,1,1,1\n', "several lines"),
    ],
)
def test_a_file_that_is_no_table_of_candles(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "LINKUSDT-15m.csv"
    path.write_bytes(content)

    with pytest.raises(DataError, match=why) as caught:
        read_csv(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"plain text", gzip.compress(b"x" * 1000, mtime=0)[:-9], b""])
def test_broken_gzip(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "LINKUSDT-15m.csv.gz"
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"LINKUSDT-15m\.csv\.gz"):
        read_csv(path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        read_csv(tmp_path / "LINKUSDT-15m.csv")
    (tmp_path / "ETHUSDT-15m.csv").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        read_csv(tmp_path / "ETHUSDT-15m.csv")


@pytest.mark.real
@pytest.mark.skipif(not REAL, reason="JULABA_REAL_KLINES is not set")
def test_real_candles_are_read_whole_with_their_known_holes() -> None:
    assert REAL
    outage = (1_679_661_900_000, 5)  # 2023-03-24, the exchange stood still
    lost = (1_695_772_800_000, 9216)
    for path in sorted(Path(REAL).glob("*.csv.gz")):
        candles = read_csv(path)
        matic = candles.pair.base == "MATIC"
        assert [(g.start, g.missing) for g in find_gaps(candles)] == ([outage, lost] if matic else [outage])
        assert len(candles) == (64_411 if matic else 73_627)
        assert np.all(candles.low <= candles.high)
