"""Gemini in words, through google-genai: a question, looks into the books by function calling, an answer in words.

The loop is here because what the service sends between its looks (its own parts, with their signatures) has to go back
to it as it came. What may be looked at, and how often, is said by the caller; the answer's text comes out inert.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.adapters.gemini_advisor import client_for, close_client, plain_words, refusal, tokens_of
from core.config import Gemini
from core.ports import Inquiry, Look, Told, Tool

if TYPE_CHECKING:
    from google.genai import types

log = logging.getLogger(__name__)

ANSWER_LIMIT = 900
_MOST_LINES = 24
_MOST_OUTPUT = 8_000  # tokens; thinking counts among them, and a small number leaves none for the answer
_ENOUGH: Mapping[str, object] = {"error": "that was the last look; answer from what you have"}
_MARKS = re.compile(r"\*\*|__|`+|^\s*#+\s*|^\s*>\s*")
_BULLET = re.compile(r"^\s*[*+-]\s+")


@dataclass(slots=True)
class _Spent:
    """Tokens of one question so far; they count whatever becomes of it."""

    asked: int = 0
    answered: int = 0

    def count(self, response: Any) -> None:
        asked, answered = tokens_of(response)
        self.asked += asked
        self.answered += answered

    def told(self, text: str = "", reason: str = "") -> Told:
        return Told(text, reason, self.asked, self.answered)


class GeminiWords:
    """Implements ``core.ports.Conversation`` on the Gemini API, without any retry of its own."""

    def __init__(self, settings: Gemini, api_key: str) -> None:
        self._settings = settings
        self._key = api_key
        self._client = client_for(settings, api_key)

    async def ask(self, inquiry: Inquiry, look: Look, patience: float) -> Told:
        """See ``Conversation``. Whatever the service or its library does, something told comes of it."""
        from google.genai import errors

        spent = _Spent()
        try:
            async with asyncio.timeout(patience):
                told = await self._talk(inquiry, look, spent)
        except TimeoutError:
            told = spent.told(reason=f"no answer within {patience:g} s")
        except errors.APIError as error:
            told = spent.told(reason=refusal(error, self._settings, self._key).reason)
        except Exception as error:  # a fault nobody thought of is no answer, and nobody else's trouble
            told = spent.told(reason=f"the service failed ({type(error).__name__})")
        if told.reason:
            log.warning("Gemini has no answer in words: %s", told.reason)
        return told

    async def close(self) -> None:
        await close_client(self._client)

    async def _talk(self, inquiry: Inquiry, look: Look, spent: _Spent) -> Told:
        from google.genai import types

        said = [types.Content(role="user", parts=[types.Part(text=inquiry.question)])]
        looks = inquiry.looks
        for turn in range(inquiry.rounds + 1):
            may_look = turn < inquiry.rounds and looks > 0
            response = await self._client.aio.models.generate_content(
                model=self._settings.model, contents=list(said), config=_config(inquiry, may_look)
            )
            spent.count(response)
            content, reason = _content(response)
            if content is None:
                return spent.told(reason=reason)
            wanted = [part.function_call for part in content.parts or () if part.function_call is not None]
            if not wanted:
                text = inert(_text(content))
                return spent.told(text) if text else spent.told(reason="the answer was empty")
            if not may_look:
                break
            said += [content, types.Content(role="user", parts=await _looked(wanted, look, looks))]
            looks -= len(wanted)
        return spent.told(reason="it went on asking and gave no answer")


def _config(inquiry: Inquiry, may_look: bool) -> types.GenerateContentConfig:
    from google.genai import types

    mode = types.FunctionCallingConfigMode.AUTO if may_look else types.FunctionCallingConfigMode.NONE
    return types.GenerateContentConfig(
        system_instruction=inquiry.instructions,
        tools=[types.Tool(function_declarations=[_declared(tool) for tool in inquiry.tools])],
        tool_config=types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode=mode)),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        max_output_tokens=_MOST_OUTPUT,
    )


def _declared(tool: Tool) -> types.FunctionDeclaration:
    from google.genai import types

    schema = {"type": "object", "properties": {name: dict(kind) for name, kind in tool.arguments.items()}}
    return types.FunctionDeclaration(
        name=tool.name, description=tool.about, parameters_json_schema=schema if tool.arguments else None
    )


def _content(response: Any) -> tuple[Any, str]:
    """What was said, or why nothing can be made of it."""
    candidate = response.candidates[0] if response.candidates else None
    if candidate is None:
        blocked = response.prompt_feedback is not None
        return None, "the answer was withheld (blocked)" if blocked else "the service sent an empty answer"
    finish = candidate.finish_reason.name if candidate.finish_reason else "nothing"
    if finish != "STOP":
        return None, f"the answer was withheld ({finish})"
    if candidate.content is None or not candidate.content.parts:
        return None, "the answer was empty"
    return candidate.content, ""


async def _looked(wanted: Sequence[Any], look: Look, left: int) -> list[types.Part]:
    """A result for each look that was wanted, as the service demands; those beyond the last allowed one are refused."""
    from google.genai import types

    parts = []
    for number, call in enumerate(wanted):
        result = await look(str(call.name or ""), call.args or {}) if number < left else _ENOUGH
        response = types.FunctionResponse(id=call.id, name=call.name, response=dict(result))
        parts.append(types.Part(function_response=response))
    return parts


def _text(content: Any) -> str:
    return "".join(part.text for part in content.parts or () if part.text and not part.thought)


def inert(text: str) -> str:
    """An answer as plain lines of at most ``ANSWER_LIMIT`` characters in all: no markup, nothing to tap."""
    lines: list[str] = []
    room = ANSWER_LIMIT
    for raw in text[: 8 * ANSWER_LIMIT].splitlines():
        line = plain_words(_MARKS.sub("", _BULLET.sub("• ", raw)), max(room, 1))
        if line and room > 0 and len(lines) < _MOST_LINES:
            lines.append(line)
            room -= len(line) + 1
    return "\n".join(lines)
