"""Samples and a report as a desk would give them, made by the real code from a few numbers."""

from __future__ import annotations

from datetime import datetime, timedelta

from core.config import Settings
from core.domain.candles import DAY_MS, to_ms
from core.domain.trading import Direction
from core.ml.unclear import Unclear
from core.ports import Outcome
from core.services.stock import Lived, PairHistory, SamplesView, Stock, stock_of
from core.services.success import Facts, ReportView, report_of

PAIRS = ("LINK/USDT", "ETH/USDT", "SOL/USDT")
METRICS: dict[str, float | None] = {
    "n": 300.0, "base_rate": 0.38, "accuracy": 0.61, "majority": 0.62, "auc": 0.52, "auc_low": 0.47, "auc_high": 0.57,
}  # fmt: skip
DAYS = 35


def stock(now: datetime, outcomes: int = 21) -> Stock:
    """Three pairs after 35 days, a third of the outcomes trades, with two years of candles behind them."""
    start = to_ms(now) - DAYS * DAY_MS
    lived = Lived(
        counts={(PAIRS[0], "trade"): outcomes // 3, (PAIRS[1], "shadow_signal"): outcomes - outcomes // 3,
                (PAIRS[2], "shadow_candidate"): 402},
        outcomes=tuple(_outcome(n, start) for n in range(outcomes)),
        first_ms=start,
        last_ms=to_ms(now),
        watched=PAIRS,
        looks=0,
    )  # fmt: skip
    history = tuple(PairHistory(pair, 88, 2_000, 730.0) for pair in PAIRS)
    return stock_of(Settings(), now, lived, history, METRICS)


def _outcome(number: int, start: int) -> Outcome:
    time = start + number * DAY_MS
    return Outcome(
        open_time=time,
        timeframe="15m",
        pair=PAIRS[number % 3],
        direction=Direction.LONG,
        probability=0.4,
        model_id="xgb-1",
        is_trade=number % 3 == 0,
        exit_time=time + DAY_MS // 4,
        realized_r=1.0 if number % 2 else -1.0,
        decided_at=time + 1,
    )


def samples(now: datetime, picture: bytes) -> SamplesView:
    return SamplesView(stock(now), picture)


def report(now: datetime, picture: bytes) -> ReportView:
    """After 35 days: few outcomes, as expected; a deep drawdown, which is a red flag."""
    last = to_ms(now)
    facts = Facts(
        closed=[last - n * DAY_MS for n in range(21, 0, -1)],
        trades=[(last - n * DAY_MS, 60.0 if n % 2 else -40.0) for n in range(24, 0, -1)],
        equity=[(last - DAYS * DAY_MS, 10_000.0), (last - 20 * DAY_MS, 7_700.0), (last - DAY_MS, 8_200.0)],
        asked=[(last - n * DAY_MS, n % 3 > 0) for n in range(30, 0, -1)],
        looks=[],
        unclear=Unclear(30, {"alignment": 3, "gemini": 2}),
    )
    return ReportView(report_of(facts, stock(now), Settings(), METRICS), picture)


def bad_model(now: datetime) -> ReportView:
    """Twenty days old, with a model that is wrong more often than right."""
    young = now - timedelta(days=20)
    facts = Facts([], [], [(to_ms(young), 10_000.0)], [], [])
    return ReportView(report_of(facts, stock(now, 0), Settings(), METRICS | {"accuracy": 0.39}), None)


def first_days(now: datetime) -> ReportView:
    """Five days old."""
    young = now - timedelta(days=5)
    facts = Facts([], [], [(to_ms(young), 10_000.0)], [], [])
    return ReportView(report_of(facts, stock(now, 0), Settings(), {}), None)
