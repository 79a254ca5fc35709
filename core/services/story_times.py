"""When a day's or a week's story is due on a person's wall clock. Pure: exactly one moment for each local day."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from core.config import WEEKDAYS

_DAY = timedelta(days=1)


def moment_on(day: date, at: time, zone: ZoneInfo) -> datetime | None:
    """When a clock on the wall of ``zone`` shows ``at`` on ``day`` (aware UTC); None for a day that is left out there.

    A time that comes twice counts the first time. One that is skipped is as much after the skip as it would have been
    after its beginning, or before it where that is another day.
    """
    for fold in (0, 1):
        moment = datetime.combine(day, at, zone).replace(fold=fold).astimezone(UTC)
        if moment.astimezone(zone).date() == day:
            return moment
    return None


def last_moment(now: datetime, at: time, zone: ZoneInfo, weekday: int | None = None) -> tuple[date, datetime] | None:
    """The newest local day whose moment has come by ``now`` (aware), with that moment.

    ``weekday`` (0: Monday) asks for one day of the week only. None: there was none in the last two weeks.
    """
    today = now.astimezone(zone).date()
    for back in range(15):
        day = today - back * _DAY
        if weekday is not None and day.weekday() != weekday:
            continue
        moment = moment_on(day, at, zone)
        if moment is not None and moment <= now:
            return day, moment
    return None


def daily(text: str) -> time | None:
    """Of ``20:00``; None for an empty text. The settings have checked its form."""
    return time.fromisoformat(text) if text else None


def weekly(text: str) -> tuple[int, time] | None:
    """Of ``sun 18:00``; None for an empty text."""
    if not text:
        return None
    day, at = text.split()
    return WEEKDAYS.index(day), time.fromisoformat(at)
