"""Numbers on a phone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from julaba_tg import figures
from julaba_tg.keyboards import MAX_DATA, alert, chart, do_it_now, pairs
from tests.fakes.desk import a_pair


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (64120.4, "64,120"),
        (3412.55, "3,412.6"),
        (17.48, "17.48"),
        (1.2345, "1.234"),
        (0.01234, "0.01234"),
        (0.0000123456, "0.00001235"),
        (0.0, "0.00"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_prices_have_sensible_digits(value: float | None, shown: str) -> None:
    assert figures.price(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(120.0, "+$120"), (84.2, "+$84.20"), (-3.1, "-$3.10"), (-0.001, "+$0.00"), (10240.4, "+$10,240"), (None, "–")],
)
def test_money(value: float | None, shown: str) -> None:
    assert figures.signed_money(value) == shown


@pytest.mark.parametrize(("minutes", "shown"), [(0, "0m"), (45, "45m"), (190, "3h10"), (3060, "2d 3h"), (-5, "0m")])
def test_durations(minutes: float, shown: str) -> None:
    assert figures.duration(minutes) == figures.duration(timedelta(minutes=minutes)) == shown


@given(st.floats())
def test_any_number_can_be_shown(value: float) -> None:
    shown = [f(value) for f in (figures.price, figures.money, figures.r_multiple, figures.figure, figures.amount)]
    assert all(shown)


def test_button_data_fits_for_the_longest_pair() -> None:
    longest = f"{'A' * 20}/{'B' * 20}"
    boards = [pairs([a_pair(longest, False)]), alert(longest, 10**9), chart(longest)]
    data = [str(b.callback_data) for board in boards for row in board.inline_keyboard for b in row]
    assert all(1 <= len(d.encode()) <= MAX_DATA for d in data)


def test_a_line_too_long_for_a_button_gets_none() -> None:
    assert do_it_now("/pair " + "x" * 80) is None
