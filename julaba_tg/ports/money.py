"""What the chat needs of ``core.services.money``. Questions only."""

from __future__ import annotations

from datetime import date
from typing import Protocol
from zoneinfo import ZoneInfo

from core.services.asked_now import PredictView
from core.services.explain import WhyView
from core.services.exposure import RiskView
from core.services.market_board import MarketView
from core.services.profit import CalendarView, ProfitView


class MoneyLike(Protocol):
    async def profit(self, days: int | None, zone: ZoneInfo) -> ProfitView:
        """What was made in the last days of that zone, today included (None: ever), with the equity as a picture."""
        ...

    async def calendar(self, month: date | None, zone: ZoneInfo) -> CalendarView:
        """A month day by day, with its picture; None: the present one. Raises UsageError for one in the future."""
        ...

    async def signals(self, count: int) -> tuple[WhyView, ...]:
        """The last signals with what became of them, the newest first."""
        ...

    async def market(self) -> MarketView: ...
    async def risk(self) -> RiskView: ...
    async def predict(self, pair: str) -> PredictView:
        """What the model would say of a pair now. Raises UsageError for one that is not traded, or without candles."""
        ...
