"""What is done for a visitor: read the arguments, ask the desk, answer with a card. No rule and no formatting here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from telegram import Bot as TelegramBot
from telegram import BotCommandScope, BotCommandScopeChat, BotCommandScopeChatMember, Message, Update
from telegram.error import TelegramError

from core import __version__
from core.config import Settings
from core.domain.messages import Event, ModelTrained
from core.errors import JulabaError
from core.services.views import Actor, TrainingView
from julaba_tg import (
    home_handlers,
    insight_handlers,
    keyboards,
    model_handlers,
    money_handlers,
    parsing,
    rendering,
    rules_handlers,
    success_handlers,
    worth_handlers,
)
from julaba_tg.access import ChatContext
from julaba_tg.approval_handlers import Answers
from julaba_tg.calls import Call, Place, at, beside, edited, place_of, post, say, voiced
from julaba_tg.closing_handlers import Closings
from julaba_tg.commands import LONG_WORK, find, may, menu, nearest
from julaba_tg.confirming import Confirming
from julaba_tg.health_handlers import health
from julaba_tg.incoming import CardReply, Number, StrayTap, Visitor, Words
from julaba_tg.keyboards import ApprovalTap, CommandTap
from julaba_tg.notifier import target_chat
from julaba_tg.parsing import Typed
from julaba_tg.people_handlers import Loudness
from julaba_tg.ports import DeskLike, MessageRef, OutboxLike
from julaba_tg.progress import begin, conclude, followed
from julaba_tg.research_handlers import Research
from julaba_tg.safety_handlers import Safety
from julaba_tg.sending import Outgoing
from julaba_tg.tasks import Tasks
from julaba_tg.why_handlers import why
from julaba_tg.words_handlers import Questions, nearest_command

log = logging.getLogger(__name__)

STALE = timedelta(minutes=2)
MOST_TRADES = 50


class Chat:
    """The handlers. Each command is a method; the table names it."""

    def __init__(
        self,
        settings: Settings,
        desk: DeskLike,
        outbox: OutboxLike,
        wall_clock: Callable[[], datetime],
        tasks: Tasks,
        greeted: Callable[[], None] = lambda: None,
        late: Callable[[int], bool] = lambda update_id: False,
        alerts: Callable[[], str] = lambda: "",
    ) -> None:
        """``alerts`` says why nobody can be told anything; empty when somebody can."""
        self._settings = settings
        self._desk = desk
        self._outbox = outbox
        self._wall_clock = wall_clock
        self._tasks = tasks
        self._greeted = greeted
        self._late = late
        self._alerts = alerts
        self._changes = asyncio.Lock()  # one change after the other, in the order they came
        self._trainings = 0
        self._confirming = Confirming(wall_clock)
        self._closings = Closings(desk, outbox, self._confirming)
        self._safety = Safety(desk, self._confirming)
        self._answers = Answers(desk, outbox, self._changes)
        self._questions = Questions(desk, tasks, asyncio.get_running_loop().time)
        self._research = Research(desk, outbox, tasks)
        self._loudness = Loudness(desk, target_chat(settings))
        self.does: dict[str, Callable[[Call], Awaitable[Outgoing | None]]] = {
            "start": self._start,
            "status": self._status,
            "positions": self._positions,
            "trades": self._trades,
            "profit": lambda call: money_handlers.profit(call, self._desk),
            "signals": lambda call: money_handlers.signals(call, self._desk),
            "market": lambda call: money_handlers.market(call, self._desk),
            "risk": lambda call: money_handlers.risk(call, self._desk),
            "predict": lambda call: money_handlers.predict(call, self._desk),
            "chart": self._chart,
            "ml": self._ml,
            "why": lambda call: why(call, self._desk),
            "whynot": lambda call: insight_handlers.whynot(call, self._desk),
            "filters": lambda call: insight_handlers.filters(call, self._desk, self._tasks),
            "rule": lambda call: insight_handlers.rule(call, self._desk),
            "gemini": lambda call: worth_handlers.gemini(call, self._desk),
            "worth": lambda call: worth_handlers.worth(call, self._desk),
            "dial": lambda call: rules_handlers.dial(call, self._desk),
            "opens": lambda call: rules_handlers.opens(call, self._desk, self._tasks),
            "rules": lambda call: rules_handlers.rules(call, self._desk, self._confirming),
            "samples": lambda call: success_handlers.samples(call, self._desk),
            "report": lambda call: home_handlers.report(call, self._desk),
            "approvals": self._answers.approvals,
            "retrain": self._retrain,
            "backtest": self._research.backtest,
            "whatif": self._research.what_if,
            "fetch": self._research.fetch,
            "export": self._research.export,
            "models": lambda call: model_handlers.models(call, self._desk),
            "promote": lambda call: model_handlers.promote(call, self._desk),
            "rollback": lambda call: model_handlers.rollback(call, self._desk, self._confirming),
            "pairs": self._pairs,
            "pair": self._pair,
            "size": self._safety.size,
            "undo": self._safety.undo,
            "audit": self._safety.audit,
            "pause": self._pause,
            "resume": self._safety.resume,
            "close": self._closings.close,
            "panic": self._closings.panic,
            "notify": lambda call: self._loudness.notify(call, self._wall_clock()),
            "health": lambda call: health(call, self._desk),
            "help": home_handlers.help_,
            "version": self._version,
        }

    def tells(self, event: Event) -> bool:
        """Whether a person gets this told here already, so that the alerts need not."""
        return isinstance(event, ModelTrained) and self._trainings > 0

    # From Telegram

    async def on_message(self, update: Update, context: ChatContext) -> None:
        visitor, message = context.visitor, update.message
        if visitor is None or message is None:
            return
        place = await voiced(beside(message, context.bot), self._desk, visitor.actor.user_id)
        match visitor.incoming.ask:
            case Typed() as typed:
                await self._typed(visitor, typed, place, self._wall_clock() - message.date, message.reply_to_message)
            case CardReply() as reply:
                await self._answers.reply(reply, visitor.actor, place)
            case Number() as number:
                await self._number(visitor, number, place, self._wall_clock() - message.date)
            case Words(text=words) as question:
                if parsing.yes_or_no(words) is not None:
                    await say(place, await self._answers.where_to())
                else:
                    await self._questions.hear(question, visitor.actor, place)

    async def on_tap(self, update: Update, context: ChatContext) -> None:
        visitor, query = context.visitor, update.callback_query
        if visitor is None or query is None:
            return
        try:
            await query.answer()  # before the work: the phone shows a spinner until then
        except TelegramError as error:
            log.info("a tap could not be acknowledged: %s", error.message)
        place = place_of(update, context.bot, visitor.actor)
        place = await voiced(place, self._desk, visitor.actor.user_id)
        match visitor.incoming.ask:
            case CommandTap(typed=typed, in_place=in_place):
                await self._tapped(visitor, typed, place, in_place, self._late(update.update_id))
            case ApprovalTap(approval_id=approval_id, yes=yes):
                await self._answers.answer(approval_id, yes, visitor.actor, place)
            case StrayTap():
                await say(place, Outgoing(rendering.gone()))

    async def on_reaction(self, update: Update, context: ChatContext) -> None:
        visitor = context.visitor
        if visitor is None or not isinstance(visitor.incoming.ask, CardReply):
            return
        place = at(visitor.incoming.ask.message, context.bot)
        place = await voiced(place, self._desk, visitor.actor.user_id)
        await self._answers.reply(visitor.incoming.ask, visitor.actor, place)

    # Commands, however they came

    async def _typed(
        self, visitor: Visitor, typed: Typed, place: Place, age: timedelta, replied: Message | None
    ) -> None:
        command = find(typed.name, typed.arguments)
        if command is None:
            await say(place, home_handlers.unknown(typed.name, nearest(typed.name)))
        elif command.changes and age > STALE:
            line = " ".join((f"/{typed.name}", *typed.arguments))
            await say(place, Outgoing(rendering.too_old(line, age), keyboards.do_it_now(line)))
        else:
            answer = await self._run(Call(visitor.actor, command, typed.arguments, place, replied=replied))
            if answer is not None:
                await say(place, answer)

    async def _tapped(self, visitor: Visitor, typed: Typed, place: Place, in_place: bool, late: bool) -> None:
        """A tap has no date: one that waited while nobody listened asks back before it changes anything."""
        command = find(typed.name, typed.arguments)
        if command is None:
            return
        if command.changes and late:
            line = " ".join((f"/{typed.name}", *typed.arguments))
            await say(place, Outgoing(rendering.too_old(line), keyboards.do_it_now(line)))
            return
        answer = await self._run(Call(visitor.actor, command, typed.arguments, place, in_place=in_place))
        if answer is None:
            return
        if in_place and await edited(place, answer):
            return
        await say(place, answer)

    async def _run(self, call: Call) -> Outgoing | None:
        """The command's answer, with what may be done after it.

        A refusal is said in a message of its own: it must not take the place of a view.
        """
        try:
            answer = await self._done(call)
        except JulabaError as error:
            await say(call.place, Outgoing(rendering.refused(str(error)), keyboards.help_of(call.command)))
            return None
        if answer is None:
            return None
        return replace(answer, keyboard=keyboards.with_next(answer.keyboard, call.command.name, call.actor.role))

    async def _done(self, call: Call) -> Outgoing | None:
        """A long work is only begun here, which may have to wait for Telegram: no change of anybody's waits for it."""
        if not call.command.changes or call.command.name in LONG_WORK:
            return await self.does[call.command.name](call)
        async with self._changes:
            return await self.does[call.command.name](call)

    async def _start(self, call: Call) -> Outgoing:
        self._greeted()
        self._tasks.start(set_menu(call.place.bot, call.actor, call.place.chat_id), "menu")
        return await home_handlers.start(call, self._desk, self._alerts)

    async def _status(self, call: Call) -> Outgoing:
        if call.arguments:
            return await home_handlers.pin(call, self._desk)
        view = await self._desk.status()
        return Outgoing(rendering.status(view, call.zone), keyboards.status(bool(view.paused)))

    async def _positions(self, call: Call) -> Outgoing:
        views = await self._desk.positions()
        return Outgoing(rendering.positions(views, call.zone), keyboards.refresh("positions"))

    async def _trades(self, call: Call) -> Outgoing:
        count = parsing.count(call.arguments, call.command, default=10, most=MOST_TRADES)
        view = await self._desk.trades(count)
        return Outgoing(rendering.trades(view, call.zone), keyboards.refresh(f"trades {count}"))

    async def _chart(self, call: Call) -> Outgoing:
        if not call.arguments:
            names = [p.pair for p in await self._desk.pairs()]
            return Outgoing(rendering.which_pair(), keyboards.which_pair(names, "📈", "chart"))
        pair = parsing.pair(parsing.one(call.arguments, call.command), call.command)
        trade = next((p.trade_id for p in await self._desk.positions() if p.pair == pair), None)
        picture = await self._desk.chart(pair, trade)
        return Outgoing(rendering.chart_caption(pair), keyboards.chart(pair), picture)

    async def _ml(self, call: Call) -> Outgoing | None:
        if call.arguments:
            return await self._safety.weight(call)
        view = await self._desk.ml()
        steps = self._settings.approvals.weight_steps
        return Outgoing(rendering.ml(view, call.zone), keyboards.ml(view, steps))

    async def _pairs(self, call: Call) -> Outgoing:
        if call.arguments:
            return await insight_handlers.suggest(call, self._desk)
        return await self._switches(call)

    async def _switches(self, call: Call) -> Outgoing:
        views = await self._desk.pairs()
        return Outgoing(rendering.pairs(views, call.zone), keyboards.pairs(views))

    async def _pair(self, call: Call) -> Outgoing | None:
        if {word.lower() for word in call.arguments[1:2]} & insight_handlers.CHANGES:
            return await insight_handlers.pair(call, self._desk, self._confirming)
        return await (self._safety.pair(call) if call.arguments else self._switches(call))

    async def _pause(self, call: Call) -> Outgoing:
        view = await self._desk.pause(call.actor)
        return Outgoing(rendering.paused(view), keyboards.running(bool(view.paused)))

    async def _version(self, call: Call) -> Outgoing:
        return Outgoing(rendering.version(__version__, self._settings.mode))

    # Training: answered at once, followed by editing, ended with a card

    async def _retrain(self, call: Call) -> None:
        self._tasks.start(self._train(call, await begin(call.place, _training)), "training")

    async def _train(self, call: Call, shown: MessageRef) -> None:
        self._trainings += 1
        try:
            work = partial(self._desk.retrain, call.actor)
            await self._show_result(call, shown, await followed(call.place, shown, _training, work, "the training"))
        finally:
            self._trainings -= 1

    async def _show_result(self, call: Call, shown: MessageRef, result: TrainingView | Outgoing) -> None:
        place = call.place
        if isinstance(result, Outgoing):
            last = result
        elif result.picture is None:
            last = Outgoing(rendering.training_result(result), keyboards.after_training())
        else:
            last = Outgoing(rendering.training_done(result))
        await conclude(place, shown, last)
        if isinstance(result, TrainingView) and result.picture is not None:
            picture = Outgoing(rendering.training_result(result), keyboards.after_training(), result.picture)
            await post(place, picture, reply_to=shown.message_id)

    async def _number(self, visitor: Visitor, number: Number, place: Place, age: timedelta) -> None:
        """It closes trades only in answer to the preview that asked for it, and only from who may do that."""
        if not may(visitor.actor.role, "operator") or not await self._closings.waits(place.chat_id, number.message):
            await say(place, nearest_command(number.text))
            return
        try:
            async with self._changes:
                late = age > STALE
                answer = await self._closings.number(number.value, number.message, visitor.actor, place, late=late)
        except JulabaError as error:
            answer = Outgoing(rendering.refused(str(error)))
        if answer is not None:
            await say(place, answer)


def _training(words: str, fraction: float) -> Outgoing:
    return Outgoing(rendering.progress("🧠", "Training", words, fraction))


async def set_menu(bot: TelegramBot, actor: Actor, chat_id: int = 0) -> None:
    """One person's command menu: that of their private chat, which is there once they have pressed Start.

    With a group's ``chat_id`` (below 0) it is the one they see in that group.
    """
    scope: BotCommandScope = BotCommandScopeChat(actor.user_id)
    if chat_id < 0:
        scope = BotCommandScopeChatMember(chat_id, actor.user_id)
    try:
        await bot.set_my_commands(menu(actor.role), scope=scope)
    except TelegramError as error:
        log.info("the menu of user %d could not be set: %s", actor.user_id, error.message)
