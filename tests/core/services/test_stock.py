"""What there is of samples, from a real ledger and from stored candles, and that both count alike."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from core.adapters.candle_files import CandleFiles
from core.config import Ml
from core.domain.candles import to_datetime
from core.services.changes import changed
from core.services.records import closed_samples
from core.services.stock import Stock, Stockroom, history_of, lived_of, stock_of
from tests.ledgers import PAIRS, Books, Stage, books, market, settings
from tests.markets import START

FIRST, LAST = 400, 700


async def lived_through(kept: Books) -> Stage:
    stage = await Stage.begin(kept, FIRST, settings())
    for candles in market(LAST).values():
        stage.loop.warm(candles.rows(0, FIRST))
    await stage.play(market(LAST), FIRST, LAST)
    return stage


def shelf(folder: Path, rows: int = LAST) -> CandleFiles:
    store = CandleFiles(folder / "candles")
    for candles in market(rows, PAIRS).values():
        store.save(candles)
    return store


async def test_the_ledger_counts_by_source_as_training_takes_them(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        await lived_through(kept)
        lived = await lived_of(kept.ledger, settings())
        rows = closed_samples(await kept.ledger.trade_rows(), settings())

    assert lived.counts == Counter((str(r["pair"]), str(r["source"])) for r in rows)
    assert {source for _, source in lived.counts} >= {"trade", "shadow_candidate"}
    live = sum(n for (_, source), n in lived.counts.items() if source != "shadow_candidate")
    assert live == len(lived.outcomes) > 0


async def test_days_are_counted_from_the_ledger_s_first_close(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage = await lived_through(kept)
        stock = stock_of(settings(), stage.clock.now(), await lived_of(kept.ledger, settings()), (), {})

    assert stock.forecast.seen.days == pytest.approx((LAST - FIRST - 1) / 96)
    assert stock.forecast.basis == "seen"
    assert stock.forecast.seen.scored == 0, "no model spoke"
    assert len(stock.closed) == stock.live


def test_stored_candles_alone_give_a_rate_per_pair_and_day(tmp_path: Path) -> None:
    history = history_of(shelf(tmp_path), settings().traded, settings().frame, settings())
    stock = stock_of(settings(), to_datetime(START), None, history, {})

    assert {h.pair for h in history} == set(PAIRS)
    assert stock.counts["backtest candidates"] > 0
    expected = sum(h.signals for h in history) / (LAST / 96)
    assert stock.forecast.basis == "history"
    assert stock.forecast.per_day == pytest.approx(expected, rel=0.05)
    assert stock.history_per_pair == pytest.approx(expected / 3)


def test_a_pair_without_candles_is_taken_for_an_average_one(tmp_path: Path) -> None:
    store = shelf(tmp_path)
    two = history_of(store, settings().traded[:2], settings().frame, settings())

    stock = stock_of(settings(), to_datetime(START), None, two, {})

    assert stock.forecast.per_day == pytest.approx(1.5 * sum(h.signals_per_day for h in two), rel=0.05)


def test_augmented_rows_are_counted_only_where_a_training_makes_them(tmp_path: Path) -> None:
    history = history_of(shelf(tmp_path), settings().traded, settings().frame, settings())

    def augmented(on: bool) -> Stock:
        chosen = settings().model_copy(update={"ml": Ml(augment=on)})
        return stock_of(chosen, to_datetime(START), None, history, {})

    assert augmented(False).counts["augmented"] == 0
    assert augmented(True).counts["augmented"] == sum(h.signals for h in history) > 0


async def test_a_pair_that_is_switched_off_is_not_waited_for(tmp_path: Path) -> None:
    two = settings(pairs=[{"symbol": PAIRS[0]}, {"symbol": PAIRS[1], "enabled": False}])
    async with books(tmp_path) as kept:
        lived = await lived_of(kept.ledger, two)

    assert lived.watched == (PAIRS[0],)


async def test_a_running_bot_reads_its_candles_at_most_every_ten_minutes(tmp_path: Path) -> None:
    reads = 0

    class Counting(CandleFiles):
        def load(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            nonlocal reads
            reads += 1
            return super().load(*args, **kwargs)

    shelf(tmp_path)
    async with books(tmp_path) as kept:
        stage = await lived_through(kept)
        room = Stockroom(
            settings(), stage.clock, kept.ledger, kept.chat, Counting(tmp_path / "candles"), dict, lambda: "main"
        )
        stock = await room.stock()
        once = reads
        await room.stock()
        again = reads
        stage.clock.advance(stage.clock.now() + timedelta(minutes=10))
        await room.stock()
        picture = (await room.view()).picture

    assert stock.forecast.basis == "both"
    assert once == again > 0
    assert reads == 2 * once, "eight days of candles are few: the history may still be coming in"
    assert picture is not None
    assert picture.startswith(b"\x89PNG")


async def test_a_changed_rule_counts_in_what_history_gave_at_once(tmp_path: Path) -> None:
    shelf(tmp_path)
    rules = [settings()]
    async with books(tmp_path) as kept:
        stage = await lived_through(kept)
        candles = CandleFiles(tmp_path / "candles")
        room = Stockroom(
            rules[0], stage.clock, kept.ledger, kept.chat, candles, dict, lambda: "main", in_force=lambda: rules[-1]
        )
        before = (await room.stock()).counts["backtest signals"]
        rules.append(changed(rules[0], {"strategy.adx_min": 45.0}))
        after = (await room.stock()).counts["backtest signals"]

    assert 0 <= after < before
