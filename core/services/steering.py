"""Settings that a person changes from the chat at once, without a card: how loud, how much of a pair.

What changes the rules of trading needs an approver's yes and goes through ``core.services.rules``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.config import Settings
from core.domain.candles import to_ms
from core.errors import UsageError
from core.ports import Clock, Ledger
from core.services.changes import CHANGEABLE, InForce, changed, configured, in_force, with_changes
from core.services.changing import Changer, Standing
from core.services.loop import TradingLoop
from core.services.views import Actor


class Steering:
    """``settings`` are the configured ones; what was changed lies over them, see ``core.services.changes``."""

    def __init__(self, settings: Settings, clock: Clock, ledger: Ledger, loop: TradingLoop) -> None:
        self._settings = settings
        self._clock = clock
        self._loop = loop
        self._changer = Changer(clock, ledger, loop)
        self._known: tuple[Mapping[str, object], InForce] | None = None

    @property
    def settings(self) -> Settings:
        """The settings as they count now, with all that was changed from the chat."""
        changes = self._loop.memory.controls.changes
        if self._known is None or self._known[0] is not changes:
            self._known = changes, in_force(self._settings, changes)
        return self._known[1].settings

    async def set(self, values: Mapping[str, object], actor: Actor) -> Settings:
        """Changes settings by their dotted names (``notify.signal``, ``pairs.LINK/USDT.risk``); gives all that count.

        In force at once. Raises SettingsError with a sentence for a value that is not possible, UsageError for a
        viewer or for a rule, which is an approver's to decide.
        """
        if actor.role == "viewer":
            raise UsageError("a viewer cannot change settings")
        if rules := sorted(set(values) & set(CHANGEABLE)):
            raise UsageError(f"{', '.join(rules)}: the rules are changed by an approval")

        def changes(now: Standing) -> Standing:
            before = in_force(self._settings, now.controls.changes).settings
            after = changed(before, values)
            others = {name: v for name, v in values.items() if configured(before, name) != configured(after, name)}
            at = to_ms(self._clock.now())  # what is so already stays with whoever set it
            return replace(now, controls=with_changes(now.controls, self._settings, others, actor.name, at))

        await self._changer.make(actor, "set", changes)
        return self.settings
