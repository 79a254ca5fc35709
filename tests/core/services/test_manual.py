"""Closing by hand: what was shown is closed, at a price the market gave, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from core.adapters.clocks import ReplayClock
from core.adapters.sqlite_ledger import SqliteLedger
from core.domain.candles import to_datetime
from core.domain.ledger import Effect
from core.errors import MarketError, StoreError, UsageError
from core.ports import MarketData
from core.services.loop import TradingLoop
from core.services.manual import Hands
from core.services.minutes import M1, ExchangeMinutes
from core.services.views import Actor
from tests.core.services.test_minutes import FIRST, LAST, Exchange, conf, exchange
from tests.ledgers import Books, Stage, books, market
from tests.markets import M15, START

OWNER = Actor(1001, "Ann", "approver")


async def with_something_open(kept: Books) -> tuple[Stage, Hands, Exchange]:
    there, clock = exchange(FIRST)
    source = ExchangeMinutes(cast(MarketData, there), clock)
    loop = TradingLoop(conf(), clock, kept.ledger, minutes=source)
    await loop.start()
    stage = Stage(loop, clock)
    for candles in market(LAST).values():
        loop.warm(candles.rows(0, FIRST))
    row = FIRST
    while not loop.account.positions:
        await stage.play(market(LAST), row, row + 1)
        row += 1
    return stage, Hands(conf(), clock, cast(MarketData, there), kept.ledger, loop), there


async def test_a_plan_shows_what_closing_makes_and_the_closing_makes_that(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage, hands, _ = await with_something_open(kept)
        stage.clock.advance(to_datetime(round(stage.clock.now().timestamp() * 1000) + 2 * M1.ms))
        pair = stage.loop.account.positions[0].pair
        plan = await hands.plan(pair)
        before = stage.loop.account.cash - stage.loop.account.positions[0].pnl
        done = await hands.close(pair, plan.token, OWNER)

        (shown,), (closed,) = plan.closings, done.closed
        assert (plan.pauses, done.paused) == (False, False)
        assert shown.price_at == stage.clock.now()
        assert closed.pnl == pytest.approx(shown.pnl)
        assert done.equity == pytest.approx(before + shown.pnl)
        record = await kept.ledger.follow(shown.trade_id)
        assert record is not None
        assert record.follow.exit_reason == "MANUAL"
        assert record.pnl == pytest.approx(shown.pnl)
        keys = {item.event.key for item in await kept.chat.pending(1000)}
        assert f"closed:{shown.trade_id}" in keys
        with pytest.raises(UsageError, match="nothing is open in"):
            await hands.plan(pair)


async def test_panic_closes_everything_and_pauses_and_survives_a_restart(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage, hands, _ = await with_something_open(kept)
        plan = await hands.plan(None)
        done = await hands.close(None, plan.token, OWNER)

        assert plan.pauses
        assert done.paused
        assert stage.loop.account.positions == ()
        again = TradingLoop(conf(), stage.clock, kept.ledger)
        await again.start()
        assert again.memory.controls.paused == "panic by Ann"
        assert again.account == stage.loop.account


@pytest.mark.parametrize(("price", "end"), [("stop", ["STOP"]), ("target", ["TP1"])])
async def test_what_the_market_has_reached_comes_before_the_hand(tmp_path: Path, price: str, end: list[str]) -> None:
    async with books(tmp_path) as kept:
        stage, hands, there = await with_something_open(kept)
        position = stage.loop.account.positions[0]
        plan = await hands.plan(position.pair)
        found = there.candles_of[position.pair]
        levels = position.follow.levels
        level = np.full(len(found), levels.stop if price == "stop" else levels.targets[0])
        there.candles_of = {
            **there.candles_of,
            position.pair: replace(found, open=level, high=level, low=level, close=level),
        }
        stage.clock.advance(to_datetime(round(stage.clock.now().timestamp() * 1000) + 2 * M1.ms))
        with pytest.raises(UsageError, match="has changed since it was shown"):
            await hands.close(position.pair, plan.token, OWNER)

        record = await kept.ledger.follow(position.trade_id)
        assert record is not None
        assert [leg.name for leg in record.follow.legs] == end


async def test_a_panic_keeps_the_reason_of_a_pause_that_was_there_before(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage, hands, _ = await with_something_open(kept)
        stage.loop.memory.controls = replace(stage.loop.memory.controls, paused="over the holidays")
        plan = await hands.plan(None)
        done = await hands.close(None, plan.token, OWNER)

        assert done.paused
        assert stage.loop.memory.controls.paused == "over the holidays"


async def test_where_the_newest_minute_has_not_come_the_one_before_it_gives_the_price(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage, hands, there = await with_something_open(kept)
        pair, now = stage.loop.account.positions[0].pair, round(stage.clock.now().timestamp() * 1000)
        known = there.candles_of[pair].between(None, now + M1.ms)
        there.candles_of = {**there.candles_of, pair: known}
        stage.clock.advance(to_datetime(now + 2 * M1.ms))

        (shown,) = (await hands.plan(pair)).closings

        assert (shown.price, shown.price_at) == (known.close[-1], to_datetime(now + M1.ms))


async def test_nothing_is_closed_that_was_not_shown(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        stage, hands, _ = await with_something_open(kept)
        plan = await hands.plan(None)
        pair = stage.loop.account.positions[0].pair
        with pytest.raises(UsageError, match="has changed since it was shown"):
            await hands.close(pair, plan.token, OWNER)
        assert len(stage.loop.account.positions) == len(plan.closings)


async def test_a_pair_the_exchange_no_longer_gives_closes_at_its_last_close_and_says_how_old_it_is(
    tmp_path: Path,
) -> None:
    async with books(tmp_path) as kept:
        stage, hands, there = await with_something_open(kept)
        there.error = MarketError("the exchange does not trade LINK/USDT")
        last = stage.clock.now()
        stage.clock.advance(to_datetime(round(last.timestamp() * 1000) + 3_600_000))
        position = stage.loop.account.positions[0]

        (shown,) = (await hands.plan(position.pair)).closings

        assert (shown.price, shown.price_at) == (position.mark, last)


class Unsure(SqliteLedger):
    """Stores an effect and then fails, as a connection does that breaks before the answer."""

    broken = False

    async def commit(self, effect: Effect) -> bool:
        done = await super().commit(effect)
        if self.broken:
            self.broken = False
            raise StoreError("the answer was lost")
        return done


async def test_a_closing_that_is_stored_but_fails_all_the_same_is_not_booked_again_by_the_next_close(
    tmp_path: Path,
) -> None:
    async with books(tmp_path) as kept:
        kept.ledger = Unsure(kept.db)
        stage, hands, _ = await with_something_open(kept)
        plan = await hands.plan(None)
        kept.ledger.broken = True
        with pytest.raises(StoreError):
            await hands.close(None, plan.token, OWNER)

        row = (round(stage.clock.now().timestamp() * 1000) - START) // M15.ms
        await stage.play(market(LAST), row, row + 5)

        for shown in plan.closings:
            record = await kept.ledger.follow(shown.trade_id)
            assert record is not None
            assert record.follow.exit_reason == "MANUAL"
            assert [leg.name for leg in record.follow.legs][-1] == "MANUAL"
            assert sum(leg.fraction for leg in record.follow.legs) == pytest.approx(1)
        pnl = sum(r.pnl for r in await kept.ledger.closed_trades()) + sum(p.pnl for p in stage.loop.account.positions)
        assert stage.loop.account.cash == pytest.approx(10_000 + pnl)


async def test_a_start_that_the_store_refuses_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with books(tmp_path) as kept:
        loop = TradingLoop(conf(), ReplayClock(to_datetime(START)), kept.ledger)
        with monkeypatch.context() as broken:
            broken.setattr(SqliteLedger, "load", refuse)
            with pytest.raises(StoreError):
                async with loop.changing:
                    await loop.start()
        async with loop.changing:
            await loop.start()
        assert loop.account.cash == 10_000


async def refuse(*_: object) -> None:
    raise StoreError("the disk is full")
