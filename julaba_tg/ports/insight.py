"""What the chat needs of ``core.services.insight``."""

from __future__ import annotations

from typing import Protocol

from core.services.outlook import Outlook


class InsightLike(Protocol):
    async def outlook(self) -> Outlook:
        """How far the next look is and what would shorten the way. Cheap enough to be asked each minute."""
        ...
