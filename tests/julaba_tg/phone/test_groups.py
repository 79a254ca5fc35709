"""Groups and forum topics as the Bot API has them, spoken to by the real python-telegram-bot over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from telegram import (
    BotCommand,
    BotCommandScope,
    BotCommandScopeAllGroupChats,
    BotCommandScopeChat,
    BotCommandScopeChatAdministrators,
    BotCommandScopeChatMember,
    Message,
    ReplyParameters,
)
from telegram.error import BadRequest, ChatMigrated, Forbidden
from telegram.ext import ExtBot

from core.errors import UsageError
from julaba_tg.phone.bot_api import Phone
from julaba_tg.phone.chats import BOT_ID, OWNER, STRANGER, VIEWER
from julaba_tg.phone.groups import Group
from tests.julaba_tg.phone.conftest import png

Bot = ExtBot[None]


@pytest.fixture
def forum(phone: Phone) -> Group:
    return phone.add_group("Desk", topics=("Trades", "Talk"))


async def heard(bot: Bot) -> list[Message]:
    return [u.message for u in await bot.get_updates(timeout=0) if u.message is not None]


async def test_a_message_in_a_topic_names_it_and_the_answer_stays_there(phone: Phone, bot: Bot, forum: Group) -> None:
    trades = forum.topic("Trades")
    phone.say(OWNER, "/status", chat_id=forum.chat_id, thread_id=trades)

    (asked,) = await heard(bot)
    assert (asked.chat.type, asked.chat.is_forum, asked.chat.title) == ("supergroup", True, "Desk")
    assert (asked.is_topic_message, asked.message_thread_id) == (True, trades)
    # What is written in a topic without replying to anything replies to the message that made the topic.
    assert asked.reply_to_message is not None
    assert asked.reply_to_message.forum_topic_created is not None

    sent = await bot.send_message(forum.chat_id, "equity 10,000", message_thread_id=asked.message_thread_id)
    assert (sent.is_topic_message, sent.message_thread_id) == (True, trades)
    assert [(m.text, m.thread_id) for m in phone.messages(forum.chat_id)] == [
        ("/status", trades),
        ("equity 10,000", trades),
    ]


async def test_the_general_topic_has_no_thread_and_a_reply_goes_where_the_message_is(
    phone: Phone, bot: Bot, forum: Group
) -> None:
    general = phone.say(OWNER, "/status", chat_id=forum.chat_id)["message"]
    talk = phone.say(OWNER, "/ml", chat_id=forum.chat_id, thread_id=forum.topic("Talk"))["message"]
    first, _ = await heard(bot)
    answer = await bot.send_message(forum.chat_id, "a", reply_parameters=ReplyParameters(talk["message_id"]))
    plain = await bot.send_message(forum.chat_id, "b", reply_parameters=ReplyParameters(general["message_id"]))

    assert (first.message_thread_id, first.is_topic_message, first.reply_to_message) == (None, None, None)
    assert answer.message_thread_id == forum.topic("Talk")
    # A chain of replies outside the topics names its root, which is no topic to send to.
    assert (plain.message_thread_id, plain.is_topic_message) == (general["message_id"], None)
    with pytest.raises(BadRequest, match=r"(?i)message thread not found"):
        await bot.send_message(forum.chat_id, "c", message_thread_id=plain.message_thread_id)


async def test_a_thread_that_is_not_there_or_closed_is_refused(phone: Phone, bot: Bot, forum: Group) -> None:
    for chat, thread in ((forum.chat_id, 1), (forum.chat_id, 99), (OWNER, 5)):
        with pytest.raises(BadRequest, match=r"(?i)message thread not found"):
            await bot.send_photo(chat, png(), message_thread_id=thread)
    talk = forum.topics[forum.topic("Talk")]
    talk.closed = True
    with pytest.raises(BadRequest, match=r"(?i)topic_closed"):
        await bot.send_message(forum.chat_id, "x", message_thread_id=talk.thread_id)
    forum.members[BOT_ID], forum.rights = "administrator", frozenset({"can_manage_topics"})
    await bot.send_message(forum.chat_id, "x", message_thread_id=talk.thread_id)
    del forum.topics[talk.thread_id]
    with pytest.raises(BadRequest, match=r"(?i)message thread not found"):
        await bot.send_message(forum.chat_id, "x", message_thread_id=talk.thread_id)
    with pytest.raises(UsageError, match="no topic"):
        phone.say(OWNER, "x", chat_id=forum.chat_id, thread_id=talk.thread_id)


async def test_in_privacy_mode_a_bot_hears_commands_replies_and_its_name(phone: Phone, bot: Bot) -> None:
    group = phone.add_group("Desk")
    sent = await bot.send_message(group.chat_id, "card")
    for words in ("how is LINK?", "/status", "/status@other_bot", "/status@julaba_demo_bot", "@julaba_demo_bot why"):
        phone.say(OWNER, words, chat_id=group.chat_id)
    phone.say(VIEWER, "yes", sent.message_id, chat_id=group.chat_id)

    got = await heard(bot)
    assert [m.text for m in got] == ["/status", "/status@julaba_demo_bot", "@julaba_demo_bot why", "yes"]
    assert got[-1].reply_to_message is not None
    assert got[-1].reply_to_message.text == "card"

    group.members[BOT_ID] = "administrator"
    phone.say(OWNER, "how is LINK?", chat_id=group.chat_id)
    assert (await heard(bot))[-1].text == "how is LINK?"


async def test_reactions_in_a_group_reach_an_administrator_only(phone: Phone, bot: Bot) -> None:
    group = phone.add_group("Desk")
    await bot.get_updates(timeout=0, allowed_updates=["message_reaction"])
    sent = await bot.send_message(group.chat_id, "card")
    phone.react(OWNER, sent.message_id, "👍", chat_id=group.chat_id)
    assert await bot.get_updates(timeout=0) == ()
    group.members[BOT_ID] = "administrator"
    phone.react(VIEWER, sent.message_id, "👍", chat_id=group.chat_id)
    (update,) = await bot.get_updates(timeout=0)
    assert update.message_reaction is not None
    assert update.message_reaction.chat.id == group.chat_id


async def test_a_tap_in_a_group_names_the_group_and_who_tapped(phone: Phone, bot: Bot, forum: Group) -> None:
    sent = await bot.send_message(forum.chat_id, "card", message_thread_id=forum.topic("Trades"))
    tap = phone.tap(VIEWER, sent.message_id, "yes:1", chat_id=forum.chat_id)
    phone.tap(VIEWER, 5, "yes:1", chat_id=forum.chat_id)
    shown, gone = [u.callback_query for u in await bot.get_updates(timeout=0)]

    assert shown is not None
    assert gone is not None
    assert isinstance(shown.message, Message)
    assert (shown.from_user.id, shown.message.chat.id) == (VIEWER, forum.chat_id)
    assert shown.message.message_thread_id == forum.topic("Trades")
    assert gone.message is not None
    assert (gone.message.chat.id, gone.message.is_accessible) == (forum.chat_id, False)
    await bot.answer_callback_query(tap["callback_query"]["id"], "no", show_alert=True)
    assert phone.answer(tap) == {"text": "no", "show_alert": True}


@pytest.mark.parametrize(
    ("status", "words"), [("kicked", "bot was kicked from the supergroup chat"), ("left", "not a member")]
)
async def test_a_bot_that_is_out_is_forbidden_everything(phone: Phone, bot: Bot, status: str, words: str) -> None:
    group = phone.add_group("Desk", bot=status)
    phone.say(OWNER, "/status", chat_id=group.chat_id)
    assert await bot.get_updates(timeout=0) == ()
    for call in (
        bot.send_message(group.chat_id, "x"),
        bot.edit_message_text("x", group.chat_id, 1),
        bot.pin_chat_message(group.chat_id, 1),
        bot.get_chat_member(group.chat_id, OWNER),
    ):
        with pytest.raises(Forbidden, match=f"(?i){words}"):
            await call


async def test_a_group_that_became_a_supergroup_says_its_new_number(phone: Phone, bot: Bot) -> None:
    group = phone.add_group("Desk", chat_id=-77)
    group.migrated_to = -1_000_000_000_099
    with pytest.raises(ChatMigrated) as moved:
        await bot.send_message(group.chat_id, "x")
    assert moved.value.new_chat_id == -1_000_000_000_099


async def test_a_restricted_bot_sends_only_what_it_was_left(phone: Phone, bot: Bot) -> None:
    group = phone.add_group("Desk", bot="restricted", rights=["can_send_messages"])
    await bot.send_message(group.chat_id, "x")
    with pytest.raises(BadRequest, match=r"(?i)not enough rights to send photos to the chat"):
        await bot.send_photo(group.chat_id, png())
    with pytest.raises(BadRequest, match=r"(?i)not enough rights to send documents to the chat"):
        await bot.send_document(group.chat_id, b"x", filename="a.csv")
    group.rights = frozenset()
    with pytest.raises(BadRequest, match=r"(?i)not enough rights to send text messages to the chat"):
        await bot.send_message(group.chat_id, "x")


async def test_pinning_needs_the_right_and_is_told_to_the_bot_too(phone: Phone, bot: Bot) -> None:
    group = phone.add_group("Desk")
    sent = await bot.send_message(group.chat_id, "the status")
    for call in (bot.pin_chat_message, bot.unpin_chat_message):
        with pytest.raises(BadRequest, match=r"(?i)not enough rights to manage pinned messages in the chat"):
            await call(group.chat_id, message_id=sent.message_id)
    with pytest.raises(BadRequest, match=r"(?i)not enough rights to manage pinned messages in the chat"):
        await bot.unpin_all_chat_messages(group.chat_id)

    group.members[BOT_ID], group.rights = "administrator", frozenset({"can_pin_messages"})
    await bot.pin_chat_message(group.chat_id, sent.message_id, disable_notification=True)
    (told,) = await heard(bot)
    assert told.from_user is not None
    assert told.from_user.id == BOT_ID
    assert told.pinned_message is not None
    assert told.pinned_message.message_id == sent.message_id
    chat = await bot.get_chat(group.chat_id)
    assert chat.pinned_message is not None
    assert chat.pinned_message.message_id == sent.message_id
    assert [m.silent for m in phone.chats.messages(group.chat_id) if m.service] == [True]
    assert [m.text for m in phone.messages(group.chat_id)] == ["the status"]


async def test_a_message_that_is_gone_cannot_be_pinned_edited_or_deleted(bot: Bot) -> None:
    for call, words in (
        (bot.pin_chat_message(OWNER, 4), "message to pin not found"),
        (bot.edit_message_text("x", OWNER, 4), "message to edit not found"),
        (bot.delete_message(OWNER, 4), "message to delete not found"),
    ):
        with pytest.raises(BadRequest, match=f"(?i){words}"):
            await call


async def test_others_messages_are_deleted_only_with_the_right(phone: Phone, bot: Bot) -> None:
    group = phone.add_group("Desk")
    theirs = phone.say(OWNER, "/secret", chat_id=group.chat_id)["message"]["message_id"]
    with pytest.raises(BadRequest, match=r"(?i)message can't be deleted"):
        await bot.delete_message(group.chat_id, theirs)
    group.members[BOT_ID], group.rights = "administrator", frozenset({"can_delete_messages"})
    await bot.delete_message(group.chat_id, theirs)
    assert phone.messages(group.chat_id) == []


async def test_who_is_in_a_group_and_what_they_may(phone: Phone, bot: Bot) -> None:
    group = phone.add_group("Desk", bot="administrator", rights=["can_pin_messages"])
    statuses = [(await bot.get_chat_member(group.chat_id, user)).status for user in (OWNER, VIEWER, STRANGER)]
    me: Any = await bot.get_chat_member(group.chat_id, BOT_ID)

    assert statuses == ["creator", "member", "left"]
    assert (me.status, me.can_pin_messages, me.can_delete_messages) == ("administrator", True, False)
    assert {m.user.id for m in await bot.get_chat_administrators(group.chat_id)} == {OWNER, BOT_ID}
    assert (await bot.get_chat_member(OWNER, OWNER)).status == "member"
    with pytest.raises(BadRequest, match=r"(?i)member not found"):
        await bot.get_chat_member(group.chat_id, 424242)
    with pytest.raises(BadRequest, match=r"(?i)chat not found"):
        await bot.get_chat(-5)
    assert await bot.leave_chat(group.chat_id)
    with pytest.raises(Forbidden):
        await bot.send_message(group.chat_id, "x")


async def test_the_menu_in_a_group_is_that_of_the_most_exact_scope(phone: Phone, bot: Bot) -> None:
    group = phone.add_group("Desk")

    async def name(word: str, scope: BotCommandScope | None = None) -> list[str]:
        await bot.set_my_commands([BotCommand(word, "x")], scope=scope)
        return [phone.chats.commands_for(user, group.chat_id)[0]["command"] for user in (OWNER, VIEWER)]

    assert await name("default") == ["default", "default"]
    assert await name("groups", BotCommandScopeAllGroupChats()) == ["groups", "groups"]
    assert await name("here", BotCommandScopeChat(group.chat_id)) == ["here", "here"]
    assert await name("chiefs", BotCommandScopeChatAdministrators(group.chat_id)) == ["chiefs", "here"]
    assert await name("viewer", BotCommandScopeChatMember(group.chat_id, VIEWER)) == ["chiefs", "viewer"]
    assert phone.chats.commands_for(OWNER)[0]["command"] == "default"
    with pytest.raises(BadRequest, match=r"(?i)chat not found"):
        await bot.set_my_commands([BotCommand("a", "x")], scope=BotCommandScopeChat(STRANGER))


async def test_people_act_only_where_they_are(phone: Phone) -> None:
    group = phone.add_group("Desk")
    with pytest.raises(UsageError, match="in no chat"):
        phone.say(STRANGER, "/status", chat_id=group.chat_id)
    with pytest.raises(UsageError, match="in no chat"):
        phone.tap(STRANGER, 1, "yes:1", chat_id=group.chat_id)
    phone.add_user(1005, "Operator")
    phone.say(1005, "hello")
    assert [m.text for m in phone.messages(1005)] == ["hello"]
