"""Looks, closes, hands, pauses, restarts and cancellations in any order and at once: the books hold after each of them.

A real ledger on made-up markets, the dice thrown from a seed. Minutes come late, in parts, with holes, and contradict
the closed candle; looks are switched off and on again and a pair leaves the settings between two lives. What was cut
off leaves the memory in doubt: whoever changes it next must find it as the store has it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.adapters.clocks import ReplayClock
from core.config import Settings
from core.domain.account import Account
from core.domain.candles import Candle, Candles, Pair, to_datetime
from core.domain.trading import Direction, FollowKind
from core.engine.between import ByHand
from core.errors import StoreError
from core.ports import TradeRow
from core.services.loop import TradingLoop
from tests.core.services.test_never_loses import CONFIG, FIRST, M1, NAMES, books_hold
from tests.ledgers import Books, books
from tests.markets import M15, START, minutes_of, walk

LAST = 210


def swinging(seed: int) -> dict[Pair, Candles]:
    """Prices that swing, so that the averages cross every dozen candles; some holes, one of them too long."""
    made = {}
    for n, name in enumerate(NAMES):
        candles = walk(LAST, seed * 10 + n)
        rows = np.arange(LAST)
        close = np.round(
            100 + 2 * np.sin(2 * np.pi * rows / (22 + 14 * ((seed + n) % 4))) + 0.05 * (candles.close - 100), 2
        )
        opened = np.concatenate(([close[0]], close[:-1]))
        reach = (candles.high - candles.low) * 0.5
        high, low = np.maximum(opened, close) + reach, np.minimum(opened, close) - reach
        keep = np.ones(LAST, dtype=bool)
        for first, missing in ((150, 2), (175, 9)):
            keep[first + 3 * n : first + 3 * n + missing * (n < 3)] = False
        columns = (column[keep] for column in (opened, high, low, close, candles.volume))
        made[Pair.parse(name)] = Candles(Pair.parse(name), M15, candles.time[keep], *columns)
    return made


class Late:
    """An exchange that gives minutes as it likes: after some turns of the loop, not all of them, some made up."""

    def __init__(self, honest: dict[Pair, Candles], dice: random.Random) -> None:
        self.given = {pair: self._doubtful(candles, dice) for pair, candles in honest.items()}
        self.dice = dice

    def _doubtful(self, candles: Candles, dice: random.Random) -> Candles:
        kept = [self._moved(c, dice) for c in candles if dice.random() > 0.1]
        return Candles.of(candles.pair, M1, kept)

    def _moved(self, candle: Candle, dice: random.Random) -> Candle:
        if dice.random() > 0.02:
            return candle
        far = dice.choice((0.99, 1.01))
        return replace(candle, high=max(candle.high, candle.open * far), low=min(candle.low, candle.open * far))

    async def minutes(self, pair: Pair, start_ms: int, end_ms: int) -> Candles:
        for _ in range(self.dice.randrange(4)):
            await asyncio.sleep(0)
        if self.dice.random() < 0.2:
            return Candles.empty(pair, M1)
        late = self.dice.randrange(4) * M1.ms if self.dice.random() < 0.3 else 0
        return self.given[pair].between(start_ms, max(start_ms, end_ms - late))


class Life:
    """One store, and the lives of the loop on it."""

    def __init__(self, path: Path, kept: Books, seed: int) -> None:
        self.path, self.kept, self.dice = path / "julaba.sqlite", kept, random.Random(seed)
        self.candles = swinging(seed)
        lived = {pair: c.between(START + FIRST * M15.ms, None) for pair, c in self.candles.items()}
        self.late = Late({pair: minutes_of(c, seed) for pair, c in lived.items()}, self.dice)
        self.now = START + FIRST * M15.ms
        self.hands: set[int] = set()
        self.loop: TradingLoop

    async def begin(self, config: Settings = CONFIG) -> None:
        clock = ReplayClock(to_datetime(self.now))
        self.clock = clock
        self.loop = TradingLoop(config, clock, self.kept.ledger, minutes=self.late)
        await self.recover()

    async def recover(self) -> None:
        """As ``LiveTrading`` begins: the memory from the store, and what was missed through the same steps."""
        async with self.loop.changing:
            await self.loop.start()
        missed: dict[Pair, Candles] = {}
        for pair, candles in self.candles.items():
            handled = self.loop.handled(pair)
            cut = START + FIRST * M15.ms if handled is None else handled + 1
            known = candles.between(None, M15.floor(self.now))
            self.loop.warm(known.between(None, cut))
            if len(known.between(cut, None)):
                missed[pair] = known.between(cut, None)
        await self.loop.handle(missed)

    def at(self, now: int) -> None:
        self.now = now
        if to_datetime(now) > self.clock.now():
            self.clock.advance(to_datetime(now))

    async def close(self) -> None:
        at = M15.floor(self.now) - M15.ms
        batch = {p: c.between(at, at + 1) for p, c in self.candles.items()}
        await self.loop.handle({p: c for p, c in batch.items() if len(c)})

    async def hand(self) -> None:
        for position in self.loop.account.positions[:1]:
            found = self.late.given[position.pair].between(self.now - 3 * M1.ms, M1.floor(self.now))
            if len(found):
                self.hands.add(position.trade_id)
                await self.loop.close_by_hand([ByHand(position.trade_id, float(found.close[-1]), self.now)])

    async def pause(self) -> None:
        async with self.loop.changing:
            for paused in ("for the test", ""):
                controls = replace(self.loop.memory.controls, paused=paused)
                await self.kept.ledger.set_controls(controls)
                self.loop.memory.controls = controls

    async def together(self, *works: Coroutine[Any, Any, None]) -> bool:
        """All at once, in any order, one of them perhaps cut off somewhere; whether one was."""
        order = list(works)
        self.dice.shuffle(order)
        tasks = [asyncio.ensure_future(work) for work in order]
        cut = self.dice.random() < 0.25
        if cut:
            for _ in range(self.dice.randrange(40)):
                await asyncio.sleep(self.dice.choice((0, 0, 0.0005)))
            self.dice.choice(tasks).cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        failed = [error for error in done if isinstance(error, Exception)]
        assert not failed, failed
        return any(isinstance(error, asyncio.CancelledError) for error in done)

    async def holds(self) -> None:
        books_hold(self.path)
        async with self.loop.changing:
            pass  # the door that sets a memory in doubt right
        state = await self.kept.ledger.load()
        memory = self.loop.memory
        if state.account is not None:
            assert bare(self.loop.account) == bare(state.account)
        assert {n: r.follow.legs for n, r in memory.book.follows.items()} == {
            r.follow_id: r.follow.legs for r in state.follows
        }
        assert memory.cursors["exits"] == state.cursors["exits"]
        assert memory.cursors["entries"] == state.cursors["entries"]
        assert (memory.book.next_decision_id, memory.book.next_follow_id, memory.outcomes) == (
            state.next_decision_id,
            state.next_follow_id,
            state.outcomes,
        )

    async def prices_were_there(self) -> None:
        """Every leg of a trade at a price that a candle reached, in its order, and none before it could be known."""
        for row in await self.kept.ledger.trade_rows():
            record = row.follow
            if record.kind is not FollowKind.TRADE:
                continue
            follow = record.follow
            times = [leg.time for leg in follow.legs]
            assert times == sorted(times)
            for leg in follow.legs:
                known = leg.time + M15.ms
                assert follow.entry_time + M15.ms < known <= self.now or leg.name == "GAP"
                if leg.name in ("GAP", "MANUAL"):
                    continue
                candle = self._candle(record.pair, known)
                if leg.name == "TIMEOUT":
                    assert leg.price == candle.close
                elif (leg.name == "STOP") == (follow.levels.direction is Direction.LONG):
                    assert candle.low <= leg.price
                else:
                    assert candle.high >= leg.price

    def _candle(self, pair: Pair, known: int) -> Candle:
        """The one that closed then: whichever of the two reached further."""
        whole = list(self.candles[pair].between(known - M15.ms, known - M15.ms + 1))
        small = list(self.late.given[pair].between(known - M1.ms, known))
        found = [*whole, *small]
        return replace(found[0], high=max(c.high for c in found), low=min(c.low for c in found))


def bare(account: Account) -> Account:
    """Without best and worst price so far: a look in which nothing is filled keeps them in mind only."""
    positions = tuple(replace(p, follow=replace(p.follow, mfe_r=0.0, mae_r=0.0)) for p in account.positions)
    return replace(account, positions=positions)


def other(dice: random.Random) -> Settings:
    """The settings of the next life."""
    pairs = CONFIG.pairs[:2] if dice.random() < 0.2 else CONFIG.pairs
    paper = CONFIG.paper.model_copy(update={"exits_between_closes": dice.random() < 0.7})
    portfolio = CONFIG.portfolio.model_copy(update={"daily_loss": 0.5, "drawdown_pause": 0.9, "drawdown_warn": 0.8})
    fills = dice.choice(("reference", "pessimistic"))
    strategy = CONFIG.strategy.model_copy(update={"breakeven_after_tp1": dice.random() < 0.5})
    changes = {"pairs": pairs, "paper": paper, "portfolio": portfolio, "fills": fills, "strategy": strategy}
    return CONFIG.model_copy(update=changes)


async def lived(path: Path, seed: int) -> Life:
    async with books(path) as kept:
        life = Life(path, kept, seed)
        await life.begin(other(life.dice))
        for row in range(FIRST, LAST):
            for minute in sorted(life.dice.sample(range(1, 15), 2)):
                life.at(START + row * M15.ms + minute * M1.ms)
                works = [life.loop.look_inside(life.now)]
                works += [life.hand()] if life.dice.random() < 0.03 else []
                works += [life.pause()] if life.dice.random() < 0.03 else []
                await life.together(*works)
                await life.holds()
                if life.dice.random() < 0.1:
                    await life.begin(other(life.dice))
                    await life.holds()
            life.at(START + (row + 1) * M15.ms + 500)
            works = [life.close(), life.loop.look_inside(life.now)]
            works += [life.hand()] if life.dice.random() < 0.03 else []
            if await life.together(*works):
                await life.loop.look_inside(life.now)  # somebody is quicker than the new beginning
                if life.dice.random() < 0.3:
                    await life.hand()
                await life.holds()
                await life.recover()
            await life.holds()
        await life.prices_were_there()
        return life


@pytest.mark.parametrize("seed", [1, 2, 3, 6])
async def test_whatever_comes_in_whatever_order_the_books_hold(tmp_path: Path, seed: int) -> None:
    life = await lived(tmp_path, seed)

    ends = {row.follow.follow.exit_reason for row in await trades(tmp_path)}
    assert "STOP_LOSS" in ends
    assert life.hands


async def trades(path: Path) -> list[TradeRow]:
    async with books(path) as kept:
        return await kept.ledger.trade_rows()


class Wild:
    """Minutes that reach every price."""

    async def minutes(self, pair: Pair, start_ms: int, end_ms: int) -> Candles:
        times = range(start_ms, end_ms, M1.ms)
        return Candles.of(pair, M1, [Candle(t, 100.0, 1000.0, 1.0, 100.0, 1.0) for t in times])


@pytest.mark.parametrize("missing", [0, 1])
async def test_after_missing_candles_no_minute_ends_a_trade_but_the_closed_candle_alone(
    tmp_path: Path, missing: int
) -> None:
    async with books(tmp_path) as kept:
        life = Life(tmp_path, kept, seed=1)
        await life.begin()
        while not life.loop.account.positions:
            life.at(life.now + M15.ms)
            await life.close()
        (position,) = life.loop.account.positions
        life.loop._minutes = Wild()
        life.at(life.now + (1 + missing) * M15.ms)
        await life.close()

        record = await kept.ledger.follow(position.trade_id)
        assert record is not None
        assert (record.follow.closed, record.missing) == (not missing, missing)


class Told(Wild):
    """Minutes as (low, high), from the first one after ``start`` on."""

    def __init__(self, start: int, *reached: tuple[float, float]) -> None:
        self.start, self.reached = start, reached

    async def minutes(self, pair: Pair, start_ms: int, end_ms: int) -> Candles:
        found = [
            Candle(self.start + n * M1.ms, low, high, low, high, 1.0) for n, (low, high) in enumerate(self.reached)
        ]
        return Candles.of(pair, M1, found).between(start_ms, end_ms)


async def test_a_minute_is_looked_at_once_also_where_tp1_has_moved_the_stop_since(tmp_path: Path) -> None:
    strategy = CONFIG.strategy.model_copy(update={"breakeven_after_tp1": True})
    async with books(tmp_path) as kept:
        life = Life(tmp_path, kept, seed=1)
        await life.begin(CONFIG.model_copy(update={"strategy": strategy}))
        while not life.loop.account.positions:
            life.at(life.now + M15.ms)
            await life.close()
        levels = life.loop.account.positions[0].follow.levels
        at, beyond = levels.entry, (levels.entry + levels.targets[0]) / 2
        around, first, past = (at, at), sorted((beyond, levels.targets[0])), (beyond, beyond)
        life.loop._minutes = Told(life.now, around, (first[0], first[1]), past, past)
        for minute in (2, 4):
            await life.loop.look_inside(life.now + minute * M1.ms)

        (position,) = life.loop.account.positions
        assert [leg.name for leg in position.follow.legs] == ["TP1"]


async def test_a_minute_that_is_still_running_is_not_looked_at_whatever_the_exchange_gives(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        life = Life(tmp_path, kept, seed=1)
        await life.begin()
        while not life.loop.account.positions:
            life.at(life.now + M15.ms)
            await life.close()
        levels = life.loop.account.positions[0].follow.levels
        calm, everything = (levels.entry, levels.entry), (1.0, 1000.0)
        life.loop._minutes = Told(life.now, calm, everything)
        await life.loop.look_inside(life.now + M1.ms + 59_000)
        assert life.loop.account.positions
        await life.loop.look_inside(life.now + 2 * M1.ms)
        assert not life.loop.account.positions


async def test_a_pair_that_comes_late_does_not_write_over_the_equity_of_a_close_that_is_past(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        life = Life(tmp_path, kept, seed=1)
        await life.begin()
        while not life.loop.account.positions:
            life.at(life.now + M15.ms)
            await life.close()
        pair, late = life.loop.account.positions[0].pair, life.now
        for _ in range(2):
            life.at(life.now + M15.ms)
            at = life.now - M15.ms
            await life.loop.handle({p: c.between(at, at + 1) for p, c in life.candles.items() if p != pair})
        before = await kept.ledger.equity_curve()
        await life.loop.handle({pair: life.candles[pair].between(late, late + 1)})

        assert await kept.ledger.equity_curve() == before
        record = await kept.ledger.follow(life.loop.account.positions[0].trade_id)
        assert record is not None
        assert record.last_time == late


class Overtaken(Wild):
    """The first who asks waits for an answer; who asks after that gets none."""

    def __init__(self) -> None:
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def minutes(self, pair: Pair, start_ms: int, end_ms: int) -> Candles:
        if self.asked.is_set():
            return Candles.empty(pair, M1)
        self.asked.set()
        await self.go.wait()
        return await super().minutes(pair, start_ms, end_ms)


async def test_minutes_that_come_after_their_close_was_handled_are_not_looked_at(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        life = Life(tmp_path, kept, seed=1)
        await life.begin()
        while not life.loop.account.positions:
            life.at(life.now + M15.ms)
            await life.close()
        late = life.loop._minutes = Overtaken()
        looking = asyncio.ensure_future(life.loop.look_inside(life.now + 5 * M1.ms))
        await late.asked.wait()
        life.at(life.now + M15.ms)
        await life.close()
        before = life.loop.memory.book
        late.go.set()
        await looking

        assert before.account.positions
        assert life.loop.memory.book == before


async def test_a_leg_that_is_booked_a_second_time_is_refused_with_all_that_came_with_it(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        life = Life(tmp_path, kept, seed=1)
        await life.begin()
        while not life.loop.account.positions:
            life.at(life.now + M15.ms)
            await life.close()
        before = life.loop.memory.book
        hand = [ByHand(life.loop.account.positions[0].trade_id, 100.0, life.now)]
        await life.loop.close_by_hand(hand)
        after = life.loop.memory.book

        life.loop.memory.book = before  # as if nobody had heard that it is stored
        with pytest.raises(StoreError, match="UNIQUE"):
            await life.loop.close_by_hand(hand)
        life.loop.memory.book = after
        await life.holds()
