"""A variant's choice about a candidate: by its own numbers and its own cooldown, told under a label that holds both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.config import Settings
from core.domain.trading import Candidate, Regime, Ruling
from core.engine.audit import audit_part
from core.engine.indicators import indicators
from core.engine.strategy import candidate_at
from core.engine.variants import label_of, variant_label, variant_verdicts
from tests.markets import LINK, walk

CANDLES = walk(12_000, 4)


def settings(**variants: dict[str, Any]) -> Settings:
    return Settings.model_validate({"variants": variants})


WIDE = settings(
    calm={"adx_min": 15, "volume_ratio_min": 0.5},
    patient={"cooldown_bars": 400},
    anywhere={"refused_regimes": []},
    bold={"refused_regimes": ["TRENDING", "WEAK_TRENDING"], "rsi_long_max": 100},
)


def candidates(rules: Settings) -> list[Candidate]:
    part, ind = audit_part(CANDLES, None, {}, rules), indicators(CANDLES)
    return [
        candidate_at(CANDLES, ind, int(row), int(sign), None, rules.strategy)
        for row, sign in zip(part.row, part.sign, strict=True)
    ]


def test_candle_by_candle_a_variant_chooses_what_the_audit_says_it_would_have_chosen() -> None:
    last: dict[Any, int] = {}
    chosen: dict[str, list[bool]] = {name: [] for name in WIDE.variants}
    for candidate in candidates(WIDE):
        known = CANDLES.time[: int(np.searchsorted(CANDLES.time, candidate.open_time)) + 1][-500:]
        for verdict in variant_verdicts(candidate, known, last, WIDE):
            chosen[verdict.rule].append(verdict.number == 1.0)
            if verdict.number:
                last[verdict.rule, LINK] = candidate.open_time

    part = audit_part(CANDLES, None, {}, WIDE)
    for name, variant in WIDE.variants.items():
        assert chosen[name] == part.variant_signals(variant).tolist()
        assert any(chosen[name])
        assert chosen[name] != part.signals().tolist()


def test_a_variant_refuses_nothing_and_says_why_under_its_label() -> None:
    rules = settings(calm={"adx_min": 99.0})
    candidate = next(c for c in candidates(rules) if c.is_signal)

    (verdict,) = variant_verdicts(candidate, CANDLES.time, {}, rules)

    assert (verdict.layer, verdict.rule, verdict.ruling, verdict.number) == ("variant", "calm", Ruling.RECORD, 0.0)
    assert verdict.sentence.startswith("adx_min 99 [")
    assert verdict.sentence.endswith(f"]: ADX {candidate.snapshot.adx:.1f} is below 99")
    assert label_of(verdict) == variant_label("calm", rules)


@pytest.mark.parametrize(
    "other",
    [
        {"variants": {"calm": {"adx_min": 21}}},
        {"strategy": {"volume_ratio_min": 0.8}},
        {"strategy": {"stop_atr": 2.5}},
        {"timeframe": "1h"},
        {"fills": "pessimistic"},
    ],
)
def test_what_the_comparison_rests_on_is_in_the_label(other: dict[str, Any]) -> None:
    base = {"variants": {"calm": {"adx_min": 20}}}

    assert variant_label("calm", Settings.model_validate(base)) != variant_label(
        "calm", Settings.model_validate(base | other)
    )


def test_what_the_comparison_does_not_rest_on_is_not() -> None:
    base = {"variants": {"calm": {"adx_min": 20}}}
    more = {"variants": {"calm": {"adx_min": 20}, "other": {"adx_min": 30}}, "paper": {"start_balance": 5.0}}

    assert variant_label("calm", Settings.model_validate(base)) == variant_label("calm", Settings.model_validate(more))


def test_no_variant_takes_a_candidate_whose_regime_is_not_known() -> None:
    from dataclasses import replace

    candidate = next(c for c in candidates(WIDE) if c.is_signal)
    unknown = replace(candidate, snapshot=replace(candidate.snapshot, regime=Regime.UNKNOWN))

    assert {v.number for v in variant_verdicts(unknown, CANDLES.time, {}, WIDE)} == {0.0}


def test_a_variants_cooldown_ends_at_the_candle_the_setting_names() -> None:
    rules = settings(patient={"cooldown_bars": 30})
    candidate = next(c for c in candidates(rules) if c.is_signal)
    row = int(np.searchsorted(CANDLES.time, candidate.open_time))
    known = CANDLES.time[: row + 1]

    numbers = [
        variant_verdicts(candidate, known, {("patient", LINK): int(known[row - bars])}, rules)[0].number
        for bars in (1, 29, 30, 31)
    ]

    assert numbers == [0.0, 0.0, 1.0, 1.0]
