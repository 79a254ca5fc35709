"""The simulated market: the same every time, valid, consistent across timeframes, alive and tame."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import Strategy
from core.domain.candles import Candles, Pair, Timeframe, to_ms
from core.engine.indicators import indicators
from core.engine.strategy import candidates
from core.errors import UsageError
from julaba_tg.phone.market_sim import DEMO_PAIRS, NATURES, WEEK, MarketSim, resampled

DAY = 86_400_000
START = to_ms(datetime(2026, 1, 1, tzinfo=UTC))
QUARTER = Timeframe.parse("15m")
LINK = Pair.parse("LINK")


def columns(candles: Candles) -> list[bytes]:
    return [getattr(candles, c).tobytes() for c in ("time", "open", "high", "low", "close", "volume")]


@settings(max_examples=15)
@given(st.integers(0, 30 * 96), st.integers(1, 400), st.sampled_from(["1m", "5m", "15m", "30m", "1h"]))
def test_any_window_is_a_part_of_the_whole_whoever_asks(offset: int, length: int, name: str) -> None:
    frame = Timeframe.parse(name)
    start = START + offset * QUARTER.ms
    window = MarketSim(3).candles(LINK, frame, start, start + length * frame.ms)
    whole = MarketSim(3).candles(LINK, frame, START, START + 31 * DAY + 400 * frame.ms)
    assert columns(window) == columns(whole.between(start, start + length * frame.ms))
    assert np.all(np.diff(window.time) == frame.ms)


def test_another_seed_is_another_market() -> None:
    one, two = (MarketSim(seed).candles(LINK, QUARTER, START, START + DAY) for seed in (1, 2))
    assert not np.array_equal(one.close, two.close)


@pytest.mark.parametrize("pair", [*DEMO_PAIRS, Pair.parse("DOGE")], ids=str)
def test_candles_are_possible_and_prices_stay_near_their_level(pair: Pair) -> None:
    candles = MarketSim(5, [pair]).candles(pair, Timeframe.parse("1h"), START - 700 * DAY, START)
    assert len(candles) == 700 * 24
    assert np.all(candles.low <= np.minimum(candles.open, candles.close))
    assert np.all(candles.high >= np.maximum(candles.open, candles.close))
    assert np.all(candles.low > 0)
    assert np.all(candles.volume > 0)
    level = NATURES[pair.base].price if pair.base in NATURES else float(np.median(candles.close))
    assert level / 4 < candles.close.min() < candles.close.max() < level * 4
    assert np.allclose(candles.open[1:], candles.close[:-1], rtol=0.002)


@pytest.mark.parametrize("name", ["5m", "15m", "30m", "1h"])
def test_longer_candles_are_made_of_the_shorter_ones(name: str) -> None:
    sim, frame = MarketSim(7), Timeframe.parse(name)
    minutes = sim.candles(LINK, Timeframe.parse("1m"), START, START + 2 * DAY)
    assert columns(resampled(minutes, frame)) == columns(sim.candles(LINK, frame, START, START + 2 * DAY))


def test_pairs_move_with_bitcoin_and_volatility_clusters() -> None:
    sim = MarketSim(7)
    moves = {p: np.diff(np.log(sim.candles(p, QUARTER, START, START + 60 * DAY).close)) for p in DEMO_PAIRS}
    btc = moves[Pair.parse("BTC")]
    for pair, move in moves.items():
        size = np.abs(move)
        assert pair.base == "BTC" or 0.5 < np.corrcoef(move, btc)[0, 1] < 0.92
        assert np.corrcoef(size[1:], size[:-1])[0, 1] > 0.1
        assert ((move - move.mean()) ** 4).mean() / move.var() ** 2 > 4


def test_volume_follows_the_day() -> None:
    candles = MarketSim(7).candles(LINK, Timeframe.parse("1h"), START, START + 8 * WEEK * 60_000)
    hour = candles.time % DAY // 3_600_000
    assert np.median(candles.volume[hour == 15]) > 1.3 * np.median(candles.volume[hour == 4])


def test_the_market_gives_a_demo_enough_signals() -> None:
    """An alert every 10 to 30 s at four candles a second asks for 0.15 to 0.5 signals per pair and day."""
    sim, signals, crossed, days = MarketSim(7), 0, 0, 0.0
    for pair in DEMO_PAIRS:
        candles = sim.candles(pair, QUARTER, START, START + 90 * DAY)
        entries = candidates(candles, indicators(candles), Strategy())
        signals, crossed, days = signals + int(entries.is_signal.sum()), crossed + len(entries), days + 90
    assert 0.15 < signals / days < 0.5
    assert 1.2 < crossed / days < 3.5


def test_the_running_candle_knows_only_closed_minutes() -> None:
    sim = MarketSim(7)
    known = sim.running(LINK, QUARTER, START + 7 * 60_000 + 20_000)
    minutes = sim.candles(LINK, Timeframe.parse("1m"), START, START + 7 * 60_000)
    assert (known.open, known.close) == (minutes.open[0], minutes.close[-1])
    assert (known.high, known.low) == (minutes.high.max(), minutes.low.min())
    first = sim.running(LINK, QUARTER, START + 59_000)
    assert (first.low, first.high, first.volume) == (minutes.open[0], minutes.open[0], 0.0)


def test_there_is_no_market_before_1970() -> None:
    with pytest.raises(UsageError, match="1970"):
        MarketSim().candles(LINK, QUARTER, -DAY, 0)
