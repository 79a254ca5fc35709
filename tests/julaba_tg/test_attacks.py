"""What somebody would try who wants more than is theirs, and what Telegram does to an answer on its way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from telegram.error import BadRequest

from julaba_tg.access import SPARE
from julaba_tg.card import card
from julaba_tg.intake import AT_ONCE
from julaba_tg.pacing import Bucket
from julaba_tg.phone.groups import Group
from julaba_tg.ports import MessageRef
from julaba_tg.sending import Outgoing, edit
from julaba_tg.words_handlers import Offers
from tests.julaba_tg.conftest import OWNER, STRANGER, VIEWER, World


@pytest.fixture
async def topic(chat: World) -> tuple[World, Group, int]:
    """A forum's topic, in which the bot is a member like others."""
    group = chat.phone.add_group("Desk", (OWNER, VIEWER), topics=("Trades",))
    return chat, group, group.topic("Trades")


# A menu is an answer too


async def test_strangers_see_no_menu_also_where_an_earlier_run_had_set_one(world: World) -> None:
    world.phone.chats.commands["default"] = [{"command": "pause", "description": "from before"}]
    group = world.phone.add_group("Desk", (OWNER, STRANGER))
    await world.new_bot().start()
    await world.ask("/start")
    await world.until(lambda: f"chat:{OWNER}" in world.phone.chats.commands)
    assert world.phone.chats.commands_for(STRANGER) == []
    assert world.phone.chats.commands_for(STRANGER, group.chat_id) == []


# A word behind a command that takes none


@pytest.mark.parametrize("line", ["/worth cancel", "/gemini stop", "/samples cancel", "/dial stop"])
async def test_a_word_behind_it_makes_no_picture_free(chat: World, line: str) -> None:
    for _ in range(14):
        chat.phone.say(VIEWER, line)
    said = [m.text for m in await chat.quiet(VIEWER)]
    assert sum(text.startswith("🐢 Pictures take work: the next in") for text in said) == 4


@pytest.mark.parametrize("line", ["/opens cancel", "/filters stop", "/whatif cancel", "/backtest cancel 30"])
async def test_a_word_behind_it_makes_no_second_long_work(chat: World, line: str) -> None:
    chat.desk.training_gate.clear()
    await chat.ask("/retrain")
    assert (await chat.ask(line)).text == "🐢 Your /retrain is still at work; one at a time."
    chat.desk.training_gate.set()


async def test_a_long_work_can_still_be_ended_by_who_began_it(chat: World) -> None:
    chat.desk.training_gate.clear()
    await chat.ask("/retrain")
    assert "still at work" not in (await chat.ask("/backtest cancel")).text
    chat.desk.training_gate.set()


# Who waits for whom


async def test_one_persons_answers_that_must_wait_leave_room_for_anothers(chat: World) -> None:
    assert chat.bot is not None
    gate, trades = asyncio.Event(), chat.desk.trades

    async def stuck(count: int) -> Any:
        await gate.wait()
        return await trades(count)

    chat.desk.trades = stuck  # type: ignore[method-assign]
    chat.bot._gate._floods[VIEWER] = Bucket(100, 1, asyncio.get_running_loop().time)  # patience made them many
    for _ in range(AT_ONCE + 8):
        chat.phone.say(VIEWER, "/trades")
    assert (await chat.ask("/pause")).text.startswith("⏸")
    gate.set()
    await chat.quiet()
    answers = [m.text for m in chat.phone.messages(VIEWER) if m.from_bot]
    assert sum("That was a lot at once" in text for text in answers) == 1
    assert len(answers) == 20 + SPARE + 1


@pytest.mark.parametrize("line", ["/retrain", "/fetch 90", "/opens"])
async def test_no_change_waits_for_a_long_work_that_telegram_lets_wait(chat: World, line: str) -> None:
    limited = chat.phone.faults.add("rate_limit", method="sendMessage", retry_after=30)
    chat.phone.say(OWNER, line)
    await chat.until(lambda: limited.hits == 1)
    async with asyncio.timeout(5):
        assert (await chat.ask("/pause")).text.startswith("⏸")


# What a model offers


@pytest.mark.parametrize("kind", ["approval", "fault", "opened"])
def test_the_answer_to_a_question_that_was_not_asked_yet_is_not_offered(kind: str) -> None:
    assert Offers("approver").refusal(f"/notify {kind} none") == ""
    assert Offers("approver").refusal(f"/notify {kind} none yes") != ""


# A topic that was closed


@pytest.mark.parametrize("line", ["/version", "/profit soon", "/retrain"])
async def test_a_closed_topics_administrator_is_answered_in_the_general_one(
    topic: tuple[World, Group, int], line: str
) -> None:
    chat, group, thread = topic
    group.topics[thread].closed = True
    asked = chat.phone.say(OWNER, line, chat_id=group.chat_id, thread_id=thread)["message"]["message_id"]
    answer = await chat.phone.wait_for(lambda m: m.from_bot, chat_id=group.chat_id, after=asked)
    assert answer.thread_id is None
    assert answer.reply_to is None


async def test_a_message_in_a_closed_topic_that_cannot_be_changed_is_as_good_as_gone() -> None:
    class Closed:
        async def edit_message_text(self, *words: object, **options: object) -> None:
            raise BadRequest("Topic_closed")

        edit_message_caption = edit_message_text

    assert await edit(Closed(), MessageRef(-5, 7), Outgoing(card("news"))) is False  # type: ignore[arg-type]
