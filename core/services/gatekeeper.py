"""The model's influence: looks taken and stored, weights asked for, granted by a person, and taken away again.

How a question is asked and answered is ``approvals``' matter; here is what a weight needs and what ends it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from core.config import Settings
from core.domain.candles import to_ms
from core.domain.ledger import Controls
from core.domain.messages import Notice
from core.engine.filters import effective_weight
from core.errors import UsageError
from core.ml.expiry import below_red_flag, expired
from core.ml.gate import Condition, Look, ScoredPrediction, examine, floors, look_due, next_look
from core.ml.preview import WeightCard, weight_card
from core.ports import ChampionBook, ChatStore, Clock, Ledger, StoredApproval
from core.services.approvals import Approvals, Granted, Kind, OutdatedError, Question
from core.services.bus import Bell
from core.services.champion import ChampionInfo
from core.services.changing import Changer, Standing
from core.services.dial import dial_view, last_signals
from core.services.drift_watch import DriftWatch
from core.services.live_evaluation import evidence_of
from core.services.loop import TradingLoop
from core.services.pictures import Draw
from core.services.upkeep import Rounds
from core.services.views import Actor, ConditionView, WeightAnswer

log = logging.getLogger(__name__)

ITSELF = Actor(0, "Julaba", "operator")


class Gatekeeper:
    """One line of models, its looks, and the approvals about its weight."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        ledger: Ledger,
        chat: ChatStore,
        loop: TradingLoop,
        bell: Bell,
        champion: Callable[[], ChampionInfo],
        approvals: Approvals,
        book: ChampionBook | None = None,
        drift: DriftWatch | None = None,
        draw: Draw = asyncio.to_thread,
    ) -> None:
        """``champion`` tells of the model in use, ``book`` of those before it; without ``drift`` none is looked for.

        ``draw`` runs a chart's function somewhere else.
        """
        self._settings = settings
        self._clock = clock
        self._ledger = ledger
        self._changer = Changer(clock, ledger, loop)
        self._chat = chat
        self._loop = loop
        self._bell = bell
        self._champion = champion
        self._book = book
        self.approvals = approvals
        self._drift = drift
        self._draw = draw
        approvals.kinds["weight"] = Kind(
            self._grant, self._outdated, again=lambda stored: f"/ml {stored.weight:g}", anew=self._anew
        )
        self._reviewed = -1  # live outcomes at the last review: nothing new, nothing to look at
        self._rounds = Rounds()
        self._looking, self._asking = asyncio.Lock(), asyncio.Lock()

    @property
    def _controls(self) -> Controls:
        return self._loop.memory.controls

    async def evidence(self) -> list[ScoredPrediction]:
        """Live outcomes with a prediction stored at their decision by the champion of then, in the order of closing."""
        return await evidence_of(self._ledger, self._book, self._controls.line)

    async def looks(self) -> list[Look]:
        return [_look_from_json(body) for body in await self._chat.looks(self._controls.line)]

    async def review(self) -> None:
        """Takes the looks that are due, each once; takes the weight away where its ground is gone.

        Each part stands alone: what one cannot do must not keep the others from it.
        """
        await self._rounds((self.approvals.expire, self._look_for_drift, self._revoke_what_is_spent, self._take_looks))

    async def _look_for_drift(self) -> None:
        if self._drift is not None:
            await self._drift.review(self._controls.line, self._champion())

    async def _revoke_what_is_spent(self) -> None:
        champion = self._champion()
        if reason := self._other_champion(champion) or await self._spent(champion):
            await self.revoke(reason)

    async def _take_looks(self) -> None:
        async with self._looking:  # a person may ask while the upkeep looks: what a look brings is done once
            outcomes = await self._ledger.outcome_count()
            if outcomes == self._reviewed:
                return
            evidence, looks = await self.evidence(), await self.looks()
            while look_due(len(evidence), len(looks)) is not None:
                now = self._clock.now()
                look = await asyncio.to_thread(examine, evidence, len(looks), self._settings.gate, now)
                body = json.dumps(asdict(look), default=str)
                await self._chat.save_look(
                    self._controls.line, look.index, look.n, to_ms(look.looked_at), look.alpha, look.state, body
                )
                looks.append(look)
            if looks:
                # Also where the look is an old one: a kill may have come between it and what it brings.
                await self._after_look(looks[-1])
                if not await self._has_offered(looks[-1]):
                    await self.offer()
            self._reviewed = outcomes

    async def offer(self) -> int | None:
        """Asks for the first weight by itself where the gate is ready and the model counts nothing: after a look, and
        after a change of champion. The approval's number; None where there is nothing to ask."""
        looks, asked = await self.looks(), None
        steps = [step for step in self._settings.approvals.weight_steps if step > 0]
        if steps and self._controls.approved_weight == 0:
            asked = (await self.ask(min(steps), ITSELF)).approval_id
        if looks:
            # Stored last: a kill before this asks again, and a question that waits is never doubled.
            name, look, now = self._offered_name(), looks[-1], to_ms(self._clock.now())
            await self._chat.save_look(name, look.index, look.n, now, 0.0, "offered", json.dumps(look.index))
        return asked

    async def _has_offered(self, look: Look) -> bool:
        return look.index in [json.loads(body) for body in await self._chat.looks(self._offered_name())]

    def _offered_name(self) -> str:
        return f"{self._controls.line}/offered/{self._champion().model_id}"

    def _other_champion(self, champion: ChampionInfo) -> str:
        if self._controls.approved_weight == 0 or champion.model_id == self._controls.approved_model:
            return ""
        return f"{champion.model_id or 'no model'} has become the champion"

    async def _spent(self, champion: ChampionInfo) -> str:
        """Why this champion may have no weight, whatever the gate says: its age, or drift. Empty where it may."""
        if old := self._too_old(champion):
            return old
        return await self._drift.reason(self._controls.line, champion) if self._drift is not None else ""

    async def spent(self) -> str:
        """Why today's champion may have no weight whatever the gate says; empty where it may."""
        return await self._spent(self._champion())

    async def standing(self) -> tuple[str, ...]:
        """The champion's age and its last drift look, in sentences."""
        champion = self._champion()
        age = champion.age_days(self._clock.now())
        most = self._settings.ml.max_age_days
        lines = []
        if age is not None:
            lines.append(
                f"Trained {age:.0f} days ago" + (f": too old for a weight ({most} at most)" if age > most else "")
            )
        if self._drift is not None and champion.model_id is not None:
            lines.append(f"Drift: {await self._drift.sentence(self._controls.line, champion)}")
        return tuple(lines)

    def _too_old(self, champion: ChampionInfo) -> str:
        if champion.trained_at is None:
            return ""
        return expired(champion.model_id, champion.trained_at, to_ms(self._clock.now()), self._settings.ml.max_age_days)

    async def _after_look(self, look: Look) -> None:
        if self._controls.approved_weight > 0 and (why := below_red_flag(look.accuracy, look.n)):
            await self.revoke(why)

    async def revoke(self, reason: str) -> None:
        """Weight 0 at once, with an alert; nothing happens where the weight is 0 already."""
        await self._set_to_zero(lambda weight: self.revocation(weight, reason) if weight > 0 else None, ITSELF, reason)

    def revocation(self, weight: float, reason: str) -> Notice:
        """The alert that says that a weight is gone, and why."""
        now = self._clock.now()
        return Notice(
            key=f"weight:revoked:{to_ms(now)}",
            time=now,
            topic="weight",
            title=f"The model's weight {weight:g} is taken away",
            detail=f"{reason[0].upper()}{reason[1:]}. It decides nothing until an approver grants a weight again.",
            about=self._granting(),
        )

    def _granting(self) -> str:
        """The card that gave the weight: what ends it is told in answer to that."""
        return f"approval:{self._controls.granted_by}" if self._controls.granted_by else ""

    async def _set_to_zero(self, told: Callable[[float], Notice | None], actor: Actor, why: str = "") -> None:
        notices: list[Notice] = []

        def lowered(now: Standing) -> Standing | None:
            if (notice := told(now.controls.approved_weight)) is None:
                return None
            notices.append(notice)
            return replace(now, controls=replace(now.controls, approved_weight=0.0, approved_model=None, granted_by=0))

        await self._changer.make(actor, "weight", lowered, events=notices, reversible=False, note=why)
        self._bell.ring()

    def weight(self) -> float:
        """What the model counts now: the approved weight under the ramp."""
        return effective_weight(self._controls.approved_weight, self._loop.memory.outcomes)

    async def ask(self, weight: float, actor: Actor) -> WeightAnswer:
        """0 is set at once. More becomes an approval card when the last look was ready, else the reasons why not."""
        if weight == 0:
            await self._lower_to_zero(actor)
            return WeightAnswer(None, 0.0, (), "The model counts nothing from now on; it is still asked and scored.")
        steps = self._settings.approvals.weight_steps
        if not any(abs(weight - step) < 1e-9 for step in steps):
            raise UsageError(f"a weight is 0 or one of {', '.join(f'{s:g}' for s in steps)}")
        now = self._controls.approved_weight
        following = next((s for s in sorted(steps) if s > now + 1e-9), None)
        if following is not None and weight > following + 1e-9:
            raise UsageError(f"one step at a time: the next weight after {now:g} is {following:g}")
        evidence, looks = await self.evidence(), await self.looks()
        champion = self._champion()
        missing = await self._missing(evidence, looks, champion)
        if missing:
            return WeightAnswer(None, weight, missing, f"A weight of {weight:g} cannot be asked for yet.")
        async with self._asking:  # the bot and a person may ask at once
            waiting = await self.approvals.open("weight")
            if waiting:
                return WeightAnswer(waiting[0].approval_id, weight, (), "An approval is already waiting for an answer.")
            approval_id = await self._ask(weight, champion, looks[-1], actor)
        return WeightAnswer(approval_id, weight, (), f"Asked: may the model count {weight:g}?")

    async def _missing(
        self, evidence: list[ScoredPrediction], looks: list[Look], champion: ChampionInfo
    ) -> tuple[str, ...]:
        if champion.model_id is None:
            return ("there is no model yet",)
        if spent := await self._spent(champion):
            return (spent,)
        if not looks:
            trades = sum(p.source == "trade" for p in evidence)
            unmet = [c.sentence for c in floors(len(evidence), trades, self._settings.gate) if not c.met]
            return (*unmet, f"the first look is at {next_look(0)} outcomes")
        last = looks[-1]
        if last.state == "ready":
            return ()
        return (
            *(c.sentence for c in last.conditions if not c.met),
            f"the next look is at {next_look(len(looks))} outcomes, {len(evidence)} are there",
        )

    async def _lower_to_zero(self, actor: Actor) -> None:
        now = self._clock.now()
        notice = Notice(
            key=f"weight:lowered:{to_ms(now)}",
            time=now,
            topic="weight",
            title=f"{actor.name} set the model's weight to 0",
            about=self._granting(),
        )
        await self._set_to_zero(lambda weight: notice, actor)

    async def _ask(self, weight: float, champion: ChampionInfo, look: Look, actor: Actor) -> int:
        shown = await self._preview(weight)
        lines = (*(c.sentence for c in look.conditions), *shown.lines)
        body = json.dumps({"model_id": champion.model_id, "sha256": champion.sha256})
        picture = await self._picture()
        question = Question(shown.title, lines, weight=weight, model_id=champion.model_id, body=body, picture=picture)
        return await self.approvals.ask("weight", question, actor.name)

    async def _picture(self) -> bytes | None:
        """The dial as it stands; a card is asked without it rather than not at all."""
        try:
            view = await dial_view(self._ledger, self._settings, self._loop, self.weight(), self._draw)
        except Exception:  # a chart is decoration: whatever is wrong with it, the question is asked
            log.exception("a weight is asked for without its picture")
            return None
        return view.picture

    async def _preview(self, weight: float) -> WeightCard:
        signals = await last_signals(self._ledger)
        return weight_card(signals, weight, self._settings, self._loop.memory.outcomes, self.weight())

    async def _outdated(self, stored: StoredApproval) -> str:
        """Why a yes can no longer count: the evidence it named is not that of today's champion."""
        if reason := self._another(stored) or await self._spent(self._champion()):
            return reason
        looks = await self.looks()
        return f"the look at {looks[-1].n} outcomes says no" if looks and looks[-1].state != "ready" else ""

    def _another(self, stored: StoredApproval) -> str:
        champion = self._champion()
        if stored.line != self._controls.line or stored.model_id != champion.model_id:
            return f"{stored.model_id} is no longer the champion"
        if (named := json.loads(stored.body or "{}").get("sha256")) and named != champion.sha256:
            return f"the file of {stored.model_id} is another one than when this was asked"
        return ""

    def _grant(self, stored: StoredApproval, controls: Controls) -> Granted:
        """Looks once more: a takeover may have come between the question whether it still counts and its answer."""
        if reason := self._another(stored):
            raise OutdatedError(reason)
        return Granted(
            replace(
                controls,
                approved_weight=stored.weight or 0.0,
                approved_model=stored.model_id,
                granted_by=stored.approval_id,
            )
        )

    async def _anew(self, stored: StoredApproval, actor: Actor) -> int | None:
        """A yes that came too late is one person's word that it be asked again, with the evidence of today."""
        return (await self.ask(stored.weight or 0.0, actor)).approval_id if stored.weight else None


def _look_from_json(body: str) -> Look:
    values: dict[str, Any] = json.loads(body)
    values["conditions"] = tuple(Condition(**c) for c in values["conditions"])
    values["looked_at"] = datetime.fromisoformat(values["looked_at"])
    return Look(**values)


def condition_views(conditions: tuple[Condition, ...]) -> tuple[ConditionView, ...]:
    return tuple(ConditionView(c.name, c.met, c.number, c.threshold, c.sentence) for c in conditions)
