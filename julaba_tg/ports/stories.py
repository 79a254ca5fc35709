"""What the chat needs of ``core.services.stories``."""

from __future__ import annotations

from typing import Protocol

from core.services.stories import StoryView
from core.services.story_words import Span


class StoriesLike(Protocol):
    async def now(self, span: Span) -> StoryView:
        """The last 24 hours or the last seven days, as the story tells them."""
        ...
