"""Candles on disk: what went in comes out, a crash leaves the old file, a broken file is named."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.adapters import candle_files
from core.adapters.candle_files import CandleFiles, merge
from core.domain.candles import Candle, Candles, Pair, Timeframe
from core.errors import DataError
from tests.fakes.mexc import START, candle_at, candles_of

LINK = Pair("LINK", "USDT")
M15 = Timeframe.parse("15m")
STEP = M15.ms

prices = st.floats(min_value=1e-9, max_value=1e9)


@st.composite
def candle_sets(draw: st.DrawFn) -> Candles:
    """Good candles with gaps, at most 60 steps long."""
    steps = sorted(draw(st.sets(st.integers(0, 60), max_size=30)))
    rows = []
    for step in steps:
        low, a, b, high = sorted(draw(st.tuples(prices, prices, prices, prices)))
        rows.append(Candle(START + step * STEP, a, high, low, b, draw(st.floats(0, 1e12))))
    return Candles.of(LINK, M15, rows)


@pytest.fixture
def store(tmp_path: Path) -> CandleFiles:
    return CandleFiles(tmp_path / "candles")


@given(candle_sets())
@settings(max_examples=50)
def test_what_went_in_comes_out_to_the_last_bit(candles: Candles) -> None:
    with TemporaryDirectory() as folder:
        store = CandleFiles(Path(folder))
        assert store.save(candles) == len(candles)
        assert list(store.load(LINK, M15)) == list(candles)


@given(candle_sets(), candle_sets())
def test_merging_keeps_every_time_once_and_the_newer_row(stored: Candles, newer: Candles) -> None:
    wanted = {c.open_time: c for c in stored} | {c.open_time: c for c in newer}

    assert list(merge(stored, newer)) == [wanted[time] for time in sorted(wanted)]


@given(candle_sets(), st.integers(-5, 65), st.integers(-5, 65))
@settings(max_examples=50)
def test_a_range_is_what_a_filter_would_give(candles: Candles, start: int, end: int) -> None:
    start_ms, end_ms = START + start * STEP, START + end * STEP
    with TemporaryDirectory() as folder:
        store = CandleFiles(Path(folder))
        store.save(candles)
        found = store.load(LINK, M15, start_ms, end_ms)
    assert list(found) == [c for c in candles if start_ms <= c.open_time < end_ms]


def test_nothing_stored_is_nothing_and_no_error(store: CandleFiles) -> None:
    assert len(store.load(LINK, M15)) == 0
    assert store.pairs(M15) == ()
    assert store.save(Candles.empty(LINK, M15)) == 0


def test_saving_counts_what_is_new_and_extends_at_both_ends_and_inside(store: CandleFiles) -> None:
    whole = candles_of(LINK, M15, START, START + 100 * STEP)

    assert store.save(whole.rows(40, 50)) == 10
    assert store.save(whole.rows(45, 60)) == 10
    assert store.save(whole.rows(0, 20)) == 20
    assert store.save(whole) == 60
    assert store.save(whole) == 0
    assert list(store.load(LINK, M15)) == list(whole)


def test_saving_what_is_there_does_not_touch_the_file(store: CandleFiles) -> None:
    whole = candles_of(LINK, M15, START, START + 100 * STEP)
    store.save(whole)
    before = store.path(LINK, M15).stat().st_ino

    store.save(whole.tail(5))

    assert store.path(LINK, M15).stat().st_ino == before


def test_a_corrected_candle_replaces_the_stored_one(store: CandleFiles) -> None:
    store.save(candles_of(LINK, M15, START, START + 3 * STEP))
    corrected = replace(candle_at(START + STEP), volume=7.5)

    assert store.save(Candles.of(LINK, M15, [corrected])) == 0
    assert store.load(LINK, M15).candle(1) == corrected


def test_the_tail_is_read_without_the_rest(store: CandleFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candle_files, "ROW_GROUP", 10)
    whole = candles_of(LINK, M15, START, START + 100 * STEP)
    store.save(whole)

    read = store.read(LINK, M15, START + 95 * STEP, None)

    assert len(read) == 10
    assert list(store.load(LINK, M15, START + 95 * STEP)) == list(whole.tail(5))


def test_pairs_are_sorted_and_of_their_timeframe_and_know_their_quote(store: CandleFiles) -> None:
    for pair in (Pair("SOL", "USDT"), Pair("LINK", "EUR"), Pair("ETH", "BTC")):
        store.save(candles_of(pair, M15, START, START + STEP))
    hour = Timeframe.parse("1h")
    store.save(candles_of(LINK, hour, START, START + hour.ms))

    assert store.pairs(M15) == (Pair("ETH", "BTC"), Pair("LINK", "EUR"), Pair("SOL", "USDT"))
    assert store.pairs(hour) == (LINK,)


def test_bad_candles_are_not_stored(store: CandleFiles) -> None:
    good = candles_of(LINK, M15, START, START + 3 * STEP)
    store.save(good)
    bad = Candles.of(LINK, M15, [replace(candle_at(START + STEP), close=float("nan"))])

    with pytest.raises(DataError, match="close"):
        store.save(bad)
    assert list(store.load(LINK, M15)) == list(good)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_broken_file_is_named_with_what_to_do(store: CandleFiles, content: bytes) -> None:
    path = store.path(LINK, M15)
    path.parent.mkdir()
    path.write_bytes(content)

    for action in (lambda: store.load(LINK, M15), lambda: store.save(candles_of(LINK, M15, START, START + STEP))):
        with pytest.raises(DataError, match=r"LINKUSDT-15m\.parquet.*move it away"):
            action()
    assert path.read_bytes() == content
    assert store.pairs(M15) == (LINK,)


def test_a_file_cut_short_is_broken(store: CandleFiles) -> None:
    store.save(candles_of(LINK, M15, START, START + 100 * STEP))
    path = store.path(LINK, M15)
    path.write_bytes(path.read_bytes()[:-40])

    with pytest.raises(DataError, match="move it away"):
        store.load(LINK, M15)


@pytest.mark.parametrize(
    "table",
    [
        pytest.param({"time": [START]}, id="missing columns"),
        pytest.param({name: ["a"] for name in candle_files.COLUMNS}, id="text"),
        pytest.param({name: pa.array([None], pa.float64()) for name in candle_files.COLUMNS}, id="nulls"),
    ],
)
def test_a_foreign_parquet_file_is_refused(store: CandleFiles, table: dict[str, list[object]]) -> None:
    path = store.path(LINK, M15)
    path.parent.mkdir()
    pq.write_table(pa.table(table), path)

    with pytest.raises(DataError, match="no readable candle file"):
        store.load(LINK, M15)


def test_stored_rows_that_cannot_be_are_refused_and_can_be_looked_at(store: CandleFiles) -> None:
    store.save(candles_of(LINK, M15, START, START + 3 * STEP))
    path = store.path(LINK, M15)
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table]), path)

    with pytest.raises(DataError, match="duplicate"):
        store.load(LINK, M15)
    assert len(store.read(LINK, M15)) == 6


def test_a_crash_while_writing_leaves_the_old_file(store: CandleFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = candles_of(LINK, M15, START, START + 10 * STEP)
    store.save(whole.rows(0, 5))

    def die(*args: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", die)
    with pytest.raises(OSError, match="No space"):
        store.save(whole)

    assert list(store.load(LINK, M15)) == list(whole.rows(0, 5))
    assert sorted(p.name for p in store.path(LINK, M15).parent.iterdir()) == [".lock", "LINKUSDT-15m.parquet"]


def test_savers_side_by_side_lose_nothing(store: CandleFiles) -> None:
    whole = candles_of(LINK, M15, START, START + 40 * STEP)

    with ThreadPoolExecutor(8) as pool:
        counts = list(
            pool.map(lambda i: CandleFiles(store.path(LINK, M15).parent).save(whole.rows(i, i + 1)), range(40))
        )

    assert sum(counts) == 40
    assert np.array_equal(store.load(LINK, M15).time, whole.time)


def test_a_store_that_is_written_and_read_loads_no_pandas_and_keeps_no_memory(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from core.adapters.candle_files import CandleFiles; "
        "from tests.fakes.mexc import START, candles_of; from core.domain.candles import Pair, Timeframe; "
        "pair, frame = Pair('LINK', 'USDT'), Timeframe.parse('15m'); store = CandleFiles(Path(sys.argv[1])); "
        "candles = candles_of(pair, frame, START, START + 100 * frame.ms); "
        "print(store.save(candles), len(store.load(candles.pair, candles.timeframe)), 'pandas' in sys.modules); "
        "import pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["100", "100", "False", "system"]
