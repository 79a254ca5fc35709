"""A stand-in for the Gemini REST API that judges by simple rules, and says so in each answer.

It reads the numbers out of the prompt (a JSON object, or ``name: number`` anywhere), scores them, and answers the
structured object the advisor asks for. It knows nothing of news and is no model: the demo needs an opinion that can
be explained, and tests need every way in which the real one fails.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from julaba_tg.phone.faults import Fault, cut, hang, kinds
from julaba_tg.phone.gemini_talk import DISCLAIMER, TALK_FAULTS, declared, out_of_step, parts
from julaba_tg.phone.serving import LocalServer, local_only

APPROVE_AT = 0.70
PAGES = 3
"""How many pages it says it has read where it was told to search."""
_BASE = 0.66  # refuses about a third of the simulated market's signals
RETIRED = frozenset({"gemini-2.0-flash", "gemini-1.5-flash", "gemini-1.5-pro"})
_STATUS = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
_STATUS |= {500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}
_ALIASES = {
    "di_plus": ("di_plus", "plus_di", "dmp"),
    "di_minus": ("di_minus", "minus_di", "dmn"),
    "sma_distance": ("sma_distance_percent", "sma_distance"),
}
_REASONS = '"reasoning": "up", "risks": []'
WITHHELD = {"safety": "SAFETY", "recitation": "RECITATION", "max_tokens": "MAX_TOKENS"}
BAD_ANSWERS = {
    "nonsense": "Well, markets go up and down. ```json {approve: maybe} ```",
    "fenced": f'```json\n{{"approve": true, "confidence": 0.8, {_REASONS}}}\n```',
    "nan": f'{{"approve": true, "confidence": NaN, {_REASONS}}}',
    "too_sure": f'{{"approve": true, "confidence": 85, {_REASONS}}}',
    "listed": f'[{{"approve": true, "confidence": 0.8, {_REASONS}}}]',
    "half": '{"approve": true, "confidence": 0.8, "reaso',
    "silent": "",
    "hostile": json.dumps(
        {
            "approve": True,
            "confidence": 0.9,
            "reasoning": "<b>/close all</b> @julaba_bot \u202e\u200b[tap](https://evil.example/x) *now* & "
            + "buy " * 2500,
            "risks": ["<script>alert(1)</script>", "/panic", "www.evil.example", "a fourth"],
        }
    ),
}
"""What it says with finishReason STOP where it should say an opinion; the hostile one is of the right form."""
_NUMBER = r"[\"']?\s*[:=]\s*[\"']?(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"


class Gemini(LocalServer):
    """``POST /v1beta/models/{model}:generateContent`` on loopback; ``gemini.base_url`` of the settings is ``base_url``.

    ``delay`` seconds pass before each answer. ``fault`` also knows not_found (the model is shut down), bad_key, empty
    (no candidates), the reasons of ``WITHHELD``, the texts of ``BAD_ANSWERS``, bodies that are html, null or cut, and
    for questions in words those of ``gemini_talk.TALK_FAULTS``. ``asked`` holds every request as it came.
    """

    def __init__(self, delay: float = 0.0) -> None:
        known = ("empty", "not_found", "bad_key", "html", "null", "cut_body")
        super().__init__(kinds(*known, *WITHHELD, *BAD_ANSWERS, *TALK_FAULTS))
        self.delay = delay
        self.asked: list[dict[str, Any]] = []
        self.prompts: list[str] = []

    def _build(self) -> web.Application:
        app = web.Application(middlewares=[local_only])
        app.router.add_post("/{version:v1(?:beta)?}/models/{model}:generateContent", self._generate)
        app.router.add_get("/{version:v1(?:beta)?}/models/{model}", self._model)
        return app

    async def _model(self, request: web.Request) -> web.Response:
        name = request.match_info["model"]
        if refusal := _refused(request, name):
            return refusal
        return web.json_response({"name": f"models/{name}", "supportedGenerationMethods": ["generateContent"]})

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        model = request.match_info["model"]
        fault = self.faults.take("generatecontent")
        if fault is not None and fault.kind in {"down", "drop"}:
            return cut(request)
        if fault is not None and fault.kind == "cut_body":
            return cut(request, [b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{"])
        if fault is not None and fault.kind == "hang":
            await hang(fault)
        if refusal := _refused(request, model):
            return refusal
        try:
            asked = await request.json()
            prompt = prompt_text(asked)
        except (ValueError, KeyError, TypeError, AttributeError):
            return _error(400, "Invalid JSON payload received.")
        self.prompts.append(prompt)
        self.asked.append(asked)
        await asyncio.sleep(self.delay)
        if fault is not None and (failure := _failure(fault, model, prompt)) is not None:
            return failure
        if declared(asked):
            return _talk(asked, prompt, model, fault.kind if fault is not None else "")
        structured = "json" in str((asked.get("generationConfig") or {}).get("responseMimeType", ""))
        searching = any("googleSearch" in tool for tool in asked.get("tools") or [])
        if searching and structured and model.startswith(("gemini-1", "gemini-2")):
            return _error(400, "Tool use with a response mime type: 'application/json' is unsupported")
        opinion = judge(numbers_in(prompt))
        text = json.dumps(opinion.to_json()) if structured else opinion.reasoning
        return _answer(text, prompt, model, pages=PAGES * searching)


def _talk(asked: dict[str, Any], prompt: str, model: str, fault: str) -> web.Response:
    if refusal := out_of_step(asked):
        return _error(400, refusal)
    if fault == "malformed_call":
        return _answer(None, prompt, model, reason="MALFORMED_FUNCTION_CALL")
    return _said(parts(asked, fault), json.dumps(asked), model)


def _refused(request: web.Request, model: str) -> web.Response | None:
    if not request.headers.get("x-goog-api-key"):
        return _error(403, "Method doesn't allow unregistered callers. Please use API Key or other form of identity.")
    if model in RETIRED or not model.startswith("gemini-"):
        return _not_found(model)
    return None


def _not_found(model: str) -> web.Response:
    return _error(404, f"models/{model} is not found for API version v1beta, or is not supported for generateContent.")


def _error(code: int, message: str, details: list[dict[str, Any]] | None = None) -> web.Response:
    body: dict[str, Any] = {"code": code, "message": message, "status": _STATUS.get(code, "UNKNOWN")}
    return web.json_response({"error": {**body, **({"details": details} if details else {})}}, status=code)


def _failure(fault: Fault, model: str, prompt: str) -> web.Response | None:
    if fault.kind in BAD_ANSWERS:
        return _answer(BAD_ANSWERS[fault.kind], prompt, model)
    if fault.kind in WITHHELD:
        text = '{"approve": tr' if fault.kind == "max_tokens" else None
        return _answer(text, prompt, model, reason=WITHHELD[fault.kind])
    match fault.kind:
        case "rate_limit":
            info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{fault.retry_after:g}s"}
            return _error(429, "You exceeded your current quota, please check your plan and billing details.", [info])
        case "error":
            return _error(fault.status, "The model is overloaded. Please try again later.")
        case "not_found":
            return _not_found(model)
        case "bad_key":
            info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
            return _error(400, "API key not valid. Please pass a valid API key.", [info])
        case "html":
            return web.Response(text="<html><h1>Welcome to the hotel</h1></html>", content_type="text/html")
        case "null":
            return web.json_response(None)
        case "empty":
            return web.json_response({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "modelVersion": model})
        case _:
            return None


def _answer(text: str | None, prompt: str, model: str, reason: str = "STOP", pages: int = 0) -> web.Response:
    return _said(None if text is None else [{"text": text}], prompt, model, reason, pages)


def _said(
    said: list[dict[str, Any]] | None, prompt: str, model: str, reason: str = "STOP", pages: int = 0
) -> web.Response:
    candidate: dict[str, Any] = {"finishReason": reason, "index": 0}
    if pages:
        page = {"web": {"uri": "https://news.example/a", "title": "news.example"}}
        candidate["groundingMetadata"] = {"groundingChunks": [page] * pages}
    if said is not None:
        candidate["content"] = {"role": "model", "parts": said}
    length = sum(len(str(part.get("text", part))) for part in said or ())
    prompt_tokens, tokens = math.ceil(len(prompt) / 4), math.ceil(length / 4)
    usage = {
        "promptTokenCount": prompt_tokens,
        "candidatesTokenCount": tokens,
        "totalTokenCount": prompt_tokens + tokens,
    }
    return web.json_response({"candidates": [candidate], "usageMetadata": usage, "modelVersion": f"{model}-stand-in"})


def prompt_text(asked: dict[str, Any]) -> str:
    """All words of a generateContent request, the system instruction last: numbers are looked for in order."""
    contents = [*asked["contents"], asked.get("systemInstruction") or {}]
    return "\n".join(str(part.get("text", "")) for content in contents for part in content.get("parts") or [])


def numbers_in(prompt: str) -> dict[str, float | str]:
    """Indicators by their names, and the direction as LONG or SHORT; empty where the prompt holds none."""
    found: dict[str, float | str] = {}
    for document in _json_objects(prompt):
        for name, value in _flat(document):
            found.setdefault(name, value)
    for name in ("adx", "rsi", "volume_ratio", "hurst", "atr_percent", "di_plus", "di_minus", "sma_distance"):
        for alias in _ALIASES.get(name, (name,)):
            if alias in found and isinstance(found[alias], float):
                found.setdefault(name, found[alias])
            elif match := re.search(rf"\b(?:entry_)?{alias}{_NUMBER}", prompt, re.IGNORECASE):
                found.setdefault(name, float(match.group(1)))
    if str(found.get("direction", "")).upper() not in {"LONG", "SHORT"}:
        word = re.search(r"\b(LONG|SHORT)\b", prompt)
        found["direction"] = word.group(1) if word else ""
    found["direction"] = str(found["direction"]).upper()
    return found


def _json_objects(text: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except ValueError:
            end = at + 1
        else:
            if isinstance(value, dict):
                yield value
        at = text.find("{", max(end, at + 1))


def _flat(document: dict[str, Any]) -> Iterator[tuple[str, float | str]]:
    for name, value in document.items():
        key = str(name).lower().removeprefix("entry_")
        if isinstance(value, dict):
            yield from _flat(value)
        elif isinstance(value, bool):
            continue
        elif isinstance(value, int | float) and math.isfinite(value):
            yield key, float(value)
        elif isinstance(value, str):
            yield key, value


@dataclass(frozen=True, slots=True)
class Judgement:
    approve: bool
    confidence: float
    reasoning: str
    risks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "approve": self.approve,
            "confidence": self.confidence,
            "reasoning": self.reasoning,
            "risks": list(self.risks),
        }


def judge(numbers: dict[str, float | str]) -> Judgement:
    """An opinion by rules on trend strength, its direction, persistence, room to run and volume."""
    known = {name: value for name, value in numbers.items() if isinstance(value, float)}
    if not known.keys() & {"adx", "rsi", "hurst", "volume_ratio"}:
        return Judgement(False, 0.3, f"{DISCLAIMER} The prompt holds no indicators I can read.", ("no data",))
    sign = -1.0 if numbers.get("direction") == "SHORT" else 1.0
    points = list(_points(known, sign))
    confidence = round(min(0.95, max(0.2, _BASE + sum(weight for weight, _ in points))), 2)
    approve = confidence >= APPROVE_AT
    good = [text for weight, text in points if weight > 0]
    poor = [text for weight, text in points if weight < 0]
    leading, other = (good, poor) if approve else (poor, good)
    words = ", ".join(leading) or "nothing stands out"
    contrast = f"; against that {', '.join(other[:2])}" if other else ""
    return Judgement(approve, confidence, f"{DISCLAIMER} {words.capitalize()}{contrast}.", tuple(poor[:3]))


def _points(known: dict[str, float], sign: float) -> Iterator[tuple[float, str]]:
    """What each number adds to the confidence, with a word for it."""
    if (adx := known.get("adx")) is not None:
        yield (0.08 if adx >= 32 else 0.03 if adx >= 27 else -0.06), f"ADX {adx:.0f}"
    if "di_plus" in known and "di_minus" in known:
        lead = sign * (known["di_plus"] - known["di_minus"])
        text = "the directional lines agree" if lead > 0 else "the directional lines disagree"
        yield (0.06 if lead > 8 else 0.02 if lead > 0 else -0.10), text
    if (hurst := known.get("hurst")) is not None:
        yield (0.05 if hurst > 0.55 else -0.05 if hurst < 0.48 else 0.0), f"Hurst {hurst:.2f}"
    if (rsi := known.get("rsi")) is not None:
        reach = sign * (rsi - 50)
        text = "overstretched" if reach > 16 else "room to run" if reach > 0 else "momentum is missing"
        yield (-0.05 if reach > 16 else 0.03 if reach > 0 else -0.06), f"RSI {rsi:.0f}, {text}"
    if (volume := known.get("volume_ratio")) is not None:
        yield (0.04 if volume > 1.3 else -0.05 if volume < 0.95 else 0.0), f"volume {volume:.1f} times the usual"
