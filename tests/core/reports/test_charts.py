from __future__ import annotations

import dataclasses
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from core.domain.candles import Candles
from core.domain.trading import Direction, Follow
from core.engine.fills import advance, begin
from core.engine.strategy import levels
from core.reports.charts import candle_chart, equity_chart
from tests.markets import LINK, M15, flat, walk


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def followed(candles: Candles, row: int, direction: Direction) -> Follow:
    follow = begin(levels(direction, float(candles.close[row]), 0.3), int(candles.time[row]))
    for index in range(row + 1, len(candles)):
        follow = advance(follow, candles.candle(index))
    return follow


MARKET = walk(220, seed=2, gaps={150: 4})


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("row", [0, 60, 130, 219])
def test_a_trade_is_drawn_wherever_it_began(direction: Direction, row: int) -> None:
    follow = followed(MARKET, row, direction)

    png = candle_chart(MARKET, follow.levels, "LINK/USDT · 15m", follow.legs, follow.entry_time, shown=120)

    assert size(png) == (1080, 810)


def test_the_fills_and_the_levels_are_in_the_picture() -> None:
    follow = followed(MARKET, 130, Direction.LONG)
    assert follow.legs

    bare = candle_chart(MARKET, None, "t")
    with_levels = candle_chart(MARKET, follow.levels, "t", (), follow.entry_time)
    with_fills = candle_chart(MARKET, follow.levels, "t", follow.legs, follow.entry_time)

    assert len({bare, with_levels, with_fills}) == 3


def test_the_same_input_gives_the_same_bytes_in_any_thread() -> None:
    with ThreadPoolExecutor(4) as pool:
        pictures = set(pool.map(lambda _: candle_chart(MARKET, None, "t"), range(6)))

    assert len(pictures) == 1


@pytest.mark.parametrize(
    "candles",
    [
        walk(1),
        walk(2),
        walk(10),
        flat(50),
        dataclasses.replace(flat(50, price=1e-7), volume=np.ones(50)),
        walk(50, price=1e6),
    ],
    ids=["one", "two", "ten", "flat", "tiny", "huge"],
)
def test_odd_markets_are_drawn(candles: Candles) -> None:
    assert size(candle_chart(candles, None, "odd $ & <title>")) == (1080, 810)


def test_without_candles_there_is_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="no candles"):
        candle_chart(Candles.empty(LINK, M15), None, "t")


@pytest.mark.parametrize("equity", [[10_000], [10_000, 10_000], [0, 2.3, 1.3, 0.3], list(range(100, 400))])
def test_equity_is_drawn(equity: list[float]) -> None:
    times = MARKET.time[0] + np.arange(len(equity)) * 86_400_000

    assert size(equity_chart(times, equity, "Equity")) == (1080, 810)


@pytest.mark.parametrize(("times", "equity"), [([], []), ([1, 2], [1.0])])
def test_equity_needs_its_times(times: list[int], equity: list[float]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        equity_chart(times, equity, "Equity")
