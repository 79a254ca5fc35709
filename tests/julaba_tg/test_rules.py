"""Transcripts of /dial, /rules and /opens, and the rule card on a real store, answered by every role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.config import Settings
from core.domain.messages import ApprovalAsked
from core.errors import DataError
from julaba_tg import rendering_rules
from julaba_tg.card import CAPTION_LIMIT, html, units
from julaba_tg.phone.chats import Message
from tests.core.services.test_rules import At, rules
from tests.fakes.desk import NOON, PNG
from tests.fakes.rules import AS_CONFIGURED, CHANGED, a_dial, an_opening
from tests.julaba_tg.conftest import STRANGER, VIEWER, World

OWNER, OPERATOR = 1001, 1003


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    """1003 is an operator, or with a parameter a stranger."""
    users = {OWNER: "approver", VIEWER: "viewer"} | ({} if hasattr(request, "param") else {OPERATOR: "operator"})
    return Settings.model_validate({"access": {"users": users}, "telegram": {"poll_timeout": 1}})


async def test_the_dial_is_a_picture_with_what_the_next_step_would_do(chat: World) -> None:
    shown = await chat.ask("/dial", VIEWER)

    assert shown.media is not None
    assert shown.text.splitlines()[:2] == [
        "🎚 The model counts nothing now; the next step is 0.25",
        "With weight 0.25, 1 of the last 30 signals flips: 11 taken instead of 12.",
    ]
    assert "taken → refused, 0.72 → 0.66, -1.00R net" in shown.text


async def test_the_dial_without_a_signal_is_words_alone(chat: World) -> None:
    chat.desk.dial_view = a_dial(None)
    assert (await chat.ask("/dial")).media is None


def test_a_dial_full_of_flips_stays_within_a_caption() -> None:
    line = "AVAX SHORT 20 Nov 09:15 UTC: taken → refused, 0.72 → 0.66, -1.00R net"
    assert units(html(rendering_rules.dial(replace(a_dial(PNG), lines=(line,) * 60)), CAPTION_LIMIT)) <= CAPTION_LIMIT


async def test_ml_leads_to_the_dial_and_to_whether_the_gate_opens_and_shows_what_was_changed(chat: World) -> None:
    plain = await chat.ask("/ml")
    assert {"🎚 Dial", "🔭 Will it open?"} <= {b.text for b in plain.buttons}
    assert "📏 Rules" not in {b.text for b in plain.buttons}
    assert "changed" not in plain.text
    chat.desk.rule_changes = ("strategy.adx_min 25 → 20",)
    shown = await chat.ask("/ml")
    assert "Rules changed by approval:\nstrategy.adx_min 25 → 20" in shown.text
    chat.phone.tap(OWNER, shown.message_id, shown.button("Rules").callback_data)
    await chat.phone.wait_for(lambda m: m.text.startswith("📏 Rules"))


async def test_the_rules_as_configured_say_how_a_change_comes_about(chat: World) -> None:
    shown = await chat.ask("/rules", VIEWER)
    assert shown.text.splitlines()[0] == "📏 Rules: as configured"
    assert "the lowest ADX: 25" in shown.text
    assert "needs an approver's yes" in shown.text


async def test_changed_rules_name_who_changed_them_and_only_an_approver_sees_the_way_back(chat: World) -> None:
    chat.desk.rule_views = CHANGED
    for user in (VIEWER, OPERATOR):
        shown = await chat.ask("/rules", user)
        assert "the lowest ADX: 20 (configured: 25)\nby Ann, 20 Nov 09:00 · strategy.adx_min" in shown.text
        assert "Back to config" not in [b.text for b in shown.buttons]
        assert "approver" in (await chat.ask("/rules config", user)).text
    assert chat.desk.rule_views == CHANGED

    shown = await chat.ask("/rules")
    chat.phone.tap(OWNER, shown.message_id, shown.button("Back to config").callback_data)
    asked = await chat.phone.wait_for(lambda m: m.text.startswith("📏 Take 1 rule back to config?"))
    assert "the lowest ADX: 20 → 25" in asked.text
    assert chat.desk.rule_views == CHANGED
    chat.phone.tap(OWNER, asked.message_id, asked.button("Take them back").callback_data)
    changed = await chat.phone.wait_for(lambda m: m.text.startswith("📏 Rules: as configured"))
    assert changed.message_id == asked.message_id
    assert chat.desk.rule_views == AS_CONFIGURED
    assert (await chat.ask("/rules config")).text.startswith("✋ The rules are as configured")
    assert "Only config can follow." in (await chat.ask("/rules adx")).text


async def test_whether_the_gate_opens_is_answered_at_once_and_then_in_place(chat: World) -> None:
    first = await chat.ask("/opens", OPERATOR)
    shown = await chat.phone.wait_for(lambda m: m.text.startswith("🔴 The gate will not open"), chat_id=OPERATOR)
    assert shown.message_id == first.message_id
    assert "Approval 4 asks for the best supported change of a rule" in shown.text
    assert shown.button("Show 4").callback_data == "new:approvals 4"

    chat.desk.opening = an_opening(None, opens=True)
    await chat.ask("/opens", OPERATOR)
    await chat.phone.wait_for(lambda m: m.text.startswith("🟢 The gate may open"), chat_id=OPERATOR)
    chat.desk.fails = DataError("no candles are stored yet, so the filters cannot be audited")
    await chat.ask("/opens", OPERATOR)
    await chat.phone.wait_for(lambda m: m.text.startswith("✋ No candles are stored yet"), chat_id=OPERATOR)


async def test_a_viewer_may_not_have_the_filters_audited(chat: World) -> None:
    assert "operator" in (await chat.ask("/opens", VIEWER)).text


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[At]:
    async with rules(tmp_path) as at:
        yield at


async def asked(chat: World, kept: At) -> Message:
    """A rule card in the chat, kept in a real store."""
    number = await kept.ask()
    chat.desk.approval = kept.approvals.view  # type: ignore[method-assign]
    chat.desk.answer_approval = kept.approvals.answer  # type: ignore[method-assign]
    chat.outbox.put(ApprovalAsked(key=f"approval:{number}", time=NOON, approval_id=number))
    return await chat.phone.wait_for(lambda m: m.text.startswith("🗳 May ADX be lower?"))


async def test_the_rule_card_is_answered_by_an_approvers_button_and_by_nobody_elses(chat: World, kept: At) -> None:
    card = await asked(chat, kept)
    assert "Evidence." in card.text
    for user in (VIEWER, OPERATOR):
        own = await chat.ask("/version", user)  # a button with the same data, as a modified client can send it
        tap = chat.phone.tap(user, own.message_id, card.button("Approve").callback_data)
        assert (await chat.phone.wait_answer(tap))["show_alert"]
    assert await kept.changed() == {}

    chat.phone.tap(OWNER, card.message_id, card.button("Approve").callback_data)
    await chat.phone.wait_for(lambda m: m.text.startswith("✅ Approved by You") and m.message_id == card.message_id)
    assert await kept.changed() == {"strategy.adx_min": "5 by You"}
    chat.phone.tap(OWNER, card.message_id, card.button("Reject").callback_data)
    await chat.phone.wait_for(lambda m: m.text.startswith("✋ You approved this"))
    assert kept.keeper.in_force.strategy.adx_min == 5


async def test_the_rule_card_is_answered_by_an_approvers_reply(chat: World, kept: At) -> None:
    card = await asked(chat, kept)
    chat.phone.say(OWNER, "no", card.message_id)
    await chat.phone.wait_for(lambda m: m.text.startswith("⛔ Rejected by You"))
    assert await kept.changed() == {}


@pytest.mark.parametrize("settings", ["strange"], indirect=True)
async def test_a_stranger_neither_answers_the_card_nor_hears_of_the_rules(chat: World, kept: At) -> None:
    card = await asked(chat, kept)
    for line in ("/opens", "/rules", "/dial", "/rules config", "yes"):
        chat.phone.say(STRANGER, line)
    chat.phone.tap(STRANGER, card.message_id, card.button("Approve").callback_data)
    assert await chat.quiet(STRANGER) == []
    assert await kept.changed() == {}
