"""Who becomes champion and on whose word: by itself, by an approver, or by going back to the one before.

With weight 0 a clearly better challenger takes over by itself (``ml.auto_takeover``), for then a champion decides
nothing. With a weight only an approver promotes, and the weight, granted to the model that goes, is gone with it. The
evidence stays with the line in any case.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace

from core.config import Settings
from core.domain.candles import to_ms
from core.domain.ledger import Controls
from core.domain.messages import Event, ModelTrained, Notice
from core.errors import ModelError, UsageError
from core.ports import Clock, StoredApproval
from core.services.approvals import Approvals, Granted, Kind, OutdatedError, Question
from core.services.bus import Bell
from core.services.gatekeeper import ITSELF, Gatekeeper
from core.services.loop import TradingLoop
from core.services.model_pictures import PictureKind
from core.services.pictures import Draw
from core.services.registry import ROLLED_BACK, ModelEntry, ModelList, Registry
from core.services.views import Actor, TrainingView

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Promotion:
    """What asking for a promotion gives: the approval that waits, and a sentence."""

    approval_id: int
    model_id: str
    sentence: str


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    """What a rollback would do: from which champion to which model, and the weight that ends with it."""

    champion: str | None
    target: ModelEntry
    weight: float


class Takeovers:
    """The champion's throne of one running bot."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        loop: TradingLoop,
        bell: Bell,
        registry: Registry,
        gatekeeper: Gatekeeper,
        approvals: Approvals,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._loop = loop
        self._bell = bell
        self._registry = registry
        self._gatekeeper = gatekeeper
        self._approvals = approvals
        approvals.kinds["promote"] = Kind(
            self._granted, self._outdated, self._promoted, lambda stored: "/models", self._anew
        )

    @property
    def _controls(self) -> Controls:
        return self._loop.memory.controls

    async def models(self) -> ModelList:
        return await self._registry.list()

    async def picture(self, model_id: str, kind: PictureKind, draw: Draw) -> bytes:
        """Of a saved model's evaluation, as PNG. Raises ModelError, UsageError."""
        return await self._registry.picture(model_id, kind, draw)

    async def start(self) -> None:
        """Finishes what a kill cut off: a granted promotion first, then whatever the book has not heard of."""
        promised = await self._registry.promised()
        if promised is not None:
            try:
                await self._promoted(promised)
            except ModelError as error:
                log.error("approval %d was granted, but: %s", promised.approval_id, error)
        await self.follow()

    async def follow(self) -> None:
        """Writes a champion into the book that came to be outside of this bot (``julaba train``, a restored backup)."""
        async with self._loop.changing:  # not between the files and the book of a takeover under way
            await self._registry.reconcile(self._controls.line)

    # -- after a training ------------------------------------------------------------------------------------------

    async def after_training(self, view: TrainingView) -> TrainingView:
        """Decides on the challenger and says so in the view; old challengers are cleared away."""
        found, model_id = view.comparison, view.model_id
        if found is None or model_id is None or found.same:
            return view
        if found.first:  # or in the place of one whose files are damaged: there is nothing to be better than
            await self._crown(model_id, ITSELF.name, found.sentence, view.sentence)
            view = replace(view, champion=True)
        elif found.better:
            view = await self._better(view, model_id, found.sentence)
        elif not found.worse and (spent := await self._gatekeeper.spent()):
            # Nobody can be given a weight any more: a fresh model that is not worse serves better than a spent one.
            view = await self._better(view, model_id, f"{found.sentence}; but {spent.partition(';')[0]}")
        await self._clear_away(model_id)
        return view

    async def _better(self, view: TrainingView, model_id: str, sentence: str) -> TrainingView:
        by_itself = self._settings.ml.auto_takeover and not await self._registry.was_champion(model_id)
        if by_itself and await self._crown(model_id, ITSELF.name, sentence, view.sentence, only_unweighted=True):
            return replace(view, champion=True, sentence=f"{view.sentence}; it takes over")
        asked = await self.ask(model_id, ITSELF)
        return replace(view, sentence=f"{view.sentence}; approval {asked.approval_id} asks whether it may take over")

    async def _clear_away(self, model_id: str) -> None:
        asked = [a.model_id for a in await self._approvals.open("promote") if a.model_id]
        try:
            await self._registry.prune([model_id, *asked])
        except ModelError as error:
            log.warning("old challengers stay: %s", error)

    async def _crown(self, model_id: str, by: str, reason: str, summary: str, *, only_unweighted: bool = False) -> bool:
        """False where a weight stands in the way. Raises ModelError, nothing changed, for a model that is not whole."""
        await self._registry.check(model_id)
        async with self._loop.changing:
            weight = self._controls.approved_weight
            if weight > 0 and only_unweighted:
                return False
            revoked = self._without_weight(self._controls, f"{model_id} has become the champion")
            news = self._news(model_id, summary)
            await self._registry.crown(
                model_id, self._controls.line, by, reason, revoked.controls, [*revoked.events, news]
            )
            self._loop.memory.controls = revoked.controls or self._controls
        self._bell.ring()
        await self._approvals.withdraw(f"{model_id} has become the champion", "weight", "promote")
        await self._gatekeeper.offer()
        return True

    def _without_weight(self, controls: Controls, reason: str) -> Granted:
        """Controls with weight 0 and the alert that says so; nothing where there is no weight."""
        if controls.approved_weight == 0:
            return Granted()
        notice = self._gatekeeper.revocation(controls.approved_weight, reason)
        return Granted(replace(controls, approved_weight=0.0, approved_model=None), (notice,))

    def _news(self, model_id: str, summary: str) -> Event:
        now = self._clock.now()
        key = f"model:{model_id}:{to_ms(now)}"
        return ModelTrained(key=key, time=now, model_id=model_id, champion=True, summary=summary)

    # -- by an approver --------------------------------------------------------------------------------------------

    async def ask(self, model_id: str, actor: Actor) -> Promotion:
        """Asks the approvers whether a model may become champion. Raises UsageError, ModelError."""
        models = await self._registry.list()
        entry = models.find(model_id)
        if entry.model_id == models.champion:
            raise UsageError(f"{entry.model_id} is the champion already")
        if entry.damage:
            raise UsageError(f"{entry.model_id} cannot become champion: {entry.damage}")
        waiting = await self._approvals.open("promote")
        for stored in waiting:
            if stored.model_id == entry.model_id:
                return Promotion(stored.approval_id, entry.model_id, "An approval for it is already waiting.")
        if waiting:
            await self._approvals.withdraw(f"{entry.model_id} is asked for instead", "promote")
        number = await self._approvals.ask("promote", self._question(entry, models.champion), actor.name)
        return Promotion(number, entry.model_id, f"Asked: may {entry.model_id} become champion?")

    def _question(self, entry: ModelEntry, champion: str | None) -> Question:
        weight = self._controls.approved_weight
        then = [f"A yes makes it champion in the place of {champion or 'none'}; the line keeps its evidence."]
        if weight > 0:
            then.append(f"The weight {weight:g} was granted to {champion}: it ends, and is asked for anew.")
        body = json.dumps({"model_id": entry.model_id, "sha256": entry.sha256, "champion": champion})
        title = f"May {entry.model_id} become champion?"
        return Question(title, (*evidence(entry, champion), *then), model_id=entry.model_id, body=body)

    async def _outdated(self, stored: StoredApproval) -> str:
        """Why a yes can no longer count."""
        named = json.loads(stored.body)
        models = await self._registry.list()
        if models.champion != named["champion"]:
            return _not_champion(named["champion"])
        entry = next((m for m in models.models if m.model_id == named["model_id"]), None)
        if entry is None or entry.sha256 != named["sha256"]:
            return f"the file of {named['model_id']} is gone or another one than when this was asked"
        try:
            await self._registry.check(entry.model_id)
        except ModelError as error:
            return str(error)
        return ""

    async def _anew(self, stored: StoredApproval, actor: Actor) -> int | None:
        """A yes that came too late asks again, with what is known of the model today."""
        return (await self.ask(stored.model_id, actor)).approval_id if stored.model_id else None

    def _granted(self, stored: StoredApproval, controls: Controls) -> Granted:
        if (named := json.loads(stored.body)["champion"]) != self._registry.champion():
            raise OutdatedError(_not_champion(named))
        return self._without_weight(controls, f"{stored.model_id} becomes the champion")

    async def _promoted(self, stored: StoredApproval) -> None:
        """The files and the book, after an approver's yes; done again at the next start where a kill comes between."""
        assert stored.model_id is not None
        by = stored.answered_by or "an approver"
        title = f"{by} made {stored.model_id} champion"
        await self._crown(stored.model_id, by, f"approval {stored.approval_id}", title)

    # -- going back ------------------------------------------------------------------------------------------------

    async def plan_rollback(self, actor: Actor) -> RollbackPlan:
        """What going back would do. Raises UsageError where there is nothing, or it takes another role."""
        models = await self._registry.list()
        weight = self._controls.approved_weight
        if weight > 0 and actor.role != "approver":
            raise UsageError(f"the champion has a weight of {weight:g}: only an approver can roll it back")
        if models.before is None:
            raise UsageError("there is nothing to go back to: no earlier champion's files are there and whole")
        return RollbackPlan(models.champion, models.find(models.before), weight)

    async def rollback(self, model_id: str, actor: Actor) -> RollbackPlan:
        """Goes back to the champion before, which must still be ``model_id``. Raises UsageError, ModelError."""
        plan = await self.plan_rollback(actor)
        if plan.target.model_id != model_id:
            raise UsageError(f"a rollback now goes back to {plan.target.model_id}, not {model_id}; /rollback asks anew")
        reason = f"{ROLLED_BACK} from {plan.champion or 'none'}"
        await self._registry.check(model_id)
        async with self._loop.changing:
            now, weight = self._clock.now(), self._controls.approved_weight
            if weight > 0 and actor.role != "approver":  # granted while the files were looked at
                raise UsageError("the champion has a weight by now: only an approver can roll it back")
            notice = Notice(
                key=f"model:rollback:{to_ms(now)}",
                time=now,
                topic="weight" if weight > 0 else "training",
                title=f"{actor.name} went back to {model_id}",
                detail=_gone(weight) + f"It takes the place of {plan.champion or 'none'}; the evidence stays.",
            )
            controls = replace(self._controls, approved_weight=0.0, approved_model=None) if weight > 0 else None
            await self._registry.crown(model_id, self._controls.line, actor.name, reason, controls, [notice])
            self._loop.memory.controls = controls or self._controls
        self._bell.ring()
        await self._approvals.withdraw(f"{model_id} is the champion again", "weight", "promote")
        await self._gatekeeper.offer()
        return plan


def evidence(entry: ModelEntry, champion: str | None) -> tuple[str, ...]:
    """What is known of a challenger, in sentences for an approval card."""
    lines = []
    if entry.auc is not None:
        interval = "" if entry.auc_low is None else f" ({entry.auc_low:.2f} to {entry.auc_high:.2f})"
        lines.append(
            f"Walk-forward: AUC {entry.auc:.2f}{interval} on {entry.evaluated} unseen signals, guessing is 0.50."
        )
    found = entry.comparison
    if found is None or found.champion_id != champion or entry.reigns:
        against = found.champion_id if found and found.champion_id else "no other model"
        lines.append(
            f"It was compared with {against} at its training, never with {champion or 'the present champion'}."
        )
        return tuple(lines)
    lines.append(f"At its training: {found.sentence}.")
    if found.champion is not None and found.challenger is not None:
        lines.append(f"Brier {found.challenger.brier:.4f} against {found.champion.brier:.4f} of {champion}.")
    if found.auc_low is not None:
        lines.append(f"AUC difference {found.auc_gain:+.3f} ({found.auc_low:+.3f} to {found.auc_high:+.3f}).")
    return tuple(lines)


def _not_champion(named: str | None) -> str:
    return f"it was compared with {named or 'no champion'}, which is no longer the champion"


def _gone(weight: float) -> str:
    return f"The weight {weight:g} is taken away. " if weight > 0 else ""
