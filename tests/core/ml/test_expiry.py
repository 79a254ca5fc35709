"""A model's age, and its live accuracy."""

from __future__ import annotations

import pytest

from core.domain.candles import DAY_MS
from core.ml.expiry import below_red_flag, expired

MADE = 1_767_225_600_000


def test_a_model_counts_to_the_end_of_its_last_day_and_not_a_moment_longer() -> None:
    last = MADE + 90 * DAY_MS

    assert expired("xgb-1", MADE, last, 90) == ""
    assert expired("xgb-1", MADE, last + 1, 90) == "xgb-1 was trained more than 90 days ago; /retrain makes a new one"


def test_a_clock_that_was_set_back_makes_no_model_old() -> None:
    assert expired("xgb-1", MADE, MADE - DAY_MS, 90) == ""


@pytest.mark.parametrize("accuracy", [0.5, 0.61, None])
def test_what_is_not_under_the_red_flag_says_nothing(accuracy: float | None) -> None:
    assert below_red_flag(accuracy, 100) == ""


def test_live_accuracy_under_a_coin_is_named() -> None:
    assert below_red_flag(0.497, 300) == "live accuracy 49.7% on 300 outcomes is under 50%"
