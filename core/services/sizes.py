"""How much of a pair is traded: its risk multiplier, changed at once, and what the next trade would risk with it."""

from __future__ import annotations

from dataclasses import dataclass

from core.config import Settings
from core.domain.candles import Pair
from core.errors import UsageError
from core.services.changes import pair_risk
from core.services.loop import TradingLoop
from core.services.steering import Steering
from core.services.views import Actor

MOST = 2.0
"""The largest multiplier the settings allow."""


@dataclass(frozen=True, slots=True)
class SizeView:
    """A pair's multiplier and what the next trade would risk, in USDT, at full size and with today's equity.

    ``wanted`` is the multiplier asked for, ``factor`` what counts now. ``room`` is what the limit of open risk leaves.
    ``held``: an open trade of the pair keeps its size.
    """

    pair: str
    factor: float
    configured: float
    risk: float
    room: float
    held: bool
    wanted: float | None = None
    wanted_risk: float = 0.0


class Sizes:
    def __init__(self, steering: Steering, loop: TradingLoop) -> None:
        self._steering = steering
        self._loop = loop

    def all(self) -> tuple[SizeView, ...]:
        return tuple(self._view(pair) for pair in self._steering.settings.traded)

    def view(self, pair: str, wanted: float | None = None) -> SizeView:
        """Raises UsageError for a pair that is not traded and a multiplier that cannot be."""
        market = self._known(pair)
        if wanted is not None and not 0 < wanted <= MOST:
            raise UsageError(f"a size lies above 0 and is at most {MOST:g}; 1 is the full risk of a trade")
        return self._view(market, wanted)

    async def set(self, pair: str, factor: float, actor: Actor) -> SizeView:
        """Counts from the next candle on; gives the view as it was before, with what was wanted. Raises UsageError."""
        view = self.view(pair, factor)
        await self._steering.set({pair_risk(Pair.parse(view.pair)): factor}, actor)
        return view

    def _known(self, text: str) -> Pair:
        pair, settings = Pair.parse(text), self._steering.settings
        if pair not in settings.traded:
            known = ", ".join(p.base for p in settings.traded)
            raise UsageError(f"{pair} is not among the pairs: {known}")
        return pair

    def _view(self, pair: Pair, wanted: float | None = None) -> SizeView:
        settings, account = self._steering.settings, self._loop.account
        full = account.equity * settings.paper.risk_per_trade
        open_risk = sum(p.open_risk for p in account.positions)
        room = max(0.0, settings.portfolio.max_open_risk * account.equity - open_risk)
        factor = settings.risk_of(pair)
        return SizeView(
            pair=str(pair),
            factor=factor,
            configured=self._configured(pair, settings),
            risk=full * factor,
            room=room,
            held=account.position(pair) is not None,
            wanted=wanted,
            wanted_risk=full * (wanted or 0.0),
        )

    def _configured(self, pair: Pair, settings: Settings) -> float:
        body = self._loop.memory.controls.changes.get(pair_risk(pair))
        return float(body["from"]) if isinstance(body, dict) and "from" in body else settings.risk_of(pair)
