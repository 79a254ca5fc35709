from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import Strategy
from core.domain.candles import Candle, Candles, Timeframe
from core.domain.trading import Direction, ExitReason, Follow
from core.engine.fills import Fills, Order, advance, begin, close_at, net_r
from core.engine.indicators import indicators
from core.engine.outcomes import EXITS, OPEN, find_outcomes
from core.engine.strategy import candidates, levels
from tests.markets import LINK, M15, START, bar, times, walk

MAX_GAP = 2
M5 = Timeframe.parse("5m")


def bar_by_bar(
    candles: Candles,
    row: int,
    sign: int,
    atr: float,
    max_bars: int,
    fills: Fills,
    breakeven: bool,
    order: Order = "stop",
    detail: Candles | None = None,
) -> Follow:
    """The same entry by the live kernel, ended at the first long gap."""
    direction = Direction.LONG if sign > 0 else Direction.SHORT
    follow = begin(levels(direction, float(candles.close[row]), atr), int(candles.time[row]))
    before = candles.candle(row)
    for index in range(row + 1, len(candles)):
        candle = candles.candle(index)
        if candle.open_time - before.open_time > (MAX_GAP + 1) * M15.ms:
            return close_at(follow, before.close, before.open_time, ExitReason.GAP)
        inside = smaller(detail, candle) if detail is not None else []
        follow = advance(
            follow, candle, max_bars=max_bars, fills=fills, breakeven=breakeven, order=order, inside=inside
        )
        if follow.closed:
            break
        before = candle
    return follow


def smaller(detail: Candles, candle: Candle) -> list[Candle]:
    """The detail of one candle, or nothing where it does not cover it."""
    found = [c for c in detail if candle.open_time <= c.open_time < candle.open_time + M15.ms]
    return found if len(found) == 3 else []


@st.composite
def markets(draw: st.DrawFn) -> Candles:
    """2 to 40 candles on a coarse grid, so that stops and targets are often touched exactly, with gaps."""
    rows = draw(st.integers(2, 40))
    numbers = st.integers(-6, 6)
    level, columns = 100.0, []
    for _ in range(rows):
        moves = [draw(numbers) / 2 for _ in range(4)]
        prices = [level + m for m in moves]
        columns.append((prices[0], max(prices), min(prices), prices[3]))
        level = min(140.0, max(60.0, prices[3]))
    gaps = draw(st.dictionaries(st.integers(1, rows - 1), st.integers(0, 4), max_size=3))
    table = np.array(columns)
    opened, high, low, close = table.T.copy()
    return Candles(LINK, M15, times(rows, gaps), opened, high, low, close, np.ones(rows))


@st.composite
def details(draw: st.DrawFn, candles: Candles) -> Candles | None:
    """5m candles for some of the candles: three parts, mostly within the candle, in any order, or only two of them."""
    if draw(st.booleans()):
        return None
    parts = []
    for candle in candles:
        grid = st.sampled_from([candle.low, candle.open, candle.close, candle.high, candle.high + 0.5])
        for part in range(draw(st.sampled_from([0, 2, 3, 3, 3]))):
            ends = sorted((draw(grid), draw(grid)))
            parts.append(Candle(candle.open_time + part * M5.ms, ends[0], ends[1], ends[0], ends[1], 1.0))
    return Candles.of(LINK, M5, parts)


@given(
    data=st.data(),
    candles=markets(),
    sign=st.sampled_from([1, -1]),
    atr=st.sampled_from([0.25, 0.5, 1.0, 1.3, 2.0]),
    max_bars=st.integers(1, 12),
    fills=st.sampled_from(["reference", "pessimistic"]),
    breakeven=st.booleans(),
    order=st.sampled_from(["stop", "target"]),
)
def test_the_array_search_is_the_bar_by_bar_kernel(
    data: st.DataObject,
    candles: Candles,
    sign: int,
    atr: float,
    max_bars: int,
    fills: Fills,
    breakeven: bool,
    order: Order,
) -> None:
    row = np.arange(len(candles))
    detail = data.draw(details(candles))
    found = find_outcomes(
        candles,
        row,
        np.full(len(row), sign, dtype=np.int8),
        np.full(len(row), atr),
        max_bars=max_bars,
        fills=fills,
        breakeven=breakeven,
        max_gap=MAX_GAP,
        order=order,
        detail=detail,
    )
    net = found.net_r(0.0005, 0.001)

    for index in row:
        expected = bar_by_bar(candles, int(index), sign, atr, max_bars, fills, breakeven, order, detail)
        assert found.follow(int(index), candles) == expected
        assert net[index] == net_r(expected.levels, expected.legs, 0.0005, 0.001)
        code = found.exit[index]
        assert (None if code == OPEN else EXITS[code]) == expected.exit_reason


@pytest.mark.parametrize("fills", ["reference", "pessimistic"])
@pytest.mark.parametrize("breakeven", [False, True])
@pytest.mark.parametrize(("seed", "order"), [(1, "stop"), (2, "target")])
def test_it_is_so_on_a_long_market_with_its_own_candidates(
    seed: int, breakeven: bool, fills: Fills, order: Order
) -> None:
    candles = walk(4000, seed=seed, gaps={1300: 3, 2500: 1})
    ind = indicators(candles, MAX_GAP)
    entries = candidates(candles, ind, Strategy(), max_gap=MAX_GAP)
    atr = ind.atr[entries.row]

    found = find_outcomes(
        candles, entries.row, entries.sign, atr, fills=fills, breakeven=breakeven, max_gap=MAX_GAP, order=order
    )

    assert len(found) > 50
    for index, (row, sign) in enumerate(zip(entries.row, entries.sign, strict=True)):
        expected = bar_by_bar(candles, int(row), int(sign), float(atr[index]), 100, fills, breakeven, order)
        assert found.follow(index, candles) == expected


def test_an_ambiguous_candle_by_either_order_and_by_its_detail() -> None:
    """Entry at 100 with the stop at 98 and targets at 103, 105 and 108; then one candle from 97 to 106."""
    coarse = Candles.of(LINK, M15, [bar(0, 100, 100, 100, 100), bar(1, 100, 106, 97, 100)])
    first_up = [(104.0, 99.0), (104.0, 97.0), (106.0, 98.0)]  # highs and lows of its 5m candles

    def outcome(order: Order, parts: list[tuple[float, float]]) -> tuple[str, float, float, bool]:
        small = [Candle(START + M15.ms + n * M5.ms, low, high, low, high, 1.0) for n, (high, low) in enumerate(parts)]
        detail = Candles.of(LINK, M5, small)
        one, atr = np.array([1], dtype=np.int8), np.array([1.0])
        found = find_outcomes(coarse, np.array([0]), one, atr, order=order, detail=detail)
        follow = found.follow(0, coarse)
        assert follow.ambiguous
        legs = " ".join(leg.name for leg in follow.legs)
        return legs, round(follow.realized_r, 9), follow.mfe_r, bool(found.decided[0])

    assert outcome("stop", []) == ("STOP", -1.0, 0.0, False)
    assert outcome("target", []) == ("TP1 TP2 STOP", 0.75 + 0.75 - 0.2, 3.0, False)
    orders: tuple[Order, ...] = ("stop", "target")
    for order in orders:
        assert outcome(order, first_up) == ("TP1 STOP", 0.75 - 0.5, 2.0, True)
        assert outcome(order, first_up[::-1]) == ("STOP", -1.0, 0.0, True)
    assert outcome("stop", first_up[:2]) == outcome("stop", [])
    assert outcome("stop", [(104.0, 99.0)] * 3) == outcome("stop", [])


def test_a_candle_that_opens_beyond_the_stop_stops_first_in_either_order() -> None:
    candles = Candles.of(LINK, M15, [bar(0, 100, 100, 100, 100), bar(1, 97, 106, 96, 100)])

    found = find_outcomes(candles, np.array([0]), np.array([1], dtype=np.int8), np.array([1.0]), order="target")

    assert (found.targets_hit[0], found.realized_r[0], found.ambiguous[0]) == (0, -1.0, True)


@pytest.mark.parametrize("max_bars", [1, 2, 3])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_last_bar_of_a_trade_counts_whole_and_none_behind_it(max_bars: int, sign: int) -> None:
    """Entry at 100 with the stop 2 away and targets 3, 5 and 8 away; quiet, then on one bar 3 against and 6 for it."""

    def outcome(wild: int, order: Order) -> tuple[str, float, float, bool, int]:
        bars = [bar(row, 100, 100, 100, 100) for row in range(max_bars + 2)]
        best, worst = 100 + sign * 6, 100 - sign * 3
        bars[wild] = bar(wild, 100, max(best, worst), min(best, worst), 100)
        candles = Candles.of(LINK, M15, bars)
        one, atr = np.array([sign], dtype=np.int8), np.array([1.0])
        follow = find_outcomes(candles, np.array([0]), one, atr, max_bars=max_bars, order=order).follow(0, candles)
        return "".join(leg.name for leg in follow.legs), follow.realized_r, follow.mfe_r, follow.ambiguous, follow.bars

    assert outcome(max_bars, "stop") == ("STOP", -1.0, 0.0, True, max_bars)
    assert outcome(max_bars, "target") == ("TP1TP2STOP", 0.75 + 0.75 - 0.2, 3.0, True, max_bars)
    assert outcome(max_bars + 1, "target") == ("TIMEOUT", 0.0, 0.0, False, max_bars)


def test_more_entries_than_one_chunk_are_put_together() -> None:
    candles = walk(6000, seed=3)
    row = np.arange(5000)
    sign, atr = np.ones(5000, dtype=np.int8), np.full(5000, 0.4)

    whole = find_outcomes(candles, row, sign, atr)
    last = find_outcomes(candles, row[4990:], sign[4990:], atr[4990:])

    assert np.array_equal(whole.realized_r[4990:], last.realized_r)
    assert np.array_equal(whole.target_row[4990:], last.target_row)


def test_no_entries_give_no_outcomes() -> None:
    nothing = np.empty(0, dtype=np.int64)

    found = find_outcomes(walk(100), nothing, nothing.astype(np.int8), np.empty(0))

    assert len(found) == 0
    assert found.targets.shape == (0, 3)
    assert len(found.net_r(0.001, 0.001)) == 0


@pytest.mark.parametrize("atr", [0.0, np.nan])
def test_an_entry_needs_an_atr(atr: float) -> None:
    with pytest.raises(ValueError, match="ATR"):
        find_outcomes(walk(100), np.array([60]), np.array([1], dtype=np.int8), np.array([atr]))


def test_changing_what_comes_after_the_exit_changes_nothing() -> None:
    candles = walk(1000, seed=4)
    row, sign, atr = np.array([300]), np.array([1], dtype=np.int8), np.array([0.5])
    found = find_outcomes(candles, row, sign, atr)
    cut = int(found.exit_row[0]) + 1

    changed = candles.rows(0, cut).joined(walk(1000, seed=5, price=3.0).rows(cut, None))

    assert find_outcomes(changed, row, sign, atr).follow(0, changed) == found.follow(0, candles)
