"""A day and a week as a test tells them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from core.services.stories import SPANS, StoryView
from core.services.story_words import Span

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DAY = ("2 trades closed, 1 won: +$31, +0.55R net; 1 open now.", "5 signals: 2 taken, 3 refused (BTC 2, limits 1).")
WEEK = (*DAY, "Refused by BTC: 2, they would have made -1.40R.", "2 results are luck, not evidence.")


@dataclass
class FakeStories:
    asked: list[Span] = field(default_factory=list)
    lines: dict[Span, tuple[str, ...]] = field(default_factory=lambda: {"day": DAY, "week": WEEK})

    async def now(self, span: Span) -> StoryView:
        self.asked.append(span)
        since = NOON - timedelta(milliseconds=SPANS[span])
        when = "The last 24 hours" if span == "day" else "The last 7 days"
        return StoryView(span, since, NOON, f"{when}: +$31 · equity $10,240 · 2 trades", self.lines[span])
