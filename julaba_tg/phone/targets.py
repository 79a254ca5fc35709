"""What a call names: its chat, message and topic, and whether the bot may do there what it asks for."""

from __future__ import annotations

import re

from julaba_tg.phone.chats import BOT_ID, Chats, Message, User
from julaba_tg.phone.groups import GENERAL, Group
from julaba_tg.phone.params import ApiError, Params, bad

_KINDS = {"can_send_messages": "text messages", "can_send_photos": "photos", "can_send_documents": "documents"}


def chat_of(chats: Chats, params: Params) -> int:
    """The chat a bot may speak in, or the server's refusal."""
    text = params.text("chat_id").strip()
    if not text:
        raise bad("chat_id is empty")
    group = group_named(chats, text)
    if group is not None:
        return _entered(group)
    user = user_named(chats, text)
    if user is None:
        raise bad("chat not found")
    if user.user_id in chats.blocked:
        raise ApiError(403, "Forbidden: bot was blocked by the user")
    if user.user_id not in chats.started:
        raise ApiError(403, "Forbidden: bot can't initiate conversation with a user")
    return user.user_id


def _entered(group: Group) -> int:
    if group.migrated_to is not None:
        words = "Bad Request: group chat was upgraded to a supergroup chat"
        raise ApiError(400, words, migrate_to_chat_id=group.migrated_to)
    if group.status(BOT_ID) == "kicked":
        raise ApiError(403, "Forbidden: bot was kicked from the supergroup chat")
    if not group.has(BOT_ID):
        raise ApiError(403, "Forbidden: bot is not a member of the supergroup chat")
    return group.chat_id


def user_named(chats: Chats, text: str) -> User | None:
    return chats.users.get(int(text)) if re.fullmatch(r"-?\d{1,18}", text) else None


def group_named(chats: Chats, text: str) -> Group | None:
    return chats.groups.get(int(text)) if re.fullmatch(r"-?\d{1,18}", text) else None


def message_of(chats: Chats, params: Params, purpose: str) -> Message:
    found = chats.message(chat_of(chats, params), params.integer("message_id"))
    if found is None:
        raise bad(f"message to {purpose} not found")
    return found


def own_message(chats: Chats, params: Params) -> Message:
    """The bot's own message that is to be edited."""
    message = message_of(chats, params, "edit")
    if not message.from_bot or message.service:
        raise bad("message can't be edited")
    return message


def check_sending(chats: Chats, chat_id: int, permission: str) -> None:
    """A restricted bot sends only what it was left."""
    group = chats.groups.get(chat_id)
    if group is not None and group.status(BOT_ID) == "restricted" and permission not in group.rights:
        raise bad(f"not enough rights to send {_KINDS[permission]} to the chat")


def check_right(chats: Chats, chat_id: int, right: str, refusal: str) -> None:
    """In a group only an administrator may, if the group gave it that right; in a private chat everybody."""
    group = chats.groups.get(chat_id)
    if group is not None and not (group.is_admin(BOT_ID) and right in group.rights):
        raise bad(refusal)


def thread_of(chats: Chats, params: Params, chat_id: int, reply_to: int | None) -> int | None:
    """The topic a message goes to. Nothing can name the General one, nor one that is not there or closed."""
    group = chats.groups.get(chat_id)
    wanted = params.integer("message_thread_id", 0) or None
    if group is None:
        if wanted is not None:
            raise bad("message thread not found")
        return None
    try:
        thread = chats.thread_for(group, None if wanted == GENERAL and not group.is_forum else wanted, reply_to)
    except LookupError:
        raise bad("message thread not found") from None
    closed = thread is not None and group.topics[thread].closed
    if closed and not (group.is_admin(BOT_ID) and "can_manage_topics" in group.rights):
        raise bad("TOPIC_CLOSED")
    return thread
