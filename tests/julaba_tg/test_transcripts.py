"""Transcripts: given this desk, when somebody types this, the bot says that. The real library over real HTTP."""

from __future__ import annotations

from dataclasses import replace

from core.services.views import TrainingView, WeightAnswer
from julaba_tg.commands import COMMANDS
from tests.fakes.desk import PNG
from tests.julaba_tg.conftest import STRANGER, VIEWER, World


async def test_status_says_equity_and_each_close(chat: World) -> None:
    status = await chat.ask("/status")
    assert status.text.splitlines()[0] == "📊 $10,240 · today +$31 · 1 open · running"
    assert "LINK      17.48  12:00" in status.text
    assert "Gemini off (no key) · ML learning 31/50" in status.text


async def test_refresh_edits_in_place(chat: World) -> None:
    status = await chat.ask("/status")
    chat.desk.paused = "by hand"
    chat.phone.tap(1001, status.message_id, status.button("Refresh").callback_data)
    changed = await chat.phone.wait_for(lambda m: "paused" in m.text)
    assert changed.message_id == status.message_id
    assert changed.buttons, "an edit without its keyboard would lose the buttons"


async def test_a_refresh_that_changes_nothing_is_no_fault(chat: World) -> None:
    status = await chat.ask("/status")
    tap = chat.phone.tap(1001, status.message_id, status.button("Refresh").callback_data)
    await chat.phone.wait_answer(tap)
    assert await chat.quiet(1001) == chat.phone.messages()[1::2]


async def test_positions_trades_and_version(chat: World) -> None:
    positions = (await chat.ask("/positions")).text
    assert "→ 17.61 · +0.34R · +$38.29\nNow 17.64 (4 s ago) · +$47.77\nStop 17.10" in positions
    assert "Stop 17.10 · targets 18.05 / 18.43 / 19.00" in positions
    assert "🟢 LINK LONG 17.48 → 17.61 · +0.34R · now 17.64 (4 s ago)" in (await chat.ask("/status")).text
    assert "🟢 ETH SHORT +0.62R · +$84.20 · stop after TP1 · 21 Nov 10:00" in (await chat.ask("/trades 2")).text
    assert (await chat.ask("/version")).text == "Julaba 0.1.0 · paper"


async def test_an_argument_error_ends_in_the_usage_line(chat: World) -> None:
    answer = await chat.ask("/trades many")
    assert answer.text == "✋ 'many' is not a whole number from 1 to 50.\nUsage: /trades [n], for example /trades 20"


async def test_pairs_are_switched_by_buttons_in_place(chat: World) -> None:
    pairs = await chat.ask("/pairs")
    chat.phone.tap(1001, pairs.message_id, pairs.button("ETH").callback_data)
    changed = await chat.phone.wait_for(lambda m: m.text.startswith("🔀 ETH is off"))
    assert changed.message_id == pairs.message_id
    assert changed.button("ETH").text == "⛔ ETH"
    assert chat.desk.switches["ETH/USDT"] is False


async def test_a_pair_is_switched_by_words(chat: World) -> None:
    assert (await chat.ask("/pair sol on")).text.startswith("🔀 SOL is on")
    assert (await chat.ask("/pair ETHUSDT off")).text.startswith("🔀 ETH is off")
    assert chat.desk.switches == {"LINK/USDT": True, "ETH/USDT": False, "SOL/USDT": True}


async def test_a_pair_with_an_open_trade_is_switched_off_by_a_tap_in_place(chat: World) -> None:
    asked = await chat.ask("/pair LINKUSDT off")
    assert asked.text.startswith("🔀 Switch LINK off? Its open trade goes on")
    assert chat.desk.switches["LINK/USDT"] is True
    chat.phone.tap(1001, asked.message_id, asked.button("Switch LINK off").callback_data)
    changed = await chat.phone.wait_for(lambda m: m.text.startswith("🔀 LINK is off"))
    assert changed.message_id == asked.message_id
    assert chat.desk.switches["LINK/USDT"] is False


async def test_a_pair_that_is_not_there_is_a_sentence(chat: World) -> None:
    assert (await chat.ask("/pair DOGE on")).text == "✋ DOGE/USDT is not among the pairs: LINK, ETH, SOL"


async def test_pause_and_resume(chat: World) -> None:
    assert (await chat.ask("/pause")).text.startswith("⏸ Paused by You")
    assert (await chat.ask("/resume")).text.startswith("▶️ Running")


async def test_a_chart_is_a_picture_and_without_a_pair_a_choice(chat: World) -> None:
    choice = await chat.ask("/chart")
    chat.phone.tap(1001, choice.message_id, choice.button("ETH").callback_data)
    picture = await chat.phone.wait_for(lambda m: m.media is not None)
    assert picture.text == "📈 ETH"


async def test_refreshing_a_chart_changes_its_picture_in_place(chat: World) -> None:
    picture = await chat.ask("/chart LINK")
    tap = chat.phone.tap(1001, picture.message_id, picture.button("Refresh").callback_data)
    await chat.phone.wait_answer(tap)
    await chat.quiet()
    assert [m.media is not None for m in chat.phone.messages() if m.from_bot] == [True, False]


async def test_ml_shows_the_gate_with_numbers(chat: World) -> None:
    text = (await chat.ask("/ml")).text
    assert text.splitlines()[0] == "🧠 ML gate closed · weight 0%"
    assert "❌ 31 of 50 outcomes" in text
    assert "✅ accuracy 0.58 (needs 0.55): better than asked" in text
    assert "No look so far · next at 50: 19 to go" in text


async def test_a_weight_the_gate_refuses_is_answered_with_what_is_missing(chat: World) -> None:
    text = (await chat.ask("/ml 25%")).text
    assert text.splitlines()[:3] == ["⛔ Weight 25%: not yet", "The gate is closed.", "• 12 of 50 outcomes"]
    assert chat.desk.weights == [0.25]


async def test_a_weight_the_gate_allows_becomes_an_approval(chat: World) -> None:
    chat.desk.weight_answer = WeightAnswer(3, 0.25, (), "The card follows.")
    assert (await chat.ask("/ml ,25")).text.startswith("🗳 Weight 25%: asked as approval 3")


async def test_retrain_answers_at_once_shows_progress_and_never_holds_up_status(chat: World) -> None:
    chat.desk.training_gate.clear()
    started = await chat.ask("/retrain")
    assert started.text.startswith("🧠 Training · 0%")
    assert (await chat.ask("/status")).text.startswith("📊")
    again = await chat.ask("/retrain")
    assert again.text == "🐢 Your /retrain is still at work; one at a time."
    await chat.phone.wait_for(lambda m: m.message_id == started.message_id and "fitting fold 3" in m.text)
    chat.desk.training_gate.set()
    done = await chat.phone.wait_for(lambda m: "xgb-2: the champion now" in m.text)
    assert done.message_id == started.message_id


async def test_a_training_with_a_picture_ends_in_a_card_of_its_own(chat: World) -> None:
    chat.desk.training = replace(chat.desk.training, picture=PNG)
    started = await chat.ask("/retrain")
    card = await chat.phone.wait_for(lambda m: m.media is not None)
    assert card.text.startswith("🧠 xgb-2: the champion now")
    assert card.reply_to == started.message_id


async def test_a_training_that_breaks_says_so(chat: World) -> None:
    async def broken(*_: object) -> TrainingView:
        raise RuntimeError("the worker died")

    chat.desk.retrain = broken  # type: ignore[method-assign,assignment]
    started = await chat.ask("/retrain")
    await chat.phone.wait_for(lambda m: m.message_id == started.message_id and "went wrong" in m.text)


async def test_help_is_the_command_table(chat: World) -> None:
    text = (await chat.ask("/help")).text
    assert all(c.usage in text for c in COMMANDS)
    assert "/pair LINK off" in (await chat.ask("/help pair")).text


async def test_a_viewer_sees_and_does_only_what_a_viewer_may(chat: World) -> None:
    assert "/pause" not in (await chat.ask("/help", VIEWER)).text
    assert (await chat.ask("/status", VIEWER)).text.startswith("📊")
    assert (await chat.ask("/pause", VIEWER)).text == "✋ /pause needs an operator; you are a viewer."
    assert chat.desk.paused == ""
    assert [(r.text, r.allowed) for r in chat.desk.recorded] == [("/help", True), ("/status", True), ("/pause", False)]


async def test_a_viewers_tap_on_a_switch_is_refused_with_a_notice(chat: World) -> None:
    pairs = await chat.ask("/pairs", VIEWER)
    tap = chat.phone.tap(VIEWER, pairs.message_id, pairs.button("LINK").callback_data)
    answer = await chat.phone.wait_answer(tap)
    assert answer["show_alert"]
    assert "operator" in answer["text"]
    assert chat.desk.switches["LINK/USDT"] is True


async def test_a_stranger_is_ignored_and_written_down(chat: World) -> None:
    chat.phone.say(STRANGER, "/status")
    chat.phone.say(STRANGER, "/pause")
    assert await chat.quiet(STRANGER) == []
    assert [(r.user_id, r.text, r.allowed) for r in chat.desk.recorded[:2]] == [
        (STRANGER, "/status", False),
        (STRANGER, "/pause", False),
    ]


async def test_unknown_commands_and_plain_words_are_pointed_to_the_right_command(chat: World) -> None:
    assert (await chat.ask("/statsu")).text == "I do not know /statsu. Did you mean /status?"
    assert (await chat.ask("show me the positons please")).text.startswith("Did you mean /positions?")
    assert (await chat.ask("what about tomorrow")).text == "I only know commands; /help lists them."


async def test_hostile_words_come_back_harmless(chat: World) -> None:
    answer = await chat.ask("/help <b>&amp;</blockquote>")
    assert answer.text == "I do not know /<b>&amp;</blockquote>. /help lists what I know."
