"""The same values at a candle whenever the process was begun."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import Strategy
from core.domain.candles import Candles, Pair
from core.domain.trading import Candidate, Snapshot
from core.engine.history import GRID, History, Windows, history_start
from core.engine.strategy import last_snapshot, propose
from tests.markets import LINK, M15, START, walk

KEEP, MAX_GAP = 300, 8
RULES = Strategy(adx_min=10, volume_ratio_min=0.2, cooldown_bars=5)
MARKET = walk(1800, seed=21, gaps={500: 4, 700: 60, 1100: 8})
LAST_SIGNAL = START + 450 * M15.ms


def seen(history: History) -> tuple[str, Candidate | None, int, int]:
    """Everything that decides, floats to the last bit."""
    tracker = history.tracker
    return repr(tracker.snapshot()), tracker.candidate(LAST_SIGNAL, RULES), len(tracker), len(history.candles)


@pytest.fixture(scope="module")
def unbroken() -> list[tuple[str, Candidate | None, int, int]]:
    history, found = History(MARKET.rows(0, 0), KEEP, MAX_GAP), []
    for candle in MARKET:
        history.append(candle)
        found.append(seen(history))
    return found


@given(stops=st.lists(st.integers(1, 1800), min_size=1, max_size=4), ask=st.booleans())
@settings(max_examples=25)
def test_restarts_anywhere_find_the_same_bits(
    unbroken: list[tuple[str, Candidate | None, int, int]], stops: list[int], ask: bool
) -> None:
    """Each start loads what lies behind ``history_start``; whether the tracker was asked before makes no difference."""
    for stop in sorted(stops):
        known = MARKET.rows(0, stop)
        start = history_start(LINK, M15, int(known.time[-1]), KEEP)
        history = History(known.between(start, None), KEEP, MAX_GAP)
        if ask:
            assert seen(history) == unbroken[stop - 1]
        for row in range(stop, min(stop + 420, len(MARKET))):
            history.append(MARKET.candle(row))
            if (ask and row % 7 == 0) or row % 60 == 0:
                assert seen(history) == unbroken[row]
        assert seen(history) == unbroken[min(stop + 420, len(MARKET)) - 1]


def test_more_history_than_is_asked_for_changes_nothing(unbroken: list[tuple[str, Candidate | None, int, int]]) -> None:
    for stop in (350, 800, 1799):
        assert seen(History(MARKET.rows(0, stop), KEEP, MAX_GAP)) == unbroken[stop - 1]


def test_it_is_the_full_computation_on_the_candles_it_holds() -> None:
    history, found = History(MARKET.rows(0, 400), KEEP, MAX_GAP), 0
    for row in range(400, 1800):
        history.append(MARKET.candle(row))
        wanted = propose(history.candles, LAST_SIGNAL, RULES, MAX_GAP)
        ours = history.tracker.candidate(LAST_SIGNAL, RULES)
        assert (ours is None) == (wanted is None)
        if ours is not None and wanted is not None:
            found += 1
            assert ours.is_signal == wanted.is_signal
            assert [v.sentence for v in ours.verdicts] == [v.sentence for v in wanted.verdicts]
            close_to(ours.snapshot, wanted.snapshot)
        elif row % 50 == 0:
            close_to(history.tracker.snapshot(), last_snapshot(history.candles, MAX_GAP))

    assert found > 10


def close_to(ours: Snapshot | None, wanted: Snapshot | None) -> None:
    assert ours is not None
    assert wanted is not None
    for name in ("rsi", "adx", "di_plus", "di_minus", "atr", "hurst"):
        assert getattr(ours, name) == pytest.approx(getattr(wanted, name), rel=1e-9, abs=1e-9, nan_ok=True)


def test_it_holds_keep_candles_before_the_newest_anchor_and_all_since() -> None:
    candles = walk(1500)
    history = History(candles.rows(0, 0), KEEP, MAX_GAP)
    sizes = []
    for candle in candles:
        history.append(candle)
        sizes.append(len(history.candles))

    assert set(sizes[800:]) == set(range(KEEP + 1, KEEP + GRID + 1))


@given(st.integers(0, 10**5), st.sampled_from(["LINK", "ETH", "SOL", "AVAX", "POL"]))
def test_the_start_moves_only_at_anchors_and_lies_on_a_candle(candle: int, base: str) -> None:
    pair, time = Pair.parse(base), START + candle * M15.ms
    start, following = (history_start(pair, M15, t, KEEP) for t in (time, time + M15.ms))

    assert KEEP <= (time - start) // M15.ms < KEEP + GRID
    assert start % M15.ms == 0
    assert following - start in (0, GRID * M15.ms)


def test_pairs_begin_anew_at_different_times_of_the_day() -> None:
    starts = {history_start(Pair(f"C{n}", "USDT"), M15, START, 500) for n in range(100)}

    assert len(starts) > 40


def test_windows_look_like_a_dictionary_of_candles() -> None:
    eth = Pair.parse("ETH")
    histories = {LINK: History(MARKET, KEEP, MAX_GAP), eth: History(replace(MARKET, pair=eth), KEEP, MAX_GAP)}
    windows = Windows(histories)

    assert list(windows) == [LINK, eth]
    assert isinstance(windows[eth], Candles)
    assert windows.get(Pair.parse("SOL")) is None
    assert np.array_equal(windows[LINK].time, histories[LINK].candles.time)


def test_a_history_without_candles_knows_nothing() -> None:
    history = History(MARKET.rows(0, 0), KEEP, MAX_GAP)

    assert (history.last_time, history.last_close, history.tracker.snapshot()) == (None, None, None)
