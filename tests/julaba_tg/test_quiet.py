"""Quiet hours as a clock on the wall shows them, on the nights it is put back or forward too."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from julaba_tg.quiet import QuietHours, next_change, quiet_hours

BERLIN = ZoneInfo("Europe/Berlin")  # forward on 29 March 2026 at 01:00 UTC, back on 25 October 2026 at 01:00 UTC
zones = st.sampled_from([ZoneInfo(n) for n in ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata")])
minutes = st.times().map(lambda t: t.replace(second=0, microsecond=0))
moments = st.integers(0, 2 * 365 * 1440).map(lambda m: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=m))


def minutes_of(hours: QuietHours) -> set[int]:
    """All minutes of a day that are quiet, by walking a clock from the start to the end."""
    at, end = hours.start.hour * 60 + hours.start.minute, hours.end.hour * 60 + hours.end.minute
    walked = set()
    while at != end:
        walked.add(at)
        at = (at + 1) % 1440
    return walked


@given(minutes, minutes, zones, moments)
def test_it_is_quiet_when_the_clock_on_the_wall_says_so(
    start: time, end: time, zone: ZoneInfo, moment: datetime
) -> None:
    hours = QuietHours(start, end, zone)
    shown = moment.astimezone(zone)

    assert hours.cover(moment) == (shown.hour * 60 + shown.minute in minutes_of(hours))


@given(minutes, minutes, zones, moments)
def test_a_span_and_its_reverse_share_the_day(start: time, end: time, zone: ZoneInfo, moment: datetime) -> None:
    there, back = QuietHours(start, end, zone), QuietHours(end, start, zone)

    assert (there.cover(moment) != back.cover(moment)) == (start != end)


@given(minutes, minutes, moments, zones)
def test_the_zone_of_the_moment_does_not_matter(start: time, end: time, moment: datetime, zone: ZoneInfo) -> None:
    hours = QuietHours(start, end, BERLIN)

    assert hours.cover(moment) == hours.cover(moment.astimezone(zone))


def quiet_minutes(hours: QuietHours, noon: datetime) -> int:
    """How many of the 24 hours from ``noon`` UTC on are quiet, in minutes."""
    return sum(hours.cover(noon + timedelta(minutes=m)) for m in range(1440))


@pytest.mark.parametrize(
    ("night", "hours"),
    [
        (datetime(2026, 3, 28, 12, tzinfo=UTC), 8),  # the clock is put forward: an hour of the night is missing
        (datetime(2026, 10, 24, 12, tzinfo=UTC), 10),  # put back: it comes twice
        (datetime(2026, 7, 1, 12, tzinfo=UTC), 9),
    ],
)
def test_the_night_is_as_long_as_the_clock_makes_it(night: datetime, hours: int) -> None:
    quiet = quiet_hours("22:00-07:00", BERLIN)

    assert quiet is not None
    assert quiet_minutes(quiet, night) == hours * 60


def test_an_hour_that_comes_twice_is_quiet_twice_and_a_skipped_end_ends_all_the_same() -> None:
    quiet = quiet_hours("02:00-02:30", BERLIN)

    assert quiet is not None
    assert quiet_minutes(quiet, datetime(2026, 10, 24, 12, tzinfo=UTC)) == 60
    assert quiet_minutes(quiet, datetime(2026, 3, 28, 12, tzinfo=UTC)) == 0


def test_no_hours_are_no_quiet_and_equal_ends_are_never() -> None:
    never = quiet_hours("22:00-22:00", BERLIN)

    assert quiet_hours("", BERLIN) is None
    assert never is not None
    assert quiet_minutes(never, datetime(2026, 7, 1, tzinfo=UTC)) == 0


@given(minutes, minutes, zones, moments, st.integers(0, 59))
def test_the_next_change_is_the_first_minute_at_which_it_is_otherwise(
    start: time, end: time, zone: ZoneInfo, moment: datetime, seconds: int
) -> None:
    hours, now = QuietHours(start, end, zone), moment + timedelta(seconds=seconds)
    change = next_change(hours, now)

    if start == end:
        assert change is None
        return
    assert change is not None
    assert now < change <= now + timedelta(hours=25)
    assert hours.cover(change) != hours.cover(now) == hours.cover(change - timedelta(seconds=1))


def test_quiet_that_begins_in_the_hour_that_is_skipped_begins_when_the_clock_jumps() -> None:
    hours = QuietHours(time(2, 30), time(7), BERLIN)

    assert next_change(hours, datetime(2026, 3, 29, 0, 0, tzinfo=UTC)) == datetime(2026, 3, 29, 3, 0, tzinfo=BERLIN)


def test_on_the_night_that_is_an_hour_longer_the_next_change_can_be_more_than_a_day_away() -> None:
    hours = QuietHours(time(4), time(3, 59), BERLIN)
    begun = datetime(2026, 10, 24, 4, 0, tzinfo=BERLIN)

    assert next_change(hours, begun) == datetime(2026, 10, 25, 3, 59, tzinfo=BERLIN)
