"""What an update asks for, read without doing anything: the gate judges it, the handlers do it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from telegram import Message, MessageReactionUpdated, ReactionTypeEmoji, Update
from telegram.constants import ChatType

from core.services.views import Actor, Role
from julaba_tg.commands import find
from julaba_tg.keyboards import ApprovalTap, CommandTap, tap_of
from julaba_tg.parsing import Typed, command_of, is_for_another_bot, yes_or_no
from julaba_tg.ports import MessageRef

AUDIT_LENGTH = 200
_THUMBS = {"👍": True, "👎": False}


@dataclass(frozen=True, slots=True)
class CardReply:
    """approve or reject, said to one message of ours by a reply or a thumb."""

    yes: bool
    message: MessageRef
    reaction: bool


@dataclass(frozen=True, slots=True)
class Words:
    """Anything else that was typed. ``about`` is the text of the message of ours that it answers, empty for none."""

    text: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Number:
    """A bare number, typed into the chat or in reply to a message of ours: it may answer what asked for one."""

    value: int
    text: str
    message: MessageRef | None


@dataclass(frozen=True, slots=True)
class StrayTap:
    """A tap whose data no button of ours carries."""


Ask = Typed | CommandTap | ApprovalTap | CardReply | Number | Words | StrayTap


@dataclass(frozen=True, slots=True)
class Incoming:
    """``role`` is what the ask needs; ``audit`` is how it stands in the audit log."""

    ask: Ask
    role: Role
    audit: str


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody the gate has let in, with what they want."""

    actor: Actor
    incoming: Incoming


def read(update: Update, bot_name: str) -> Incoming | None:
    """None for what is nothing to us: edits, pictures, service messages, other bots' commands, a group's own talk."""
    if update.message is not None:
        return _read_message(update.message, bot_name)
    if update.callback_query is not None:
        return _read_tap(update.callback_query.data or "")
    if update.message_reaction is not None:
        return _read_reaction(update.message_reaction)
    return None


def describe(update: Update) -> str:
    """Any update in a few words, for the log of those who were turned away."""
    if update.callback_query is not None:
        return f"tap {update.callback_query.data or ''}"[:AUDIT_LENGTH]
    if update.effective_message is not None and update.effective_message.text:
        return update.effective_message.text[:AUDIT_LENGTH]
    kinds = [name for name in Update.ALL_TYPES if getattr(update, name, None) is not None]
    return kinds[0] if kinds else "unknown update"


def _read_message(message: Message, bot_name: str) -> Incoming | None:
    content = message.text
    if not content or is_for_another_bot(content, bot_name):
        return None
    audit, replied = content[:AUDIT_LENGTH], _replied_to(message)
    in_group, to_us = message.chat.type != ChatType.PRIVATE, _is_ours(replied, bot_name)
    if typed := command_of(content, bot_name):
        if in_group and find(typed.name) is None and not _names(content.split()[0], bot_name):
            return None  # it may be another bot's
        return Incoming(typed, role_for(typed), audit)
    answer = yes_or_no(content)
    if answer is not None and replied is not None and (to_us or not in_group):
        ref = MessageRef(message.chat.id, replied.message_id)
        return Incoming(CardReply(answer, ref, reaction=False), "approver", audit)
    if in_group and not to_us and not _names(content, bot_name):
        return None  # people talking to each other
    if re.fullmatch(r"[0-9]{1,4}", word := content.strip()):
        number_ref = MessageRef(message.chat.id, replied.message_id) if replied is not None else None
        return Incoming(Number(int(word), content, number_ref), "viewer", audit)
    about = (replied.text or replied.caption or "") if replied is not None and to_us else ""
    return Incoming(Words(_without_name(content, bot_name) or content, about), "viewer", audit)


def _replied_to(message: Message) -> Message | None:
    """The message that was answered. In a forum all answer the one that made their topic: that says nothing."""
    replied = message.reply_to_message
    made_the_topic = replied is not None and (
        replied.forum_topic_created is not None
        or (bool(message.is_topic_message) and replied.message_id == message.message_thread_id)
    )
    return None if made_the_topic else replied


def _is_ours(replied: Message | None, bot_name: str) -> bool:
    sender = replied.from_user if replied is not None else None
    return sender is not None and sender.is_bot and (sender.username or "").lower() == bot_name.lower()


def _names(content: str, bot_name: str) -> bool:
    return re.search(rf"@{re.escape(bot_name)}\b", content, re.IGNORECASE) is not None


def _without_name(content: str, bot_name: str) -> str:
    bare = re.sub(rf"@{re.escape(bot_name)}\b", " ", content, flags=re.IGNORECASE)
    return " ".join(bare.split()) if bare != content else content


def role_for(typed: Typed) -> Role:
    command = find(typed.name, typed.arguments)
    return command.role if command else "viewer"


def _read_tap(data: str) -> Incoming:
    audit = f"tap {data}"[:AUDIT_LENGTH]
    match tap_of(data):
        case ApprovalTap() as tap:
            return Incoming(tap, "approver", audit)
        case CommandTap() as tap if find(tap.typed.name):
            return Incoming(tap, role_for(tap.typed), audit)
        case _:
            return Incoming(StrayTap(), "viewer", audit)


def _read_reaction(reaction: MessageReactionUpdated) -> Incoming | None:
    """Only a thumb newly set counts; one taken away undoes nothing."""
    before = {r.emoji for r in reaction.old_reaction if isinstance(r, ReactionTypeEmoji)}
    now = {r.emoji for r in reaction.new_reaction if isinstance(r, ReactionTypeEmoji)}
    thumbs = [_THUMBS[emoji] for emoji in sorted(now - before) if emoji in _THUMBS]
    if len(thumbs) != 1:
        return None
    ref = MessageRef(reaction.chat.id, reaction.message_id)
    word = "👍" if thumbs[0] else "👎"
    return Incoming(
        CardReply(thumbs[0], ref, reaction=True), "approver", f"reaction {word} to message {ref.message_id}"
    )
