"""Money as a desk would show it: a good month, a bad day, two markets, one open trade."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from core.domain.trading import Direction, Regime
from core.engine.metrics import Drawdown
from core.errors import UsageError
from core.ml.words import Line
from core.services.asked_now import PredictView, Side
from core.services.explain import Became, WhyView
from core.services.exposure import NextPause, OpenRisk, RiskView
from core.services.market_board import Cross, MarketLine, MarketView
from core.services.prices import LivePrice
from core.services.profit import CalendarView, DayProfit, PairProfit, ProfitView, Sums
from core.services.views import TradeView
from tests.fakes.why import a_why

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001"
    "f61738550000000049454e44ae426082"
)


def a_result(trade_id: int, pair: str, pnl: float, r: float) -> TradeView:
    opened, closed = NOON - timedelta(hours=5), NOON - timedelta(hours=2)
    return TradeView(trade_id, pair, "LONG", opened, closed, 17.0, 17.5, "STOP_LOSS", "TP1", pnl, r, 180)


def a_profit(days: int | None = 30) -> ProfitView:
    return ProfitView(
        days=days,
        since=date(2026, 10, 23),
        until=date(2026, 11, 21),
        trades=14,
        net=Sums(312.4, 6, 1.42, 22.31, 0.11),
        gross=Sums(401.1, 8, 1.61, 28.65, 0.16),
        costs=88.7,
        best=a_result(12, "LINK/USDT", 260.0, 2.1),
        worst=a_result(9, "ETH/USDT", -190.5, -1.08),
        pairs=(PairProfit("LINK/USDT", 8, 5, 420.0, 3.4), PairProfit("ETH/USDT", 6, 1, -107.6, -1.9)),
        equity=10_312.4,
        change=335.2,
        drawdown=Drawdown(410.0, 0.0392, 0, 0, None, 0),
        open_trades=1,
        open_pnl=22.8,
        picture=PNG,
    )


def nothing_earned(days: int | None = 30) -> ProfitView:
    none = Sums(0.0, 0, None, None, None)
    return replace(
        a_profit(days), trades=0, net=none, gross=none, costs=0.0, best=None, worst=None, pairs=(), change=0.0,
        drawdown=None, open_trades=0, open_pnl=0.0, equity=10_000.0,
    )  # fmt: skip


def a_calendar(month: date = date(2026, 11, 1)) -> CalendarView:
    days = (DayProfit(month.replace(day=3), 180.0, 2), DayProfit(month.replace(day=17), -60.5, 1))
    after = None if month >= date(2026, 11, 1) else "2026-11"
    return CalendarView(month, days, "2026-10" if month > date(2026, 10, 1) else None, after, PNG)


def some_signals() -> tuple[WhyView, ...]:
    """The newest first: an open trade, a refused one followed to its end, one without model or Gemini."""
    ended = Became(False, True, -1.0, -1.2, "STOP_LOSS", "", 9, 0.3, -1.0, NOON)
    going = Became(True, False, 0.34, None, "", "", 4, 0.5, -0.1, None)
    return (
        replace(a_why(14), trade_id=7, status="taken", reason="", became=going),
        replace(a_why(13), trade_id=None, pair="ETH/USDT", status="refused", reason="1h down", became=ended),
        replace(a_why(12), trade_id=None, pair="SOL/USDT", status="missed", reason="found more than a candle late",
                model=None, gemini=None, became=replace(ended, r=1.5, r_net=1.3)),
    )  # fmt: skip


def a_line(pair: str, **changes: object) -> MarketLine:
    line = MarketLine(
        pair=pair, enabled=True, close=17.48, at=NOON, live=LivePrice(17.61, 4.2, "stream"), change=0.0124,
        regime=Regime.TRENDING, adx=31.2, rsi=58.4, volume_ratio=0.92, hurst=0.58, distance=0.21,
        cross=Cross(Direction.LONG, 5),
    )  # fmt: skip
    return replace(line, **changes)  # type: ignore[arg-type]


def a_market() -> MarketView:
    unknown = MarketLine("SOL/USDT", False, None, None, None, None, Regime.UNKNOWN, *(None,) * 5, None)
    eth = a_line("ETH/USDT", close=3412.6, live=None, change=-0.031, distance=-0.4, cross=None, regime=Regime.CHOPPY)
    return MarketView((a_line("LINK/USDT"), eth, unknown), "BTC/USDT", -1, -0.012)


def a_risk() -> RiskView:
    return RiskView(
        equity=10_000.0,
        open=(OpenRisk("LINK/USDT", "LONG", 120.0, 5_520.0), OpenRisk("ETH/USDT", "LONG", 90.0, 3_400.0)),
        open_risk=210.0,
        open_risk_limit=400.0,
        notional=8_920.0,
        notional_limit=30_000.0,
        max_leverage=3.0,
        max_positions=3,
        groups=(("LINK/USDT", "ETH/USDT"),),
        unknown=(),
        max_correlated=2,
        day_loss=0.021,
        day_loss_limit=0.05,
        drawdown=0.034,
        drawdown_warn=0.15,
        drawdown_pause=0.20,
        streak=2,
        streak_limit=0,
        paused="",
        next_pause=NextPause("daily loss", 296.2),
        stops=240.0,
    )


def a_side(direction: Direction, probability: float) -> Side:
    lines = (Line("ADX", "31", 0.42, ("entry_adx",)), Line("RSI", "64", -0.10, ("entry_rsi",)))
    return Side(direction, probability, 0.36, 0.8, 0.35, lines, ())


def a_prediction(pair: str = "LINK/USDT") -> PredictView:
    sides = (a_side(Direction.LONG, 0.37), a_side(Direction.SHORT, 0.62))
    return PredictView(pair, NOON, 17.48, None, "xgb-1", sides)


@dataclass
class FakeMoney:
    asked: list[tuple[str, object]] = field(default_factory=list)
    profit_view: ProfitView = field(default_factory=a_profit)
    signal_views: tuple[WhyView, ...] = field(default_factory=some_signals)
    market_view: MarketView = field(default_factory=a_market)
    risk_view: RiskView = field(default_factory=a_risk)
    prediction: PredictView = field(default_factory=a_prediction)
    zone: ZoneInfo | None = None  # of the last who asked

    async def profit(self, days: int | None, zone: ZoneInfo) -> ProfitView:
        self.asked.append(("profit", days))
        self.zone = zone
        return replace(self.profit_view, days=days)

    async def calendar(self, month: date | None, zone: ZoneInfo) -> CalendarView:
        self.asked.append(("calendar", month))
        if month is not None and month > date(2026, 11, 21):
            raise UsageError(f"{month:%B %Y} has not begun")
        return a_calendar(month or date(2026, 11, 1))

    async def signals(self, count: int) -> tuple[WhyView, ...]:
        self.asked.append(("signals", count))
        return self.signal_views[:count]

    async def market(self) -> MarketView:
        return self.market_view

    async def risk(self) -> RiskView:
        return self.risk_view

    async def predict(self, pair: str) -> PredictView:
        self.asked.append(("predict", pair))
        if pair not in ("LINK/USDT", "ETH/USDT"):
            raise UsageError(f"{pair} is not among the pairs: LINK, ETH")
        return replace(self.prediction, pair=pair)
