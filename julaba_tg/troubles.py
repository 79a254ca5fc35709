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
        if self.current:
            log.info("Telegram answers again")
            self._relieved()
        self.current, self._refused = "", False

    def standing(self, deaf: bool) -> set[Kind]:
        """What is wrong enough to be told; ``deaf``: nothing has been heard for longer than can be."""
        found: set[Kind] = {"silent"} if deaf and not self._refused else set()
        if self._refused:
            found.add("token")
        if self._conflict_at is not None and self._monotonic() - self._conflict_at < CALM:
            found.add("rival")
        return found


async def tell_troubles(troubles: Troubles, desk: DeskLike, deaf: Callable[[], bool], look_every: float) -> None:
    """For ever: tells the desk of each trouble's beginning and end, once."""
    told: set[Kind] = set()
    while True:
        await asyncio.sleep(look_every)
        try:
            standing = troubles.standing(deaf())
            for kind in sorted(standing - told):
                await desk.trouble(kind, _WORDS[kind].title, _WORDS[kind].detail)
                told.add(kind)
            for kind in sorted(told - standing):
                await desk.trouble_over(kind, _WORDS[kind].over)
                told.discard(kind)
        except Exception as error:  # the store may be in trouble itself: it is tried again at the next look
            log.warning("a trouble with Telegram could not be told: %s", error)


def words_for(error: TelegramError) -> str:
    """What a fault of the connection means and what to do; never the library's text where that holds the token."""
    if isinstance(error, InvalidToken):
        return "Telegram refuses the bot token (401): check TELEGRAM_BOT_TOKEN. Trading goes on without chat"
    if isinstance(error, Conflict):
        return "another program is polling with the same bot token (409): stop one of the two"
    return "Telegram cannot be reached; trading goes on and alerts wait"
