"""Predictions stored at their decisions with the outcomes that came later, from the ledger, as the gate counts them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from core.domain.candles import Timeframe, to_datetime
from core.ml.gate import Reign, ScoredPrediction, by_champions
from core.ml.live_evaluation import LiveEvaluation, LiveOutcome, evaluate_live
from core.ports import ChampionBook, ChampionRecord, ChatStore, Ledger, Outcome


def scored(outcome: Outcome) -> ScoredPrediction:
    """A live outcome with its prediction, which must be there."""
    assert outcome.probability is not None
    frame = Timeframe.parse(outcome.timeframe)
    return ScoredPrediction(
        decided_at=to_datetime(outcome.decided_at),
        closed_at=to_datetime(outcome.exit_time + frame.ms),
        probability=outcome.probability,
        outcome=int(outcome.realized_r > 0),
        source="trade" if outcome.is_trade else "shadow",
        model_id=outcome.model_id or "",
        pair=outcome.pair,
        direction=outcome.direction,
    )


async def evidence_of(ledger: Ledger, book: ChampionBook | None, line: str) -> list[ScoredPrediction]:
    """Live outcomes with a prediction stored at their decision by the champion of then, in the order of closing."""
    outcomes = await ledger.outcomes()
    reigns = await book.champions() if book else []
    return await asyncio.to_thread(_evidence, outcomes, reigns, line)


def _evidence(outcomes: Sequence[Outcome], reigns: Sequence[ChampionRecord], line: str) -> list[ScoredPrediction]:
    found = [scored(o) for o in outcomes if o.probability is not None and o.model_id]
    # A prediction that came after the outcome was known (a very late opinion) proves nothing.
    timely = [p for p in found if p.decided_at < p.closed_at]
    known = [Reign(to_datetime(r.since), r.line, r.model_id) for r in reigns]
    return by_champions(timely, known, line)


async def live_evaluation(ledger: Ledger, chat: ChatStore, book: ChampionBook | None, line: str) -> LiveEvaluation:
    """What the stored predictions of a line were worth, on exactly the outcomes of the gate's last look."""
    looks = [json.loads(body) for body in await chat.looks(line)]
    evidence = set(await evidence_of(ledger, book, line))
    decisions = {
        (str(d.pair), d.timeframe, d.open_time, d.direction): d for d in await ledger.decisions(signals_only=True)
    }
    found = []
    for outcome in await ledger.outcomes():
        if outcome.probability is None or not outcome.model_id:
            continue
        prediction = scored(outcome)
        if prediction in evidence or prediction.decided_at >= prediction.closed_at:
            decision = decisions[outcome.pair, outcome.timeframe, outcome.open_time, outcome.direction]
            regime = decision.snapshot.regime.value
            found.append(LiveOutcome(decision.decision_id, prediction, outcome.realized_r, regime))
    return evaluate_live(found, max((int(look["n"]) for look in looks), default=0))
