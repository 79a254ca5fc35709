"""Questions of the kind ``trade``: what a person's answer does, at a price that can be had just now."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from core.config import Settings
from core.domain.candles import Pair, Timeframe, to_ms
from core.domain.ledger import Controls
from core.engine import answered
from core.engine.advisory import Waiting, has_left, refusal
from core.engine.answered import Yes
from core.errors import UsageError
from core.ports import Clock, MarketData, StoredApproval
from core.services.approvals import Approvals, Granted, Kind, OutdatedError
from core.services.loop import TradingLoop
from core.services.minutes import ExchangeMinutes

log = logging.getLogger(__name__)

M1 = Timeframe.parse("1m")
FRESH = 3 * M1.ms
"""How far back a last 1m close may lie: an older price is none."""


@dataclass(frozen=True, slots=True)
class _Quote:
    price: float
    at: int  # epoch ms


class TradeQuestions:
    """Answers to the cards of ``mode: advisory``. The price is asked for before the answer is applied."""

    def __init__(
        self, settings: Settings, clock: Clock, market: MarketData, loop: TradingLoop, approvals: Approvals
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._loop = loop
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
        price = float(found.close[-1])
        if over := has_left(record.follow.levels, closed_at, tuple(found), price):
            return over
        self._quotes[stored.approval_id] = _Quote(price, to_ms(now))
        return ""

    def _grant(self, stored: StoredApproval, controls: Controls) -> Granted:
        waiting, quote = Waiting.from_json(stored.body), self._quotes.pop(stored.approval_id)
        book, now = self._loop.memory.book, to_ms(self._clock.now())
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
