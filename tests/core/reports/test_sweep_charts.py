from __future__ import annotations

import struct

import numpy as np
import pytest

from core.reports.sweep_charts import HeatMap, heat_chart


def heat(rows: int, columns: int, seed: int = 1, shift: float = 0.0) -> HeatMap:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.2, (2, rows, columns)) + shift
    trades = rng.integers(1, 60, (2, rows, columns))
    names = [tuple(str(5 * index) for index in range(count)) for count in (columns, rows)]
    return HeatMap("stop_atr", "adx_min", names[0], names[1], values[0], values[1], trades[0], trades[1])


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 4), (3, 2), (10, 5), (16, 16)])
def test_maps_of_any_size_are_one_size_of_picture(rows: int, columns: int) -> None:
    png = heat_chart(heat(rows, columns), "180 settings", ("a line", "another"))

    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">II", png[16:24]) == (1080, 1080)


def test_the_same_map_is_the_same_picture_and_another_is_another() -> None:
    one = heat_chart(heat(3, 3), "t")

    assert heat_chart(heat(3, 3), "t") == one
    assert len({one, heat_chart(heat(3, 3, shift=-0.5), "t"), heat_chart(heat(3, 3), "t", ("note",))}) == 3


def test_cells_without_trades_are_left_dark() -> None:
    whole = heat(3, 3)
    values = whole.out_of_sample.copy()
    values[1, 1] = np.nan

    holed = HeatMap(
        "x", "y", whole.x, whole.y, whole.in_sample, values, whole.in_sample_trades, whole.out_of_sample_trades
    )

    assert heat_chart(holed, "t") != heat_chart(whole, "t")
    nothing = np.full((3, 3), np.nan)
    none = np.zeros((3, 3), dtype=np.int64)
    heat_chart(HeatMap("x", "y", whole.x, whole.y, whole.in_sample, nothing, whole.in_sample_trades, none), "t")


def test_nothing_in_sample_is_no_map() -> None:
    nothing, none = np.full((1, 1), np.nan), np.zeros((1, 1), dtype=np.int64)

    with pytest.raises(ValueError, match="nothing was traded in-sample"):
        heat_chart(HeatMap("x", "y", ("1",), ("1",), nothing, nothing, none, none), "t")
