"""The tracker, candle by candle, against the arrays that know nothing of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import Strategy
from core.domain.candles import Candles, FloatArray
from core.domain.trading import Candidate, Snapshot
from core.engine.hurst import hurst_at
from core.engine.indicators import FLOATS, REGIMES, indicators
from core.engine.strategy import propose
from core.engine.tracker import Tracker
from tests.markets import LINK, M15, flat, real, times, walk

BOUNDED = {"rsi", "adx", "di_plus", "di_minus", "hurst", "sma_distance_percent"}  # near zero 1e-9 counts as such
MAX_GAP = 8
LOOSE = Strategy(adx_min=0, volume_ratio_min=0, rsi_long_max=100, rsi_short_min=0, cooldown_bars=3)


@dataclass(frozen=True)
class Market:
    """Pieces of walks, drifts, spikes and standstill on one price level, with gaps and hours without volume."""

    seed: int
    price: float
    pieces: tuple[tuple[str, int], ...]
    traded: float  # the share of candles with a volume
    gaps: tuple[tuple[int, int], ...]  # missing candles before a row

    def candles(self) -> Candles:
        rng = np.random.default_rng(self.seed)
        change = np.concatenate([self._changes(kind, rng.normal(0, 1, length)) for kind, length in self.pieces])
        close = self.price * np.exp(np.cumsum(change))
        opened = np.concatenate((close[:1], close[:-1]))
        reach = np.abs(rng.normal(0, 0.3, (2, len(close)))) * np.abs(change) * close
        volume = rng.lognormal(8, 0.5, len(close)) * (rng.random(len(close)) < self.traded)
        time = times(len(close), {row: missing for row, missing in self.gaps if row < len(close)})
        high, low = np.maximum(opened, close) + reach[0], np.minimum(opened, close) - reach[1]
        return Candles(LINK, M15, time, opened, high, low, close, volume)

    def _changes(self, kind: str, noise: FloatArray) -> FloatArray:
        steps: FloatArray = noise * {"walk": 0.003, "calm": 1e-5, "drift": 1e-7, "spike": 0.001, "still": 0.0}[kind]
        if kind == "drift":
            steps += 0.001
        if kind == "spike":
            steps[len(steps) // 2] += 2.0
            steps[-1] -= 2.0
        return steps


KINDS = st.sampled_from(["walk", "calm", "drift", "spike", "still"])
MARKETS = st.builds(
    Market,
    seed=st.integers(0, 2**32 - 1),
    price=st.integers(-8, 6).map(lambda power: 10.0**power),
    pieces=st.lists(st.tuples(KINDS, st.integers(1, 160)), min_size=1, max_size=6).map(tuple),
    traded=st.sampled_from([1.0, 0.5, 0.0]),
    gaps=st.dictionaries(st.integers(1, 700), st.sampled_from([1, 3, 8, 9, 300]), max_size=3).map(
        lambda gaps: tuple(gaps.items())
    ),
)


def one_by_one(candles: Candles) -> list[Snapshot]:
    tracker, found = Tracker(candles.pair, candles.timeframe, MAX_GAP), []
    for candle in candles:
        tracker.update(candle)
        snapshot = tracker.snapshot()
        assert snapshot is not None
        found.append(snapshot)
    return found


def assert_agree(candles: Candles) -> None:
    found = one_by_one(candles)
    wanted = indicators(candles, MAX_GAP).at(np.arange(len(candles)))
    for name in FLOATS:
        ours, theirs = np.array([getattr(s, name) for s in found]), getattr(wanted, name)
        assert np.array_equal(np.isnan(ours), np.isnan(theirs)), name
        near = 1e-9 if name in BOUNDED else 0.0
        assert np.allclose(ours, theirs, rtol=1e-9, atol=near, equal_nan=True), name
    for name in ("close", "sma_15", "sma_40", "volume_sma", "volume_ratio"):
        assert np.array_equal([getattr(s, name) for s in found], getattr(wanted, name), equal_nan=True), name
    assert [(s.open_time, s.hour, s.day_of_week) for s in found] == list(
        zip(wanted.time.tolist(), wanted.hour.tolist(), wanted.day_of_week.tolist(), strict=True)
    )
    near_a_border = np.array([min(abs(s.hurst - 0.45), abs(s.hurst - 0.55)) < 1e-9 for s in found])
    same = np.array([s.regime is REGIMES[code] for s, code in zip(found, wanted.regime, strict=True)])
    assert (same | near_a_border).all()


@given(MARKETS)
@settings(max_examples=60)
def test_every_value_agrees_with_the_full_computation(market: Market) -> None:
    assert_agree(market.candles())


@pytest.mark.parametrize(
    "candles",
    [
        *(walk(1500, seed=5, gaps={700: 3, 900: 40}), walk(1500, seed=6, price=1.0), flat(200), flat(200, volume=3.0)),
        *(walk(n) for n in (1, 2, 14, 15, 16, 27, 28, 29, 39, 40, 49, 50, 51, 99, 100, 101, 114)),
    ],
    ids=lambda c: f"{len(c)} rows",
)
def test_fixed_markets_agree_too(candles: Candles) -> None:
    assert_agree(candles)


def test_a_market_that_freezes_after_moving_agrees() -> None:
    moving = walk(300)
    still = flat(900, price=float(moving.close[-1]))
    joined = moving.joined(replace(still, time=times(1200)[300:]))

    assert_agree(joined)


@pytest.mark.parametrize(("before", "after"), [(10.0, 1e5), (1e5, 10.0), (1e-3, 1e3)])
def test_hurst_keeps_its_digits_when_a_jump_leaves_the_window(before: float, after: float) -> None:
    rng = np.random.default_rng(4)
    close = np.where(np.arange(500) < 170, before, after) * (1 + 0.001 * rng.normal(0, 1, 500))
    candles = Candles(LINK, M15, times(500), close, close, close, close, close)

    assert_agree(candles)


def test_hurst_does_not_drift_over_a_long_stretch() -> None:
    candles = walk(20_000, seed=8)
    tracker = Tracker(candles.pair, candles.timeframe, MAX_GAP)
    worst = 0.0
    for row, candle in enumerate(candles):
        tracker.update(candle)
        if row % 97 == 0 and row > 49:
            snapshot = tracker.snapshot()
            assert snapshot is not None
            worst = max(worst, abs(snapshot.hurst - hurst_at(candles.close, np.array([row]))[0]))

    assert worst < 1e-9


@pytest.mark.real
@pytest.mark.parametrize("symbol", ["LINKUSDT", "BTCUSDT"])
def test_real_candles_agree(symbol: str) -> None:
    assert_agree(real(symbol).rows(0, 6000))


@given(MARKETS, st.integers(0, 960))
@settings(max_examples=60)
def test_begun_at_once_or_candle_by_candle_is_the_same_to_the_last_bit(market: Market, cut: int) -> None:
    candles = market.candles()
    cut = min(cut, len(candles))
    whole = Tracker(candles.pair, candles.timeframe, MAX_GAP)
    for candle in candles.rows(0, cut):
        whole.update(candle)
    begun = Tracker.over(candles.rows(0, cut), MAX_GAP)

    for candle in candles.rows(cut, cut + 70):
        assert (repr(begun.snapshot()), len(begun), begun.time) == (repr(whole.snapshot()), len(whole), whole.time)
        assert begun.candidate(None, LOOSE) == whole.candidate(None, LOOSE)
        whole.update(candle)
        begun.update(candle)
    assert repr(begun.snapshot()) == repr(whole.snapshot())


def assert_same_candidate(ours: Candidate | None, theirs: Candidate | None) -> None:
    assert (ours is None) == (theirs is None)
    if ours is None or theirs is None:
        return
    assert (ours.pair, ours.timeframe, ours.direction) == (theirs.pair, theirs.timeframe, theirs.direction)
    assert ours.is_signal == theirs.is_signal
    assert ours.levels.targets == pytest.approx(theirs.levels.targets, rel=1e-9)
    assert ours.levels.stop == pytest.approx(theirs.levels.stop, rel=1e-9)
    assert [(v.rule, v.ruling, v.sentence) for v in ours.verdicts] == [
        (v.rule, v.ruling, v.sentence) for v in theirs.verdicts
    ]


def follow(candles: Candles, rules: Strategy) -> tuple[int, int]:
    """Asks both at every candle, the cooldown counted from the signals found; how many candidates and signals."""
    tracker, last, counts = Tracker(candles.pair, candles.timeframe, MAX_GAP), None, [0, 0]
    for row, candle in enumerate(candles):
        tracker.update(candle)
        ours = tracker.candidate(last, rules)
        assert_same_candidate(ours, propose(candles.rows(0, row + 1), last, rules, MAX_GAP))
        if ours is not None:
            counts[0] += 1
            counts[1] += ours.is_signal
            last = candle.open_time if ours.is_signal else last
    return counts[0], counts[1]


@given(MARKETS)
@settings(max_examples=25)
def test_it_proposes_what_the_full_window_proposes(market: Market) -> None:
    follow(market.candles(), LOOSE)


@pytest.mark.parametrize("rules", [Strategy(), LOOSE], ids=["as configured", "loose"])
def test_it_proposes_the_same_on_a_long_walk_with_gaps(rules: Strategy) -> None:
    found, signals = follow(walk(2500, seed=3, gaps={400: 8, 800: 9, 1300: 200}), rules)

    assert found > 40
    assert 0 < signals < found


@pytest.mark.parametrize("before", [0.98, 1.02])
def test_exact_ties_cross_nothing(before: float) -> None:
    """Once all 40 closes are the same the averages are equal, and only their rounding differs."""
    for price in (round(0.37 * n, 2) for n in range(1, 60)):
        close = np.concatenate((np.full(100, price * before), np.full(60, price)))
        candles = Candles(LINK, M15, times(160), close, close * 1.01, close * 0.99, close, close)
        tracker = Tracker.over(candles.rows(0, 130), MAX_GAP)
        for row in range(130, 160):
            tracker.update(candles.candle(row))
            assert tracker.candidate(None, LOOSE) is None
            assert propose(candles.rows(0, row + 1), None, LOOSE, MAX_GAP) is None


def test_the_first_candles_of_a_stretch_give_no_candidate() -> None:
    candles = walk(600)
    row = next(n for n in range(100, 600) if propose(candles.rows(0, n + 1), None, LOOSE, MAX_GAP))

    assert Tracker.over(candles.rows(row - 50, row + 1), MAX_GAP).candidate(None, LOOSE) is not None
    assert Tracker.over(candles.rows(row - 49, row + 1), MAX_GAP).candidate(None, LOOSE) is None


@pytest.mark.parametrize("age", [0, 1])
def test_a_candle_that_is_not_newer_is_refused_and_changes_nothing(age: int) -> None:
    candles = walk(200)
    tracker = Tracker.over(candles, MAX_GAP)
    before = tracker.snapshot()

    with pytest.raises(ValueError, match="not newer"):
        tracker.update(candles.candle(199 - age))

    assert (tracker.snapshot(), len(tracker)) == (before, 200)


def test_nothing_given_is_nothing_known() -> None:
    for tracker in (Tracker(LINK, M15, MAX_GAP), Tracker.over(walk(5).rows(0, 0), MAX_GAP)):
        assert (tracker.snapshot(), tracker.candidate(None, LOOSE), tracker.time, len(tracker)) == (None, None, None, 0)


def test_what_it_keeps_does_not_grow_with_the_candles() -> None:
    tracker = Tracker.over(walk(2000), MAX_GAP)
    for candle in walk(6000, seed=2).rows(2000, None):
        tracker.update(candle)

    assert len(tracker._closes.values) < 256
    assert math.isfinite(tracker._closes.values[0])
