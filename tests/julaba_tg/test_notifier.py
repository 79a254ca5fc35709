"""Alerts: one living message per trade, the right loudness, and nothing lost when Telegram is difficult."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from telegram import Bot as TelegramBot
from telegram.error import BadRequest

from core.config import Settings
from core.domain.messages import ApprovalAsked, ApprovalEnded, Event, ModelTrained
from core.services.changes import changed
from julaba_tg import notifier as module
from julaba_tg import telling
from julaba_tg.notifier import Notifier, target_chat
from tests.fakes.desk import NOON, a_closing, a_refusal, a_signal, a_target, an_approval
from tests.julaba_tg.conftest import OWNER, World


def asked(number: int = 3) -> ApprovalAsked:
    return ApprovalAsked(key=f"asked:{number}", time=NOON, approval_id=number)


def ended(number: int = 3) -> ApprovalEnded:
    return ApprovalEnded(key=f"ended:{number}", time=NOON, approval_id=number)


@pytest.fixture
async def alerts(world: World) -> AsyncIterator[Notifier]:
    """The notifier alone, stepped by hand."""
    bot = TelegramBot(
        world.phone.token, base_url=f"{world.phone.base_url}/bot", base_file_url=f"{world.phone.base_url}/file/bot"
    )
    async with bot:
        yield Notifier(world.settings, bot, world.desk, world.outbox, world.now)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses are noted instead of waited for."""
    pauses: list[float] = []

    async def skip(seconds: float) -> None:
        pauses.append(seconds)

    async def skip_rest(_: Notifier, seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", skip)
    monkeypatch.setattr(Notifier, "_rest", skip_rest)
    return pauses


async def drain(alerts: Notifier) -> None:
    while await alerts.step():
        pass


async def test_an_opened_trade_is_loud_with_a_chart_and_its_first_line_says_it_all(
    world: World, alerts: Notifier
) -> None:
    world.outbox.put(a_signal())
    await drain(alerts)
    [message] = world.phone.messages()
    assert message.text.splitlines()[0] == "✅ LINK LONG 17.48 · risk $120 · G 78 · ML 37 (avg 36)"
    assert "stand-in (rules, no AI): Momentum with volume" in message.text
    assert "½ rules: 1h down" in message.text
    assert message.media is not None
    assert not message.silent


async def test_a_refused_signal_is_silent_and_names_the_reason(world: World, alerts: Notifier) -> None:
    world.outbox.put(a_refusal())
    await drain(alerts)
    [message] = world.phone.messages()
    assert message.text.splitlines()[:2] == ["⛔ LINK LONG · refused: 1h down", "17.48 · G 78 · ML 37 (avg 36)"]
    assert message.silent


async def test_without_gemini_and_without_a_model_the_line_says_so(world: World, alerts: Notifier) -> None:
    world.outbox.put(a_signal(gemini_confidence=None, ml_probability=None, ml_note="learning 31/50"))
    await drain(alerts)
    assert world.phone.messages()[0].text.splitlines()[0].endswith("risk $120 · G – · ML learning 31/50")


async def test_one_message_per_trade_lives_on_and_the_end_replies_to_it(world: World, alerts: Notifier) -> None:
    story: list[Event] = [a_signal(), a_target(), a_closing()]
    for count, event in enumerate(story, start=1):
        world.desk.events[7] = story[:count]
        world.outbox.put(event)
        await drain(alerts)
    living, target, closing = world.phone.messages()
    assert living.text.splitlines()[0] == "🟢 LINK LONG closed +$22.10 · +0.18R · stop after TP1"
    assert "🎯 12:45 TP1 18.05: 50% closed, +$88.40" in living.text
    assert "G 78 · ML 37 (avg 36)" in living.text
    assert [m.reply_to for m in (target, closing)] == [living.message_id] * 2
    assert [m.silent for m in (target, closing)] == [True, False]


async def test_a_target_overtaken_by_its_closing_is_not_told_twice(world: World, alerts: Notifier) -> None:
    world.desk.events[7] = [a_signal(), a_target(), a_closing()]
    world.outbox.put(a_signal(), a_target(), a_closing())
    await drain(alerts)
    assert [m.text.split(" ")[0] for m in world.phone.messages()] == ["🟢", "🟢"]


async def test_an_approval_card_has_buttons_and_is_edited_when_it_ends(world: World, alerts: Notifier) -> None:
    world.outbox.put(asked())
    await drain(alerts)
    [card] = world.phone.messages()
    assert card.text.startswith("🗳 Let the model count 25%?")
    assert [(b.text, b.callback_data, b.style) for b in card.buttons] == [
        ("Approve", "yes:3", "success"),
        ("Reject", "no:3", "danger"),
    ]
    world.desk.approvals[3] = replace(an_approval(), state="expired", answered_by="nobody")
    world.outbox.put(ended())
    await drain(alerts)
    card, reply = world.phone.messages()
    assert card.text.startswith("⌛ Expired: Let the model count 25%?")
    assert not card.buttons
    assert reply.reply_to == card.message_id


async def test_an_approval_that_ended_before_it_could_be_shown_is_told_once(world: World, alerts: Notifier) -> None:
    world.desk.approvals[3] = replace(an_approval(), state="withdrawn")
    world.outbox.put(asked(), ended())
    await drain(alerts)
    assert [m.text.splitlines()[0] for m in world.phone.messages()] == ["↩️ Withdrawn: Let the model count 25%?"]


async def test_what_nobody_wants_is_not_sent(world: World, alerts: Notifier) -> None:
    settings = world.desk.topics.steering.settings
    world.desk.topics.steering.settings = changed(settings, {"notify.signal": "none", "notify.training": "none"})
    world.outbox.put(a_refusal(), ModelTrained(key="m", time=NOON, model_id="x", champion=True, summary="s"))
    await drain(alerts)
    assert world.phone.messages() == []
    assert [ref for _, ref in world.outbox.done] == [None, None]


async def test_a_burst_is_one_digest_behind_what_is_urgent(world: World, alerts: Notifier) -> None:
    refused = [replace(a_refusal(n), time=NOON + timedelta(minutes=n)) for n in range(25)]
    world.outbox.put(*refused, a_target(8), a_closing())
    await drain(alerts)
    closing, digest = world.phone.messages()
    assert closing.text.startswith("🟢 LINK LONG closed")
    assert digest.text.splitlines() == [
        "📬 26 alerts in one, 21 Nov 12:00 to 21 Nov 12:45",
        "⛔ 25 signals refused: 1h down 25×",
        "🎯 1 target, +$88.40: LINK TP1",
    ]
    assert len(world.outbox.done) == 27


async def test_retry_after_is_obeyed_and_costs_no_attempt(
    world: World, alerts: Notifier, no_pauses: list[float]
) -> None:
    world.phone.fault("rate_limit", method="sendMessage", retry_after=7)
    world.outbox.put(a_refusal())
    await drain(alerts)
    assert no_pauses == [7.0]
    assert world.outbox.errors == []
    assert len(world.phone.messages()) == 1


@pytest.mark.filterwarnings("ignore::telegram.warnings.PTBDeprecationWarning")
async def test_retry_after_may_still_be_a_number(
    world: World, alerts: Notifier, no_pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTB_TIMEDELTA", "false")
    world.phone.fault("rate_limit", method="sendMessage", retry_after=7)
    world.outbox.put(a_refusal())
    await drain(alerts)
    assert no_pauses == [7.0]


async def test_a_network_fault_is_tried_again_with_growing_pauses(
    world: World, alerts: Notifier, no_pauses: list[float]
) -> None:
    world.phone.fault("error", method="sendMessage", times=3, status=502)
    world.outbox.put(a_refusal())
    await drain(alerts)
    assert no_pauses == [1.0, 2.0, 4.0]
    assert len(world.outbox.errors) == 3
    assert len(world.phone.messages()) == 1


async def test_html_that_telegram_refuses_goes_out_as_plain_text(
    world: World, alerts: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("julaba_tg.sending.html", lambda *_: "<b>broken")
    world.outbox.put(a_refusal())
    await drain(alerts)
    assert world.phone.messages()[0].text.startswith("⛔ LINK LONG · refused")


async def test_what_telegram_refuses_for_good_is_given_up_with_a_log(
    world: World, alerts: Notifier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise BadRequest("something new")

    monkeypatch.setattr("julaba_tg.telling.send", refuse)
    world.outbox.put(a_refusal())
    await drain(alerts)
    assert world.outbox.items == []
    assert "given up: signal:1" in caplog.text


async def test_an_alert_that_cannot_be_drawn_becomes_a_line_and_does_not_hold_back_the_others(
    world: World, alerts: Notifier, no_pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(approval_id: int) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(world.desk, "approval", broken)
    world.outbox.put(asked(), a_refusal())
    await drain(alerts)
    assert [m.text.splitlines() for m in world.phone.messages()] == [
        ["⚠️ 1 alert could not be drawn: approval asked", "asked:3: see the log"],
        ["⛔ LINK LONG · refused: 1h down", *world.phone.messages()[1].text.splitlines()[1:]],
    ]
    assert len(no_pauses) == module.GIVE_UP_AFTER


async def test_a_slow_or_broken_chart_does_not_hold_back_the_alert(
    world: World, alerts: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(*_: object) -> bytes:
        await asyncio.sleep(60)
        return b""

    monkeypatch.setattr(telling, "CHART_PATIENCE", 0.01)
    monkeypatch.setattr(world.desk, "chart", slow)
    world.outbox.put(a_signal())
    await drain(alerts)
    [message] = world.phone.messages()
    assert message.media is None


async def test_a_chat_not_opened_yet_keeps_its_alerts_until_start_is_pressed(world: World) -> None:
    world.phone.block(OWNER)
    world.outbox.put(a_refusal())
    await world.new_bot().start()
    await world.until(lambda: any(m == "sendmessage" for m, _ in world.phone.calls))
    assert len(world.outbox.items) == 1
    world.phone.block(OWNER, False)
    world.phone.say(OWNER, "/start")
    await world.phone.wait_for(lambda m: "refused: 1h down" in m.text)


async def test_a_living_message_that_was_deleted_does_not_stop_the_news(world: World, alerts: Notifier) -> None:
    world.outbox.put(a_signal())
    await drain(alerts)
    world.phone.chats.delete(world.phone.messages()[0])
    world.desk.events[7] = [a_signal(), a_closing()]
    world.outbox.put(a_closing())
    await drain(alerts)
    assert [m.text.split(" ")[0] for m in world.phone.messages()] == ["🟢"]


async def test_a_model_a_person_is_just_being_shown_is_not_announced_again(world: World, alerts: Notifier) -> None:
    alerts._telling._told = lambda event: isinstance(event, ModelTrained)
    world.outbox.put(ModelTrained(key="m", time=NOON, model_id="x", champion=True, summary="s"))
    await drain(alerts)
    assert world.phone.messages() == []


async def test_alerts_come_through_the_running_bot_and_replies_decide_cards(chat: World) -> None:
    chat.outbox.put(asked())
    card = await chat.phone.wait_for(lambda m: m.text.startswith("🗳"))
    assert "Approval 3 waits" in (await chat.ask("yes")).text
    assert chat.desk.approvals[3].state == "pending", "a bare yes decides nothing"
    chat.phone.say(OWNER, "approve", reply_to=card.message_id)
    changed = await chat.phone.wait_for(lambda m: m.message_id == card.message_id and "Approved by You" in m.text)
    assert not changed.buttons


async def test_a_thumb_decides_a_card_and_means_nothing_elsewhere(chat: World) -> None:
    status = await chat.ask("/status")
    chat.phone.react(OWNER, status.message_id, "👍")
    chat.outbox.put(asked())
    card = await chat.phone.wait_for(lambda m: m.text.startswith("🗳"))
    chat.phone.react(OWNER, card.message_id, "👎")
    await chat.phone.wait_for(lambda m: m.message_id == card.message_id and "Rejected by You" in m.text)


def test_alerts_go_to_the_named_chat_or_to_the_first_approver() -> None:
    users = {"access": {"users": {5: "viewer", 6: "approver", 7: "approver"}}}
    assert target_chat(Settings.model_validate(users)) == 6
    assert target_chat(Settings.model_validate({**users, "telegram": {"chat_id": -100}})) == -100
    assert target_chat(Settings()) is None
