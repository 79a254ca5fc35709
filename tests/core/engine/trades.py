"""Candidates and opinions made by hand, for tests of what is decided about them."""

from __future__ import annotations

from core.domain.candles import Pair
from core.domain.trading import Candidate, Direction, Regime, Ruling, Snapshot, Verdict
from core.engine.strategy import levels
from tests.markets import M15, START

NUMBERS = (99.0, 98.0, 55.0, 30.0, 25.0, 15.0)  # sma_15 to di_minus


def candidate(
    pair: Pair,
    direction: Direction = Direction.LONG,
    row: int = 0,
    entry: float = 100.0,
    atr: float = 1.0,
    signal: bool = True,
) -> Candidate:
    """A crossing at the close of the candle ``row`` candles after START; 1R is two ATR."""
    snapshot = Snapshot(
        START + row * M15.ms, entry, *NUMBERS, atr, 100 * atr / entry, 10.0, 1.2, 1.0, 0.55, Regime.TRENDING, 0, 0
    )
    verdict = Verdict("signal", "adx", Ruling.PASS if signal else Ruling.REFUSE, 30.0, "ADX 30.0")
    return Candidate(pair, M15, direction, snapshot, levels(direction, entry, atr), (verdict,))
