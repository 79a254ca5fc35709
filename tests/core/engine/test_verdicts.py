"""Every layer's verdict is a value with a number and a sentence, whatever became of the signal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from core.config import Settings
from core.domain.trading import Candidate, GeminiOpinion, ModelOpinion, Opinions, Ruling, Verdict
from core.engine import trader
from core.engine.filters import Facts
from core.engine.indicators import indicators
from core.engine.strategy import candidate_at, crossings
from core.engine.trader import Stance
from tests.core.engine.test_trader import AGREE, account, opened
from tests.core.engine.trades import candidate
from tests.markets import LINK, walk

SETTINGS = Settings()
NO_NUMBER = {
    ("portfolio", "pause"): "a person's word",
    ("portfolio", "switch"): "a person's word",
    ("signal", "cooldown"): "the pair's first signal has none before it to count from",
}
"""Rules whose passing has no number by nature; apart from these only what is unknown or absent has none."""

YES = GeminiOpinion(True, 0.8, "because", (), "test")
MODEL = ModelOpinion("m1", 0.4, 0.38, 0.7, size_rank=0.5)
OPINIONS = [
    Opinions(),
    Opinions(gemini_present=True, gemini_note="no answer within 20 s"),
    Opinions(gemini=YES, gemini_present=True, model=MODEL),
    Opinions(gemini=replace(YES, approve=False, confidence=0.1), gemini_present=True, model_note="learning 31/50"),
]
FACTS = [
    AGREE,
    Facts(trends={"5m": None, "15m": None, "1h": None}),
    Facts(trends={"5m": None, "15m": 1, "1h": 1}, btc_correlation=0.5),
    Facts(trends={"5m": -1, "15m": 0, "1h": -1}, btc_correlation=0.95, btc_trend=-1, correlations={LINK: 1.0}),
]
STANCES = [
    Stance(),
    Stance(approved_weight=0.5, outcomes=200),
    Stance(paused="by Ann", enabled=False),
]


def signals() -> list[Candidate]:
    """One made by hand, and real crossovers with the verdicts of the signal's own filters."""
    candles = walk(900, 4)
    ind = indicators(candles)
    rows = [n for n in range(300, 900) if crossings(ind)[n]]
    found = [
        candidate_at(candles, ind, row, int(crossings(ind)[row]), before, SETTINGS.strategy)
        for row, before in zip(rows, [None, *rows], strict=False)
    ]
    return [candidate(LINK), *found[:6]]


def decided() -> Iterator[tuple[Settings, tuple[Verdict, ...]]]:
    held, _ = opened()
    accounts = [
        account(),
        replace(held, loss_streak=5, cooldown_until=candidate(LINK).close_time + 1, drawdown_paused=True),
        replace(held, cash=1.0, paused_day=candidate(LINK).close_time // 86_400_000),
    ]
    settings = [
        SETTINGS,
        Settings.model_validate({"rules": {"alignment": "veto", "btc": "record", "unknown": "refuse"}}),
    ]
    for s, opinions, facts, stance, money in product(settings, OPINIONS, FACTS, STANCES, accounts):
        yield s, trader.decide(candidate(LINK), opinions, facts, money, stance, s).verdicts
    for one in signals():
        yield SETTINGS, trader.decide(one, OPINIONS[2], AGREE, account(), Stance(), SETTINGS).verdicts


DECIDED = list(decided())


def test_every_layer_speaks_on_every_decided_signal_in_the_same_order() -> None:
    layers = [list(dict.fromkeys(v.layer for v in verdicts)) for _, verdicts in DECIDED]

    assert {tuple(found) for found in layers} == {
        ("signal", "rules", "gemini", "model", "combined", "portfolio", "size")
    }


def test_every_verdict_has_a_number_where_there_is_one() -> None:
    missing = {
        (v.layer, v.rule, v.ruling)
        for _, verdicts in DECIDED
        for v in verdicts
        if v.number is None and (v.layer, v.rule) not in NO_NUMBER
    }

    assert missing == {
        ("rules", "alignment", Ruling.UNKNOWN),
        ("rules", "alignment", Ruling.REFUSE),  # unknown, where the settings refuse what is unknown
        ("rules", "btc", Ruling.UNKNOWN),
        ("rules", "btc", Ruling.REFUSE),
        ("gemini", "gemini", Ruling.ABSENT),
        ("gemini", "gemini", Ruling.REFUSE),  # no opinion, where the settings refuse without one
        ("model", "model", Ruling.ABSENT),
        ("combined", "confidence", Ruling.ABSENT),
    }


def test_a_number_is_missing_only_where_the_sentence_says_why() -> None:
    why = ("too few", "no Gemini key", "Gemini has no opinion", "no model", "learning", "no confidence to test")
    for _, verdicts in DECIDED:
        for verdict in verdicts:
            if verdict.number is None and (verdict.layer, verdict.rule) not in NO_NUMBER:
                assert verdict.sentence.startswith(why), verdict


def test_every_verdict_says_one_line_that_fits_a_phone() -> None:
    sentences = {v.sentence for _, verdicts in DECIDED for v in verdicts}

    assert len(sentences) > 40
    for sentence in sentences:
        assert sentence == sentence.strip()
        assert 2 < len(sentence) <= 100, sentence
        assert "\n" not in sentence


@pytest.mark.parametrize("rule", ["alignment", "btc"])
def test_what_cannot_be_known_never_passes_as_known(rule: str) -> None:
    verdicts = trader.decide(candidate(LINK), OPINIONS[2], FACTS[1], account(), Stance(), SETTINGS).verdicts

    assert [v.ruling for v in verdicts if v.rule == rule] == [Ruling.UNKNOWN]


def test_alignment_with_no_timeframe_is_absent_and_agrees_with_nothing() -> None:
    verdicts = trader.decide(candidate(LINK), OPINIONS[2], Facts(), account(), Stance(), SETTINGS).verdicts

    assert [v.ruling for v in verdicts if v.rule == "alignment"] == [Ruling.ABSENT]
