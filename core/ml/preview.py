"""What a weight would have done to the last signals: which of them flip, and what that would have been worth.

Each signal is decided again by the formula that trading uses (``engine.filters.combined_confidence``) with two weights;
every other layer's verdict stays what it was. What cannot be known stays out: a trade that is not taken would have left
its slot, its risk and its day's loss to another one, and no such chain is followed here.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from core.config import Settings
from core.domain.candles import Timeframe, to_datetime
from core.domain.ledger import DecisionRecord
from core.domain.trading import Direction, GeminiOpinion, ModelOpinion, Opinions, Ruling
from core.engine.filters import combined_confidence, effective_weight
from core.ml.prediction import RECENT, percentile_of
from core.ports import TradeRow

PREVIEW_SIGNALS = 30
MOST_FLIPS = 8
"""How many flips a card lists; the rest is counted."""

FULL_FROM = 200
"""Live outcomes from which the ramp holds no weight down."""

DIAL = (0.0, 0.25, 0.5, 0.75, 1.0)
DECIDED = ("taken", "refused", "signal_only")
Scale = Literal["percentile", "probability"]


@dataclass(frozen=True, slots=True)
class PastSignal:
    """A decided signal with its stored prediction. ``time``: its candle's close, epoch ms; ``r_net`` None while open.

    ``rank`` is that of its probability among the ones before it; ``barred``: another layer than the combined confidence
    refused it; ``risk`` is what its stop would have cost in USDT, None where it was refused and no size is stored.
    """

    decision_id: int
    pair: str
    direction: Direction
    time: int
    barred: bool
    gemini: float | None
    model_id: str
    probability: float
    rank: float
    r_net: float | None
    risk: float | None


def past_signals(rows: Iterable[TradeRow], most: int = PREVIEW_SIGNALS) -> tuple[PastSignal, ...]:
    """The last ``most`` decided signals that have a stored prediction, oldest first.

    ``rows``: all of the ledger, candidates too, for their predictions give the ranks. A stored rank is taken as it is.
    Where there is none it is worked out among the predictions that the same model had stored before this one.
    """
    before: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))
    waiting: list[tuple[str, float]] = []  # of the decision under way: those decided together do not see each other
    found: deque[PastSignal] = deque(maxlen=most)
    now = -1
    for row in sorted(rows, key=lambda r: (r.decision.decided_at, r.decision.decision_id)):
        decision = row.decision
        if decision.ml_probability is None or decision.model_id is None:
            continue
        if decision.decided_at != now:
            for model_id, probability in waiting:
                before[model_id].append(probability)
            waiting, now = [], decision.decided_at
        waiting.append((decision.model_id, decision.ml_probability))
        if decision.is_signal and decision.status in DECIDED:
            rank = decision.ml_rank
            if rank is None:
                rank = percentile_of(decision.ml_probability, list(before[decision.model_id]))
            found.append(_past(row, decision, decision.ml_probability, decision.model_id, rank))
    return tuple(found)


def _past(row: TradeRow, decision: DecisionRecord, probability: float, model_id: str, rank: float) -> PastSignal:
    return PastSignal(
        decision_id=decision.decision_id,
        pair=str(decision.pair),
        direction=decision.direction,
        time=decision.open_time + Timeframe.parse(decision.timeframe).ms,
        barred=any(v.ruling is Ruling.REFUSE and v.layer != "combined" for v in decision.verdicts),
        gemini=decision.gemini_confidence,
        model_id=model_id,
        probability=probability,
        rank=rank,
        r_net=row.follow.r_net,
        risk=decision.risk_amount or None,
    )


@dataclass(frozen=True, slots=True)
class Side:
    """The signals that one weight takes. ``r_net`` sums the closed ones, ``pnl`` (USDT) those of them with a size."""

    taken: int
    closed: int
    sized: int
    r_net: float
    pnl: float


@dataclass(frozen=True, slots=True)
class Flip:
    """A signal that two weights decide differently; confidences are None where nothing is tested."""

    signal: PastSignal
    taken: bool  # with the new weight
    before: float | None
    after: float | None

    @property
    def sentence(self) -> str:
        """``LINK LONG 12 Nov 14:15 UTC: taken → refused, 0.72 → 0.66, +1.20R net``."""
        signal = self.signal
        way = "refused → taken" if self.taken else "taken → refused"
        ended = "still open" if signal.r_net is None else f"{signal.r_net:+.2f}R net"
        time = to_datetime(signal.time)
        when = f"{time.day} {time:%b %H:%M} UTC"
        coin = signal.pair.split("/")[0]
        return f"{coin} {signal.direction} {when}: {way}, {_apart(self.before, self.after)}, {ended}"


def _apart(before: float | None, after: float | None) -> str:
    """Two confidences with as many digits as it takes to tell them apart."""
    for digits in (2, 3, 4):
        shown = ["no test" if c is None else f"{c:.{digits}f}" for c in (before, after)]
        if shown[0] != shown[1]:
            break
    return " → ".join(shown)


@dataclass(frozen=True, slots=True)
class Preview:
    """The same signals under ``today``, the weight that counts now, and under ``weight``: what each of them takes.

    ``counts`` is what the weight counts under the ramp over ``outcomes`` live outcomes (None: without a ramp).
    """

    weight: float
    counts: float
    today: float
    outcomes: int | None
    signals: int
    models: int
    before: Side
    after: Side
    flips: tuple[Flip, ...]

    @property
    def halves_trading(self) -> bool:
        return self.after.taken * 2 < self.before.taken

    @property
    def ramped(self) -> bool:
        return not math.isclose(self.counts, self.weight)

    @property
    def sentence(self) -> str:
        if not self.signals:
            return "No past signal has a stored prediction, so nothing can be previewed."
        ramp = f" (it counts {self.counts:.2f} at {self.outcomes} live outcomes)" if self.ramped else ""
        of = "signal" if self.signals == 1 else f"{self.signals} signals"
        flip = "flips" if len(self.flips) == 1 else "flip"
        return (
            f"With weight {self.weight:g}{ramp}, {len(self.flips)} of the last {of} {flip}: "
            f"{self.after.taken} taken instead of {self.before.taken}."
        )

    @property
    def worth(self) -> str:
        """P&L with and without, of what has closed; nothing where nothing flips."""
        if not self.flips:
            return ""
        return f"Net {_worth(self.after)} with it, {_worth(self.before)} without."

    @property
    def flip_lines(self) -> tuple[str, ...]:
        """The newest flips, one a line, and how many more there are."""
        shown = [flip.sentence for flip in reversed(self.flips)][:MOST_FLIPS]
        rest = len(self.flips) - len(shown)
        return (*shown, *([f"and {rest} more"] if rest else []))


def _worth(side: Side) -> str:
    still = side.taken - side.closed
    unsized = side.closed - side.sized
    parts = (
        [f"{side.pnl:+,.0f} USDT" + (f" without {unsized} of unknown size" if unsized else "")] if side.sized else []
    )
    parts += [f"{still} open"] if still else []
    return f"{side.r_net:+.2f}R" + (f" ({', '.join(parts)})" if parts else "")


def preview(
    signals: Sequence[PastSignal], weight: float, settings: Settings, outcomes: int | None, today: float = 0.0
) -> Preview:
    """Decides ``signals`` with ``weight`` under the ramp and with ``today``, what counts now.

    ``outcomes``: live outcomes now, for the ramp; None: what the weight does once the ramp has run out.
    """
    then = weight if outcomes is None else effective_weight(weight, outcomes)
    before = [_confidence_of(s, today, settings) for s in signals]
    after = [_confidence_of(s, then, settings) for s in signals]
    takes = [[_passes(s, c, settings) for s, c in zip(signals, found, strict=True)] for found in (before, after)]
    return Preview(
        weight=weight,
        counts=then,
        today=today,
        outcomes=outcomes,
        signals=len(signals),
        models=len({s.model_id for s in signals}),
        before=_side(signals, takes[0]),
        after=_side(signals, takes[1]),
        flips=tuple(
            Flip(signal, taken, was, becomes)
            for signal, was_taken, taken, was, becomes in zip(signals, *takes, before, after, strict=True)
            if was_taken != taken
        ),
    )


def _confidence_of(signal: PastSignal, weight: float, settings: Settings) -> float | None:
    gemini = None if signal.gemini is None else GeminiOpinion(True, signal.gemini, "", (), "")
    model = ModelOpinion(signal.model_id, signal.probability, signal.probability, signal.rank)
    return combined_confidence(Opinions(gemini=gemini, model=model), weight, settings.gemini, settings.ml)


def _passes(signal: PastSignal, confidence: float | None, settings: Settings) -> bool:
    return not signal.barred and (confidence is None or confidence >= settings.ml.threshold)


def _side(signals: Sequence[PastSignal], takes: Sequence[bool]) -> Side:
    taken = [s for s, t in zip(signals, takes, strict=True) if t]
    closed = [(s.r_net, s.risk) for s in taken if s.r_net is not None]
    sized = [(r, risk) for r, risk in closed if risk is not None]
    return Side(
        taken=len(taken),
        closed=len(closed),
        sized=len(sized),
        r_net=math.fsum(r for r, _ in closed),
        pnl=math.fsum(r * risk for r, risk in sized),
    )


@dataclass(frozen=True, slots=True)
class WeightCard:
    """An approval card's first line and what the preview adds to its evidence."""

    title: str
    lines: tuple[str, ...]


def weight_card(
    signals: Sequence[PastSignal], weight: float, settings: Settings, outcomes: int, today: float = 0.0
) -> WeightCard:
    """Now, and, where the ramp still holds the weight down, also as it will be without another question."""
    now = preview(signals, weight, settings, outcomes, today)
    full = preview(signals, weight, settings, None, today)
    shown = [now, full] if now.ramped and signals else [now]
    lines: list[str] = []
    for each in shown:
        lines += [each.sentence if each is now else f"{FULL_FROM} or more outcomes: {each.sentence}", each.worth]
    lines += full.flip_lines if len(full.flips) > len(now.flips) else now.flip_lines
    title = f"May the model count {weight:g} beside Gemini?"
    worst = min(shown, key=lambda p: p.after.taken)
    if worst.halves_trading:
        title += f" It would take fewer than half of today's trades ({worst.after.taken} of {worst.before.taken})."
    return WeightCard(title, tuple(line for line in lines if line))


@dataclass(frozen=True, slots=True)
class Dial:
    """Every weight of ``DIAL`` under both scales, without the ramp; ``cap``: what counts at most today."""

    signals: int
    scale: Scale  # the one in force
    cap: float
    weight: float  # what counts today
    previews: dict[Scale, tuple[Preview, ...]]


def dial(signals: Sequence[PastSignal], settings: Settings, outcomes: int, approved: float = 0.0) -> Dial:
    """What each weight would have taken and made under each scale."""
    scales: tuple[Scale, ...] = ("percentile", "probability")
    return Dial(
        signals=len(signals),
        scale=settings.ml.scale,
        cap=effective_weight(1.0, outcomes),
        weight=effective_weight(approved, outcomes),
        previews={
            scale: tuple(
                preview(
                    signals,
                    weight,
                    settings.model_copy(update={"ml": settings.ml.model_copy(update={"scale": scale})}),
                    None,
                )
                for weight in DIAL
            )
            for scale in scales
        },
    )
