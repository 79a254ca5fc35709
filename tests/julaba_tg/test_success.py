"""Transcripts of /samples and /report, and what /ml says of samples, by viewer, operator and approver."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.config import Settings
from core.services.success import ReportView
from tests.fakes import success
from tests.fakes.desk import NOON
from tests.julaba_tg.conftest import OWNER, VIEWER, World

OPERATOR = 1003


@pytest.fixture
def settings() -> Settings:
    users = {OWNER: "approver", VIEWER: "viewer", OPERATOR: "operator"}
    return Settings.model_validate({"access": {"users": users}, "telegram": {"poll_timeout": 1}})


@pytest.mark.parametrize("user", [OWNER, OPERATOR, VIEWER])
async def test_everybody_may_see_the_samples_with_their_picture(chat: World, user: int) -> None:
    answer = await chat.ask("/samples", user)

    ahead = chat.desk.samples_view.stock.forecast
    assert answer.text.splitlines()[0] == f"🧮 21 live outcomes · 50: {ahead.to_50.text}"
    assert f"First look that could say yes, at {ahead.gate.target} scored: {ahead.gate.text}" in answer.text
    assert "21 live outcomes in 35 days, and these pairs' history gave 0.36 a day" in answer.text
    assert "50 with more pairs · +2 pairs: " in answer.text
    assert "ETH         0    14      0    88" in answer.text
    assert answer.media is not None
    assert answer.button("Refresh").callback_data == "go:samples"


async def test_one_outcome_is_no_plural(chat: World) -> None:
    view = success.samples(NOON, b"")
    chat.desk.samples_view = replace(view, stock=success.stock(NOON, 1))

    assert (await chat.ask("/samples")).text.startswith("🧮 1 live outcome · 50: ")


@pytest.mark.parametrize("user", [OWNER, OPERATOR, VIEWER])
async def test_everybody_may_see_the_report_with_its_picture(chat: World, user: int) -> None:
    answer = await chat.ask("/report", user)

    lines = answer.text.splitlines()
    assert lines[0] == "📋 4 weeks: 2 of 5 on target, 1 red flag, 1 at the bootstrap"
    assert lines[1] == "Day 35"
    assert "🚩 deepest drawdown 23.0% (< 15%) → same" in lines
    assert "🔵 live outcomes 21 (150+) · out of reach" in answer.text
    assert "the filters leave 21; 13 expected at 0.36 a day" in answer.text
    assert "❔ Not known: alignment 3 of 30 signals; Gemini without an opinion on 2" in lines
    assert answer.media is not None


async def test_a_cause_that_stands_behind_two_lines_is_told_once(chat: World) -> None:
    chat.desk.report_view = success.bad_model(NOON)

    answer = await chat.ask("/report")

    assert answer.text.count("🚩 model accuracy (backtest) 39%") == 2
    assert answer.text.count("model accuracy (backtest): on 300 unseen signals") == 1


async def test_the_causes_of_red_flags_come_first_for_a_caption_may_end_before_the_last(chat: World) -> None:
    lines, causes = (await chat.ask("/report")).text.split("Why:")

    assert lines.index("live outcomes ") < lines.index("deepest drawdown ")
    assert causes.index("deepest drawdown: ") < causes.index("live outcomes: ")


async def test_before_the_first_candle_there_is_no_report(chat: World) -> None:
    chat.desk.report_view = ReportView(None, None)
    assert (await chat.ask("/report")).text.startswith("📋 No report yet")


async def test_in_the_first_days_the_report_says_when_it_counts(chat: World) -> None:
    chat.desk.report_view = success.first_days(NOON)
    answer = await chat.ask("/report")
    assert answer.text.splitlines()[:2] == [
        "📋 2 weeks: 0 of 4 on target, no red flag",
        "Day 5, measured after 2 weeks",
    ]


@pytest.mark.parametrize("user", [OWNER, OPERATOR, VIEWER])
async def test_ml_counts_samples_by_source_and_gives_the_dates(chat: World, user: int) -> None:
    answer = await chat.ask("/ml", user)

    ahead = chat.desk.samples_view.stock.forecast
    assert "Samples: 7 trades, 14 refused signals, 402 candidates, 264 from history" in answer.text
    assert f"50 live outcomes: {ahead.to_50.text} · 200: {ahead.to_200.text}" in answer.text
    assert ahead.opens is False
    assert "The gate will not open within a year: the model's AUC 0.52 is at most 0.57" in answer.text
    assert answer.button("Samples").callback_data == "new:samples"
    assert answer.button("Report").callback_data == "new:report"


async def test_a_tap_under_ml_brings_the_samples(chat: World) -> None:
    ml = await chat.ask("/ml")
    chat.phone.tap(OWNER, ml.message_id, ml.button("Samples").callback_data)
    shown = await chat.phone.wait_for(lambda m: m.text.startswith("🧮"))
    assert shown.media is not None
