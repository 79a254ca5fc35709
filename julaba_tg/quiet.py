"""Quiet hours: when the phone must not ring. Pure; the moment of sending decides, not the event's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
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


def next_change(hours: QuietHours, moment: datetime) -> datetime | None:
    """The next full minute (in the hours' zone) at which quiet begins or ends; None for hours that never begin.

    Looked for minute by minute, as the wall's clock is: on two nights a year it jumps.
    """
    first = moment.astimezone(UTC).replace(second=0, microsecond=0)
    now = hours.cover(moment)
    later = (first + timedelta(minutes=m) for m in range(1, 2 * 24 * 60))
    change = next((then for then in later if hours.cover(then) is not now), None)
    return change.astimezone(hours.zone) if change else None
