"""Cards in the chat: a trade that waits, a weight with its picture, the reminder, the thread, a card shown again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from core.domain.messages import ApprovalAsked, ApprovalEnded, ApprovalReminder, Notice
from core.domain.trading import Ruling, Verdict
from core.engine.advisory import Waiting
from core.services.views import ApprovalView
from tests.fakes.desk import NOON, PNG, a_signal, an_approval
from tests.julaba_tg.conftest import OWNER, STRANGER, VIEWER, World


def a_trade_card(number: int = 5) -> ApprovalView:
    signal = a_signal(12, status="waiting", trade_id=None, time=NOON - timedelta(minutes=1))
    return replace(
        an_approval(number, "trade"),
        title="Trade LINK LONG at 17.48?",
        lines=("Stop 17.1.", "315.8 LINK.", "A yes buys at the price of that moment."),
        created_at=NOON - timedelta(minutes=1),
        expires_at=NOON + timedelta(minutes=14),
        evidence="3fa91c20ffee",
        trade=Waiting(signal, 7, {}),
    )


def asked(number: int) -> ApprovalAsked:
    return ApprovalAsked(key=f"approval:{number}", time=NOON, approval_id=number)


async def test_a_trade_that_waits_is_a_picture_with_plan_time_left_and_two_answers(chat: World) -> None:
    chat.desk.approvals = {5: a_trade_card()}
    chat.outbox.put(asked(5))
    card = await chat.phone.wait_for(lambda m: m.text.startswith("⏳"))
    first = card.text.splitlines()[0]
    assert first == "⏳ LINK LONG 17.48 · waits for your yes"
    assert card.media
    assert "Until 21 Nov 12:14 (in 14m). A yes buys at the price of that moment." in card.text
    assert "Stop 17.10 (2.2% away) · targets 18.05 / 18.43 / 19.00" in card.text
    assert "stand-in (rules, no AI): Momentum with volume" in card.text
    assert not card.silent
    assert [b.text for b in card.buttons] == ["Approve", "Reject", "🔍 Why?", "📈 Chart"]

    chat.phone.tap(OWNER, card.message_id, card.button("Approve").callback_data)
    ended = await chat.phone.wait_for(lambda m: m.text.startswith("✅ Approved by You"))
    assert ended.message_id == card.message_id
    assert ended.text.splitlines()[0] == "✅ Approved by You, 21 Nov 12:00: LINK LONG 17.48"
    assert not ended.buttons


async def test_a_long_card_is_sent_whole_rather_than_under_a_picture(chat: World) -> None:
    layers = tuple(Verdict(f"layer{n}", "rule", Ruling.RECORD, None, "a sentence " * 8) for n in range(12))
    card = a_trade_card()
    assert card.trade is not None
    signal = replace(card.trade.signal, verdicts=layers)
    chat.desk.approvals = {5: replace(card, trade=replace(card.trade, signal=signal))}
    chat.outbox.put(asked(5))
    told = await chat.phone.wait_for(lambda m: m.text.startswith("⏳"))
    assert "layer11" in told.text
    assert not told.media


async def test_a_weights_card_names_its_frozen_evidence_and_shows_the_dial(chat: World) -> None:
    chat.desk.approvals = {3: replace(an_approval(), evidence="3fa91c20ffee", picture=PNG)}
    chat.outbox.put(asked(3))
    card = await chat.phone.wait_for(lambda m: m.text.startswith("🗳"))
    assert card.media
    assert "asked by Ann 21 Nov 12:00 · evidence 3fa91c20 · expires 24 Nov 12:00 (in 3d 0h)" in card.text


async def test_a_reminder_comes_once_in_the_cards_thread_and_can_be_answered_itself(chat: World) -> None:
    chat.outbox.put(asked(3))
    card = await chat.phone.wait_for(lambda m: m.text.startswith("🗳 Let"))
    chat.outbox.put(ApprovalReminder(key="approval:3:reminder", time=NOON, approval_id=3))
    reminder = await chat.phone.wait_for(lambda m: m.text.startswith("🗳 Still waiting"))
    assert reminder.reply_to == card.message_id
    assert [b.text for b in reminder.buttons] == ["Approve", "Reject"]

    chat.phone.say(OWNER, "no", reply_to=reminder.message_id)
    await chat.phone.wait_for(lambda m: m.message_id == card.message_id and m.text.startswith("⛔ Rejected by You"))
    assert chat.desk.approvals[3].state == "rejected"
    chat.outbox.put(ApprovalEnded(key="approval:3:ended", time=NOON, approval_id=3))
    over = await chat.phone.wait_for(lambda m: m.message_id == reminder.message_id and "Rejected" in m.text)
    assert not over.buttons


async def test_a_reminder_of_what_was_answered_meanwhile_is_not_told(chat: World) -> None:
    chat.desk.approvals[3] = replace(an_approval(), state="approved", answered_by="Ann")
    chat.outbox.put(ApprovalReminder(key="approval:3:reminder", time=NOON, approval_id=3))
    await chat.until(lambda: not chat.outbox.items)
    assert not [m for m in await chat.quiet(OWNER) if "Still waiting" in m.text]


async def test_what_ends_a_weight_is_told_in_the_thread_of_the_card_that_gave_it(chat: World) -> None:
    chat.outbox.put(asked(3))
    card = await chat.phone.wait_for(lambda m: m.text.startswith("🗳 Let"))
    title = "The model's weight 0.25 is taken away"
    chat.outbox.put(Notice(key="weight:revoked:1", time=NOON, topic="weight", title=title, about="approval:3"))
    told = await chat.phone.wait_for(lambda m: title in m.text)
    assert told.reply_to == card.message_id


async def test_approvals_lists_what_waits_and_shows_a_card_again_that_counts(chat: World) -> None:
    chat.desk.approvals = {3: an_approval(), 5: a_trade_card()}
    listed = await chat.ask("/approvals")
    assert listed.text.splitlines() == [
        "🗳 2 questions wait for an answer",
        "",
        "3: Let the model count 25%? expires 24 Nov 12:00 (in 3d 0h)",
        "5: trade LINK LONG 17.48? expires 21 Nov 12:14 (in 14m)",
    ]
    chat.phone.tap(OWNER, listed.message_id, listed.button("Show 3").callback_data)
    card = await chat.phone.wait_for(lambda m: m.text.startswith("🗳 Let the model"), after=listed.message_id)
    chat.phone.say(OWNER, "yes", reply_to=card.message_id)
    await chat.phone.wait_for(lambda m: m.message_id == card.message_id and m.text.startswith("✅ Approved by You"))
    assert chat.desk.approvals[3].state == "approved"


async def test_a_viewer_sees_what_waits_and_cannot_answer_it_and_a_stranger_sees_nothing(chat: World) -> None:
    card = await chat.ask("/approvals 3", user=VIEWER)
    assert card.text.startswith("🗳 Let the model count 25%?")
    assert [b.text for b in card.buttons] == ["🪙 Home", "❓ Help"]
    said = await chat.ask("yes", user=VIEWER, reply_to=card.message_id)
    assert said.text == "✋ That needs an approver; you are a viewer."
    chat.phone.say(STRANGER, "/approvals")
    assert await chat.quiet(STRANGER) == []
    assert chat.desk.approvals[3].state == "pending"


async def test_a_card_that_is_not_there_or_has_ended_is_said(chat: World) -> None:
    assert (await chat.ask("/approvals 99")).text == "✋ There is no approval 99"
    chat.desk.approvals[3] = replace(an_approval(), state="rejected", answered_by="Bob", answered_at=NOON)
    assert (await chat.ask("/approvals 3")).text.startswith("⛔ Rejected by Bob, 21 Nov 12:00: Let the model")
    assert (await chat.ask("/approvals")).text == "Nothing waits for an answer."
