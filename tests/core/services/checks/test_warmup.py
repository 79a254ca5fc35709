"""How much history a value needs is measured, and a setting that is too small is named."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from core.config import Settings
from core.domain.candles import Candles, Pair
from core.engine.indicators import indicators
from core.services.checks.warmup import Warmup, check_warmup
from tests.ledgers import settings as loose_settings
from tests.markets import LINK, real, walk

LENGTHS = (60, 100, 200, 400, 600)


def measured(settings: Settings, candles: Candles | None = None, rows: int = 30) -> Warmup:
    market = {LINK: walk(3000, 5) if candles is None else candles}
    found = check_warmup(market, settings, rows, lengths=LENGTHS)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def usual() -> Warmup:
    return measured(loose_settings())


def at(found: Warmup, name: str, length: int) -> float:
    return found.worst[name][found.lengths.index(length)]


def test_what_looks_at_a_window_needs_that_window_and_no_more(usual: Warmup) -> None:
    for name in ("sma_15", "sma_40", "volume_sma", "volume_ratio", "sma_distance_percent"):
        assert at(usual, name, 60) == 0


def test_wilder_averages_forget_ever_more_and_adx_last(usual: Warmup) -> None:
    falling = [at(usual, "adx", length) for length in (60, 100, 200, 400)]

    assert falling == sorted(falling, reverse=True)
    assert at(usual, "adx", 100) > 1e-4
    assert at(usual, "adx", 600) < 1e-12
    assert at(usual, "adx", 300) > at(usual, "rsi", 300) > 0


def test_the_worst_difference_is_the_one_a_person_would_work_out() -> None:
    candles = walk(1240, 5)
    found = measured(loose_settings(), candles, rows=1000)

    whole = indicators(candles)
    rows = range(1199, 1240)
    wanted = max(abs(indicators(candles.rows(r + 1 - 100, r + 1)).adx[-1] / whole.adx[r] - 1) for r in rows)
    assert found.rows == len(rows)
    assert at(found, "adx", 100) == pytest.approx(wanted, rel=0.02)


def test_the_usual_settings_are_long_enough(usual: Warmup) -> None:
    assert usual.settled in (400, 500)
    assert usual.decided is not None
    assert usual.decided <= 300
    assert usual.faults == ()


def test_settings_that_are_too_small_are_named_with_what_is_needed(usual: Warmup) -> None:
    short = measured(loose_settings(candles={"history": 310, "min_history": 300}))

    assert short.faults == (f"candles.history is 310, but {short.settled} candles are needed for values to settle",)
    hasty = replace(usual, settings=usual.settings.model_copy(update={"min_history": 60}))
    assert usual.regimes[0] > 0  # with 60 candles Hurst is still filling up
    assert hasty.faults == (
        f"candles.min_history is 60, but {usual.decided} candles are needed for decisions to settle",
    )


def test_a_length_counts_only_when_all_longer_ones_hold_too(usual: Warmup) -> None:
    bad = tuple(1.0 if length == 400 else 0.0 for length in usual.lengths)

    again = replace(usual, regimes=bad)

    assert again.decided == usual.lengths[usual.lengths.index(400) + 1]
    assert replace(usual, regimes=(*bad[:-1], 1.0)).decided is None


def test_rows_whose_whole_history_is_short_are_not_looked_at() -> None:
    halves = walk(2000, 5, gaps={1000: 40})

    assert check_warmup({LINK: walk(1199)}, loose_settings(), lengths=LENGTHS) is None
    assert check_warmup({LINK: halves}, loose_settings(), lengths=LENGTHS) is None
    assert check_warmup({}, loose_settings()) is None


def test_half_of_the_rows_are_candidates(usual: Warmup) -> None:
    assert usual.rows == 30
    assert usual.crossing_rows >= 15
    assert math.isclose(usual.signals[usual.lengths.index(600)], 0.0)


@pytest.mark.real
def test_on_real_candles_five_hundred_candles_settle_everything_and_three_hundred_every_decision() -> None:
    market = {Pair.parse(s): real(s).tail(9000) for s in ("LINKUSDT", "ETHUSDT")}

    found = check_warmup(market, Settings(), 14)

    assert found is not None
    assert found.faults == ()
    assert np.max([w[found.lengths.index(500)] for w in found.worst.values()]) < 1e-11
