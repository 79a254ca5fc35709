"""Quiet hours: when the phone must not ring. Pure; the moment of sending decides, not the event's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From ``start`` to before ``end`` on the wall clock of ``zone``, over midnight where start is the later one.

    What counts is what a clock on the wall shows: on the night a clock is put back the hour that comes twice is quiet
    twice, and one that is skipped does not shift the end. Equal ends mean never.
    """

    start: time
    end: time
    zone: ZoneInfo

    def cover(self, moment: datetime) -> bool:
        """Whether it is quiet at ``moment`` (aware)."""
        shown = moment.astimezone(self.zone).time()
        if self.start <= self.end:
            return self.start <= shown < self.end
        return shown >= self.start or shown < self.end


def quiet_hours(text: str, zone: ZoneInfo) -> QuietHours | None:
    """Of ``22:00-07:00``; None for an empty text. The settings have checked its form."""
    if not text:
        return None
    start, end = (time.fromisoformat(part) for part in text.split("-"))
    return QuietHours(start, end, zone)
