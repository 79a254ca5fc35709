"""What the chat needs of ``core.services.research``. All of it takes its time, in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from core.services.chat_backtest import BacktestView
from core.services.exports import ExportView
from core.services.stored_history import FetchView
from core.services.views import Actor, Progress
from core.services.what_if import Question, WhatIfView


class ResearchLike(Protocol):
    """Each raises a JulabaError with a sentence for the person; of all but what-ifs there is one at a time."""

    def cancel(self, what: str, actor: Actor) -> None:
        """Ends the running ``backtest`` or ``fetch``. Raises UsageError where there is none."""
        ...

    def pairs(self) -> tuple[str, ...]: ...
    async def backtest(self, pairs: Sequence[str], days: int, most: int, progress: Progress) -> BacktestView:
        """All pairs where none is named; ``most``: bytes that the CSV may have."""
        ...

    async def fetch(self, days: int, progress: Progress) -> FetchView: ...
    async def export(self, what: str, most: int, progress: Progress) -> ExportView: ...
    async def what_if(self, question: Question, progress: Progress) -> WhatIfView: ...
