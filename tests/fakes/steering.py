"""Settings that a test's desk changes at once, over the real reading of them."""

from __future__ import annotations

from collections.abc import Mapping

from core.config import Settings
from core.services.changes import changed
from core.services.views import Actor


class FakeSteering:
    def __init__(self) -> None:
        self.settings = Settings.model_validate({"notify": {"pinned": False}})  # on where it is what is tested
        self.asked: list[dict[str, object]] = []

    async def set(self, values: Mapping[str, object], actor: Actor) -> Settings:
        self.settings = changed(self.settings, values)
        self.asked.append(dict(values))
        return self.settings
