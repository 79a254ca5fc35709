"""Time zones by the names people type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.services.people import is_zone
from julaba_tg.zones import COMMON, city, nearest_zones, zone_named

WINTER, SUMMER = datetime(2026, 1, 15, 12, tzinfo=UTC), datetime(2026, 7, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("new york", "America/New_York"),
        ("America/New York", "America/New_York"),
        ("utc", "UTC"),
        ("Kolkata", "Asia/Kolkata"),
        ("buenos aires", None),  # two zones' city
        ("berln", None),
        ("", None),
        ("localtime", None),
        ("../../etc/passwd", None),
    ],
)
def test_a_zone_goes_by_its_name_or_its_city(typed: str, name: str | None) -> None:
    assert zone_named(typed) == name


@pytest.mark.parametrize(
    ("typed", "name"),
    [("berln", "Europe/Berlin"), ("pragu", "Europe/Prague"), ("Los Angles", "America/Los_Angeles")],
)
def test_a_slip_finds_what_was_meant_first(typed: str, name: str) -> None:
    assert nearest_zones(typed, WINTER)[0] == name


@pytest.mark.parametrize(("typed", "hours"), [("+2", 2), ("UTC+2", 2), ("gmt-5", -5), ("+5:30", 5.5), ("-0330", -3.5)])
@pytest.mark.parametrize("now", [WINTER, SUMMER])
def test_an_offset_finds_where_clocks_show_it_now_and_never_its_opposite(
    typed: str, hours: float, now: datetime
) -> None:
    found = nearest_zones(typed, now)

    assert found or hours == -3.5
    assert all(now.astimezone(ZoneInfo(name)).utcoffset() == timedelta(hours=hours) for name in found)


@given(st.text(max_size=200))
def test_whatever_is_typed_only_real_zones_are_offered(typed: str) -> None:
    named = zone_named(typed)

    assert named is None or is_zone(named)
    assert all(is_zone(name) and not name.startswith("Etc/") for name in nearest_zones(typed, WINTER))


def test_names_with_their_sign_turned_round_are_never_offered() -> None:
    assert not [name for name in nearest_zones("Etc/GMT+13", WINTER) if name.startswith("Etc/")]


def test_the_common_ones_fit_a_button_and_are_known() -> None:
    assert all(is_zone(name) and len(f"go:notify zone {name}") <= 64 for name in COMMON)
    assert len({city(name) for name in COMMON}) == len(COMMON)
