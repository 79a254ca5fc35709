"""What a weight would have done: pure, on hand-made decisions."""

from __future__ import annotations

from core.domain.candles import Pair
from core.domain.ledger import DecisionRecord
from core.domain.trading import Direction, Regime, Snapshot
from core.ml.preview import preview
from tests.ledgers import settings
from tests.markets import M15, START

NUMBERS = (100.0, 99.0, 55.0, 30.0, 25.0, 15.0, 1.0, 1.0, 10.0, 1.2, 1.0, 0.55)  # sma_15 to hurst


def decided(number: int, probability: float | None, confidence: float | None = 0.8) -> DecisionRecord:
    """A taken signal, one a day, with Gemini's yes and the model's word."""
    opened = START + number * 96 * M15.ms
    return DecisionRecord(
        decision_id=number + 1,
        pair=Pair.parse("LINK/USDT"),
        timeframe="15m",
        open_time=opened,
        direction=Direction.LONG,
        is_signal=True,
        status="taken",
        reason="",
        snapshot=Snapshot(opened, 100.0, *NUMBERS, Regime.TRENDING, 0, 0),
        verdicts=(),
        decided_at=opened + M15.ms,
        ml_probability=probability,
        ml_average=0.4,
        model_id="m1",
        gemini_approve=True,
        gemini_confidence=confidence,
    )


def test_the_preview_counts_flips_and_says_when_trading_would_halve() -> None:
    signals = [decided(n, p) for n, p in enumerate((0.1, 0.2, 0.3, 0.9))]
    probability = settings(ml={"scale": "probability"})

    mild = preview(signals, 0.25, settings(), [0.1, 0.2, 0.3, 0.9])
    harsh = preview(signals, 0.5, probability, [0.1, 0.2, 0.3, 0.9])

    assert (mild.signals, mild.taken_before) == (4, 4)
    assert mild.flips == mild.taken_before - mild.taken_after
    assert harsh.taken_after == 1
    assert harsh.halves_trading
