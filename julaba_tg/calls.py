"""One command of one person, and how its answer gets to where it goes."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from zoneinfo import ZoneInfo

from telegram import Bot as TelegramBot
from telegram import Message, Update
from telegram.constants import ChatType
from telegram.error import BadRequest

from core.services.views import Actor
from julaba_tg.commands import Command
from julaba_tg.ports import DeskLike, MessageRef
from julaba_tg.sending import NoSuchChat, NoSuchTopic, Outgoing, edit, edit_picture, patient, send
from julaba_tg.wishes import STANDARD, Voice, in_voice, voice_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer goes; ``message`` and ``has_picture`` describe the message a tapped button hangs on.

    ``reply_to`` is the message an answer replies to in a group, so that people see who asked; None in a private chat.
    ``voice`` is how the reader is talked to, see ``voiced``.
    """

    bot: TelegramBot
    chat_id: int
    thread_id: int | None
    message: MessageRef | None = None
    has_picture: bool = False
    reply_to: int | None = None
    voice: Voice = STANDARD


@dataclass(frozen=True, slots=True)
class Call:
    """One command of one person: its line in the table, and the words behind it.

    ``in_place``: the answer takes the place of the message the tapped button hangs on, where it can. ``replied``: the
    message that a typed command was a reply to.
    """

    actor: Actor
    command: Command
    arguments: tuple[str, ...]
    place: Place
    in_place: bool = False
    replied: Message | None = None

    @property
    def zone(self) -> ZoneInfo:
        """The person's time zone."""
        return self.place.voice.zone


async def voiced(place: Place, desk: DeskLike, reader: int) -> Place:
    """The same place, talked to as that person (or that chat, by its id) wishes."""
    return replace(place, voice=await voice_of(desk, reader))


def place_of(update: Update, bot: TelegramBot, actor: Actor) -> Place:
    """Where a tapped button hangs. A message too old to be reached cannot be edited: the answer is sent anew."""
    query = update.callback_query
    message = query.message if query else None
    if message is None:
        return Place(bot, actor.user_id, None)
    if not message.is_accessible or update.effective_message is None or message.date.timestamp() == 0:
        return Place(bot, message.chat.id, None)
    full = update.effective_message
    ref = MessageRef(message.chat.id, message.message_id)
    return Place(bot, message.chat.id, thread_of(full), ref, bool(full.photo), _replied_to(full))


def beside(message: Message, bot: TelegramBot) -> Place:
    """Where a message that was typed is answered: in its topic, and in a group as a reply to it."""
    return Place(bot, message.chat.id, thread_of(message), reply_to=_replied_to(message))


def where(update: Update, bot: TelegramBot, actor: Actor) -> Place:
    """Where anything may be said about an update: beside its message, else in its chat, else to the person alone."""
    if update.message is not None:
        return beside(update.message, bot)
    if update.callback_query is not None or update.effective_chat is None:
        return place_of(update, bot, actor)
    return Place(bot, update.effective_chat.id, None)


def at(ref: MessageRef, bot: TelegramBot) -> Place:
    """Where a message stands that somebody has reacted to: a group's answer replies to it, and so finds its topic."""
    return Place(bot, ref.chat_id, None, reply_to=ref.message_id if ref.chat_id < 0 else None)


def thread_of(message: Message) -> int | None:
    """The forum topic a message stands in; None in the General one, which has no number to send to."""
    return message.message_thread_id if message.is_topic_message else None


def _replied_to(message: Message) -> int | None:
    return message.message_id if message.chat.type != ChatType.PRIVATE else None


async def post(place: Place, answer: Outgoing, *, reply_to: int | None = None) -> MessageRef:
    """Sends an answer, and gives where it stands. A topic that has been closed since is answered in the General one.

    There it replies to nothing: a reply goes to the topic of what it answers, whatever topic is named.
    """
    said = partial(send, place.bot, place.chat_id, in_voice(answer, place.voice))
    try:
        return await patient(lambda: said(reply_to=reply_to or place.reply_to, thread_id=place.thread_id))
    except NoSuchTopic:
        return await patient(said)


async def say(place: Place, answer: Outgoing) -> None:
    await post(place, answer)


async def edited(place: Place, answer: Outgoing) -> bool:
    """False when the message cannot show the answer: gone, too old to be reached, or of the other kind."""
    ref = place.message
    if ref is None or answer.document is not None or (answer.picture is not None) != place.has_picture:
        return False
    change, said = edit_picture if answer.picture is not None else edit, in_voice(answer, place.voice)
    try:
        return await patient(lambda: change(place.bot, ref, said), repeat_on_fault=True)
    except (BadRequest, NoSuchChat) as error:
        log.info("a message could not be edited: %s", error.message)
        return False
