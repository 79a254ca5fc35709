"""Signals on which a layer could not tell are counted, however the settings decided them."""

from __future__ import annotations

from core.config import Settings
from core.domain.ledger import DecisionRecord
from core.domain.trading import Opinions
from core.engine import trader
from core.engine.filters import Facts
from core.engine.trader import Stance
from core.ml.unclear import Unclear, unclear_of
from tests.core.engine.test_trader import AGREE, APPROVES, account
from tests.core.engine.trades import candidate
from tests.markets import LINK

BLIND = Facts(trends={"5m": None, "15m": 1, "1h": 1})
SILENT = Opinions(gemini_present=True, gemini_note="no answer within 20 s")
NOT_ASKED = Opinions(gemini_present=True, gemini_note="not asked")


def decision(opinions: Opinions, facts: Facts, unknown: str = "pass", on_no_opinion: str = "refuse") -> DecisionRecord:
    settings = Settings.model_validate({"rules": {"unknown": unknown}, "gemini": {"on_no_opinion": on_no_opinion}})
    one = candidate(LINK)
    verdicts = trader.decide(one, opinions, facts, account(), Stance(), settings).verdicts
    return DecisionRecord(
        decision_id=1,
        pair=LINK,
        timeframe="15m",
        open_time=one.open_time,
        direction=one.direction,
        is_signal=True,
        status="refused",
        reason="",
        snapshot=one.snapshot,
        verdicts=verdicts,
        decided_at=0,
        quantity=0,
        risk_amount=0,
    )


def test_what_is_unknown_is_counted_whether_it_passed_or_refused() -> None:
    found = unclear_of(
        [
            decision(APPROVES, AGREE),
            decision(APPROVES, BLIND),
            decision(SILENT, BLIND, unknown="refuse"),
            decision(SILENT, AGREE, on_no_opinion="rules"),
            decision(NOT_ASKED, AGREE),
            decision(Opinions(), AGREE),
        ]
    )

    assert found == Unclear(6, {"alignment": 2, "btc": 2, "gemini": 2})
    assert found.words == "Not known: alignment 2, BTC 2 of 6 signals; Gemini without an opinion on 2"


def test_a_signal_that_came_too_late_for_the_layers_does_not_count() -> None:
    late = decision(SILENT, BLIND)
    late = type(late)(**{name: getattr(late, name) for name in late.__dataclass_fields__} | {"verdicts": ()})

    assert unclear_of([late]) == Unclear()


def test_words_only_where_something_was_not_known() -> None:
    assert Unclear(9, {}).words == ""
    assert Unclear(9, {"gemini": 1}).words == "Gemini without an opinion on 1 of 9 signals"
    assert Unclear(9, {"btc": 1}).words == "Not known: BTC 1 of 9 signals"
