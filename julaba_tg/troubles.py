"""What is wrong with the line to Telegram: named once in the log, and told to the owner once where it lasts.

A fault of the line can only be told over that line. What is told here is therefore worded so that it is also true when
it arrives late; one that is over by then comes as one silent line, see ``notifier``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from telegram.error import Conflict, InvalidToken, TelegramError

from julaba_tg.pacing import Bucket
from julaba_tg.ports import DeskLike

log = logging.getLogger(__name__)

Kind = Literal["token", "rival", "silent"]
CALM = 120.0  # seconds without a conflict after which the other program has gone: the two win in turn
_SAID_EVERY = 600.0


@dataclass(frozen=True, slots=True)
class _Words:
    title: str
    detail: str
    over: str


_WORDS: dict[Kind, _Words] = {
    "token": _Words(
        "Telegram refused the bot token (401)",
        "Check TELEGRAM_BOT_TOKEN. If you read this in the chat, it is accepted again. Trading went on, alerts waited.",
        "Telegram accepts the bot token again",
    ),
    "rival": _Words(
        "Another program uses this bot's token (409)",
        "It takes messages and taps away from this one. Stop one of the two, or get a new token from @BotFather.",
        "This bot has its token to itself again",
    ),
    "silent": _Words(
        "Telegram did not answer: messages and taps were not heard",
        "Listening was built anew. Trading went on, alerts waited.",
        "Telegram answers again",
    ),
}


class Troubles:
    """Names a trouble in the log once, not at every attempt; ``current`` is what is wrong now, empty when all is well.

    ``relieved`` is called when Telegram answers again.
    """

    def __init__(self, monotonic: Callable[[], float], relieved: Callable[[], None] = lambda: None) -> None:
        self._monotonic = monotonic
        self._relieved = relieved
        self._said: dict[str, Bucket] = {}
        self._begun = monotonic()
        self._answered = False
        self._refused = False
        self._conflict_at: float | None = None
        self.current = ""

    def name(self, error: TelegramError) -> None:
        self.current = sentence = words_for(error)
        self._refused = isinstance(error, InvalidToken)
        if isinstance(error, Conflict):
            self._conflict_at = self._monotonic()
        # Two bots on one token win in turn: without a limit each change would be a line.
        if self._said.setdefault(sentence, Bucket(1, 1 / _SAID_EVERY, self._monotonic)).take():
            log.error("%s", sentence)

    def over(self) -> None:
        """Telegram has answered."""
        self._answered = True
        if self.current:
            log.info("Telegram answers again")
            self._relieved()
        self.current, self._refused = "", False

    def standing(self, deaf: bool) -> set[Kind]:
        """What is wrong enough to be told; ``deaf``: nothing has been heard for longer than can be."""
        kinds: tuple[tuple[Kind, bool], ...] = (
            ("token", self._refused),
            ("silent", deaf and not self._refused),
            ("rival", self._conflict_at is not None and not self._calm()),
        )
        return {kind for kind, stands in kinds if stands}

    def is_over(self, kind: Kind, deaf: bool) -> bool:
        """Whether a trouble is known to be over, be it one that an earlier run has told."""
        return kind not in self.standing(deaf) and self._answered and (kind != "rival" or self._calm())

    def _calm(self) -> bool:
        since = self._begun if self._conflict_at is None else self._conflict_at
        return self._monotonic() - since >= CALM


async def tell_troubles(troubles: Troubles, desk: DeskLike, deaf: Callable[[], bool], look_every: float) -> None:
    """For ever: tells the desk of each trouble's beginning and end, once; an end also where an earlier run began it."""
    standing: set[Kind] = set()
    perhaps: set[Kind] = set(_WORDS)
    while True:
        await asyncio.sleep(look_every)
        try:
            for kind in sorted(troubles.standing(deaf()) - standing):
                await desk.trouble(kind, _WORDS[kind].title, _WORDS[kind].detail)
                standing.add(kind)
            for kind in sorted(k for k in standing | perhaps if troubles.is_over(k, deaf())):
                await desk.trouble_over(kind, _WORDS[kind].over)
                standing.discard(kind)
                perhaps.discard(kind)
        except Exception as error:  # the store may be in trouble itself: it is tried again at the next look
            log.warning("a trouble with Telegram could not be told: %s", error)


def words_for(error: TelegramError) -> str:
    """What a fault of the connection means and what to do; never the library's text where that holds the token."""
    if isinstance(error, InvalidToken):
        return "Telegram refuses the bot token (401): check TELEGRAM_BOT_TOKEN. Trading goes on without chat"
    if isinstance(error, Conflict):
        return "another program is polling with the same bot token (409): stop one of the two"
    return "Telegram cannot be reached; trading goes on and alerts wait"
