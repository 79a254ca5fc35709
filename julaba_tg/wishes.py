"""How somebody is talked to: in whose time, with whose numbers."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from core.services.people import Numbers, Wishes
from julaba_tg.ports import DeskLike


@dataclass(frozen=True, slots=True)
class Voice:
    """What a message is written with: the zone its times are in, and how its numbers look."""

    zone: ZoneInfo = ZoneInfo("UTC")
    numbers: Numbers = "en"


async def voice_of(desk: DeskLike, chat_id: int) -> Voice:
    """Of a person by user id, which is their private chat's too; a group (an id below 0) has what is configured."""
    people = desk.topics.people
    return voice(people.usual if chat_id < 0 else await people.of(chat_id))


def voice(wishes: Wishes) -> Voice:
    return Voice(ZoneInfo(wishes.zone), wishes.numbers)
