"""Engine and bot side by side in one event loop: started together, stopped together, neither waiting for the other."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from logging.handlers import RotatingFileHandler
from pathlib import Path

from core import bootstrap
from core.config import Settings
from core.log_lines import LogLines
from core.secrets import Secrets
from core.services.engine import Engine
from core.services.views import Progress
from julaba_tg.app import Bot

log = logging.getLogger(__name__)

READY_PATIENCE = 15.0  # seconds; an exchange that is down must not keep the chat from being announced
ANSWER_PATIENCE = 3.0  # seconds for answers under way before all begins again; what is cut off is taken up there
LOG_BYTES, LOG_FILES = 2_000_000, 5


class Stop:
    """Ctrl-C and SIGTERM as something to wait for. ``code`` is what the process ends with."""

    def __init__(self) -> None:
        self.code = 0
        self._event = asyncio.Event()

    def listen(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._heard, 130)
        loop.add_signal_handler(signal.SIGTERM, self._heard, 0)

    def _heard(self, code: int) -> None:
        self.code = code
        self._event.set()

    def end(self) -> None:
        """As SIGTERM does."""
        self._heard(0)

    async def wait(self) -> None:
        await self._event.wait()


class LogFile(RotatingFileHandler):
    """A file that cannot be written (a full disk) costs its lines; stderr has the warnings and needs no more."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def log_to_file(data_dir: Path) -> None:
    """Adds a rotating log below the data directory; warnings still go to stderr."""
    folder = data_dir / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    handler = LogFile(folder / "julaba.log", maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8")
    handler.setFormatter(LogLines())
    handler.setLevel(logging.INFO)
    root = logging.getLogger()
    for existing in root.handlers:
        if existing.level == logging.NOTSET:
            existing.setLevel(root.level)
    root.addHandler(handler)
    root.setLevel(logging.INFO)


async def _nothing(engine: Engine) -> None:
    await asyncio.Event().wait()


async def run_julaba(
    settings: Settings,
    secrets: Secrets,
    token: str,
    data_dir: Path,
    stop: Stop,
    ready: Callable[[], Awaitable[None]],
    *,
    beside: Callable[[Engine], Coroutine[None, None, None]] = _nothing,
    progress: Progress = lambda text, done: None,
    gemini_note: str = "",
) -> None:
    """Runs until ``stop``. Raises what ended the engine, if anything did; ``ready`` is awaited once both are up.

    ``beside`` runs from then until the end, and is cancelled there; what it raises ends the run too. Where the engine
    asks to begin again, both are closed and opened anew in this process, as if it had been started: what had not been
    dealt with is taken up there.
    """

    async def live() -> None:
        began, again = ready, False
        while await _work(
            bootstrap.engine(settings, secrets, data_dir, progress=progress, gemini_note=gemini_note),
            token,
            began,
            beside,
            again,
        ):
            log.info("beginning again")
            began, again = _no_news, True

    working = asyncio.create_task(live())
    stopping = asyncio.create_task(stop.wait())
    # Also what comes before the engine is there is ended by a stop: waiting for the exchange's clock may take long.
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    working.cancel()
    try:
        await working
    except asyncio.CancelledError:
        log.info("stopped")


async def _no_news() -> None:
    """Whoever started this process has heard that it is up."""


async def _work(
    opening: AbstractAsyncContextManager[Engine],
    token: str,
    ready: Callable[[], Awaitable[None]],
    beside: Callable[[Engine], Coroutine[None, None, None]],
    again: bool,
) -> bool:
    """Whether to begin again; ``again``: this is such a beginning."""
    async with opening as engine:
        settings = engine.settings  # with the pairs that were added from the chat
        engine.live.greets = not again
        # Real time, right also on a computer whose clock is wrong; a simulated exchange's is no phone's.
        wall = engine.clock if settings.clock == "system" else bootstrap.computer_clock()
        bot = Bot(settings, token, engine.desk, engine.outbox, wall.now)
        engine.desk.watch.chat_line = bot.line
        tasks = [asyncio.create_task(engine.run())]
        try:
            await _up(engine.live.ready, tasks[0])
            if not tasks[0].done():
                await bot.start()
                await ready()
                engine.announce()
                tasks.append(asyncio.create_task(beside(engine)))
                tasks.append(asyncio.create_task(_asked_again(engine, bot)))
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()  # before the chat is closed: that takes its time, and a training ends meanwhile
            await bot.stop()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end
        return engine.again.is_set()


async def _asked_again(engine: Engine, bot: Bot) -> None:
    """Ends when everything is to begin anew, and whoever asked for it has heard that it will."""
    await engine.again.wait()
    waited = 0.0
    while not bot.idle and waited < ANSWER_PATIENCE:
        await asyncio.sleep(0.05)
        waited += 0.05


async def _up(ready: asyncio.Event, trading: asyncio.Task[None]) -> None:
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({waiting, trading}, timeout=READY_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
