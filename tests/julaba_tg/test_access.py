"""Denied by default: strangers, forgeries, duplicates, floods, edits."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.errors import StoreError
from julaba_tg.commands import COMMANDS
from julaba_tg.phone.clock import wall_now
from tests.fakes.desk import an_approval
from tests.julaba_tg.conftest import OWNER, STRANGER, VIEWER, World


async def test_a_strangers_tap_and_reaction_do_nothing(chat: World) -> None:
    pairs = await chat.ask("/pairs")
    chat.phone.say(STRANGER, "hello")
    tap = chat.phone.tap(STRANGER, pairs.message_id, "go:pair LINK/USDT off")
    chat.phone.tap(STRANGER, pairs.message_id, "yes:3")
    assert await chat.quiet(STRANGER) == []
    assert chat.phone.answer(tap) is None
    assert chat.desk.switches["LINK/USDT"] is True
    assert chat.desk.approvals[3].state == "pending"
    assert [r.text for r in chat.desk.recorded if not r.allowed] == ["hello", "tap go:pair LINK/USDT off", "tap yes:3"]


@pytest.mark.parametrize(
    "data", ["yes:99999", "yes:x", "go:pair LINK/USDT sideways", "new:trades -5", "go:drop tables", "💥" * 16, "go:/"]
)
async def test_forged_taps_of_a_friend_end_in_a_sentence(chat: World, data: str) -> None:
    home = await chat.ask("/start")
    chat.phone.tap(OWNER, home.message_id, data)
    answer = await chat.phone.wait_for(lambda m: m.message_id != home.message_id)
    assert answer.text.startswith(("✋", "This button is no longer valid"))


async def test_a_viewers_forged_approval_is_refused(chat: World) -> None:
    home = await chat.ask("/start", VIEWER)
    tap = chat.phone.tap(VIEWER, home.message_id, "yes:3")
    assert "approver" in (await chat.phone.wait_answer(tap))["text"]
    assert chat.desk.approvals[3].state == "pending"


async def test_a_viewers_do_it_now_button_needs_the_commands_role(chat: World) -> None:
    home = await chat.ask("/start", VIEWER)
    tap = chat.phone.tap(VIEWER, home.message_id, "new:pause")
    assert (await chat.phone.wait_answer(tap))["show_alert"]
    assert chat.desk.paused == ""


async def test_an_update_that_comes_twice_is_done_once(chat: World) -> None:
    unheard = chat.phone.chats.updates.push("poll", {})
    chat.desk.seen.add(unheard["update_id"] + 1)
    chat.phone.say(OWNER, "/pause")
    await chat.quiet()
    assert chat.desk.paused == ""


async def test_an_edited_message_is_no_command(chat: World) -> None:
    first = chat.phone.say(OWNER, "hello there")["message"]
    chat.phone.chats.updates.push("edited_message", {**first, "edit_date": first["date"], "text": "/pause"})
    await chat.quiet()
    assert chat.desk.paused == ""


async def test_a_channel_post_and_an_anonymous_administrator_are_nobody(world: World) -> None:
    world.settings = world.settings.model_copy(
        update={
            "access": world.settings.access.model_copy(update={"users": {1087968824: "approver", OWNER: "approver"}})
        }
    )
    await world.new_bot().start()
    message = world.phone.say(OWNER, "/version")["message"]
    await world.quiet()
    anonymous = {"id": 1087968824, "is_bot": True, "first_name": "Group"}
    world.phone.chats.updates.push("message", {**message, "from": anonymous, "text": "/pause"})
    no_sender = {k: v for k, v in message.items() if k != "from"}
    world.phone.chats.updates.push("message", {**no_sender, "text": "/pause"})
    as_channel = {"sender_chat": {"id": -100, "type": "channel", "title": "x"}}
    world.phone.chats.updates.push("message", {**message, **as_channel, "text": "/pause"})
    await world.quiet()
    assert world.desk.paused == ""
    assert [r.allowed for r in world.desk.recorded if r.text == "/pause"] == [False, False, False]


async def test_a_flood_is_cut_off_with_one_word(chat: World) -> None:
    for _ in range(60):
        chat.phone.say(VIEWER, "/version")
    await chat.quiet()
    answers = [m.text for m in chat.phone.messages(VIEWER) if m.from_bot]
    assert sum("a lot at once" in a for a in answers) == 1
    assert 20 <= sum(a.startswith("Julaba") for a in answers) <= 25


async def test_a_strangers_flood_does_not_fill_the_audit(chat: World) -> None:
    for _ in range(80):
        chat.phone.say(STRANGER, "/pause")
    await chat.quiet()
    assert 1 <= sum(r.user_id == STRANGER for r in chat.desk.recorded) <= 25


async def test_a_fault_at_the_gate_keeps_it_shut(chat: World) -> None:
    """The library goes on to the next handler after a fault; nothing may pass unrecorded."""

    async def broken(*_: object) -> bool:
        raise StoreError("the disk is full")

    record, chat.desk.record_command = chat.desk.record_command, broken  # type: ignore[method-assign,assignment]
    answer = await chat.ask("/pause")
    assert answer.text.startswith("😕 the disk is full\nWhat you asked may not have been done")
    assert chat.desk.paused == ""
    chat.desk.record_command = record  # type: ignore[method-assign]


async def test_a_fault_of_the_desk_is_one_apology(chat: World) -> None:
    chat.desk.fails = RuntimeError("boom <b>")
    assert "went wrong on my side" in (await chat.ask("/status")).text
    chat.desk.fails = None
    assert (await chat.ask("/status")).text.startswith("📊")


async def test_a_command_from_before_is_asked_back_and_done_on_a_tap(world: World) -> None:
    world.phone.chats._now = lambda: wall_now() - timedelta(minutes=14)
    world.phone.say(OWNER, "/pair SOL on")
    await world.new_bot().start()
    asked = await world.phone.wait_for(lambda m: "was not done" in m.text)
    assert asked.text.startswith("⌛ /pair SOL on was sent 14m ago")
    assert world.desk.switches["SOL/USDT"] is False
    world.phone.tap(OWNER, asked.message_id, asked.button("Do it now").callback_data)
    await world.phone.wait_for(lambda m: "SOL is on" in m.text)


async def test_a_look_from_before_is_simply_answered(world: World) -> None:
    world.phone.chats._now = lambda: wall_now() - timedelta(minutes=14)
    world.phone.say(OWNER, "/status")
    await world.new_bot().start()
    await world.phone.wait_for(lambda m: m.text.startswith("📊"))


async def test_menus_differ_by_role(chat: World) -> None:
    await chat.ask("/start")
    await chat.until(lambda: f"chat:{VIEWER}" in chat.phone.chats.commands)
    owner, viewer = chat.phone.chats.commands_for(OWNER), chat.phone.chats.commands_for(VIEWER)
    beyond = {c["command"] for c in owner} - {c["command"] for c in viewer}
    assert beyond == {c.name for c in COMMANDS} - {c.name for c in COMMANDS if c.role == "viewer"}
    assert beyond >= {"retrain", "pair", "pause", "resume"}


async def test_an_approval_is_answered_by_button_reply_and_thumb_by_approvers_once(chat: World) -> None:
    home = await chat.ask("/start")
    tap = chat.phone.tap(OWNER, home.message_id, "no:3")
    await chat.phone.wait_answer(tap)
    ended = await chat.phone.wait_for(lambda m: "Rejected by You" in m.text)
    assert ended.message_id == home.message_id
    chat.phone.tap(OWNER, home.message_id, "yes:3")
    await chat.phone.wait_for(lambda m: "was rejected by You before" in m.text)
    chat.desk.approvals[4] = an_approval(4)
    assert chat.desk.approvals[3].state == "rejected"


async def test_its_own_pins_are_no_stranger(chat: World) -> None:
    home = await chat.ask("/start")
    assert chat.bot is not None
    await chat.bot._app.bot.pin_chat_message(OWNER, home.message_id, disable_notification=True)
    assert await chat.quiet(OWNER)
    assert [r for r in chat.desk.recorded if not r.allowed] == []
