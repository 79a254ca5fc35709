"""An engine that answers what a test tells it to: the port the chat asks and steers by."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from core.domain.health import Health
from core.domain.messages import Event, SignalDecided, TargetHit, TradeClosed
from core.domain.trading import Direction, ExitReason, Ruling, Verdict
from core.errors import UsageError
from core.services.dial import DialView
from core.services.explain import WhyView
from core.services.manual import ClosePlan, CloseResult, Closing
from core.services.model_pictures import PictureKind
from core.services.prices import LivePrice
from core.services.proposals import OpeningAnswer
from core.services.registry import ModelList
from core.services.rules import RuleView
from core.services.stock import SamplesView
from core.services.success import ReportView
from core.services.takeovers import Promotion, RollbackPlan
from core.services.views import (
    Actor,
    ApprovalView,
    ConditionView,
    MlView,
    PairView,
    PositionView,
    Progress,
    StatusView,
    TradesView,
    TradeView,
    TrainingView,
    WeightAnswer,
)
from core.services.worth import GeminiView, LayersView
from tests.fakes import closing, rules, success, worth
from tests.fakes.health import health
from tests.fakes.topics import FakeTopics
from tests.fakes.why import a_why

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001"
    "f61738550000000049454e44ae426082"
)


@dataclass(frozen=True, slots=True)
class Recorded:
    update_id: int
    user_id: int
    text: str
    allowed: bool


def a_pair(pair: str = "LINK/USDT", enabled: bool = True, note: str = "") -> PairView:
    return PairView(pair, enabled, 1.0, NOON, 17.48, note, signals=3, open_shadows=2)


def a_position(trade_id: int = 7) -> PositionView:
    return PositionView(
        trade_id=trade_id,
        pair="LINK/USDT",
        direction="LONG",
        opened_at=NOON - timedelta(hours=1),
        entry=17.48,
        mark=17.61,
        stop=17.10,
        targets=(18.05, 18.43, 19.0),
        targets_hit=0,
        remaining=1.0,
        quantity=315.8,
        risk_amount=120.0,
        open_pnl=41.05,
        realized_pnl=-2.76,
        r=0.34,
        bars=4,
        live=LivePrice(17.64, 4.2, "stream"),
        live_pnl=50.53,
    )


def a_trade(trade_id: int = 6) -> TradeView:
    return TradeView(
        trade_id,
        "ETH/USDT",
        "SHORT",
        NOON - timedelta(hours=5),
        NOON - timedelta(hours=2),
        3412.6,
        3380.0,
        "STOP_LOSS",
        "TP1",
        pnl=84.2,
        r_net=0.62,
        duration_minutes=180,
    )


def an_approval(approval_id: int = 3, kind: str = "weight") -> ApprovalView:
    return ApprovalView(
        approval_id=approval_id,
        kind=kind,  # type: ignore[arg-type]
        state="pending",
        title="Let the model count 25%?",
        lines=(
            "100 outcomes, 34 are trades",
            "accuracy 61% against 57% for always saying LOSE",
            "AUC 0.64 (0.55-0.72)",
        ),
        weight=0.25,
        line="line-1",
        model_id="xgb-1",
        asked_by="Ann",
        created_at=NOON,
        expires_at=NOON + timedelta(hours=72),
    )


def a_signal(number: int = 1, /, **changes: object) -> SignalDecided:
    """A taken LINK signal; ``changes`` replace fields."""
    taken = SignalDecided(
        key=f"signal:{number}",
        time=NOON,
        decision_id=number,
        pair="LINK/USDT",
        direction=Direction.LONG,
        status="taken",
        reason="",
        entry=17.48,
        stop=17.10,
        targets=(18.05, 18.43, 19.0),
        quantity=315.8,
        risk_amount=120.0,
        gemini_confidence=0.78,
        gemini_reasoning="Momentum with volume",
        gemini_source="stand-in (rules, no AI)",
        gemini_note="",
        ml_probability=0.37,
        ml_average=0.36,
        ml_note="",
        combined_confidence=None,
        influence_weight=0.0,
        verdicts=(
            Verdict("signal", "adx", Ruling.PASS, 31.0, "ADX 31 is at least 25"),
            Verdict("rules", "alignment", Ruling.HALF, 2.0, "1h down"),
        ),
        trade_id=7,
    )
    return replace(taken, **changes)  # type: ignore[arg-type]


def a_refusal(number: int = 1, reason: str = "1h down") -> SignalDecided:
    return a_signal(number, status="refused", reason=reason, trade_id=None)


def a_target(trade_id: int = 7, target: str = "TP1") -> TargetHit:
    return TargetHit(
        key=f"target:{trade_id}:{target}",
        time=NOON + timedelta(minutes=45),
        trade_id=trade_id,
        pair="LINK/USDT",
        direction=Direction.LONG,
        target=target,
        price=18.05,
        fraction=0.5,
        r=0.75,
        realized_r=0.75,
        remaining=0.5,
        pnl=88.4,
    )


def a_closing(trade_id: int = 7) -> TradeClosed:
    return TradeClosed(
        key=f"closed:{trade_id}",
        time=NOON + timedelta(hours=3),
        trade_id=trade_id,
        pair="LINK/USDT",
        direction=Direction.LONG,
        reason=ExitReason.STOP_LOSS,
        entry=17.48,
        exit_price=17.10,
        last_target="TP1",
        realized_r=0.25,
        realized_r_net=0.18,
        pnl=22.1,
        duration_minutes=180,
        equity=10_022.1,
    )


class FakeDesk:
    """Says what its attributes hold and keeps what was asked of it."""

    def __init__(self) -> None:
        self.topics = FakeTopics()
        self.recorded: list[Recorded] = []
        self.troubles: list[str] = []
        self.troubled: set[str] = set()
        self.seen: set[int] = set()
        self.kept: dict[int, str] = {}
        self.switches = {"LINK/USDT": True, "ETH/USDT": True, "SOL/USDT": False}
        self.paused = ""
        self.health_view = health()
        self.closings: tuple[Closing, ...] = closing.CLOSINGS
        self.closed_by: list[tuple[str, str | None]] = []
        self.weights: list[float] = []
        self.weight_answer = WeightAnswer(None, 0.25, ("12 of 50 outcomes", "3 of 20 trades"), "The gate is closed.")
        self.approvals = {3: an_approval()}
        self.model_list = ModelList((), None, None)
        self.asked_for: list[str] = []
        self.weight = 0.0
        self.events: dict[int, list[Event]] = {}
        self.whys: list[WhyView] = [a_why(12, picture=PNG)]
        self.samples_view = success.samples(NOON, PNG)
        self.report_view = success.report(NOON, PNG)
        self.layers_view = worth.layers(worth.opinionated(), PNG)
        self.gemini_view = worth.gemini(worth.opinionated(), PNG)
        self.dial_view = rules.a_dial(PNG)
        self.rule_views = rules.AS_CONFIGURED
        self.rule_changes: tuple[str, ...] = ()
        self.opening = rules.an_opening()
        self.position_views: tuple[PositionView, ...] = (a_position(),)
        self.training: TrainingView = TrainingView(
            "xgb-2", True, "Better than chance.", 412, {"auc": 0.58, "brier": 0.231}, None, 1.4
        )
        self.training_gate = asyncio.Event()
        self.training_gate.set()
        self.busy = False
        self.fails: Exception | None = None

    def now(self) -> datetime:
        return NOON

    async def health(self) -> Health:
        return self.health_view

    async def status(self) -> StatusView:
        if self.fails:
            raise self.fails
        return StatusView(
            now=NOON,
            mode="paper",
            paused=self.paused,
            equity=10_240.0,
            cash=10_198.95,
            open_pnl=41.05,
            day_pnl=31.0,
            total_pnl=240.0,
            drawdown=0.012,
            positions=self.position_views,
            pairs=await self.pairs(),
            last_close=NOON,
            next_close=NOON + timedelta(minutes=15),
            signals_today=3,
            refused_today=2,
            trades_total=41,
            gemini="off (no key)",
            ml="learning 31/50",
            faults=(),
            version="0.1.0",
        )

    async def positions(self) -> tuple[PositionView, ...]:
        return self.position_views

    async def trades(self, count: int) -> TradesView:
        return TradesView((a_trade(),) * min(count, 3), total=41, wins=17, pnl=240.0, profit_factor=1.31)

    async def pairs(self) -> tuple[PairView, ...]:
        return tuple(a_pair(pair, on) for pair, on in self.switches.items())

    async def ml(self) -> MlView:
        waiting = next((a.approval_id for a in self.approvals.values() if a.state == "pending"), None)
        return MlView(
            champion="xgb-1",
            line="line-1",
            rows=412,
            rows_needed=50,
            weight=0.0,
            approved_weight=0.0,
            outcomes=31,
            trades=12,
            state="blocked",
            conditions=(
                ConditionView("outcomes", False, 31, 50, "31 of 50 outcomes"),
                ConditionView("accuracy", True, 0.58, 0.55, "better than asked"),
            ),
            looked_at=None,
            looks=0,
            next_look=50,
            metrics={"auc": 0.56, "brier": None},
            pending_approval=waiting,
            summary="xgb-1 is asked and scored but decides nothing.",
            samples=self.samples_view.stock.counts,
            forecast=self.samples_view.stock.forecast,
            standing=("Trained 4 days ago", "Drift: no look yet, 57 of 200 crossovers"),
            changes=self.rule_changes,
        )

    async def samples(self) -> SamplesView:
        return self.samples_view

    async def report(self) -> ReportView:
        return self.report_view

    async def chart(self, pair: str, trade_id: int | None = None) -> bytes:
        if pair not in self.switches:
            raise UsageError(f"{pair} is not among the pairs: LINK, ETH, SOL")
        return PNG

    async def why(self, number: int | None, is_trade: bool = False) -> WhyView:
        view = next((v for v in self.whys if number in (None, v.trade_id if is_trade else v.decision_id)), None)
        if view is None:
            raise UsageError(f"there is no signal or trade {number}; the newest signal is 12")
        return view

    async def layers(self) -> LayersView:
        return self.layers_view

    async def gemini(self) -> GeminiView:
        return self.gemini_view

    async def dial(self) -> DialView:
        return self.dial_view

    async def rules(self) -> tuple[RuleView, ...]:
        return self.rule_views

    async def rules_to_config(self, actor: Actor) -> tuple[RuleView, ...]:
        if self.rule_views == rules.AS_CONFIGURED:
            raise UsageError("the rules are as configured: there is nothing to take back")
        self.rule_views = rules.AS_CONFIGURED
        return self.rule_views

    async def opens(self, actor: Actor) -> OpeningAnswer:
        if self.fails:
            raise self.fails
        return self.opening

    async def trade_events(self, trade_id: int) -> Sequence[Event]:
        return self.events.get(trade_id, [])

    async def switch_pair(self, pair: str, enabled: bool, actor: Actor) -> PairView:
        if pair not in self.switches:
            raise UsageError(f"{pair} is not among the pairs: LINK, ETH, SOL")
        self.switches[pair] = enabled
        return a_pair(pair, enabled)

    async def pause(self, actor: Actor) -> StatusView:
        self.paused = f"by {actor.name}"
        return await self.status()

    async def resume(self, actor: Actor) -> StatusView:
        self.paused = ""
        return await self.status()

    async def plan_close(self, pair: str | None) -> ClosePlan:
        chosen = tuple(c for c in self.closings if pair in (None, c.pair))
        if not chosen:
            raise UsageError("nothing is open" if pair is None else f"nothing is open in {pair}")
        return ClosePlan(closing.token(chosen), chosen, pair is None, NOON)

    async def close(self, pair: str | None, token: str, actor: Actor) -> CloseResult:
        plan = await self.plan_close(pair)
        if plan.token != token:
            raise UsageError("what is open has changed since it was shown; look again")
        self.closings = tuple(c for c in self.closings if c not in plan.closings)
        if pair is None:
            self.paused = f"panic by {actor.name}"
        self.closed_by.append((actor.name, pair))
        return CloseResult(plan.closings, 10_281.05, bool(self.paused))

    async def ask_weight(self, weight: float, actor: Actor) -> WeightAnswer:
        self.weights.append(weight)
        return replace(self.weight_answer, weight=weight)

    async def retrain(self, actor: Actor, progress: Progress) -> TrainingView:
        if self.busy:
            raise UsageError("a training is already running")
        self.busy = True
        try:
            progress("fitting fold 3", 0.4)
            await self.training_gate.wait()
            return self.training
        finally:
            self.busy = False

    async def models(self) -> ModelList:
        return self.model_list

    async def model_picture(self, model_id: str, kind: PictureKind) -> bytes:
        return PNG

    async def ask_promotion(self, model_id: str, actor: Actor) -> Promotion:
        entry = self.model_list.find(model_id)
        self.asked_for.append(entry.model_id)
        self.approvals[4] = an_approval(4, "promote")
        return Promotion(4, entry.model_id, "The card follows.")

    async def plan_rollback(self, actor: Actor) -> RollbackPlan:
        if self.model_list.before is None:
            raise UsageError("there is nothing to go back to")
        return RollbackPlan(self.model_list.champion, self.model_list.find(self.model_list.before), self.weight)

    async def rollback(self, model_id: str, actor: Actor) -> RollbackPlan:
        plan = await self.plan_rollback(actor)
        self.model_list = replace(self.model_list, champion=model_id, before=None)
        return plan

    async def approval(self, approval_id: int) -> ApprovalView | None:
        return self.approvals.get(approval_id)

    async def open_approvals(self) -> tuple[ApprovalView, ...]:
        return tuple(view for view in self.approvals.values() if view.state == "pending")

    async def answer_approval(self, approval_id: int, yes: bool, actor: Actor) -> ApprovalView:
        view = self.approvals.get(approval_id)
        if view is None:
            raise UsageError(f"there is no approval {approval_id}")
        if view.state != "pending":
            raise UsageError(f"approval {approval_id} was {view.state} by {view.answered_by} before")
        state = "approved" if yes else "rejected"
        ended = replace(view, state=state, answered_by=actor.name, answered_at=NOON)  # type: ignore[arg-type]
        self.approvals[approval_id] = ended
        return ended

    async def trouble(self, name: str, title: str, detail: str = "") -> None:
        if name not in self.troubled:
            self.troubled.add(name)
            self.troubles.append(f"{name}: {title}")

    async def trouble_over(self, name: str, title: str) -> None:
        if name in self.troubled:
            self.troubled.discard(name)
            self.troubles.append(f"{name} over: {title}")

    async def keep_update(self, update_id: int, body: str) -> None:
        if update_id not in self.seen:
            self.kept.setdefault(update_id, body)

    async def kept_updates(self) -> list[str]:
        return [self.kept[update_id] for update_id in sorted(self.kept)]

    async def update_done(self, update_id: int) -> None:
        self.kept.pop(update_id, None)
        self.seen.add(update_id)

    async def record_command(self, update_id: int, user_id: int, user_name: str, text: str, allowed: bool) -> bool:
        self.recorded.append(Recorded(update_id, user_id, text, allowed))
        return update_id not in self.seen
