"""The Bot API subset, spoken to by the real python-telegram-bot over HTTP."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from telegram import Bot as PlainBot
from telegram import (
    BotCommand,
    BotCommandScopeChat,
    CopyTextButton,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    ReactionTypeEmoji,
    ReplyParameters,
    Update,
)
from telegram.error import (
    BadRequest,
    Conflict,
    EndPointNotFound,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TimedOut,
)
from telegram.ext import (
    ApplicationBuilder,
    CallbackQueryHandler,
    CommandHandler,
    ContextTypes,
    ExtBot,
    MessageReactionHandler,
)

from core.errors import UsageError
from julaba_tg.phone.bot_api import Phone, WaitedInVainError
from julaba_tg.phone.chats import OWNER, STRANGER, VIEWER
from tests.julaba_tg.phone.conftest import png

Bot = ExtBot[None]


def keys(*buttons: InlineKeyboardButton) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup([list(buttons)])


YES = InlineKeyboardButton("Yes", callback_data="yes", style="success")


async def test_a_message_arrives_with_format_buttons_and_silence(phone: Phone, bot: Bot) -> None:
    sent = await bot.send_message(
        OWNER, "<b>up</b> &lt;5%", parse_mode="HTML", reply_markup=keys(YES), disable_notification=True
    )

    (message,) = phone.messages()
    assert (message.message_id, message.text, message.silent) == (sent.message_id, "up <5%", True)
    assert message.button("yes").style == "success"
    assert sent.entities[0].type == "bold"
    assert sent.reply_markup == keys(YES)


async def test_an_edit_replaces_text_and_without_markup_removes_the_buttons(phone: Phone, bot: Bot) -> None:
    sent = await bot.send_message(OWNER, "one", reply_markup=keys(YES))

    await bot.edit_message_text("two", OWNER, sent.message_id)

    (message,) = phone.messages()
    assert (message.text, message.keyboard, message.history) == ("two", (), ("one",))
    assert message.edited is not None


async def test_an_edit_that_changes_nothing_is_refused(bot: Bot) -> None:
    sent = await bot.send_message(OWNER, "one", reply_markup=keys(YES))
    with pytest.raises(BadRequest, match=r"(?i)message is not modified"):
        await bot.edit_message_text("one", OWNER, sent.message_id, reply_markup=keys(YES))
    with pytest.raises(BadRequest, match=r"(?i)message is not modified"):
        await bot.edit_message_reply_markup(OWNER, sent.message_id, reply_markup=keys(YES))


async def test_a_photo_can_be_sent_captioned_replaced_and_fetched(phone: Phone, bot: Bot) -> None:
    sent = await bot.send_photo(OWNER, png(), caption="chart")
    await bot.edit_message_caption(OWNER, sent.message_id, caption="<i>chart</i> 2", parse_mode="HTML")
    await bot.edit_message_media(InputMediaPhoto(png(8, 8), caption="bigger"), OWNER, sent.message_id)
    file = await bot.get_file(phone.messages()[0].media.file_id)  # type: ignore[union-attr]

    (message,) = phone.messages()
    assert message.media is not None
    assert (message.text, message.media.width) == ("bigger", 8)
    assert await file.download_as_bytearray() == png(8, 8)


async def test_a_document_keeps_its_name_and_bytes(phone: Phone, bot: Bot) -> None:
    await bot.send_document(OWNER, b"a,b\n", filename="../trades.csv", caption="all")

    media = phone.messages()[0].media
    assert media is not None
    assert (media.name, media.content) == ("trades.csv", b"a,b\n")


async def test_replies_reactions_pins_and_deletions(phone: Phone, bot: Bot) -> None:
    asked = phone.say(OWNER, "hello")["message"]["message_id"]
    answer = await bot.send_message(OWNER, "hi", reply_parameters=ReplyParameters(asked, quote="ell"))
    await bot.set_message_reaction(OWNER, asked, "👀")
    await bot.pin_chat_message(OWNER, answer.message_id)
    chat = await bot.get_chat(OWNER)

    assert answer.reply_to_message is not None
    assert answer.reply_to_message.text == "hello"
    assert phone.messages()[0].reaction_of(bot.id) == "👀"
    assert chat.pinned_message is not None
    assert chat.pinned_message.message_id == answer.message_id

    await bot.unpin_chat_message(OWNER)
    await bot.delete_message(OWNER, answer.message_id)
    assert [m.message_id for m in phone.messages()] == [asked]


async def test_the_command_menu_depends_on_the_scope(phone: Phone, bot: Bot) -> None:
    await bot.set_my_commands([BotCommand("status", "how it stands")])
    await bot.set_my_commands([BotCommand("pause", "stop")], scope=BotCommandScopeChat(OWNER))

    assert [c.command for c in await bot.get_my_commands()] == ["status"]
    assert phone.chats.commands_for(OWNER) == [{"command": "pause", "description": "stop"}]
    assert phone.chats.commands_for(VIEWER)[0]["command"] == "status"


REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("too long", "message is too long", {"text": "x" * 4097}),
    ("too long in UTF-16 units", "message is too long", {"text": "🚀" * 2049}),
    ("empty", "text is empty", {"text": " \n "}),
    ("bad entities", "can't parse entities", {"text": "P&L <5%", "parse_mode": "HTML"}),
    ("unclosed", "can't find end tag", {"text": "<b>x", "parse_mode": "HTML"}),
    ("unknown chat", "chat not found", {"chat_id": 42, "text": "x"}),
    ("reply to nothing", "message to be replied not found", {"text": "x", "reply_parameters": ReplyParameters(99)}),
    (
        "long callback data",
        "button_data_invalid",
        {"text": "x", "reply_markup": keys(InlineKeyboardButton("a", callback_data="é" * 33))},
    ),
    (
        "a button without an action",
        "text buttons are unallowed",
        {"text": "x", "reply_markup": keys(InlineKeyboardButton("a"))},
    ),
    (
        "a button with a bad address",
        "button url",
        {"text": "x", "reply_markup": keys(InlineKeyboardButton("a", url="javascript:alert(1)"))},
    ),
    (
        "too much to copy",
        "copy_text",
        {"text": "x", "reply_markup": keys(InlineKeyboardButton("a", copy_text=CopyTextButton("y" * 257)))},
    ),
]


@pytest.mark.parametrize(("words", "arguments"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
async def test_what_telegram_refuses_is_refused(phone: Phone, bot: Bot, words: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=f"(?i){words}"):
        await bot.send_message(**{"chat_id": OWNER, **arguments})
    assert phone.messages() == []


async def test_captions_and_pictures_have_their_own_limits(bot: Bot) -> None:
    with pytest.raises(BadRequest, match=r"(?i)caption is too long"):
        await bot.send_photo(OWNER, png(), caption="x" * 1025)
    with pytest.raises(BadRequest, match=r"(?i)photo_invalid_dimensions"):
        await bot.send_photo(OWNER, png(100, 4))
    with pytest.raises(BadRequest, match=r"(?i)image_process_failed"):
        await bot.send_photo(OWNER, b"no picture")


async def test_strangers_who_never_wrote_and_users_who_blocked_are_forbidden(phone: Phone, bot: Bot) -> None:
    with pytest.raises(Forbidden, match="initiate"):
        await bot.send_message(STRANGER, "hello")
    phone.say(STRANGER, "hello")
    await bot.send_message(STRANGER, "hello")
    phone.block(STRANGER)
    with pytest.raises(Forbidden, match="blocked"):
        await bot.send_message(STRANGER, "again")


async def test_only_own_messages_are_edited_and_reactions_come_from_the_list(phone: Phone, bot: Bot) -> None:
    theirs = phone.say(OWNER, "mine")["message"]["message_id"]
    with pytest.raises(BadRequest, match=r"(?i)can't be edited"):
        await bot.edit_message_text("yours", OWNER, theirs)
    with pytest.raises(BadRequest, match=r"(?i)reaction_invalid"):
        await bot.set_message_reaction(OWNER, theirs, "🪙")


async def test_messages_older_than_two_days_stay() -> None:
    moment = [datetime(2026, 1, 1, tzinfo=UTC)]
    phone = Phone(now=lambda: moment[0])
    await phone.start()
    async with ApplicationBuilder().token(phone.token).base_url(f"{phone.base_url}/bot").updater(None).build().bot as b:
        sent = await b.send_message(OWNER, "old")
        moment[0] += timedelta(hours=49)
        with pytest.raises(BadRequest, match=r"(?i)can't be deleted"):
            await b.delete_message(OWNER, sent.message_id)
    await phone.stop()


async def test_a_tap_is_answered_once_and_within_200_characters(phone: Phone, bot: Bot) -> None:
    sent = await bot.send_message(OWNER, "?", reply_markup=keys(YES))
    tap = phone.tap(OWNER, sent.message_id, "yes")
    query = tap["callback_query"]["id"]

    with pytest.raises(BadRequest, match=r"(?i)too_long"):
        await bot.answer_callback_query(query, "x" * 201)
    await bot.answer_callback_query(query, "done")
    with pytest.raises(BadRequest, match=r"(?i)query is too old"):
        await bot.answer_callback_query(query, "twice")
    assert await phone.wait_answer(tap) == {"text": "done", "show_alert": False}


async def test_updates_stay_until_confirmed_and_only_wanted_kinds_come(phone: Phone, bot: Bot) -> None:
    first = phone.say(OWNER, "one")["update_id"]
    phone.say(OWNER, "two")

    assert len(await bot.get_updates(timeout=0)) == 2
    assert [u.message.text for u in await bot.get_updates(offset=first + 1, timeout=0) if u.message] == ["two"]
    assert [u.message.text for u in await bot.get_updates(offset=-1, timeout=0) if u.message] == ["two"]

    await bot.get_updates(offset=first + 2, timeout=0, allowed_updates=["callback_query"])
    phone.say(OWNER, "three")
    assert await bot.get_updates(timeout=0) == ()
    await bot.get_updates(timeout=0, allowed_updates=["message"])
    phone.say(OWNER, "four")
    await bot.delete_webhook(drop_pending_updates=True)
    assert await bot.get_updates(timeout=0) == ()


async def test_a_long_poll_wakes_for_an_update_and_ends_for_a_second_poller(phone: Phone, bot: Bot) -> None:
    waiting = asyncio.create_task(bot.get_updates(timeout=5))
    await asyncio.sleep(0.05)
    phone.say(OWNER, "now")
    assert len(await waiting) == 1

    offset = phone.say(OWNER, "x")["update_id"] + 1
    older = asyncio.create_task(bot.get_updates(offset=offset, timeout=5))
    await asyncio.sleep(0.05)
    async with PlainBot(phone.token, f"{phone.base_url}/bot") as other:
        assert await other.get_updates(offset=offset, timeout=0) == ()
    with pytest.raises(Conflict):
        await older


async def test_a_whole_application_polls_commands_taps_and_reactions(phone: Phone) -> None:
    builder = ApplicationBuilder().token(phone.token).base_url(f"{phone.base_url}/bot")
    app = builder.build()
    context = ContextTypes.DEFAULT_TYPE

    async def status(update: Update, _: context) -> None:  # type: ignore[valid-type]
        assert update.effective_message
        await update.effective_message.reply_text("equity 10,000", reply_markup=keys(YES))

    async def tapped(update: Update, _: context) -> None:  # type: ignore[valid-type]
        assert update.callback_query
        await update.callback_query.answer("done")
        await update.callback_query.edit_message_text("approved")

    async def reacted(update: Update, _: context) -> None:  # type: ignore[valid-type]
        assert update.message_reaction
        (reaction,) = update.message_reaction.new_reaction
        assert isinstance(reaction, ReactionTypeEmoji)
        await app.bot.send_message(OWNER, f"saw {reaction.emoji}")

    app.add_handlers([CommandHandler("status", status), CallbackQueryHandler(tapped), MessageReactionHandler(reacted)])
    async with app:
        await app.start()
        assert app.updater
        await app.updater.start_polling(allowed_updates=Update.ALL_TYPES)
        phone.say(OWNER, "/status")
        card = await phone.wait_for(lambda m: "equity" in m.text)
        answer = await phone.wait_answer(phone.tap(OWNER, card.message_id, card.button("yes").callback_data))
        await phone.wait_for(lambda m: m.text == "approved")
        phone.react(OWNER, card.message_id, "👍")
        await phone.wait_for(lambda m: m.text == "saw 👍")
        await app.updater.stop()
        await app.stop()
    assert answer["text"] == "done"


async def test_faults_look_like_the_real_ones(phone: Phone, bot: Bot) -> None:
    phone.fault("rate_limit", method="sendMessage", retry_after=7)
    with pytest.raises(RetryAfter) as limited:
        await bot.send_message(OWNER, "x")
    assert limited.value.retry_after in {7, timedelta(seconds=7)}

    phone.fault("error", status=502)
    with pytest.raises(NetworkError):
        await bot.send_message(OWNER, "x")

    phone.fault("down", times=None, seconds=60)
    with pytest.raises(NetworkError):
        await bot.send_message(OWNER, "x")
    phone.faults.clear()

    phone.fault("hang", seconds=5)
    with pytest.raises(TimedOut):
        await bot.send_message(OWNER, "x", read_timeout=0.1)
    phone.faults.clear()
    await asyncio.sleep(0.05)
    assert [m.text for m in phone.messages()] in ([], ["x"])  # a time-out does not mean "not sent"


async def test_a_dropped_answer_leaves_the_message_there(phone: Phone, bot: Bot) -> None:
    phone.fault("drop", method="sendmessage")
    with pytest.raises(NetworkError):
        await bot.send_message(OWNER, "seen anyway")
    assert [m.text for m in phone.messages()] == ["seen anyway"]


async def test_an_unknown_fault_is_refused(phone: Phone) -> None:
    with pytest.raises(ValueError, match="not one of"):
        phone.fault("gremlins")


async def test_wrong_token_and_unknown_method(phone: Phone, bot: Bot) -> None:
    with pytest.raises(EndPointNotFound):
        await bot.do_api_request("brewCoffee", {"chat_id": OWNER})
    stranger = PlainBot("1:x", f"{phone.base_url}/bot")
    with pytest.raises(InvalidToken):
        await stranger.initialize()
    await stranger.shutdown()


async def test_json_bodies_and_get_are_understood(phone: Phone) -> None:
    url = f"{phone.base_url}/bot{phone.token}"
    async with aiohttp.ClientSession() as session:
        body = {
            "chat_id": OWNER,
            "text": "json",
            "reply_markup": {"inline_keyboard": [[{"text": "a", "url": "http://x.y"}]]},
        }
        async with session.post(f"{url}/SENDMESSAGE", json=body) as answer:
            assert answer.status == 200
        async with session.get(f"{url}/getMe") as answer:
            assert (await answer.json())["result"]["is_bot"] is True
        async with session.post(f"{url}/sendMessage", json=[]) as answer:
            assert answer.status == 400
        async with session.post(f"{url}/sendMessage", data=b'{"text": "\\ud800", "chat_id": 1001}') as answer:
            assert answer.status == 400


FOREIGN = [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}]


@pytest.mark.parametrize("headers", FOREIGN, ids=lambda h: next(iter(h)))
async def test_other_pages_and_names_are_refused(phone: Phone, headers: dict[str, str]) -> None:
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.post(f"{phone.base_url}/bot{phone.token}/getMe") as answer:
            assert answer.status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(f"{phone.base_url}/socket")


async def test_only_loopback_is_listened_on() -> None:
    with pytest.raises(UsageError, match="reached by others"):
        await Phone().start("0.0.0.0")


async def test_a_taken_port_is_said(phone: Phone) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        await Phone().start(port=int(phone.base_url.rsplit(":", 1)[1]))


async def test_waiting_in_vain_shows_the_last_messages(phone: Phone) -> None:
    phone.say(OWNER, "anybody?")
    with pytest.raises(WaitedInVainError, match=r"anybody\?"):
        await phone.wait_for(lambda m: True, timeout=0.01)


def test_a_later_phone_gives_no_number_that_an_earlier_one_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot that kept its data drops updates it has seen, and would take new messages for its old ones."""
    used = []
    for minute in (0, 1):
        moment = datetime(2026, 11, 20, 9, minute, tzinfo=UTC)
        monkeypatch.setattr("julaba_tg.phone.updates.wall_now", lambda moment=moment: moment)
        phone = Phone()
        said = [phone.say(OWNER, "/status") for _ in range(50)]
        used.append({(u["update_id"], u["message"]["message_id"]) for u in said})

    first, second = ({n for pair in pairs for n in pair} for pairs in used)
    assert max(first) < min(second) <= max(second) < 2**31


async def test_a_page_that_sleeps_does_not_hold_up_the_end() -> None:
    phone = Phone()
    await phone.start()
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{phone.base_url}/socket"):
        async with asyncio.timeout(2):
            await phone.stop()
