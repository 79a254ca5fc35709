"""Events: what has happened. They are stored with the change that caused them and told to the phone later.

Every event has a ``key`` that is the same when the same thing is worked out twice; the store keeps one per key.
Times are aware UTC datetimes; prices in the quote currency, money in USDT, R gross unless the name says net.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from core.domain.trading import Direction, ExitReason, Neighbour, Reason, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalDecided:
    """A signal after all layers: taken (then ``trade_id`` is set), refused, or missed because it came too late.

    One that is ``waiting`` is no news: it stands in the card that asks for it.
    """

    kind: Literal["signal_decided"] = "signal_decided"
    key: str
    time: datetime
    decision_id: int
    pair: str
    direction: Direction
    status: Literal["taken", "refused", "missed", "signal_only", "waiting"]
    reason: str  # the refusing sentence, short; empty when taken
    entry: float
    stop: float
    targets: tuple[float, float, float]
    quantity: float
    risk_amount: float
    gemini_confidence: float | None
    gemini_reasoning: str
    gemini_source: str  # who spoke; the demo's stand-in says so here
    gemini_note: str  # why there is no opinion
    ml_probability: float | None
    ml_average: float | None
    ml_note: str  # such as "learning 31/50"
    combined_confidence: float | None
    influence_weight: float
    verdicts: tuple[Verdict, ...]
    trade_id: int | None = None
    ml_reasons: tuple[Reason, ...] = ()  # an event stored before these were known has none
    neighbours: tuple[Neighbour, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetHit:
    kind: Literal["target_hit"] = "target_hit"
    key: str
    time: datetime
    trade_id: int
    pair: str
    direction: Direction
    target: str  # TP1, TP2 or TP3
    price: float
    fraction: float  # of the whole position, closed here
    r: float
    realized_r: float  # so far, gross
    remaining: float
    pnl: float  # net money of this leg


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeClosed:
    kind: Literal["trade_closed"] = "trade_closed"
    key: str
    time: datetime
    trade_id: int
    pair: str
    direction: Direction
    reason: ExitReason
    entry: float
    exit_price: float
    last_target: str  # TP1, TP2, TP3 or empty
    realized_r: float
    realized_r_net: float
    pnl: float  # net, of the whole trade
    duration_minutes: int
    equity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsked:
    """The card itself is read from the store by its id, so that it is drawn from the frozen evidence."""

    kind: Literal["approval_asked"] = "approval_asked"
    key: str
    time: datetime
    approval_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalEnded:
    """Answered, expired or withdrawn: the card is edited to say so."""

    kind: Literal["approval_ended"] = "approval_ended"
    key: str
    time: datetime
    approval_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalReminder:
    """A card that still waits and will soon expire; told once."""

    kind: Literal["approval_reminder"] = "approval_reminder"
    key: str
    time: datetime
    approval_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PairStopped:
    """A pair was switched off by the bot itself (delisted, renamed, failing)."""

    kind: Literal["pair_stopped"] = "pair_stopped"
    key: str
    time: datetime
    pair: str
    reason: str
    successor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTrained:
    kind: Literal["model_trained"] = "model_trained"
    key: str
    time: datetime
    model_id: str
    champion: bool
    summary: str  # one plain sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Anything else worth a line: started, a breaker, a fault and its end, a weight revoked.

    ``about``: what it belongs to, such as ``approval:12``; it is told in answer to the message that shows that.
    """

    kind: Literal["notice"] = "notice"
    key: str
    time: datetime
    topic: Literal["started", "breaker", "fault", "recovered", "weight", "gemini", "training", "report"]
    title: str
    detail: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """The story of a day or a week from ``since`` to ``time``, in words that were frozen when it was due.

    Its key holds the local date it is of, so that it is told once.
    """

    kind: Literal["digest"] = "digest"
    key: str
    time: datetime
    span: Literal["day", "week"]
    since: datetime
    title: str
    lines: tuple[str, ...]


Event = (
    SignalDecided
    | TargetHit
    | TradeClosed
    | ApprovalAsked
    | ApprovalEnded
    | ApprovalReminder
    | PairStopped
    | ModelTrained
    | Notice
    | Digest
)

_ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


def event_to_json(event: Event) -> str:
    return _ADAPTER.dump_json(event).decode()


def event_from_json(text: str) -> Event:
    return _ADAPTER.validate_json(text)


def is_urgent(event: Event) -> bool:
    """Urgent events overtake the others in the outbox: what moves money or needs a person."""
    return isinstance(event, TradeClosed | ApprovalAsked | ApprovalReminder | PairStopped) or (
        (isinstance(event, Notice) and event.topic in {"fault", "breaker", "weight"})
        or (isinstance(event, SignalDecided) and event.status == "taken")
    )
