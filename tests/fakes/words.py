"""Answers in words as a test has them, over the real views of answers."""

from __future__ import annotations

import asyncio
from zoneinfo import ZoneInfo

from core.services.words import Drafts, Question, WordsView


class FakeWords:
    """``view`` is the answer to all; ``lines`` are offered first, as Gemini would offer them. ``let`` holds it up."""

    def __init__(self) -> None:
        self.present = False
        self.view = WordsView(reason="Gemini is off")
        self.lines: list[str] = []
        self.refused: list[str] = []
        self.asked: list[Question] = []
        self.zones: list[str] = []
        self.let = asyncio.Event()
        self.let.set()

    async def answer(self, question: Question, zone: ZoneInfo, drafts: Drafts) -> WordsView:
        self.asked.append(question)
        self.zones.append(zone.key)
        await self.let.wait()
        offered = []
        for line in self.lines:
            refusal = drafts.refusal(line)
            self.refused += [refusal] if refusal else []
            offered += [] if refusal else [line]
        view = self.view
        return WordsView(view.text, view.sources, view.doubts, (*view.drafts, *offered), view.reason)
