"""What the chat needs of ``core.services.insight``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from core.services.added_pairs import PairPlan, Suggestions
from core.services.filter_desk import FiltersView
from core.services.outlook import Outlook
from core.services.views import Actor, Progress
from core.services.whynot import WhyNot


class InsightLike(Protocol):
    async def outlook(self) -> Outlook:
        """How far the next look is and what would shorten the way. Cheap enough to be asked each minute."""
        ...

    async def whynot(self, pair: str) -> WhyNot:
        """What blocks a trade in a pair now. Raises UsageError for a pair that is not among the settings'."""
        ...

    async def filters(self, progress: Progress) -> FiltersView:
        """What each filter is worth; long work where something has changed. Raises DataError for no outcomes."""
        ...

    async def suggest_pairs(self, skip: int = 0) -> Suggestions:
        """Two liquid pairs with their history. Raises MarketError."""
        ...

    async def plan_pair(self, pair: str, add: bool) -> PairPlan:
        """What adding or removing a pair would do. Raises UsageError, MarketError."""
        ...

    async def change_pair(self, pair: str, add: bool, actor: Actor) -> PairPlan:
        """Does it; everything begins anew right after. Raises UsageError, MarketError."""
        ...

    def added(self) -> tuple[str, ...]:
        """The pairs that were added from the chat and can be removed there."""
        ...

    async def ask_rule(self, values: Mapping[str, str], actor: Actor) -> int:
        """Asks the approvers for other rules; gives the card's number. Raises UsageError, SettingsError."""
        ...
