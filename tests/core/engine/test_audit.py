"""The audit's table of candidates says of each filter what the strategy and the live rules say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as run_with
from hypothesis import strategies as st

from core.config import Settings
from core.domain.candles import BoolArray, Candles, Pair, Timeframe
from core.engine.audit import EARLY, FILTERS, OWN, AuditPart, audit_part, in_force_of
from core.engine.indicators import indicators
from core.engine.strategy import candidates
from core.services.backtest import run_backtest
from tests.markets import LINK, walk

BTC = Pair.parse("BTC/USDT")


def settings(**strategy: Any) -> Settings:
    return Settings.model_validate({"strategy": {"volume_ratio_min": 0.9} | strategy})


def part(candles: Candles, rules: Settings, btc: Candles | None = None) -> AuditPart:
    return audit_part(candles, btc, {}, rules)


def signals_of(candles: Candles, rules: Settings) -> BoolArray:
    """The strategy's own answer, for the candidates that the audit looks at."""
    entries = candidates(candles, indicators(candles), rules.strategy)
    return entries.is_signal[entries.row < len(candles) - rules.strategy.max_bars]


@given(st.integers(0, 1_000), st.sampled_from([0, 8, 40]))
@run_with(max_examples=15)
def test_with_every_filter_in_force_the_signals_are_the_strategys(seed: int, cooldown: int) -> None:
    candles, rules = walk(1_500, seed, gaps={600: 20}), settings(cooldown_bars=cooldown)

    found = part(candles, rules)

    assert found.signals().tolist() == signals_of(candles, rules).tolist()
    assert found.signals().tolist() == np.all([found.passed(name) for name in OWN], axis=0).tolist()


def test_a_cooldown_is_over_when_exactly_as_many_candles_have_passed() -> None:
    candles = walk(20_000, 4)
    apart = np.diff(candidates(candles, indicators(candles), settings(cooldown_bars=0).strategy).row)
    between = int(apart[apart > 20].min())

    for cooldown in (between, between + 1):
        rules = settings(cooldown_bars=cooldown, adx_min=0.0, volume_ratio_min=0.0)
        found = part(candles, rules)
        assert found.signals().tolist() == signals_of(candles, rules).tolist()
        assert found.signals().tolist() == np.all([found.passed(name) for name in OWN], axis=0).tolist()
        assert (found.bars_since == between).any()


OTHERS: tuple[dict[str, Any], ...] = (
    {},
    {
        "strategy": {"stop_atr": 1.1, "max_bars": 30, "breakeven_after_tp1": True},
        "paper": {"fee_rate": 0.002, "slippage_rate": 0.001},
        "fills": "pessimistic",
    },
)


@pytest.mark.parametrize("changes", OTHERS)
def test_outcomes_are_the_backtests_under_any_settings(changes: dict[str, Any]) -> None:
    candles = walk(4_000, 6, gaps={1_500: 20, 2_600: 30})
    every = candidates(candles, indicators(candles), settings().strategy).row
    most = Settings.model_validate(changes).strategy.max_bars
    # The last candidate has one candle too few, the one before it more than enough.
    candles = candles.rows(0, int(every[every < 3_900][-1]) + most)
    rules = Settings.model_validate(changes)

    found = part(candles, rules)
    truth = run_backtest({LINK: candles}, rules, candidates=True).parts[0]

    assert found.row[found.sample].tolist() == truth.entries.row.tolist()
    assert found.gross[found.sample].tolist() == truth.outcomes.realized_r.tolist()
    assert found.net[found.sample].tolist() == truth.net_r.tolist()
    closes = candles.time + candles.timeframe.ms
    assert found.decided[found.sample].tolist() == closes[truth.entries.row].tolist()
    assert found.end[found.sample].tolist() == closes[truth.outcomes.exit_row].tolist()
    assert not found.sample.all()


@pytest.mark.parametrize(
    ("name", "open_wide"),
    [
        ("adx", {"adx_min": 0.0}),
        ("rsi", {"rsi_long_max": 100.0, "rsi_short_min": 0.0}),
        ("volume", {"volume_ratio_min": 0.0}),
        ("cooldown", {"cooldown_bars": 0}),
    ],
)
def test_a_filter_left_out_is_a_filter_that_lets_everything_pass(name: str, open_wide: dict[str, float]) -> None:
    candles = walk(20_000, 4)
    tight = {"rsi_long_max": 60.0, "rsi_short_min": 40.0, "cooldown_bars": 2_000}

    without = part(candles, settings(**tight)).signals([other for other in OWN if other != name])

    assert without.tolist() == signals_of(candles, settings(**tight | open_wide)).tolist()
    assert without.sum() > signals_of(candles, settings(**tight)).sum()


def test_what_a_filter_kills_alone_becomes_a_signal_when_it_goes_and_nothing_else_cools_down() -> None:
    found = part(walk(20_000, 4), settings(cooldown_bars=0))

    for name in EARLY:
        without = found.signals([other for other in OWN if other != name])
        assert (without & ~found.signals()).tolist() == found.killed_alone(name).tolist()


def test_a_regime_that_is_refused_too_takes_its_signals_and_no_others_without_cooldown() -> None:
    found = part(walk(20_000, 5), settings(cooldown_bars=0))

    for name in ("TRENDING", "VOLATILE", "WEAK_TRENDING"):
        fewer = found.signals([*OWN, name])
        assert (found.signals() & ~fewer).tolist() == found.killed_alone(name).tolist()


def test_a_signal_that_a_rule_refuses_starts_the_cooldown_all_the_same() -> None:
    candles = walk(20_000, 6)
    found = part(candles, settings(cooldown_bars=60), replace(walk(20_000, 6), pair=BTC))

    for name in ("alignment", "btc"):
        assert found.signals([*OWN, name]).tolist() == (found.signals() & found.passed(name)).tolist()
        assert found.killed_alone(name).any()


def test_what_comes_later_changes_no_ruling() -> None:
    candles, btc = walk(2_400, 8), replace(walk(2_400, 9), pair=BTC)
    rules = settings()

    whole, cut = part(candles, rules, btc), part(candles.rows(0, 1_800), rules, btc.rows(0, 1_700))
    known = cut.row < 1_700

    for name in FILTERS:
        assert whole.passed(name)[: len(cut)][known].tolist() == cut.passed(name)[known].tolist()
    assert np.array_equal(whole.net[: len(cut)], cut.net)


def test_the_candle_that_opens_at_a_candidates_close_is_not_known_yet() -> None:
    """BTC moves as the pair does and 5m candles fall; a leap from that close on would undo what both rules refuse."""
    candles, five = walk(2_400, 6), Timeframe.parse("5m")
    falling = np.linspace(200.0, 100.0, 3 * len(candles))
    times = candles.time[0] + np.arange(len(falling)) * five.ms
    lower = Candles(LINK, five, times, falling, falling, falling, falling, np.ones(len(falling)))
    whole = audit_part(candles, replace(candles, pair=BTC), {"5m": lower}, settings())

    def leapt(part: Candles, time: int) -> Candles:
        factor = np.where(part.time >= time, 5.0, 1.0)
        columns = {name: getattr(part, name) * factor for name in ("open", "high", "low", "close")}
        return replace(part, **columns)

    for name in ("btc", "alignment"):
        refused = np.flatnonzero(whole.killed(name))[-3:]
        assert len(refused) == 3
        for index in refused.tolist():
            time = int(whole.decided[index])
            btc = leapt(replace(candles, pair=BTC), time)
            found = audit_part(candles, btc, {"5m": leapt(lower, time)}, settings())
            assert found.killed(name)[index]


def test_without_btc_the_check_lets_everything_pass_unless_the_unknown_is_refused() -> None:
    candles = walk(2_000, 3)
    refusing = Settings.model_validate({"rules": {"unknown": "refuse"}})

    assert part(candles, settings()).with_btc.all()
    assert not part(candles, refusing).with_btc.any()


def test_stored_candles_of_a_lower_timeframe_count_in_the_alignment() -> None:
    candles = walk(2_000, 3)
    five = Timeframe.parse("5m")
    rows = len(candles) * 3
    falling = np.linspace(200.0, 100.0, rows)
    times = candles.time[0] + np.arange(rows) * five.ms
    lower = Candles(LINK, five, times, falling, falling, falling, falling, np.ones(rows))

    found = audit_part(candles, None, {"5m": lower}, settings())
    without = part(candles, settings())

    assert not found.aligned[found.sign > 0].any()
    assert found.aligned[found.sign < 0].tolist() == without.aligned[without.sign < 0].tolist()
    assert without.aligned[without.sign > 0].any()


def test_a_variant_has_the_signals_that_the_strategy_would_have_with_its_numbers() -> None:
    candles = walk(20_000, 4)
    rules = Settings.model_validate(
        {"variants": {"calm": {"adx_min": 10, "cooldown_bars": 40}, "open": {"refused_regimes": []}}}
    )
    found = part(candles, rules)
    calm, wide = rules.variants["calm"], rules.variants["open"]

    as_own = Settings.model_validate({"strategy": {"adx_min": 10, "cooldown_bars": 40}})
    assert found.variant_signals(calm).tolist() == signals_of(candles, as_own).tolist()
    assert found.variant_signals(wide).tolist() == found.signals([n for n in OWN if n != "CHOPPY"]).tolist()


@given(st.sets(st.sampled_from(["CHOPPY", "VOLATILE", "TRENDING", "WEAK_TRENDING"])))
@run_with(max_examples=10)
def test_whichever_regimes_are_refused_the_signals_are_the_strategys(refused: set[str]) -> None:
    candles, rules = walk(1_500, 5), settings(refused_regimes=sorted(refused), adx_min=10)
    found = part(candles, rules)
    assert found.signals().tolist() == signals_of(candles, rules).tolist()
    assert set(in_force_of(rules.strategy)) - {"UNKNOWN", "adx", "rsi", "volume", "cooldown"} == refused
