"""What became of the trades of a lived day against what the backtest makes of them: each difference finds its cause."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.domain.candles import Candles, to_ms
from core.engine import trader
from core.engine.between import ByHand, run_manual
from core.engine.outcomes import Outcomes, outcomes_of
from core.services import backtest
from core.services.day_check import BETWEEN, BY_HAND, MISSED, UNKNOWN
from tests.core.services.test_day_check import DAYS, FIRST, Days, days, open_handed


async def test_a_trade_that_candles_were_missing_of_says_how_many(tmp_path: Path) -> None:
    """Without a witness (another ledger, an older bot) the trade itself still knows."""
    async with days(tmp_path) as lived:
        await lived.live()
        row = next(r for r in await lived.kept.ledger.trade_rows(signals_only=True) if r.follow.follow.bars > 3)
        record = replace(row.follow, missing=2, follow=spoilt(row.follow.follow))
        await rewrite(lived, record)
        found = [d for d in await lived.found() if d.what == "outcome"]

    assert [(d.cause, d.detail) for d in found] == [(MISSED, "2 candles of it never came")]


def spoilt(follow: Any) -> Any:
    """The same trade with another R on its last leg."""
    return replace(follow, legs=(*follow.legs[:-1], replace(follow.legs[-1], r=follow.legs[-1].r + 0.5)))


async def rewrite(lived: Days, record: Any) -> None:
    """Changes what the ledger says of a trade, as a fault of the program would."""
    async with lived.kept.db.transaction() as tx:
        await tx.execute("UPDATE follows SET missing = ? WHERE follow_id = ?", (record.missing, record.follow_id))
        await tx.execute("DELETE FROM legs WHERE follow_id = ?", (record.follow_id,))
        await tx.executemany(
            "INSERT INTO legs VALUES (?, ?, ?, ?, ?, ?, ?, 0.0)",
            [
                (record.follow_id, n, leg.name, leg.time, leg.price, leg.fraction, leg.r)
                for n, leg in enumerate(record.follow.legs)
            ],
        )


async def test_what_a_person_closed_is_named(tmp_path: Path) -> None:
    async with days(tmp_path) as lived:
        row = FIRST
        while not lived.stage.loop.account.positions:
            await lived.live(first=row, last=row + 1)
            row += 1
        (held,) = lived.stage.loop.account.positions
        await close_by_hand(lived, held.trade_id)
        await lived.live(first=row)
        found = [d for d in await lived.found() if d.what == "outcome"]

    assert [(d.pair, d.cause) for d in found] == [(held.pair, BY_HAND)]
    assert "MANUAL" in found[0].detail


async def close_by_hand(lived: Days, trade_id: int) -> None:

    loop = lived.stage.loop
    position = next(p for p in loop.account.positions if p.trade_id == trade_id)
    hand = ByHand(trade_id, position.mark, to_ms(lived.stage.clock.now()) + 60_000)
    book, effect = run_manual(loop.memory.book, [hand], loop.in_force)
    assert await lived.kept.ledger.commit(effect)
    loop.memory.book = book


async def test_a_fill_between_closes_is_named_where_it_changed_the_outcome(tmp_path: Path) -> None:
    """A target first, then the stop, within one candle: the backtest can only take the stop."""
    async with days(tmp_path) as lived:
        await lived.live()
        rows = [r for r in await lived.kept.ledger.trade_rows(signals_only=True) if r.follow.follow.closed]
        row = next(r for r in rows if [leg.name for leg in r.follow.follow.legs] == ["STOP"])
        follow = row.follow.follow
        stop = follow.legs[0]
        inside = replace(stop, name="TP1", price=follow.levels.targets[0], fraction=0.5, r=0.75)
        inside = replace(inside, time=stop.time - 10 * 60_000)
        rest = replace(stop, fraction=0.5, r=-0.5)
        await rewrite(lived, replace(row.follow, follow=replace(follow, legs=(inside, rest))))
        named = [d for d in await lived.found() if d.what == "outcome"]
        by_closes = open_handed(paper={"max_leverage": 1000, "exits_between_closes": False})
        off = [d for day in DAYS for d in (await lived.check(day, by_closes)).differences if d.what == "outcome"]

    assert [d.cause for d in named] == [BETWEEN]
    assert [d.cause for d in off] == [UNKNOWN]


async def test_the_same_fills_known_earlier_are_no_difference(tmp_path: Path) -> None:
    async with days(tmp_path) as lived:
        await lived.live()
        expected = [await lived.check(day) for day in DAYS]
        for row in await lived.kept.ledger.trade_rows(signals_only=True):
            legs = tuple(replace(leg, time=leg.time - 3 * 60_000) for leg in row.follow.follow.legs)
            await rewrite(lived, replace(row.follow, follow=replace(row.follow.follow, legs=legs)))

        assert [await lived.check(day) for day in DAYS] == expected


async def test_a_stop_that_never_fires_is_a_difference_without_a_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trader, "advance", lambda follow, candle, settings: replace(follow, bars=follow.bars + 1))
    async with days(tmp_path) as lived:
        await lived.live()
        found = [d for d in await lived.found() if d.what == "outcome"]

    assert found
    assert {d.cause for d in found} == {UNKNOWN}
    assert "paper open +0.00R; backtest " in found[0].detail


async def test_a_backtest_with_other_fill_rules_is_a_difference_without_a_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = outcomes_of

    def wrong(candles: Candles, row: Any, sign: Any, atr: Any, *more: Any, **named: Any) -> Outcomes:
        found = true(candles, row, sign, atr, *more, **named)
        return replace(found, realized_r=found.realized_r + 1, exit_price=found.exit_price * 1.01)

    monkeypatch.setattr(backtest, "outcomes_of", wrong)
    async with days(tmp_path) as lived:
        await lived.live()
        found = [d for d in await lived.found() if d.what == "outcome"]

    assert found
    assert {d.cause for d in found} == {UNKNOWN}


@pytest.mark.parametrize("column", ["price", "fraction", "r"])
async def test_a_leg_that_is_not_the_backtest_s_in_any_number_is_told(tmp_path: Path, column: str) -> None:
    async with days(tmp_path) as lived:
        await lived.live(last=FIRST + 96)
        one = "SELECT max(follow_id) FROM follows WHERE kind = 'trade' AND exit_reason IS NOT NULL"
        async with lived.kept.db.transaction() as tx:
            await tx.execute(f"UPDATE legs SET {column} = {column} * 1.001 WHERE follow_id = ({one})")
        found = (await lived.check(DAYS[0])).differences

    assert [(d.what, d.cause) for d in found] == [("outcome", UNKNOWN)]
