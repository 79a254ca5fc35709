"""Backtests, history and exports by chat: the command line's own numbers and files, one at a time, to be cancelled."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import zipfile
from pathlib import Path

import pytest

from core.adapters.candle_files import CandleFiles
from core.adapters.ccxt_market import CcxtMarket
from core.adapters.clocks import ReplayClock
from core.cli import main
from core.config import Settings
from core.domain.candles import DAY_MS, Pair, to_datetime
from core.errors import UsageError
from core.services import exports
from core.services.chat_backtest import BacktestView, backtest_job
from core.services.one_at_a_time import OneAtATime
from core.services.research import Desk, Research
from tests.fakes.mexc import START, FakeMexc
from tests.ledgers import PAIRS, Stage, books, market, settings, stores_in
from tests.offices import ANN, LAST, office

ROWS = 3000
TWO = [{"symbol": "LINK/USDT"}, {"symbol": "ETH/USDT"}]
MB = 1_000_000


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with candles, and a configuration beside it."""
    monkeypatch.chdir(tmp_path)
    store = CandleFiles(tmp_path / "data" / "candles")
    for candles in market(ROWS).values():
        store.save(candles)
    loose = {"adx_min": 10.0, "volume_ratio_min": 0.0, "rsi_long_max": 100.0, "rsi_short_min": 0.0}
    config = {"pairs": [{"symbol": p} for p in PAIRS], "strategy": loose}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    return tmp_path


def asked(place: Path, *pairs: str, days: int, most: int = 50 * MB) -> BacktestView:
    store = CandleFiles(place / "data" / "candles")
    chosen = tuple(Pair.parse(p) for p in pairs or PAIRS)
    return backtest_job(lambda words, done: None, store, settings(), chosen, days, most)


@pytest.mark.parametrize(("pairs", "days"), [((), 90), ((), 7), (("LINK/USDT",), 20)])
def test_the_numbers_and_the_file_are_those_of_the_command_line(
    place: Path, capsys: pytest.CaptureFixture[str], pairs: tuple[str, ...], days: int
) -> None:
    view = asked(place, *pairs, days=days)
    named = ["--pairs", ",".join(pairs)] if pairs else []
    assert main(["backtest", *named, "--days", str(days), "--out", "signals.csv", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)

    assert told["total"]["signals"] > 3
    assert view.total == told["total"]
    assert view.pairs == told["pairs"]
    assert view.target_first == told["target_first"]
    assert (view.start, view.end) == tuple(to_datetime(_ms(told[end])) for end in ("from", "to"))
    assert view.csv == (place / "signals.csv").read_bytes()
    assert view.picture is not None
    assert view.picture.startswith(b"\x89PNG")
    assert view.drawdown > 0


def _ms(text: str) -> int:
    from core.cli.options import parse_utc

    return parse_utc(text)


def test_a_file_that_is_too_large_is_left_out_with_its_size(place: Path) -> None:
    view = asked(place, days=30, most=100)

    assert view.csv is None
    assert view.csv_size > 1000
    assert view.picture is not None


def test_without_a_signal_there_is_neither_picture_nor_file(place: Path) -> None:
    strict = settings(strategy={"adx_min": 100.0})
    store = CandleFiles(place / "data" / "candles")
    view = backtest_job(lambda words, done: None, store, strict, (Pair.parse("LINK"),), 30, 50 * MB)

    assert (view.total["signals"], view.picture, view.csv, view.csv_size) == (0, None, None, 0)


def research(folder: Path, mexc: FakeMexc, config: Settings) -> Research:
    return Research(
        Desk(
            settings=config,
            in_force=lambda: config,
            clock=ReplayClock(to_datetime(mexc.now)),
            history=CcxtMarket(config.exchange),
            candles=CandleFiles(folder / "candles"),
            stores=stores_in(folder),
            save=_saved,
        )
    )


async def _saved() -> None:
    return


async def test_fetching_completes_what_is_missing_and_tells_what_is_stored(tmp_path: Path) -> None:
    async with FakeMexc(now=START + 20 * DAY_MS, first=START).serving() as mexc:
        config = settings(pairs=TWO, exchange={"base_url": mexc.url, "rate_limit_ms": 0})
        desk = research(tmp_path, mexc, config)
        told: list[float] = []
        first = await desk.fetch(10, lambda words, done: told.append(done))
        asked_once = len(mexc.requests)
        again = await desk.fetch(10, lambda words, done: None)
        asked_twice = len(mexc.requests) - asked_once
        await desk._desk.history.close()

    assert [p.pair for p in first.pairs] == ["LINK/USDT", "ETH/USDT", "BTC/USDT"]
    assert {(p.candles, p.new, p.gaps, round(p.days)) for p in first.pairs} == {(960, 960, 0, 10)}
    assert {p.new for p in again.pairs} == {0}
    assert asked_twice < asked_once
    assert told == sorted(told)
    assert told[-1] == 1.0


async def test_a_pair_that_cannot_be_fetched_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.services.fetch.PAUSES", ())
    async with FakeMexc(now=START + 20 * DAY_MS, first=START).serving() as mexc:
        mexc.gone = {"ETHUSDT"}
        config = settings(pairs=TWO, exchange={"base_url": mexc.url, "rate_limit_ms": 0})
        desk = research(tmp_path, mexc, config)
        view = await desk.fetch(5, lambda words, done: None)
        await desk._desk.history.close()

    faults = {p.pair: p.fault for p in view.pairs if p.fault}
    assert set(faults) == {"ETH/USDT"}
    assert sum(p.candles == 480 for p in view.pairs) == 2


async def test_one_at_a_time_and_a_person_may_end_it() -> None:
    work, started, ended = OneAtATime("backtest"), asyncio.Event(), asyncio.Event()

    async def long() -> int:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return 1

    async def short() -> int:
        return 2

    first = asyncio.create_task(work.run(long))
    await started.wait()
    with pytest.raises(UsageError, match="already running"):
        await work.run(short)
    work.cancel("Ann")
    with pytest.raises(UsageError, match="cancelled by Ann"):
        await first
    assert ended.is_set()
    assert await work.run(short) == 2
    with pytest.raises(UsageError, match="no backtest is running"):
        work.cancel("Ann")


async def test_whoever_stops_waiting_takes_the_work_along() -> None:
    work, ended = OneAtATime("fetch"), asyncio.Event()

    async def long() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    first = asyncio.create_task(work.run(long))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)

    assert first.cancelled()
    assert ended.is_set()


async def test_an_export_is_the_command_lines_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with office(tmp_path / "data") as at:
        await at.played()
        await at.kept.chat.audit(1, ANN.user_id, ANN.name, "command", "/status")
        one = await at.desk.topics.research.export("trades", 50 * MB, lambda words, done: None)
        whole = await at.desk.topics.research.export("all", 50 * MB, lambda words, done: None)
        large = await at.desk.topics.research.export("equity", 10, lambda words, done: None)
        with pytest.raises(UsageError, match="none of"):
            await at.desk.topics.research.export("secrets", 50 * MB, lambda words, done: None)

    async with books(tmp_path / "data"):
        pass
    written = {}
    for kind in exports.KINDS:
        assert await asyncio.to_thread(main, ["export", kind]) in (0, 1)
        written[kind] = (tmp_path / "data" / "export" / f"{kind}.csv").read_bytes()
    assert one.content == written["trades"]
    assert one.name == "julaba-trades.csv"
    with zipfile.ZipFile(io.BytesIO(whole.content or b"")) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            f"{kind}.csv": content for kind, content in written.items()
        }
    assert (large.content, large.size) == (None, len(written["equity"]))
    rows = list(csv.DictReader(io.StringIO(written["equity"].decode())))
    assert len(rows) == LAST - 400
    assert float(rows[-1]["equity"]) > 0


async def test_a_large_table_is_zipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "ZIPPED_FROM", 1000)
    async with books(tmp_path) as kept:
        stage = await Stage.begin(kept, 400, settings())
        for candles in market(600).values():
            stage.loop.warm(candles.rows(0, 400))
        await stage.play(market(600), 400, 600)
        view = await asyncio.to_thread(
            exports.export_job, lambda words, done: None, stores_in(tmp_path), settings(), "decisions", 50 * MB
        )

    assert view.name == "julaba-decisions.zip"
    assert view.content is not None
    assert zipfile.ZipFile(io.BytesIO(view.content)).namelist() == ["decisions.csv"]
