"""What the chat needs of ``core.services.words``."""

from __future__ import annotations

from typing import Protocol
from zoneinfo import ZoneInfo

from core.services.words import Drafts, Question, WordsView


class WordsLike(Protocol):
    @property
    def present(self) -> bool:
        """Whether there is anybody to answer questions in words."""
        ...

    async def answer(self, question: Question, zone: ZoneInfo, drafts: Drafts) -> WordsView:
        """Never raises but for cancellation; without an answer the view says why. Takes seconds."""
        ...
