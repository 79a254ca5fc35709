from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from core.services.audit_log import AuditPage
from core.services.sizes import SizeView
from core.services.undo import Undone, UndoPlan
from core.services.views import Actor


class UndoLike(Protocol):
    async def plan(self, deed_id: int | None = None) -> UndoPlan:
        """What would be taken back: the change of that number, or the last one. Raises UsageError: no such change."""
        ...

    async def undo(self, deed_id: int, actor: Actor) -> Undone:
        """Takes that change back, and no other. Raises UsageError: it no longer stands, or is not the actor's to."""
        ...


class SizesLike(Protocol):
    def all(self) -> tuple[SizeView, ...]: ...
    def view(self, pair: str, wanted: float | None = None) -> SizeView:
        """Raises UsageError for a pair that is not traded and a size that cannot be."""
        ...

    async def set(self, pair: str, factor: float, actor: Actor) -> SizeView:
        """Counts from the next candle on; gives the view as it was before, with what was wanted."""
        ...


class AuditLike(Protocol):
    async def page(self, count: int, is_look: Callable[[str], bool], before: int | None = None) -> AuditPage:
        """The newest lines, or those behind an entry. ``is_look`` says of a command whether it only looks: folded."""
        ...


class SafetyLike(Protocol):
    @property
    def undo(self) -> UndoLike: ...

    @property
    def sizes(self) -> SizesLike: ...

    @property
    def audit(self) -> AuditLike: ...
