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
    PollConflict,
    User,
)
from julaba_tg.phone.clock import wall_now
from julaba_tg.phone.faults import Fault, cut, hang, kinds
from julaba_tg.phone.markup import plain
from julaba_tg.phone.methods import METHODS
from julaba_tg.phone.page_routes import Page
from julaba_tg.phone.params import MAX_UPLOAD, ApiError, read_params
from julaba_tg.phone.serving import LocalServer, local_only

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

    def say(self, user_id: int, text: str, reply_to: int | None = None) -> Update:
        """A user writes, perhaps in reply to a message; gives the update. Raises UsageError."""
        user = self._user(user_id)
        content = plain(text)
        if not content.text or content.units > 4096:
            raise UsageError("a message has 1 to 4096 characters")
        if reply_to is not None and self.chats.message(user_id, reply_to) is None:
            raise UsageError(f"there is no message {reply_to} to reply to")
        self.chats.started.add(user_id)
        message = self.chats.add(user_id, user, content, reply_to=reply_to)
        return self.chats.updates.push("message", self.chats.api_message(message))

    def tap(self, user_id: int, message_id: int, callback_data: str | None) -> Update:
        """A user taps a button. A forged ``callback_data`` goes out as it would from a modified client."""
        user = self._user(user_id)
        if callback_data is None or not 1 <= len(callback_data.encode()) <= 64:
            raise UsageError("the button has no callback data")
        query = self.chats.new_query(user_id, message_id, callback_data)
        message = self.chats.message(user_id, message_id)
        shown = (
            self.chats.api_message(message)
            if message
            else {"chat": user.chat(), "message_id": message_id, "date": 0}  # deleted: inaccessible
        )
        return self.chats.updates.push(
            "callback_query",
            {
                "id": query.query_id,
                "from": user.to_api(),
                "message": shown,
                "chat_instance": str(-user_id),
                "data": callback_data,
            },
        )

    def react(self, user_id: int, message_id: int, emoji: str | None) -> Update:
        """A user reacts with one emoji, or withdraws it (None). Raises UsageError."""
        user = self._user(user_id)
        message = self.chats.message(user_id, message_id)
        if message is None:
            raise UsageError(f"there is no message {message_id}")
        before = message.reaction_of(user_id)
        others = tuple(r for r in message.reactions if r[0] != user_id)
        self.chats.change(message, reactions=(*others, (user_id, emoji)) if emoji else others)
        return self.chats.updates.push(
            "message_reaction",
            {
                "chat": user.chat(),
                "message_id": message_id,
                "user": user.to_api(),
                "date": int(self.chats.seconds()),
                "old_reaction": [{"type": "emoji", "emoji": before}] if before else [],
                "new_reaction": [{"type": "emoji", "emoji": emoji}] if emoji else [],
            },
        )

    def block(self, user_id: int, blocked: bool = True) -> None:
        """The user blocks the bot, or lets it in again."""
        (self.chats.blocked.add if blocked else self.chats.blocked.discard)(self._user(user_id).user_id)

    def _user(self, user_id: int) -> User:
        user = self.chats.users.get(user_id)
        if user is None:
            raise UsageError(f"there is no user {user_id}")
        return user

    # What people see.

    def messages(self, chat_id: int = OWNER) -> list[Message]:
        """A chat's messages as they are now, the oldest first."""
        return self.chats.messages(chat_id)

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
            chats = [chat_id] if chat_id is not None else list(self.chats.users)
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
