"""What can be wrong with candles, and what is merely missing. Used wherever candles come in, so all doors agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.domain.candles import BoolArray, Candles, IntArray, iso

PRICES = ("open", "high", "low", "close")
VALUES = (*PRICES, "volume")

# Candles outside 2000..2100 are times in the wrong unit: seconds land in 1970, microseconds far in the future.
EARLIEST_MS = 946_684_800_000
LATEST_MS = 4_102_444_800_000


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one row. ``row`` counts from 0, ``column`` is empty when the row itself is misplaced."""

    row: int
    time: int  # epoch ms as it stands in the row
    column: str
    reason: str


@dataclass(frozen=True, slots=True)
class Gap:
    """``missing`` candles that are not there; their open times are ``[start, end)``, epoch ms."""

    start: int
    end: int
    missing: int

    def __str__(self) -> str:
        return f"{iso(self.start)} to {iso(self.end)}: {self.missing} missing"


def plausible_times(candles: Candles) -> BoolArray:
    """Per row: whether the time can be a candle's at all."""
    found: BoolArray = (candles.time >= EARLIEST_MS) & (candles.time < LATEST_MS)
    return found


def shown_time(ms: int) -> str:
    """A row's time for a person, however impossible it is."""
    return iso(ms) if EARLIEST_MS <= ms < LATEST_MS else str(ms)[:20]


def find_faults(candles: Candles) -> list[Fault]:
    """Everything that must not be in candles, by row: times that are impossible, off the grid, doubled or out of
    order; values that are not finite, prices of 0 or less, negative volumes, a low or high inside the bar's body.

    Empty for good candles, at the cost of a dozen array comparisons. Gaps are no faults.
    """
    if _is_sound(candles):
        return []
    masks = _masks(candles)
    return sorted(
        (
            Fault(int(row), int(candles.time[row]), column, reason)
            for column, reason, mask in masks
            for row in np.flatnonzero(mask)
        ),
        key=lambda fault: fault.row,
    )


def _is_sound(candles: Candles) -> bool:
    """Whether nothing is wrong, without saying what. Every comparison with NaN is False."""
    if not len(candles):
        return True
    time, step = candles.time, candles.timeframe.ms
    in_order = bool((time[1:] > time[:-1]).all())
    on_grid = bool((time // step * step == time).all())  # a division by a constant is quicker than a remainder
    if not (in_order and on_grid and time[0] >= EARLIEST_MS and time[-1] < LATEST_MS):
        return False
    low, high = candles.low, candles.high
    checks = (low > 0, low <= candles.open, low <= candles.close, high >= candles.open, high >= candles.close)
    bounds = (high < np.inf, candles.volume >= 0, candles.volume < np.inf)
    return all(bool(check.all()) for check in (*checks, *bounds))


def _masks(candles: Candles) -> list[tuple[str, str, BoolArray]]:
    """(column, what is wrong, rows where it is)."""
    columns = {name: getattr(candles, name) for name in VALUES}
    finite = {name: np.isfinite(values) for name, values in columns.items()}
    solid = finite["open"] & finite["high"] & finite["low"] & finite["close"]
    low_body = np.minimum(candles.open, candles.close)
    high_body = np.maximum(candles.open, candles.close)
    return [
        *_time_masks(candles),
        *((name, f"{name} is not a finite number", ~finite[name]) for name in VALUES),
        *((name, f"{name} is not above 0", finite[name] & (columns[name] <= 0)) for name in PRICES),
        ("volume", "volume is negative", finite["volume"] & (candles.volume < 0)),
        ("low", "low is above the open or close", solid & (candles.low > low_body)),
        ("high", "high is below the open or close", solid & (candles.high < high_body)),
    ]


def _time_masks(candles: Candles) -> list[tuple[str, str, BoolArray]]:
    time, step = candles.time, candles.timeframe
    plausible = plausible_times(candles)
    seconds = (time >= EARLIEST_MS // 1000) & (time < LATEST_MS // 1000)
    latest = np.maximum.accumulate(np.where(plausible, time, 0)) if len(time) else time
    late = np.zeros(len(time), dtype=np.bool_)
    late[1:] = time[1:] <= latest[:-1]
    seen = np.ones(len(time), dtype=np.bool_)
    seen[np.unique(time, return_index=True)[1]] = False
    return [
        ("timestamp", "timestamp looks like epoch seconds: milliseconds (or ISO, UTC) are wanted", seconds),
        ("timestamp", "timestamp is not epoch milliseconds of this century", ~plausible & ~seconds),
        ("timestamp", f"timestamp is not on the {step.name} grid", plausible & (time % step.ms != 0)),
        ("", "duplicate: the time was there before", plausible & late & seen),
        ("", "out of order: a later time was there before", plausible & late & ~seen),
    ]


def find_changes(stored: Candles, newer: Candles) -> IntArray:
    """The open times that both hold with different values. Wants candles without faults."""
    times, old, new = np.intersect1d(stored.time, newer.time, assume_unique=True, return_indices=True)
    differs = [getattr(stored, name)[old] != getattr(newer, name)[new] for name in VALUES]
    return np.asarray(times[np.any(differs, axis=0)], dtype=np.int64)


def find_gaps(candles: Candles) -> list[Gap]:
    """The holes between the first and the last candle, oldest first. Wants candles without faults."""
    step = candles.timeframe.ms
    return [
        Gap(
            int(candles.time[i]) + step,
            int(candles.time[i + 1]),
            int(candles.time[i + 1] - candles.time[i]) // step - 1,
        )
        for i in np.flatnonzero(np.diff(candles.time) > step)
    ]
