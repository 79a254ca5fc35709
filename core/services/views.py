"""What a person may look at: plain frozen values that chat, command line and pages render each in their way.

Times are aware UTC, money in USDT, ``None`` means not known or not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from core.engine.advisory import Waiting
from core.services.prices import LivePrice

if TYPE_CHECKING:
    from core.ml.challenge import Comparison
    from core.ml.forecast import Forecast

Progress = Callable[[str, float], None]
"""Called with a short text and the fraction done (0..1); must not block."""

Role = Literal["viewer", "operator", "approver"]
ApprovalKind = Literal["weight", "promote", "rule", "trade"]
ApprovalState = Literal["pending", "approved", "rejected", "expired", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks. ``user_id`` 0 is the bot itself."""

    user_id: int
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class PairView:
    pair: str
    enabled: bool
    risk: float
    last_close: datetime | None  # close time of the last candle handled
    price: float | None
    note: str  # why it is off, or what is wrong with its feed; empty when all is well
    signals: int = 0  # found so far
    open_shadows: int = 0


@dataclass(frozen=True, slots=True)
class PositionView:
    """``mark`` and ``open_pnl`` are by the last close, as the books have it; ``live`` is only to look at."""

    trade_id: int
    pair: str
    direction: str
    opened_at: datetime
    entry: float
    mark: float
    stop: float
    targets: tuple[float, float, float]
    targets_hit: int
    remaining: float
    quantity: float
    risk_amount: float
    open_pnl: float
    realized_pnl: float
    r: float  # open and realised, gross, in R
    bars: int
    live: LivePrice | None = None  # what the pair costs now, and for how long that has been known
    live_pnl: float | None = None  # ``open_pnl`` at that price


@dataclass(frozen=True, slots=True)
class TradeView:
    """A closed trade."""

    trade_id: int
    pair: str
    direction: str
    opened_at: datetime
    closed_at: datetime
    entry: float
    exit_price: float
    exit_reason: str
    last_target: str
    pnl: float
    r_net: float
    duration_minutes: int


@dataclass(frozen=True, slots=True)
class TradesView:
    trades: tuple[TradeView, ...]  # the newest first
    total: int
    wins: int
    pnl: float
    profit_factor: float | None  # None without a loss


@dataclass(frozen=True, slots=True)
class ConditionView:
    """One of the gate's conditions: its number, what it must reach, and a sentence."""

    name: str
    met: bool
    number: float | None
    threshold: float | None
    sentence: str


@dataclass(frozen=True, slots=True)
class MlView:
    """``state`` is what the gate last said; ``looked_at`` None means it has never looked."""

    champion: str | None
    line: str
    rows: int  # training rows available
    rows_needed: int
    weight: float
    approved_weight: float
    outcomes: int  # live outcomes with a stored prediction of this line
    trades: int  # of which trades
    state: Literal["learning", "blocked", "weak", "ready"]
    conditions: tuple[ConditionView, ...]
    looked_at: datetime | None
    looks: int
    next_look: int  # outcomes at which the gate looks again
    metrics: Mapping[str, float | None]  # the champion's walk-forward figures
    pending_approval: int | None
    summary: str  # one plain sentence
    standing: tuple[str, ...] = ()  # the champion's age, its last drift look
    changes: tuple[str, ...] = ()  # of rules, by approval: "strategy.adx_min 25 → 20"
    samples: Mapping[str, int] = field(default_factory=dict)  # by source, as ``stock.SOURCES`` names them
    forecast: Forecast | None = None  # of the live outcomes


@dataclass(frozen=True, slots=True)
class StatusView:
    now: datetime
    mode: str
    paused: str  # the reason, empty when running
    equity: float
    cash: float
    open_pnl: float
    day_pnl: float
    total_pnl: float
    drawdown: float
    positions: tuple[PositionView, ...]
    pairs: tuple[PairView, ...]
    last_close: datetime | None
    next_close: datetime
    signals_today: int
    refused_today: int
    trades_total: int
    gemini: str  # on, off (no key), stand-in, or what is wrong
    ml: str  # such as "learning 31/50" or "xgb-20261121-1 · weight 0"
    faults: tuple[str, ...]
    version: str
    drawdown_paused: bool = False  # by the limit, until an approver resumes


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """An approval with the evidence frozen when it was asked; ``kind`` says what a yes is about.

    ``evidence`` is the hash of all that was frozen; ``trade`` what a trade's card is about; ``picture`` a PNG.
    """

    approval_id: int
    kind: ApprovalKind
    state: ApprovalState
    title: str
    lines: tuple[str, ...]  # the evidence in sentences, as frozen
    weight: float | None
    line: str | None
    model_id: str | None
    asked_by: str
    created_at: datetime
    expires_at: datetime
    answered_by: str | None = None
    answered_at: datetime | None = None
    answer_note: str = ""
    evidence: str = ""
    picture: bytes | None = None
    trade: Waiting | None = None


@dataclass(frozen=True, slots=True)
class WeightAnswer:
    """What ``/ml 0.25`` gives: an approval that waits, or the sentences that say what is missing."""

    approval_id: int | None
    weight: float
    missing: tuple[str, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class TrainingView:
    """How a training ended. ``picture`` is a PNG, or None; ``comparison`` is with the champion there was before."""

    model_id: str | None
    champion: bool
    sentence: str
    rows: int
    metrics: Mapping[str, float | None]
    picture: bytes | None
    seconds: float
    comparison: Comparison | None = None
