"""What is done with words that are no command: a question is answered, or the nearest command is offered.

An answer may offer commands; each is a button that stands for a typed line, so that role and confirmation are asked
for when somebody taps it, as for anything typed.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard
from telegram.constants import ChatAction
from telegram.error import TelegramError

from core.services.views import Actor, Role
from core.services.words import Question, WordsView
from julaba_tg import home_handlers, rendering_words
from julaba_tg.calls import Place, edited, post, say
from julaba_tg.commands import allowed_to, find, may, nearest
from julaba_tg.incoming import Words
from julaba_tg.keyboards import MAX_DATA
from julaba_tg.pacing import Bucket
from julaba_tg.parsing import command_of
from julaba_tg.ports import DeskLike, MessageRef
from julaba_tg.sending import Outgoing
from julaba_tg.tasks import Tasks

THINKING_AFTER = 2.0  # seconds without an answer, before a message says that one is on its way
TYPING_EVERY = 4.5  # seconds; Telegram shows "typing" for five
A_MINUTE, A_DAY = 6, 60
"""Questions of one person."""

_MOST_VIEWS = 3
_ARGUMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9./,%:=_+-]{0,40}|[.,][0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class Offers:
    """The commands that may be offered to somebody of this role. Implements ``core.services.words.Drafts``."""

    role: Role

    @property
    def listing(self) -> str:
        return "\n".join(f"{c.usage}: {c.help}" for c in allowed_to(self.role))

    def refusal(self, line: str) -> str:
        typed = command_of(line)
        command = find(typed.name, typed.arguments) if typed else None
        if typed is None or command is None:
            return "there is no such command"
        if not may(self.role, command.role):
            return f"/{command.name} needs the role {command.role}; the person is {self.role}"
        # More words than the usage has are for buttons of a preview alone: nobody may be led past that.
        most = len(command.arguments.split())
        fits = len(typed.arguments) <= most and all(map(_ARGUMENT.fullmatch, typed.arguments))
        if not fits or len(_data(line).encode()) > MAX_DATA:
            return f"that is not how it is written: {command.usage}, for example {command.example}"
        return ""


class Questions:
    """Questions of everybody who may ask. ``monotonic`` gives seconds."""

    def __init__(self, desk: DeskLike, tasks: Tasks, monotonic: Callable[[], float]) -> None:
        self._desk = desk
        self._tasks = tasks
        self._monotonic = monotonic
        self._asked: dict[int, tuple[Bucket, Bucket]] = {}

    async def hear(self, words: Words, actor: Actor, place: Place) -> None:
        """Answers in its own time: nothing else waits for it."""
        if not self._desk.topics.words.present or not any(c.isalpha() for c in words.text):
            await say(place, nearest_command(words.text))
        elif wait := self._turned_away(actor):
            await say(place, Outgoing(rendering_words.too_many(wait)))
        else:
            self._tasks.start(self._answer(words, actor, place), "answer in words")

    def _turned_away(self, actor: Actor) -> str:
        """How long to wait, in words; empty for one who may ask now."""
        minute, day = self._asked.setdefault(
            actor.user_id,
            (Bucket(A_MINUTE, A_MINUTE / 60, self._monotonic), Bucket(A_DAY, A_DAY / 86_400, self._monotonic)),
        )
        if (seconds := max(minute.wait(), day.wait())) > 0:
            return f"{seconds / 60:.0f} minutes" if seconds > 90 else "a minute"
        minute.take()
        day.take()
        return ""

    async def _answer(self, words: Words, actor: Actor, place: Place) -> None:
        question = Question(words.text, words.about)
        asking = asyncio.create_task(
            self._desk.topics.words.answer(question, place.voice.zone, Offers(actor.role)), name="words"
        )
        typing = asyncio.create_task(_typing(place), name="typing")
        shown: MessageRef | None = None
        try:
            done, _ = await asyncio.wait({asking}, timeout=THINKING_AFTER)
            if not done:
                with contextlib.suppress(TelegramError):
                    shown = await post(place, Outgoing(rendering_words.thinking()))
            view = await asking
        finally:
            asking.cancel()
            typing.cancel()
        answer = answered(view, words.text)
        if shown is None or not await edited(replace(place, message=shown, has_picture=False), answer):
            await say(place, answer)


def answered(view: WordsView, words: str) -> Outgoing:
    """An answer with its buttons; where there is none, the nearest command and why."""
    if not view.text:
        offered = nearest_command(words)
        rows = [*_offered(view), *(offered.keyboard.inline_keyboard if offered.keyboard else ())]
        card = rendering_words.no_answer(offered.card, view.reason)
        return replace(offered, card=card, keyboard=Keyboard(rows) if rows else None)
    views = list(dict.fromkeys(source.view for source in view.sources if find(source.view)))[:_MOST_VIEWS]
    row = [Button(f"/{line}", callback_data=f"new:{line}") for line in views]
    rows = [*_offered(view), *([row] if row else [])]
    return Outgoing(rendering_words.answer(view), Keyboard(rows) if rows else None)


def nearest_command(words: str) -> Outgoing:
    return home_handlers.not_understood(nearest(words))


def _offered(view: WordsView) -> list[list[Button]]:
    return [[Button(f"▶️ {line}", callback_data=_data(line))] for line in view.drafts]


def _data(line: str) -> str:
    return f"new:{line.removeprefix('/')}"


async def _typing(place: Place) -> None:
    """Shows that somebody is at it; whether Telegram takes it is of no weight."""
    while True:
        with contextlib.suppress(TelegramError):
            await place.bot.send_chat_action(place.chat_id, ChatAction.TYPING, message_thread_id=place.thread_id)
        await asyncio.sleep(TYPING_EVERY)
