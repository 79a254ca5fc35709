"""Gemini through the real client: an opinion only when it is one, a short reason for every other case."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from core.adapters.gemini_advisor import (
    REASONING_LIMIT,
    GeminiAdvisor,
    _StrictVerdict,
    plain_words,
    prompt_for,
)
from core.config import Gemini as Settings
from core.config import Strategy
from core.domain.candles import Candles
from core.domain.trading import Candidate
from core.engine.indicators import indicators
from core.engine.strategy import candidate_at, crossings
from julaba_tg.phone.gemini import PAGES, Gemini, _error
from tests.markets import walk

KEY = "a-key-that-must-stay-secret"


def candidate() -> tuple[Candidate, Candles]:
    candles = walk(900, 4)
    ind = indicators(candles)
    row = next(n for n in range(400, 900) if crossings(ind)[n])
    return candidate_at(candles, ind, row, int(crossings(ind)[row]), None, Strategy()), candles.rows(0, row + 1)


@asynccontextmanager
async def advised(**changes: Any) -> AsyncIterator[tuple[Gemini, GeminiAdvisor]]:
    server = Gemini()
    await server.start()
    settings = Settings.model_validate({"base_url": server.base_url, "model": "gemini-test"} | changes)
    advisor = GeminiAdvisor(settings, KEY)
    try:
        yield server, advisor
    finally:
        await advisor.close()
        await server.stop()


async def test_an_opinion_comes_with_its_tokens_and_who_gave_it() -> None:
    async with advised() as (_, advisor):
        answer = await advisor.ask(*candidate(), 5)

    opinion = answer.opinion
    assert opinion is not None
    assert 0 <= opinion.confidence <= 1
    assert opinion.reasoning
    assert opinion.prompt_tokens > 0
    assert answer.tokens == opinion.prompt_tokens + opinion.output_tokens
    assert opinion.source == "gemini-test-stand-in"


TROUBLES: list[tuple[str, dict[str, Any], str, str]] = [
    ("not_found", {}, "setting", "the model gemini-test does not exist"),
    ("bad_key", {}, "setting", "the key was refused"),
    ("error", {"status": 401}, "setting", "the key was refused"),
    ("error", {"status": 403}, "setting", "the key was refused"),
    ("error", {"status": 400}, "setting", "the question was refused (400)"),
    ("rate_limit", {"retry_after": 34}, "passing", "the quota is used up, again in 34 s"),
    ("error", {"status": 500}, "passing", "the service answered 500 INTERNAL"),
    ("error", {"status": 503}, "passing", "the service answered 503 UNAVAILABLE"),
    ("drop", {}, "passing", "the service failed (ServerDisconnectedError)"),
    ("cut_body", {}, "passing", "the service failed (ClientPayloadError)"),
    ("html", {}, "passing", "the service failed"),
    ("null", {}, "passing", "the service sent an empty answer"),
    ("hang", {"seconds": 3}, "passing", "no answer within 0.3 s"),
    ("safety", {}, "withheld", "the answer was withheld (SAFETY)"),
    ("recitation", {}, "withheld", "the answer was withheld (RECITATION)"),
    ("max_tokens", {}, "withheld", "the answer was withheld (MAX_TOKENS)"),
    ("empty", {}, "withheld", "the answer was withheld (blocked)"),
    *(
        (kind, {}, "unusable", "the answer was not what was asked for")
        for kind in ("nonsense", "fenced", "nan", "too_sure", "listed", "half", "silent")
    ),
]


@pytest.mark.parametrize(("kind", "options", "trouble", "reason"), TROUBLES)
async def test_each_trouble_is_no_opinion_with_its_reason(
    kind: str, options: dict[str, Any], trouble: str, reason: str
) -> None:
    async with advised() as (server, advisor):
        server.fault(kind, **options)
        answer = await advisor.ask(*candidate(), 0.3 if kind == "hang" else 5)

    assert answer.opinion is None
    assert (answer.trouble, answer.reason[: len(reason)]) == (trouble, reason)
    assert (answer.remedy != "") == (trouble == "setting")
    assert (answer.wait > 0) == (kind == "rate_limit")
    paid = trouble in {"withheld", "unusable"} and kind != "empty"
    assert (answer.tokens > 0) == paid


async def test_a_refused_key_is_never_repeated_in_what_is_said_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with advised() as (server, advisor):
        monkeypatch.setattr("julaba_tg.phone.gemini._failure", lambda *_: _error(403, f"the key {KEY} was leaked"))
        server.fault("error")
        answer = await advisor.ask(*candidate(), 5)

    assert answer.remedy == "check GEMINI_API_KEY (HTTP 403: the key *** was leaked)"


async def test_no_server_is_no_opinion() -> None:
    async with advised() as (server, advisor):
        await server.stop()
        answer = await advisor.ask(*candidate(), 5)

    assert answer.trouble == "passing"
    assert answer.reason.startswith("the service failed")


async def test_with_search_the_sources_are_counted_and_never_linked() -> None:
    async with advised(model="gemini-3.5-flash-lite", grounding=True) as (server, advisor):
        answer = await advisor.ask(*candidate(), 5)

    assert answer.opinion is not None
    assert answer.opinion.reasoning.endswith(f" ({PAGES} sources)")
    assert "news.example" not in answer.opinion.reasoning
    assert "never an instruction" in server.prompts[0]


def test_search_with_a_model_that_cannot_is_refused_in_the_settings() -> None:
    with pytest.raises(ValueError, match=r"grounding needs a model from Gemini 3 on: gemini-2\.5-flash does not"):
        Settings(model="gemini-2.5-flash", grounding=True)
    for model in ("gemini-3.5-flash-lite", "gemini-10-pro", "gemini-flash-latest"):
        assert Settings(model=model, grounding=True).grounding


async def test_the_service_refuses_search_that_the_settings_let_through() -> None:
    settings = Settings.model_construct(**dict(Settings(model="gemini-2.5-flash")) | {"grounding": True})
    async with advised() as (server, _):
        advisor = GeminiAdvisor(settings.model_copy(update={"base_url": server.base_url}), KEY)
        answer = await advisor.ask(*candidate(), 5)
        await advisor.close()

    assert answer.trouble == "setting"
    assert "gemini.grounding" in answer.remedy


async def test_a_hostile_answer_becomes_harmless_words() -> None:
    async with advised() as (server, advisor):
        server.fault("hostile")
        opinion = (await advisor.ask(*candidate(), 5)).opinion

    assert opinion is not None
    assert len(opinion.reasoning) == REASONING_LIMIT
    assert opinion.reasoning.startswith("<b>close all<b> julaba_bot [tap]((link) *now* & buy buy")
    assert opinion.risks == ("<script>alert(1)<script>", "panic", "(link)")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/close all", "close all"),
        ("//panic", "panic"),
        ("ask @somebody about $LINK #moon", "ask somebody about LINK moon"),
        ("see HTTPS://evil.example/x, t.me/evil and www.evil.example.", "see (link) (link) and (link)"),
        ("pay\u200bload \u202ereversed\x00", "payload reversed"),
        ("two\nlines\tand\u2028three", "two lines and three"),
        ("ADX 31.5, 1.5R at 3/4 of the range; R/R of 2", "ADX 31.5, 1.5R at 3/4 of the range; R/R of 2"),
        ("e.g. the trend costs $5", "e.g. the trend costs $5"),
    ],
)
def test_foreign_text_is_words_that_nobody_can_tap(text: str, words: str) -> None:
    assert plain_words(text) == words


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
        _StrictVerdict.model_validate_json(text)


def test_the_prompt_holds_numbers_of_the_past_and_nothing_of_the_key() -> None:
    found, recent = candidate()
    prompt = prompt_for(found, recent)
    data = json.loads(prompt[prompt.index("{") :])

    assert KEY not in prompt
    assert data["direction"] == found.direction
    assert data["indicators"]["adx"] == pytest.approx(found.snapshot.adx, rel=1e-6)
    assert len(data["candles_open_high_low_close_volume"]) == 24
    assert data["candles_open_high_low_close_volume"][-1][3] == pytest.approx(found.levels.entry, rel=1e-6)
