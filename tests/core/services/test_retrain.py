"""Retraining: what was lived stands beside what history shows, each signal once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pandas as pd
import pytest

from core.adapters.candle_files import CandleFiles
from core.adapters.model_files import ModelFiles
from core.domain.candles import to_datetime, to_ms
from core.ml.dataset import from_table
from core.services.backtest import run_backtest
from core.services.records import closed_samples
from core.services.retrain import Trainer, retrain_job, training_table
from tests.fakes.mexc import FakeMexc
from tests.ledgers import PAIRS, Stage, books, market, settings, stores_in
from tests.markets import M15, START

ROWS = 6000
END = to_datetime(START + ROWS * M15.ms)


@pytest.fixture
def stored(tmp_path: Path) -> CandleFiles:
    files = CandleFiles(tmp_path / "candles")
    for candles in market(ROWS).values():
        files.save(candles)
    return files


async def lived(folder: Path) -> list[dict[str, object]]:
    """What a run over the last part of the candles leaves in the ledger."""
    async with books(folder) as kept:
        stage = await Stage.begin(kept, 4000, settings())
        for candles in market(ROWS).values():
            stage.loop.warm(candles.rows(0, 4000))
        await stage.play(market(ROWS), 4000, 5000)
        return closed_samples(await kept.ledger.trade_rows(), settings())


async def test_a_lived_row_takes_the_place_of_the_backtests(stored: CandleFiles, tmp_path: Path) -> None:
    rows = await lived(tmp_path)
    table = training_table(stored, settings(), rows, to_ms(END))
    dataset = from_table(table)
    alone = run_backtest(market(ROWS, PAIRS), settings()).table()

    assert rows
    counts = dataset.counts()
    assert counts["trade"] > 0
    assert counts["shadow_candidate"] > 0
    assert counts["backtest"] == len(alone) - counts["trade"] - counts.get("shadow_signal", 0)
    assert not table.duplicated(["symbol", "timestamp", "direction"]).any()


def test_without_a_life_the_table_is_the_backtest_of_all_pairs_that_have_candles(stored: CandleFiles) -> None:
    more = settings(pairs=[{"symbol": name} for name in (*map(str, PAIRS), "BNB")])
    start, end = to_ms(END) - more.bootstrap_ms, to_ms(END)
    wanted = run_backtest(market(ROWS, PAIRS), more, start, end, beside=market(ROWS)).table()

    assert len(wanted) > 5
    pd.testing.assert_frame_equal(training_table(stored, more, (), to_ms(END)), wanted)


async def test_a_lived_signal_has_the_outcome_the_backtest_gives_it(stored: CandleFiles, tmp_path: Path) -> None:
    rows = {(r["symbol"], r["timestamp"]): r for r in await lived(tmp_path) if r["kind"] == "signal"}
    backtest = run_backtest(market(ROWS), settings(), START + 4000 * M15.ms).table()
    found = 0
    for row in backtest.to_dict("records"):
        lived_row = rows.get((row["symbol"], row["timestamp"]))
        if lived_row is not None:
            found += 1
            assert lived_row["realized_r"] == pytest.approx(row["realized_r"], rel=1e-9)
            assert lived_row["exit_reason"] == row["exit_reason"]

    assert found == len(rows) > 0


async def test_the_job_trains_and_draws_from_both(stored: CandleFiles, tmp_path: Path) -> None:
    told: list[float] = []
    rows = await lived(tmp_path)
    models = ModelFiles(tmp_path / "models")
    report, picture = await asyncio.to_thread(
        retrain_job, lambda _, done: told.append(done), stored, models, settings(), stores_in(tmp_path), END
    )

    counts = from_table(training_table(stored, settings(), rows, to_ms(END))).counts()
    assert report.sources == counts  # the job has read the ledger itself
    assert counts["trade"] > 0
    assert report.comparison.first
    assert (report.champion, models.champion_id()) == (False, None)
    assert models.ids() == (report.model_id,)
    assert picture is not None
    assert picture.startswith(b"\x89PNG")
    assert told == sorted(told)


async def test_too_few_samples_are_an_answer_that_counts_them(tmp_path: Path) -> None:
    from core.adapters.ccxt_market import CcxtMarket

    few = CandleFiles(tmp_path / "candles")
    for candles in market(700).values():
        few.save(candles)
    async with books(tmp_path) as kept, FakeMexc().serving() as mexc:
        config = settings(exchange={"base_url": mexc.url, "rate_limit_ms": 0}, ml={"bootstrap_days": 30})
        stage = await Stage.begin(kept, 700, config)
        exchange = CcxtMarket(config.exchange)
        mexc.gone = {"LINKUSDT", "ETHUSDT", "SOLUSDT", "BTCUSDT"}
        models = ModelFiles(tmp_path / "models")
        trainer = Trainer(config, stage.clock, exchange, few, stores_in(tmp_path), models, _nothing)
        view = await trainer.train(lambda text, done: None)
        strict = config.model_copy(update={"strategy": config.strategy.model_copy(update={"adx_min": 100.0})})
        changed = Trainer(
            config, stage.clock, exchange, few, stores_in(tmp_path), models, _nothing, in_force=lambda: strict
        )
        under_a_changed_rule = await changed.train(lambda text, done: None)
        await exchange.close()

    assert view.model_id is None
    assert view.sentence.startswith("ML learning ")
    assert "history not complete" in view.sentence
    assert trainer.rows == view.rows > 0
    assert under_a_changed_rule.rows == 0  # an approver's change of a rule counts for a training too


async def _nothing() -> None:
    return
