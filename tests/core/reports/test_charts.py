from __future__ import annotations

import dataclasses
import io
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from core.domain.candles import HOUR_MS, Candles, IntArray
from core.domain.trading import Direction, Follow, Leg
from core.engine.fills import advance, begin
from core.engine.strategy import levels
from core.reports.charts import _LABEL, _amount, _draw_fills, _end_row, _zone_at, candle_chart, equity_chart
from tests.markets import LINK, M15, START, flat, walk


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


def test_a_closed_trade_s_levels_end_with_it_and_an_open_one_s_go_on() -> None:
    candles = walk(96)
    entry = int(candles.time[30])
    found = levels(Direction.LONG, float(candles.close[30]), 0.5)
    part = Leg("TP1", int(candles.time[40]), found.targets[0], 0.5, 0.75)
    rest = Leg("STOP", int(candles.time[50]), found.stop, 0.5, -0.5)
    assert _end_row(candles, ()) is None
    assert _end_row(candles, (part,)) is None
    assert _end_row(candles, (part, rest)) == 51
    whole = candle_chart(candles, found, "LINK", (part, rest), entry)
    assert whole != candle_chart(candles, found, "LINK", (part,), entry)


def test_a_fill_within_the_running_candle_is_in_the_picture() -> None:
    """It has a time between the newest candle's open and its own: a fill of a minute is known one timeframe later."""
    candles = walk(96)
    entry, found = int(candles.time[60]), levels(Direction.LONG, float(candles.close[60]), 0.5)
    now = Leg("TP1", int(candles.time[-1]) + 8 * 60_000, found.targets[0], 0.5, 0.75)
    later = replace(now, time=int(candles.time[-1]) + M15.ms)
    bare = candle_chart(candles, found, "LINK", (), entry)
    assert candle_chart(candles, found, "LINK", (now,), entry) != bare
    assert candle_chart(candles, found, "LINK", (later,), entry) == bare


def test_averages_far_from_the_price_are_in_the_picture_whole() -> None:
    """A price that has run away leaves its slow average behind: the axis reaches down to it."""
    close = np.concatenate([np.full(60, 100.0), np.linspace(101, 140, 40)])
    candles = replace(walk(100), open=close, high=close + 0.1, low=close - 0.1, close=close)
    picture = candle_chart(candles, None, "LINK", shown=20)
    image = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
    panel = image[80:600, 30:880]
    slow = (abs(panel - np.array([0x5A, 0xA9, 0xF7])).sum(axis=2) < 40).nonzero()[0]
    assert len(slow) > 200
    assert slow.max() < 515, "it does not leave through the bottom"


@pytest.mark.parametrize(
    ("zone", "name", "tick"),
    [("UTC", "UTC", 0), ("Pacific/Auckland", "NZDT", -13 * HOUR_MS), ("Asia/Kolkata", "IST", -HOUR_MS * 11 // 2)],
)
def test_the_days_of_an_equity_curve_are_those_of_a_zone(zone: str, name: str, tick: int) -> None:
    shift, shown = _zone_at(START, zone)
    assert (shift, shown) == (-tick, name)


def test_the_days_of_a_curve_begin_where_the_zones_do() -> None:
    """A curve in Kolkata is the one in UTC of five and a half hours later, but for the name of the zone."""
    month = [START + n * HOUR_MS for n in range(24 * 30)]
    later = [time + 11 * HOUR_MS // 2 for time in month]
    values = [10_000.0 + n for n in range(len(month))]

    def drawn(times: list[int], zone: str) -> IntArray:
        picture = np.asarray(Image.open(io.BytesIO(equity_chart(times, values, "Equity", zone=zone))).convert("RGB"))
        picture = picture.astype(np.int64)
        picture[730:, 960:] = 0  # where the zone is named
        return picture

    here = drawn(month, "Asia/Kolkata")
    assert (here == drawn(later, "UTC")).all()
    assert (here != drawn(month, "UTC")).any()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (84.2, "84.20"),
        (10_240.4, "10,240"),
        (9_999_999.0, "9,999,999"),
        (12_345_678.0, "12.35M"),
        (-3.04e15, "-3040.00T"),
    ],
)
def test_an_amount_fits_beside_its_curve(value: float, shown: str) -> None:
    assert _amount(value) == shown


def test_the_names_of_fills_that_stand_together_do_not_cover_each_other() -> None:
    """Three targets in one candle of a market that has run away since: their names are a line apart."""
    candles = walk(96)
    figure = Figure(figsize=(9, 6.75))
    axes = figure.add_axes((0.03, 0.24, 0.80, 0.66))
    axes.set_ylim(0, 1_000)
    time, later = int(candles.time[30]), int(candles.time[80])
    near = [Leg(f"TP{n}", time, 500.0 + n, 0.3, 0.5) for n in (1, 2, 3)]
    _draw_fills(axes, candles, [*near, Leg("STOP", later, 502.0, 0.1, -0.1)], 400.0)

    places = {text.get_text()[:3]: text.get_position() for text in axes.texts}
    heights = [places[f"TP{n}"][1] for n in (1, 2, 3)]
    assert np.diff(heights) == pytest.approx([_LABEL, _LABEL])
    assert places["STO"][1] == pytest.approx(0.502 + _LABEL)  # alone at its place, it stays there


@pytest.mark.parametrize("price", [0.0, 1_000.0])
def test_a_fill_s_name_stays_within_the_panel(price: float) -> None:
    candles = walk(96)
    axes = Figure(figsize=(9, 6.75)).add_axes((0.03, 0.24, 0.80, 0.66))
    axes.set_ylim(0, 1_000)
    _draw_fills(axes, candles, [Leg("STOP", int(candles.time[50]), price, 1.0, -1.0)], 500.0)
    assert 0 < axes.texts[0].get_position()[1] < 1
