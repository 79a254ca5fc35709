"""The words of trading: directions, levels, candidates, verdicts, decisions, follows and their legs."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from core.domain.candles import Pair, Timeframe


class Direction(StrEnum):
    LONG = "LONG"
    SHORT = "SHORT"

    @property
    def sign(self) -> int:
        return 1 if self is Direction.LONG else -1


class Regime(StrEnum):
    UNKNOWN = "UNKNOWN"
    TRENDING = "TRENDING"
    CHOPPY = "CHOPPY"
    VOLATILE = "VOLATILE"
    WEAK_TRENDING = "WEAK_TRENDING"


class ExitReason(StrEnum):
    STOP_LOSS = "STOP_LOSS"
    TP3_FULL = "TP3_FULL"
    TIMEOUT = "TIMEOUT"
    MANUAL = "MANUAL"
    GAP = "GAP"


TARGET_R = (1.5, 2.5, 4.0)
TARGET_SHARE = (0.5, 0.3, 0.2)


@dataclass(frozen=True, slots=True)
class Levels:
    """Entry, stop and three targets; ``risk`` is the stop distance (1R) in the quote currency per unit."""

    direction: Direction
    entry: float
    stop: float
    targets: tuple[float, float, float]

    @property
    def risk(self) -> float:
        return abs(self.entry - self.stop)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every indicator at one candle's close. NaN = not yet defined. Percents are 0..100."""

    open_time: int
    close: float
    sma_15: float
    sma_40: float
    rsi: float
    adx: float
    di_plus: float
    di_minus: float
    atr: float
    atr_percent: float
    volume_sma: float
    volume_ratio: float
    sma_distance_percent: float
    hurst: float
    regime: Regime
    hour: int
    day_of_week: int


class Ruling(StrEnum):
    """What a rule says: pass, trade at half size, refuse, only noted, cannot tell, or not asked at all."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    HALF = "half"
    REFUSE = "refuse"
    RECORD = "record"
    UNKNOWN = "unknown"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule's answer with its number and a sentence; stored whether or not it decided anything.

    ``layer`` is signal, rules, gemini, model, combined, portfolio or size; ``rule`` names the check within it.
    """

    layer: str
    rule: str
    ruling: Ruling
    number: float | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A crossover at the close of the candle ``snapshot.open_time``, with the signal filters' verdicts."""

    pair: Pair
    timeframe: Timeframe
    direction: Direction
    snapshot: Snapshot
    levels: Levels
    verdicts: tuple[Verdict, ...]

    @property
    def open_time(self) -> int:
        return self.snapshot.open_time

    @property
    def close_time(self) -> int:
        """When it became known: epoch ms of the candle's close."""
        return self.snapshot.open_time + self.timeframe.ms

    @property
    def is_signal(self) -> bool:
        return all(v.ruling is not Ruling.REFUSE for v in self.verdicts)


@dataclass(frozen=True, slots=True)
class GeminiOpinion:
    """A validated answer. ``confidence`` 0..1; ``source`` says who spoke (a model id, or the demo's stand-in)."""

    approve: bool
    confidence: float
    reasoning: str
    risks: tuple[str, ...]
    source: str
    prompt_tokens: int = 0
    output_tokens: int = 0


Reason = tuple[str, float | None, float]
"""A feature, its value (None = missing) and its share of the log-odds."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A past signal like the one at hand, with what became of it. ``decided_at`` is epoch ms, ``realized_r`` gross.

    ``distance`` is the mean squared difference of the standardised features both have, square-rooted.
    """

    pair: str
    direction: Direction
    decided_at: int
    realized_r: float
    distance: float


@dataclass(frozen=True, slots=True)
class ModelOpinion:
    """The champion's stored prediction: P(win), its rank among the last 200 (0..1) and their average.

    ``reasons`` are the exact shares of the log-odds, the strongest first. ``size_rank`` is the rank (0..1) of the
    predicted R among out-of-fold predictions, None where that counts for nothing. ``neighbours``: the nearest first.
    """

    model_id: str
    probability: float
    average: float
    percentile: float
    reasons: tuple[Reason, ...] = ()
    size_rank: float | None = None
    neighbours: tuple[Neighbour, ...] = ()

    @property
    def confidence(self) -> str:
        return "HIGH" if self.probability > 0.6 else "MEDIUM" if self.probability > 0.5 else "LOW"

    @property
    def recommendation(self) -> str:
        return "TAKE" if self.probability >= 0.5 else "SKIP"


@dataclass(frozen=True, slots=True)
class Opinions:
    """What the shell gathered for one signal. ``None`` means no opinion; ``*_note`` says why."""

    gemini: GeminiOpinion | None = None
    gemini_note: str = ""
    gemini_present: bool = False
    model: ModelOpinion | None = None
    model_note: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """A signal after all layers. ``refused_by`` is the first refusing verdict, None when taken."""

    candidate: Candidate
    opinions: Opinions
    verdicts: tuple[Verdict, ...]
    taken: bool
    quantity: float
    risk_amount: float
    combined_confidence: float | None
    influence_weight: float

    @property
    def refused_by(self) -> Verdict | None:
        return next((v for v in self.verdicts if v.ruling is Ruling.REFUSE), None)


class FollowKind(StrEnum):
    TRADE = "trade"
    SHADOW_SIGNAL = "shadow_signal"
    SHADOW_CANDIDATE = "shadow_candidate"


@dataclass(frozen=True, slots=True)
class Leg:
    """A part closed: ``fraction`` of the whole position (0..1) at ``price``, ``r`` = its gross R times fraction.

    ``name`` is STOP, TP1, TP2, TP3, TIMEOUT, MANUAL or GAP; ``time`` is the open time (epoch ms) of its candle. One
    timeframe later it was known: so a fill between closes, or by hand, has a time that is no candle's.
    """

    name: str
    time: int
    price: float
    fraction: float
    r: float


@dataclass(frozen=True, slots=True)
class Follow:
    """A trade or shadow on its way to an outcome, after ``bars`` candles. ``advance`` gives the next one.

    ``remaining`` is the open fraction, ``targets_hit`` how many of TP1..TP3 are done, ``mfe_r`` and ``mae_r`` the
    best and worst excursion in R (mae is <= 0), ``ambiguous`` whether any candle touched the stop and an open target.
    """

    levels: Levels
    entry_time: int
    bars: int = 0
    remaining: float = 1.0
    targets_hit: int = 0
    realized_r: float = 0.0
    mfe_r: float = 0.0
    mae_r: float = 0.0
    ambiguous: bool = False
    legs: tuple[Leg, ...] = field(default=())
    exit_reason: ExitReason | None = None
    exit_price: float | None = None
    exit_time: int | None = None

    @property
    def closed(self) -> bool:
        return self.exit_reason is not None

    @property
    def outcome(self) -> int:
        return int(self.realized_r > 0)
