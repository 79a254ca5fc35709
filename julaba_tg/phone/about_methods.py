"""The Bot API's methods about the bot, a chat, its members, a file, and the command menus."""

from __future__ import annotations

import re
from typing import Any

from julaba_tg.phone.chats import BOT_ID, Change, Chats
from julaba_tg.phone.params import Params, bad
from julaba_tg.phone.targets import chat_of, group_named, user_named

_COMMAND_NAME = re.compile(r"^[a-z0-9_]{1,32}$")


def get_me(chats: Chats, params: Params) -> Any:
    abilities = ("can_read_all_group_messages", "supports_inline_queries", "can_connect_to_business")
    more = {"can_join_groups": True, "has_main_web_app": False}
    return {**chats.bot.to_api(), **dict.fromkeys(abilities, False), **more}


def get_chat(chats: Chats, params: Params) -> Any:
    text = params.text("chat_id").strip()
    user, group = user_named(chats, text), group_named(chats, text)
    if group is None and (user is None or user.user_id not in chats.started):
        raise bad("chat not found")
    chat_id = group.chat_id if group is not None else user.user_id if user is not None else 0
    gifts = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")
    found = {
        **chats.chat(chat_id),
        "accent_color_id": 0,
        "max_reaction_count": 11,
        "accepted_gift_types": dict.fromkeys(gifts, False),
    }
    pinned = chats.pinned(chat_id)
    return {**found, "pinned_message": chats.api_message(pinned[-1])} if pinned else found


def get_chat_member(chats: Chats, params: Params) -> Any:
    chat_id = chat_of(chats, params)
    user_id = params.integer("user_id")
    user = chats.bot if user_id == BOT_ID else chats.users.get(user_id)
    if user is None:
        raise bad("member not found")
    group = chats.groups.get(chat_id)
    if group is not None:
        return group.member(user.to_api(), user_id == BOT_ID)
    if user_id not in {chat_id, BOT_ID}:
        raise bad("member not found")
    return {"status": "member", "user": user.to_api()}


def get_chat_administrators(chats: Chats, params: Params) -> Any:
    group = chats.groups.get(chat_of(chats, params))
    if group is None:
        raise bad("there are no administrators in the private chat")
    users = [chats.bot if user_id == BOT_ID else chats.users[user_id] for user_id in group.members]
    return [group.member(u.to_api(), u.user_id == BOT_ID) for u in users if group.is_admin(u.user_id)]


def leave_chat(chats: Chats, params: Params) -> Any:
    group = chats.groups.get(chat_of(chats, params))
    if group is None:
        raise bad("chat member status can't be changed in private chats")
    group.members[BOT_ID] = "left"
    return True


def get_file(chats: Chats, params: Params) -> Any:
    media = chats.files.get(params.text("file_id"))
    if media is None:
        raise bad("invalid file_id")
    if len(media.content) > 20 * 1024 * 1024:
        raise bad("file is too big")
    return {
        "file_id": media.file_id,
        "file_unique_id": f"u{media.file_id}",
        "file_size": len(media.content),
        "file_path": media.path,
    }


def _scope(chats: Chats, params: Params) -> str:
    """One of the seven scopes, with its chat and user; a chat that is not there has no menu."""
    scope = params.mapping("scope")
    named = {key: str(scope[key]).strip() for key in ("chat_id", "user_id") if scope.get(key) is not None}
    if (chat := named.get("chat_id")) is not None:
        user, group = user_named(chats, chat), group_named(chats, chat)
        if group is None and (user is None or user.user_id not in chats.started):
            raise bad("chat not found")
    return ":".join([str(scope.get("type") or "default"), *named.values()])


def set_my_commands(chats: Chats, params: Params) -> Any:
    wanted = params.structure("commands")
    if not isinstance(wanted, list) or len(wanted) > 100:
        raise bad("BOT_COMMANDS_TOO_MUCH")
    found = []
    for item in wanted:
        name, words = (str(item.get(key) or "") for key in ("command", "description"))
        name = name.removeprefix("/")
        if not _COMMAND_NAME.match(name):
            raise bad("BOT_COMMAND_INVALID")
        if not 1 <= len(words) <= 256:
            raise bad("BOT_COMMAND_DESCRIPTION_INVALID")
        found.append({"command": name, "description": words})
    chats.commands[_scope(chats, params)] = found
    chats.notify(Change("commands"))
    return True


def delete_my_commands(chats: Chats, params: Params) -> Any:
    chats.commands.pop(_scope(chats, params), None)
    chats.notify(Change("commands"))
    return True


def get_my_commands(chats: Chats, params: Params) -> Any:
    return chats.commands.get(_scope(chats, params), [])


def delete_webhook(chats: Chats, params: Params) -> Any:
    if params.flag("drop_pending_updates"):
        chats.updates.drop()
    return True


def get_webhook_info(chats: Chats, params: Params) -> Any:
    return {"url": "", "has_custom_certificate": False, "pending_update_count": len(chats.updates)}


METHODS = (
    delete_my_commands,
    delete_webhook,
    get_chat,
    get_chat_administrators,
    get_chat_member,
    get_file,
    get_me,
    get_my_commands,
    get_webhook_info,
    leave_chat,
    set_my_commands,
)
