"""Why a signal was taken or refused: every layer, the model's reasons, what it resembles, and what became of it.

Everything is read from the ledger as it was stored at the decision; nothing is worked out anew, so a model that has
been replaced since still speaks for itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime

from core.domain.candles import Timeframe, to_datetime
from core.domain.ledger import DecisionRecord, DecisionStatus, FollowRecord
from core.domain.trading import Direction, FollowKind, Neighbour, Verdict
from core.errors import UsageError
from core.ml.words import Line, base_of, lines, probability_of
from core.ports import Ledger, TradeRow
from core.reports.reasons_chart import reasons_chart
from core.services.pictures import Draw

_NO_LAYER = "variant"  # what other choices of the filters say is kept with a decision, but decides nothing


@dataclass(frozen=True, slots=True)
class ModelWhy:
    """What the model said. ``start`` is the probability before any feature has spoken, None where no reasons were
    kept; ``lines`` are what moved it from there, in log-odds, the strongest first; ``rank`` is among those before it.
    """

    model_id: str
    probability: float
    average: float | None
    rank: float | None
    start: float | None
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class GeminiWhy:
    approve: bool | None
    confidence: float
    reasoning: str
    source: str


@dataclass(frozen=True, slots=True)
class Became:
    """What became of it: a trade, or a shadow followed without money. ``r`` is gross, at the last close while open.

    ``r_net`` is known once it has closed, ``exit_reason`` empty before; ``best`` and ``worst`` are in R.
    """

    is_trade: bool
    closed: bool
    r: float
    r_net: float | None
    exit_reason: str
    last_target: str
    bars: int
    best: float
    worst: float
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class WhyView:
    """One decision in full. ``trade_id`` is None where no trade was opened; ``time`` is the candle's close."""

    decision_id: int
    trade_id: int | None
    pair: str
    direction: Direction
    status: DecisionStatus
    reason: str
    time: datetime
    entry: float
    stop: float
    targets: tuple[float, float, float]
    verdicts: tuple[Verdict, ...]
    model: ModelWhy | None
    gemini: GeminiWhy | None
    combined_confidence: float | None
    influence_weight: float
    neighbours: tuple[Neighbour, ...]
    became: Became
    picture: bytes | None = field(default=None, repr=False)


class Explainer:
    """Finds a decision by its number, or by that of its trade, and tells all that is stored of it."""

    def __init__(self, ledger: Ledger, draw: Draw = asyncio.to_thread) -> None:
        self._ledger = ledger
        self._draw = draw

    async def why(self, number: int | None, is_trade: bool = False) -> WhyView:
        """The signal, candidate or, with ``is_trade``, the trade of that number; None: the newest signal.

        A number that is no signal's may be a trade's. Raises UsageError, in a sentence, where there is nothing.
        """
        view = view_of(await self._found(number, is_trade))
        model = view.model
        if model is None or model.start is None:
            return view
        title = f"{view.pair} {view.direction} #{view.decision_id} · what moved {model.model_id}"
        picture = await self._draw(reasons_chart, title, model.lines, model.start, model.probability)
        return replace(view, picture=picture)

    async def _found(self, number: int | None, is_trade: bool) -> TradeRow:
        row = None if is_trade else await self._ledger.row_of(number)
        if row is None and number is not None:
            row = await self._of_trade(number)
        if row is not None:
            return row
        newest = await self._ledger.row_of()
        if newest is None:
            raise UsageError("no signal has been decided yet")
        kind = "trade" if is_trade else "signal or trade"
        raise UsageError(f"there is no {kind} {number}; the newest signal is {newest.decision.decision_id}")

    async def _of_trade(self, number: int) -> TradeRow | None:
        record = await self._ledger.follow(number)
        if record is None or record.kind is not FollowKind.TRADE:
            return None
        return await self._ledger.row_of(record.decision_id)


def view_of(row: TradeRow) -> WhyView:
    """A decision as a person reads it, without its picture."""
    decision, record = row.decision, row.follow
    levels = record.follow.levels
    return WhyView(
        decision_id=decision.decision_id,
        trade_id=record.follow_id if record.kind is FollowKind.TRADE else None,
        pair=str(decision.pair),
        direction=decision.direction,
        status=decision.status,
        reason=decision.reason,
        time=to_datetime(decision.open_time + Timeframe.parse(decision.timeframe).ms),
        entry=levels.entry,
        stop=levels.stop,
        targets=levels.targets,
        verdicts=tuple(v for v in decision.verdicts if v.layer != _NO_LAYER),
        model=_model(decision),
        gemini=_gemini(decision),
        combined_confidence=decision.combined_confidence,
        influence_weight=decision.influence_weight,
        neighbours=decision.neighbours,
        became=_became(record, Timeframe.parse(decision.timeframe)),
    )


def _model(decision: DecisionRecord) -> ModelWhy | None:
    if decision.ml_probability is None or decision.model_id is None:
        return None
    base = base_of(decision.reasons)
    return ModelWhy(
        model_id=decision.model_id,
        probability=decision.ml_probability,
        average=decision.ml_average,
        rank=decision.ml_rank,
        start=None if base is None else probability_of(base),
        lines=lines(decision.reasons),
    )


def _gemini(decision: DecisionRecord) -> GeminiWhy | None:
    if decision.gemini_confidence is None:
        return None
    return GeminiWhy(
        decision.gemini_approve, decision.gemini_confidence, decision.gemini_reasoning, decision.gemini_source
    )


def _became(record: FollowRecord, frame: Timeframe) -> Became:
    follow = record.follow
    open_r = 0.0
    if not follow.closed:
        levels = follow.levels
        open_r = levels.direction.sign * (record.mark - levels.entry) / levels.risk * follow.remaining
    return Became(
        is_trade=record.kind is FollowKind.TRADE,
        closed=follow.closed,
        r=follow.realized_r + open_r,
        r_net=record.r_net,
        exit_reason=follow.exit_reason.value if follow.exit_reason else "",
        last_target=f"TP{follow.targets_hit}" if follow.targets_hit else "",
        bars=follow.bars,
        best=follow.mfe_r,
        worst=follow.mae_r,
        ended_at=None if follow.exit_time is None else to_datetime(follow.exit_time + frame.ms),
    )
