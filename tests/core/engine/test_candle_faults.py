"""What is wrong with candles is found where it is, and good candles are left in peace."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.domain.candles import Candle, Candles, Pair, Timeframe
from core.engine.candle_faults import Gap, find_faults, find_gaps, shown_time

START = 1_704_067_200_000
M15 = Timeframe.parse("15m")
STEP = M15.ms


def made(count: int) -> list[Candle]:
    return [Candle(START + i * STEP, 10.0, 11.0, 9.0, 10.5, 3.0) for i in range(count)]


def candles(rows: list[Candle]) -> Candles:
    return Candles.of(Pair("LINK", "USDT"), M15, rows)


def changed(row: int, **values: Any) -> Candles:
    rows = made(6)
    rows[row] = replace(rows[row], **values)
    return candles(rows)


def test_good_candles_have_no_faults_and_flat_ones_without_volume_are_good() -> None:
    assert find_faults(candles(made(6))) == []
    assert find_faults(changed(2, open=9.0, high=9.0, low=9.0, close=9.0, volume=0.0)) == []
    assert find_faults(candles([])) == []


def test_a_gap_is_no_fault_but_is_found() -> None:
    rows = made(10)
    kept = candles(rows[:2] + rows[3:4] + rows[9:])

    assert find_faults(kept) == []
    assert find_gaps(kept) == [
        Gap(START + 2 * STEP, START + 3 * STEP, 1),
        Gap(START + 4 * STEP, START + 9 * STEP, 5),
    ]
    assert str(find_gaps(kept)[0]) == "2024-01-01T00:30:00Z to 2024-01-01T00:45:00Z: 1 missing"
    assert find_gaps(candles(rows)) == []


@pytest.mark.parametrize(
    ("values", "column", "reason"),
    [
        ({"open": np.nan}, "open", "finite"),
        ({"high": np.inf}, "high", "finite"),
        ({"volume": np.nan}, "volume", "finite"),
        ({"volume": -0.1}, "volume", "negative"),
        ({"low": 0.0}, "low", "above 0"),
        ({"low": 10.2}, "low", "low is above"),
        ({"high": 10.4}, "high", "high is below"),
        ({"open_time": START + 3 * STEP + 1}, "timestamp", "grid"),
        ({"open_time": START // 1000}, "timestamp", "milliseconds"),
        ({"open_time": START * 1000}, "timestamp", "milliseconds"),
        ({"open_time": -1}, "timestamp", "milliseconds"),
        ({"open_time": START + 2 * STEP}, "", "duplicate"),
        ({"open_time": START - STEP}, "", "out of order"),
    ],
)
def test_each_fault_is_found_alone_in_its_row(values: dict[str, Any], column: str, reason: str) -> None:
    (fault,) = find_faults(changed(3, **values))

    assert (fault.row, fault.column) == (3, column)
    assert reason in fault.reason


def test_all_faults_are_told_by_row() -> None:
    rows = made(6)
    rows[1] = replace(rows[1], close=np.nan, volume=-1.0)
    rows[4] = replace(rows[4], open_time=rows[0].open_time)

    assert [(f.row, f.column) for f in find_faults(candles(rows))] == [(1, "close"), (1, "volume"), (4, "")]


def test_a_time_far_ahead_makes_those_after_it_disorderly() -> None:
    found = find_faults(changed(2, open_time=START + 100 * STEP))

    assert [f.row for f in found] == [3, 4, 5]


@pytest.mark.parametrize(("ms", "shown"), [(START, "2024-01-01T00:00:00Z"), (-1, "-1"), (10**30, "1" + "0" * 19)])
def test_any_time_can_be_shown(ms: int, shown: str) -> None:
    assert shown_time(ms) == shown
