"""A look into the future is found wherever it is planted, and the strategy itself does not look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from core.config import Settings
from core.domain.candles import Candles, FloatArray
from core.services.checks.lookahead import (
    Events,
    Facts,
    Study,
    check_lookahead,
    cut_places,
    strategy_study,
    with_another_future,
)
from tests.ledgers import settings as loose_settings
from tests.markets import M15, START, flat, real, walk


def centred_mean(candles: Candles) -> FloatArray:
    """The mean of the candle, the one before and the one after: the classic mistake of `rolling(center=True)`."""
    out = np.full(len(candles), np.nan)
    out[1:-1] = (candles.close[:-2] + candles.close[1:-1] + candles.close[2:]) / 3
    return out


def next_close(candles: Candles) -> FloatArray:
    """`shift(-1)`."""
    return np.concatenate((candles.close[1:], candles.close[-1:]))


def normalised(candles: Candles) -> FloatArray:
    mean, deviation = float(candles.close.mean()), float(candles.close.std())
    return (candles.close - mean) / (deviation or 1.0)


def filled_backwards(candles: Candles) -> FloatArray:
    """A hole in a column filled from behind: few rows look ahead, and only up to the next value."""
    column = np.where(np.arange(len(candles)) % 50 == 49, candles.close, np.nan)
    known = np.flatnonzero(~np.isnan(column))
    following = np.searchsorted(known, np.arange(len(column)))
    return np.append(column[known], np.nan)[following]


def rises_next(candles: Candles) -> FloatArray:
    """A yes or no about the next candle, yes where there is none yet: right in half of all cuts."""
    return np.append(np.diff(candles.close) > 0, True).astype(np.float64)


@pytest.mark.parametrize("plant", [centred_mean, next_close, normalised, filled_backwards, rises_next])
def test_a_planted_look_ahead_is_found_with_its_name_row_and_values(plant: Callable[[Candles], FloatArray]) -> None:
    candles = walk(1200, seed=4)

    found = check_lookahead(candles, strategy_study(loose_settings(), {"planted": plant}), cuts=20)

    assert [leak.column for leak in found.leaks] == ["planted"]
    leak = found.leaks[0]
    assert leak.time == candles.time[leak.row]
    assert leak.row < leak.cut
    assert leak.whole == plant(candles)[leak.row]
    assert leak.found != leak.whole
    if leak.how == "cut":
        again = plant(candles.rows(0, leak.cut))[leak.row]
        assert leak.found == again or (np.isnan(leak.found) and np.isnan(again))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_strategy_does_not_look_ahead(seed: int) -> None:
    candles = walk(2500, seed, gaps={700: 3, 1500: 40})

    found = check_lookahead(candles, strategy_study(loose_settings()), cuts=60)

    assert found.leaks == ()
    assert found.cuts >= 55
    assert set(found.rounding) <= {"hurst"}  # all else bit by bit
    assert all(worst < 1e-11 for worst in found.rounding.values())


def test_no_cut_beside_or_in_a_gap_looks_like_a_leak() -> None:
    candles = walk(230, 2, gaps={100: 3, 200: 40})

    found = check_lookahead(candles, strategy_study(loose_settings()), cuts=10_000)

    assert found.leaks == ()
    assert found.cuts == 229


def test_a_signal_chosen_with_hindsight_is_found() -> None:
    """Only candidates that will win: no indicator gives it away, the list of decisions does."""
    honest = strategy_study(loose_settings())

    def study(candles: Candles) -> Facts:
        facts = honest(candles)
        decided, trades = facts.events
        won = trades.values["trade realized_r"] > 0
        values = {name: value[won] for name, value in decided.values.items()}
        return replace(facts, events=(Events(decided.row[won], decided.known[won], values),))

    leaks = check_lookahead(walk(2500, 3), study, cuts=60).leaks

    assert {leak.column for leak in leaks} >= {"candidate", "entry", "stop"}


def test_a_trade_rewritten_after_its_end_is_found() -> None:
    honest = strategy_study(loose_settings())

    def study(candles: Candles) -> Facts:
        facts = honest(candles)
        decided, trades = facts.events
        later = candles.close[np.minimum(trades.row + 150, len(candles) - 1)]
        values = {**trades.values, "trade realized_r": trades.values["trade realized_r"] + later * 1e-9}
        return replace(facts, events=(decided, Events(trades.row, trades.known, values)))

    leaks = check_lookahead(walk(2500, 3), study, cuts=30).leaks

    assert [leak.column for leak in leaks] == ["trade realized_r"]


def test_rounding_is_told_apart_from_a_leak() -> None:
    def study(candles: Candles) -> Facts:
        whisper = 1e-14 if len(candles) % 2 else 0.0
        return Facts({"close": candles.close * (1 + whisper)})

    found = check_lookahead(walk(501), study, cuts=11)

    assert found.leaks == ()
    assert 0 < found.rounding["close"] <= 2e-14


def test_another_future_changes_every_later_candle_and_no_earlier_one() -> None:
    candles = walk(300)

    other = with_another_future(candles, 120, np.random.default_rng(1))

    assert np.array_equal(other.close[:120], candles.close[:120])
    assert (other.close[120:] != candles.close[120:]).all()
    assert (other.high >= np.maximum(other.open, other.close)).all()
    assert (other.low <= np.minimum(other.open, other.close)).all()


def test_half_of_the_cuts_lie_right_behind_candidates() -> None:
    events = np.array([100, 333, 490, 777])

    places = cut_places(1000, events, 8)

    assert set(events + 1) <= set(places)
    assert places[0] == 1
    assert places[-1] == 999
    assert (np.diff(places) > 0).all()


@pytest.mark.parametrize("rows", [0, 1, 2, 30])
def test_too_few_candles_are_no_failure(rows: int) -> None:
    found = check_lookahead(flat(rows) if rows else Candles.empty(walk(1).pair, M15), strategy_study(Settings()))

    assert found.leaks == ()
    assert found.cuts == max(0, rows - 1)


@pytest.mark.real
def test_the_strategy_does_not_look_ahead_on_real_candles() -> None:
    candles = real("LINKUSDT").between(START, START + 90 * 86_400_000)
    study: Study = strategy_study(Settings())

    assert check_lookahead(candles, study, cuts=40).leaks == ()
