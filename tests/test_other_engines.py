"""Another engine on the same entries: in backtesting.py every part of every trade ends alike.

Its fill rules are ours under ``fills: pessimistic`` but for one: where a candle opens beyond a target it fills at that
open, better than the target, and ours never does ("target gaps"). Those are worked out from our levels and the candles,
and must be exactly the parts that differ.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from core.config import Settings
from core.domain.candles import Candles, to_ms
from core.engine.fills import Fills
from core.engine.indicators import indicators
from core.engine.outcomes import EXITS, Outcomes, find_outcomes
from core.engine.strategy import candidates
from tests.bench.candles import jumpy
from tests.bench.with_backtesting import MAX_BARS, Leg, Legs, ours, reason, theirs
from tests.markets import real, walk

CLOSE = 1e-9


def all_crossovers(candles: Candles, fills: Fills = "pessimistic") -> tuple[Outcomes, Legs, Legs]:
    """Ours as they were found, then our legs and theirs."""
    ind = indicators(candles)
    entries = candidates(candles, ind, Settings().strategy)
    # A trade that times out is closed there by an order, which needs one candle more to be filled.
    entries = entries.only(entries.row < len(candles) - MAX_BARS - 1)
    atr = ind.atr[entries.row]
    found = find_outcomes(candles, entries.row, entries.sign, atr, fills=fills)
    return found, ours(found), theirs(candles, entries.row, entries.sign, atr)


def target_gaps(candles: Candles, found: Outcomes) -> set[tuple[int, int]]:
    """The legs whose target was hit by a candle that had opened beyond it."""
    gaps = set()
    for index, sign in enumerate(found.sign):
        for part in range(int(found.targets_hit[index])):
            opened = candles.open[found.target_row[index, part]]
            if sign * (opened - found.targets[index, part]) > 0:
                gaps.add((int(found.entry_row[index]), part))
    return gaps


def equal(one: Leg, other: Leg) -> bool:
    same_price = abs(one.price - other.price) <= CLOSE * one.price
    return one.row == other.row and same_price and abs(one.r - other.r) <= CLOSE * max(1.0, abs(one.r))


def compare(candles: Candles) -> tuple[int, int]:
    """Holds the two engines against each other; gives the number of legs and of target gaps."""
    found, mine, other = all_crossovers(candles)
    gaps = target_gaps(candles, found)

    assert mine.keys() == other.keys()
    assert {key for key in mine if not equal(mine[key], other[key])} == gaps
    for key in gaps:  # the same candle, and theirs is the better price, which is that candle's open
        assert mine[key].row == other[key].row
        assert other[key].price == candles.open[mine[key].row]
        assert other[key].r > mine[key].r
    return len(mine), len(gaps)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_backtesting_py_ends_every_part_as_we_do_where_candles_open_at_the_last_close(seed: int) -> None:
    legs, gaps = compare(walk(3000, seed, gaps={900: 3, 1700: 40}))

    assert legs > 100
    assert gaps == 0


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_where_candles_open_elsewhere_only_target_gaps_differ(seed: int) -> None:
    legs, gaps = compare(jumpy(walk(3000, seed, gaps={700: 8, 1900: 9}), seed))

    assert legs > 100
    assert gaps > 3


def test_the_comparison_meets_every_way_a_trade_can_end() -> None:
    candles = jumpy(walk(3000, 4, gaps={700: 8, 1900: 9}), 4)
    found, _, _ = all_crossovers(candles)
    seen = {reason(found, int(i), part) for i in np.flatnonzero(found.exit >= 0) for part in range(3)}
    opened_beyond_the_stop = (found.exit == 0) & (found.exit_price != found.stop)

    assert seen == {"TP1", "TP2", "TP3", *(e.value for e in EXITS if e != "TP3_FULL")}
    assert opened_beyond_the_stop.any()


def test_a_wrong_fill_would_be_seen() -> None:
    """The same entries under the reference's fills, where a gap through the stop fills at the stop, do not agree."""
    candles = jumpy(walk(2000, 4), 4)
    found, mine, other = all_crossovers(candles, "reference")

    assert {key for key in mine if not equal(mine[key], other[key])} > target_gaps(candles, found)


RANGES = [
    ("LINKUSDT", "2024-01-01", "2024-03-01"),
    ("BTCUSDT", "2024-07-15", "2024-09-01"),
    ("SOLUSDT", "2023-03-10", "2023-04-10"),  # with the exchange's outage of five candles
    ("MATICUSDT", "2023-09-10", "2024-01-15"),  # with the hole of 96 days
]


@pytest.mark.real
@pytest.mark.parametrize(("symbol", "start", "end"), RANGES)
def test_backtesting_py_agrees_on_real_candles(symbol: str, start: str, end: str) -> None:
    first, last = (to_ms(datetime.fromisoformat(day).replace(tzinfo=UTC)) for day in (start, end))
    legs, _ = compare(real(symbol).between(first, last))

    assert legs > 100
