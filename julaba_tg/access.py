"""Who may do what: denied by default, by numeric user id, for words, taps and reactions alike.

The gate sits in front of every handler. What it does not let in reaches none of them: it raises the library's stop, and
the handlers themselves act only for a ``Visitor`` that the gate alone can write into the context.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from telegram import Update
from telegram.constants import ChatType
from telegram.error import TelegramError
from telegram.ext import ApplicationHandlerStop, CallbackContext, ExtBot

from core.services.views import Actor, Role
from julaba_tg import rendering
from julaba_tg.calls import say, where
from julaba_tg.card import Card, html, plain
from julaba_tg.commands import CANCEL, CANCELLABLE, find, may
from julaba_tg.incoming import CardReply, Incoming, Visitor, describe, read
from julaba_tg.keyboards import CommandTap
from julaba_tg.pacing import Bucket, Costly
from julaba_tg.parsing import Typed
from julaba_tg.ports import DeskLike
from julaba_tg.sending import Outgoing

log = logging.getLogger(__name__)

# Ids behind which anybody may stand: anonymous group administrators, channels speaking in a group, Telegram itself.
FACELESS = frozenset({1087968824, 136817688, 777000})

SPARE = 4
"""How many more of a person's updates than come at once may wait for their answers; see ``intake.AT_ONCE``."""


class ChatContext(CallbackContext[ExtBot[None], dict[Any, Any], dict[Any, Any], dict[Any, Any]]):
    """One update's context. ``visitor`` is set by the gate, and by nothing else."""

    visitor: Visitor | None = None


class Gate:
    """Lets in who is known and allowed, once per update; records everybody, turned away or not."""

    def __init__(
        self,
        users: Mapping[int, Role],
        desk: DeskLike,
        monotonic: Callable[[], float],
        *,
        burst: int = 20,
    ) -> None:
        self._users = users
        self._desk = desk
        self._monotonic = monotonic
        self._burst = burst
        self._floods: dict[int, Bucket] = {}
        self._kept: dict[int, Bucket] = {}
        self._costly = Costly(lambda: self._burst / 2, monotonic)
        self._warned: set[int] = set()
        self._strangers = Bucket(20, 0.1, monotonic)
        self._unrecorded = 0
        self._in_hand: dict[int, int] = {}  # updates let in and not dealt with yet, and whose they are

    def actor_of(self, update: Update) -> Actor | None:
        """The known person behind an update; None for everybody else and for whoever cannot be told."""
        user, message = update.effective_user, update.message
        if user is None or user.is_bot or user.id in FACELESS or (message is not None and message.sender_chat):
            return None
        role = self._users.get(user.id)
        return Actor(user.id, user.full_name[:64], role) if role else None

    async def __call__(self, update: Update, context: ChatContext) -> None:
        """The handler in front of all others. Always stops here unless the visitor may go on, faults included."""
        try:
            context.visitor = await self._admit(update, context)
        except Exception as error:
            # The library would go on to the next handlers after a fault in this one.
            await context.application.process_error(update, error)
        if context.visitor is None:
            raise ApplicationHandlerStop

    async def _admit(self, update: Update, context: ChatContext) -> Visitor | None:
        if update.effective_user is not None and update.effective_user.id == context.bot.id:
            return None  # Telegram tells the bot of its own pins
        incoming = read(update, context.bot.username)
        if incoming is None and _is_in_group(update):
            return None  # people talk there to each other: it is nobody's flood, and nothing to write down
        actor = self.actor_of(update)
        if actor is None:
            await self._turn_away(update)
            return None
        if not await self._calm(actor, update, context):
            return None
        if incoming is None:
            return None
        allowed = may(actor.role, incoming.role)
        new = await self._desk.record_command(update.update_id, actor.user_id, actor.name, incoming.audit, allowed)
        if not new or update.update_id in self._in_hand:
            log.info("update %d was handled before", update.update_id)
            return None
        self._in_hand[update.update_id] = actor.user_id
        if not allowed:
            await self._say_why(update, context, actor, incoming)
            return None
        if too_much := self._costly.refusal(actor.user_id, _command_name(incoming), update.update_id):
            await self._say(update, context, actor, rendering.too_much(too_much))
            return None
        return Visitor(actor, incoming)

    def keeps(self, update: Update) -> bool:
        """Whether an update is worth a place in the store until it is dealt with: nothing of strangers or floods is."""
        actor = self.actor_of(update)
        if actor is None:
            return False
        return self._kept.setdefault(actor.user_id, Bucket(self._burst, 1.0, self._monotonic)).take()

    async def done(self, update: Update) -> None:
        """An update is dealt with: it is not handed to the handlers again, in this run or a later one."""
        self._costly.ended(update.update_id)
        if self.actor_of(update) is None:
            return  # nothing of a stranger's is kept
        try:
            await self._desk.update_done(update.update_id)
        finally:
            self._in_hand.pop(update.update_id, None)

    async def _turn_away(self, update: Update) -> None:
        """Silence for a stranger; a record for the owner, as long as it is no flood."""
        if not self._strangers.take():
            self._unrecorded += 1
            return
        user, chat = update.effective_user, update.effective_chat
        user_id = user.id if user else chat.id if chat else 0
        name = user.full_name[:64] if user else "nobody"
        said = describe(update)
        skipped = f" ({self._unrecorded} more were not logged)" if self._unrecorded else ""
        self._unrecorded = 0
        log.warning("turned away user %d: %r%s", user_id, said, skipped)
        await self._desk.record_command(update.update_id, user_id, name, said, False)

    async def _calm(self, actor: Actor, update: Update, context: ChatContext) -> bool:
        """Whether a person asks no more than can be answered.

        Answers that Telegram makes wait hold a place each, of which there are few: nobody may hold them all.
        """
        bucket = self._floods.setdefault(actor.user_id, Bucket(self._burst, 1.0, self._monotonic))
        waiting = sum(user == actor.user_id for user in self._in_hand.values())
        if waiting < self._burst + SPARE and bucket.take():
            self._warned.discard(actor.user_id)
            return True
        if actor.user_id not in self._warned and update.effective_chat:
            self._warned.add(actor.user_id)
            log.warning("user %d sends too much at once; skipping", actor.user_id)
            await say(where(update, context.bot, actor), Outgoing(rendering.slow_down()))
        return False

    async def _say_why(self, update: Update, context: ChatContext, actor: Actor, incoming: Incoming) -> None:
        if isinstance(incoming.ask, CardReply) and incoming.ask.reaction:
            return  # a thumb is not always meant as an answer
        what = incoming.audit if incoming.audit.startswith("/") else "That"
        await self._say(update, context, actor, rendering.needs_role(what.split()[0], incoming.role, actor.role))

    async def _say(self, update: Update, context: ChatContext, actor: Actor, refusal: Card) -> None:
        if update.callback_query is not None:
            await update.callback_query.answer(plain(refusal, 200), show_alert=True)
        elif update.effective_message is not None:
            try:
                await update.effective_message.reply_html(html(refusal))
            except TelegramError as error:
                log.warning("an answer could not be sent: %s", error.message)


def _command_name(incoming: Incoming) -> str:
    """The command that is asked for, however it came; empty for anything else and for ending a work."""
    ask = incoming.ask
    typed = ask.typed if isinstance(ask, CommandTap) else ask if isinstance(ask, Typed) else None
    command = find(typed.name, typed.arguments) if typed is not None else None
    ends = typed is not None and typed.name in CANCELLABLE and typed.arguments == (CANCEL,)
    return command.name if command is not None and not ends else ""


def _is_in_group(update: Update) -> bool:
    return update.effective_chat is not None and update.effective_chat.type != ChatType.PRIVATE
