"""Gemini through the real client: an opinion only when it is one, a short reason for every other case."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from core.adapters.clocks import ReplayClock
from core.adapters.gemini_advisor import GeminiAdvisor, _StrictAnswer, prompt_for
from core.config import Gemini as Settings
from core.config import Strategy
from core.domain.candles import Candles, to_datetime
from core.domain.trading import Candidate, GeminiOpinion
from core.engine.indicators import indicators
from core.engine.strategy import candidate_at, crossings
from julaba_tg.phone.gemini import Gemini
from tests.markets import walk

KEY = "a-key-that-must-stay-secret"


def candidate() -> tuple[Candidate, Candles]:
    candles = walk(900, 4)
    ind = indicators(candles)
    row = next(n for n in range(400, 900) if crossings(ind)[n])
    return candidate_at(candles, ind, row, int(crossings(ind)[row]), None, Strategy()), candles.rows(0, row + 1)


@asynccontextmanager
async def advised(late: int = 0, **changes: Any) -> AsyncIterator[tuple[Gemini, GeminiAdvisor]]:
    """A server and the advisor; ``late`` is how many minutes after the close it is."""
    server = Gemini()
    await server.start()
    settings = Settings.model_validate({"base_url": server.base_url, "model": "gemini-test", "timeout": 5} | changes)
    clock = ReplayClock(to_datetime(candidate()[0].close_time + late * 60_000))
    advisor = GeminiAdvisor(settings, KEY, clock)
    try:
        yield server, advisor
    finally:
        await advisor.close()
        await server.stop()


async def test_an_opinion_comes_with_its_tokens_and_who_gave_it() -> None:
    async with advised() as (_, advisor):
        opinion = await advisor.opinion(*candidate())

    assert isinstance(opinion, GeminiOpinion)
    assert 0 <= opinion.confidence <= 1
    assert opinion.reasoning
    assert opinion.prompt_tokens > 0
    assert "stand-in" in opinion.source


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("not_found", {}, "the model gemini-test does not exist"),
        ("safety", {}, "withheld (SAFETY)"),
        ("max_tokens", {}, "withheld (MAX_TOKENS)"),
        ("empty", {}, "withheld (blocked)"),
    ],
)
async def test_a_final_fault_is_no_opinion_and_is_not_asked_again(
    kind: str, options: dict[str, Any], reason: str
) -> None:
    async with advised() as (server, advisor):
        server.fault(kind, times=10, **options)
        said = await advisor.opinion(*candidate())
        asked = len(server.prompts)

    assert isinstance(said, str)
    assert reason in said
    assert asked <= 1


@pytest.mark.parametrize("kind", ["rate_limit", "error", "nonsense", "drop"])
async def test_a_passing_fault_is_asked_again(kind: str) -> None:
    async with advised() as (server, advisor):
        server.fault(kind, times=1)
        said = await advisor.opinion(*candidate())

    assert isinstance(said, GeminiOpinion)


@pytest.mark.parametrize(
    ("kind", "reason"), [("rate_limit", "quota"), ("error", "answered 500"), ("nonsense", "not what was asked for")]
)
async def test_a_fault_after_the_time_for_asking_is_no_opinion(kind: str, reason: str) -> None:
    async with advised(late=4) as (server, advisor):
        server.fault(kind, times=10)
        said = await advisor.opinion(*candidate())

    assert isinstance(said, str)
    assert reason in said


async def test_a_gemini_that_hangs_is_no_opinion_within_the_timeout() -> None:
    async with advised(late=4, timeout=0.3) as (server, advisor):
        server.fault("hang", times=1, seconds=3)
        said = await advisor.opinion(*candidate())

    assert said == "no answer within 0.3 s"


async def test_a_spent_budget_asks_nothing_until_the_next_day() -> None:
    async with advised(daily_tokens=1) as (server, advisor):
        first = await advisor.opinion(*candidate())
        second = await advisor.opinion(*candidate())
        asked = len(server.prompts)

    assert isinstance(first, GeminiOpinion)
    assert second == "today's budget of 1 tokens is spent"
    assert asked == 1


async def test_no_server_is_no_opinion() -> None:
    async with advised(late=4) as (server, advisor):
        await server.stop()
        said = await advisor.opinion(*candidate())

    assert isinstance(said, str)
    assert said.startswith("the service failed")


@pytest.mark.parametrize(
    "text",
    [
        '{"approve": true, "confidence": 1.7, "reasoning": "x", "risks": []}',
        '{"approve": true, "confidence": "0.8", "reasoning": "x", "risks": []}',
        '{"approve": true, "confidence": NaN, "reasoning": "x", "risks": []}',
        '{"approve": "yes", "confidence": 0.8, "reasoning": "x", "risks": []}',
        '{"approve": true, "confidence": 0.8, "reasoning": "x", "risks": [], "order": "/close all"}',
        '{"approve": true, "confidence": 0.8}',
        "[]",
        "",
    ],
)
def test_an_answer_that_is_not_exactly_what_was_asked_for_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="validation error"):
        _StrictAnswer.model_validate_json(text)


def test_the_prompt_holds_numbers_of_the_past_and_nothing_of_the_key() -> None:
    found, recent = candidate()
    prompt = prompt_for(found, recent)
    data = json.loads(prompt[prompt.index("{") :])

    assert KEY not in prompt
    assert data["direction"] == found.direction
    assert data["indicators"]["adx"] == pytest.approx(found.snapshot.adx, rel=1e-6)
    assert len(data["candles_open_high_low_close_volume"]) == 24
    assert data["candles_open_high_low_close_volume"][-1][3] == pytest.approx(found.levels.entry, rel=1e-6)
