"""What the chat needs from the engine: questions with views as answers, commands that say what they did, an outbox.

``core.services.desk.Desk`` and ``core.services.outbox.Outbox`` are the real ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from core.domain.health import Health
from core.domain.messages import Event
from core.ports import MessageRef, OutboxItem
from core.services.dial import DialView
from core.services.explain import WhyView
from core.services.manual import ClosePlan, CloseResult
from core.services.model_pictures import PictureKind
from core.services.proposals import OpeningAnswer
from core.services.registry import ModelList
from core.services.rules import RuleView
from core.services.stock import SamplesView
from core.services.success import ReportView
from core.services.takeovers import Promotion, RollbackPlan
from core.services.views import (
    Actor,
    ApprovalView,
    MlView,
    PairView,
    PositionView,
    Progress,
    StatusView,
    TradesView,
    TrainingView,
    WeightAnswer,
)
from core.services.worth import GeminiView, LayersView
from julaba_tg.ports.insight import InsightLike
from julaba_tg.ports.money import MoneyLike
from julaba_tg.ports.people import PeopleLike
from julaba_tg.ports.research import ResearchLike
from julaba_tg.ports.safety import SafetyLike
from julaba_tg.ports.steering import SteeringLike
from julaba_tg.ports.stories import StoriesLike
from julaba_tg.ports.words import WordsLike

__all__ = ["DeskLike", "MessageRef", "OutboxItem", "OutboxLike", "TopicsLike"]


class TopicsLike(Protocol):
    """The desk's topics, each with a port of its own beside this file."""

    @property
    def steering(self) -> SteeringLike: ...
    @property
    def safety(self) -> SafetyLike: ...
    @property
    def people(self) -> PeopleLike: ...
    @property
    def insight(self) -> InsightLike: ...

    @property
    def stories(self) -> StoriesLike: ...
    @property
    def money(self) -> MoneyLike: ...
    @property
    def words(self) -> WordsLike: ...
    @property
    def research(self) -> ResearchLike: ...


class DeskLike(Protocol):
    """Use cases. Every command raises a JulabaError with a sentence for the user when it cannot be done."""

    @property
    def topics(self) -> TopicsLike: ...

    def now(self) -> datetime: ...

    async def health(self) -> Health:
        """How everything that runs is. Never raises."""
        ...

    async def status(self) -> StatusView: ...
    async def positions(self) -> tuple[PositionView, ...]: ...
    async def trades(self, count: int) -> TradesView: ...
    async def pairs(self) -> tuple[PairView, ...]: ...
    async def ml(self) -> MlView: ...
    async def samples(self) -> SamplesView:
        """All samples by source, with the forecast and a picture."""
        ...

    async def report(self) -> ReportView:
        """The success metrics, with a picture."""
        ...

    async def chart(self, pair: str, trade_id: int | None = None) -> bytes:
        """A PNG of the pair's last candles, with the trade's levels when one is named."""
        ...

    async def why(self, number: int | None, is_trade: bool = False) -> WhyView:
        """A decision in full by its number or its trade's; None: the newest signal. Raises UsageError for none."""
        ...

    async def layers(self) -> LayersView:
        """What each layer was worth, at its newest look."""
        ...

    async def dial(self) -> DialView:
        """What each weight would have done to the last signals, with its picture."""
        ...

    async def rules(self) -> tuple[RuleView, ...]: ...
    async def rules_to_config(self, actor: Actor) -> tuple[RuleView, ...]:
        """Takes every approved change back. Raises UsageError where there is none, or for anybody but an approver."""
        ...

    async def opens(self, actor: Actor) -> OpeningAnswer:
        """Whether the gate will open; where it will not, a card asks for the best supported change of a rule."""
        ...

    async def gemini(self) -> GeminiView:
        """Gemini's scoreboard, also where there is no key."""
        ...

    async def trade_events(self, trade_id: int) -> Sequence[Event]:
        """What was told about a trade so far, oldest first: its SignalDecided, TargetHits, TradeClosed. Empty: unknown.

        The trade's one living message is drawn from these, so it is whole after a restart too.
        """
        ...

    async def switch_pair(self, pair: str, enabled: bool, actor: Actor) -> PairView: ...
    async def pause(self, actor: Actor) -> StatusView: ...
    async def resume(self, actor: Actor) -> StatusView: ...
    async def plan_close(self, pair: str | None) -> ClosePlan:
        """What closing a pair's trade, or with None all of them, would make now. Raises UsageError: nothing is open."""
        ...

    async def close(self, pair: str | None, token: str, actor: Actor) -> CloseResult:
        """Closes exactly what the plan of that token has shown; with None it pauses the entries too."""
        ...

    async def ask_weight(self, weight: float, actor: Actor) -> WeightAnswer:
        """0 takes effect at once; more becomes an approval when the gate is ready, else the reasons why not."""
        ...

    async def retrain(self, actor: Actor, progress: Progress) -> TrainingView:
        """Runs in a worker; one at a time, a second call raises UsageError."""
        ...

    async def models(self) -> ModelList: ...
    async def model_picture(self, model_id: str, kind: PictureKind) -> bytes:
        """A saved model's calibration or importance, as PNG."""
        ...

    async def ask_promotion(self, model_id: str, actor: Actor) -> Promotion: ...
    async def plan_rollback(self, actor: Actor) -> RollbackPlan: ...
    async def rollback(self, model_id: str, actor: Actor) -> RollbackPlan:
        """Goes back to the champion before, which must be ``model_id``."""
        ...

    async def approval(self, approval_id: int) -> ApprovalView | None: ...
    async def open_approvals(self) -> tuple[ApprovalView, ...]: ...
    async def answer_approval(self, approval_id: int, yes: bool, actor: Actor) -> ApprovalView:
        """Once only: answering what is no longer pending raises UsageError saying who answered and when."""
        ...

    async def trouble(self, name: str, title: str, detail: str = "") -> None:
        """Something is wrong on the chat's side: told once, and part of the status until ``trouble_over``."""
        ...

    async def trouble_over(self, name: str, title: str) -> None: ...

    async def keep_update(self, update_id: int, body: str) -> None:
        """Keeps what Telegram delivered, as JSON, until ``update_done``; one that is known is left as it is."""
        ...

    async def kept_updates(self) -> Sequence[str]:
        """At a start: what was kept and never dealt with, oldest first. Each is given out a few times at most."""
        ...

    async def update_done(self, update_id: int) -> None: ...

    async def record_command(self, update_id: int, user_id: int, user_name: str, text: str, allowed: bool) -> bool:
        """Writes the audit entry before anything is done. False: this update was handled before, do nothing."""
        ...


class OutboxLike(Protocol):
    """Alerts that wait to be sent: stored, in order, urgent first."""

    async def pending(self, limit: int) -> Sequence[OutboxItem]: ...
    async def sending(self, item_ids: Sequence[int], chat_id: int | None) -> None:
        """Noted before they are handed to that chat, so that it is known after a kill; None: it has not got them."""
        ...

    async def sent(self, item_ids: Sequence[int], message: MessageRef | None, subject: str = "") -> None:
        """Sent (or, with None, wanted by nobody): never shown again. ``message`` shows ``subject`` from now on, such as
        ``trade:12`` or ``approval:3``; all of it in one transaction."""
        ...

    async def failed(self, item_ids: Sequence[int], error: str) -> None:
        """Counts the attempt; the items stay pending."""
        ...

    async def told_until(self) -> datetime | None:
        """The last moment of wall time known at which nothing had been waiting for long; None before the first."""
        ...

    async def set_told_until(self, moment: datetime) -> None: ...

    async def changed(self, timeout: float) -> None:
        """Returns when something new may be pending, at the latest after ``timeout`` seconds."""
        ...

    async def message_of(self, subject: str) -> MessageRef | None: ...
    async def subject_of(self, message: MessageRef) -> str | None:
        """The other way round: what a message the user replied to was about."""
        ...
