"""When there will be enough outcomes, and whether the gate could open: what must hold, and what cannot be told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import Gate
from core.ml.forecast import Forecast, Seen, Skill, forecast

NOW = datetime(2026, 11, 21, tzinfo=UTC)
GATE = Gate()


def ahead(
    outcomes: int = 20,
    days: float = 30.0,
    *,
    trades: int | None = None,
    scored: int | None = None,
    looks: int = 0,
    prior: float | None = None,
    skill: Skill | None = None,
    more_pairs: int = 0,
) -> Forecast:
    seen = Seen(
        outcomes=outcomes,
        trades=outcomes if trades is None else trades,
        scored=outcomes if scored is None else scored,
        days=days,
        pairs=5,
        looks=looks,
    )
    return forecast(seen, NOW, GATE, prior_per_day=prior, skill=skill, more_pairs=more_pairs)


def test_no_outcome_in_three_days_cannot_be_told() -> None:
    found = ahead(0, 3.0)

    assert (found.basis, found.per_day, found.opens) == ("nothing", None, None)
    assert found.to_50.on is None
    assert found.to_50.text == "cannot be told"
    assert found.told == "no live outcomes in 3 days: how fast they come cannot be told yet"


def test_before_anything_is_seen_history_gives_the_dates_and_is_named() -> None:
    found = ahead(0, 0.0, prior=0.6)

    assert found.basis == "history"
    assert found.to_50.days == pytest.approx(50 / 0.6, rel=0.1)
    assert "these pairs' history gave 0.6 a day" in found.told


def test_silence_where_history_promised_signals_moves_the_dates_back() -> None:
    waits = [ahead(0, days, prior=0.6).to_50.days for days in (0.0, 10.0, 40.0)]

    assert None not in waits
    assert waits == sorted(waits, key=lambda wait: wait or 0.0)
    assert waits[0] != waits[2]


def test_a_steady_rate_gives_the_date_one_would_expect() -> None:
    found = ahead(120, 200.0)

    assert found.per_day == pytest.approx(0.6, rel=0.05)
    assert found.to_50.left == 0
    assert found.to_50.text == "there"
    assert found.to_200.days == pytest.approx(80 / 0.6, rel=0.05)
    assert found.to_200.on == NOW + timedelta(days=found.to_200.days or 0.0)


def test_the_range_is_shown_in_weeks() -> None:
    reach = ahead(40, 60.0).to_50

    assert reach.weeks is not None
    assert reach.text == f"{reach.on:%-d %b %Y} (±{reach.weeks} weeks)"


def test_a_date_more_than_ten_years_away_is_none() -> None:
    assert ahead(1, 800.0).to_200.on is None


def test_more_pairs_bring_the_dates_nearer_in_proportion() -> None:
    now, later = ahead(20, 30.0), ahead(20, 30.0, more_pairs=5)

    assert (later.to_200.days or 0.0) == pytest.approx((now.to_200.days or 0.0) / 2, rel=1e-4)
    assert later.per_day == pytest.approx((now.per_day or 0.0) * 2)


def test_more_pairs_beside_none_are_refused() -> None:
    with pytest.raises(ValueError, match="say nothing"):
        forecast(Seen(0, 0, 0, 1.0, 0), NOW, GATE, more_pairs=2)


def test_the_gate_waits_for_its_scored_outcomes_and_trades() -> None:
    assert ahead(30, 30.0, scored=10).gate.left == 40
    # One in ten is a trade: 20 trades are not there before the look at 200.
    assert ahead(30, 30.0, trades=3).gate.target == 200
    assert ahead(120, 90.0, looks=2).gate.target == 150


def test_without_a_model_it_cannot_be_told_whether_the_gate_opens() -> None:
    assert ahead(30, 30.0).opens is None


def test_noise_that_was_evaluated_on_enough_rows_will_not_open_the_gate() -> None:
    found = ahead(20, 30.0, skill=Skill(400, 0.4, 0.51, 0.46, 0.56))

    assert found.opens is False
    assert "at most 0.56" in found.sentence
    easiest = min(look.needed for look in found.looks if look.needed is not None)
    assert easiest > 0.56


def test_a_few_rows_never_close_the_gate_for_good() -> None:
    assert ahead(20, 30.0, skill=Skill(60, 0.4, 0.40, 0.30, 0.50)).opens is None


def test_a_strong_model_can_open_it() -> None:
    found = ahead(60, 30.0, skill=Skill(800, 0.4, 0.66, 0.62, 0.70))

    assert found.opens is True
    passing = next(look for look in found.looks if look.needed is not None and look.needed <= 0.66)
    assert f"the look at {passing.n} outcomes" in found.sentence
    assert passing.chance is not None
    assert passing.chance >= 0.5


def test_where_only_the_upper_bound_would_pass_it_cannot_be_told() -> None:
    assert ahead(20, 30.0, skill=Skill(400, 0.4, 0.56, 0.50, 0.66)).opens is None


def test_a_rate_that_reaches_no_look_within_a_year_keeps_the_gate_shut() -> None:
    found = ahead(4, 300.0, skill=Skill(800, 0.4, 0.7, 0.66, 0.74))

    assert found.opens is False
    assert "no look is reached within a year" in found.sentence


def test_later_looks_ask_for_less() -> None:
    found = ahead(150, 60.0, skill=Skill(400, 0.4, 0.6, 0.55, 0.65))

    asked = [look.needed for look in found.looks if look.needed is not None]
    assert len(asked) > 5
    assert asked == sorted(asked, reverse=True)


@given(st.integers(0, 300), st.floats(1, 700), st.one_of(st.none(), st.floats(0.05, 5)))
def test_more_outcomes_never_make_a_date_later(outcomes: int, days: float, prior: float | None) -> None:
    fewer, more = ahead(outcomes, days, prior=prior), ahead(outcomes + 1, days, prior=prior)

    for before, after in ((fewer.to_50, more.to_50), (fewer.to_200, more.to_200)):
        for then, now in ((before.days, after.days), (before.low, after.low), (before.high, after.high)):
            assert then is None or (now is not None and now <= then * (1 + 1e-5))


@given(st.integers(0, 300), st.floats(1, 700), st.one_of(st.none(), st.floats(0.05, 5)))
def test_every_range_holds_its_point(outcomes: int, days: float, prior: float | None) -> None:
    found = ahead(outcomes, days, prior=prior)

    for reach in (found.to_50, found.to_200, found.gate):
        if reach.days is not None:
            assert reach.low is not None
            assert reach.low <= reach.days
            assert reach.high is None or reach.days <= reach.high
    if found.per_day is not None:
        assert (found.per_day_low or 0.0) <= found.per_day <= (found.per_day_high or 0.0)
