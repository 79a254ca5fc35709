"""What a messenger remembers: users, private chats, messages with their buttons, files, commands, waiting updates."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from core.domain.candles import to_ms
from julaba_tg.phone.clock import wall_now
from julaba_tg.phone.markup import RichText

BOT_ID = 7_000_000_001
OWNER, VIEWER, STRANGER = 1001, 1002, 1003
_OFF_BY_DEFAULT = {"message_reaction", "message_reaction_count", "chat_member"}


class PollConflict(Exception):  # noqa: N818 - the server's own word
    """Another getUpdates has taken over."""


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

    ``history`` holds the earlier texts, ``reactions`` an emoji for each user who reacted, ``date`` epoch seconds.
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


def first_id() -> int:
    """Where ids begin: four for each second since 2025, so that a later phone begins above what an earlier one gave.

    A bot that kept its data would else take a new phone's updates for ones it has dealt with. Always below 2**31.
    """
    return int(4 * (wall_now().timestamp() - 1_735_689_600)) % 2_000_000_000 + 1


class UpdateQueue:
    """Updates for the bot: kept until the bot confirms them with a higher offset, one poller at a time."""

    def __init__(self) -> None:
        self._waiting: list[dict[str, Any]] = []
        self._next = first_id()
        self._allowed: frozenset[str] | None = None
        self._wake = asyncio.Event()
        self._poller: object | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """Queues an update and gives it; one of a kind the bot has not asked for reaches nobody."""
        update = {"update_id": self._next, kind: content}
        self._next += 1
        wanted = kind not in _OFF_BY_DEFAULT if self._allowed is None else kind in self._allowed
        if wanted:
            self._waiting.append(update)
            self._rouse()
        return update

    def allow(self, kinds: Iterable[str]) -> None:
        """Sets ``allowed_updates``, which is kept until changed; none means the default kinds."""
        self._allowed = frozenset(kinds) or None

    def drop(self) -> None:
        self._waiting.clear()

    async def poll(self, offset: int, limit: int, seconds: float) -> list[dict[str, Any]]:
        """Confirms what lies below ``offset``, then waits for updates. Raises PollConflict when another one polls."""
        ticket = self._poller = object()
        self._rouse()
        self._confirm(offset)
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(deadline):
                while not self._waiting:
                    await self._wake.wait()
                    if self._poller is not ticket:
                        raise PollConflict
        except TimeoutError:
            pass
        finally:
            if self._poller is ticket:
                self._poller = None
        return self._waiting[:limit]

    def _confirm(self, offset: int) -> None:
        if offset > 0:
            self._waiting = [u for u in self._waiting if u["update_id"] >= offset]
        elif offset < 0:
            self._waiting = self._waiting[offset:]

    def _rouse(self) -> None:
        wake, self._wake = self._wake, asyncio.Event()
        wake.set()


class Chats:
    """One bot, a few users, a private chat with each. A chat's id is its user's id.

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
        self.commands: dict[str, list[dict[str, str]]] = {}
        self.listeners: list[Callable[[Change], None]] = []
        self._messages: dict[int, dict[int, Message]] = {user_id: {} for user_id in self.users}
        self._next_message = first_id()
        self._next_query = 1
        self._next_file = 1
        self._now = now

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

    def new_query(self, user_id: int, message_id: int, data: str) -> Query:
        query = Query(f"{77_000_000 + self._next_query}", user_id, user_id, message_id, data, time.monotonic())
        self._next_query += 1
        self.queries[query.query_id] = query
        return query

    def api_message(self, message: Message, with_reply: bool = True) -> dict[str, Any]:
        """The message as the Bot API writes it; a reply carries the message it answers, one level deep."""
        out: dict[str, Any] = {
            "message_id": message.message_id,
            "date": message.date,
            "chat": self.users[message.chat_id].chat(),
            "from": message.sender.to_api(),
        }
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
        if with_reply and message.reply_to is not None:
            answered = self.message(message.chat_id, message.reply_to)
            if answered is not None:
                out["reply_to_message"] = self.api_message(answered, with_reply=False)
                if message.quote:
                    out["quote"] = {"text": message.quote, "position": 0, "is_manual": True}
        return out

    def commands_for(self, user_id: int) -> list[dict[str, str]]:
        """The command menu a user sees: the most exact scope that has been set."""
        for scope in (f"chat_member:{user_id}:{user_id}", f"chat:{user_id}", "all_private_chats", "default"):
            if scope in self.commands:
                return self.commands[scope]
        return []
