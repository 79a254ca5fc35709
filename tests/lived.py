"""Signals with an outcome, as the ledger keeps them: planted, so that what every layer is worth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from core.domain.candles import Pair
from core.domain.ledger import DecisionRecord, DecisionStatus, FollowRecord
from core.domain.trading import Direction, ExitReason, Follow, FollowKind, Levels, Regime, Ruling, Snapshot, Verdict
from tests.markets import M15, START

Row = tuple[DecisionRecord, FollowRecord]

_LEVELS = Levels(Direction.LONG, 100.0, 98.0, (103.0, 105.0, 108.0))
COST = 0.2
"""R that fees and slippage take from each of these."""

AGREES = Verdict("rules", "alignment", Ruling.PASS, 1.0, "5m, 15m, 1h agree")
AGAINST = Verdict("rules", "alignment", Ruling.HALF, 0.5, "1h down")
BTC_FINE = Verdict("rules", "btc", Ruling.PASS, 0.4, "BTC correlation 0.40")
BTC_AGAINST = Verdict("rules", "btc", Ruling.HALF, 0.9, "BTC 1h down, correlation 0.90")
NO_KEY = Verdict("gemini", "gemini", Ruling.ABSENT, None, "no Gemini key: the rules decide")


def signal(
    number: int,
    gross: float = 1.0,
    *,
    at: int | None = None,
    bars: int = 20,
    alignment: Verdict | None = AGREES,
    btc: Verdict | None = BTC_FINE,
    gemini: tuple[bool, float] | None = None,
    no_opinion: str = "",
    rank: float | None = None,
    status: DecisionStatus = "refused",
    exit_reason: ExitReason | None = ExitReason.TIMEOUT,
    tokens: tuple[int, int] = (0, 0),
) -> Row:
    """A signal at row ``at`` (of 15m candles; by default 40 apart) that ended ``bars`` later with ``gross`` R."""
    time = START + (40 * number if at is None else at) * M15.ms
    verdicts = [v for v in (alignment, btc, _gemini(gemini, no_opinion)) if v is not None]
    decision = DecisionRecord(
        decision_id=number,
        pair=Pair.parse("LINK/USDT"),
        timeframe="15m",
        open_time=time,
        direction=Direction.LONG,
        is_signal=True,
        status=status,
        reason="",
        snapshot=_snapshot(time),
        verdicts=tuple(verdicts),
        decided_at=time + M15.ms,
        gemini_approve=gemini[0] if gemini else None,
        gemini_confidence=gemini[1] if gemini else None,
        gemini_source="gemini-test" if gemini else "",
        gemini_prompt_tokens=tokens[0],
        gemini_output_tokens=tokens[1],
        ml_probability=rank,
        ml_rank=rank,
        model_id=None if rank is None else "xgb-1",
    )
    kind = FollowKind.TRADE if status == "taken" else FollowKind.SHADOW_SIGNAL
    follow = Follow(_LEVELS, time)
    record = FollowRecord(number, number, kind, decision.pair, follow, time)
    if exit_reason is not None:
        end = time + bars * M15.ms
        follow = replace(follow, realized_r=gross, exit_reason=exit_reason, exit_price=100.0, exit_time=end)
        record = replace(record, follow=follow, last_time=end, r_net=gross - COST)
    return decision, record


def _snapshot(time: int) -> Snapshot:
    n = float("nan")
    return Snapshot(time, 100.0, n, n, n, n, n, n, n, n, n, n, n, n, Regime.UNKNOWN, 0, 0)


def _gemini(opinion: tuple[bool, float] | None, no_opinion: str) -> Verdict:
    if opinion is not None:
        approve, confidence = opinion
        word = "approves" if approve else "refuses"
        ruling = Ruling.PASS if approve else Ruling.REFUSE
        return Verdict("gemini", "gemini", ruling, confidence, f"Gemini {word} at {confidence:.2f}")
    if no_opinion:
        return Verdict("gemini", "gemini", Ruling.REFUSE, None, f"Gemini has no opinion: {no_opinion}")
    return NO_KEY


def outcomes(n: int, seed: int, win_rate: float = 0.4) -> Sequence[float]:
    """Gross R of ``n`` signals: most lose 1R, the rest win up to 2.65R."""
    rng = np.random.default_rng(seed)
    return [float(r) for r in np.where(rng.random(n) < win_rate, rng.choice([0.35, 1.5, 2.65], n), -1.0)]
