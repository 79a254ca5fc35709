"""Wishes in memory, under the real service."""

from __future__ import annotations

from collections.abc import Mapping

from core.config import Settings
from core.services.people import People


class KeptWishes:
    def __init__(self) -> None:
        self.kept: dict[int, Mapping[str, str]] = {}

    async def all(self) -> Mapping[int, Mapping[str, str]]:
        return self.kept

    async def keep(self, user_id: int, chosen: Mapping[str, str]) -> None:
        self.kept[user_id] = chosen


def fake_people(settings: Settings | None = None) -> People:
    return People(settings or Settings(), KeptWishes())
