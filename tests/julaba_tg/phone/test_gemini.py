"""The rule-based stand-in, asked by the real google-genai client over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel, Field

from core.config import Strategy
from core.domain.candles import Timeframe, to_ms
from core.engine.indicators import indicators
from core.engine.strategy import candidates
from julaba_tg.phone.gemini import APPROVE_AT, Gemini, judge, numbers_in
from julaba_tg.phone.gemini_talk import DISCLAIMER
from julaba_tg.phone.market_sim import DEMO_PAIRS, MarketSim

# The library's own doing, at each first call of its asynchronous client.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

MODEL = "gemini-3.5-flash-lite"
GOOD = {
    "direction": "LONG",
    "adx": 34.0,
    "rsi": 58.0,
    "hurst": 0.6,
    "volume_ratio": 1.6,
    "di_plus": 30.0,
    "di_minus": 12.0,
}
POOR = {
    "direction": "LONG",
    "adx": 25.1,
    "rsi": 45.0,
    "hurst": 0.46,
    "volume_ratio": 0.8,
    "di_plus": 14.0,
    "di_minus": 22.0,
}


class Opinion(BaseModel):
    approve: bool
    confidence: float = Field(ge=0, le=1)
    reasoning: str
    risks: list[str]


@pytest.fixture
async def gemini() -> AsyncIterator[Gemini]:
    server = Gemini()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(gemini: Gemini) -> AsyncIterator[genai.Client]:
    once = types.HttpRetryOptions(attempts=1)
    options = types.HttpOptions(base_url=gemini.base_url, timeout=15000, retry_options=once)
    client = genai.Client(api_key="x", http_options=options)
    yield client
    await client.aio.aclose()
    client.close()


async def ask(client: genai.Client, prompt: str, model: str = MODEL) -> types.GenerateContentResponse:
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Opinion)
    return await client.aio.models.generate_content(model=model, contents=prompt, config=config)


@pytest.mark.parametrize(("numbers", "approve"), [(GOOD, True), (POOR, False)])
async def test_an_opinion_fits_the_schema_and_says_who_speaks(
    client: genai.Client, numbers: dict[str, Any], approve: bool
) -> None:
    answer = await ask(client, f"Judge this signal. {json.dumps(numbers)} Answer as JSON.")

    assert isinstance(answer.parsed, Opinion)
    assert answer.parsed.approve is approve
    assert (answer.parsed.confidence >= APPROVE_AT) is approve
    assert answer.parsed.reasoning.startswith(DISCLAIMER)
    assert answer.candidates
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata
    assert answer.usage_metadata.total_token_count


async def test_without_a_schema_it_answers_in_prose(client: genai.Client) -> None:
    answer = await client.aio.models.generate_content(model=MODEL, contents="How is the market?")
    assert answer.text
    assert answer.text.startswith(DISCLAIMER)


@pytest.mark.parametrize("kind", ["safety", "nonsense", "empty", "max_tokens"])
async def test_useless_answers_give_no_opinion(gemini: Gemini, client: genai.Client, kind: str) -> None:
    gemini.fault(kind)
    answer = await ask(client, json.dumps(GOOD))
    assert answer.parsed is None


async def test_refusals_are_the_real_ones(gemini: Gemini, client: genai.Client) -> None:
    gemini.fault("rate_limit", retry_after=12)
    with pytest.raises(errors.ClientError) as limited:
        await ask(client, "x")
    assert (limited.value.code, limited.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert '"12s"' in json.dumps(limited.value.details)

    gemini.fault("error", status=503)
    with pytest.raises(errors.ServerError):
        await ask(client, "x")
    gemini.fault("not_found")
    with pytest.raises(errors.ClientError) as gone:
        await ask(client, "x")
    assert gone.value.code == 404
    with pytest.raises(errors.ClientError):
        await ask(client, "x", model="gemini-2.0-flash")


async def test_a_silent_server_times_out(gemini: Gemini, client: genai.Client) -> None:
    gemini.fault("hang", seconds=30)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await ask(client, "x")
    gemini.fault("drop")
    with pytest.raises(aiohttp.ClientError):
        await ask(client, "x")


async def test_without_a_key_nobody_is_answered(gemini: Gemini) -> None:
    url = f"{gemini.base_url}/v1beta/models/{MODEL}:generateContent"
    async with aiohttp.ClientSession() as session, session.post(url, json={}) as answer:
        assert answer.status == 403


PROMPTS = [
    '{"signal": {"direction": "SHORT", "indicators": {"entry_adx": 31.5, "plus_di": 10, "minus_di": 25}}}',
    "A SHORT signal. adx: 31.5, di_plus=10, di_minus = 25",
    'Rules {not json} then {"adx": 31.5, "dmp": 10, "dmn": 25} for a SHORT',
]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_numbers_are_found_however_they_are_written(prompt: str) -> None:
    found = numbers_in(prompt)
    wanted = {"direction": "SHORT", "adx": 31.5, "di_plus": 10.0, "di_minus": 25.0}
    assert {name: found[name] for name in wanted} == wanted


def test_no_numbers_no_approval() -> None:
    assert judge(numbers_in("good morning")).approve is False


def test_about_a_third_of_the_signals_is_refused() -> None:
    """30 to 50% is what the success metrics call healthy; the demo should look like that."""
    sim, start, verdicts = MarketSim(7), to_ms(datetime(2026, 1, 1, tzinfo=UTC)), []
    for pair in DEMO_PAIRS:
        candles = sim.candles(pair, Timeframe.parse("15m"), start, start + 90 * 86_400_000)
        ind = indicators(candles)
        entries = candidates(candles, ind, Strategy())
        for row, sign in zip(entries.row[entries.is_signal], entries.sign[entries.is_signal], strict=True):
            names = ("adx", "rsi", "hurst", "volume_ratio", "di_plus", "di_minus")
            numbers = {name: float(getattr(ind, name)[row]) for name in names}
            verdicts.append(judge({**numbers, "direction": "LONG" if sign > 0 else "SHORT"}).approve)
    assert 0.25 < 1 - sum(verdicts) / len(verdicts) < 0.5
