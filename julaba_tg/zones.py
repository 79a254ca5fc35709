"""Time zones by the names people type: ``berlin``, ``new york``, ``utc+2``. Pure but for the zone files themselves."""

from __future__ import annotations

import difflib
import re
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from core.services.people import is_zone

COMMON = (
    "UTC",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Athens",
    "Europe/Moscow",
    "Asia/Dubai",
    "Asia/Karachi",
    "Asia/Kolkata",
    "Asia/Bangkok",
    "Asia/Singapore",
    "Asia/Tokyo",
    "Australia/Sydney",
    "Pacific/Auckland",
    "America/Los_Angeles",
    "America/Denver",
    "America/Chicago",
    "America/New_York",
    "America/Sao_Paulo",
    "Africa/Lagos",
    "Africa/Johannesburg",
)
"""One or two for most offsets, for buttons."""

_OFFSET = re.compile(r"(?:utc|gmt)?([+-])(\d{1,2})(?::?(\d{2}))?")


def zone_named(words: str) -> str | None:
    """The zone of that name or of that city, however it is written; None where there is none or more than one."""
    wanted = _bare(words)
    whole = [name for name in _names() if name.lower() == wanted]
    cities = [name for name in _names() if city(name).lower().replace(" ", "_") == wanted]
    return whole[0] if whole else cities[0] if len(cities) == 1 else None


def nearest_zones(words: str, now: datetime, most: int = 4) -> tuple[str, ...]:
    """Those somebody who typed these words may have meant: names like it, or of ``+2`` where clocks show that."""
    wanted = _bare(words)
    if found := _OFFSET.fullmatch(wanted):
        size = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
        offset = size if found[1] == "+" else -size
        return tuple(name for name in COMMON if now.astimezone(ZoneInfo(name)).utcoffset() == offset)[:most]
    by_words: dict[str, str] = {}
    for name in _names():
        if not name.startswith("Etc/"):  # its signs are turned round: Etc/GMT+2 is two hours behind
            by_words.setdefault(city(name).lower().replace(" ", "_"), name)
            by_words[name.lower()] = name
    near = difflib.get_close_matches(wanted, by_words, n=most, cutoff=0.7)
    return tuple(dict.fromkeys(by_words[words] for words in near))


def city(zone: str) -> str:
    """``New York`` of America/New_York."""
    return zone.rpartition("/")[2].replace("_", " ")


def _bare(words: str) -> str:
    return "_".join(words.lower().split())[:64]


@cache
def _names() -> tuple[str, ...]:
    """By area and name; those with a city first: ``Singapore`` is Asia/Singapore."""
    known = [name for name in available_timezones() if is_zone(name)]
    return tuple(sorted(known, key=lambda name: ("/" not in name, name)))
