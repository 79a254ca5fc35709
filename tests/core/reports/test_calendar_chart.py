"""A month as a picture: any month, any figures, nothing beyond its cells."""

from __future__ import annotations

import calendar
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.reports.calendar_chart import calendar_chart
from core.reports.charts import short_amount, signed_amount


@pytest.mark.parametrize(("year", "month", "weeks"), [(2027, 2, 4), (2026, 11, 6), (2026, 9, 5), (1, 1, 5)])
def test_a_month_has_as_many_rows_as_weeks(year: int, month: int, weeks: int) -> None:
    assert len(calendar.Calendar().monthdayscalendar(year, month)) == weeks
    width, height = Image.open(io.BytesIO(calendar_chart(year, month, []))).size
    assert width == 1080
    assert height == pytest.approx(120 * (0.95 + 0.42 + 1.02 * weeks + 0.15), abs=2)


def test_each_day_is_drawn_where_it_is_and_as_strongly_as_it_was() -> None:
    """The second row of November 2026 begins with Monday the 2nd: green where won, red where lost."""
    image = Image.open(io.BytesIO(calendar_chart(2026, 11, [(2, 200.0, 3), (3, -200.0, 1), (5, 20.0, 1)], 21)))

    def middle(column: int, row: int) -> tuple[int, ...]:
        left, top = 0.025 * 1080, 120 * (0.95 + 0.42)
        cell = 0.95 * 1080 / 7
        pixel = image.convert("RGB").getpixel((round(left + (column + 0.85) * cell), round(top + (row + 0.2) * 122.4)))
        assert isinstance(pixel, tuple)
        return pixel

    won, lost, quiet, little = middle(0, 1), middle(1, 1), middle(2, 1), middle(3, 1)
    assert won[1] > won[0] + 60
    assert lost[0] > lost[1] + 60
    assert won[1] > little[1] > quiet[1]
    assert max(quiet) - min(quiet) < 25
    assert middle(0, 4) != quiet, "what is still to come is paler"


def test_the_same_month_gives_the_same_bytes_and_another_day_other_ones() -> None:
    days = [(2, 200.0, 3)]
    assert calendar_chart(2026, 11, days, 21) == calendar_chart(2026, 11, days, 21)
    assert (
        len({calendar_chart(2026, 11, days, 21), calendar_chart(2026, 11, days, 22), calendar_chart(2026, 11, days)})
        == 3
    )


@given(
    days=st.dictionaries(
        st.integers(1, 28),
        st.tuples(st.floats(-1e16, 1e16, allow_nan=False), st.integers(1, 10**6)),
        max_size=28,
    )
)
@settings(max_examples=8, deadline=None)
def test_any_figures_can_be_drawn(days: dict[int, tuple[float, int]]) -> None:
    picture = calendar_chart(2026, 2, [(day, pnl, trades) for day, (pnl, trades) in days.items()], 28)
    assert Image.open(io.BytesIO(picture)).size[0] == 1080


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "$0.00"), (0.004, "$0.00"), (-0.42, "−$0.42"), (9.99, "+$9.99"), (9.996, "+$10"), (84.4, "+$84"),
        (999.4, "+$999"), (999.6, "+$1.0k"), (-1234.0, "−$1.2k"), (9_960.0, "+$10k"), (123_456.0, "+$123k"),
        (999_600.0, "+$1.0M"), (-4.8e9, "−$4.8B"), (7.7e14, "+$770T"),
    ],
)  # fmt: skip
def test_what_was_made_fits_a_narrow_place(value: float, shown: str) -> None:
    assert signed_amount(value) == shown


@given(value=st.floats(-9.9e14, 9.9e14, allow_nan=False))
def test_no_amount_is_wider_than_its_cell(value: float) -> None:
    assert len(signed_amount(value)) <= 7
    assert len(short_amount(value)) <= 5
