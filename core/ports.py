"""What the services need from the outside. Adapters implement these; only ``bootstrap`` knows which."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from core.domain.account import Account
from core.domain.candles import Candles, Pair, Timeframe
from core.domain.deeds import Alteration, AuditEntry, Deed
from core.domain.ledger import Controls, DecisionRecord, Effect, FollowRecord, LedgerState, Seen, Switch
from core.domain.messages import Event
from core.domain.trading import Candidate, Direction, GeminiOpinion, Neighbour, Reason


class Clock(Protocol):
    """Where time comes from: the system, the exchange or a replay."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    async def sleep_until(self, moment: datetime) -> None:
        """Returns once ``now() >= moment``; at once when it already is."""
        ...


@runtime_checkable
class MeasuredClock(Clock, Protocol):
    """The computer's clock, set right by the exchange's whenever that is asked for the time anyway."""

    @property
    def offset(self) -> float | None:
        """Seconds the computer is ahead of the exchange; None as long as the exchange was never heard."""
        ...

    def stamp(self) -> float:
        """Taken right before the exchange is asked for its time."""
        ...

    def heard(self, asked_at: float, exchange_ms: int) -> None:
        """What it answered just now (epoch ms) to the question stamped ``asked_at``."""
        ...


class SettableClock(Clock, Protocol):
    """A clock that a replay moves."""

    def advance(self, to: datetime) -> None: ...


@dataclass(frozen=True, slots=True)
class Market:
    """A pair the exchange lists. ``active`` False: paused or going."""

    pair: Pair
    active: bool


class MarketData(Protocol):
    """An exchange's public side."""

    async def server_time(self) -> int:
        """The exchange's clock, epoch ms. Raises MarketError."""
        ...

    async def markets(self) -> dict[Pair, Market]:
        """All spot markets. Raises MarketError."""
        ...

    async def candles(self, pair: Pair, timeframe: Timeframe, start_ms: int, end_ms: int, now_ms: int) -> Candles:
        """Closed candles with open times in ``[start_ms, end_ms)``, checked; one request of at most a page.

        ``now_ms`` is the exchange's time: a candle that has not closed by then is left out. May be fewer than
        asked for, never unsorted, doubled or broken. Raises UnknownPair, RateLimited, MarketError.
        """
        ...

    async def prices(self, pairs: Iterable[Pair]) -> dict[Pair, float]:
        """The last traded price of each pair: to look at, never to decide a fill or a candle by.

        Only a person's yes to a trade heeds it, to its disadvantage (``core.services.advisory``).

        A pair that gave none is left out; raises RateLimited and MarketError where all of them gave none.
        """
        ...

    async def volumes(self) -> dict[Pair, float]:
        """What was turned over in each pair in the last 24 hours, in its quote currency; one request for all.

        A pair that says nothing readable is left out. Raises RateLimited and MarketError.
        """
        ...

    async def close(self) -> None: ...


class PriceStream(Protocol):
    """Prices as the exchange pushes them: to look at, never to decide a fill or a candle by."""

    async def follow(self, pairs: Iterable[Pair], heard: Callable[[Pair, float, int], None]) -> None:
        """Connects and calls ``heard(pair, price, time in epoch ms)`` for each price; a price is finite and above 0.

        Ends by cancellation, which closes the connection, or by MarketError when the stream breaks off. A stream that
        stays open and silent is the caller's to notice.
        """
        ...


class CandleStore(Protocol):
    """Candles kept on disk, one file per pair and timeframe."""

    def load(self, pair: Pair, timeframe: Timeframe, start_ms: int | None = None, end_ms: int | None = None) -> Candles:
        """Stored candles with open times in ``[start_ms, end_ms)``; empty where nothing is stored. Raises DataError."""
        ...

    def save(self, candles: Candles) -> int:
        """Merges into what is stored, atomically; gives the number of candles that are new. Raises DataError."""
        ...

    def pairs(self, timeframe: Timeframe) -> tuple[Pair, ...]:
        """The pairs with stored candles, sorted."""
        ...


class Advisor(Protocol):
    """Gemini, or what stands for it."""

    async def opinion(self, candidate: Candidate, recent: Candles) -> GeminiOpinion | str:
        """An opinion, or a short sentence saying why there is none. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What one question to Gemini brought: an ``opinion``, or the ``reason`` why there is none.

    ``trouble``: *passing* may be over in a moment, *unusable* is an answer nobody can read, *withheld* one that the
    same question would not get either, *setting* will stay until somebody follows ``remedy``. ``tokens`` is what it
    cost, of use or not, as far as that is known; ``wait`` the seconds the service asks for.
    """

    opinion: GeminiOpinion | None = None
    reason: str = ""
    trouble: Literal["", "passing", "unusable", "withheld", "setting"] = ""
    tokens: int = 0
    wait: float = 0.0
    remedy: str = ""


class OpinionSource(Protocol):
    """Gemini itself: one question, one answer."""

    async def ask(self, candidate: Candidate, recent: Candles, patience: float) -> Answer:
        """Answers within ``patience`` seconds of wall time. Never raises but for cancellation."""
        ...


@dataclass(frozen=True, slots=True)
class Tool:
    """A look into the books that a conversation may take. ``arguments``: JSON schema by name, each may be left out."""

    name: str
    about: str
    arguments: Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A question in words, with how it is to be answered and what may be looked at: so many rounds and looks."""

    instructions: str
    question: str
    tools: tuple[Tool, ...]
    rounds: int
    looks: int


@dataclass(frozen=True, slots=True)
class Told:
    """An answer in words, or the ``reason`` why there is none, and what it has cost either way as far as is known."""

    text: str = ""
    reason: str = ""
    prompt_tokens: int = 0
    output_tokens: int = 0


Look = Callable[[str, Mapping[str, object]], Awaitable[Mapping[str, object]]]
"""Takes a look by its tool's name and arguments, whatever they are; gives JSON. Never raises but for cancellation."""


class Conversation(Protocol):
    """Gemini in words: one question, looks taken through ``look``, one answer."""

    async def ask(self, inquiry: Inquiry, look: Look, patience: float) -> Told:
        """Answers within ``patience`` seconds of wall time. Never raises but for cancellation.

        The text is words and nothing else: no markup, nothing that a chat makes tappable.
        """
        ...


class OpinionBook(Protocol):
    """Opinions that have been given and not yet decided by. ``open_time`` and ``at`` in epoch ms.

    ``question`` says who was asked for what: an opinion counts for the same question about the same candle only.
    """

    async def known(self, pair: Pair, open_time: int, question: str) -> GeminiOpinion | None: ...
    async def keep(self, pair: Pair, open_time: int, question: str, opinion: GeminiOpinion, at: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Prediction:
    """One probability with the exact inputs it came from. ``contributions``: (feature, value, log-odds), sorted.

    ``size_rank`` and ``neighbours`` as in ``ModelOpinion``.
    """

    model_id: str
    probability: float
    contributions: Sequence[Reason]
    size_rank: float | None = None
    neighbours: tuple[Neighbour, ...] = ()


class Predictor(Protocol):
    """The champion in memory."""

    @property
    def model_id(self) -> str | None: ...

    async def predict(
        self, features: Mapping[str, float], direction: Direction | None = None, at: int | None = None
    ) -> Prediction | str:
        """What it says of a candidate with these features (of every feature set, NaN = missing).

        A prediction, or a short sentence saying why there is none ("learning 31/50"). Never raises. Neighbours are of
        the same ``direction`` and had ended by ``at`` (epoch ms, the decision): without both there are none.
        """
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """A live outcome with the prediction stored at its decision (None where no model spoke). Times in epoch ms."""

    open_time: int
    timeframe: str
    pair: str
    direction: Direction
    probability: float | None
    model_id: str | None
    is_trade: bool
    exit_time: int
    realized_r: float
    decided_at: int  # when the prediction was stored, by the clock


@dataclass(frozen=True, slots=True)
class TradeRow:
    """A follow beside the decision it came from."""

    decision: DecisionRecord
    follow: FollowRecord


@dataclass(frozen=True, slots=True)
class TradeTotals:
    """All closed paper trades together; ``gains`` and ``losses`` are both positive, net, in USDT."""

    count: int
    wins: int
    gains: float
    losses: float


class Ledger(Protocol):
    """The one source of truth. Writes are whole transactions; reads see only what was committed."""

    async def commit(self, effect: Effect) -> bool: ...
    async def load(self) -> LedgerState: ...
    async def follow(self, follow_id: int) -> FollowRecord | None: ...
    async def closed_trades(self, limit: int | None = None) -> list[FollowRecord]: ...
    async def trade_totals(self) -> TradeTotals: ...
    async def signals_per_pair(self) -> Mapping[Pair, int]: ...
    async def outcome_count(self) -> int: ...
    async def outcomes(self) -> list[Outcome]: ...
    async def sample_counts(self) -> Mapping[tuple[str, str], int]: ...
    async def trade_rows(self, signals_only: bool = False, since_ms: int = 0) -> list[TradeRow]: ...
    async def row_of(self, decision_id: int | None = None) -> TradeRow | None: ...
    async def newest_signals(self, limit: int) -> list[TradeRow]: ...
    async def decisions(
        self, since_ms: int = 0, pair: Pair | None = None, signals_only: bool = False
    ) -> list[DecisionRecord]: ...
    async def crossover_count(self, model_id: str, since_ms: int) -> int: ...
    async def crossovers(self, model_id: str, since_ms: int, limit: int) -> list[Seen]: ...
    async def signal_counts(self, since_ms: int) -> Mapping[str, int]: ...
    async def equity_curve(self) -> list[tuple[int, float]]: ...
    async def controls(self) -> Controls: ...
    async def switches(self) -> dict[Pair, Switch]: ...
    async def alter(self, change: Alteration) -> int: ...
    async def set_controls(self, controls: Controls, events: Iterable[Event] = ()) -> None: ...
    async def set_switch(self, pair: Pair, switch: Switch, events: Iterable[Event] = ()) -> None: ...
    async def save_account(self, account: Account) -> None: ...
    async def publish(self, events: Iterable[Event]) -> None: ...
    async def mark(self, name: str) -> str | None: ...
    async def set_mark(self, name: str, value: str, events: Iterable[Event] = ()) -> None: ...


@dataclass(frozen=True, slots=True)
class MessageRef:
    """Where a message stands in the chat."""

    chat_id: int
    message_id: int


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """An event waiting in the outbox. ``perhaps_told``: the chat may have it, its answer never came."""

    item_id: int
    event: Event
    created_at: datetime
    attempts: int
    perhaps_told: bool = False


@dataclass(frozen=True, slots=True)
class StoredApproval:
    """An approval as kept: evidence frozen in ``lines`` with their hash. Times in epoch ms.

    ``kind`` is weight, promote (a challenger), rule (a changed setting) or trade; ``body`` is JSON that says what a yes
    does. ``intact`` False: the store's evidence is not what was frozen.
    """

    approval_id: int
    kind: str
    state: str
    title: str
    lines: tuple[str, ...]
    weight: float | None
    line: str | None
    model_id: str | None
    asked_by: str
    created_at: int
    expires_at: int
    answered_by: str | None = None
    answered_at: int | None = None
    answer_note: str = ""
    body: str = ""
    picture: bytes | None = None
    evidence_hash: str = ""
    intact: bool = True


@dataclass(frozen=True, slots=True)
class ChampionRecord:
    """The beginning of a reign: ``model_id`` became champion of ``line`` at ``since`` (epoch ms), by whom and why."""

    line: str
    model_id: str
    since: int
    chosen_by: str
    reason: str


class ChampionBook(Protocol):
    """Who was champion when. Which model is champion now is said by its files; the book follows them."""

    async def champions(self) -> list[ChampionRecord]: ...
    async def crowned(
        self, record: ChampionRecord, controls: Controls | None = None, events: Iterable[Event] = ()
    ) -> None: ...
    async def intend(self, record: ChampionRecord, news: Event) -> None:
        """Before a champion's files: what the book will say of it, for the case that a kill comes in between."""
        ...

    async def intended(self) -> tuple[ChampionRecord, Event] | None:
        """The newest intent that no ``crowned`` has followed."""
        ...

    async def promised(self) -> StoredApproval | None: ...


class ChatStore(Protocol):
    """What the conversation keeps: outbox, which message shows what, approvals, looks, audit."""

    async def pending(self, limit: int) -> list[OutboxItem]: ...
    async def waiting(self) -> tuple[int, int | None]: ...
    async def sending(self, item_ids: Sequence[int], chat_id: int | None) -> None: ...
    async def sent(self, item_ids: Sequence[int], message: MessageRef | None, subject: str = "") -> None: ...
    async def failed(self, item_ids: Sequence[int], error: str) -> None: ...
    async def told_until(self) -> int | None: ...
    async def set_told_until(self, moment_ms: int) -> None: ...
    async def message_of(self, subject: str) -> MessageRef | None: ...
    async def subject_of(self, message: MessageRef) -> str | None: ...
    async def trade_events(self, trade_id: int) -> list[Event]: ...
    async def ask(self, approval: StoredApproval, asked: Callable[[int], Event]) -> int: ...
    async def approval(self, approval_id: int) -> StoredApproval | None: ...
    async def open_approvals(self) -> list[StoredApproval]: ...
    async def answer(
        self,
        approval_id: int,
        state: str,
        answered_by: str,
        answered_at: int,
        note: str,
        controls: Controls | None,
        events: Iterable[Event],
        effect: Effect | None = None,
        entry: AuditEntry | None = None,
    ) -> bool: ...
    async def save_look(self, line: str, look: int, n: int, at: int, alpha: float, state: str, body: str) -> bool: ...
    async def looks(self, line: str) -> list[str]: ...
    async def first_seen(self, update_id: int) -> bool: ...
    async def keep_update(self, update_id: int, body: str) -> None: ...
    async def kept_updates(self) -> list[str]: ...
    async def update_done(self, update_id: int) -> None: ...
    async def audit(self, time: int, user_id: int, user_name: str, action: str, detail: str) -> None: ...
    async def audit_rows(self, limit: int | None = None, before: int | None = None) -> list[dict[str, object]]: ...
    async def audit_from(self, entry_id: int, limit: int) -> list[dict[str, object]]: ...
    async def deed(self, deed_id: int) -> Deed | None: ...
    async def newest_deed(self, *, undo: bool) -> Deed | None: ...
