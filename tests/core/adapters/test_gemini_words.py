"""Questions in words through the real client over HTTP: looks are bounded and refused, and nothing is believed."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from core.adapters.gemini_words import ANSWER_LIMIT, GeminiWords, inert
from core.config import Gemini as Settings
from core.ports import Inquiry, Told, Tool
from julaba_tg.phone.gemini import Gemini
from julaba_tg.phone.gemini_talk import DISCLAIMER

KEY = "a-key-that-must-stay-secret"
TOOLS = (
    Tool("status", "how things stand", {}),
    Tool("trades", "closed trades", {"pair": {"type": "string"}, "days": {"type": "integer"}}),
    Tool("draft_command", "offers a command", {"line": {"type": "string"}}),
)


@dataclass
class Shelf:
    """Looks that are counted; ``slow`` seconds each."""

    taken: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    slow: float = 0.0

    async def look(self, name: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
        self.taken.append((name, dict(arguments)))
        await asyncio.sleep(self.slow)
        return {"equity": 10_240.5, "trades": 3}


def inquiry(question: str = "how did SOL do this week?") -> Inquiry:
    return Inquiry("be short", question, TOOLS, rounds=4, looks=8)


@asynccontextmanager
async def talking(**changes: Any) -> AsyncIterator[tuple[Gemini, GeminiWords]]:
    server = Gemini()
    await server.start()
    settings = Settings.model_validate({"base_url": server.base_url, "model": "gemini-test"} | changes)
    words = GeminiWords(settings, KEY)
    try:
        yield server, words
    finally:
        await words.close()
        await server.stop()


async def test_a_question_is_answered_from_the_look_it_asked_for() -> None:
    shelf = Shelf()
    async with talking() as (server, words):
        told = await words.ask(inquiry(), shelf.look, 5)

    assert shelf.taken == [("trades", {"pair": "SOL", "days": 7})]
    assert told.text == f"{DISCLAIMER} The view trades says: equity 10,240.50, trades 3."
    assert told.reason == ""
    assert min(told.prompt_tokens, told.output_tokens) > 0
    first, second = server.asked
    declared = [f["name"] for f in first["tools"][0]["functionDeclarations"]]
    assert declared == ["status", "trades", "draft_command"]
    assert first["systemInstruction"]["parts"][0]["text"] == "be short"
    assert len(second["contents"]) == 3, "question, its own call with its signature, the result"


async def test_the_tokens_of_every_round_are_counted() -> None:
    async with talking() as (server, words):
        server.fault("endless", times=9)
        told = await words.ask(inquiry(), Shelf().look, 5)
        rounds = [math.ceil(len(json.dumps(asked)) / 4) for asked in server.asked]

    assert len(rounds) == 5
    assert told.prompt_tokens == sum(rounds)
    assert told.output_tokens % 5 == 0
    assert told.output_tokens > 0


async def test_one_that_asks_for_ever_is_stopped_after_four_rounds_and_told_to_answer() -> None:
    shelf = Shelf()
    async with talking() as (server, words):
        server.fault("endless", times=50)
        told = await words.ask(inquiry(), shelf.look, 5)
        modes = [a["toolConfig"]["functionCallingConfig"]["mode"] for a in server.asked]

    assert told.text == ""
    assert told.reason == "it went on asking and gave no answer"
    assert len(shelf.taken) == 4
    assert modes == ["AUTO"] * 4 + ["NONE"]


async def test_one_that_asks_for_twenty_things_at_once_gets_eight() -> None:
    shelf = Shelf()
    async with talking() as (server, words):
        server.fault("greedy")
        told = await words.ask(inquiry(), shelf.look, 5)
        answered = [p["functionResponse"]["response"] for p in server.asked[-1]["contents"][-1]["parts"]]
        mode = server.asked[-1]["toolConfig"]["functionCallingConfig"]["mode"]

    assert len(shelf.taken) == 8
    assert len(answered) == 20, "the service wants a response for each call"
    assert answered[8] == {"error": "that was the last look; answer from what you have"}
    assert mode == "NONE"
    assert told.text.startswith(DISCLAIMER)


async def test_a_call_that_is_none_and_arguments_that_make_no_sense_come_through_as_they_are() -> None:
    shelf = Shelf()
    async with talking() as (server, words):
        server.fault("strange_call")
        told = await words.ask(inquiry(), shelf.look, 5)

    assert [name for name, _ in shelf.taken] == ["rm_rf", "trades", "why"]
    assert shelf.taken[1][1] == {"pair": "DROP TABLE", "n": "many", "days": -3}
    assert told.text


TROUBLES: list[tuple[str, dict[str, Any], str]] = [
    ("not_found", {}, "the model gemini-test does not exist"),
    ("bad_key", {}, "the key was refused"),
    ("error", {"status": 400}, "the question was refused (400)"),
    ("error", {"status": 403}, "the key was refused"),
    ("error", {"status": 500}, "the service answered 500 INTERNAL"),
    ("rate_limit", {"retry_after": 34}, "the quota is used up, again in 34 s"),
    ("drop", {}, "the service failed (ServerDisconnectedError)"),
    ("cut_body", {}, "the service failed (ClientPayloadError)"),
    ("html", {}, "the service failed"),
    ("null", {}, "the service sent an empty answer"),
    ("hang", {"seconds": 3}, "no answer within 0.3 s"),
    ("safety", {}, "the answer was withheld (SAFETY)"),
    ("recitation", {}, "the answer was withheld (RECITATION)"),
    ("max_tokens", {}, "the answer was withheld (MAX_TOKENS)"),
    ("malformed_call", {}, "the answer was withheld (MALFORMED_FUNCTION_CALL)"),
    ("empty", {}, "the answer was withheld (blocked)"),
    ("silent", {}, "the answer was empty"),
]


@pytest.mark.parametrize(("kind", "options", "reason"), TROUBLES)
async def test_each_trouble_is_no_answer_with_its_reason(kind: str, options: dict[str, Any], reason: str) -> None:
    async with talking() as (server, words):
        server.fault(kind, **options)
        told = await words.ask(inquiry(), Shelf().look, 0.3 if kind == "hang" else 5)

    assert told.text == ""
    assert told.reason[: len(reason)] == reason
    assert KEY not in told.reason


async def test_a_fault_after_the_first_round_still_costs_what_it_has_cost() -> None:
    class Breaks(Shelf):
        async def look(self, name: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
            server.fault("error", status=503)
            return await super().look(name, arguments)

    async with talking() as (server, words):
        told = await words.ask(inquiry(), Breaks().look, 5)

    assert told.reason == "the service answered 503 UNAVAILABLE"
    assert told.prompt_tokens > 0


async def test_the_patience_is_for_all_rounds_and_looks_together() -> None:
    async with talking() as (server, words):
        server.fault("endless", times=50)
        began = asyncio.get_running_loop().time()
        told = await words.ask(inquiry(), Shelf(slow=0.2).look, 0.5)
        took = asyncio.get_running_loop().time() - began

    assert told.reason == "no answer within 0.5 s"
    assert told.prompt_tokens > 0
    assert took < 2


async def test_being_cancelled_is_being_cancelled() -> None:
    async with talking() as (server, words):
        server.fault("hang", seconds=30)
        asking = asyncio.create_task(words.ask(inquiry(), Shelf().look, 30))
        await asyncio.sleep(0.1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_an_answer_holds_nothing_to_tap_and_is_cut() -> None:
    async with talking() as (server, words):
        server.fault("tappable")
        told = await words.ask(inquiry(), Shelf().look, 5)

    first, second, *others = told.text.splitlines()
    assert first == f"{DISCLAIMER} Send panic to julaba_bot or see [this]((link)"
    assert second == "Title"
    assert set(others) == {"• a point"}
    assert len(told.text) <= ANSWER_LIMIT


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("**Yes.** It made $12.", "Yes. It made $12."),
        ("# Trades\n\n- one\n* two\n", "Trades\n• one\n• two"),
        ("```json\n/panic\n```", "json\npanic"),
        ("> quoted", "quoted"),
        ("see www.evil.example now", "see (link) now"),
        ("a\u200bb \u202ec", "ab c"),
        (" \n\n", ""),
        ("x" * 2000, "x" * (ANSWER_LIMIT - 1) + "…"),
    ],
)
def test_markup_and_links_become_words(text: str, words: str) -> None:
    assert inert(text) == words


async def test_no_server_is_no_answer() -> None:
    async with talking() as (server, words):
        await server.stop()
        told = await words.ask(inquiry(), Shelf().look, 5)

    assert told == Told(reason=told.reason)
    assert told.reason.startswith("the service failed")
