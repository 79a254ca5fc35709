"""What the desk hands on to its topics: each a service of its own, so that the desk itself stays one page."""

from __future__ import annotations

from dataclasses import dataclass

from core.services.insight import Insight
from core.services.money import MoneyDesk
from core.services.people import People
from core.services.research import Research
from core.services.safety import Safety
from core.services.steering import Steering
from core.services.stories import Stories
from core.services.words import Words


@dataclass(frozen=True, slots=True)
class Topics:
    """One field a topic. ``julaba_tg.ports`` says of each what the chat asks of it."""

    steering: Steering
    safety: Safety
    people: People
    insight: Insight
    stories: Stories
    money: MoneyDesk
    words: Words
    research: Research
