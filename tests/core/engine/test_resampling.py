"""Markets and orders drawn from real ones keep what they should keep, and change only what they should change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain.candles import DAY_MS, Candles, Pair
from core.engine.metrics import max_drawdown_share
from core.engine.resampling import (
    FAN,
    another_market,
    chained_days,
    p_value,
    reordered,
    shifts,
    stationary_indices,
    whole_days,
)
from tests.markets import LINK, M15, START, walk

ETH = Pair.parse("ETH/USDT")


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


# -- blocks --


def test_blocks_have_the_mean_length_asked_for_and_begin_anywhere() -> None:
    found = stationary_indices(50, 200_000, 4.0, rng())

    follows = (np.diff(found) % 50 == 1).mean()
    assert follows == pytest.approx(1 - 1 / 4 + 1 / 4 / 50, abs=0.005)
    assert np.bincount(found, minlength=50).min() > 3500


def test_blocks_of_one_are_single_draws_and_endless_blocks_the_whole_in_turn() -> None:
    single, endless = stationary_indices(20, 50_000, 1, rng()), stationary_indices(20, 100, 1e12, rng())

    assert (np.diff(single) % 20 == 1).mean() == pytest.approx(1 / 20, abs=0.005)
    assert (np.diff(endless) % 20 == 1).all()


@pytest.mark.parametrize(("count", "block"), [(0, 3.0), (5, 0.5), (5, float("nan"))])
def test_impossible_blocks_are_refused(count: int, block: float) -> None:
    with pytest.raises(ValueError, match="no blocks"):
        stationary_indices(count, 10, block, rng())


# -- days --


def test_whole_days_are_those_that_every_pair_has_with_the_candle_before() -> None:
    first = walk(960)  # ten days
    second = replace(walk(960, 2, gaps={300: 1}), pair=ETH)  # a candle missing on the fourth day

    days = (whole_days([first, second]) - START) // DAY_MS

    assert list(days) == [1, 2, 4, 5, 6, 7, 8, 9]  # before the first day there is no candle


def test_a_day_after_a_gap_is_not_taken_for_its_first_return_is_not_known() -> None:
    candles = walk(960, gaps={192: 96})  # the third day is missing

    assert list((whole_days([candles]) - START) // DAY_MS) == [1, 4, 5, 6, 7, 8, 9, 10]


def test_days_in_a_range() -> None:
    day = START + 3 * DAY_MS

    assert list(whole_days([walk(960)], day, day + 2 * DAY_MS)) == [day, day + DAY_MS]
    assert list(whole_days([walk(960)], day + 1, day + 2 * DAY_MS - 1)) == []
    assert len(whole_days([])) == 0


def test_days_in_their_own_order_are_the_market_as_it_was() -> None:
    candles = walk(960)
    days = whole_days([candles])

    again = chained_days(candles, days, int(days[0]))

    for name in ("time", "open", "high", "low", "close", "volume"):
        np.testing.assert_allclose(getattr(again, name), getattr(candles, name)[96:], rtol=1e-12)


@given(seed=st.integers(0, 10_000), block=st.floats(1, 8))
@settings(max_examples=25)
def test_another_market_is_made_of_real_returns_that_pairs_share(seed: int, block: float) -> None:
    pairs = {LINK: walk(960, 1), ETH: replace(walk(960, 2, price=3.0), pair=ETH)}
    days = whole_days(list(pairs.values()))

    market = another_market(pairs, days, 12, block, rng(seed))

    sources = []
    for pair, made in market.items():
        original = pairs[pair]
        assert len(made) == 12 * 96
        assert (np.diff(made.time) == M15.ms).all()
        assert (made.high >= np.maximum(made.open, made.close)).all()
        assert (made.low <= np.minimum(made.open, made.close)).all()
        assert (made.low > 0).all()
        was, now = np.diff(np.log(original.close)), np.diff(np.log(made.close))
        # Each volume is there once, so it tells where a candle comes from.
        source = np.searchsorted(np.sort(original.volume), made.volume)
        row = np.argsort(original.volume)[source]
        np.testing.assert_array_equal(original.volume[row], made.volume)
        np.testing.assert_allclose(now, was[row[1:] - 1], atol=1e-12)
        np.testing.assert_allclose(made.high / made.close, original.high[row] / original.close[row], rtol=1e-12)
        sources.append(row)
    np.testing.assert_array_equal(sources[0], sources[1])


def test_a_market_without_days_is_refused() -> None:
    with pytest.raises(ValueError, match="no blocks"):
        another_market({LINK: walk(50)}, whole_days([walk(50)]), 5, 3, rng())


# -- orders of trades --


def plain(returns: np.ndarray, cluster: np.ndarray, order: list[int]) -> tuple[float, float]:
    """Final equity and drawdown of clusters in an order, the long way."""
    equity = [1.0]
    for label in order:
        for r in returns[cluster == label]:
            equity.append(equity[-1] * (1 + r))
    return equity[-1], max_drawdown_share(equity)


def test_shuffled_trades_end_where_they_ended_and_fall_as_one_of_the_orders_does() -> None:
    returns, cluster = np.array([0.02, -0.05, 0.03, -0.01, 0.04]), np.array([7, 7, 9, 12, 12])

    paths = reordered(returns, cluster, 400, rng(), replacement=False)

    orders = [[a, b, c] for a in (7, 9, 12) for b in (7, 9, 12) for c in (7, 9, 12) if len({a, b, c}) == 3]
    possible = {round(plain(returns, cluster, order)[1], 12) for order in orders}
    np.testing.assert_allclose(paths.final, np.prod(1 + returns), rtol=1e-12)
    assert {round(float(d), 12) for d in paths.drawdown} == possible


def test_a_loss_right_at_the_start_is_a_fall() -> None:
    paths = reordered(np.array([-0.1, -0.2]), np.array([1, 2]), 50, rng(), replacement=False)

    np.testing.assert_allclose(paths.drawdown, 1 - 0.9 * 0.8, rtol=1e-12)


def test_drawn_trades_come_as_whole_clusters() -> None:
    returns, cluster = np.array([0.02, -0.05, 0.03]), np.array([1, 1, 2])

    paths = reordered(returns, cluster, 400, rng(), replacement=True)

    possible = {round(plain(returns, cluster, [a, b])[0], 12) for a in (1, 2) for b in (1, 2)}
    assert {round(float(f), 12) for f in paths.final} == possible


def test_the_fan_begins_at_the_start_and_ends_at_the_quantiles_of_the_end() -> None:
    returns = rng(3).normal(0.001, 0.02, 60)

    paths = reordered(returns, np.arange(60) // 3, 500, rng(), replacement=True)

    assert paths.fan.shape == (5, 21)
    assert (paths.fan[:, 0] == 1).all()
    np.testing.assert_allclose(paths.fan[:, -1], np.quantile(paths.final, FAN), rtol=1e-12)
    assert (np.diff(paths.fan, axis=0) >= 0).all()
    assert ((paths.drawdown >= 0) & (paths.drawdown < 1)).all()


def test_trades_that_move_together_fall_deeper_together() -> None:
    """Forty days of three equal trades each: torn apart they would look safer than they are."""
    daily = rng(5).normal(0, 0.02, 40)
    returns = np.repeat(daily - daily.mean(), 3)

    together = reordered(returns, np.arange(120) // 3, 2000, rng(), replacement=True)
    apart = reordered(returns, np.arange(120), 2000, rng(), replacement=True)

    assert np.median(together.drawdown) > 1.3 * np.median(apart.drawdown)


def test_no_trades_change_nothing_and_a_total_loss_is_refused() -> None:
    none = reordered(np.empty(0), np.empty(0, dtype=np.int64), 5, rng(), replacement=True)

    assert list(none.final) == [1.0] * 5
    assert list(none.drawdown) == [0.0] * 5
    with pytest.raises(ValueError, match="lose all"):
        reordered(np.array([-1.0]), np.array([1]), 5, rng(), replacement=True)


# -- shifts --


def test_shifts_are_different_and_never_none() -> None:
    few, all_there_are = shifts(1000, 50, rng()), shifts(10, 50, rng())

    assert len(set(few)) == 50
    assert sorted(all_there_are) == list(range(1, 10))
    assert len(shifts(1, 50, rng())) == 0


def test_p_counts_the_real_arrangement_among_the_possible_ones() -> None:
    null = np.array([0.0, 1.0, 2.0, 3.0])

    assert p_value(2.0, null) == 3 / 5
    assert p_value(9.0, null) == 1 / 5
    assert p_value(-1.0, null) == 1


def test_the_candles_given_are_left_alone() -> None:
    candles: Candles = walk(960)
    before = candles.close.copy()

    another_market({LINK: candles}, whole_days([candles]), 5, 3, rng())

    assert np.array_equal(candles.close, before)
