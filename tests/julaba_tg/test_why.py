"""``/why`` over real HTTP, for each role; and its card with whatever a ledger may hold."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.trading import Direction, Neighbour, Ruling, Verdict
from core.ml.words import Line
from core.services.explain import Became, GeminiWhy, ModelWhy
from julaba_tg.card import html
from julaba_tg.rendering_why import why
from tests.fakes.desk import a_refusal, a_signal, a_target
from tests.fakes.why import ENDED, NEIGHBOURS, NOON, REASONS, a_why
from tests.julaba_tg.conftest import OWNER, STRANGER, VIEWER, World
from tests.julaba_tg.test_card import hostile
from tests.julaba_tg.test_rendering import UTC, maybe, numbers, sendable


async def test_why_shows_everything_and_then_the_picture(chat: World) -> None:
    card = await chat.ask("/why 12")
    assert card.text.splitlines() == [
        "🔍 LINK LONG · taken · +0.34R so far",
        "17.48 · stop 17.10 · targets 18.05 / 18.43 / 19.00",
        "Trade 12, signal 12 at 21 Nov 12:00",
        "Open: +0.34R before costs after 9 candles, TP1 reached, on the way between -0.20R and +1.60R",
        "",
        "ML 41, avg 36, ahead of 62% of its last ones · xgb-v1-ab12cd34",
        "From 37 to 41, in log-odds (+ speaks for a win):",
        "🟩 ADX 31 +0.42",
        "🟥 BTC correlation 0.82 -0.20",
        "🟥 RSI 64 -0.10",
        "🟩 regime TRENDING +0.05",
        "🟥 hour 14 UTC -0.03",
        "🟩 Hurst not known +0.02",
        "🟩 made up 0 0 +0.01",
        "🟩 made up 1 1 +0.01",
        "▫️ 2 smaller ones together +0.02",
        "",
        "2 nearest past signals: 1 won, mean +0.7R before costs",
        "🟢 SOL 14 Nov 2023 +2.40R · distance 0.31",
        "🔴 LINK 9 Mar 2024 -1.00R · distance 0.35",
        "Distance 0 is alike, 1.4 unrelated.",
        "",
        "G 78 · gemini-3.5 approves: Momentum <b>with</b> volume & news",
        "Every layer:",
        "✅ signal, adx: ADX 31.2 is at least 25",
        "½ rules, alignment: 1h down",
        "✅ gemini, opinion: approved with 78",
        "Combined confidence 74 with the model at 25%",
    ]
    assert [b.text for b in card.buttons] == ["📈 Chart", "📊 Status"]
    picture = await chat.phone.wait_for(lambda m: m.media is not None)
    assert picture.text == "📊 LINK LONG · signal 12: what moved the model"
    assert picture.message_id > card.message_id


async def test_a_viewer_may_ask_and_a_stranger_hears_nothing(chat: World) -> None:
    assert (await chat.ask("/why 12", VIEWER)).text.startswith("🔍 LINK LONG · taken")
    assert "/why [ID]" in (await chat.ask("/help", VIEWER)).text
    chat.phone.say(STRANGER, "/why 12")
    assert await chat.quiet(STRANGER) == []


async def test_without_a_number_it_is_the_newest_signal_and_a_hash_names_a_trade(chat: World) -> None:
    chat.desk.whys = [a_why(14, trade_id=None, status="refused", reason="1h down"), a_why(12, trade_id=7)]
    assert (await chat.ask("/why")).text.startswith("🔍 LINK LONG · refused: 1h down")
    assert "Trade 7, signal 12" in (await chat.ask("/why #7")).text
    assert (await chat.ask("/why #14")).text == "✋ There is no signal or trade 14; the newest signal is 12"


@pytest.mark.parametrize("words", ["twelve", "-1", "12.5", "#", "9999999999", "١٢"])
async def test_what_is_no_number_is_a_sentence_with_the_usage(chat: World, words: str) -> None:
    answer = (await chat.ask(f"/why {words}")).text.splitlines()
    assert answer == [
        f"✋ '{words}' is not a signal's number; alerts name it.",
        "Usage: /why [ID], for example /why 12",
    ]


async def test_the_button_under_an_alert_answers_with_a_message_of_its_own(chat: World) -> None:
    chat.outbox.put(a_refusal(12))
    alert = await chat.phone.wait_for(lambda m: "refused" in m.text, chat_id=OWNER)
    chat.phone.tap(OWNER, alert.message_id, alert.button("Why?").callback_data)
    card = await chat.phone.wait_for(lambda m: m.text.startswith("🔍"))
    assert card.message_id > alert.message_id
    assert chat.phone.messages()[0].text == alert.text


async def test_an_alert_names_the_strongest_reasons_and_sums_up_its_neighbours(chat: World) -> None:
    chat.outbox.put(replace(a_refusal(), ml_reasons=REASONS, neighbours=NEIGHBOURS))
    alert = await chat.phone.wait_for(lambda m: "refused" in m.text, chat_id=OWNER)
    assert "🧠 ADX 31 +0.42 · BTC correlation 0.82 -0.20 · RSI 64 -0.10" in alert.text
    assert "🕰 2 nearest past signals: 1 won, mean +0.7R before costs" in alert.text


async def test_a_living_trade_keeps_its_why_button_when_it_is_edited(chat: World) -> None:
    chat.desk.events[7] = [a_signal(12)]
    chat.outbox.put(a_signal(12))
    opened = await chat.phone.wait_for(lambda m: m.text.startswith("✅"), chat_id=OWNER)
    chat.desk.events[7] = [a_signal(12), a_target()]
    chat.outbox.put(a_target())
    edited = await chat.phone.wait_for(lambda m: m.message_id == opened.message_id and "🎯" in m.text, chat_id=OWNER)
    assert edited.button("Why?").callback_data == opened.button("Why?").callback_data == "new:why 12"


def test_what_became_of_it_is_told_for_trades_and_for_shadows() -> None:
    ended = html(why(a_why(became=ENDED), UTC))
    assert "🔍 LINK LONG · taken · +0.18R" in ended
    assert (
        "Ended: stop after TP1, 21 Nov 15:00: +0.25R before costs, +0.18R after costs; "
        "on the way between -1.00R and +1.60R" in ended
    )
    shadow = html(why(a_why(trade_id=None, became=replace(ENDED, is_trade=False)), UTC))
    assert "Ended (followed without money): stop after TP1" in shadow
    assert "Signal 12 at" in shadow


def test_a_candidate_says_which_filter_stopped_it_and_no_model_is_said() -> None:
    stopped = (Verdict("signal", "adx", Ruling.REFUSE, 21.0, "ADX 21 is below 25"),)
    view = a_why(status="candidate", trade_id=None, verdicts=stopped, model=None, gemini=None, neighbours=(), reason="")
    shown = html(why(view, UTC))
    assert "no signal: ADX 21 is below 25" in shown.splitlines()[0]
    assert "Candidate 12 at" in shown
    assert "No model spoke." in shown


def test_a_prediction_stored_before_reasons_were_says_so() -> None:
    view = a_why(model=ModelWhy("m", 0.4, None, None, None, ()))
    assert "Its reasons were not kept." in html(why(view, UTC))


def test_words_that_came_from_elsewhere_are_escaped_and_a_number_stands_where_the_sentence_has_none() -> None:
    verdicts = (Verdict("rules", "btc", Ruling.RECORD, 0.8312, "BTC <i>disagrees</i>"),)
    shown = html(why(a_why(verdicts=verdicts), UTC))
    assert "Momentum &lt;b&gt;with&lt;/b&gt; volume &amp; news" in shown
    assert "📝 rules, btc: BTC &lt;i&gt;disagrees&lt;/i&gt; (0.831)" in shown


@given(
    hostile,
    numbers,
    maybe,
    st.sampled_from(["taken", "refused", "missed", "signal_only", "candidate"]),
    st.booleans(),
)
def test_any_decision_can_be_sent(words: str, number: float, other: float | None, status: str, closed: bool) -> None:
    view = a_why(
        pair=words or "X",
        status=status,
        reason=words,
        entry=number,
        stop=number,
        targets=(number, number, number),
        verdicts=tuple(Verdict(words, words, ruling, other, words) for ruling in Ruling) * 8,
        model=ModelWhy(words, number, other, other, other, tuple(Line(words, words, 0.1) for _ in range(20))),
        gemini=GeminiWhy(None, number, words * 9, words),
        neighbours=(Neighbour(words, Direction.SHORT, 10**18, 1.0, 0.5),) * 5,
        combined_confidence=other,
        became=Became(closed, closed, number, other, words, words, 3, number, number, NOON if closed else None),
    )
    sendable(why(view, ZoneInfo("Europe/Berlin")))
