"""What the chat needs of ``core.services.steering``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from core.config import Settings
from core.services.views import Actor


class SteeringLike(Protocol):
    @property
    def settings(self) -> Settings:
        """The settings as they count now, with all that was changed from the chat."""
        ...

    async def set(self, values: Mapping[str, object], actor: Actor) -> Settings:
        """Changes settings by their dotted names, at once. Raises SettingsError or UsageError with a sentence."""
        ...
