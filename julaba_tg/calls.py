"""One command of one person, and how its answer gets to where it goes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from telegram import Bot as TelegramBot
from telegram import Update
from telegram.error import BadRequest

from core.services.views import Actor
from julaba_tg.commands import Command
from julaba_tg.ports import MessageRef
from julaba_tg.sending import NoSuchChat, Outgoing, edit, edit_picture, patient, send

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer goes; ``message`` and ``has_picture`` describe the message a tapped button hangs on."""

    bot: TelegramBot
    chat_id: int
    thread_id: int | None
    message: MessageRef | None = None
    has_picture: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One command of one person: its line in the table, the words behind it, and the person's time zone."""

    actor: Actor
    command: Command
    arguments: tuple[str, ...]
    place: Place
    zone: ZoneInfo


def place_of(update: Update, bot: TelegramBot, actor: Actor) -> Place:
    """Where a tapped button hangs. A message too old to be reached cannot be edited: the answer is sent anew."""
    query = update.callback_query
    message = query.message if query else None
    if message is None:
        return Place(bot, actor.user_id, None)
    if not message.is_accessible or update.effective_message is None or message.date.timestamp() == 0:
        return Place(bot, message.chat.id, None)
    full = update.effective_message
    thread = full.message_thread_id if full.is_topic_message else None
    return Place(bot, message.chat.id, thread, MessageRef(message.chat.id, message.message_id), bool(full.photo))


async def say(place: Place, answer: Outgoing) -> None:
    await patient(lambda: send(place.bot, place.chat_id, answer, thread_id=place.thread_id))


async def edited(place: Place, answer: Outgoing) -> bool:
    """False when the message cannot show the answer: gone, too old to be reached, or of the other kind."""
    ref = place.message
    if ref is None or answer.document is not None or (answer.picture is not None) != place.has_picture:
        return False
    change = edit_picture if answer.picture is not None else edit
    try:
        return await patient(lambda: change(place.bot, ref, answer), repeat_on_fault=True)
    except (BadRequest, NoSuchChat) as error:
        log.info("a message could not be edited: %s", error.message)
        return False
