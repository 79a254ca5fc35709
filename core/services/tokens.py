"""What Gemini costs in tokens: one budget for the day, for opinions and for answers in words alike.

The counts are kept in the ledger, so that a restart does not begin the day anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from core.config import Gemini
from core.domain.messages import Event
from core.ports import Clock, Ledger

TOKENS = "gemini_tokens"
"""The mark that holds the UTC day and all that it has cost."""
WORDS = "gemini_words"
"""The mark that holds, as JSON, what answers in words have cost: of the day, and in all."""


@dataclass(frozen=True, slots=True)
class WordsCost:
    """What questions in words have cost so far; ``today`` are the tokens of the UTC day ``day``."""

    day: str = ""
    today: int = 0
    questions: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens

    def usd(self, prices: Gemini) -> float:
        return (self.prompt_tokens * prices.price_in + self.output_tokens * prices.price_out) / 1e6


async def words_cost(ledger: Ledger) -> WordsCost:
    kept = await ledger.mark(WORDS)
    return WordsCost(**json.loads(kept)) if kept else WordsCost()


class DayTokens:
    """Tokens of the present UTC day, whatever process they were spent by. ``known`` needs no store."""

    def __init__(self, clock: Clock, ledger: Ledger) -> None:
        self._clock = clock
        self._ledger = ledger
        self._day: str | None = None  # of ``known``; None: not read yet
        self.known = 0
        self._words: WordsCost | None = None

    @property
    def day(self) -> str | None:
        return self._day

    async def spent(self) -> int:
        if self._day is None:
            kept = (await self._ledger.mark(TOKENS) or "").split()
            if self._day is None and len(kept) == 2:
                self._day, self.known = kept[0], int(kept[1])
        today = self._now()
        if self._day != today:
            self._day, self.known = today, 0
        return self.known

    async def by_words(self) -> int:
        """Those of today's that answers in words have cost."""
        return self._today(await self._words_cost())

    async def add(self, tokens: int) -> None:
        """In memory; ``keep`` writes it down."""
        await self.spent()
        self.known += tokens

    async def keep(self, events: Iterable[Event] = ()) -> None:
        await self._ledger.set_mark(TOKENS, f"{self._day} {self.known}", events)

    async def spend_on_words(self, prompt_tokens: int, output_tokens: int) -> None:
        """One question more, with what it has cost."""
        await self.add(prompt_tokens + output_tokens)
        before = await self._words_cost()
        cost = self._words = WordsCost(
            self._now(),
            self._today(before) + prompt_tokens + output_tokens,
            before.questions + 1,
            before.prompt_tokens + prompt_tokens,
            before.output_tokens + output_tokens,
        )
        await self.keep()
        await self._ledger.set_mark(WORDS, json.dumps(asdict(cost)))

    def _today(self, cost: WordsCost) -> int:
        return cost.today if cost.day == self._now() else 0

    def _now(self) -> str:
        return self._clock.now().date().isoformat()

    async def _words_cost(self) -> WordsCost:
        if self._words is None:
            read = await words_cost(self._ledger)
            self._words = self._words or read
        return self._words
