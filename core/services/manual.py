"""Closing by hand: first a plan that shows what would be closed at which price, then the closing of exactly that.

On paper too a trade is closed at a price that can be had: the last 1m close that the exchange gives. Where it gives
none, as for a pair it has delisted, the last close known is taken, and the plan says how old it is.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from core.config import Settings
from core.domain.account import Position
from core.domain.candles import Pair, to_datetime, to_ms
from core.domain.trading import Direction
from core.engine import trader
from core.engine.between import ByHand
from core.errors import MarketError, UsageError
from core.ports import Clock, Ledger, MarketData
from core.services.changing import Changer, Standing
from core.services.loop import TradingLoop
from core.services.minutes import M1, ExchangeMinutes
from core.services.views import Actor

log = logging.getLogger(__name__)

FRESH = 3 * M1.ms
"""How far back a last 1m close is looked for."""


@dataclass(frozen=True, slots=True)
class Closing:
    """A trade as it would be closed: at ``price``, which was known at ``price_at`` (UTC). ``pnl`` net, the whole trade.

    ``quantity`` is what is still open, in base units; ``r`` gross, of the whole trade.
    """

    trade_id: int
    pair: str
    direction: Direction
    quantity: float
    entry: float
    price: float
    price_at: datetime
    pnl: float
    r: float


@dataclass(frozen=True, slots=True)
class ClosePlan:
    """What a yes would close. ``token`` names exactly these trades; ``pauses``: new entries end too."""

    token: str
    closings: tuple[Closing, ...]
    pauses: bool
    made_at: datetime

    @property
    def pnl(self) -> float:
        return sum(c.pnl for c in self.closings)


@dataclass(frozen=True, slots=True)
class CloseResult:
    """What was closed, as it ended; ``equity`` USDT after it. ``paused`` says whether entries are paused now."""

    closed: tuple[Closing, ...]
    equity: float
    paused: bool


class Hands:
    """Plans and closes. Stops and targets that the market has reached before the closing come first.

    But with ``paper.exits_between_closes`` off: then only closes count, also here.
    """

    def __init__(self, settings: Settings, clock: Clock, market: MarketData, ledger: Ledger, loop: TradingLoop) -> None:
        self._settings = settings
        self._clock = clock
        self._market = market
        self._changer = Changer(clock, ledger, loop)
        self._loop = loop
        self._minutes = ExchangeMinutes(market, clock)

    async def plan(self, pair: Pair | None) -> ClosePlan:
        """What is open in ``pair``, or with None all that is open. Raises UsageError where nothing is."""
        await self._look()
        chosen = self._chosen(pair)
        if not chosen:
            raise UsageError("nothing is open" if pair is None else f"nothing is open in {pair}")
        closings = await self._closings(chosen)
        return ClosePlan(_token(chosen, pair), closings, pair is None, self._clock.now())

    async def close(self, pair: Pair | None, token: str, actor: Actor) -> CloseResult:
        """Closes what the plan of that token showed; for all pairs it first pauses the entries.

        Raises UsageError where the open trades are others by now: nothing is closed that was not shown.
        """
        await self._look()
        chosen = self._chosen(pair)
        if _token(chosen, pair) != token:
            raise UsageError("what is open has changed since it was shown; look again")
        if pair is None:
            await self._pause(actor)
        closings = {c.trade_id: c for c in await self._closings(chosen)}
        now = to_ms(self._clock.now())
        done = await self._loop.close_by_hand(ByHand(c.trade_id, c.price, now) for c in closings.values())
        closed = tuple(
            replace(closings[record.follow_id], pnl=record.pnl, r=record.follow.realized_r) for record in done
        )
        return CloseResult(closed, self._loop.account.equity, bool(self._loop.memory.controls.paused))

    async def _look(self) -> None:
        """What the market has done since the last look is honoured before a person's hand."""
        try:
            await self._loop.look_inside(await self._market.server_time())
        except MarketError as error:
            log.info("closing by hand without a look before it: %s", error)

    def _chosen(self, pair: Pair | None) -> list[Position]:
        return [p for p in self._loop.account.positions if pair is None or p.pair == pair]

    async def _pause(self, actor: Actor) -> None:
        def paused(now: Standing) -> Standing | None:
            if now.controls.paused:
                return None
            return replace(now, controls=replace(now.controls, paused=f"panic by {actor.name}"))

        # Not to be taken back alone: the trades stay closed, and whoever wants new ones says /resume.
        await self._changer.make(actor, "pause", paused, reversible=False)

    async def _closings(self, chosen: Iterable[Position]) -> tuple[Closing, ...]:
        """All asked for at once: an exchange that hangs holds up a panic no longer than a single trade."""
        return tuple(await asyncio.gather(*(self._closing(position) for position in chosen)))

    async def _closing(self, position: Position) -> Closing:
        price, at = await self._price(position)
        now = to_ms(self._clock.now())
        ended = trader.close_by_hand(position.follow, price, now, self._settings)
        _, after, _ = trader.settle(self._loop.account, position, ended, self._settings)
        return Closing(
            trade_id=position.trade_id,
            pair=str(position.pair),
            direction=position.direction,
            quantity=position.open_quantity,
            entry=position.follow.levels.entry,
            price=price,
            price_at=to_datetime(at),
            pnl=after.pnl,
            r=ended.realized_r,
        )

    async def _price(self, position: Position) -> tuple[float, int]:
        """The last price that can be had, and when it was known (epoch ms)."""
        end = M1.floor(to_ms(self._clock.now()))
        found = await self._minutes.minutes(position.pair, end - FRESH, end)
        if len(found):
            return float(found.close[-1]), int(found.time[-1]) + M1.ms
        record = self._loop.memory.book.follows[position.trade_id]
        return position.mark, record.last_time + self._settings.frame.ms


def _token(chosen: Iterable[Position], pair: Pair | None) -> str:
    """Changes with the set of trades, with what of them is open, and with what was asked."""
    named = "|".join(f"{p.trade_id}:{p.follow.targets_hit}" for p in chosen)
    return hashlib.sha256(f"{pair}|{named}".encode()).hexdigest()[:12]
