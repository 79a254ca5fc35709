"""Gemini's opinion on each signal: asked for once, kept, within a day's tokens, and its troubles told once.

``core.ports.OpinionSource`` asks; here stands when, how often, and what the owner hears of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import TypeVar

from core.config import Gemini
from core.domain.candles import Candles, to_datetime, to_ms
from core.domain.messages import Notice
from core.domain.trading import Candidate, GeminiOpinion
from core.ports import Answer, Clock, Ledger, OpinionBook, OpinionSource
from core.services.bus import Bell
from core.services.faults import Faults
from core.services.tokens import TOKENS, DayTokens

__all__ = ["TOKENS", "WARN_AT", "Advice"]

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_FOR = timedelta(minutes=3)  # after the close; half a candle where that is shorter
FIRST_PAUSE = 0.5  # seconds of wall time between two attempts; later ones double
LONGEST_PAUSE = 15.0
MOST_UNUSABLE = 2  # answers to one signal that nobody could read: each is paid for
SEVERAL = 2  # signals in a row without an opinion, before that is a fault and not an accident
AGAIN_AFTER = timedelta(hours=1)  # a setting that was refused is tried again: a model may come back, a key be freed
WARN_AT = 0.8  # of the day's tokens

_SILENT, _OFF = "gemini", "gemini:setting"  # the two faults


class Advice:
    """Implements ``core.ports.Advisor``. ``name`` is what the status calls it; ``faults`` is asked for when needed.

    ``tokens``: the day's, where others spend them too.
    """

    def __init__(
        self,
        settings: Gemini,
        clock: Clock,
        ledger: Ledger,
        book: OpinionBook,
        source: OpinionSource,
        bell: Bell,
        faults: Callable[[], Faults],
        name: str = "",
        tokens: DayTokens | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._ledger = ledger
        self._book = book
        self._source = source
        self._bell = bell
        self._faults = faults
        self._name = name or f"on ({settings.model})"
        self._tokens = tokens or DayTokens(clock, ledger)
        self._without = 0  # signals in a row without an opinion
        self._refused: tuple[str, datetime] | None = None  # why a setting was refused, and when to try again

    async def opinion(self, candidate: Candidate, recent: Candles) -> GeminiOpinion | str:
        """The opinion given before or a new one, or why there is none. Never raises but for cancellation."""
        question = self._question(candidate)
        asked_before = self._book.known(candidate.pair, candidate.open_time, question)
        if (known := await _safely(asked_before, None)) is not None:
            return known
        if self._refused is not None and self._clock.now() < self._refused[1]:
            return self._refused[0]
        if await self._is_spent():
            await _safely(self._publish(self._budget_notices()), None)
            return self._spent_words()
        answer = await self._patiently(candidate, recent)
        if answer.opinion is not None:
            now = to_ms(self._clock.now())
            await _safely(self._book.keep(candidate.pair, candidate.open_time, question, answer.opinion, now), None)
        await _safely(self._tell(answer), None)
        return answer.opinion or answer.reason

    async def standing(self) -> str:
        """Half a sentence for the status: on or off, and what today has cost."""
        spent, limit = await _safely(self._tokens.spent(), self._tokens.known), self._settings.daily_tokens
        if self._refused is not None:
            return f"off: {self._refused[0]}"
        if spent >= limit:
            return f"silent until 00:00 UTC: {self._spent_words()}"
        return f"{self._name}, {_short(spent)} of {_short(limit)} tokens today"

    def _question(self, candidate: Candidate) -> str:
        """Who is asked for what: with another model, or another direction, the answer would be another."""
        search = " with search" if self._settings.grounding else ""
        return f"{candidate.direction} by {self._settings.model}{search}"

    # -- asking ----------------------------------------------------------------------------------------------------

    async def _patiently(self, candidate: Candidate, recent: Candles) -> Answer:
        """Asks until there is an answer worth having or the time for asking is over, by the clock and by the wall's."""
        window = min(RETRY_FOR, timedelta(minutes=candidate.timeframe.minutes) / 2)
        wall = asyncio.get_running_loop()
        until, end = to_datetime(candidate.close_time) + window, wall.time() + window.total_seconds()
        pause, unusable = FIRST_PAUSE, 0
        least = min(self._settings.timeout, window.total_seconds()) / 2  # a question with less is not worth asking
        while True:
            patience = min(self._settings.timeout, end - wall.time())
            answer = await self._source.ask(candidate, recent, patience)
            await _safely(self._spend(answer.tokens), None)
            unusable += answer.trouble == "unusable"
            if answer.trouble not in ("passing", "unusable") or unusable >= MOST_UNUSABLE:
                return answer
            wait, pause = max(pause, answer.wait), min(LONGEST_PAUSE, 2 * pause)
            if self._clock.now() >= until or wall.time() + wait + least >= end or await self._is_spent():
                return answer
            await asyncio.sleep(wait)

    # -- what it costs ---------------------------------------------------------------------------------------------

    async def _is_spent(self) -> bool:
        return await _safely(self._tokens.spent(), self._tokens.known) >= self._settings.daily_tokens

    async def _spend(self, tokens: int) -> None:
        """Notes what an answer cost, of use or not, together with what the owner has to hear of it."""
        if not tokens:
            return
        await self._tokens.add(tokens)
        notices = self._budget_notices()
        await self._tokens.keep(notices)
        if notices:
            self._bell.ring()

    def _budget_notices(self) -> list[Notice]:
        """What has to be said of the day's tokens; an event that was queued before is not queued again."""
        limit, spent = self._settings.daily_tokens, self._tokens.known
        if spent >= limit:
            title = f"Today's Gemini tokens are spent: {self._effect()} until 00:00 UTC"
            detail = f"{spent:,} of {limit:,} tokens (gemini.daily_tokens)."
            return [self._notice("spent", title, detail)]
        if spent >= WARN_AT * limit:
            title = f"Gemini has used {spent / limit:.0%} of today's tokens"
            detail = f"{spent:,} of {limit:,} (gemini.daily_tokens). When they are spent, {self._effect()}."
            return [self._notice("near", title, detail)]
        return []

    def _notice(self, key: str, title: str, detail: str) -> Notice:
        key = f"gemini:tokens:{key}:{self._tokens.day}"
        return Notice(key=key, time=self._clock.now(), topic="gemini", title=title, detail=detail)

    async def _publish(self, notices: Iterable[Notice]) -> None:
        await self._ledger.publish(notices)
        self._bell.ring()

    def _spent_words(self) -> str:
        return f"today's budget of {self._settings.daily_tokens:,} tokens is spent"

    # -- what is told ----------------------------------------------------------------------------------------------

    def _effect(self) -> str:
        return "signals are refused" if self._settings.on_no_opinion == "refuse" else "the rules decide"

    async def _tell(self, answer: Answer) -> None:
        """One alert when something is wrong for longer than a signal, one when it is well again."""
        faults = self._faults()
        if answer.opinion is not None:
            self._without, self._refused = 0, None
            for name in (_SILENT, _OFF):
                await faults.cleared(name, "Gemini answers again")
        elif answer.trouble == "setting":
            self._refused = (answer.reason, self._clock.now() + AGAIN_AFTER)
            faults.forget(_SILENT)
            remedy = f"{answer.remedy[0].upper()}{answer.remedy[1:]}, then restart." if answer.remedy else ""
            detail = f"{remedy}\nUntil then {self._effect()} (gemini.on_no_opinion). It is tried again once an hour."
            await faults.raised(_OFF, f"Gemini is off: {answer.reason}", detail.strip())
        else:
            self._refused, self._without = None, self._without + 1
            if self._without >= SEVERAL:
                faults.forget(_OFF)
                detail = (
                    f"{self._without} signals in a row, the last one: {answer.reason}. gemini.on_no_opinion decides."
                )
                await faults.raised(_SILENT, f"Gemini gives no opinion: {self._effect()}", detail)


async def _safely(doing: Awaitable[T], otherwise: T) -> T:
    """A store that fails must not cost an opinion that has been paid for; the decision's own commit will say so."""
    try:
        return await doing
    except Exception:
        log.exception("what Gemini said or cost could not be kept or read")
        return otherwise


def _short(tokens: int) -> str:
    return f"{tokens / 1000:.0f}k" if tokens >= 10_000 else f"{tokens:,}"
