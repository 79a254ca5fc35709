"""How each person wants to be talked to: their time zone and how they write numbers. Everybody sets their own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, get_args
from zoneinfo import ZoneInfo

from core.config import Settings
from core.errors import UsageError
from core.services.views import Actor

Numbers = Literal["en", "de", "fr"]
"""``1,234.56``, ``1.234,56`` or ``1 234,56``."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """``zone`` is a name of the time zone database, such as Europe/Berlin."""

    zone: str
    numbers: Numbers


class WishStore(Protocol):
    """What each person has chosen, by user id; what somebody has not chosen is not there."""

    async def all(self) -> Mapping[int, Mapping[str, str]]: ...
    async def keep(self, user_id: int, chosen: Mapping[str, str]) -> None: ...


class People:
    """Only what was chosen is kept: who chose nothing follows ``settings.timezone``, also when that changes."""

    def __init__(self, settings: Settings, store: WishStore) -> None:
        self._usual = Wishes(settings.timezone, "en")
        self._store = store
        self._changing = asyncio.Lock()
        self._chosen: dict[int, Mapping[str, str]] | None = None

    @property
    def usual(self) -> Wishes:
        """What counts for a group, and for who has chosen nothing."""
        return self._usual

    async def of(self, user_id: int) -> Wishes:
        chosen = (await self._all()).get(user_id, {})
        zone, numbers = chosen.get("zone", ""), chosen.get("numbers", "")
        return Wishes(
            zone if is_zone(zone) else self._usual.zone,  # a database restored where that zone is not known
            next((n for n in get_args(Numbers) if n == numbers), self._usual.numbers),
        )

    async def wish(self, actor: Actor, *, zone: str | None = None, numbers: Numbers | None = None) -> Wishes:
        """Keeps what a person chose; None leaves it as it is. Raises UsageError for a zone nobody knows."""
        if zone is not None and not is_zone(zone):
            raise UsageError(f"{zone!r} is not a time zone; one such as Europe/Berlin or UTC is wanted")
        new = {name: value for name, value in (("zone", zone), ("numbers", numbers)) if value is not None}
        async with self._changing:
            everybody = await self._all()
            chosen = {**everybody.get(actor.user_id, {}), **new}
            await self._store.keep(actor.user_id, chosen)
            everybody[actor.user_id] = chosen
        return await self.of(actor.user_id)

    async def _all(self) -> dict[int, Mapping[str, str]]:
        """Read once: nobody else writes them while the bot runs."""
        if self._chosen is None:
            self._chosen = dict(await self._store.all())
        return self._chosen


def is_zone(name: str) -> bool:
    """Whether the time zone database knows it by exactly that name."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return name not in {"localtime", "Factory"}  # files beside the zones that are none
