"""Insight: what blocks a trade, what each filter is worth, which pairs could be added, how far the next look is."""

from __future__ import annotations

from core.services.outlook import Outlook, OutlookDesk


class Insight:
    """The chat's door to all of it (``julaba_tg.ports.insight``)."""

    def __init__(self, outlook: OutlookDesk) -> None:
        self._outlook = outlook

    async def outlook(self) -> Outlook:
        """How far the next look is and what would shorten the way. Cheap enough to be asked each minute."""
        return await self._outlook.outlook()
