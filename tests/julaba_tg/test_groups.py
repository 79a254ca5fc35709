"""The bot in a group and in a forum's topic, as people there see it: the real library over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from telegram import Update

from core.config import Settings
from core.domain.messages import ApprovalAsked
from core.services.words import WordsView
from julaba_tg.incoming import read
from julaba_tg.phone.chats import BOT_ID, Message
from julaba_tg.phone.groups import Group
from tests.fakes.desk import NOON, a_closing, a_refusal, a_signal
from tests.julaba_tg.conftest import OWNER, STRANGER, VIEWER, World
from tests.julaba_tg.line import Line, a_line, make_hasty

OPERATOR = 1004
NAME = "@julaba_demo_bot"


class Room:
    """A group, or one topic of a forum, with its people; ``ask`` gives what the bot answers there."""

    def __init__(self, world: World, group: Group, thread: int | None = None) -> None:
        self.world, self.group, self.thread = world, group, thread

    def say(self, words: str, user: int = OWNER, reply_to: int | None = None) -> int:
        update = self.world.phone.say(
            user, words, reply_to, chat_id=self.group.chat_id, thread_id=None if reply_to else self.thread
        )
        return int(update["message"]["message_id"])

    async def ask(self, words: str, user: int = OWNER, reply_to: int | None = None) -> Message:
        asked = self.say(words, user, reply_to)
        answer = await self.world.phone.wait_for(lambda m: True, chat_id=self.group.chat_id, after=asked)
        assert answer.thread_id == self.thread, "the answer stays in the topic of the question"
        assert answer.reply_to == asked, "people see who has asked"
        return answer

    async def said(self) -> list[Message]:
        """All that the bot has said here, once it has worked through everything."""
        await self.world.quiet()
        return [m for m in self.world.phone.messages(self.group.chat_id) if m.from_bot]

    def tap(self, user: int, message: Message, data: str | None) -> Any:
        return self.world.phone.tap(user, message.message_id, data, chat_id=self.group.chat_id)


@pytest.fixture
def settings() -> Settings:
    users = {OWNER: "approver", VIEWER: "viewer", OPERATOR: "operator"}
    return Settings.model_validate({"access": {"users": users}, "telegram": {"poll_timeout": 1}})


@pytest.fixture(params=["group", "topic", "general"])
async def room(world: World, request: pytest.FixtureRequest) -> Room:
    """The bot is a plain member here: Telegram's privacy mode holds."""
    world.phone.add_user(OPERATOR, "Ole")
    topics = () if request.param == "group" else ("Trades", "Talk")
    group = world.phone.add_group("Desk", (OWNER, VIEWER, OPERATOR, STRANGER), topics=topics)
    await world.new_bot().start()
    return Room(world, group, group.topic("Talk") if request.param == "topic" else None)


# Commands and taps


@pytest.mark.parametrize("line", ["/status", f"/status{NAME}", f"/STATUS{NAME}"])
async def test_a_command_is_answered_where_it_was_asked(room: Room, line: str) -> None:
    assert (await room.ask(line)).text.startswith("📊 $10,240")
    assert (await room.ask(line, VIEWER)).text.startswith("📊 $10,240")


async def test_a_button_works_in_place_and_its_news_is_a_reply(room: Room) -> None:
    status = await room.ask("/status")
    room.world.desk.paused = "by hand"
    room.tap(VIEWER, status, status.button("Refresh").callback_data)
    changed = await room.world.phone.wait_for(lambda m: "paused" in m.text, chat_id=room.group.chat_id)
    assert changed.message_id == status.message_id
    room.tap(VIEWER, status, "new:version")
    version = await room.world.phone.wait_for(lambda m: m.text.startswith("Julaba"), chat_id=room.group.chat_id)
    assert (version.thread_id, version.reply_to) == (room.thread, status.message_id)


async def test_each_person_has_their_role(room: Room) -> None:
    refused = await room.ask("/pause", VIEWER)
    assert refused.text == "✋ /pause needs an operator; you are a viewer."
    assert room.world.desk.paused == ""
    assert (await room.ask("/pause", OPERATOR)).text.startswith("⏸ Paused by Ole")


async def test_a_stranger_gets_silence_and_a_line_in_the_audit_only_for_what_was_meant_for_the_bot(room: Room) -> None:
    room.say("/status", STRANGER)
    room.say("nice weather", STRANGER)
    room.say(f"{NAME} nice weather?", STRANGER)
    assert await room.said() == []
    assert [r.text for r in room.world.desk.recorded if r.user_id == STRANGER] == [
        "/status",
        f"{NAME} nice weather?",
    ]


async def test_a_strangers_tap_does_nothing(room: Room) -> None:
    status = await room.ask("/status")
    room.tap(STRANGER, status, "new:pause")
    await room.said()
    assert room.world.desk.paused == ""


async def test_another_bots_commands_are_left_alone_and_unknown_ones_unless_named(room: Room) -> None:
    room.say("/status@other_bot")
    room.say("/roll_the_dice")
    assert await room.said() == []
    assert (await room.ask(f"/statsu{NAME}")).text.startswith("I do not know /statsu")


async def test_long_work_is_followed_where_it_was_asked_for(room: Room) -> None:
    began = await room.ask("/retrain")
    done = await room.world.phone.wait_for(lambda m: "xgb-2: the champion now" in m.text, chat_id=room.group.chat_id)
    assert done.message_id == began.message_id


async def test_everybodys_menu_is_that_of_their_role(room: Room) -> None:
    await room.ask("/start")
    await room.ask("/start", VIEWER)
    commands = room.world.phone.chats.commands_for
    await room.world.until(lambda: "pause" in {c["command"] for c in commands(OWNER, room.group.chat_id)})
    assert "pause" not in {c["command"] for c in commands(VIEWER, room.group.chat_id)}
    assert "pause" not in {c["command"] for c in commands(STRANGER, room.group.chat_id)}


async def test_a_group_of_the_settings_has_its_menus_from_the_start(world: World) -> None:
    group = world.phone.add_group("Desk", (OWNER, VIEWER))
    telegram = world.settings.telegram.model_copy(update={"chat_id": group.chat_id})
    world.settings = world.settings.model_copy(update={"telegram": telegram})
    await world.new_bot().start()
    commands = world.phone.chats.commands_for
    await world.until(lambda: "pause" in {c["command"] for c in commands(OWNER, group.chat_id)})
    await world.until(lambda: "status" in {c["command"] for c in commands(VIEWER, group.chat_id)})
    assert "pause" not in {c["command"] for c in commands(VIEWER, group.chat_id)}


# Words


async def test_talk_between_people_is_left_alone_even_by_an_administrator(world: World) -> None:
    group = world.phone.add_group("Desk", (OWNER, VIEWER, STRANGER), bot="administrator", topics=("Talk",))
    room = Room(world, group, group.topic("Talk"))
    await world.new_bot().start()
    world.desk.topics.words.present = True
    words = ["how did SOL do?", "yes", "12", "ok", *["chatter"] * 40]
    first = room.say(words[0], STRANGER)
    for text in words:
        room.say(text, VIEWER)
    room.say("yes", VIEWER, reply_to=first)  # to a person: it approves nothing, and is nobody's business
    assert await room.said() == []
    assert {r.text for r in world.desk.recorded} == {"/version"}
    assert world.desk.topics.words.asked == []


@pytest.mark.parametrize("text", ["nice weather", "yes", "12"])
def test_what_is_written_in_a_topic_that_the_bot_made_is_not_said_to_the_bot(text: str) -> None:
    """Telegram makes every message of a topic a reply to the one that made it."""
    group = {"id": -100_5, "type": "supergroup", "title": "Desk", "is_forum": True}
    bot = {"id": BOT_ID, "is_bot": True, "first_name": "Julaba", "username": NAME[1:]}
    ann = {"id": OWNER, "is_bot": False, "first_name": "Ann"}
    made = {"message_id": 7, "date": 1, "chat": group, "from": bot}
    topic = {"name": "Trades", "icon_color": 1}
    for root in ({**made, "forum_topic_created": topic}, made):
        message = {"message_id": 9, "date": 1, "chat": group, "from": ann, "text": text, "reply_to_message": root}
        message |= {"message_thread_id": 7, "is_topic_message": True}
        assert read(Update.de_json({"update_id": 1, "message": message}, None), NAME[1:]) is None


async def test_words_said_to_the_bot_are_answered(room: Room) -> None:
    room.world.desk.topics.words.present = True
    room.world.desk.topics.words.view = WordsView("Three trades.")
    status = await room.ask("/status")
    assert (await room.ask("why is that?", VIEWER, status.message_id)).text.startswith("💬 Three trades.")
    assert (await room.ask(f"{NAME}, how did SOL do?", VIEWER)).text.startswith("💬 Three trades.")

    reply, named = room.world.desk.topics.words.asked
    assert (reply.text, reply.about) == ("why is that?", status.text)
    assert (named.text, named.about) == (", how did SOL do?", "")


# Approvals


@asynccontextmanager
async def a_card(world: World, **group: Any) -> AsyncIterator[tuple[Room, Message]]:
    """An approval's card in the topic of the settings."""
    world.phone.add_user(OPERATOR, "Ole")
    made = world.phone.add_group("Desk", (OWNER, VIEWER, OPERATOR, STRANGER), topics=("Trades", "Talk"), **group)
    topic = made.topic("Trades")
    telegram = world.settings.telegram.model_copy(update={"chat_id": made.chat_id, "topic_id": topic})
    world.settings = world.settings.model_copy(update={"telegram": telegram})
    world.outbox.put(ApprovalAsked(key="asked:3", time=NOON, approval_id=3))
    await world.new_bot().start()
    card = await world.phone.wait_for(lambda m: "Approve" in str(m.buttons), chat_id=made.chat_id)
    assert card.thread_id == topic
    yield Room(world, made, topic), card


async def test_a_viewers_and_an_operators_tap_on_a_card_get_a_notice(world: World) -> None:
    async with a_card(world) as (room, card):
        for user in (VIEWER, OPERATOR):
            answer = await world.phone.wait_answer(room.tap(user, card, card.button("Approve").callback_data))
            assert answer["show_alert"]
            assert "approver" in answer["text"]
        assert world.desk.approvals[3].state == "pending"


async def test_an_approver_answers_by_a_button(world: World) -> None:
    async with a_card(world) as (room, card):
        room.tap(OWNER, card, card.button("Approve").callback_data)
        ended = await world.phone.wait_for(lambda m: "approved" in m.text.lower(), chat_id=room.group.chat_id)
        assert world.desk.approvals[3].state == "approved"
        assert ended.thread_id == room.thread


async def test_an_approver_answers_by_a_reply_and_nobody_else_does(world: World) -> None:
    async with a_card(world) as (room, card):
        assert "approver" in (await room.ask("yes", VIEWER, card.message_id)).text
        states = [world.desk.approvals[3].state]
        assert (await room.ask("no", OWNER, card.message_id)).text
        assert [*states, world.desk.approvals[3].state] == ["pending", "rejected"]


async def test_an_approver_answers_by_a_thumb_where_the_bot_is_an_administrator(world: World) -> None:
    async with a_card(world, bot="administrator") as (room, card):
        world.phone.react(VIEWER, card.message_id, "👍", chat_id=room.group.chat_id)
        world.phone.react(STRANGER, card.message_id, "👍", chat_id=room.group.chat_id)
        await room.said()
        assert world.desk.approvals[3].state == "pending"
        world.phone.react(OWNER, card.message_id, "👍", chat_id=room.group.chat_id)
        await world.until(lambda: world.desk.approvals[3].state == "approved")


async def test_where_the_bot_is_no_administrator_a_thumb_is_not_heard(world: World) -> None:
    async with a_card(world) as (room, card):
        world.phone.react(OWNER, card.message_id, "👍", chat_id=room.group.chat_id)
        await room.said()
        assert world.desk.approvals[3].state == "pending"


# Where alerts go


@pytest.fixture
async def forum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Line, Group]]:
    make_hasty(monkeypatch)
    async with a_line(tmp_path, pinned=False) as line:
        group = line.phone.add_group("Desk", topics=("Trades",), chat_id=-1_000_000_000_777)
        _into(line, group.chat_id, group.topic("Trades"))
        yield line, group


def _into(line: Line, chat_id: int, topic: int | None = None) -> None:
    telegram = line.settings.telegram.model_copy(update={"chat_id": chat_id, "topic_id": topic})
    line.settings = line.settings.model_copy(update={"telegram": telegram})


def firsts(line: Line, chat_id: int) -> list[tuple[str, int | None]]:
    return [
        ((m.history or (m.text,))[0].splitlines()[0], m.thread_id) for m in line.phone.messages(chat_id) if m.from_bot
    ]


OPENED = "✅ LINK LONG 17.48 · risk $120 · G 78 · ML 37 (avg 36)"


async def test_pictures_and_later_replies_stand_in_the_topic(forum: tuple[Line, Group]) -> None:
    line, group = forum
    await line.start()
    await line.publish(a_signal(trade_id=7))
    await line.drained()
    await line.publish(a_closing(7))
    await line.drained()

    opened, closed = [m for m in line.phone.messages(group.chat_id) if m.from_bot]
    assert opened.media is not None
    assert {opened.thread_id, closed.thread_id} == {group.topic("Trades")}
    assert closed.reply_to == opened.message_id


@pytest.mark.parametrize("how", ["closed", "deleted"])
async def test_a_topic_that_is_closed_or_gone_gives_way_to_the_general_one_and_that_is_said_once(
    forum: tuple[Line, Group], how: str
) -> None:
    line, group = forum
    topic = group.topic("Trades")
    kept = group.topics[topic]
    if how == "closed":
        kept.closed = True
    else:
        del group.topics[topic]
    await line.start()
    await line.publish(a_signal(1, trade_id=7), a_refusal(2))
    await line.drained()
    await line.publish(a_refusal(3))
    await line.drained()

    said = firsts(line, group.chat_id)
    assert {thread for _, thread in said} == {None}
    assert sum("Alerts come to the General topic now" in title for title, _ in said) == 1
    assert sum(title == OPENED for title, _ in said) == 1
    assert sum("refused" in title for title, _ in said) == 2

    # After an hour it is tried again; it is there again.
    kept.closed = False
    group.topics[topic] = kept
    line.skipped += timedelta(hours=1, minutes=1)
    await line.publish(a_refusal(4))
    await line.drained()
    await line.until(lambda: any("Alerts come to their topic again" in t for t, _ in firsts(line, group.chat_id)))
    assert firsts(line, group.chat_id)[-1][1] == topic


@pytest.mark.parametrize("status", ["kicked", "left"])
async def test_a_group_without_the_bot_gives_way_to_the_first_approver(forum: tuple[Line, Group], status: str) -> None:
    line, group = forum
    await line.start()
    await line.publish(a_signal(1, trade_id=7))
    await line.drained()
    group.members[BOT_ID] = status
    await line.publish(a_closing(7), a_refusal(2))
    await line.drained()

    private = [title for title, _ in firsts(line, OWNER)]
    assert sum("their group cannot be reached" in title for title in private) == 1
    assert sum("closed +$22.10" in title for title in private) == 1
    assert sum("refused" in title for title in private) == 1

    group.members[BOT_ID] = "member"
    line.skipped += timedelta(hours=1, minutes=1)
    await line.publish(a_refusal(3))
    await line.drained()
    await line.until(lambda: any("Alerts come to their group again" in t for t, _ in firsts(line, group.chat_id)))


async def test_an_upgraded_group_is_followed_and_remembered_over_a_restart(forum: tuple[Line, Group]) -> None:
    line, _ = forum
    old = line.phone.add_group("Old", chat_id=-4321)
    new = line.phone.add_group("New")
    _into(line, old.chat_id)
    await line.start()
    await line.publish(a_signal(1, trade_id=7))
    await line.drained()
    old.migrated_to = new.chat_id
    await line.publish(a_closing(7))
    await line.drained()
    assert ["closed +$22.10" in title for title, _ in firsts(line, new.chat_id)] == [True]

    await line.stop()
    before = len(line.phone.calls)
    await line.start()
    await line.publish(a_refusal(2))
    await line.drained()
    assert len(firsts(line, new.chat_id)) == 2
    asked = {str(v.get("chat_id")) for name, v in line.phone.calls[before:] if name.startswith("send")}
    assert str(old.chat_id) not in asked, "nothing is sent to the old number after a restart"


async def test_without_an_approver_alerts_wait_for_their_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_hasty(monkeypatch)
    async with a_line(tmp_path, pinned=False) as line:
        group = line.phone.add_group("Desk", bot="left")
        _into(line, group.chat_id)
        line.settings = line.settings.model_copy(
            update={"access": line.settings.access.model_copy(update={"users": {VIEWER: "viewer"}})}
        )
        await line.start()
        await line.publish(a_refusal(2))
        await asyncio.sleep(0.2)
        assert len(await line.kept.chat.pending(9)) == 1
        group.members[BOT_ID] = "member"
        await line.drained()
        assert len(firsts(line, group.chat_id)) == 1


def test_a_topic_needs_its_group() -> None:
    for telegram in ({"topic_id": 5}, {"topic_id": 5, "chat_id": 1001}, {"topic_id": 0, "chat_id": -100}):
        with pytest.raises(ValueError, match="topic_id"):
            Settings.model_validate({"telegram": telegram})
    assert Settings.model_validate({"telegram": {"topic_id": 5, "chat_id": -100}}).telegram.topic_id == 5
