"""Looking at money: what was made, what is at risk, how the market stands, what the model would say of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from zoneinfo import ZoneInfo

from core.config import Settings
from core.domain.candles import Pair
from core.errors import UsageError
from core.ports import Clock, Ledger, Predictor
from core.reports.calendar_chart import calendar_chart
from core.reports.charts import equity_chart, signed_amount
from core.services.asked_now import PredictView, predict_now
from core.services.explain import WhyView, view_of
from core.services.exposure import RiskView, risk_of
from core.services.loop import TradingLoop
from core.services.market_board import MarketView, btc_of, market_line
from core.services.pausing import Pausing
from core.services.pictures import Draw
from core.services.prices import Prices
from core.services.profit import CalendarView, ProfitView, calendar_of, day_start, profit_of, span, thinned


class MoneyDesk:
    """Questions only: nothing here changes anything.

    ``in_force`` gives the settings that count now. Without ``prices`` nobody knows a price between closes, without a
    ``predictor`` there is no model to ask.
    """

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        loop: TradingLoop,
        in_force: Callable[[], Settings],
        predictor: Predictor | None = None,
        prices: Prices | None = None,
        draw: Draw = asyncio.to_thread,
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._loop = loop
        self._in_force = in_force
        self._predictor = predictor
        self._prices = prices
        self._draw = draw
        self._pausing = Pausing(clock, ledger, loop)

    async def profit(self, days: int | None, zone: ZoneInfo) -> ProfitView:
        """The trades that ended in the last ``days`` days of that zone, today included; None: all of them."""
        now, settings, account = self._clock.now(), self._in_force(), self._loop.account
        trades, curve = await self._ledger.closed_trades(), await self._ledger.equity_curve()
        view = await asyncio.to_thread(profit_of, trades, curve, days, now, zone, settings)
        points = thinned(span(curve, day_start(view.since, zone), settings.paper.start_balance))
        if len(points) == 1:  # nothing has been closed yet: a level line up to now
            points.append((max(points[0][0] + 1, round(now.timestamp() * 1000)), points[0][1]))
        title = "Equity" if days is None else f"Equity, {days} day{'' if days == 1 else 's'}"
        times, values = [time for time, _ in points], [value for _, value in points]
        picture = await self._draw(equity_chart, times, values, title, words=_words(view), zone=zone.key)
        return replace(view, open_trades=len(account.positions), open_pnl=account.open_pnl, picture=picture)

    async def calendar(self, month: date | None, zone: ZoneInfo) -> CalendarView:
        """A month of that zone, None the present one. Raises UsageError for one that has not begun."""
        now, settings = self._clock.now(), self._in_force()
        today = now.astimezone(zone).date()
        if month is not None and month > today:
            raise UsageError(f"{month:%B %Y} has not begun")
        view = calendar_of(await self._ledger.closed_trades(), month, now, zone, settings)
        found = [(day.day.day, day.pnl, day.trades) for day in view.days]
        last = today.day if today.replace(day=1) == view.month else None
        picture = await self._draw(calendar_chart, view.month.year, view.month.month, found, last)
        return replace(view, picture=picture)

    async def signals(self, count: int) -> tuple[WhyView, ...]:
        """The last signals with what became of each so far, the newest first; without pictures."""
        return tuple(view_of(row) for row in await self._ledger.newest_signals(count))

    async def market(self) -> MarketView:
        """Each configured pair as its last close left it, with what it costs now where that is known."""
        settings, memory = self._in_force(), self._loop.memory
        lines = tuple(
            market_line(
                pair,
                self._loop.enabled(pair),
                memory.histories.get(pair),
                self._prices.latest(pair) if self._prices is not None else None,
            )
            for pair in settings.traded
        )
        trend, change = btc_of(settings, memory.windows)
        return MarketView(lines, str(settings.btc), trend, change)

    async def risk(self) -> RiskView:
        return risk_of(self._loop.account, self._in_force(), self._loop.memory.windows, self._pausing.why())

    async def predict(self, pair: str) -> PredictView:
        """Raises UsageError for a pair that is not traded, or without candles yet."""
        settings, market = self._in_force(), Pair.parse(pair)
        if market not in settings.traded:
            raise UsageError(f"{market} is not among the pairs: {', '.join(p.base for p in settings.traded)}")
        return await predict_now(market, self._loop.memory, self._predictor, settings)


def _words(view: ProfitView) -> str:
    """Below a picture's title: what of the curve is booked."""
    if not view.trades:
        return "no trade ended in this time"
    return f"{view.trades} trade{'' if view.trades == 1 else 's'} ended, {signed_amount(view.net.pnl)} net"
