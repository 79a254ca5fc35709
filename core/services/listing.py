"""Which pairs the exchange trades: looked at when it starts, each day, and when it refuses a pair."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from core.config import Settings
from core.domain.candles import DAY_MS, Pair, to_ms
from core.domain.ledger import Switch
from core.domain.messages import Notice, PairStopped
from core.errors import MarketError
from core.ports import Clock, Ledger, MarketData
from core.services.bus import Bell
from core.services.loop import TradingLoop
from core.services.markets import check_pairs

log = logging.getLogger(__name__)

SWITCHED_BY = "switched off by "  # so begins the reason of a switch that a person has turned off
LISTED_AGAIN = "the exchange trades it again; switch it on when you like"
UNWATCHED = "its open trade is held and unwatched: no stop or target can be seen"


@dataclass(frozen=True, slots=True)
class Changed:
    """What a look at the list has changed."""

    stopped: frozenset[Pair]
    back: frozenset[Pair]


class Listing:
    """``notes`` says of pairs that the exchange does not trade why. Such a pair is switched off, with one alert.

    One that is listed again is watched again; it stays off until a person switches it on.
    """

    def __init__(
        self, settings: Settings, clock: Clock, market: MarketData, ledger: Ledger, loop: TradingLoop, bell: Bell
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._market = market
        self._ledger = ledger
        self._loop = loop
        self._bell = bell
        self._checked_day = -1
        self.notes: dict[Pair, str] = {}

    def watched(self) -> tuple[Pair, ...]:
        """All wanted pairs that the exchange still lists."""
        return tuple(p for p in self._wanted() if p not in self.notes)

    def _wanted(self) -> tuple[Pair, ...]:
        """The configured pairs, those with something open, and BTC as the reference."""
        return tuple(dict.fromkeys([*self._settings.traded, *self._loop.followed(), self._settings.btc]))

    def is_due(self, close: int) -> bool:
        """Whether the day's look is still to come."""
        return close // DAY_MS > self._checked_day

    async def check(self) -> Changed:
        """Looks at the exchange's list now. Raises MarketError."""
        problems = check_pairs(await self._market.markets(), self._wanted(), self._settings.exchange.renames)
        self._checked_day = to_ms(self._clock.now()) // DAY_MS
        stopped = frozenset(problem.pair for problem in problems)
        for problem in problems:
            await self._stop(problem.pair, problem.reason, str(problem.successor) if problem.successor else None)
        back = frozenset(self.notes) - stopped
        for pair in back:
            del self.notes[pair]
        return Changed(stopped, back)

    async def refused(self, refusals: Iterable[tuple[Pair, str]]) -> Changed:
        """The exchange would not give these pairs' candles: its list of markets may say why. Never raises for it."""
        refusals = list(refusals)
        if not refusals:
            return Changed(frozenset(), frozenset())
        changed = Changed(frozenset(), frozenset())
        try:
            changed = await self.check()
        except MarketError as error:
            log.warning("the list of markets: %s", error)
        for pair, reason in refusals:
            if pair not in self.notes:
                await self._stop(pair, reason, None)
        return Changed(changed.stopped | {pair for pair, _ in refusals}, changed.back - {p for p, _ in refusals})

    async def _stop(self, pair: Pair, reason: str, successor: str | None) -> None:
        self.notes[pair] = reason
        switch, now = Switch(False, reason), self._clock.now()
        async with self._loop.changing:
            if self._loop.memory.switches.get(pair) == switch:
                return  # told before
            held = self._loop.account.position(pair) is not None
            event = PairStopped(
                key=f"pair_stopped:{pair}:{to_ms(now)}",
                time=now,
                pair=str(pair),
                reason=f"{reason}; {UNWATCHED}" if held else reason,
                successor=successor,
            )
            await self._ledger.set_switch(pair, switch, [event])
            self._loop.memory.switches[pair] = switch
        self._bell.ring()

    async def listed_again(self, pair: Pair) -> None:
        """Its candles come again. Told once, and left to a person: why it was away may be a reason not to trade it."""
        now = self._clock.now()
        async with self._loop.changing:
            switch = self._loop.memory.switches.get(pair)
            if switch is None or switch.enabled or switch.reason.startswith((SWITCHED_BY, LISTED_AGAIN)):
                return
            event = Notice(
                key=f"recovered:pair:{pair}:{to_ms(now)}",
                time=now,
                topic="recovered",
                title=f"{pair} is traded again",
                detail=f"It had been stopped: {switch.reason}. It stays off until you switch it on.",
            )
            switch = Switch(False, LISTED_AGAIN)
            await self._ledger.set_switch(pair, switch, [event])
            self._loop.memory.switches[pair] = switch
        self._bell.ring()
