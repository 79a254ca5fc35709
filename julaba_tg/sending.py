"""One message out or changed, whatever Telegram thinks of its markup. When to try again is the caller's business."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TypeVar

import httpx
from telegram import Bot as TelegramBot
from telegram import InlineKeyboardMarkup, InputFile, InputMediaPhoto, LinkPreviewOptions, ReplyParameters
from telegram.constants import ParseMode
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)

from core.services.people import Numbers
from julaba_tg.card import CAPTION_LIMIT, TEXT_LIMIT, Card, html, plain, shortened
from julaba_tg.ports import MessageRef

log = logging.getLogger(__name__)
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)
# Fragments of Telegram's own sentences, in lower case because the library changes their case.
_UNCHANGED = "not modified"
_GONE = ("message to edit not found", "can't be edited", "message_id_invalid", "message not found")
_NO_CHAT = (
    "chat not found",
    "user is deactivated",
    "peer_id_invalid",
    "have no rights",
    "not enough rights",
    "chat_write_forbidden",
    "group chat was deactivated",
    "chat_restricted",
)
_NO_TOPIC = ("message thread not found", "topic_closed", "topic_deleted", "topic_id_invalid")
_WORDS_ONLY = ("not enough rights to send photos", "not enough rights to send documents", "media_forbidden")

T = TypeVar("T")


DOCUMENT_LIMIT = 50_000_000
"""Bytes of a file that a bot may send."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file to send: ``name`` as the phone keeps it. ``content`` is not empty and within ``DOCUMENT_LIMIT``."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A card with its buttons, as the caption of a PNG or of a file when there is one (not of both).

    ``numbers``: how those in its words look; None: as whoever reads it wishes, see ``wishes.in_voice``.
    """

    card: Card
    keyboard: InlineKeyboardMarkup | None = None
    picture: bytes | None = None
    numbers: Numbers | None = field(default=None, kw_only=True)
    document: Document | None = None


class NoSuchChat(TelegramError):  # noqa: N818 - reads as the noun it is
    """The chat is not there (yet): the person has to press Start first."""


class NoSuchTopic(TelegramError):  # noqa: N818 - reads as the noun it is
    """The forum's topic has been deleted or closed; the chat itself is there."""


_REFUSALS = (BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, RetryAfter, NoSuchChat, NoSuchTopic)
_NEVER_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


async def send(
    bot: TelegramBot,
    chat_id: int,
    message: Outgoing,
    *,
    silent: bool = False,
    reply_to: int | None = None,
    thread_id: int | None = None,
) -> MessageRef:
    """Sends as HTML; if Telegram refuses that, without its picture or file, then as plain text, at last bare.

    Raises NoSuchChat, NoSuchTopic, and TelegramError as the library does.
    """
    reply = ReplyParameters(reply_to, allow_sending_without_reply=True) if reply_to else None

    async def as_photo(formatted: bool) -> MessageRef:
        sent = await bot.send_photo(
            chat_id,
            message.picture or b"",
            caption=_words(message, formatted, CAPTION_LIMIT),
            parse_mode=ParseMode.HTML if formatted else None,
            reply_markup=message.keyboard,
            disable_notification=silent,
            reply_parameters=reply,
            message_thread_id=thread_id,
        )
        return MessageRef(sent.chat_id, sent.message_id)

    async def as_document(document: Document) -> MessageRef:
        sent = await bot.send_document(
            chat_id,
            InputFile(document.content, filename=document.name),
            caption=_words(message, True, CAPTION_LIMIT),
            parse_mode=ParseMode.HTML,
            reply_markup=message.keyboard,
            disable_notification=silent,
            reply_parameters=reply,
            message_thread_id=thread_id,
        )
        return MessageRef(sent.chat_id, sent.message_id)

    async def as_text(formatted: bool, buttons: bool = True) -> MessageRef:
        sent = await bot.send_message(
            chat_id,
            _words(message, formatted),
            parse_mode=ParseMode.HTML if formatted else None,
            reply_markup=message.keyboard if buttons else None,
            disable_notification=silent,
            reply_parameters=reply,
            message_thread_id=thread_id,
            link_preview_options=_NO_PREVIEW,
        )
        return MessageRef(sent.chat_id, sent.message_id)

    pictured = [partial(as_photo, True)] if message.picture else []
    pictured = [partial(as_document, message.document)] if message.document else pictured
    bare = [partial(as_text, False, buttons=False)] if message.keyboard else []
    return await _first_accepted([*pictured, partial(as_text, True), partial(as_text, False), *bare])


async def edit(bot: TelegramBot, ref: MessageRef, message: Outgoing) -> bool:
    """Changes a message's words and buttons. False: it is gone, in a closed topic, or can no longer be edited.

    A message that already says so counts as changed. Whether it has a picture is found out by trying.
    """

    async def as_text(formatted: bool) -> None:
        await bot.edit_message_text(
            _words(message, formatted),
            ref.chat_id,
            ref.message_id,
            parse_mode=ParseMode.HTML if formatted else None,
            reply_markup=message.keyboard,
            link_preview_options=_NO_PREVIEW,
        )

    async def as_caption(formatted: bool) -> None:
        await bot.edit_message_caption(
            ref.chat_id,
            ref.message_id,
            caption=_words(message, formatted, CAPTION_LIMIT),
            parse_mode=ParseMode.HTML if formatted else None,
            reply_markup=message.keyboard,
        )

    return await _edited([partial(way, formatted) for formatted in (True, False) for way in (as_text, as_caption)])


async def edit_picture(bot: TelegramBot, ref: MessageRef, message: Outgoing) -> bool:
    """Puts a new picture and caption into a message that has one. False: it is gone or has none."""

    async def as_media() -> None:
        caption = _words(message, True, CAPTION_LIMIT)
        media = InputMediaPhoto(message.picture or b"", caption=caption, parse_mode=ParseMode.HTML)
        await bot.edit_message_media(media, ref.chat_id, ref.message_id, reply_markup=message.keyboard)

    try:
        return await _edited([as_media])
    except BadRequest:
        return False


async def patient(action: Callable[[], Awaitable[T]], *, repeat_on_fault: bool = False) -> T:
    """Does it again after Telegram's retry-after; after a network fault only where a double does no harm (edits)."""
    for pause in (1.0, 3.0):
        try:
            return await action()
        except RetryAfter as error:
            await asyncio.sleep(retry_after(error))
        except BadRequest:
            raise
        except NetworkError:
            if not repeat_on_fault:
                raise
            await asyncio.sleep(pause)
    return await action()


def retry_after(error: RetryAfter) -> float:
    """Seconds; the library gives an int today and a timedelta in future."""
    wait = error.retry_after
    return wait.total_seconds() if isinstance(wait, timedelta) else float(wait)


def perhaps_sent(error: TelegramError) -> bool:
    """Whether Telegram may have the message although sending it ended like this; there is no way to ask.

    It has it not when it said so, or when the connection was never made. A lost answer proves nothing.
    """
    if isinstance(error, _REFUSALS):
        return False
    if isinstance(error.__cause__, httpx.HTTPError):
        return not isinstance(error.__cause__, _NEVER_CONNECTED)
    # What is left: a 5xx, which is a refusal unless a gateway gave up waiting, and an answer that cannot be read.
    return "(504)" in error.message if isinstance(error, NetworkError) else True


def _words(message: Outgoing, formatted: bool, limit: int = TEXT_LIMIT) -> str:
    """A caption leaves out whole lines where it is too long, a text is cut at its end."""
    write = html if formatted else plain
    numbers = message.numbers or "en"
    content = shortened(message.card, limit, numbers) if limit == CAPTION_LIMIT else message.card
    return write(content, limit, numbers)


async def _first_accepted(ways: list[Callable[[], Awaitable[MessageRef]]]) -> MessageRef:
    *attempts, last = ways
    for way in attempts:
        try:
            return await way()
        except BadRequest as error:
            _raise_for_chat(error)
            log.warning("Telegram refused a message (%s); sending it more plainly", error.message)
    try:
        return await last()
    except BadRequest as error:
        _raise_for_chat(error)
        raise


async def _edited(ways: list[Callable[[], Awaitable[None]]]) -> bool:
    refusal: BadRequest | None = None
    for way in ways:
        try:
            await way()
            return True
        except BadRequest as error:
            said = error.message.lower()
            if _UNCHANGED in said:
                return True
            if any(fragment in said for fragment in (*_GONE, *_NO_TOPIC)):
                return False
            _raise_for_chat(error)
            refusal = refusal or error
        except ChatMigrated:
            return False  # what stood in the group before it became a supergroup cannot be reached any more
    raise refusal or BadRequest("nothing to try")


def _raise_for_chat(error: BadRequest) -> None:
    said = error.message.lower()
    if any(fragment in said for fragment in _NO_TOPIC):
        raise NoSuchTopic(error.message) from error
    if any(fragment in said for fragment in _NO_CHAT) and not any(fragment in said for fragment in _WORDS_ONLY):
        raise NoSuchChat(error.message) from error
