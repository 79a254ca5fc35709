"""The desk: every question a person may ask and every command a person may give, for chat and pages alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

from core import __version__
from core.config import Settings
from core.domain.candles import DAY_MS, Pair, to_datetime, to_ms
from core.domain.health import Health
from core.domain.ledger import Switch
from core.domain.messages import Event
from core.domain.trading import Leg, Levels
from core.errors import UsageError
from core.ml.gate import floors, next_look
from core.ports import ChatStore, Clock, Ledger
from core.reports.charts import candle_chart
from core.services.champion import ChampionInfo
from core.services.changing import Changer, Standing
from core.services.desk_views import candles_shown, ml_summary, pair_view, position_view, trade_view
from core.services.dial import DialView, dial_view
from core.services.explain import Explainer, WhyView
from core.services.gatekeeper import Gatekeeper, condition_views
from core.services.health import HealthWatch
from core.services.listing import SWITCHED_BY
from core.services.live import LiveTrading
from core.services.loop import TradingLoop
from core.services.manual import ClosePlan, CloseResult, Hands
from core.services.model_pictures import PictureKind
from core.services.pausing import Pausing
from core.services.pictures import Draw
from core.services.prices import Prices
from core.services.proposals import OpeningAnswer, Proposals
from core.services.registry import ModelList
from core.services.rules import RuleView
from core.services.stock import SamplesView
from core.services.success import ReportView, SuccessDesk
from core.services.takeovers import Promotion, RollbackPlan, Takeovers
from core.services.topics import Topics
from core.services.trainings import Trainings
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
from core.services.worth import GeminiView, LayersView, WorthDesk


class Desk:
    """Implements what the chat needs (``julaba_tg.ports.DeskLike``) on the loop, the ledger and the gatekeeper.

    ``train`` runs a training somewhere off the event loop and reports its progress; ``champion`` says which model
    is in use. ``gemini`` gives what the status shows of the advisor, ``draw`` runs a chart's function somewhere else.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        ledger: Ledger,
        chat: ChatStore,
        loop: TradingLoop,
        live: LiveTrading,
        gatekeeper: Gatekeeper,
        takeovers: Takeovers,
        train: Callable[[Progress], Awaitable[TrainingView]],
        champion: Callable[[], ChampionInfo],
        gemini: Callable[[], Awaitable[str]],
        worth: WorthDesk,
        success: SuccessDesk,
        proposals: Proposals,
        topics: Topics,
        prices: Prices | None = None,
        hands: Hands | None = None,
        draw: Draw = asyncio.to_thread,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._ledger = ledger
        self._explainer = Explainer(ledger, draw)
        self._chat = chat
        self._loop = loop
        self._live = live
        self._gatekeeper = gatekeeper
        self._takeovers = takeovers
        self._train = train
        self._champion = champion
        self._gemini = gemini
        self._worth = worth
        self._success = success
        self._proposals = proposals
        self.topics = topics
        self._prices = prices
        self._hands = hands
        self._draw = draw
        self._training = asyncio.Lock()
        self._trainings = Trainings(clock, ledger)
        self._pausing = Pausing(clock, ledger, loop)
        self._changer = Changer(clock, ledger, loop)
        self.watch = HealthWatch(settings, clock, ledger, chat, loop, live, self._pausing.why, self._training.locked)

    def now(self) -> datetime:
        return self._clock.now()

    # -- looking ---------------------------------------------------------------------------------------------------

    async def health(self) -> Health:
        return await self.watch.look()

    async def status(self) -> StatusView:
        account, settings, now = self._loop.account, self._settings, self._clock.now()
        counts = await self._ledger.signal_counts(to_ms(now) // DAY_MS * DAY_MS)
        trades = await self._ledger.trade_totals()
        frame = settings.frame
        return StatusView(
            now=now,
            mode=settings.mode,
            paused=self._pausing.why(),
            equity=account.equity,
            cash=account.cash,
            open_pnl=account.open_pnl,
            day_pnl=account.equity - account.day_start_equity,
            total_pnl=account.equity - settings.paper.start_balance,
            drawdown=account.drawdown,
            positions=await self.positions(),
            pairs=await self.pairs(),
            last_close=to_datetime(self._loop.last_close) if self._loop.last_close else None,
            next_close=to_datetime(frame.floor(to_ms(now)) + frame.ms),
            signals_today=sum(counts.values()),
            refused_today=counts.get("refused", 0),
            trades_total=trades.count,
            gemini=await self._gemini(),
            ml=self._ml_line(),
            faults=self._live.faults.active,
            version=__version__,
            drawdown_paused=account.drawdown_paused,
        )

    def _ml_line(self) -> str:
        champion = self._champion()
        if champion.model_id is None:
            return f"learning {champion.rows}/{self._settings.ml.min_rows}"
        return f"{champion.model_id} · weight {self._gatekeeper.weight():g}"

    async def positions(self) -> tuple[PositionView, ...]:
        live = self._prices.latest if self._prices is not None else lambda pair: None
        frame_ms = self._settings.frame.ms
        return tuple(position_view(p, frame_ms, live(p.pair)) for p in self._loop.account.positions)

    async def trades(self, count: int) -> TradesView:
        totals = await self._ledger.trade_totals()
        return TradesView(
            trades=tuple(trade_view(t, self._settings) for t in await self._ledger.closed_trades(count)),
            total=totals.count,
            wins=totals.wins,
            pnl=totals.gains - totals.losses,
            profit_factor=totals.gains / totals.losses if totals.losses else None,
        )

    async def pairs(self) -> tuple[PairView, ...]:
        signals, settings = await self._ledger.signals_per_pair(), self.topics.steering.settings
        return tuple(
            pair_view(pair, self._loop, settings, signals.get(pair, 0), self._live.note(pair))
            for pair in settings.traded
        )

    async def ml(self) -> MlView:
        champion, controls, rows_needed = self._champion(), self._loop.memory.controls, self._settings.ml.min_rows
        evidence, looks = await self._gatekeeper.evidence(), await self._gatekeeper.looks()
        trades = sum(p.source == "trade" for p in evidence)
        last, look, weight = looks[-1] if looks else None, next_look(len(looks)), self._gatekeeper.weight()
        learning = champion.model_id is None
        stock = await self._success.stockroom.stock()
        conditions = last.conditions if last else floors(len(evidence), trades, self._settings.gate)
        return MlView(
            champion=champion.model_id,
            line=controls.line,
            rows=champion.rows,
            rows_needed=rows_needed,
            weight=weight,
            approved_weight=controls.approved_weight,
            outcomes=len(evidence),
            trades=trades,
            state="learning" if learning else last.state if last else "blocked",
            conditions=condition_views(conditions),
            looked_at=last.looked_at if last else None,
            looks=len(looks),
            next_look=look,
            metrics=champion.metrics,
            pending_approval=await self._gatekeeper.approvals.waiting(),
            summary=ml_summary(champion, weight, rows_needed, len(evidence), look),
            samples=stock.counts,
            forecast=stock.forecast,
            changes=self._proposals.rules.sentences,
            standing=await self._gatekeeper.standing(),
        )

    async def samples(self) -> SamplesView:
        return await self._success.stockroom.view()

    async def report(self) -> ReportView:
        return await self._success.view()

    async def chart(self, pair: str, trade_id: int | None = None) -> bytes:
        """The last candles as PNG; a trade's chart reaches back to before its entry. Raises UsageError."""
        market = self._known_pair(pair)
        window = self._loop.memory.windows.get(market)
        if window is None or len(window) < 2:
            raise UsageError(f"there are no candles of {market} yet")
        levels, legs, entry = await self._levels_of(trade_id)
        title = f"{market} · {self._settings.timeframe}"
        shown = candles_shown(window, entry)
        return await self._draw(candle_chart, window, levels, title, legs, entry, shown=shown)

    async def _levels_of(self, trade_id: int | None) -> tuple[Levels | None, tuple[Leg, ...], int | None]:
        record = await self._ledger.follow(trade_id) if trade_id is not None else None
        if record is None:
            return None, (), None
        return record.follow.levels, record.follow.legs, record.follow.entry_time

    async def why(self, number: int | None, is_trade: bool = False) -> WhyView:
        return await self._explainer.why(number, is_trade)

    async def layers(self) -> LayersView:
        return await self._worth.layers()

    async def gemini(self) -> GeminiView:
        return await self._worth.gemini()

    async def dial(self) -> DialView:
        return await dial_view(self._ledger, self._settings, self._loop, self._gatekeeper.weight(), self._draw)

    async def rules(self) -> tuple[RuleView, ...]:
        return await self._proposals.rules.view()

    async def trade_events(self, trade_id: int) -> list[Event]:
        """What was told about a trade so far, oldest first."""
        return await self._chat.trade_events(trade_id)

    # -- steering --------------------------------------------------------------------------------------------------

    def _known_pair(self, text: str) -> Pair:
        pair = Pair.parse(text)
        if pair not in self._settings.traded:
            known = ", ".join(p.base for p in self._settings.traded)
            raise UsageError(f"{pair} is not among the pairs: {known}")
        return pair

    async def switch_pair(self, pair: str, enabled: bool, actor: Actor) -> PairView:
        """Takes effect at the next close; an open position keeps its stop and targets."""
        market = self._known_pair(pair)
        if enabled and market in self._live.notes:
            raise UsageError(f"{market} cannot be switched on: {self._live.notes[market]}")
        switch = Switch(enabled, "" if enabled else f"{SWITCHED_BY}{actor.name}")

        def switched(now: Standing) -> Standing | None:
            before = now.switches[market]
            by_a_person = before.enabled or before.reason.startswith(SWITCHED_BY)
            if before.enabled == enabled and by_a_person:
                return None  # so it is already; whoever switched it first stays named
            return replace(now, switches={**now.switches, market: switch})

        await self._changer.make(actor, "switch_pair", switched)
        return next(v for v in await self.pairs() if v.pair == str(market))

    async def pause(self, actor: Actor) -> StatusView:
        """No new entries; stops and targets go on. Survives a restart."""
        await self._pausing.pause(actor)
        return await self.status()

    async def resume(self, actor: Actor) -> StatusView:
        """Lifts a pause and the one after a run of losses; for an approver also the drawdown pause."""
        await self._pausing.resume(actor)
        return await self.status()

    async def plan_close(self, pair: str | None) -> ClosePlan:
        """What is open in a pair, or with None everywhere, and what closing it now would make. Raises UsageError."""
        market = None if pair is None else Pair.parse(pair)
        if market is not None and self._loop.account.position(market) is None:
            self._known_pair(str(market))  # one taken out of the settings may still have something open
        return await self._by_hand().plan(market)

    async def close(self, pair: str | None, token: str, actor: Actor) -> CloseResult:
        """Closes exactly what a plan has shown; with None it also pauses the entries. Raises UsageError."""
        before = self._standing(self._loop.account.equity)
        done = await self._by_hand().close(None if pair is None else Pair.parse(pair), token, actor)
        after = self._standing(done.equity)
        closed = ", ".join(f"#{c.trade_id} {c.pair} at {c.price:g}, {c.pnl:+.2f} USDT" for c in done.closed)
        closed = closed or "nothing was open any more"
        await self._note(actor, "close" if pair else "panic", f"before: {before}; after: {after}; closed: {closed}")
        return done

    def _standing(self, equity: float) -> str:
        return f"{len(self._loop.account.positions)} open, equity {equity:,.2f}, {self._pausing.why() or 'running'}"

    def _by_hand(self) -> Hands:
        if self._hands is None:
            raise UsageError("there is no exchange to close at")
        return self._hands

    async def ask_weight(self, weight: float, actor: Actor) -> WeightAnswer:
        await self._gatekeeper.review()
        answer = await self._gatekeeper.ask(weight, actor)
        await self._note(actor, "ask_weight", f"{weight:g}: {answer.sentence}")
        return answer

    async def retrain(self, actor: Actor, progress: Progress) -> TrainingView:
        """One at a time; a second call raises UsageError."""
        if self._training.locked():
            raise UsageError("a training is already running")
        async with self._training:
            await self._note(actor, "retrain", "started")
            async with self._trainings.remembered(own=actor.user_id == 0):
                return await self._takeovers.after_training(await self._train(progress))

    async def models(self) -> ModelList:
        return await self._takeovers.models()

    async def model_picture(self, model_id: str, kind: PictureKind) -> bytes:
        """A saved model's calibration or importance, as PNG. Raises ModelError, UsageError."""
        return await self._takeovers.picture(model_id, kind, self._draw)

    async def ask_promotion(self, model_id: str, actor: Actor) -> Promotion:
        asked = await self._takeovers.ask(model_id, actor)
        await self._note(actor, "ask_promotion", f"{asked.model_id}: {asked.sentence}")
        return asked

    async def plan_rollback(self, actor: Actor) -> RollbackPlan:
        return await self._takeovers.plan_rollback(actor)

    async def rollback(self, model_id: str, actor: Actor) -> RollbackPlan:
        """Goes back to the champion before, which must be ``model_id``: what the person was shown."""
        plan = await self._takeovers.rollback(model_id, actor)
        await self._note(actor, "rollback", f"{plan.champion} to {model_id}")
        return plan

    async def rules_to_config(self, actor: Actor) -> tuple[RuleView, ...]:
        return await self._proposals.rules.back_to_config(actor)

    async def opens(self, actor: Actor) -> OpeningAnswer:
        answer = await self._proposals.consider(actor.name)
        await self._note(actor, "opens", f"{answer.title}; approval {answer.approval_id}")
        return answer

    async def approval(self, approval_id: int) -> ApprovalView | None:
        return await self._gatekeeper.approvals.view(approval_id)

    async def open_approvals(self) -> tuple[ApprovalView, ...]:
        """Those that wait for an answer, the oldest first."""
        return await self._gatekeeper.approvals.pending()

    async def answer_approval(self, approval_id: int, yes: bool, actor: Actor) -> ApprovalView:
        return await self._gatekeeper.approvals.answer(approval_id, yes, actor)

    # -- keeping ---------------------------------------------------------------------------------------------------

    async def trouble(self, name: str, title: str, detail: str = "") -> None:
        await self._live.faults.raised(f"telegram:{name}", title, detail)

    async def trouble_over(self, name: str, title: str) -> None:
        await self._live.faults.cleared(f"telegram:{name}", title)

    async def keep_update(self, update_id: int, body: str) -> None:
        await self._chat.keep_update(update_id, body)

    async def kept_updates(self) -> list[str]:
        return await self._chat.kept_updates()

    async def update_done(self, update_id: int) -> None:
        await self._chat.update_done(update_id)

    async def record_command(self, update_id: int, user_id: int, user_name: str, text: str, allowed: bool) -> bool:
        if not await self._chat.first_seen(update_id):
            return False
        action = "command" if allowed else "refused"
        await self._chat.audit(to_ms(self._clock.now()), user_id, user_name[:64], action, text[:500])
        return True

    async def _note(self, actor: Actor, action: str, detail: str) -> None:
        await self._chat.audit(to_ms(self._clock.now()), actor.user_id, actor.name[:64], action, detail[:500])
