"""A growing window: as a list of candles that is appended to and cut, and nothing handed out ever changes."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.candles import Candles
from core.domain.window import Window
from tests.markets import LINK, M15, START, walk

MARKET = walk(900, gaps={300: 5, 600: 40})


def rows(candles: Candles) -> list[tuple[float, ...]]:
    return [astuple(c) for c in candles]


@given(begin=st.integers(0, 300), steps=st.lists(st.tuples(st.integers(0, 90), st.integers(0, 900)), max_size=8))
def test_it_holds_what_a_list_would_hold_and_views_stay_as_they_were(begin: int, steps: list[tuple[int, int]]) -> None:
    window, wanted = Window(MARKET.rows(0, begin)), rows(MARKET.rows(0, begin))
    handed_out: list[tuple[Candles, list[tuple[float, ...]]]] = []
    row = begin
    for count, cut in steps:
        for candle in MARKET.rows(row, row + count):
            window.append(candle)
            wanted.append(astuple(candle))
        row += count
        time = int(MARKET.time[min(cut, len(MARKET) - 1)])
        window.drop_before(time)
        wanted = [w for w in wanted if w[0] >= time]
        handed_out.append((window.candles, list(wanted)))

    assert len(window) == len(wanted)
    for view, kept in handed_out:
        assert rows(view) == kept
    assert window.last_time == (wanted[-1][0] if wanted else None)
    assert window.last_close == (wanted[-1][4] if wanted else None)


def test_a_view_is_made_once_and_copies_nothing() -> None:
    window = Window(MARKET.rows(0, 500))

    assert window.candles is window.candles
    assert not window.candles.close.flags.owndata


def test_the_candles_it_began_with_are_copied() -> None:
    begun = walk(10)
    window = Window(begun)

    begun.close[3] = -1.0

    assert window.candles.close[3] != -1.0


def test_most_appends_move_nothing() -> None:
    window = Window(Candles.empty(LINK, M15))
    buffers: list[object] = []
    for candle in walk(3000):
        window.append(candle)
        window.drop_before(candle.open_time - 500 * M15.ms)
        base = window.candles.close.base
        if not buffers or base is not buffers[-1]:
            buffers.append(base)

    assert len(window) == 501
    assert len(buffers) <= 14
    assert all(isinstance(b, np.ndarray) and len(b) < 1500 for b in buffers)


@pytest.mark.parametrize("age", [0, 1])
def test_a_candle_that_is_not_newer_is_refused_and_changes_nothing(age: int) -> None:
    window, candles = Window(MARKET.rows(0, 20)), MARKET.rows(0, 20)

    with pytest.raises(ValueError, match="not newer"):
        window.append(candles.candle(19 - age))

    assert rows(window.candles) == rows(candles)


def test_an_empty_window_knows_no_last_candle() -> None:
    window = Window(Candles.empty(LINK, M15))

    assert (len(window), window.last_time, window.last_close) == (0, None, None)
    window.append(MARKET.candle(0))
    assert (window.last_time, window.last_close) == (START, MARKET.close[0])
