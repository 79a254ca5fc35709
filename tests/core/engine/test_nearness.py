"""How near a signal is: the price that crosses, held against the strategy itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import Strategy
from core.domain.candles import Candles
from core.domain.trading import Direction, Ruling
from core.engine.nearness import crossing_price, filter_verdicts, nearness, side_of
from core.engine.strategy import last_snapshot, propose
from tests.markets import M15, flat, walk

OPEN = Strategy(adx_min=0, volume_ratio_min=0, rsi_long_max=100, rsi_short_min=0, refused_regimes=(), cooldown_bars=0)


def then(candles: Candles, close: float) -> Candles:
    """One candle more, with this close."""
    last = candles.rows(len(candles) - 1, len(candles))
    low, high = min(close, float(last.close[0])), max(close, float(last.close[0]))
    columns = (np.array([value]) for value in (float(last.close[0]), high, low, close, float(last.volume[0])))
    return candles.joined(Candles(candles.pair, M15, last.time + M15.ms, *columns))


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(60, 160), price=st.sampled_from([0.00002, 1.0, 100.0, 64_000.0]))
def test_at_the_price_the_next_close_crosses_and_a_hair_before_it_does_not(seed: int, rows: int, price: float) -> None:
    plain = walk(rows, seed)
    prices = (column * (price / 100) for column in (plain.open, plain.high, plain.low, plain.close))
    columns = (*prices, plain.volume)
    candles = Candles(plain.pair, M15, plain.time, *columns)
    snapshot = last_snapshot(candles, 8)
    assert snapshot is not None
    near = nearness(candles, snapshot)
    assert near is not None
    assert near.next, "one way at least"

    for way in near.next:
        if way.price is None:
            assert side_of(np.append(candles.close, 1e-12 * price)) != way.direction.sign
            continue
        crossed = propose(then(candles, way.price), None, OPEN, 8)
        assert crossed is not None
        assert crossed.direction is way.direction
        short_of_it = then(candles, way.price * (1 - way.direction.sign * 1e-12))
        assert propose(short_of_it, None, OPEN, 8) is None
        assert way.change == pytest.approx(way.price / float(candles.close[-1]) - 1)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(60, 160))
def test_what_has_crossed_is_what_the_strategy_calls_a_candidate(seed: int, rows: int) -> None:
    candles = walk(rows, seed)
    for last in range(55, rows):
        window = candles.rows(0, last)
        snapshot = last_snapshot(window, 8)
        assert snapshot is not None
        near, proposed = nearness(window, snapshot), propose(window, None, OPEN, 8)
        assert near is not None
        assert near.crossed is (proposed.direction if proposed else None)


def test_averages_that_are_equal_may_cross_either_way() -> None:
    candles = flat(60, volume=1.0)
    snapshot = last_snapshot(candles, 8)
    assert snapshot is not None
    near = nearness(candles, snapshot)
    assert near is not None
    assert [c.direction for c in near.next] == [Direction.LONG, Direction.SHORT]
    assert near.gap == 0


def test_after_a_collapse_no_price_crosses_downwards_again() -> None:
    closes = np.concatenate((np.full(39, 1.0), [1e6]))
    assert crossing_price(closes, Direction.SHORT) is None


def test_too_few_candles_have_no_averages() -> None:
    candles = walk(39)
    snapshot = last_snapshot(candles, 8)
    assert snapshot is not None
    assert nearness(candles, snapshot) is None


def test_what_refuses_says_what_it_would_take() -> None:
    snapshot = last_snapshot(walk(120, 3), 8)
    assert snapshot is not None
    calm = replace(snapshot, adx=17.2, hurst=0.41, regime=type(snapshot.regime)("CHOPPY"))
    said = {v.rule: v for v in filter_verdicts(calm, Direction.LONG, 5, Strategy())}

    assert said["adx"].sentence == "ADX 17.2 is below 25"
    assert said["regime"].sentence == "the market is choppy: Hurst 0.41 (below 0.45) and ADX 17.2 (below 20)"
    assert said["cooldown"].sentence == "5 bars since the last signal, 8 wanted: 3 to go"
    assert said["cooldown"].ruling is Ruling.REFUSE


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(60, 160))
def test_a_price_that_stays_crosses_after_exactly_so_many_candles(seed: int, rows: int) -> None:
    candles = walk(rows, seed)
    snapshot = last_snapshot(candles, 8)
    assert snapshot is not None
    near = nearness(candles, snapshot)
    assert near is not None

    side, price, crossed = side_of(candles.close), float(candles.close[-1]), None
    for number in range(1, 45):
        candles = then(candles, price)
        if crossed is None and side_of(candles.close) not in (0, side):
            crossed = number
    assert near.still == crossed
