"""How the stand-in for Gemini answers a question in words: it picks one function by keywords, then reads out figures.

It understands nothing, and says so in each answer. What it sends has the form of the real service's, so that the real
client can be held against it, also where that goes wrong: see ``TALK_FAULTS``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

DISCLAIMER = "Rule-based stand-in of the demo, not Gemini."
TALK_FAULTS = ("endless", "greedy", "strange_call", "forged_draft", "invented", "tappable", "malformed_call")
"""In place of what it should do: it asks for ever, it asks for twenty things at once, for one that is not there, offers
commands that are none, makes up figures, sends links and commands, sends a call the service itself could not read."""

_KEYWORDS: tuple[tuple[str, str], ...] = (
    (r"\bwhy\b.*\btrade|\bsignal|\brefus|\bwarum\b|\babgelehnt", "signals"),
    (r"\bopen\b|\bposition|\boffen", "positions"),
    (r"\bmodel|\bmodell|\bml\b|\bgate\b", "model"),
    (r"\bhealth|\bwrong\b|\bfault|\bok\?", "health"),
    (r"\breport\b|\btarget|\bmetric", "report"),
    (r"\bsample", "samples"),
    (r"\bgemini\b", "gemini"),
    (r"\bpairs\b", "pairs"),
    (r"\bdo\b|\bdid\b|\btrade|\bprofit|\bmade\b|\bwon\b|\blost\b|\bläuft|\bverdien|\bwoche|\bweek", "trades"),
)
_ORDERS: tuple[tuple[str, str], ...] = (
    (r"\b(?:resume|go on|continue|weiter)\b", "/resume"),
    (r"\b(?:pause|stop|halt|anhalten)\b", "/pause"),
    (r"\bretrain|\btrain\b", "/retrain"),
    (r"\bclose everything|\bclose all", "/panic"),
)
_DAYS = ((r"\btoday|\bheute", 1), (r"\bweek|\bwoche", 7), (r"\bmonth|\bmonat", 30))
_NO_PAIRS = {"I", "A", "ML", "OK", "SMA", "ADX", "RSI", "USDT", "P", "L", "TP", "SOLD", "AI", "UTC"}
_MOST_READ = 4
_SIGNATURE = "c3RhbmQtaW4="
"""The first call of a turn carries one, and wants it back."""


def declared(asked: Mapping[str, Any]) -> frozenset[str]:
    """The names of the functions that a request declares; empty for one that wants no words."""
    tools = asked.get("tools") or []
    return frozenset(str(f.get("name")) for tool in tools for f in tool.get("functionDeclarations") or [])


def parts(asked: Mapping[str, Any], fault: str = "") -> list[dict[str, Any]]:
    """The parts of the next thing it says: a function call, or an answer in words."""
    known, question = declared(asked), _question(asked)
    looked = [found for content in asked["contents"] for found in _responses(content)]
    may_look = _mode(asked) != "NONE"
    if fault == "endless" or (may_look and not looked and fault in _FAULTY_CALLS):
        first, *others = _FAULTY_CALLS[fault]
        return [{**first, "thoughtSignature": _SIGNATURE}, *others]
    if fault in _FAULTY_WORDS:
        return [{"text": _FAULTY_WORDS[fault]}]
    if may_look and not looked:
        return [{"functionCall": _call(question, known), "thoughtSignature": _SIGNATURE}]
    return [{"text": _answer(looked[-1] if looked else {})}]


def out_of_step(asked: Mapping[str, Any]) -> str:
    """The service's refusal of a conversation whose calls and responses do not belong together; empty where they do."""
    contents = asked["contents"]
    for before, after in zip(contents, [*contents[1:], {}], strict=True):
        calls = [part["functionCall"]["name"] for part in before.get("parts") or [] if "functionCall" in part]
        answered = [str(response.get("name")) for response in _responses(after)]
        if calls != answered:
            return (
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
        if any("functionCall" in part and "thoughtSignature" not in part for part in (before.get("parts") or [])[:1]):
            return "Function call is missing a thought_signature in functionCall parts."
    return ""


_FAULTY_CALLS: dict[str, list[dict[str, Any]]] = {
    "endless": [{"functionCall": {"name": "status", "args": {}}}],
    "greedy": [{"functionCall": {"name": "trades", "args": {"days": day}}} for day in range(1, 21)],
    "strange_call": [
        {"functionCall": {"name": "rm_rf", "args": {"path": "/"}}},
        {"functionCall": {"name": "trades", "args": {"pair": "DROP TABLE", "n": "many", "days": -3}}},
        {"functionCall": {"name": "why", "args": {"number": [1, {"deep": True}]}}},
    ],
    "forged_draft": [
        {"functionCall": {"name": "draft_command", "args": {"line": line}}}
        for line in ("/rm -rf", "close LINK abc 1", "/close LINK token 99", "/approve 3", "", "/" + "x" * 300)
    ],
}
_FAULTY_WORDS = {
    "invented": f"{DISCLAIMER} You made $98,765.43 on 4,321 trades, and 77% of them won.",
    "tappable": f"**{DISCLAIMER}** Send /panic to @julaba_bot \u202eor see [this](https://evil.example/x).\n# Title\n"
    + "* a point\n" * 60,
}


def _question(asked: Mapping[str, Any]) -> str:
    return " ".join(str(part.get("text", "")) for part in asked["contents"][0].get("parts") or [])


def _responses(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for part in content.get("parts") or []:
        if "functionResponse" in part:
            yield part["functionResponse"]


def _mode(asked: Mapping[str, Any]) -> str:
    config = (asked.get("toolConfig") or {}).get("functionCallingConfig") or {}
    return str(config.get("mode", "AUTO"))


def _call(question: str, known: frozenset[str]) -> dict[str, Any]:
    lower = question.lower()
    order = next((line for pattern, line in _ORDERS if re.search(pattern, lower)), None)
    if order is not None and "draft_command" in known and not lower.startswith(("why", "warum")):
        return {"name": "draft_command", "args": {"line": order}}
    name = next((name for pattern, name in _KEYWORDS if name in known and re.search(pattern, lower)), "status")
    pair = next((w for w in re.findall(r"\b[A-Z]{2,6}\b", question) if w not in _NO_PAIRS), None)
    days = next((days for pattern, days in _DAYS if re.search(pattern, lower)), None)
    arguments = {"pair": pair, "days": days} if name in {"trades", "signals"} else {}
    return {"name": name, "args": {key: value for key, value in arguments.items() if value is not None}}


def _answer(response: Mapping[str, Any]) -> str:
    name, result = str(response.get("name", "")), response.get("response") or {}
    if "error" in result:
        return f"{DISCLAIMER} That cannot be said: {result['error']}."
    if "offered" in result:
        return f"{DISCLAIMER} I cannot do that; the button below does it when you tap it."
    figures = list(_read_out(result))[:_MOST_READ]
    said = ", ".join(f"{words} {value}" for words, value in figures) or "no figures"
    return f"{DISCLAIMER} The view {name} says: {said}."


def _read_out(result: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, str]]:
    """The first figures, as they stand."""
    for key, value in result.items():
        words = f"{name} {key}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            yield from _read_out(value, words)
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield words, f"{value:g}" if isinstance(value, int) else f"{value:,.2f}"
