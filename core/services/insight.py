"""Insight: what blocks a trade, what each filter is worth, which pairs could be added, how far the next look is."""

from __future__ import annotations

from collections.abc import Mapping

from core.services.added_pairs import AddedPairs, PairPlan, Suggestions
from core.services.asked_rules import ask_for_rule
from core.services.filter_desk import FilterDesk, FiltersView
from core.services.outlook import Outlook, OutlookDesk
from core.services.rules import RuleKeeper
from core.services.views import Actor, Progress
from core.services.whynot import WhyNot, WhyNotDesk


class Insight:
    """The chat's door to all of it (``julaba_tg.ports.insight``)."""

    def __init__(
        self, outlook: OutlookDesk, whynot: WhyNotDesk, filters: FilterDesk, pairs: AddedPairs, rules: RuleKeeper
    ) -> None:
        self._outlook = outlook
        self._whynot = whynot
        self._filters = filters
        self._pairs = pairs
        self._rules = rules

    async def outlook(self) -> Outlook:
        """How far the next look is and what would shorten the way. Cheap enough to be asked each minute."""
        return await self._outlook.outlook()

    async def whynot(self, pair: str) -> WhyNot:
        """Raises UsageError for a pair that is not among the settings'."""
        return await self._whynot.whynot(pair)

    async def filters(self, progress: Progress) -> FiltersView:
        """Long work where something has changed. Raises DataError where no crossover has ended yet."""
        return await self._filters.filters(progress)

    async def suggest_pairs(self, skip: int = 0) -> Suggestions:
        """Two liquid pairs with their history. Raises MarketError."""
        return await self._pairs.suggest(skip)

    async def plan_pair(self, pair: str, add: bool) -> PairPlan:
        """What adding or removing it would do. Raises UsageError, MarketError."""
        return await self._pairs.plan(pair, add)

    async def change_pair(self, pair: str, add: bool, actor: Actor) -> PairPlan:
        """Does it; everything begins anew right after. Raises UsageError, MarketError."""
        return await self._pairs.change(pair, add, actor)

    def added(self) -> tuple[str, ...]:
        """The pairs that were added from the chat and can be removed there."""
        return tuple(map(str, self._pairs.added))

    async def run(self) -> None:
        """Says of each added pair that it is on, once it is. Ends by cancellation."""
        await self._pairs.run()

    async def ask_rule(self, values: Mapping[str, str], actor: Actor) -> int:
        """Asks the approvers for other rules; gives the card's number. Raises UsageError, SettingsError."""
        return await ask_for_rule(self._rules, self._outlook, values, actor)
