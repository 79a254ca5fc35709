"""What a messenger remembers: users, chats, messages with their buttons, files, commands, waiting updates."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from core.domain.candles import to_ms
from julaba_tg.phone.groups import Group, Topic
from julaba_tg.phone.markup import RichText
from julaba_tg.phone.updates import UpdateQueue, first_id

BOT_ID = 7_000_000_001
OWNER, VIEWER, STRANGER = 1001, 1002, 1003


@dataclass(frozen=True, slots=True)
class User:
    user_id: int
    first_name: str
    username: str
    is_bot: bool = False

    def to_api(self) -> dict[str, Any]:
        return {
            "id": self.user_id,
            "is_bot": self.is_bot,
            "first_name": self.first_name,
            "username": self.username,
            **({} if self.is_bot else {"language_code": "en"}),
        }

    def chat(self) -> dict[str, Any]:
        return {"id": self.user_id, "type": "private", "first_name": self.first_name, "username": self.username}


@dataclass(frozen=True, slots=True)
class Media:
    """A stored file. ``kind`` is photo or document; width and height are 0 for documents."""

    kind: str
    file_id: str
    name: str
    mime: str
    content: bytes
    width: int = 0
    height: int = 0

    @property
    def path(self) -> str:
        return f"{self.kind}s/{self.file_id}/{self.name}"

    def to_api(self) -> dict[str, Any]:
        file = {"file_id": self.file_id, "file_unique_id": f"u{self.file_id}", "file_size": len(self.content)}
        if self.kind == "photo":
            return {"photo": [{**file, "width": self.width, "height": self.height}]}
        return {"document": {**file, "file_name": self.name, "mime_type": self.mime}}


@dataclass(frozen=True, slots=True)
class Button:
    """An inline button; one of the three actions is set. ``style`` is danger, success, primary or empty."""

    text: str
    callback_data: str | None = None
    url: str | None = None
    copy_text: str | None = None
    style: str = ""

    def to_api(self) -> dict[str, Any]:
        given = {"callback_data": self.callback_data, "url": self.url, "style": self.style or None}
        found = {"text": self.text, **{k: v for k, v in given.items() if v is not None}}
        return found if self.copy_text is None else {**found, "copy_text": {"text": self.copy_text}}


Keyboard = tuple[tuple[Button, ...], ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it now is; an edit makes a new value. ``text`` is the caption where there is media.

    ``history`` holds the earlier texts, ``reactions`` an emoji for each user who reacted, ``date`` epoch seconds,
    ``thread_id`` the topic of a forum (None: General, or no forum), ``service`` what a service message says.
    """

    message_id: int
    chat_id: int
    sender: User
    date: int
    content: RichText
    media: Media | None = None
    keyboard: Keyboard = ()
    reply_to: int | None = None
    quote: str = ""
    silent: bool = False
    edited: int | None = None
    pinned: bool = False
    force_reply: bool = False
    effect: str = ""
    history: tuple[str, ...] = ()
    reactions: tuple[tuple[int, str], ...] = ()
    thread_id: int | None = None
    service: tuple[tuple[str, Any], ...] = ()

    @property
    def text(self) -> str:
        return self.content.text

    @property
    def from_bot(self) -> bool:
        return self.sender.is_bot

    @property
    def buttons(self) -> tuple[Button, ...]:
        """All buttons, row after row."""
        return tuple(button for row in self.keyboard for button in row)

    def button(self, text: str) -> Button:
        """The button whose text contains ``text``, whatever the case. Raises LookupError."""
        for button in self.buttons:
            if text.lower() in button.text.lower():
                return button
        raise LookupError(f"no button {text!r} among {[b.text for b in self.buttons]}")

    def reaction_of(self, user_id: int) -> str | None:
        return dict(self.reactions).get(user_id)


@dataclass(slots=True)
class Query:
    """A tapped button; ``answer`` is None until the bot has answered."""

    query_id: str
    user_id: int
    chat_id: int
    message_id: int
    data: str
    born: float  # monotonic seconds: how long a tap may wait does not depend on simulated time
    answer: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Something the page or a waiting test may want to know. ``kind``: message, deleted, action, answer, commands,
    pinned."""

    kind: str
    chat_id: int | None = None
    message: Message | None = None
    detail: dict[str, Any] = field(default_factory=dict)


class Chats:
    """One bot, a few users, a private chat with each, and groups. A private chat's id is its user's id.

    ``started`` are the users who have opened the chat, ``blocked`` those who have blocked the bot.
    """

    def __init__(self, bot: User, users: Iterable[User], now: Callable[[], datetime]) -> None:
        self.bot = bot
        self.users = {user.user_id: user for user in users}
        self.started = set(self.users) - {STRANGER}
        self.blocked: set[int] = set()
        self.updates = UpdateQueue()
        self.queries: dict[str, Query] = {}
        self.files: dict[str, Media] = {}
        self.groups: dict[int, Group] = {}
        self.commands: dict[str, list[dict[str, str]]] = {}
        self.listeners: list[Callable[[Change], None]] = []
        self._messages: dict[int, dict[int, Message]] = {user_id: {} for user_id in self.users}
        self._next_message = first_id()
        self._next_query = 1
        self._next_file = 1
        self._now = now

    def add_user(self, user: User) -> None:
        self.users[user.user_id] = user
        self.started.add(user.user_id)
        self._messages.setdefault(user.user_id, {})

    def add_group(self, group: Group, topics: Iterable[str] = ()) -> Group:
        """Its topics are made by the first member, as service messages tell."""
        self.groups[group.chat_id] = group
        self._messages[group.chat_id] = {}
        maker = self.users[next(iter(group.members))]
        for name in topics:
            made = {"name": name, "icon_color": 0x6FB9F0}
            message = self.add(group.chat_id, maker, RichText(), service=(("forum_topic_created", made),))
            self.change(message, thread_id=message.message_id)
            group.topics[message.message_id] = Topic(message.message_id, name)
        return group

    def chat_ids(self) -> list[int]:
        return list(self._messages)

    def chat(self, chat_id: int) -> dict[str, Any]:
        """A chat as the Bot API writes it."""
        group = self.groups.get(chat_id)
        return group.chat() if group is not None else self.users[chat_id].chat()

    def seconds(self) -> float:
        """Now, in epoch seconds."""
        return to_ms(self._now()) / 1000

    def messages(self, chat_id: int) -> list[Message]:
        return list(self._messages.get(chat_id, {}).values())

    def message(self, chat_id: int, message_id: int) -> Message | None:
        return self._messages.get(chat_id, {}).get(message_id)

    def pinned(self, chat_id: int) -> list[Message]:
        return [message for message in self.messages(chat_id) if message.pinned]

    def notify(self, change: Change) -> None:
        for listener in list(self.listeners):
            listener(change)

    def add(self, chat_id: int, sender: User, content: RichText, **details: Any) -> Message:
        """A new message; ``details`` are fields of Message."""
        message = Message(self._next_message, chat_id, sender, int(self.seconds()), content, **details)
        self._next_message += 1
        return self._store(message)

    def change(self, message: Message, **changes: Any) -> Message:
        """Replaces fields of a message."""
        return self._store(replace(message, **changes))

    def edit(self, message: Message, **changes: Any) -> Message:
        """Replaces fields as an edit that people can see."""
        history = (*message.history, message.text)
        return self.change(message, edited=int(self.seconds()), history=history, **changes)

    def _store(self, message: Message) -> Message:
        self._messages[message.chat_id][message.message_id] = message
        self.notify(Change("message", message.chat_id, message))
        return message

    def delete(self, message: Message) -> None:
        del self._messages[message.chat_id][message.message_id]
        self.notify(Change("deleted", message.chat_id, message))

    def keep_file(self, kind: str, name: str, mime: str, content: bytes, size: tuple[int, int] = (0, 0)) -> Media:
        media = Media(kind, f"file{self._next_file}", name, mime, content, *size)
        self._next_file += 1
        self.files[media.file_id] = media
        return media

    def new_query(self, user_id: int, chat_id: int, message_id: int, data: str) -> Query:
        query = Query(f"{77_000_000 + self._next_query}", user_id, chat_id, message_id, data, time.monotonic())
        self._next_query += 1
        self.queries[query.query_id] = query
        return query

    def api_message(self, message: Message, with_reply: bool = True) -> dict[str, Any]:
        """The message as the Bot API writes it; a reply carries the message it answers, one level deep."""
        out: dict[str, Any] = {
            "message_id": message.message_id,
            "date": message.date,
            "chat": self.chat(message.chat_id),
            "from": message.sender.to_api(),
            **self._thread(message),
        }
        if message.service:
            return {**out, **dict(message.service)}
        if message.edited is not None:
            out["edit_date"] = message.edited
        prefix = "caption" if message.media else "text"
        if message.media:
            out |= message.media.to_api()
        if message.text or not message.media:
            out[prefix] = message.text
        if message.content.entities:
            out[f"{prefix}_entities" if message.media else "entities"] = message.content.api_entities()
        if message.keyboard:
            out["reply_markup"] = {"inline_keyboard": [[b.to_api() for b in row] for row in message.keyboard]}
        if with_reply and (answered := self._answered(message)) is not None:
            out["reply_to_message"] = self.api_message(answered, with_reply=False)
            if message.quote:
                out["quote"] = {"text": message.quote, "position": 0, "is_manual": True}
        return out

    def _answered(self, message: Message) -> Message | None:
        """What a message replies to. Whatever is written in a topic replies at least to the message that made it."""
        if message.reply_to is not None:
            return self.message(message.chat_id, message.reply_to)
        return self.message(message.chat_id, message.thread_id) if message.thread_id else None

    def _thread(self, message: Message) -> dict[str, Any]:
        """In a forum the topic; in other groups the message that a chain of replies began with."""
        group = self.groups.get(message.chat_id)
        if group is None:
            return {}
        if message.thread_id is not None:
            return {"message_thread_id": message.thread_id, "is_topic_message": True}
        root = message
        while root.reply_to is not None and (before := self.message(root.chat_id, root.reply_to)) is not None:
            root = before
        return {} if root is message else {"message_thread_id": root.message_id}

    def thread_for(self, group: Group, wanted: int | None, reply_to: int | None) -> int | None:
        """The topic something new goes to: the one named, or that of what it replies to. Raises LookupError."""
        if wanted is None:
            answered = self.message(group.chat_id, reply_to) if reply_to else None
            return answered.thread_id if answered else None
        if group.is_forum and wanted in group.topics:
            return wanted
        if not group.is_forum and self.message(group.chat_id, wanted) is not None:
            return None  # a chain of replies
        raise LookupError(wanted)

    def commands_for(self, user_id: int, chat_id: int | None = None) -> list[dict[str, str]]:
        """The command menu a user sees in a chat (default: the private one): the most exact scope that is set."""
        group = self.groups.get(chat_id) if chat_id is not None else None
        if group is None:
            scopes = [f"chat:{user_id}", "all_private_chats", "default"]
        else:
            admin = group.is_admin(user_id)
            scopes = [
                f"chat_member:{chat_id}:{user_id}",
                *([f"chat_administrators:{chat_id}"] if admin else []),
                f"chat:{chat_id}",
                *(["all_chat_administrators"] if admin else []),
                "all_group_chats",
                "default",
            ]
        return next((self.commands[scope] for scope in scopes if scope in self.commands), [])
