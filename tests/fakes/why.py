"""A decision in full, as the explainer would give it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from core.domain.trading import Direction, Neighbour, Reason, Ruling, Verdict
from core.ml.prediction import BASE
from core.ml.words import lines, probability_of
from core.services.explain import Became, GeminiWhy, ModelWhy, WhyView

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

REASONS: tuple[Reason, ...] = (
    ("entry_adx", 31.2, 0.42),
    ("btc_correlation", 0.82, -0.2),
    ("regime_choppy", 0.0, -0.08),
    ("entry_rsi", 63.8, -0.1),
    ("regime_trending", 1.0, 0.13),
    ("entry_hour", 14.0, -0.03),
    ("entry_hurst", None, 0.02),
    *((f"made_up_{n}", float(n), 0.01) for n in range(4)),
    (BASE, None, -0.55),
)

NEIGHBOURS = (
    Neighbour("SOL/USDT", Direction.LONG, 1_700_000_000_000, 2.4, 0.31),
    Neighbour("LINK/USDT", Direction.LONG, 1_710_000_000_000, -1.0, 0.35),
)

LIVING = Became(True, False, 0.34, None, "", "TP1", 9, 1.6, -0.2, None)
ENDED = Became(True, True, 0.25, 0.18, "STOP_LOSS", "TP1", 21, 1.6, -1.0, NOON + timedelta(hours=3))


def a_why(number: int = 12, /, **changes: object) -> WhyView:
    """A taken LINK signal; ``changes`` replace fields."""
    model = ModelWhy(
        "xgb-v1-ab12cd34",
        probability_of(sum(share for *_, share in REASONS)),
        0.36,
        0.62,
        probability_of(-0.55),
        lines(REASONS),
    )
    taken = WhyView(
        decision_id=number,
        trade_id=number,
        pair="LINK/USDT",
        direction=Direction.LONG,
        status="taken",
        reason="",
        time=NOON,
        entry=17.48,
        stop=17.10,
        targets=(18.05, 18.43, 19.0),
        verdicts=(
            Verdict("signal", "adx", Ruling.PASS, 31.2, "ADX 31.2 is at least 25"),
            Verdict("rules", "alignment", Ruling.HALF, 2.0, "1h down"),
            Verdict("gemini", "opinion", Ruling.PASS, 0.78, "approved with 78"),
        ),
        model=model,
        gemini=GeminiWhy(True, 0.78, "Momentum <b>with</b> volume & news", "gemini-3.5"),
        combined_confidence=0.74,
        influence_weight=0.25,
        neighbours=NEIGHBOURS,
        became=LIVING,
    )
    return replace(taken, **changes)  # type: ignore[arg-type]
