"""The fake desk's topics: each a fake of its own, in a file of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.services.people import People
from tests.fakes.insight import FakeInsight
from tests.fakes.money import FakeMoney
from tests.fakes.people import fake_people
from tests.fakes.research import FakeResearch
from tests.fakes.safety import FakeSafety
from tests.fakes.steering import FakeSteering
from tests.fakes.stories import FakeStories
from tests.fakes.words import FakeWords


@dataclass
class FakeTopics:
    steering: FakeSteering = field(default_factory=FakeSteering)
    safety: FakeSafety = field(default_factory=FakeSafety)
    people: People = field(default_factory=fake_people)
    insight: FakeInsight = field(default_factory=FakeInsight)
    stories: FakeStories = field(default_factory=FakeStories)
    money: FakeMoney = field(default_factory=FakeMoney)
    words: FakeWords = field(default_factory=FakeWords)
    research: FakeResearch = field(default_factory=FakeResearch)
