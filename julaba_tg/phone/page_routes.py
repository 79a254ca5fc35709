"""The page's side of the server: its files, pictures, and one WebSocket that carries everything else as JSON.

To the page: ``hello`` (everything, also after a reconnect), ``message``, ``deleted``, ``action``, ``answer``,
``commands``, ``header``, ``refused``. From it: ``open`` (which user looks), ``say``, ``tap``, ``react``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from core.errors import JulabaError
from julaba_tg.phone.chats import OWNER, Change, Chats, Message
from julaba_tg.phone.markup import tree

_FILES = Path(__file__).parent / "page"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_HISTORY = 400  # messages sent to a page that opens; older ones stay in memory only
_EXCERPT = 90
_FAREWELL = 0.3  # seconds; a page that sleeps does not say goodbye, and the demo's end must not wait for it
_BACKLOG = 2000  # lines a page may be behind

Say = Callable[[int, str, int | None], dict[str, Any]]
Tap = Callable[[int, int, str | None], dict[str, Any]]
React = Callable[[int, int, str | None], dict[str, Any]]


@dataclass(eq=False, slots=True)
class _Viewer:
    """An open page and the user it looks through."""

    socket: web.WebSocketResponse
    user_id: int = OWNER
    waiting: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(_BACKLOG))

    def send(self, text: str) -> None:
        """Queues a line. A page that does not keep up loses its backlog and is told to ask for everything anew."""
        if self.waiting.full():
            while not self.waiting.empty():
                self.waiting.get_nowait()
            text = json.dumps({"type": "behind"})
        self.waiting.put_nowait(text)

    async def write(self) -> None:
        with suppress(ConnectionError):
            while True:
                await self.socket.send_str(await self.waiting.get())


class Page:
    """Routes for the chat page, and the open pages that hear of every change."""

    def __init__(self, chats: Chats, say: Say, tap: Tap, react: React) -> None:
        self._chats = chats
        self._say, self._tap, self._react = say, tap, react
        self._viewers: set[_Viewer] = set()
        self._header: dict[str, Any] = {"text": ""}
        self._pins: dict[int, dict[str, Any] | None] = {}
        chats.listeners.append(self._changed)

    def mount(self, app: web.Application) -> None:
        app.router.add_get("/", self._index)
        app.router.add_get("/page/{name}", self._asset)
        app.router.add_get("/media/{file_id}", self._media)
        app.router.add_get("/socket", self._socket)

    def set_header(self, text: str, details: dict[str, Any]) -> None:
        self._header = {"text": text, **details}
        self._tell(None, {"type": "header", "header": self._header})

    async def close(self, _: web.Application) -> None:
        farewell = b"the phone is switched off"
        await asyncio.gather(*(viewer.socket.close(code=1001, message=farewell) for viewer in list(self._viewers)))

    # Files.

    async def _index(self, _: web.Request) -> web.StreamResponse:
        return _file("index.html")

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        return _file(request.match_info["name"])

    async def _media(self, request: web.Request) -> web.StreamResponse:
        media = self._chats.files.get(request.match_info["file_id"])
        if media is None:
            return web.Response(status=404, headers=_HEADERS)
        inline = media.kind == "photo"  # a document of any kind is only ever saved, never opened by the browser
        headers = {**_HEADERS, "Cache-Control": "private, max-age=3600"}
        headers["Content-Disposition"] = "inline" if inline else f'attachment; filename="{ascii_name(media.name)}"'
        kind = media.mime if inline else "application/octet-stream"
        return web.Response(body=media.content, content_type=kind, headers=headers)

    # The socket.

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(timeout=_FAREWELL, heartbeat=20, max_msg_size=64 * 1024)
        await socket.prepare(request)
        viewer = _Viewer(socket)
        self._viewers.add(viewer)
        writer = asyncio.create_task(viewer.write())
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    self._received(viewer, frame.data)
        finally:
            self._viewers.discard(viewer)
            writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer
        return socket

    def _received(self, viewer: _Viewer, text: str) -> None:
        try:
            order = json.loads(text)
            self._obey(viewer, order)
        except (JulabaError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = str(error) if isinstance(error, JulabaError) else "the page sent something odd"
            self._tell(viewer, {"type": "refused", "text": reason})

    def _obey(self, viewer: _Viewer, order: dict[str, Any]) -> None:
        match order["type"]:
            case "open":
                if (user_id := int(order.get("user", OWNER))) in self._chats.users:
                    viewer.user_id = user_id
                self._tell(viewer, self._hello(viewer.user_id))
            case "say":
                reply_to = order.get("reply_to")
                text = str(order["text"]).encode(errors="replace").decode()
                self._say(viewer.user_id, text, None if reply_to is None else int(reply_to))
            case "tap":
                self._tapped(viewer, int(order["message"]), order.get("row"), order.get("column"))
            case "react":
                emoji = order.get("emoji")
                if emoji not in {"👍", "👎", None}:
                    raise ValueError(emoji)
                self._react(viewer.user_id, int(order["message"]), emoji)
            case other:
                raise ValueError(other)

    def _tapped(self, viewer: _Viewer, message_id: int, row: Any, column: Any) -> None:
        message = self._chats.message(viewer.user_id, message_id)
        if message is None:
            return
        data = message.keyboard[int(row)][int(column)].callback_data if int(row) < len(message.keyboard) else None
        update = self._tap(viewer.user_id, message_id, data)
        query_id = update["callback_query"]["id"]
        self._tell(viewer, {"type": "tapped", "message": message_id, "row": row, "column": column, "query": query_id})

    # What pages hear.

    def _changed(self, change: Change) -> None:
        match change:
            case Change(kind="message", chat_id=chat_id, message=Message() as message):
                self._tell(chat_id, {"type": "message", "message": self._shown(message)})
                self._tell_pinned(message.chat_id)
            case Change(kind="deleted", chat_id=chat_id, message=Message() as message):
                self._tell(chat_id, {"type": "deleted", "id": message.message_id})
                self._tell_pinned(message.chat_id)
            case Change(kind="commands"):
                for viewer in self._viewers:
                    self._tell(viewer, {"type": "commands", "commands": self._chats.commands_for(viewer.user_id)})
            case Change(kind=kind, chat_id=chat_id, detail=detail):
                self._tell(chat_id, {"type": kind, **detail})

    def _hello(self, user_id: int) -> dict[str, Any]:
        return {
            "type": "hello",
            "user": user_id,
            "users": [{"id": u.user_id, "name": u.first_name} for u in self._chats.users.values()],
            "bot": {"name": self._chats.bot.first_name, "username": self._chats.bot.username},
            "commands": self._chats.commands_for(user_id),
            "header": self._header,
            "pinned": self._pinned(user_id),
            "messages": [self._shown(message) for message in self._chats.messages(user_id)[-_HISTORY:]],
        }

    def _tell(self, whom: _Viewer | int | None, news: dict[str, Any]) -> None:
        """Sends to one page, to all pages of a chat, or (None) to all."""
        text = json.dumps(news)
        for viewer in list(self._viewers):
            if whom is None or whom is viewer or whom == viewer.user_id:
                viewer.send(text)

    def _tell_pinned(self, chat_id: int) -> None:
        pinned = self._pinned(chat_id)
        if pinned != self._pins.get(chat_id):
            self._pins[chat_id] = pinned
            self._tell(chat_id, {"type": "pinned", "pinned": pinned})

    def _pinned(self, chat_id: int) -> dict[str, Any] | None:
        pinned = self._chats.pinned(chat_id)
        return {"id": pinned[-1].message_id, "text": excerpt(pinned[-1])} if pinned else None

    def _shown(self, message: Message) -> dict[str, Any]:
        bot_id = self._chats.bot.user_id
        shown: dict[str, Any] = {
            "id": message.message_id,
            "bot": message.from_bot,
            "name": message.sender.first_name,
            "date": message.date,
            "edited": message.edited,
            "nodes": tree(message.content),
            "silent": message.silent,
            "pinned": message.pinned,
            "keyboard": [[button.to_api() for button in row] for row in message.keyboard],
            "reactions": [{"emoji": emoji, "bot": user == bot_id} for user, emoji in message.reactions],
            "force_reply": message.force_reply,
        }
        if message.service:
            shown["service"] = told(message)
        if message.media is not None:
            media = message.media
            shown["media"] = {
                "kind": media.kind,
                "url": f"/media/{media.file_id}",
                "name": media.name,
                "size": len(media.content),
                "width": media.width,
                "height": media.height,
            }
        if message.reply_to is not None:
            answered = self._chats.message(message.chat_id, message.reply_to)
            shown["reply"] = {
                "id": message.reply_to,
                "name": answered.sender.first_name if answered else "",
                "text": message.quote or (excerpt(answered) if answered else "deleted message"),
            }
        return shown


def told(message: Message) -> str:
    """What a service message says, as a line between the messages."""
    match dict(message.service):
        case {"pinned_message": {"text": str(words)}} | {"pinned_message": {"caption": str(words)}}:
            return f"{message.sender.first_name} pinned “{_shortened(words.splitlines()[0])}”"
        case {"forum_topic_created": {"name": str(name)}}:
            return f"{message.sender.first_name} made the topic “{name}”"
        case _:
            return f"{message.sender.first_name} pinned a message"


def excerpt(message: Message) -> str:
    """A message's first words, for a reply's bar and the pinned bar."""
    first = _shortened(" ".join(message.text.split()))
    return first or {"photo": "Photo", "document": message.media.name if message.media else ""}.get(
        message.media.kind if message.media else "", "Message"
    )


def _shortened(words: str) -> str:
    return words[: _EXCERPT - 1] + "…" if len(words) > _EXCERPT else words


def ascii_name(name: str) -> str:
    return name.encode("ascii", errors="replace").decode().replace("?", "_").replace('"', "_")


def _file(name: str) -> web.StreamResponse:
    path = _FILES / name
    if path.parent != _FILES or path.suffix not in _TYPES or not path.is_file():
        return web.Response(status=404, headers=_HEADERS)
    return web.Response(body=path.read_bytes(), content_type=_TYPES[path.suffix], charset="utf-8", headers=_HEADERS)
