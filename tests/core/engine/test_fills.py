"""LONG at 100 with a stop at 98: 1R is 2, the targets are 103, 105 and 108. SHORT is its mirror image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.candles import Candle
from core.domain.trading import TARGET_SHARE, Direction, ExitReason, Follow
from core.engine.fills import Fills, Order, advance, begin, close_at, net_r
from core.engine.strategy import levels
from tests.markets import START, bar

Bar = tuple[float, float, float, float]
LEVELS = levels(Direction.LONG, 100.0, 1.0)
MIRROR = levels(Direction.SHORT, 100.0, 1.0)


def run(
    bars: Sequence[Bar],
    *,
    max_bars: int = 100,
    fills: Fills = "reference",
    breakeven: bool = False,
    order: Order = "stop",
    short: bool = False,
) -> Follow:
    follow = begin(MIRROR if short else LEVELS, START)
    for row, (opened, high, low, close) in enumerate(bars, start=1):
        candle = bar(row, opened, high, low, close)
        if short:
            candle = bar(row, 200 - opened, 200 - low, 200 - high, 200 - close)
        follow = advance(follow, candle, max_bars=max_bars, fills=fills, breakeven=breakeven, order=order)
    return follow


QUIET: Bar = (100, 101, 99, 100)
STOPPED: Bar = (100, 100, 97, 97.5)
TO_TP1: Bar = (100, 103.5, 99.5, 103)
TO_TP2: Bar = (103, 105, 102, 104)
TO_TP3: Bar = (104, 109, 103, 108)

PESSIMISTIC = {"fills": "pessimistic"}
BREAKEVEN = {"breakeven": True}
ONE, TWO = {"max_bars": 1}, {"max_bars": 2}
BOTH = {**BREAKEVEN, **PESSIMISTIC}
TARGETS = {"order": "target"}
ALL = ["TP1", "TP2", "TP3"]
SL = "STOP_LOSS"
STOP = ["TP1", "STOP"]

TABLE = [
    # name, bars, options, legs, realized R, exit, mfe, mae, ambiguous
    ("stop", [QUIET, STOPPED], {}, ["STOP"], -1.0, SL, 0.5, -1.0, False),
    ("the stop is touched exactly", [(100, 100, 98, 99)], {}, ["STOP"], -1.0, SL, 0, -1.0, False),
    ("all targets in turn", [TO_TP1, TO_TP2, TO_TP3], {}, ALL, 2.3, "TP3_FULL", 4.0, -0.25, False),
    ("all targets in one candle", [(100, 120, 99, 119)], {}, ALL, 2.3, "TP3_FULL", 4, -0.5, False),
    ("two targets in one candle", [(100, 105, 99, 104)], {}, ["TP1", "TP2"], 1.5, None, 2.5, -0.5, False),
    ("a target is hit once", [TO_TP1, TO_TP1], {}, ["TP1"], 0.75, None, 1.75, -0.25, False),
    ("TP1, then the stop", [TO_TP1, STOPPED], {}, STOP, 0.25, SL, 1.75, -1, False),
    ("stop and target at once", [(100, 104, 97, 99)], {}, ["STOP"], -1.0, SL, 0, -1, True),
    ("targets first: TP1, then the stop", [(100, 104, 97, 99)], TARGETS, STOP, 0.25, SL, 2, -1, True),
    ("targets first: all of them", [QUIET, (100, 109, 97, 99)], TARGETS, ALL, 2.3, "TP3_FULL", 4, -0.5, True),
    ("targets first: no open target", [TO_TP1, (100, 104, 97, 99)], TARGETS, STOP, 0.25, SL, 1.75, -1, False),
    ("targets first, but not beyond the stop", [(98, 104, 97, 99)], TARGETS, ["STOP"], -1.0, SL, 0, -1, True),
    ("stop and a target already hit", [TO_TP1, (103, 104, 97, 98)], {}, STOP, 0.25, SL, 1.75, -1, False),
    ("stop and the next target", [TO_TP1, (103, 106, 97, 98)], {}, STOP, 0.25, SL, 1.75, -1, True),
    ("timeout", [QUIET, (100, 102, 99, 101)], TWO, ["TIMEOUT"], 0.5, "TIMEOUT", 1, -0.5, False),
    ("timeout, two hit", [TO_TP1, TO_TP2], TWO, ["TP1", "TP2", "TIMEOUT"], 1.9, "TIMEOUT", 2.5, -0.25, False),
    ("the stop on the last bar", [QUIET, STOPPED], TWO, ["STOP"], -1, SL, 0.5, -1, False),
    ("TP3 on the last bar", [(100, 120, 99, 119)], ONE, ALL, 2.3, "TP3_FULL", 4, -0.5, False),
    ("a gap through the stop, as the reference", [(96, 97, 95, 96)], {}, ["STOP"], -1, SL, 0, -1, False),
    ("a gap through the stop, pessimistic", [(96, 97, 95, 96)], PESSIMISTIC, ["STOP"], -2, SL, 0, -2, False),
    ("no gap, pessimistic", [STOPPED], PESSIMISTIC, ["STOP"], -1, SL, 0, -1, False),
    ("a gap over a target", [(104, 104.5, 103.5, 104)], PESSIMISTIC, ["TP1"], 0.75, None, 2.25, 0, False),
    ("breakeven", [TO_TP1, (103, 103, 99, 99)], BREAKEVEN, STOP, 0.75, SL, 1.75, -0.25, False),
    ("breakeven waits for the next candle", [(100, 103, 99, 101)], BREAKEVEN, ["TP1"], 0.75, None, 1.5, -0.5, False),
    ("breakeven before TP1 is the stop", [(100, 102, 99, 99)], BREAKEVEN, [], 0, None, 1, -0.5, False),
    ("breakeven, gap, pessimistic", [TO_TP1, (99, 99, 98.5, 99)], BOTH, STOP, 0.5, SL, 1.75, -0.5, False),
]  # fmt: skip


@pytest.mark.parametrize("short", [False, True], ids=["long", "short"])
@pytest.mark.parametrize(
    ("bars", "options", "legs", "r", "reason", "mfe", "mae", "ambiguous"),
    [row[1:] for row in TABLE],
    ids=[str(row[0]) for row in TABLE],
)
def test_fills(
    bars: list[Bar],
    options: dict[str, bool],
    legs: list[str],
    r: float,
    reason: str | None,
    mfe: float,
    mae: float,
    ambiguous: bool,
    short: bool,
) -> None:
    follow = run(bars, short=short, **options)  # type: ignore[arg-type]

    assert [leg.name for leg in follow.legs] == legs
    assert follow.realized_r == pytest.approx(r)
    assert follow.exit_reason == reason
    assert [follow.mfe_r, follow.mae_r] == pytest.approx([mfe, mae])
    assert follow.ambiguous is ambiguous
    assert follow.bars == len(bars)


def test_an_exit_names_its_price_and_candle() -> None:
    follow = run([QUIET, TO_TP1, STOPPED])

    assert (follow.exit_price, follow.exit_time) == (98, START + 3 * 900_000)
    assert [(leg.price, leg.time, leg.fraction, leg.r) for leg in follow.legs] == [
        (103, START + 2 * 900_000, 0.5, 0.75),
        (98, START + 3 * 900_000, 0.5, -0.5),
    ]
    assert follow.outcome == 1


@pytest.mark.parametrize("reason", [ExitReason.MANUAL, ExitReason.GAP])
def test_a_trade_can_be_closed_from_outside(reason: ExitReason) -> None:
    follow = close_at(run([TO_TP1]), 104.0, START + 900_000, reason)

    assert follow.realized_r == 0.75 + 0.5 * 2
    assert [leg.name for leg in follow.legs] == ["TP1", reason.value]
    assert (follow.exit_reason, follow.exit_price, follow.remaining, follow.bars) == (reason, 104.0, 0, 1)


@pytest.mark.parametrize("reason", [ExitReason.STOP_LOSS, ExitReason.TP3_FULL, ExitReason.TIMEOUT])
def test_what_candles_decide_cannot_be_given(reason: ExitReason) -> None:
    with pytest.raises(ValueError, match="found by the candles"):
        close_at(run([QUIET]), 100.0, START, reason)


def test_the_entry_candle_fills_nothing() -> None:
    with pytest.raises(ValueError, match="not after the entry"):
        advance(begin(LEVELS, START), bar(0, 100, 200, 1, 100))


def test_a_closed_trade_stays_as_it_is() -> None:
    follow = run([STOPPED])

    assert advance(follow, bar(2, 100, 200, 1, 100)) is follow
    assert close_at(follow, 1.0, START, ExitReason.MANUAL) is follow


def test_net_r_by_hand() -> None:
    follow = run([TO_TP1, STOPPED])

    assert net_r(LEVELS, follow.legs, 0, 0) == pytest.approx(0.25)
    assert net_r(LEVELS, follow.legs, 0.001, 0) == pytest.approx(0.25 - 0.001 * (100 + 51.5 + 49) / 2)
    assert net_r(LEVELS, follow.legs, 0, 0.001) == pytest.approx(0.25 - 0.001 * (100 + 51.5 + 49) / 2)
    assert net_r(MIRROR, run([TO_TP1, STOPPED], short=True).legs, 0, 0.001) == pytest.approx(
        0.25 - 0.001 * (100 + 48.5 + 51) / 2
    )


def test_the_entry_fee_is_paid_before_anything_is_closed() -> None:
    assert net_r(LEVELS, (), 0.001, 0.01) == pytest.approx(-0.001 * 101 / 2)


# --- what holds on any candles ---


@st.composite
def candle_lists(draw: st.DrawFn) -> list[Candle]:
    """Up to 40 candles around the levels, whole and half prices so that touches are frequent."""
    candles = []
    for row in range(1, draw(st.integers(1, 40)) + 1):
        prices = [draw(st.integers(180, 220)) / 2 for _ in range(4)]
        candles.append(bar(row, prices[0], max(prices), min(prices), prices[3]))
    return candles


def steps(candles: list[Candle], direction: Direction, fills: Fills, breakeven: bool) -> list[Follow]:
    follow = begin(LEVELS if direction is Direction.LONG else MIRROR, START)
    found = [follow]
    for candle in candles:
        follow = advance(follow, candle, max_bars=20, fills=fills, breakeven=breakeven)
        found.append(follow)
    return found


ANY = {
    "candles": candle_lists(),
    "direction": st.sampled_from(Direction),
    "fills": st.sampled_from(["reference", "pessimistic"]),
    "breakeven": st.booleans(),
}


@given(**ANY)
def test_what_is_closed_and_what_is_open_make_one(
    candles: list[Candle], direction: Direction, fills: Fills, breakeven: bool
) -> None:
    for follow in steps(candles, direction, fills, breakeven):
        assert math.isclose(sum(leg.fraction for leg in follow.legs) + follow.remaining, 1)
        assert math.isclose(sum(leg.r for leg in follow.legs), follow.realized_r, abs_tol=1e-12)
        assert follow.closed == (follow.remaining == 0)
        assert [leg.fraction for leg in follow.legs if leg.name.startswith("TP") and leg.name != "TIMEOUT"] == list(
            TARGET_SHARE[: follow.targets_hit]
        )


@given(**ANY)
def test_nothing_goes_back_and_nothing_follows_the_end(
    candles: list[Candle], direction: Direction, fills: Fills, breakeven: bool
) -> None:
    found = steps(candles, direction, fills, breakeven)
    for before, after in pairwise(found):
        assert after is before or after.bars == before.bars + 1
        assert after.legs[: len(before.legs)] == before.legs
        assert after.remaining <= before.remaining
        assert after.targets_hit >= before.targets_hit
        assert after.mfe_r >= before.mfe_r >= 0
        assert after.mae_r <= before.mae_r <= 0
        assert not before.closed or after is before
    assert found[-1].closed or found[-1].bars == len(candles) < 20


@given(**ANY)
def test_r_of_every_leg_is_that_of_its_price(
    candles: list[Candle], direction: Direction, fills: Fills, breakeven: bool
) -> None:
    follow = steps(candles, direction, fills, breakeven)[-1]
    for leg in follow.legs:
        expected = leg.fraction * direction.sign * (leg.price - follow.levels.entry) / follow.levels.risk
        assert math.isclose(leg.r, expected, abs_tol=1e-12)


@given(**ANY)
def test_costs_only_cost(candles: list[Candle], direction: Direction, fills: Fills, breakeven: bool) -> None:
    follow = steps(candles, direction, fills, breakeven)[-1]

    assert math.isclose(net_r(follow.levels, follow.legs, 0, 0), follow.realized_r, abs_tol=1e-9)
    assert net_r(follow.levels, follow.legs, 0.001, 0.001) < follow.realized_r


@given(candles=candle_lists(), direction=st.sampled_from(Direction))
def test_pessimistic_is_never_better(candles: list[Candle], direction: Direction) -> None:
    reference = steps(candles, direction, "reference", False)[-1]
    pessimistic = steps(candles, direction, "pessimistic", False)[-1]

    assert pessimistic.realized_r <= reference.realized_r
    assert pessimistic.exit_time == reference.exit_time
