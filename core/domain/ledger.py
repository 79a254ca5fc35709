"""What the store keeps of a step: decisions, follows, legs, cursors, and the effect that writes them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from core.domain.account import Account
from core.domain.candles import Pair
from core.domain.messages import Event
from core.domain.trading import Direction, Follow, FollowKind, Leg, Neighbour, Reason, Snapshot, Verdict

Step = Literal["exits", "entries", "minutes", "manual"]
"""A close's two steps, the look inside a running candle, and what a person closes."""

DecisionStatus = Literal["candidate", "taken", "refused", "missed", "signal_only", "waiting"]
"""``waiting``: a person is asked, and has until the next close."""


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A candidate and what became of it, as it was known at its candle's close (``open_time`` in epoch ms)."""

    decision_id: int
    pair: Pair
    timeframe: str
    open_time: int
    direction: Direction
    is_signal: bool
    status: DecisionStatus
    reason: str
    snapshot: Snapshot
    verdicts: tuple[Verdict, ...]
    decided_at: int  # epoch ms, by the clock
    quantity: float = 0.0
    risk_amount: float = 0.0
    gemini_approve: bool | None = None
    gemini_confidence: float | None = None
    gemini_reasoning: str = ""
    gemini_source: str = ""
    ml_probability: float | None = None
    ml_average: float | None = None
    model_id: str | None = None
    influence_weight: float = 0.0
    combined_confidence: float | None = None
    btc_correlation: float | None = None
    timeframe_alignment: float | None = None
    gemini_prompt_tokens: int = 0
    gemini_output_tokens: int = 0
    ml_rank: float | None = None  # of the probability among those before it: what entered the combined confidence
    ml_size_rank: float | None = None
    features: Mapping[str, float] = field(default_factory=dict)  # what a model could see at the close; NaN = missing
    reasons: tuple[Reason, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """A crossover as the model saw it: its candle (epoch ms), what it could see, and the probability it gave."""

    time: int
    features: Mapping[str, float]
    probability: float


@dataclass(frozen=True, slots=True)
class FollowRecord:
    """A trade or shadow with its state after the candle ``last_time`` (epoch ms of its open; entry candle at first).

    The money fields belong to trades and are 0 for shadows. ``missing`` counts the candles that were bridged while it
    was open: nobody could watch its stop in them.
    """

    follow_id: int
    decision_id: int
    kind: FollowKind
    pair: Pair
    follow: Follow
    last_time: int
    quantity: float = 0.0
    entry_fill: float = 0.0
    risk_amount: float = 0.0
    mark: float = 0.0
    pnl: float = 0.0
    r_net: float | None = None  # when closed
    missing: int = 0


@dataclass(frozen=True, slots=True)
class LegRecord:
    follow_id: int
    leg: Leg
    pnl: float


@dataclass(frozen=True, slots=True)
class Asked:
    """A trade that waits for a person's yes: the card's first line, its evidence in sentences, and when it expires.

    ``body`` is JSON, see ``core.engine.advisory``; ``expires_at`` epoch ms.
    """

    time: int
    title: str
    lines: tuple[str, ...]
    body: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a decision that waited: its status from now on, and the verdict that says who decided."""

    decision_id: int
    status: DecisionStatus
    reason: str
    verdict: Verdict
    quantity: float = 0.0
    risk_amount: float = 0.0


@dataclass(frozen=True, slots=True)
class Effect:
    """Everything one step changes, written in one transaction or not at all.

    ``cursors``: the newest open time handled per pair for this step; a step whose cursors are already there
    changes nothing.
    """

    step: Step
    cursors: Mapping[Pair, int]
    account: Account | None = None
    equity_time: int | None = None  # epoch ms of the close the account's equity belongs to
    decisions: tuple[DecisionRecord, ...] = ()
    follows: tuple[FollowRecord, ...] = ()
    legs: tuple[LegRecord, ...] = ()
    events: tuple[Event, ...] = field(default=())
    asked: tuple[Asked, ...] = ()
    settled: tuple[Settled, ...] = ()

    @property
    def quiet(self) -> bool:
        """Nothing but time has passed."""
        changes = (self.decisions, self.follows, self.legs, self.events, self.asked, self.settled)
        return not any(changes)


@dataclass(frozen=True, slots=True)
class Controls:
    """What people have set from the chat; survives restarts. ``paused`` is the reason, empty when running.

    ``changes`` are settings changed from the chat, by dotted name (``rules.btc``), in JSON's types; ``granted_by`` is
    the number of the approval that gave the weight, 0 where there is none. ``added`` are the pairs that were added from
    the chat (``ARB/USDT``), in that order.
    """

    paused: str = ""
    approved_weight: float = 0.0
    approved_model: str | None = None
    granted_by: int = 0
    line: str = "main"
    changes: Mapping[str, object] = field(default_factory=dict)
    added: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "added", tuple(self.added))  # a store that keeps JSON gives a list


@dataclass(frozen=True, slots=True)
class Switch:
    """A pair's switch as last set, by a person or by the bot itself; ``reason`` says why it is off."""

    enabled: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LedgerState:
    """All that the live loop needs to go on after a restart."""

    account: Account | None
    follows: tuple[FollowRecord, ...]
    cursors: Mapping[Step, Mapping[Pair, int]]
    last_signals: Mapping[Pair, int]
    switches: Mapping[Pair, Switch]
    controls: Controls
    next_decision_id: int
    next_follow_id: int
    recent_probabilities: tuple[float, ...]  # of ``recent_model``, the model that spoke last; oldest first
    recent_model: str | None
    timeframe: str | None  # of the newest decision
    outcomes: int
    variant_signals: Mapping[tuple[str, str, Pair], int] = field(default_factory=dict)
    """Open time of each variant's newest signal, by its name, its label then and the pair."""
