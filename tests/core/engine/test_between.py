"""Between closes: 1m candles find what the close would find, only sooner and in the right order.

LONG at 100 with a stop at 98: 1R is 2, the targets are 103, 105 and 108.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.config import Settings
from core.domain.candles import HOUR_MS, Candle, Candles, Pair, to_datetime, to_ms
from core.domain.ledger import LegRecord
from core.domain.messages import Event, Notice, TargetHit, TradeClosed
from core.domain.trading import Direction, ExitReason, Follow, FollowKind, Leg
from core.engine import fills, trader
from core.engine.between import ByHand, run_manual, run_minutes
from core.engine.step import Book, Close, run_exits
from core.engine.strategy import levels
from tests.core.engine.test_step import SETTINGS, book, enter, exits
from tests.core.engine.trades import candidate
from tests.markets import LINK, M15, START, bar, minutes_of

ETH = Pair.parse("ETH")
MINUTE = 60_000
BREAKEVEN = Settings.model_validate({"strategy": {"breakeven_after_tp1": True}})
COOLING = Settings.model_validate(
    {"portfolio": {"loss_streak": 2, "cooldown_hours": 6, "max_open_risk": 1.0, "max_correlated": 3}}
)


def minute(number: int, low: float, high: float, row: int = 1) -> Candle:
    """The ``number``-th minute of the candle ``row``."""
    middle = (low + high) / 2
    return Candle(START + row * M15.ms + number * MINUTE, middle, high, low, middle, 1.0)


def opened(config: Settings = SETTINGS) -> Book:
    """LINK bought at 100 at the close of the first candle."""
    return enter(book(), 0, candidate(LINK), config=config)[0]


def only(events: Sequence[Event], kind: type[Any]) -> Any:
    (event,) = [e for e in events if isinstance(e, kind)]
    return event


def test_a_stop_inside_a_candle_is_told_with_the_minute_it_was_known() -> None:
    after, effect = run_minutes(opened(), {LINK: [minute(3, 99, 101), minute(4, 97.5, 99)]}, SETTINGS)

    assert only(effect.events, TradeClosed).time == to_datetime(START + M15.ms + 5 * MINUTE)
    (record,) = effect.follows
    assert (record.follow.exit_reason, record.follow.realized_r, record.follow.bars) == ("STOP_LOSS", -1.0, 1)
    assert effect.cursors == {LINK: START + M15.ms + 4 * MINUTE}
    assert after.account.positions == ()
    assert effect.account == after.account
    assert after.account.cash == pytest.approx(10_000 + record.pnl)
    assert after.follows == {}


def test_a_target_inside_a_candle_leaves_the_rest_open_and_the_books_mark_where_it_was() -> None:
    before = opened()
    after, effect = run_minutes(before, {LINK: [minute(7, 100, 103.2)]}, SETTINGS)

    assert only(effect.events, TargetHit).target == "TP1"
    position = after.account.positions[0]
    assert (position.follow.remaining, position.follow.bars, position.mark) == (0.5, 0, 100.0)
    assert effect.follows[0].last_time == START
    assert after.account.cash == pytest.approx(before.account.cash + effect.legs[0].pnl)


def test_minutes_in_which_nothing_is_filled_store_nothing_but_are_remembered() -> None:
    after, effect = run_minutes(opened(), {LINK: [minute(0, 99, 102)]}, SETTINGS)

    assert effect.quiet
    assert effect.account is None
    assert after.follows[1].follow.mfe_r == pytest.approx(1.0)


def test_a_shadow_lives_by_closes_alone() -> None:
    shadows = enter(book(), 0, candidate(LINK, signal=False))[0]

    after, effect = run_minutes(shadows, {LINK: [minute(0, 90, 91)]}, SETTINGS)

    assert after.follows == shadows.follows
    assert effect.follows == ()


def test_the_close_after_whole_minutes_only_counts_the_bar() -> None:
    small = [minute(n, 99, 103.2 if n == 7 else 102) for n in range(15)]
    looked, _ = run_minutes(opened(), {LINK: small}, SETTINGS)

    after, effect = exits(looked, 1, {LINK: bar(1, 100, 103.2, 99, 101)})

    assert after.follows[1].follow.bars == 1
    assert effect.legs == ()
    assert after.account.positions[0].mark == 101


def test_what_the_minutes_left_out_the_closed_candle_judges() -> None:
    """A low that no minute shows: the closed candle counts."""
    looked, _ = run_minutes(opened(), {LINK: [minute(0, 99, 101)]}, SETTINGS)

    _, effect = exits(looked, 1, {LINK: bar(1, 100, 101, 97, 100)})

    assert only(effect.events, TradeClosed).reason is ExitReason.STOP_LOSS


@pytest.mark.parametrize("seen", [15, 8])
def test_a_stop_that_tp1_moved_does_not_fill_at_a_price_that_came_before_tp1(seen: int) -> None:
    lows = [99.0, *[100.5] * 14]
    small = [minute(n, lows[n], 103.2 if n == 7 else 102) for n in range(seen)]
    looked, _ = run_minutes(opened(BREAKEVEN), {LINK: small}, BREAKEVEN)

    after, effect = exits(looked, 1, {LINK: bar(1, 100, 103.2, 99, 101)}, BREAKEVEN)

    assert effect.legs == ()
    assert after.follows[1].follow.remaining == 0.5
    _, later = exits(after, 2, {LINK: bar(2, 101, 102, 99.9, 100.5)}, BREAKEVEN)
    assert only(later.events, TradeClosed).exit_price == 100


def test_a_stop_that_tp1_moved_fills_in_the_minutes_after_it() -> None:
    small = [minute(0, 100, 103.2), minute(1, 99.9, 103)]
    _, effect = run_minutes(opened(BREAKEVEN), {LINK: small}, BREAKEVEN)

    assert [(r.leg.name, r.leg.price) for r in effect.legs] == [("TP1", 103), ("STOP", 100)]


# Any market: looks at any moments, or none but the close's own, give the same trade.


def candle_path(draws: list[tuple[float, float, float]]) -> Candles:
    price, rows = 100.0, []
    for n, (move, up, down) in enumerate(draws, start=1):
        close = price + move
        rows.append(bar(n, price, max(price, close) + up, min(price, close) - down, close))
        price = close
    return Candles.of(LINK, M15, rows)


moves = st.tuples(st.floats(-3, 3), st.floats(0, 3), st.floats(0, 3))
paths = st.lists(moves, min_size=1, max_size=8)


def through(candles: Candles, small: Candles, looks: Sequence[int], config: Settings = SETTINGS) -> Book:
    """Every candle with looks after these many of its minutes, the rest given with the close."""
    known = opened(config)
    for candle in candles:
        inside = list(small.between(candle.open_time, candle.open_time + M15.ms))
        done = 0
        for stop in sorted(set(looks)):
            if inside[done:stop]:
                known, _ = run_minutes(known, {LINK: inside[done:stop]}, config)
                done = stop
        known, _ = run_minutes(known, {LINK: inside[done:]}, config)
        known, _ = run_exits(known, candle.open_time, {LINK: Close(candle, None)}, config)
    return known


@given(paths, st.integers(0, 5), st.lists(st.integers(1, 15), max_size=4), st.booleans())
@hypothesis_settings(max_examples=150)
def test_when_the_looks_were_made_changes_nothing(
    draws: list[tuple[float, float, float]], seed: int, looks: list[int], breakeven: bool
) -> None:
    config = BREAKEVEN if breakeven else SETTINGS
    candles = candle_path(draws)
    small = minutes_of(candles, seed)

    assert through(candles, small, looks, config) == through(candles, small, [], config)


@given(
    st.lists(st.tuples(paths, st.integers(0, 5), st.sampled_from(list(Direction))), min_size=2, max_size=3),
    st.lists(st.integers(1, 15), max_size=4),
)
@hypothesis_settings(max_examples=100)
def test_trades_that_end_in_the_same_candle_leave_the_same_account_whenever_the_looks_were_made(
    markets: list[tuple[list[tuple[float, float, float]], int, Direction]], looks: list[int]
) -> None:
    """Money, runs of losses and what is told, to the last bit: an end at minute 3 comes before one at minute 9."""
    pairs = [LINK, ETH, Pair.parse("SOL")][: len(markets)]
    candles = {p: replace(candle_path(draws), pair=p) for p, (draws, _, _) in zip(pairs, markets, strict=True)}
    small = {p: minutes_of(candles[p], seed) for p, (_, seed, _) in zip(pairs, markets, strict=True)}

    def lived(stops: Sequence[int]) -> tuple[Book, list[Event], list[LegRecord]]:
        known = book()
        told: list[Event] = []
        legs: list[LegRecord] = []
        for pair, (_, _, direction) in zip(pairs, markets, strict=True):
            known, _ = enter(known, 0, candidate(pair, direction=direction), config=COOLING)
        for row in range(1, max(len(c) for c in candles.values()) + 1):
            opened_at = START + row * M15.ms
            begun = opened_at
            for stop in (*sorted(set(stops)), 15):
                until = opened_at + stop * MINUTE
                now = {p: list(small[p].between(begun, until)) for p in pairs if row <= len(candles[p])}
                known, effect = run_minutes(known, now, COOLING)
                begun, told, legs = until, told + list(effect.events), legs + list(effect.legs)
            closes = {p: Close(candles[p].candle(row - 1), None) for p in pairs if row <= len(candles[p])}
            known, effect = run_exits(known, opened_at, closes, COOLING)
            told, legs = told + list(effect.events), legs + list(effect.legs)
        return known, told, legs

    assert lived(looks) == lived([])


def test_a_loss_before_a_win_ends_no_run_that_the_win_ended() -> None:
    """LINK loses at minute 9, ETH wins at minute 3: found together, the win still came first."""
    known, _ = enter(book(), 0, candidate(LINK), candidate(ETH), config=COOLING)
    small = {LINK: [minute(9, 97, 100)], ETH: [minute(3, 100, 109)]}

    after, effect = run_minutes(known, small, COOLING)

    assert after.account.loss_streak == 1
    assert [e.pair for e in effect.events if isinstance(e, TradeClosed)] == ["ETH/USDT", "LINK/USDT"]


def test_what_a_look_saw_of_the_other_trades_is_stored_with_its_cursor() -> None:
    """Else a kill after it would lose their best price so far: those minutes are not looked at again."""
    known, _ = enter(book(), 0, candidate(LINK), candidate(ETH), config=COOLING)
    small = {LINK: [minute(0, 99, 103.2)], ETH: [minute(0, 99, 102)]}

    after, effect = run_minutes(known, small, COOLING)

    assert effect.cursors.keys() == {LINK, ETH}
    assert {f.follow_id: f for f in effect.follows} == after.follows
    assert after.follows[2].follow.mfe_r == pytest.approx(1.0)


def _legs(follow: Follow) -> list[tuple[str, float, float]]:
    return [(leg.name, leg.price, leg.fraction) for leg in follow.legs]


@given(paths, st.integers(0, 5), st.sampled_from(list(Direction)))
@hypothesis_settings(max_examples=150)
def test_minutes_give_the_fills_of_a_kernel_that_may_look_inside_ambiguous_candles(
    draws: list[tuple[float, float, float]], seed: int, direction: Direction
) -> None:
    candles = candle_path(draws)
    small = minutes_of(candles, seed)
    by_minutes = by_candles = fills.begin(levels(direction, 100.0, 1.0), START)
    for candle in candles:
        inside = list(small.between(candle.open_time, candle.open_time + M15.ms))
        by_candles = fills.advance(by_candles, candle, inside=inside)
        by_minutes = trader.advance(trader.look_inside(by_minutes, inside, SETTINGS), candle, SETTINGS)

    assert _legs(by_minutes) == _legs(by_candles)
    assert (by_minutes.bars, by_minutes.exit_reason) == (by_candles.bars, by_candles.exit_reason)
    for fine, coarse in zip(by_minutes.legs, by_candles.legs, strict=True):
        known = fine.time + M15.ms
        assert coarse.time < known <= coarse.time + M15.ms


# By hand.


def test_a_hand_closes_what_remains_at_its_price_and_moment() -> None:
    known, _ = run_minutes(opened(), {LINK: [minute(7, 100, 103.2)]}, SETTINGS)
    at = START + M15.ms + 9 * MINUTE

    after, effect = run_manual(known, [ByHand(1, 102.0, at)], SETTINGS)

    closed = only(effect.events, TradeClosed)
    assert (closed.reason, closed.exit_price, to_ms(closed.time)) == (ExitReason.MANUAL, 102.0, at)
    assert closed.realized_r == pytest.approx(0.5 * 1.5 + 0.5 * 1.0)
    assert after.account.cash == pytest.approx(10_000 + closed.pnl)
    assert closed.equity == pytest.approx(after.account.cash)
    assert (after.follows, after.account.positions) == ({}, ())


def test_a_hand_on_a_trade_that_is_closed_or_unknown_changes_nothing() -> None:
    before = opened()
    after, effect = run_manual(before, [ByHand(2, 1.0, START)], SETTINGS)

    assert (after, effect.quiet, effect.account) == (before, True, None)


# A run of losses.


def losing(config: Settings, pairs: Sequence[Pair]) -> tuple[Book, list[Event]]:
    known = book()
    told: list[Event] = []
    for row, pair in enumerate(pairs):
        known, _ = enter(known, 2 * row, candidate(pair, row=2 * row), config=config)
        known, effect = exits(known, 2 * row + 1, {pair: bar(2 * row + 1, 100, 100, 97, 97)}, config)
        told += effect.events
    return known, told


def test_a_run_of_losses_pauses_entries_for_hours_and_is_told_once() -> None:
    known, told = losing(COOLING, [LINK, ETH])

    until = START + 4 * M15.ms + 6 * HOUR_MS
    assert (known.account.cooldown_until, known.account.loss_streak) == (until, 0)
    notice = only(told, Notice)
    assert (notice.topic, notice.title) == ("breaker", "2 losing trades in a row: no entries until 01 Jan 07:00 UTC")
    _, effect = enter(known, 4, candidate(LINK, row=4), config=COOLING)
    assert effect.decisions[0].reason == "a run of losses: no entries until 07:00 UTC"
    row = 4 + 6 * 4
    _, effect = enter(known, row, candidate(LINK, row=row), config=COOLING)
    assert effect.decisions[0].status == "taken"


def test_a_run_of_losses_that_a_look_or_a_hand_completes_is_told_too() -> None:
    known, _ = losing(COOLING, [LINK])
    known, _ = enter(known, 2, candidate(ETH, row=2), config=COOLING)

    _, looked = run_minutes(known, {ETH: [minute(4, 97, 100, row=3)]}, COOLING)
    _, by_hand = run_manual(known, [ByHand(2, 99.0, START + 3 * M15.ms + 5 * MINUTE)], COOLING)

    for effect in (looked, by_hand):
        notice = only(effect.events, Notice)
        assert (notice.topic, to_ms(notice.time)) == ("breaker", START + 3 * M15.ms + 5 * MINUTE)
        assert effect.account is not None
        assert effect.account.cooldown_until == to_ms(notice.time) + 6 * HOUR_MS


def test_a_win_ends_the_run_and_without_the_setting_there_is_no_pause() -> None:
    known, _ = losing(COOLING, [LINK])
    known, _ = enter(known, 2, candidate(ETH, row=2), config=COOLING)
    known, _ = exits(known, 3, {ETH: bar(3, 100, 109, 99.5, 108)}, COOLING)
    assert (known.account.loss_streak, known.account.cooldown_until) == (0, 0)

    known, told = losing(SETTINGS, [LINK, ETH, LINK])
    assert (known.account.loss_streak, known.account.cooldown_until) == (3, 0)
    assert not [e for e in told if isinstance(e, Notice) and e.topic == "breaker" and "row" in e.title]


# Holes.


def test_candles_that_never_came_mark_the_open_trade_and_are_told() -> None:
    known, _ = enter(book(), 0, candidate(LINK), candidate(ETH, signal=False))

    after, effect = exits(known, 4, {LINK: bar(4, 100, 101, 99, 100), ETH: bar(4, 100, 101, 99, 100)})

    assert {f.kind: f.missing for f in after.follows.values()} == {
        FollowKind.TRADE: 3,
        FollowKind.SHADOW_CANDIDATE: 3,
    }
    notice = only(effect.events, Notice)
    assert (notice.topic, notice.title) == ("fault", "LINK: 3 candles are missing while trade #1 was open")
    assert notice.detail.startswith("Nobody could watch it from 01 Jan 00:15 to 01:00 UTC. It stays open")
    _, quiet = exits(after, 5, {LINK: bar(5, 100, 101, 99, 100)})
    assert quiet.events == ()


def test_a_trade_that_ends_at_a_long_hole_says_so() -> None:
    _, effect = exits(opened(), 12, {LINK: bar(12, 100, 101, 99, 100)})

    assert only(effect.events, TradeClosed).reason is ExitReason.GAP
    notice = only(effect.events, Notice)
    assert notice.detail.endswith("It ends at the last price known and is no sample.")
    assert effect.follows[0].missing == 11


def test_a_trade_that_ends_at_a_long_hole_does_not_end_before_its_last_target() -> None:
    known, _ = run_minutes(opened(), {LINK: [minute(7, 100, 103.2)]}, SETTINGS)

    _, effect = exits(known, 12, {LINK: bar(12, 100, 101, 99, 100)})

    first, end = effect.follows[0].follow.legs
    assert (first.name, end.name) == ("TP1", "GAP")
    assert first.time == end.time == effect.follows[0].follow.exit_time


def test_a_leg_keeps_the_time_that_makes_it_known_with_its_minute() -> None:
    _, effect = run_minutes(opened(), {LINK: [minute(0, 97, 101)]}, SETTINGS)

    leg: Leg = effect.legs[0].leg
    assert leg.time + M15.ms == START + M15.ms + MINUTE
    assert np.isclose(leg.r, -1.0)
    assert replace(leg, time=0).name == "STOP"
