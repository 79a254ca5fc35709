"""Questions of the kind ``trade``: what a person's answer does, at a price that can be had just now."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from core.config import Settings
from core.domain.candles import Pair, Timeframe, to_ms
from core.domain.ledger import Controls
from core.domain.trading import Direction
from core.engine import answered
from core.engine.advisory import Waiting, has_left, refusal
from core.engine.answered import Yes
from core.errors import MarketError, UsageError
from core.ports import Clock, MarketData, StoredApproval
from core.services.approvals import Approvals, Granted, Kind, OutdatedError
from core.services.loop import TradingLoop
from core.services.minutes import ExchangeMinutes

log = logging.getLogger(__name__)

M1 = Timeframe.parse("1m")
PATIENCE = 2.0  # seconds of wall time for the last price: a person waits
FRESH = 3 * M1.ms
"""How far back a last 1m close may lie: an older price is none."""


@dataclass(frozen=True, slots=True)
class _Quote:
    price: float
    at: int  # epoch ms


class TradeQuestions:
    """Answers to the cards of ``mode: advisory``. The price is asked for before the answer is applied.

    It is the last 1m close, as for closing by hand. But a person has seen what came after it: where the price has run
    off since, to either side, the worse of the two is taken, so that no yes buys what is not to be had any more.
    """

    def __init__(
        self, settings: Settings, clock: Clock, market: MarketData, loop: TradingLoop, approvals: Approvals
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._loop = loop
        self._market = market
        self._minutes = ExchangeMinutes(market, clock)
        self._quotes: dict[int, _Quote] = {}
        approvals.kinds["trade"] = Kind(self._grant, self._outdated, decline=self._decline, reminds=False)

    async def _outdated(self, stored: StoredApproval) -> str:
        """Why the plan is over. Raises UsageError where no price can be had: the card waits on."""
        waiting, now = Waiting.from_json(stored.body), self._clock.now()
        pair, closed_at = Pair.parse(waiting.signal.pair), to_ms(waiting.signal.time)
        end = M1.floor(to_ms(now))
        found = await self._minutes.minutes(pair, min(M1.floor(closed_at), end - FRESH), end)
        if not len(found) or int(found.time[-1]) < end - FRESH:
            raise UsageError(f"the exchange gives no price of {pair} just now; answer again in a moment")
        record = self._loop.memory.book.follows.get(waiting.follow_id)
        if record is None:
            return "the signal is not followed any more"
        levels, close = record.follow.levels, float(found.close[-1])
        seen = await self._last_traded(pair)
        for price in (close, close if seen is None else seen):
            if over := has_left(levels, closed_at, tuple(found), price):
                return over
        worse = max if levels.direction is Direction.LONG else min
        self._quotes[stored.approval_id] = _Quote(close if seen is None else worse(close, seen), to_ms(now))
        return ""

    async def _last_traded(self, pair: Pair) -> float | None:
        """As it is shown to people; None where it cannot be had soon: then the last minute alone counts."""
        try:
            async with asyncio.timeout(PATIENCE):
                return (await self._market.prices([pair])).get(pair)
        except (MarketError, TimeoutError) as error:
            log.info("%s: a yes without the last price: %s", pair, str(error) or "no answer")
            return None

    def _grant(self, stored: StoredApproval, controls: Controls) -> Granted:
        waiting, quote = Waiting.from_json(stored.body), self._quotes.pop(stored.approval_id, None)
        book, now = self._loop.memory.book, to_ms(self._clock.now())
        if quote is None:
            raise OutdatedError("it has been answered meanwhile")
        if now >= stored.expires_at:  # while the price was asked for
            raise OutdatedError("the next candle has closed since")
        enabled = self._loop.enabled(Pair.parse(waiting.signal.pair))
        settings = self._loop.in_force
        if reason := refusal(waiting, book.account, controls.paused, enabled, now, settings):
            raise OutdatedError(reason)
        try:
            after, effect = answered.take(
                book, waiting, Yes(quote.price, quote.at, stored.answered_by or "somebody"), settings
            )
        except ValueError as error:
            raise OutdatedError(str(error)) from error
        return Granted(effect=effect, book=after)

    def _decline(self, stored: StoredApproval, reason: str) -> Granted:
        return Granted(effect=answered.decline(Waiting.from_json(stored.body), reason))
