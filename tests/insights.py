"""Insight on a real ledger, for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

from core.adapters.candle_files import CandleFiles
from core.config import Settings
from core.ports import MarketData
from core.services.added import MOST_PAIRS
from core.services.added_pairs import AddedPairs
from core.services.approvals import Approvals
from core.services.asking import LowerCandles
from core.services.bus import Bell
from core.services.filter_desk import FilterDesk
from core.services.insight import Insight
from core.services.live import LiveTrading
from core.services.outlook import OutlookDesk
from core.services.rules import RuleKeeper
from core.services.stock import Stockroom
from core.services.whynot import WhyNotDesk
from tests.ledgers import Books, Stage


def insight_of(
    config: Settings,
    stage: Stage,
    kept: Books,
    path: Path,
    live: LiveTrading,
    approvals: Approvals,
    market: MarketData | None = None,
    again: Callable[[], None] = lambda: None,
) -> Insight:
    """Without an exchange, unless a test has one."""
    candles, clock, loop = CandleFiles(path), stage.clock, stage.loop
    stock = Stockroom(config, clock, kept.ledger, kept.chat, candles, dict, lambda: "main").stock
    exchange = market or cast(MarketData, None)
    return Insight(
        OutlookDesk(clock, kept.ledger, loop, stock, MOST_PAIRS),
        WhyNotDesk(config, kept.ledger, loop, live.note, LowerCandles(), gemini_present=False),
        FilterDesk(clock, kept.ledger, loop, candles, live.save),
        AddedPairs(config, (), clock, kept.ledger, loop, exchange, stock, Bell(), again, live.ready.wait),
        RuleKeeper(config, clock, kept.ledger, kept.chat, loop, Bell(), approvals),
    )
