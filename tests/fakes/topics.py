"""The fake desk's topics: each a fake of its own, in a file of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.services.people import People
from tests.fakes.people import fake_people
from tests.fakes.steering import FakeSteering


@dataclass
class FakeTopics:
    steering: FakeSteering = field(default_factory=FakeSteering)
    people: People = field(default_factory=fake_people)
