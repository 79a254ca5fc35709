"""The rules in force as people see and change them: what is changed and by whom, questions answered, the way back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from core.config import Settings
from core.domain.candles import to_datetime, to_ms
from core.domain.ledger import Controls
from core.domain.messages import Notice
from core.errors import SettingsError, UsageError
from core.ports import ChatStore, Clock, Ledger, StoredApproval
from core.services.approvals import Approvals, Granted, Kind, OutdatedError, Question
from core.services.bus import Bell
from core.services.changes import CHANGEABLE, Change, configured, in_force, plain, with_changes, without_changes
from core.services.changing import Changer, Standing
from core.services.gatekeeper import ITSELF
from core.services.loop import TradingLoop
from core.services.views import Actor

_LOOK = {"notify": "/notify", "pairs": "/pairs"}


@dataclass(frozen=True, slots=True)
class RuleView:
    """A rule that can be changed: what counts now, what is configured and, where those differ, who changed it."""

    name: str
    words: str
    value: str
    configured: str
    changed_by: str  # empty where it is as configured
    changed_at: datetime | None


class RuleKeeper:
    """Questions of the kind ``rule`` and the changes that they left. One per store."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        ledger: Ledger,
        chat: ChatStore,
        loop: TradingLoop,
        bell: Bell,
        approvals: Approvals,
    ) -> None:
        """``settings`` are the configured ones."""
        self._settings = settings
        self._clock = clock
        self._changer = Changer(clock, ledger, loop)
        self._chat = chat
        self._loop = loop
        self._bell = bell
        self._approvals = approvals
        approvals.kinds["rule"] = Kind(self._grant, self._outdated, again=lambda stored: "/opens")

    @property
    def in_force(self) -> Settings:
        """The settings as they count from the next candle on."""
        return in_force(self._settings, self._controls.changes).settings

    @property
    def _controls(self) -> Controls:
        return self._loop.memory.controls

    @property
    def sentences(self) -> tuple[str, ...]:
        """``strategy.adx_min 25 → 20``, one for each change that counts."""
        return tuple(
            c.sentence for c in in_force(self._settings, self._controls.changes).active if c.name in CHANGEABLE
        )

    async def view(self) -> tuple[RuleView, ...]:
        """Every rule that the chat may change, the changed ones first."""
        found = in_force(self._settings, self._controls.changes)
        changes = {c.name: c for c in found.active}
        views = [await self._view(name, found.settings, changes.get(name)) for name in CHANGEABLE]
        return tuple(sorted(views, key=lambda v: not v.changed_by))

    async def _view(self, name: str, settings: Settings, change: Change | None) -> RuleView:
        return RuleView(
            name=name,
            words=CHANGEABLE[name],
            value=plain(configured(settings, name)),
            configured=plain(configured(self._settings, name)),
            changed_by=await self._who(change) if change else "",
            changed_at=to_datetime(change.at) if change else None,
        )

    async def _who(self, change: Change) -> str:
        stored = await self._chat.approval(change.approval) if change.approval else None
        return (stored.answered_by if stored else None) or change.by or "somebody"

    async def ask(self, values: Mapping[str, object], title: str, lines: tuple[str, ...], asked_by: str) -> int:
        """Asks an approver for these settings; gives the card's number. Raises UsageError for an impossible change.

        The values of today are kept in the question: a yes after the configuration was edited counts no more.
        """
        with_changes(self._controls, self._settings, values, "", 0)
        before = {name: configured(self._settings, name) for name in values}
        body = json.dumps({"changes": dict(values), "configured": before})
        return await self._approvals.ask("rule", Question(title, lines, body=body), asked_by)

    async def waiting(self) -> int | None:
        """The number of the rule's question that waits for an answer."""
        return next((stored.approval_id for stored in await self._approvals.open("rule")), None)

    def _grant(self, stored: StoredApproval, controls: Controls) -> Granted:
        values = json.loads(stored.body)["changes"]
        now = to_ms(self._clock.now())
        try:
            return Granted(with_changes(controls, self._settings, values, "", now, stored.approval_id))
        except SettingsError as error:
            raise OutdatedError(str(error)) from error

    async def _outdated(self, stored: StoredApproval) -> str:
        """Why a yes can no longer count: the configuration is another one, or the change has become impossible."""
        body = json.loads(stored.body)
        try:
            for name, value in body["configured"].items():
                if (now := configured(self._settings, name)) != value:
                    return f"{name} has become {plain(now)} in the configuration"
            with_changes(self._controls, self._settings, body["changes"], "", 0)
        except SettingsError as error:
            return str(error)
        return ""

    async def back_to_config(self, actor: Actor) -> tuple[RuleView, ...]:
        """Takes every changed rule back; what is configured counts from the next candle on. Raises UsageError."""
        if actor.role != "approver":
            raise UsageError("only an approver can change the rules")
        changed = [name for name in self._controls.changes if name in CHANGEABLE]
        if not changed:
            raise UsageError("the rules are as configured: there is nothing to take back")
        await self._take_back(changed, (), actor)
        return await self.view()

    async def review(self) -> None:
        """Drops the changes that count no longer and says so, once for each."""
        found = in_force(self._settings, self._controls.changes)
        if not found.lapsed:
            return
        notices = tuple(self._lapsed(change, reason) for change, reason in found.lapsed)
        await self._take_back([c.name for c, _ in found.lapsed], notices, None)

    def _lapsed(self, change: Change, reason: str) -> Notice:
        where = _LOOK.get(change.name.partition(".")[0], "/rules")
        return Notice(
            key=f"rule:lapsed:{change.name}:{change.at}",
            time=self._clock.now(),
            topic="weight",
            title=f"A changed setting counts no longer: {change.name}",
            detail=f"{change.sentence} has lapsed: {reason}. {where} shows what is in force.",
        )

    async def _take_back(self, names: Sequence[str], notices: tuple[Notice, ...], actor: Actor | None) -> None:
        """``actor`` None: they have lapsed, which nobody can take back."""

        def without(now: Standing) -> Standing:
            return replace(now, controls=without_changes(now.controls, names))

        by, action = (actor, "rules_to_config") if actor is not None else (ITSELF, "lapsed")
        await self._changer.make(by, action, without, events=notices, reversible=actor is not None)
        self._bell.ring()
