"""The bot as one object beside the live loop. Trading never waits for it: it connects, listens and alerts by itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from telegram import BotCommandScopeDefault, Update
from telegram.error import NetworkError, RetryAfter, TelegramError
from telegram.ext import (
    Application,
    ApplicationBuilder,
    CallbackQueryHandler,
    ContextTypes,
    ExtBot,
    MessageHandler,
    MessageReactionHandler,
    TypeHandler,
    filters,
)
from telegram.request import HTTPXRequest

from core.config import Settings
from core.services.health import ChatLine
from core.services.views import Actor
from julaba_tg import rendering
from julaba_tg.access import ChatContext, Gate
from julaba_tg.calls import say, where
from julaba_tg.handlers import Chat, set_menu
from julaba_tg.intake import Intake, Turns
from julaba_tg.notifier import Notifier
from julaba_tg.pinned import Pinned
from julaba_tg.polling import Listener, PollRequest, retried
from julaba_tg.ports import DeskLike, OutboxLike
from julaba_tg.secrecy import Redactor, allow_again, keep_out_of_logs
from julaba_tg.sending import Outgoing
from julaba_tg.target import Target
from julaba_tg.tasks import Tasks
from julaba_tg.troubles import Troubles, tell_troubles

log = logging.getLogger(__name__)

STOP_PATIENCE = 5.0  # seconds a handler in flight may take at the end
ANSWER_PATIENCE = 20.0  # seconds an answer may take: who gives up sooner cannot know whether a message is there
SLACK = 35.0  # seconds beyond two long polls after which silence means deafness

App = Application[ExtBot[None], ChatContext, dict[Any, Any], dict[Any, Any], dict[Any, Any], None]


class Bot:
    """The chat side of Julaba.

    ``wall_clock`` gives real time (aware UTC): how old a message is, is a question to the phone's clock, not to a
    simulated exchange's. Build and use it inside a running event loop.
    """

    def __init__(
        self,
        settings: Settings,
        token: str,
        desk: DeskLike,
        outbox: OutboxLike,
        wall_clock: Callable[[], datetime],
        *,
        stale_after: float | None = None,
        look_every: float = 1.0,
        patience: float = ANSWER_PATIENCE,
    ) -> None:
        self._settings = settings
        self._token = token
        self._tasks = Tasks()
        self._redactor: Redactor | None = None
        monotonic = asyncio.get_running_loop().time
        self._troubles = Troubles(monotonic, self._greeted)
        self._hearing = PollRequest(self._troubles.over, connection_pool_size=2)
        root = settings.telegram.base_url
        bot: ExtBot[None] = ExtBot(
            token,
            base_url=f"{root}/bot",
            base_file_url=f"{root}/file/bot",
            request=HTTPXRequest(connection_pool_size=32, pool_timeout=5.0, read_timeout=patience),
            get_updates_request=self._hearing,
        )
        self._desk = desk
        self._outbox = outbox
        self._wall_clock = wall_clock
        self._look_every = look_every
        self._stale_after = stale_after or 2 * settings.telegram.poll_timeout + SLACK
        self._gate = Gate(settings.access.users, desk, monotonic)
        self._intake = Intake(desk, self._gate.keeps, outbox)
        self._chat = Chat(
            settings, desk, outbox, wall_clock, self._tasks, self._greeted, self._hearing.late, self._silenced
        )
        target = Target(settings, desk, outbox, wall_clock)
        self._notifier = Notifier(settings, bot, desk, outbox, wall_clock, self._chat.tells, target)
        self._pinned = Pinned(bot, desk, outbox, monotonic, target)
        self._app = self._built(bot)
        self._listener = Listener(
            bot,
            self._hearing,
            self._app.update_queue,
            self._troubles,
            poll_timeout=settings.telegram.poll_timeout,
            stale_after=self._stale_after,
            look_every=look_every,
        )
        self._life: asyncio.Task[None] | None = None
        self.connected = asyncio.Event()

    @property
    def trouble(self) -> str:
        """What is wrong with the connection to Telegram now; empty when all is well."""
        return self._troubles.current

    @property
    def silent_for(self) -> float:
        """Seconds since Telegram last answered a getUpdates, or since this bot was built."""
        return self._hearing.silent_for()

    def line(self) -> ChatLine:
        """How the connection to Telegram is, for the health of the whole."""
        return ChatLine(self.silent_for, self.trouble, self.restarts, self._stale_after)

    @property
    def restarts(self) -> int:
        """How often polling had to be built anew."""
        return self._listener.restarts

    @property
    def commands(self) -> frozenset[str]:
        """The names of all commands that are done here."""
        return frozenset(self._chat.does)

    @property
    def idle(self) -> bool:
        """Whether every update heard so far has been dealt with; what runs in the background does not count."""
        return self._app.update_queue.empty() and self._app.update_processor.current_concurrent_updates == 0

    async def start(self) -> None:
        """Returns at once: connecting goes on in the background until it succeeds. ``connected`` tells when."""
        self._redactor = keep_out_of_logs(self._token)
        self._life = asyncio.create_task(self._live(), name="telegram")

    async def stop(self) -> None:
        """Ends everything the bot started. Alerts not yet sent stay in the outbox for the next start."""
        if self._life is not None:
            self._life.cancel()
            await asyncio.gather(self._life, return_exceptions=True)
        await self._listener.stop()
        await self._tasks.close()
        if self._app.running:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_PATIENCE):
                    await self._app.stop()
        await self._app.shutdown()
        await self._app.bot.shutdown()
        if self._redactor is not None:
            allow_again(self._redactor)

    def _built(self, bot: ExtBot[None]) -> App:
        app = (
            ApplicationBuilder()
            .bot(bot)
            .updater(None)
            .job_queue(None)
            .context_types(ContextTypes(context=ChatContext))
            .update_queue(self._intake)
            # A slow answer to one message must not hold up /status.
            .concurrent_updates(Turns(self._gate.done, self._tasks, self._outbox))
            .build()
        )
        app.add_handler(TypeHandler(Update, self._gate), group=-1)
        app.add_handler(MessageHandler(filters.UpdateType.MESSAGE & filters.TEXT, self._chat.on_message))
        app.add_handler(CallbackQueryHandler(self._chat.on_tap))
        app.add_handler(MessageReactionHandler(self._chat.on_reaction))
        app.add_error_handler(self._on_error)
        return app

    def _greeted(self) -> None:
        self._notifier.nudge()
        self._pinned.nudge()

    def _silenced(self) -> str:
        return self._notifier.silenced

    async def _live(self) -> None:
        try:
            self._tasks.start(tell_troubles(self._troubles, self._desk, self._is_deaf, self._look_every), "troubles")
            await self._note_absence()
            await retried(self._app.initialize, self._troubles)
            self._troubles.over()
            await self._app.start()
            await self._intake.hand_back(self._app.bot)
            self._tasks.start(self._notifier.run(), "alerts")
            self._tasks.start(self._pinned.run(), "the pinned status")
            self._tasks.start(self._set_menus(), "menus")
            self.connected.set()
            await self._listener.run()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("the chat ended; trading goes on without it")

    def _is_deaf(self) -> bool:
        return self.silent_for > self._stale_after

    async def _note_absence(self) -> None:
        """How long nobody has been listening, as far as the store knows."""
        last = await self._outbox.told_until()
        if last is not None:
            self._hearing.was_absent((self._wall_clock() - last).total_seconds())

    async def _set_menus(self) -> None:
        """Everybody's menu shows what their role may do; it is a menu, not a permission. Strangers see none."""
        try:
            await self._app.bot.delete_my_commands(BotCommandScopeDefault())
        except TelegramError as error:
            log.info("the menu of strangers could not be taken away: %s", error.message)
        for user_id, role in self._settings.access.users.items():
            await set_menu(self._app.bot, Actor(user_id, "", role))
            if (self._settings.telegram.chat_id or 0) < 0:
                await set_menu(self._app.bot, Actor(user_id, "", role), self._settings.telegram.chat_id or 0)

    async def _on_error(self, update: object, context: ChatContext) -> None:
        """One log entry and one short apology. A network or flood fault gets none: it could not be sent."""
        if isinstance(context.error, NetworkError | RetryAfter):
            log.warning("an answer could not be sent: %s", context.error.message)
            return
        log.error("an update failed", exc_info=context.error)
        actor = self._gate.actor_of(update) if isinstance(update, Update) else None
        if actor is not None and isinstance(update, Update):
            with contextlib.suppress(TelegramError):
                await say(where(update, context.bot, actor), Outgoing(rendering.apology(context.error)))
