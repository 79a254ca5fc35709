"""What the chat needs of ``core.services.people``."""

from __future__ import annotations

from typing import Protocol

from core.services.people import Numbers, Wishes
from core.services.views import Actor


class PeopleLike(Protocol):
    @property
    def usual(self) -> Wishes:
        """What counts for a group, and for who has chosen nothing."""
        ...

    async def of(self, user_id: int) -> Wishes: ...

    async def wish(self, actor: Actor, *, zone: str | None = None, numbers: Numbers | None = None) -> Wishes:
        """Keeps what a person chose; None leaves it as it is. Raises UsageError for a zone nobody knows."""
        ...
