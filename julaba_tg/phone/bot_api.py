"""The phone: Telegram's Bot API over HTTP on one side, people who write, tap and react on the other."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from aiohttp import web

from core.errors import UsageError
from julaba_tg.phone.chats import (
    BOT_ID,
    OWNER,
    STRANGER,
    VIEWER,
    Change,
    Chats,
    Message,
    User,
)
from julaba_tg.phone.clock import wall_now
from julaba_tg.phone.faults import Fault, cut, hang, kinds
from julaba_tg.phone.groups import Group
from julaba_tg.phone.markup import plain
from julaba_tg.phone.methods import METHODS
from julaba_tg.phone.page_routes import Page
from julaba_tg.phone.params import MAX_UPLOAD, ApiError, read_params
from julaba_tg.phone.serving import LocalServer, local_only
from julaba_tg.phone.updates import PollConflict

Update = dict[str, Any]

BOT = User(BOT_ID, "Julaba", "julaba_demo_bot", is_bot=True)
USERS = (User(OWNER, "You", "owner"), User(VIEWER, "Viewer", "viewer"), User(STRANGER, "Stranger", "stranger"))
_CONFLICT = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"


class WaitedInVainError(TimeoutError):
    """What was waited for did not come; the message ends with what did."""


class Phone(LocalServer):
    """A messenger for one bot, for ``julaba demo`` and as a stand-in with a script in tests::

        phone = Phone()
        await phone.start()            # phone.base_url, phone.token go to the bot
        phone.say(1001, "/status")
        card = await phone.wait_for(lambda m: "equity" in m.text)
        phone.tap(1001, card.message_id, card.button("Pause").callback_data)

    ``now`` dates the messages (default: the computer's clock).
    """

    def __init__(
        self,
        token: str | None = None,
        users: Iterable[User] = USERS,
        now: Callable[[], datetime] = wall_now,
    ) -> None:
        super().__init__(kinds())
        self.token = token or f"{BOT_ID}:{secrets.token_urlsafe(26)}"
        self.chats = Chats(BOT, users, now)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._page = Page(self.chats, self.say, self.tap, self.react)

    # The server.

    def _build(self) -> web.Application:
        app = web.Application(middlewares=[local_only], client_max_size=MAX_UPLOAD + 65_536)
        app.router.add_route("*", "/bot{token}/{method}", self._call)
        app.router.add_get("/file/bot{token}/{path:.+}", self._download)
        self._page.mount(app)
        app.on_shutdown.append(self._page.close)
        return app

    def set_header(self, text: str, **details: Any) -> None:
        """What the page shows at its top, such as the simulated time; ``details`` go to the page as they are."""
        self._page.set_header(text, details)

    # What people do.

    def say(
        self,
        user_id: int,
        text: str,
        reply_to: int | None = None,
        *,
        chat_id: int | None = None,
        thread_id: int | None = None,
    ) -> Update:
        """A user writes, perhaps in reply to a message; gives the update. Raises UsageError.

        ``chat_id`` is a group (default: the private chat), ``thread_id`` one of its topics.
        """
        user, chat = self._user(user_id), self._chat(user_id, chat_id)
        content = plain(text)
        if not content.text or content.units > 4096:
            raise UsageError("a message has 1 to 4096 characters")
        if reply_to is not None and self.chats.message(chat, reply_to) is None:
            raise UsageError(f"there is no message {reply_to} to reply to")
        self.chats.started.add(user_id)
        thread = self._thread(chat, thread_id, reply_to)
        message = self.chats.add(chat, user, content, reply_to=reply_to, thread_id=thread)
        update = self.chats.api_message(message)
        return self.chats.updates.push("message", update, heard=self._heard(message))

    def tap(self, user_id: int, message_id: int, callback_data: str | None, *, chat_id: int | None = None) -> Update:
        """A user taps a button. A forged ``callback_data`` goes out as it would from a modified client."""
        user, chat = self._user(user_id), self._chat(user_id, chat_id)
        if callback_data is None or not 1 <= len(callback_data.encode()) <= 64:
            raise UsageError("the button has no callback data")
        query = self.chats.new_query(user_id, chat, message_id, callback_data)
        message = self.chats.message(chat, message_id)
        shown = (
            self.chats.api_message(message)
            if message
            else {"chat": self.chats.chat(chat), "message_id": message_id, "date": 0}  # deleted: inaccessible
        )
        return self.chats.updates.push(
            "callback_query",
            {
                "id": query.query_id,
                "from": user.to_api(),
                "message": shown,
                "chat_instance": str(-chat),
                "data": callback_data,
            },
        )

    def react(self, user_id: int, message_id: int, emoji: str | None, *, chat_id: int | None = None) -> Update:
        """A user reacts with one emoji, or withdraws it (None). Raises UsageError.

        In a group it reaches the bot only as an administrator.
        """
        user, chat = self._user(user_id), self._chat(user_id, chat_id)
        message = self.chats.message(chat, message_id)
        if message is None:
            raise UsageError(f"there is no message {message_id}")
        before = message.reaction_of(user_id)
        others = tuple(r for r in message.reactions if r[0] != user_id)
        self.chats.change(message, reactions=(*others, (user_id, emoji)) if emoji else others)
        group = self.chats.groups.get(chat)
        return self.chats.updates.push(
            "message_reaction",
            {
                "chat": self.chats.chat(chat),
                "message_id": message_id,
                "user": user.to_api(),
                "date": int(self.chats.seconds()),
                "old_reaction": [{"type": "emoji", "emoji": before}] if before else [],
                "new_reaction": [{"type": "emoji", "emoji": emoji}] if emoji else [],
            },
            heard=group is None or group.is_admin(BOT_ID),
        )

    def add_user(self, user_id: int, name: str) -> User:
        """One more person, who has opened the private chat."""
        user = User(user_id, name, name.lower())
        self.chats.add_user(user)
        return user

    def add_group(
        self,
        title: str,
        members: Iterable[int] = (OWNER, VIEWER),
        *,
        topics: Iterable[str] = (),
        bot: str = "member",
        rights: Iterable[str] = (),
        chat_id: int | None = None,
    ) -> Group:
        """A supergroup with these people and the bot in it, made by the first; with ``topics`` it is a forum.

        ``bot`` is the bot's status (member, administrator, restricted, left, kicked) with its ``rights``.
        """
        names = tuple(topics)
        number = -1_000_000_000_001 - len(self.chats.groups) if chat_id is None else chat_id
        first, *others = members
        statuses = {first: "creator", **dict.fromkeys(others, "member"), BOT_ID: bot}
        group = Group(number, title, statuses, is_forum=bool(names), rights=frozenset(rights))
        return self.chats.add_group(group, names)

    def block(self, user_id: int, blocked: bool = True) -> None:
        """The user blocks the bot, or lets it in again."""
        (self.chats.blocked.add if blocked else self.chats.blocked.discard)(self._user(user_id).user_id)

    def _user(self, user_id: int) -> User:
        user = self.chats.users.get(user_id)
        if user is None:
            raise UsageError(f"there is no user {user_id}")
        return user

    def _chat(self, user_id: int, chat_id: int | None) -> int:
        """Where a user acts: the private chat, or a group they are in. Raises UsageError."""
        if chat_id is None or chat_id == user_id:
            return user_id
        group = self.chats.groups.get(chat_id)
        if group is None or not group.has(user_id):
            raise UsageError(f"user {user_id} is in no chat {chat_id}")
        return chat_id

    def _thread(self, chat_id: int, thread_id: int | None, reply_to: int | None) -> int | None:
        group = self.chats.groups.get(chat_id)
        try:
            return self.chats.thread_for(group, thread_id, reply_to) if group is not None else None
        except LookupError:
            raise UsageError(f"there is no topic {thread_id}") from None

    def _heard(self, message: Message) -> bool:
        """Privacy mode: in a group a bot that is no administrator hears only commands, replies to it and its name."""
        group = self.chats.groups.get(message.chat_id)
        if group is None or group.is_admin(BOT_ID):
            return True
        answered = self.chats.message(message.chat_id, message.reply_to) if message.reply_to else None
        to_it = answered is not None and answered.from_bot
        named = f"@{BOT.username}" in message.text
        first = next((e for e in message.content.entities if e.type == "bot_command" and e.offset == 0), None)
        command = message.text[: first.length] if first is not None else ""
        meant = bool(command) and ("@" not in command or command.endswith(f"@{BOT.username}"))
        return group.has(BOT_ID) and (to_it or named or meant)

    # What people see.

    def messages(self, chat_id: int = OWNER) -> list[Message]:
        """A chat's messages as they are now, the oldest first, without the service messages."""
        return [message for message in self.chats.messages(chat_id) if not message.service]

    def answer(self, update: Update) -> dict[str, Any] | None:
        """The bot's answer to a tap, ``{"text", "show_alert"}``; None while there is none."""
        query = self.chats.queries.get(str(update.get("callback_query", {}).get("id")))
        return query.answer if query else None

    async def wait_for(
        self,
        predicate: Callable[[Message], bool],
        timeout: float = 5.0,
        *,
        chat_id: int | None = None,
        after: int = 0,
    ) -> Message:
        """The newest message of the bot that satisfies ``predicate``, now or after a change.

        ``after`` leaves out message ids up to it. Raises WaitedInVainError (a TimeoutError) with the last messages.
        """

        def found() -> Message | None:
            chats = [chat_id] if chat_id is not None else self.chats.chat_ids()
            known = [m for chat in chats for m in self.messages(chat) if m.from_bot and m.message_id > after]
            return next((m for m in sorted(known, key=lambda m: -m.message_id) if predicate(m)), None)

        message: Message | None = await self._until(found, timeout)
        assert message is not None
        return message

    async def wait_answer(self, update: Update, timeout: float = 5.0) -> dict[str, Any]:
        """The bot's answer to a tap. Raises WaitedInVainError."""
        answer: dict[str, Any] | None = await self._until(lambda: self.answer(update), timeout)
        assert answer is not None
        return answer

    async def _until(self, found: Callable[[], Any], timeout: float) -> Any:
        changed = asyncio.Event()

        def listener(_: Change) -> None:
            changed.set()

        self.chats.listeners.append(listener)
        try:
            async with asyncio.timeout(timeout):
                while not (value := found()):
                    changed.clear()
                    await changed.wait()
                return value
        except TimeoutError:
            raise WaitedInVainError(f"not within {timeout} s; the last messages:\n{self.transcript()}") from None
        finally:
            self.chats.listeners.remove(listener)

    def transcript(self, chat_id: int = OWNER, count: int = 12) -> str:
        """The last messages as text, for a person who looks for a fault."""
        lines = []
        for message in self.messages(chat_id)[-count:]:
            buttons = "".join(f" [{button.text}]" for button in message.buttons)
            picture = f"<{message.media.kind}> " if message.media else ""
            lines.append(f"{message.message_id} {message.sender.first_name}: {picture}{message.text}{buttons}")
        return "\n".join(lines) or "(none)"

    # What the bot does.

    async def _call(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"].lower()
        fault = self.faults.take(method)
        if fault is not None and fault.kind == "down":
            return cut(request)
        try:
            if fault is not None and fault.kind != "drop":
                await _trouble(fault)
            result = await self._result(request, method)
        except ApiError as error:
            return web.json_response(error.body(), status=error.code)
        if fault is not None and fault.kind == "drop":
            return cut(request)
        return web.json_response({"ok": True, "result": result})

    async def _result(self, request: web.Request, method: str) -> Any:
        self._check_token(request)
        params = await read_params(request)
        if method == "getupdates":
            return await self._get_updates(params.structure("allowed_updates"), params)
        known = METHODS.get(method)
        if known is None:
            raise ApiError(404, "Not Found: method not found")
        self.calls.append((method, dict(params.values)))
        return known(self.chats, params)

    def _check_token(self, request: web.Request) -> None:
        if not secrets.compare_digest(request.match_info["token"].encode(), self.token.encode()):
            raise ApiError(401, "Unauthorized")

    async def _get_updates(self, allowed: Any, params: Any) -> list[dict[str, Any]]:
        if isinstance(allowed, list):
            self.chats.updates.allow(str(kind) for kind in allowed)
        limit = min(100, max(1, params.integer("limit", 100)))
        seconds = min(50, max(0, params.integer("timeout", 0)))
        try:
            return await self.chats.updates.poll(params.integer("offset", 0), limit, seconds)
        except PollConflict:
            raise ApiError(409, _CONFLICT) from None

    async def _download(self, request: web.Request) -> web.StreamResponse:
        try:
            self._check_token(request)
        except ApiError as error:
            return web.json_response(error.body(), status=error.code)
        for media in self.chats.files.values():
            if media.path == request.match_info["path"]:
                return web.Response(body=media.content, content_type="application/octet-stream")
        return web.json_response(ApiError(404, "Not Found").body(), status=404)


async def _trouble(fault: Fault) -> None:
    if fault.kind == "hang":
        await hang(fault)
    elif fault.kind == "rate_limit":
        wait = max(1, round(fault.retry_after))
        raise ApiError(429, f"Too Many Requests: retry after {wait}", retry_after=wait)
    else:
        raise ApiError(fault.status, "Internal Server Error" if fault.status >= 500 else "Forbidden")
