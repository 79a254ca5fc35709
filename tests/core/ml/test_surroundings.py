"""What surrounds a candidate: known at its close, from the past alone, and the same live as in a backtest."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.config import Rules, Settings
from core.domain.candles import Candles, FloatArray, IntArray, Pair
from core.domain.trading import Direction
from core.engine.filters import alignment_of, correlation, gather_facts
from core.engine.indicators import indicators
from core.ml.features import FEATURES_V2, MORE_V2, features_of, features_of_rows
from core.ml.surroundings import LOOK_BACK, SURROUNDINGS, scene_of, surroundings
from core.services.backtest import run_backtest
from core.services.samples import samples_of
from tests.ledgers import PAIRS, Stage, books, market, settings
from tests.markets import M15, START, flat, walk

LINK, ETH, SOL, BTC = (Pair.parse(name) for name in (*PAIRS, "BTC/USDT"))
CONFIG = settings()
ROWS = 700


def seen(candles: Mapping[Pair, Candles], rows: list[int], sign: int = 1, config: Settings = CONFIG) -> FloatArray:
    """All of ``v2`` of LINK at these rows."""
    own = candles[LINK]
    ind = indicators(own, config.candles.max_gap).at(np.array(rows))
    scene = scene_of(candles.values(), [LINK], config)
    return features_of_rows(ind, own, np.full(len(rows), sign), scene)


def column(found: FloatArray, name: str) -> FloatArray:
    return found[:, FEATURES_V2.index(name)]


def with_prices(candles: Candles, factor: FloatArray) -> Candles:
    parts = {name: getattr(candles, name) * factor for name in ("open", "high", "low", "close", "volume")}
    return replace(candles, **parts)


def picked(candles: Candles, rows: IntArray) -> Candles:
    parts = {name: getattr(candles, name)[rows] for name in ("time", "open", "high", "low", "close", "volume")}
    return replace(candles, **parts)


def changed_after(candles: Candles, row: int, seed: int) -> Candles:
    """Another future from the row after ``row`` on: other prices, other volumes, and some candles missing."""
    rng = np.random.default_rng(seed)
    other = with_prices(candles, np.where(np.arange(len(candles)) > row, rng.uniform(0.2, 5.0, len(candles)), 1.0))
    kept = np.arange(len(candles))
    return picked(other, kept[(kept <= row) | (rng.random(len(candles)) < 0.8)])


@pytest.mark.parametrize("seed", range(4))
def test_another_future_changes_no_feature(seed: int) -> None:
    candles = market(ROWS, seed=seed)
    row = 400 + 37 * seed
    futures = {pair: changed_after(c, row, seed) for pair, c in candles.items()}

    before, after = seen(candles, [row]), seen(futures, [row])

    assert not np.isnan(before).any()
    np.testing.assert_array_equal(before, after)


def test_the_future_is_there_to_be_seen() -> None:
    """Without this the test above could pass by comparing nothing: a change of the candle itself changes nearly all."""
    candles = market(ROWS)
    factor = np.where(np.arange(ROWS) == 400, 1.01, 1.0)
    other = {pair: with_prices(c, factor) for pair, c in candles.items()}

    before, after = seen(candles, [400]), seen(other, [400])

    differ = {name for name, a, b in zip(FEATURES_V2, before[0], after[0], strict=True) if a != b}
    assert differ >= {*SURROUNDINGS} - {"timeframe_alignment", "return_rank", "range_position"}


@given(rows=st.lists(st.integers(60, ROWS - 1), min_size=1, max_size=8), sign=st.sampled_from([1, -1]))
@hypothesis_settings(max_examples=10, deadline=None)
def test_a_row_alone_is_that_row_among_others(rows: list[int], sign: int) -> None:
    candles = market(ROWS)
    together = seen(candles, rows, sign)

    for index, row in enumerate(rows):
        alone, own = seen(candles, [row], sign)[0], together[index]
        np.testing.assert_allclose(alone, own, rtol=1e-12)  # Hurst at many rows is summed in another order
        np.testing.assert_array_equal(alone[-len(SURROUNDINGS) :], own[-len(SURROUNDINGS) :])


def test_the_live_loop_stores_what_the_backtest_gives(tmp_path: Path) -> None:
    candles = market(1300)

    async def played() -> dict[tuple[str, int], dict[str, float]]:
        async with books(tmp_path) as kept:
            stage = await Stage.begin(kept, 500, CONFIG)
            for c in candles.values():
                stage.loop.warm(c.rows(0, 500))
            await stage.play(candles, 500, 1300)
            return {(d.pair.symbol, d.open_time): dict(d.features) for d in await kept.ledger.decisions()}

    live = asyncio.run(played())
    traded = {pair: c for pair, c in candles.items() if pair != BTC}
    samples = samples_of(run_backtest(traded, CONFIG, START + 500 * M15.ms, candidates=True, beside=candles))

    assert samples.features == FEATURES_V2
    assert len(samples) > 20
    for pair, time, row in zip(samples.pair, samples.time, samples.X, strict=True):
        stored = live[str(pair), int(time) - M15.ms]
        assert tuple(stored) == FEATURES_V2
        np.testing.assert_allclose(list(stored.values()), row, rtol=1e-8, atol=1e-8)
    assert not np.isnan(samples.X[:, -len(SURROUNDINGS) :]).any()


def test_correlation_and_alignment_are_those_of_the_rules() -> None:
    candles = market(ROWS)
    rules = Rules(alignment_timeframes=("30m", "1h"))  # 90m is none that an exchange has
    found = seen(candles, list(range(450, 700, 9)))

    for index, row in enumerate(range(450, 700, 9)):
        own, btc = candles[LINK].rows(0, row + 1), candles[BTC].rows(0, row + 1)
        facts = gather_facts(own, btc, {}, {}, rules)
        assert column(found, "btc_correlation")[index] == pytest.approx(facts.btc_correlation, abs=1e-12)
        trend = facts.trends["1h"]
        assert trend is not None
        assert np.sign(column(found, "trend_strength")[index]) == trend
        share = column(found, "timeframe_alignment")[index]
        known = alignment_of(Direction.LONG, facts)
        assert known is not None
        # Two of the three are those of the rules; the third is 90m.
        assert round(share * 3) - round(known * 2) in (0, 1)


def test_correlation_across_candles_that_one_side_lacks_is_that_of_the_rules() -> None:
    candles = market(ROWS)
    btc = candles[BTC]
    holed = picked(btc, np.delete(np.arange(ROWS), [500, 501, 560]))
    found = seen({**candles, BTC: holed}, [570, 560])

    wanted = correlation(candles[LINK].rows(0, 571), holed.between(None, int(btc.time[571])), 96)
    assert column(found, "btc_correlation")[0] == pytest.approx(wanted, abs=1e-12)
    assert np.isnan(column(found, "btc_correlation")[1])  # BTC has no candle here, so nothing is known of it now


def test_nothing_is_taken_from_beyond_a_long_gap() -> None:
    gapped = {pair: replace(walk(ROWS, n, gaps={400: 30}), pair=pair) for n, pair in enumerate((LINK, ETH, SOL, BTC))}

    near, later = seen(gapped, [420]), seen(gapped, [400 + LOOK_BACK])

    missing = {name for name in SURROUNDINGS if np.isnan(column(near, name)).any()}
    assert missing == {*SURROUNDINGS} - {"return_4", "return_16"}
    assert not np.isnan(later).any()


def test_nothing_looks_further_back_than_the_live_loop_keeps() -> None:
    """Holes at the ends of longer candles push the fortieth of them further back than any window reaches."""
    candles = market(ROWS)
    ends = np.flatnonzero((candles[LINK].time + M15.ms) % (6 * M15.ms) == 0)
    holed = {pair: picked(c, np.setdiff1d(np.arange(ROWS), ends[-30:-5:4])) for pair, c in candles.items()}
    last = len(holed[LINK]) - 1
    near = {pair: c.rows(last - LOOK_BACK, last + 1) for pair, c in holed.items()}
    atr, sign = np.array([1.0]), np.array([1])

    whole, kept = (
        surroundings(c[LINK], holed[LINK].time[[last]], sign, atr, scene_of(c.values(), [LINK], CONFIG))
        for c in (holed, near)
    )

    np.testing.assert_array_equal(whole, kept)


def test_what_is_signed_turns_with_the_direction() -> None:
    candles = market(ROWS)
    rows = list(range(450, 700, 25))
    long, short = seen(candles, rows, 1), seen(candles, rows, -1)

    assert (column(long, "return_rank") != 0.5).any()  # a half would be its own mirror
    for name in ("direction_sign", "signed_rsi", "signed_di", "signed_sma_distance", "return_4", "return_96",
                 "trend_strength", "btc_return_4", "btc_return_16"):  # fmt: skip
        np.testing.assert_array_equal(column(long, name), -column(short, name))
    for name in ("range_position", "return_rank"):
        np.testing.assert_allclose(column(long, name), 1 - column(short, name))
    for name in ("volatility_ratio", "btc_correlation"):
        np.testing.assert_array_equal(column(long, name), column(short, name))


def test_the_numbers_by_hand() -> None:
    """A close that rises by 1 a candle from 100, an ATR of 2."""
    rows = 400
    close = 100 + np.arange(rows, dtype=np.float64)
    rising = replace(walk(rows), open=close, high=close + 1, low=close - 1, close=close)
    candles = {LINK: rising} | {pair: replace(flat(rows), pair=pair) for pair in (ETH, SOL, BTC)}
    scene = scene_of(candles.values(), [LINK], CONFIG)
    values = surroundings(rising, rising.time[[300]], np.array([1]), np.array([2.0]), scene)[0]
    found = dict(zip(SURROUNDINGS, values.tolist(), strict=True))

    assert (found["return_4"], found["return_16"], found["return_96"]) == (2.0, 8.0, 48.0)
    assert found["range_position"] == (95 + 1) / (95 + 2)
    assert found["timeframe_alignment"] == 1.0
    assert found["trend_strength"] == pytest.approx(4 * (19.5 - 7) / 2)  # hourly closes 4 apart, means 12.5 hours apart
    assert found["return_rank"] == 1.0
    assert np.isnan(found["btc_return_4"])  # BTC stood still: there is no deviation to measure by
    assert np.isnan(found["btc_correlation"])


def test_a_rank_wants_at_least_two_others() -> None:
    candles = market(ROWS)
    alone = {pair: candles[pair] for pair in (LINK, ETH, BTC)}

    assert np.isnan(column(seen(alone, [500]), "return_rank")).all()
    assert column(seen(candles, [500]), "return_rank")[0] in (0.0, 0.5, 1.0)


def test_without_btc_only_what_is_btc_s_is_missing() -> None:
    candles = {pair: c for pair, c in market(ROWS).items() if pair != BTC}
    found = seen(candles, [500])

    assert {n for n in FEATURES_V2 if np.isnan(column(found, n)).any()} == {
        "btc_correlation", "btc_return_4", "btc_return_16",
    }  # fmt: skip


def test_a_snapshot_gives_the_features_of_its_row() -> None:
    candles = market(ROWS)
    ind = indicators(candles[LINK], CONFIG.candles.max_gap)
    scene = scene_of(candles.values(), [LINK], CONFIG)
    one = features_of(ind.snapshot(555), candles[LINK], Direction.SHORT, scene)

    assert tuple(one) == FEATURES_V2
    assert tuple(one)[-len(MORE_V2) :] == MORE_V2
    np.testing.assert_array_equal(list(one.values()), seen(candles, [555], -1)[0])
