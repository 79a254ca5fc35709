"""One command of one person, and where its answer goes."""

from __future__ import annotations

from dataclasses import dataclass

from telegram import Bot as TelegramBot
from telegram import Update

from core.services.views import Actor
from julaba_tg.commands import Command
from julaba_tg.ports import MessageRef


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
    """One command of one person: its line in the table and the words behind it."""

    actor: Actor
    command: Command
    arguments: tuple[str, ...]
    place: Place


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
