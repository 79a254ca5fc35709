"""The fake desk's topics: each a fake of its own, in a file of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.fakes.steering import FakeSteering


@dataclass
class FakeTopics:
    steering: FakeSteering = field(default_factory=FakeSteering)
