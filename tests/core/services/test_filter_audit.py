"""The audit on stored candles rules as the live loop does, and says what it could not know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.adapters.clocks import ReplayClock
from core.bootstrap import candle_store
from core.config import Settings
from core.domain.candles import Pair, to_datetime
from core.domain.trading import Ruling
from core.engine.audit import audit_part
from core.errors import DataError
from core.services.filter_audit import filter_report
from core.services.replay import replay
from tests.ledgers import PAIRS, books, market, settings
from tests.markets import M15, START, walk

ROWS = 1_600
BTC = Pair.parse("BTC/USDT")


def vetoing() -> Settings:
    veto = {"alignment": "veto", "btc": "veto", "alignment_timeframes": ["15m", "1h"], "max_btc_correlation": 0.0}
    return settings(rules=veto)


async def test_the_rules_rule_as_they_did_in_a_replay(tmp_path: Path) -> None:
    candles, rules = market(ROWS), vetoing()
    async with books(tmp_path) as kept:
        await replay(candles, rules, kept.ledger, ReplayClock(to_datetime(START)), START + 500 * M15.ms, START + 10**12)
        decisions = [d for d in await kept.ledger.decisions() if d.is_signal]
    checked = refused = 0
    for pair in map(Pair.parse, PAIRS):
        part = audit_part(candles[pair], candles[BTC], {}, rules)
        for name in ("alignment", "btc"):
            passed = dict(zip(part.decided - M15.ms, part.passed(name), strict=True))
            for decision in (d for d in decisions if d.pair == pair and d.open_time in passed):
                verdict = next(v for v in decision.verdicts if v.rule == name)
                assert (verdict.ruling is not Ruling.REFUSE) == passed[decision.open_time]
                checked, refused = checked + 1, refused + (verdict.ruling is Ruling.REFUSE)
    assert checked > 20
    assert 5 < refused < checked


def test_what_is_not_stored_is_said(tmp_path: Path) -> None:
    store = candle_store(tmp_path)
    candles = market(ROWS, PAIRS)

    report = filter_report(candles, store, settings(), None, None, 7)

    assert report.notes == (
        "No 5m candles of any pair are stored: there the alignment is that of 15m, 1h alone.",
        "No 15m candles of BTC/USDT are stored: the BTC check cannot tell and lets pass.",
    )
    assert report.data()["random_walks"]["sentence"] == report.walks.sentence


def test_only_candidates_in_the_range_are_looked_at_and_each_is_told(tmp_path: Path) -> None:
    candles = market(ROWS, PAIRS)
    start, end = START + 600 * M15.ms, START + 1_400 * M15.ms
    told: list[int] = []

    report = filter_report(candles, candle_store(tmp_path), settings(), start, end, 7, told.append)

    assert sum(told) == report.audit.candidates > 0
    expected = sum(
        int(((part.decided > start) & (part.decided + 100 * M15.ms < end)).sum())
        for part in (audit_part(c, None, {}, settings()) for c in candles.values())
    )
    assert report.audit.candidates == expected


def test_a_range_without_an_outcome_is_a_data_error(tmp_path: Path) -> None:
    pair = Pair.parse("LINK/USDT")
    with pytest.raises(DataError, match="no crossover of LINK/USDT has an outcome"):
        filter_report({pair: replace(walk(120), pair=pair)}, candle_store(tmp_path), settings(), None, None, 7)
