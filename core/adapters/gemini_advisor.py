"""Gemini as an advisor, through google-genai: numbers go in, a validated opinion or a reason for none comes out.

Nothing but figures and an allow-listed pair name enters the prompt, and the answer can do nothing but approve or
refuse: its text is cut, kept and escaped where it is shown.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.config import Gemini
from core.domain.candles import Candles, to_datetime
from core.domain.trading import Candidate, GeminiOpinion
from core.ports import Clock

log = logging.getLogger(__name__)

REASONING_LIMIT = 300
RETRY_FOR = timedelta(minutes=3)
_LEAST_SERVER_TIMEOUT_MS = 10_000  # the service refuses shorter deadlines
_ATTEMPTS = 16  # with the pauses some three minutes, also where the clock stands still
_LONGEST_PAUSE = 15.0  # seconds


class Answer(BaseModel):
    """The shape asked for. Given to the service as the schema."""

    approve: bool
    confidence: float = Field(ge=0, le=1)
    reasoning: str
    risks: list[str]


class _StrictAnswer(Answer):
    """What is accepted: no text for numbers, no further fields."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _NoOpinion(Exception):  # noqa: N818 - not an error for anybody outside
    def __init__(self, reason: str, *, final: bool) -> None:
        super().__init__(reason)
        self.final = final


def prompt_for(candidate: Candidate, recent: Candles) -> str:
    """The question: indicators at the close and the last 24 candles as numbers, nothing from outside."""
    values = {k: _number(v) for k, v in asdict(candidate.snapshot).items() if k != "open_time"}
    last = recent.tail(24)
    rows = [
        [_number(x) for x in (c.open, c.high, c.low, c.close, c.volume)]
        for c in (last.candle(i) for i in range(len(last)))
    ]
    question = {
        "pair": str(candidate.pair),
        "timeframe": candidate.timeframe.name,
        "time": to_datetime(candidate.close_time).isoformat(),
        "direction": candidate.direction.value,
        "entry": _number(candidate.levels.entry),
        "stop": _number(candidate.levels.stop),
        "targets": [_number(t) for t in candidate.levels.targets],
        "indicators": values,
        "candles_open_high_low_close_volume": rows,
    }
    return (
        "You review one signal of a moving-average crossover strategy on a crypto pair before it is traded on paper. "
        "Stop: 2 ATR; targets at 1.5R, 2.5R and 4R. Judge only whether the figures support the trade in its direction. "
        "Answer as JSON with approve (true or false), confidence (0 to 1, how likely the trade ends in profit), "
        "reasoning (at most two short sentences) and risks (at most three short phrases). The data:\n"
        + json.dumps(question)
    )


def _number(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.8g}")
    return value


class GeminiAdvisor:
    """Implements ``core.ports.Advisor``. A fault is retried until three minutes after the candle's close."""

    def __init__(self, settings: Gemini, api_key: str, clock: Clock) -> None:
        from google import genai
        from google.genai import types

        self._settings = settings
        self._clock = clock
        self._client = genai.Client(
            api_key=api_key,
            http_options=types.HttpOptions(
                base_url=settings.base_url,
                timeout=max(_LEAST_SERVER_TIMEOUT_MS, int(settings.timeout * 1000)),
                retry_options=types.HttpRetryOptions(attempts=1),
            ),
        )
        tools = [types.Tool(google_search=types.GoogleSearch())] if settings.grounding else None
        self._config = types.GenerateContentConfig(
            response_mime_type="application/json", response_schema=Answer, tools=tools
        )
        self._day: int = -1
        self._tokens = 0

    async def opinion(self, candidate: Candidate, recent: Candles) -> GeminiOpinion | str:
        """An opinion, or why there is none. Never raises but for cancellation."""
        window = min(RETRY_FOR, timedelta(minutes=candidate.timeframe.minutes) / 2)
        until = to_datetime(candidate.close_time) + window
        patience = min(self._settings.timeout, window.total_seconds())
        prompt, reason = prompt_for(candidate, recent), ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                if self._clock.now() >= until:
                    break
                await asyncio.sleep(min(_LONGEST_PAUSE, 2.0**attempt / 4))
            try:
                return await self._ask(prompt, patience)
            except _NoOpinion as error:
                reason = str(error)
                log.warning("Gemini has no opinion on %s: %s", candidate.pair, reason)
                if error.final:
                    break
        return reason

    async def close(self) -> None:
        await self._client.aio.aclose()
        self._client.close()

    async def _ask(self, prompt: str, patience: float) -> GeminiOpinion:
        from google.genai import errors

        if self._spent() >= self._settings.daily_tokens:
            raise _NoOpinion(f"today's budget of {self._settings.daily_tokens:,} tokens is spent", final=True)
        try:
            async with asyncio.timeout(patience):
                response = await self._client.aio.models.generate_content(
                    model=self._settings.model, contents=prompt, config=self._config
                )
        except TimeoutError:
            raise _NoOpinion(f"no answer within {patience:g} s", final=False) from None
        except errors.APIError as error:
            raise _NoOpinion(
                _api_reason(error, self._settings.model), final=error.code in (400, 401, 403, 404)
            ) from error
        except Exception as error:  # any fault of the service or its library is "no opinion"
            raise _NoOpinion(f"the service failed ({type(error).__name__})", final=False) from error
        return self._validated(response)

    def _validated(self, response: Any) -> GeminiOpinion:
        usage = response.usage_metadata
        prompt_tokens = getattr(usage, "prompt_token_count", None) or 0
        output_tokens = (getattr(usage, "candidates_token_count", None) or 0) + (
            getattr(usage, "thoughts_token_count", None) or 0
        )
        self._tokens += prompt_tokens + output_tokens
        finish = response.candidates[0].finish_reason if response.candidates else None
        if finish is None or finish.name != "STOP":
            raise _NoOpinion(f"the answer was withheld ({finish.name if finish else 'blocked'})", final=True)
        try:
            answer = _StrictAnswer.model_validate_json(response.text or "")
        except ValidationError:
            raise _NoOpinion("the answer was not what was asked for", final=False) from None
        return GeminiOpinion(
            approve=answer.approve,
            confidence=answer.confidence,
            reasoning=_cut(answer.reasoning),
            risks=tuple(_cut(risk, 100) for risk in answer.risks[:3]),
            source=response.model_version or self._settings.model,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
        )

    def _spent(self) -> int:
        today = self._clock.now().toordinal()
        if today != self._day:
            self._day, self._tokens = today, 0
        return self._tokens


def _api_reason(error: Any, model: str) -> str:
    reasons = {404: f"the model {model} does not exist (set gemini.model)", 429: "the quota is used up"}
    if error.code in (401, 403):
        return "the key was refused (check GEMINI_API_KEY)"
    return reasons.get(error.code, f"the service answered {error.code} {error.status or ''}".strip())


def _cut(text: str, limit: int = REASONING_LIMIT) -> str:
    clean = " ".join(text.split())
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
