from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from core.config import Strategy
from core.domain.candles import Candles
from core.domain.trading import Candidate, Direction, Regime, Ruling, Snapshot
from core.engine.indicators import Indicators, indicators
from core.engine.strategy import (
    Entries,
    candidate_at,
    candidates,
    crossings,
    last_snapshot,
    levels,
    propose,
    signal_verdicts,
)
from tests.markets import M15, flat, walk

RULES = Strategy()


def with_smas(fast: list[float], slow: list[float]) -> Indicators:
    """Indicators that hold just these SMAs, at a close of 100."""
    ind = indicators(flat(len(fast), price=100))
    vars(ind).update(sma_15=np.array(fast), sma_40=np.array(slow))
    return ind


@pytest.mark.parametrize(
    ("fast", "signs"),
    [
        ([99, 101, 102], [0, 1, 0]),
        ([101, 99, 98], [0, -1, 0]),
        ([100, 101, 99], [0, 1, -1]),
        ([101, 100, 101], [0, 0, 1]),  # touching counts as crossing when it turns back: the reference's `<=`
        ([99, 100 + 9e-9, 100 + 9e-9], [0, 0, 0]),  # closer than 1e-10 of the close: still equal
        ([99, 100 + 2e-8, 101], [0, 1, 0]),
        ([100 - 9e-9, 101, 101], [0, 1, 0]),
        ([math.nan, 101, 99], [0, 0, -1]),
        ([99, math.nan, 101], [0, 0, 0]),
    ],
)
def test_a_crossing_starts_at_or_beyond_equality_and_ends_clearly(fast: list[float], signs: list[int]) -> None:
    assert crossings(with_smas(fast, [100.0] * 3)).tolist() == signs


def test_no_crossing_spans_two_stretches() -> None:
    candles = walk(600, seed=4, gaps={300: 9})

    signs = crossings(indicators(candles, max_gap=8))

    assert not signs[300:340].any()
    assert signs[:300].any()
    assert signs[340:].any()


@pytest.mark.parametrize(("direction", "sign"), [(Direction.LONG, 1), (Direction.SHORT, -1)])
def test_levels_lie_two_atr_and_its_multiples_away(direction: Direction, sign: int) -> None:
    found = levels(direction, 100.0, 0.5)

    assert found.stop == 100 - sign
    assert found.targets == (100 + 1.5 * sign, 100 + 2.5 * sign, 100 + 4 * sign)
    assert found.risk == 1


@pytest.mark.parametrize("atr", [0.0, -1.0, math.nan, math.inf])
def test_levels_need_an_atr(atr: float) -> None:
    with pytest.raises(ValueError, match="no levels"):
        levels(Direction.LONG, 100.0, atr)


GOOD = Snapshot(
    open_time=0,
    close=100,
    sma_15=100,
    sma_40=100,
    rsi=50,
    adx=30,
    di_plus=20,
    di_minus=10,
    atr=1,
    atr_percent=1,
    volume_sma=1,
    volume_ratio=1,
    sma_distance_percent=0,
    hurst=0.6,
    regime=Regime.TRENDING,
    hour=0,
    day_of_week=0,
)


@pytest.mark.parametrize(
    ("change", "direction", "refusing"),
    [
        ({}, "LONG", set()),
        ({"adx": 25}, "LONG", set()),
        ({"adx": 24.99}, "LONG", {"adx"}),
        ({"adx": math.nan}, "LONG", {"adx"}),
        ({"rsi": 70}, "LONG", set()),
        ({"rsi": 70.1}, "LONG", {"rsi"}),
        ({"rsi": 70.1}, "SHORT", set()),
        ({"rsi": 29.9}, "LONG", set()),
        ({"rsi": 29.9}, "SHORT", {"rsi"}),
        ({"rsi": 30}, "SHORT", set()),
        ({"rsi": math.nan}, "SHORT", {"rsi"}),
        ({"volume_ratio": 0.75}, "LONG", set()),
        ({"volume_ratio": 0.74}, "LONG", {"volume"}),
        ({"volume_ratio": math.nan}, "LONG", {"volume"}),
        ({"regime": Regime.CHOPPY}, "LONG", {"regime"}),
        ({"regime": Regime.UNKNOWN, "hurst": math.nan}, "LONG", {"regime"}),
        ({"regime": Regime.VOLATILE}, "LONG", set()),
        ({"regime": Regime.WEAK_TRENDING, "adx": 1, "volume_ratio": 0}, "LONG", {"adx", "volume"}),
    ],
)
def test_each_rule_refuses_by_itself(change: dict[str, float], direction: str, refusing: set[str]) -> None:
    verdicts = signal_verdicts(dataclasses.replace(GOOD, **change), Direction(direction), None, RULES)  # type: ignore[arg-type]

    assert [v.rule for v in verdicts] == ["adx", "rsi", "volume", "regime", "cooldown"]
    assert {v.rule for v in verdicts if v.ruling is Ruling.REFUSE} == refusing
    assert all(v.layer == "signal" and v.sentence for v in verdicts)
    assert all(v.number is None or math.isfinite(v.number) for v in verdicts)


@pytest.mark.parametrize(("bars", "passes"), [(None, True), (0, False), (7, False), (8, True), (500, True)])
def test_the_cooldown_counts_bars(bars: int | None, passes: bool) -> None:
    cooldown = signal_verdicts(GOOD, Direction.LONG, bars, RULES)[-1]

    assert (cooldown.ruling is Ruling.PASS) is passes
    assert cooldown.number == bars


@pytest.mark.parametrize(
    ("refused", "regime", "passes"),
    [
        (["CHOPPY"], "CHOPPY", False),
        ([], "CHOPPY", True),
        (["CHOPPY", "VOLATILE"], "VOLATILE", False),
        ("VOLATILE+WEAK_TRENDING", "CHOPPY", True),
        ("none", "CHOPPY", True),
        ([], "UNKNOWN", False),
    ],
)
def test_the_settings_say_which_regimes_are_refused_and_an_unknown_one_always_is(
    refused: object, regime: str, passes: bool
) -> None:
    rules = Strategy.model_validate({"refused_regimes": refused})
    verdict = signal_verdicts(dataclasses.replace(GOOD, regime=Regime(regime)), Direction.LONG, None, rules)[3]

    assert (verdict.rule, verdict.ruling is Ruling.PASS) == ("regime", passes)


def test_a_refusal_reads_as_a_sentence() -> None:
    verdicts = signal_verdicts(dataclasses.replace(GOOD, adx=18.23), Direction.LONG, 3, RULES)

    assert verdicts[0].sentence == "ADX 18.2 is below 25"
    assert verdicts[-1].sentence == "3 bars since the last signal, fewer than 8"


# --- arrays against one at a time ---


def one_by_one(candles: Candles, rules: Strategy, max_gap: int) -> list[tuple[int, Candidate]]:
    """The array path's work by the live rules, in the order of time."""
    ind = indicators(candles, max_gap)
    starts = {row: first for first, last in candles.stretches(max_gap) for row in range(first, last)}
    found: list[tuple[int, Candidate]] = []
    last_signal: int | None = None
    for row, sign in enumerate(crossings(ind)):
        if sign and row - starts[row] >= rules.warmup_bars:
            since = None if last_signal is None else row - last_signal
            candidate = candidate_at(candles, ind, row, int(sign), since, rules)
            if candidate.is_signal:
                last_signal = row
            found.append((row, candidate))
    return found


LOOSE = Strategy(adx_min=15, volume_ratio_min=0.5, cooldown_bars=60)


def noisy(seed: int) -> Candles:
    return walk(1500, seed=seed, gaps={500: 20, 560: 8, 900: 9})


@pytest.mark.parametrize("rules", [RULES, LOOSE], ids=["default", "loose"])
@pytest.mark.parametrize("seed", range(6))
def test_the_array_path_finds_what_the_rules_say_one_by_one(seed: int, rules: Strategy) -> None:
    candles = noisy(seed)

    entries = candidates(candles, indicators(candles, 8), rules, max_gap=8)
    expected = one_by_one(candles, rules, 8)

    assert entries.row.tolist() == [row for row, _ in expected]
    assert entries.sign.tolist() == [c.direction.sign for _, c in expected]
    assert entries.is_signal.tolist() == [c.is_signal for _, c in expected]
    since = [c.verdicts[-1].number for _, c in expected]
    assert entries.bars_since.tolist() == [-1 if s is None else int(s) for s in since]


def test_these_markets_hold_both_signals_and_refusals() -> None:
    parts = [candidates(c, indicators(c, 8), LOOSE, max_gap=8) for c in map(noisy, range(6))]

    assert sum(int(p.is_signal.sum()) for p in parts) >= 20
    assert sum(int((~p.is_signal).sum()) for p in parts) >= 20


@pytest.mark.parametrize("seed", range(3))
def test_the_live_path_proposes_what_the_array_path_finds(seed: int) -> None:
    candles = noisy(seed)
    entries = candidates(candles, indicators(candles, 8), LOOSE, max_gap=8)

    found, last_signal = [], None
    for row in range(len(candles)):
        candidate = propose(candles.rows(0, row + 1), last_signal, LOOSE, 8)
        if candidate is not None:
            found.append((row, candidate.direction.sign, candidate.is_signal))
            last_signal = candidate.open_time if candidate.is_signal else last_signal

    assert found == list(zip(entries.row.tolist(), entries.sign.tolist(), entries.is_signal.tolist(), strict=True))


def test_a_window_of_five_hundred_is_as_good_as_all_history() -> None:
    candles = walk(2500, seed=8)
    ind = indicators(candles)
    entries = candidates(candles, ind, RULES, first_row=1000)

    for row, sign in zip(entries.row, entries.sign, strict=True):
        live = propose(candles.rows(row - 499, row + 1), None, RULES, 8)
        assert live is not None
        assert live.direction.sign == sign
        for name in ("rsi", "adx", "atr", "hurst", "volume_ratio", "sma_15", "sma_40"):
            assert getattr(live.snapshot, name) == pytest.approx(float(getattr(ind, name)[row]), rel=1e-9)


def last_crossing(candles: Candles) -> int:
    entries = candidates(candles, indicators(candles), RULES)
    return int(entries.row[-1])


@pytest.mark.parametrize(("age", "bars"), [(3, 3), (9, 9), (120, 120), (121, 121), (5000, 121)])
def test_the_live_cooldown_counts_rows_of_the_window(age: int, bars: int) -> None:
    candles = walk(800, seed=2)
    row = last_crossing(candles)
    window = candles.rows(row - 120, row + 1)

    candidate = propose(window, int(window.time[-1]) - age * M15.ms, RULES, 8)

    assert candidate is not None
    assert candidate.verdicts[-1].number == bars


def test_warm_up_is_counted_from_the_stretch() -> None:
    candles = walk(800, seed=2)
    row = last_crossing(candles)

    assert propose(candles.rows(row - 50, row + 1), None, RULES, 8) is not None
    assert propose(candles.rows(row - 49, row + 1), None, RULES, 8) is None
    gap = walk(800, seed=2, gaps={row - 49: 9})
    assert propose(gap.rows(0, row + 1), None, RULES, 8) is None


def test_an_empty_window_proposes_nothing() -> None:
    nothing = walk(100).rows(0, 0)

    assert propose(nothing, None, RULES, 8) is None
    assert last_snapshot(nothing, 8) is None


def test_the_last_snapshot_is_of_the_last_stretch() -> None:
    candles = walk(500, gaps={400: 30})

    assert last_snapshot(candles, 8) == indicators(candles.rows(400, None)).snapshot(-1)


@pytest.mark.parametrize("cut", [300, 555, 900, 1200])
def test_changing_the_future_changes_no_past_candidate(cut: int) -> None:
    candles = walk(1500, seed=3)
    changed = candles.rows(0, cut).joined(walk(1500, seed=9, price=7.0).rows(cut, None))

    def until_cut(c: Candles) -> list[list[int]]:
        entries: Entries = candidates(c, indicators(c), LOOSE)
        kept = entries.only(entries.row < cut)
        return [kept.row.tolist(), kept.sign.tolist(), kept.is_signal.tolist(), kept.bars_since.tolist()]

    assert until_cut(changed) == until_cut(candles)
    assert len(until_cut(candles)[0]) > 2


def test_the_chain_starts_at_the_first_row_asked_for() -> None:
    candles = walk(1500, seed=3)
    every = candidates(candles, indicators(candles), LOOSE)
    first = int(every.row[len(every) // 2])

    later = candidates(candles, indicators(candles), LOOSE, first_row=first)

    assert later.row[0] == first
    assert later.bars_since[0] == -1


def test_nothing_happens_on_a_flat_market() -> None:
    quiet = flat(300)

    assert len(candidates(quiet, indicators(quiet), RULES)) == 0
