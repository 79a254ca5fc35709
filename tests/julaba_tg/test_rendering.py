"""Every view and event, with hostile text and impossible numbers, becomes a card that can be sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.messages import Event, ModelTrained, Notice, PairStopped
from core.domain.trading import Ruling, Verdict
from core.services.prices import LivePrice
from core.services.views import MlView, StatusView, TradesView
from julaba_tg import alerts, rendering, rendering_approvals, rendering_help
from julaba_tg.card import CAPTION_LIMIT, TEXT_LIMIT, Card, html, plain, units
from tests.fakes.desk import (
    NOON,
    FakeDesk,
    a_closing,
    a_pair,
    a_position,
    a_refusal,
    a_signal,
    a_target,
    a_trade,
    an_approval,
)
from tests.julaba_tg.test_card import hostile, read

UTC = ZoneInfo("UTC")
numbers = st.floats() | st.sampled_from([0.0, -0.0, 1e-12, 1e300, -1e300, float("nan"), float("inf")])
maybe = numbers | st.none()


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (0.2, "now 17.64 (just now)"),
        (4.2, "now 17.64 (4 s ago)"),
        (60.0, "now 17.64 (60 s ago)"),
        (61.0, "⚠️ old price 17.64 (1m ago)"),
        (7200.0, "⚠️ old price 17.64 (2h00 ago)"),
    ],
)
def test_a_live_price_says_how_old_it_is(age: float, words: str) -> None:
    assert rendering.live_words(LivePrice(17.64, age, "asked")) == words


def test_without_a_live_price_a_position_shows_the_last_close_alone() -> None:
    shown = plain(rendering.positions([replace(a_position(), live=None, live_pnl=None)], UTC), TEXT_LIMIT)

    assert "+0.34R · +$38.29\nStop" in shown
    assert "now" not in shown.lower()


def sendable(card: Card) -> None:
    for limit in (CAPTION_LIMIT, TEXT_LIMIT):
        markup = html(card, limit)
        assert units(markup) <= limit
        assert read(markup).text.strip()
        assert units(plain(card, limit)) <= limit


@given(
    hostile, hostile, maybe, maybe, numbers, st.sampled_from(["taken", "refused", "missed", "signal_only", "waiting"])
)
def test_any_signal(words: str, more: str, gemini: float | None, ml: float | None, number: float, status: str) -> None:
    event = a_signal(
        status=status,
        pair=words or "X",
        reason=more,
        gemini_confidence=gemini,
        gemini_reasoning=words,
        gemini_source=more,
        gemini_note=words,
        ml_probability=ml,
        ml_average=gemini,
        ml_note=more,
        entry=number,
        stop=-number,
        targets=(number, number, number),
        quantity=number,
        risk_amount=number,
        combined_confidence=ml,
        verdicts=tuple(Verdict(words, more, ruling, number, words) for ruling in Ruling) * 8,
    )
    sendable(alerts.signal(event, UTC))
    sendable(alerts.trade([event, a_target(), a_closing()], UTC))


@given(hostile, numbers)
def test_any_other_alert(words: str, number: float) -> None:
    target = replace(a_target(), pair=words, target=words, price=number, pnl=number, fraction=number, r=number)
    closing = replace(a_closing(), pair=words, last_target=words, pnl=number, exit_price=number, equity=number)
    others: list[Event] = [
        PairStopped(key="p", time=NOON, pair=words, reason=words, successor=words),
        ModelTrained(key="m", time=NOON, model_id=words, champion=False, summary=words),
        Notice(key="n", time=NOON, topic="fault", title=words, detail=words),
    ]
    sendable(alerts.target(target, UTC))
    sendable(alerts.closed(closing))
    for event in others:
        sendable(alerts.other(event))
    sendable(alerts.digest([target, closing, a_refusal(reason=words), *others] * 20, UTC))


@given(hostile, numbers, maybe)
def test_any_answer(words: str, number: float, perhaps: float | None) -> None:
    pair = replace(a_pair(words), price=perhaps, note=words)
    position = replace(a_position(), pair=words, entry=number, mark=number, r=number, open_pnl=number)
    trade = replace(a_trade(), pair=words, pnl=number, r_net=number, exit_reason=words)
    approval = replace(an_approval(), title=words, lines=(words,) * 50, asked_by=words, answer_note=words)
    sendable(rendering.pairs([pair] * 60, UTC, words))
    sendable(rendering.positions([position] * 30, UTC))
    sendable(rendering_approvals.approval(approval, UTC, NOON))
    sendable(rendering_approvals.approval(replace(approval, state="approved", answered_by=words), UTC, NOON))
    sendable(rendering.refused(words))
    sendable(rendering.progress("🧠", "Training", words, 0.3))
    sendable(rendering_help.unknown_command(words, None))
    sendable(rendering.trades(TradesView((trade,) * 50, 50, 20, number, perhaps), UTC))
    sendable(rendering.too_old(words, timedelta(days=3)))


async def test_a_long_status_keeps_its_first_lines() -> None:
    view: StatusView = await FakeDesk().status()
    crowded = replace(view, pairs=(a_pair(note="no answer for 3 candles"),) * 200, faults=("the feed is late",))
    assert plain(rendering.status(crowded, UTC)).splitlines()[1] == "⚠️ the feed is late"


async def test_the_look_is_told_with_its_time_once_there_was_one() -> None:
    view: MlView = replace(await FakeDesk().ml(), looked_at=NOON, looks=1, next_look=100, outcomes=63)
    assert "Last look (no. 1) 21 Nov 12:00 · next at 100: 37 to go" in plain(rendering.ml(view, UTC))


def test_times_are_shown_in_the_persons_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert "since 21 Nov 12:00" in plain(rendering.positions([a_position()], berlin))


@pytest.mark.parametrize(
    ("changes", "first_line"),
    [
        ({}, "✅ LINK LONG 17.48 · risk $120 · G 78 · ML 37 (avg 36)"),
        ({"status": "refused", "reason": "1h down"}, "⛔ LINK LONG · refused: 1h down"),
        ({"status": "missed", "reason": "2 candles late"}, "⌛ LINK LONG · missed: 2 candles late"),
        ({"status": "waiting"}, "⏳ LINK LONG 17.48 · waits for your yes"),
        ({"status": "signal_only"}, "📣 LINK LONG 17.48 · G 78 · ML 37 (avg 36)"),
        ({"gemini_confidence": None}, "✅ LINK LONG 17.48 · risk $120 · G – · ML 37 (avg 36)"),
    ],
)
def test_first_lines(changes: dict[str, object], first_line: str) -> None:
    assert plain(alerts.signal(a_signal(1, **changes), UTC)).splitlines()[0] == first_line


def test_a_stand_in_for_gemini_is_named_in_each_alert() -> None:
    for event in (a_signal(), a_signal(gemini_reasoning=""), a_refusal()):
        assert "stand-in (rules, no AI)" in plain(alerts.signal(event, UTC))


def test_layers_that_passed_are_named_and_others_say_why() -> None:
    verdicts = (
        Verdict("signal", "adx", Ruling.PASS, 31.0, "ADX 31 is at least 25"),
        Verdict("signal", "rsi", Ruling.PASS, 50.0, "RSI 50 is at most 70"),
        Verdict("rules", "alignment", Ruling.HALF, 2.0, "1h down"),
        Verdict("rules", "btc", Ruling.PASS, 0.5, "BTC correlation 0.50"),
        Verdict("gemini", "gemini", Ruling.PASS, 0.78, "said above"),
        Verdict("portfolio", "daily_loss", Ruling.PASS, None, "within its limit"),
    )
    lines = plain(alerts.signal(a_signal(1, verdicts=verdicts), UTC)).splitlines()
    assert lines[-5:-1] == [
        "✅ signal: adx, rsi",
        "✅ rules: btc",
        "½ rules: 1h down",
        "✅ portfolio: within its limit",
    ]


def test_the_figures_of_a_model_are_said_in_words_and_the_rest_is_left_to_its_page() -> None:
    figures = {
        "n": 218.0,
        "accuracy": 0.61,
        "majority": 0.624,
        "auc": 0.42,
        "auc_low": 0.34,
        "auc_high": 0.5,
        "brier": None,
        "brier_skill": -0.018,
        "permutation_p": 0.97,
        "better_r": -0.04,
        "worse_r": 0.11,
        "over_majority_low": -0.2,
    }

    rows = rendering._metrics(figures)
    assert rows == [
        "unseen      218 signals",
        "accuracy    61% (commoner 62%)",
        "AUC         0.42 (0.34 to 0.50)",
        "guessing    0.50",
        "Brier skill -1.8%",
        "by chance   97% as good",
        "R by half   -0.04 and +0.11",
    ]
    assert max(map(len, rows)) <= 34, "wider does not fit a phone"
