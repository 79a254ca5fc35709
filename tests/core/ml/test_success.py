"""The success metrics: what is a red flag, what is out of reach, what is too early to tell."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ml.success import Figures, Learned, Metric, Pace, chance_of_at_most, flags, metrics, present

SLOW = Pace(per_day=0.6, pairs=5, bootstrap_days=730)
FAST = Pace(per_day=8.0, pairs=60, bootstrap_days=730)
NOW = Figures(
    days=30, outcomes=18, trades=14, wins=6, gains=900, losses=800, drawdown=0.05, asked=30, rejected=12,
    live_accuracy=None,
)  # fmt: skip
MODEL = Learned(samples=364, n=200, accuracy=0.64, majority=0.63, auc=0.63)


def line(
    key: str,
    period: str,
    now: Figures = NOW,
    *,
    before: Figures | None = None,
    learned: Learned = MODEL,
    pace: Pace = SLOW,
) -> Metric:
    return next(m for m in metrics(now, before, learned, pace) if (m.key, m.period) == (key, period))


def test_the_table_is_the_promised_one() -> None:
    found = [(m.period, m.name, m.wanted, m.warned) for m in metrics(NOW, None, MODEL, SLOW)]

    assert found == [
        ("2 weeks", "live outcomes", "70+", "< 30"),
        ("2 weeks", "model accuracy (backtest)", "> 55%", "< 50%"),
        ("2 weeks", "paper win rate", "> 35%", "< 25%"),
        ("2 weeks", "Gemini rejections", "30-50%", "< 20% or > 70%"),
        ("4 weeks", "live outcomes", "150+", "< 80"),
        ("4 weeks", "model accuracy (live)", "> 55%", "< 50%"),
        ("4 weeks", "paper win rate", "> 45%", "< 35%"),
        ("4 weeks", "profit factor", "> 1.2", "< 1.0"),
        ("4 weeks", "deepest drawdown", "< 15%", "> 20%"),
        ("bootstrap", "backtest samples", "250+", "< 150"),
        ("bootstrap", "model accuracy (backtest)", "60%", "< 55%"),
        ("bootstrap", "model AUC (backtest)", "0.62", "< 0.55"),
    ]


def test_a_target_that_the_filters_cannot_reach_is_no_red_flag() -> None:
    found = line("collected", "4 weeks")

    assert found.state == "out of reach"
    assert "the filters leave 18; 18 expected at 0.6 a day" in found.cause
    assert "150 in 4 weeks are out of reach at that rate" in found.cause
    assert not found.raised


def test_the_same_few_outcomes_are_a_flag_where_the_pairs_could_have_given_the_target() -> None:
    found = line("collected", "4 weeks", pace=FAST)

    assert found.raised
    assert "feeds that fail" in found.change


def test_far_fewer_than_history_gave_is_a_flag_although_the_target_is_out_of_reach() -> None:
    assert line("collected", "4 weeks", replace(NOW, outcomes=1)).raised


def test_none_where_two_were_expected_is_no_wonder() -> None:
    young = replace(NOW, days=14, outcomes=0)

    assert line("collected", "2 weeks", young, pace=Pace(0.15, 5, 730)).state == "out of reach"
    assert line("collected", "2 weeks", young, pace=Pace(1.0, 5, 730)).raised


def test_the_change_names_how_many_pairs_would_do() -> None:
    found = line("collected", "2 weeks", replace(NOW, days=20, outcomes=45), pace=Pace(2.4, 20, 730))

    assert found.state == "short"
    assert found.change.endswith("more pairs would bring 70 in 2 weeks")


def test_before_its_time_nothing_is_a_flag() -> None:
    early = replace(NOW, days=5, outcomes=0, drawdown=0.3, gains=1, losses=900, trades=40, wins=2, rejected=30)
    raised = flags(metrics(early, None, MODEL, FAST))

    assert raised == ()
    assert line("drawdown", "4 weeks", early).state == "early"


def test_only_the_present_period_and_the_bootstrap_apply() -> None:
    assert (present(13), present(27.9), present(28)) == ("2 weeks", "2 weeks", "4 weeks")
    applied = {m.period for m in metrics(NOW, None, MODEL, SLOW) if m.applies}
    assert applied == {"4 weeks", "bootstrap"}


def test_a_period_that_is_over_raises_no_flag_any_more() -> None:
    found = metrics(replace(NOW, wins=2, trades=40), None, MODEL, SLOW)

    assert {m.period for m in found if m.key == "win_rate" and m.state == "flag"} == {"2 weeks", "4 weeks"}
    assert [m.period for m in flags(found) if m.key == "win_rate"] == ["4 weeks"]


@pytest.mark.parametrize(
    ("wins", "trades", "state"),
    [(0, 0, "unknown"), (0, 3, "early"), (4, 14, "early"), (6, 40, "flag"), (30, 60, "good")],
)
def test_a_win_rate_is_judged_only_on_enough_trades(wins: int, trades: int, state: str) -> None:
    assert line("win_rate", "4 weeks", replace(NOW, wins=wins, trades=trades)).state == state


@pytest.mark.parametrize(
    ("rejected", "asked", "state"),
    [(0, 0, "unknown"), (2, 5, "early"), (40, 100, "good"), (25, 100, "short"), (5, 100, "flag"), (85, 100, "flag")],
)
def test_gemini_may_reject_too_much_and_too_little(rejected: int, asked: int, state: str) -> None:
    now = replace(NOW, days=20, rejected=rejected, asked=asked)
    assert line("rejections", "2 weeks", now).state == state


def test_a_deep_drawdown_and_a_losing_book_are_flags() -> None:
    bad = replace(NOW, drawdown=0.22, trades=25, wins=11, gains=500, losses=800)

    assert {m.key for m in flags(metrics(bad, None, MODEL, SLOW))} == {"drawdown", "profit_factor"}


def test_a_model_that_knows_nothing_is_a_flag_beside_its_majority() -> None:
    found = line("backtest_accuracy", "bootstrap", learned=replace(MODEL, accuracy=0.5))

    assert found.raised
    assert "always saying the commoner outcome has 63%" in found.cause
    assert line("auc", "bootstrap", learned=replace(MODEL, auc=0.51)).raised
    assert line("auc", "bootstrap", learned=replace(MODEL, auc=0.51, n=20)).state == "early"


def test_few_backtest_samples_are_out_of_reach_where_the_days_hold_no_more() -> None:
    assert (
        line("samples", "bootstrap", learned=replace(MODEL, samples=43), pace=Pace(0.6, 5, 90)).state == "out of reach"
    )
    assert line("samples", "bootstrap", learned=replace(MODEL, samples=43)).raised


def test_live_accuracy_is_the_last_look_s() -> None:
    assert line("live_accuracy", "4 weeks").cause == "the gate has not looked yet"
    found = line("live_accuracy", "4 weeks", replace(NOW, live_accuracy=0.46, live_n=100))
    assert found.raised
    assert "at the last look, on 100 outcomes" in found.cause


def test_the_trend_knows_which_way_is_better() -> None:
    before = replace(NOW, days=23, outcomes=17, drawdown=0.02, wins=3, trades=10, gains=900, losses=900)

    assert line("drawdown", "4 weeks", before=before).trend == "worse"
    assert line("win_rate", "4 weeks", before=before).trend == "better"
    assert line("collected", "4 weeks", before=before).trend == "worse", "one in the last week, five a week before"
    assert line("drawdown", "4 weeks").trend is None


@given(st.integers(1, 200), st.floats(0.02, 0.98))
def test_the_binomial_chance_is_one(n: int, share: float) -> None:
    assert chance_of_at_most(n, n, share) == pytest.approx(1.0, abs=1e-9)
    assert chance_of_at_most(0, n, share) == pytest.approx((1 - share) ** n, rel=1e-9, abs=1e-300)
