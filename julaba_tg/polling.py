"""Hearing: getUpdates with a watchdog. "Running" proves nothing, only the time of the last answer does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

from telegram import Update
from telegram.error import InvalidToken, TelegramError
from telegram.ext import ExtBot, Updater
from telegram.request import BaseRequest, HTTPXRequest, RequestData

from julaba_tg.troubles import Troubles

log = logging.getLogger(__name__)

ALLOWED_UPDATES = [Update.MESSAGE, Update.CALLBACK_QUERY, Update.MESSAGE_REACTION]
LONGEST_PAUSE = 30.0
LATE_AFTER = 120.0  # seconds of deafness: what a button pressed meanwhile asks for may no longer be wanted
MOST_UPDATES = 100  # in one answer
MOST_NUMBER = 2**63 - 1  # that SQLite can hold


class _SaidBefore(logging.Filter):
    """Drops the library's own traceback for each failed poll: ``Troubles`` names the fault once."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(("Network Retry Loop", "Error while calling `get_updates` one more"))


_SAID_BEFORE = _SaidBefore()


def quiet_the_library() -> None:
    """May be called often: a filter is kept once."""
    for name in ("telegram.ext", "telegram.ext.Updater"):
        logging.getLogger(name).addFilter(_SAID_BEFORE)


class PollRequest(HTTPXRequest):
    """The connection for getUpdates; notes when it was last answered, what came late, and a refused token."""

    def __init__(self, answered: Callable[[], None], **settings: Any) -> None:
        super().__init__(**settings)
        self._answered = answered
        self._monotonic = asyncio.get_running_loop().time
        self._last_ok = self._monotonic()
        self._begun = self._last_ok
        self._late: tuple[int, bool] = (-1, False)  # up to which update, and whether more of them are to come
        self._absent = 0.0
        self.refused = False

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: Any = BaseRequest.DEFAULT_NONE,
        write_timeout: Any = BaseRequest.DEFAULT_NONE,
        connect_timeout: Any = BaseRequest.DEFAULT_NONE,
        pool_timeout: Any = BaseRequest.DEFAULT_NONE,
    ) -> tuple[int, bytes]:
        status, body = await super().do_request(
            url, method, request_data, read_timeout, write_timeout, connect_timeout, pool_timeout
        )
        self.refused = status in {401, 404}
        if status == 200:
            body = readable(body)
            self._note_late(update_ids(body))
            self._last_ok, self._absent = self._monotonic(), 0.0
            self._answered()
        return status, body

    def begin(self) -> None:
        """A new listener starts with a clean slate."""
        self._begun, self.refused = self._monotonic(), False

    def silent_for(self) -> float:
        """Seconds since Telegram last answered a getUpdates, or since this was built."""
        return self._monotonic() - self._last_ok

    def unanswered(self) -> float:
        """Seconds this listener has waited: one that has just begun is given its time."""
        return self._monotonic() - max(self._last_ok, self._begun)

    def was_absent(self, seconds: float) -> None:
        """Nobody has listened for so long before this began; what an earlier run had kept is as old."""
        self._absent = seconds
        if seconds >= LATE_AFTER:
            self._late = (sys.maxsize, False)

    def late(self, update_id: int) -> bool:
        """Whether an update had been waiting while nobody listened for ``LATE_AFTER`` seconds or more."""
        return update_id <= self._late[0]

    def _note_late(self, ids: list[int]) -> None:
        """Updates are numbered as they come: whatever is older than a late one is late too."""
        latest, more = self._late
        if ids and (more or self.silent_for() + self._absent >= LATE_AFTER):
            self._late = (max(ids), len(ids) >= MOST_UPDATES)
        else:
            self._late = (min(latest, min(ids) - 1) if ids else latest, False)


def update_ids(body: bytes) -> list[int]:
    """The numbers of the updates in a readable answer to getUpdates."""
    try:
        updates = json.loads(body)["result"]
        return [u["update_id"] for u in updates]
    except (ValueError, KeyError, TypeError):
        return []


def readable(body: bytes) -> bytes:
    """The answer to getUpdates without what the library cannot read.

    It would not confirm a batch it stumbles over, and so ask for the same one for ever, deaf to all that follows.
    """
    try:
        answer = json.loads(body)
    except ValueError:
        return body
    updates = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(updates, list) or all(_parses(u) for u in updates):
        return body
    numbered = [u for u in updates if isinstance(u, dict) and type(u.get("update_id")) is int]
    log.warning("an update that cannot be read is skipped")
    kept = [u if _parses(u) else {"update_id": u["update_id"]} for u in numbered]
    return json.dumps({**answer, "result": kept}).encode()


def _parses(update: object) -> bool:
    """Whether the library can read it and the store could keep it: half a surrogate is no text to SQLite."""
    if not isinstance(update, dict) or type(update.get("update_id")) is not int:
        return False
    try:
        read = Update.de_json(update)
        json.dumps(update, ensure_ascii=False).encode()
    except Exception:  # whatever the library stumbles over
        return False
    named = (read, read.effective_user, read.effective_chat, read.effective_message)
    numbers = [getattr(thing, name, 0) for thing in named for name in ("update_id", "id", "message_id")]
    return all(abs(number) <= MOST_NUMBER for number in numbers if isinstance(number, int))


class Listener:
    """Keeps polling alive: starts it, watches it, and builds it anew when it has gone deaf."""

    def __init__(
        self,
        bot: ExtBot[None],
        request: PollRequest,
        queue: asyncio.Queue[object],
        troubles: Troubles,
        *,
        poll_timeout: int,
        stale_after: float,
        look_every: float = 1.0,
    ) -> None:
        self._bot = bot
        self._request = request
        self._queue = queue
        self._troubles = troubles
        self._poll_timeout = poll_timeout
        self._stale_after = stale_after
        self._look_every = look_every
        self._updater: Updater | None = None
        self.restarts = 0
        quiet_the_library()

    async def run(self) -> None:
        """For ever; cancel it, then ``stop``."""
        while True:
            await retried(self._start, self._troubles)
            await self._until_deaf()
            await self.stop()
            await self._fresh_connection()
            self.restarts += 1

    async def stop(self) -> None:
        """Ends polling. A dead poller raises its old fault here, which was named before."""
        updater, self._updater = self._updater, None
        if updater is not None and updater.running:
            with contextlib.suppress(TelegramError, TimeoutError):
                async with asyncio.timeout(10):
                    await updater.stop()

    async def _start(self) -> None:
        # A new updater each time: one whose polling died keeps its stop signal set and would spin.
        self._updater = Updater(self._bot, self._queue)
        await self._updater.initialize()
        self._request.begin()
        await self._updater.start_polling(
            timeout=self._poll_timeout, allowed_updates=ALLOWED_UPDATES, error_callback=self._on_error
        )

    def _on_error(self, error: TelegramError) -> None:
        self._troubles.name(error)

    async def _until_deaf(self) -> None:
        while True:
            await asyncio.sleep(self._look_every)
            if self._request.refused:
                self._troubles.name(InvalidToken())
                await asyncio.sleep(LONGEST_PAUSE)
                return
            if self._request.unanswered() > self._stale_after:
                log.warning("no answer to getUpdates for %.0f s; polling is built anew", self._request.silent_for())
                return

    async def _fresh_connection(self) -> None:
        """A wedged connection pool would keep the new poller as deaf as the old one."""
        await self._request.shutdown()
        await self._request.initialize()


async def retried(action: Callable[[], Any], troubles: Troubles) -> None:
    """Does it until Telegram lets it succeed, with growing pauses."""
    pause = 1.0
    while True:
        try:
            await action()
            return
        except TelegramError as error:
            troubles.name(error)
            await asyncio.sleep(LONGEST_PAUSE if isinstance(error, InvalidToken) else pause)
            pause = min(LONGEST_PAUSE, pause * 1.5)
