"""Insight on a real ledger, for tests."""

from __future__ import annotations

from pathlib import Path

from core.adapters.candle_files import CandleFiles
from core.config import Settings
from core.services.added import MOST_PAIRS
from core.services.insight import Insight
from core.services.outlook import OutlookDesk
from core.services.stock import Stockroom
from tests.ledgers import Books, Stage


def insight_of(config: Settings, stage: Stage, kept: Books, path: Path) -> Insight:
    stockroom = Stockroom(config, stage.clock, kept.ledger, kept.chat, CandleFiles(path), dict, lambda: "main")
    return Insight(OutlookDesk(stage.clock, kept.ledger, stage.loop, stockroom.stock, MOST_PAIRS))
