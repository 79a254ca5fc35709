"""Plain words, as people type them: the real bot and the real Gemini client over HTTP, the simulated Gemini behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.adapters.gemini_words import GeminiWords
from core.services.views import Actor
from core.services.words import Source, WordsView
from core.services.words_tools import LOOKS
from julaba_tg import words_handlers
from julaba_tg.commands import COMMANDS, find
from julaba_tg.phone.bot_api import Phone
from julaba_tg.phone.gemini import Gemini
from julaba_tg.phone.gemini_talk import DISCLAIMER
from julaba_tg.words_handlers import Offers
from tests.fakes.outbox import FakeOutbox
from tests.julaba_tg.conftest import OWNER, STRANGER, VIEWER, World
from tests.ledgers import settings as trading
from tests.offices import Office, office

ANSWER = WordsView(
    "SOL made 84.20 USDT this week, on 3 trades. Two of them won.",
    (Source("trades", "SOL/USDT, 7 days", ("net pnl usdt 84.2", "closed trades 3"), "trades"),),
)


@dataclass
class Whole(World):
    """A bot over a desk on a real ledger, with a Gemini that only simulates."""

    gemini: Gemini | None = None
    at: Office | None = None


@asynccontextmanager
async def whole(path: Path, **gemini: Any) -> AsyncIterator[Whole]:
    phone, server = Phone(), Gemini()
    await phone.start()
    await server.start()
    conf = trading(
        access={"users": {OWNER: "approver", VIEWER: "viewer"}},
        telegram={"poll_timeout": 1, "base_url": phone.base_url},
        notify={"pinned": False},
        gemini={"base_url": server.base_url, "model": "gemini-test", "timeout": 2} | gemini,
    )
    talk = GeminiWords(conf.gemini, "a-key")
    try:
        async with office(path, config=conf, talk=talk) as at:
            await at.played()
            there = Whole(phone, at.desk, FakeOutbox(), conf, gemini=server, at=at)  # type: ignore[arg-type]
            await there.new_bot().start()
            try:
                yield there
            finally:
                assert there.bot is not None
                await there.bot.stop()
    finally:
        await talk.close()
        await server.stop()
        await phone.stop()


# With Gemini


async def test_a_question_is_answered_with_its_figures_below(tmp_path: Path) -> None:
    async with whole(tmp_path) as chat:
        said = await chat.ask("how did LINK do this month?")

    title, *rest = said.text.splitlines()
    assert title == f"💬 {DISCLAIMER}"
    assert rest[1].startswith("The view trades says: ")
    assert "Looked at, with the figures used:" in said.text
    assert "trades (LINK/USDT, 30 days): " in said.text
    assert "Not from my books" not in said.text
    assert [b.text for b in said.buttons] == ["/trades"]


async def test_german_is_answered_too(tmp_path: Path) -> None:
    async with whole(tmp_path) as chat:
        said = await chat.ask("wie läuft LINK diese Woche?")
        assert chat.gemini is not None
        first = chat.gemini.asked[0]

    assert "trades (LINK/USDT, 7 days)" in said.text
    assert "Answer in the language of the question" in first["systemInstruction"]["parts"][0]["text"]


async def test_why_there_was_no_trade_is_answered_from_the_signals(tmp_path: Path) -> None:
    async with whole(tmp_path) as chat:
        said = await chat.ask("why no trade today?")
    assert "signals (1 day): " in said.text


async def test_words_draft_a_command_and_the_tap_runs_it(tmp_path: Path) -> None:
    async with whole(tmp_path) as chat:
        said = await chat.ask("please pause trading")
        assert chat.at is not None
        assert "when you tap it" in said.text
        assert [b.text for b in said.buttons] == ["▶️ /pause"]
        assert (await chat.at.desk.status()).paused == "", "words alone change nothing"

        chat.phone.tap(OWNER, said.message_id, said.button("/pause").callback_data)
        await chat.phone.wait_for(lambda m: m.text.startswith("⏸ Paused"))
        assert (await chat.at.desk.status()).paused == "by You"


async def test_a_viewer_may_ask_but_is_offered_nothing_a_viewer_may_not(tmp_path: Path) -> None:
    async with whole(tmp_path) as chat:
        said = await chat.ask("please pause trading", VIEWER)
        assert "pause needs the role operator; the person is viewer" in said.text
        assert not any("pause" in b.text for b in said.buttons)
        assert "trades (LINK/USDT)" in (await chat.ask("how did LINK do?", VIEWER)).text


async def test_what_a_viewer_was_not_offered_is_refused_when_tapped_anyway(tmp_path: Path) -> None:
    async with whole(tmp_path) as chat:
        said = await chat.ask("how did LINK do?", VIEWER)
        forged = await chat.phone.wait_answer(chat.phone.tap(VIEWER, said.message_id, "new:pause"))
        assert chat.at is not None
        assert "operator" in forged["text"]
        assert (await chat.at.desk.status()).paused == ""


async def test_figures_that_are_made_up_are_named(tmp_path: Path) -> None:
    async with whole(tmp_path) as chat:
        assert chat.gemini is not None
        chat.gemini.fault("invented")
        said = await chat.ask("how rich am I?")

    assert "⚠️ Not from my books: $98,765.43, 4,321, 77%" in said.text
    assert "Said without a look into the books." in said.text


async def test_forged_drafts_become_no_buttons(tmp_path: Path) -> None:
    async with whole(tmp_path) as chat:
        assert chat.gemini is not None
        chat.gemini.fault("forged_draft")
        said = await chat.ask("do something")
    assert said.buttons == ()


async def test_an_answer_holds_nothing_to_tap(tmp_path: Path) -> None:
    async with whole(tmp_path) as chat:
        assert chat.gemini is not None
        chat.gemini.fault("tappable")
        said = await chat.ask("tell me")

    assert not {"url", "bot_command", "mention", "text_link"} & {e["type"] for e in said.content.api_entities()}
    assert "evil" not in said.text


@pytest.mark.parametrize("kind", ["safety", "rate_limit", "html", "drop", "endless", "silent", "malformed_call"])
async def test_without_an_answer_the_nearest_command_is_offered_with_the_reason(tmp_path: Path, kind: str) -> None:
    async with whole(tmp_path) as chat:
        assert chat.gemini is not None
        chat.gemini.fault(kind, times=9)
        said = await chat.ask("show me the positons please")

    assert said.text.startswith("Did you mean /positions?")
    assert "No answer in words: " in said.text
    assert said.button("/positions").callback_data == "new:positions"


async def test_a_service_that_hangs_is_given_up_and_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words_handlers, "THINKING_AFTER", 0.05)
    async with whole(tmp_path, timeout=0.3) as chat:
        assert chat.gemini is not None
        chat.gemini.fault("hang", seconds=30)
        thinking = await chat.ask("how did LINK do?")
        ended = await chat.phone.wait_for(lambda m: "No answer in words: no answer within 0.6 s" in m.text)
        assert (await chat.ask("/version")).text.startswith("Julaba"), "nothing else waits for it"

    assert ended.message_id == thinking.message_id
    assert thinking.text in ("💭 Looking into the books", ended.text)


async def test_what_words_have_cost_counts_with_the_opinions(tmp_path: Path) -> None:
    async with whole(tmp_path, daily_tokens=3_000) as chat:
        assert (await chat.ask("how did LINK do?")).text.startswith("💬")
        spent = await chat.ask("and ETH?")
        assert chat.at is not None
        mark = await chat.at.kept.ledger.mark("gemini_tokens")

    assert "No answer in words: today's tokens for questions are spent." in spent.text
    assert mark is not None
    assert int(mark.split()[1]) > 1_000


async def test_the_scoreboard_shows_what_words_have_cost(tmp_path: Path) -> None:
    async with whole(tmp_path) as chat:
        before = await chat.ask("/gemini")
        await chat.ask("how did LINK do?")
        after = await chat.ask("/gemini")

    assert "In words" not in before.text
    assert "In words: 1 question, " in after.text


def test_every_look_leads_to_a_command_that_there_is_and_that_anybody_may_use() -> None:
    for kind in LOOKS:
        command = find(kind.view)
        assert command is not None, kind.name
        assert command.role == "viewer", kind.name


# Who may, how often


@pytest.fixture
def talks(chat: World) -> World:
    chat.desk.topics.words.present = True
    chat.desk.topics.words.view = ANSWER
    return chat


async def test_the_first_sentence_is_the_first_line(talks: World) -> None:
    said = await talks.ask("how did SOL do this week?")
    assert said.text.splitlines() == [
        "💬 SOL made 84.20 USDT this week, on 3 trades.",
        "",
        "Two of them won.",
        "Looked at, with the figures used:",
        "trades (SOL/USDT, 7 days): net pnl usdt 84.2 · closed trades 3",
    ]


async def test_a_question_is_written_down_and_a_stranger_never_reaches_gemini(talks: World) -> None:
    await talks.ask("how did SOL do?", VIEWER)
    talks.phone.say(STRANGER, "how did SOL do?")
    assert await talks.quiet(STRANGER) == []

    assert [(r.user_id, r.text, r.allowed) for r in talks.desk.recorded[:2]] == [
        (VIEWER, "how did SOL do?", True),
        (STRANGER, "how did SOL do?", False),
    ]
    assert len(talks.desk.topics.words.asked) == 1


async def test_six_questions_a_minute_and_each_person_for_themselves(talks: World) -> None:
    said = [(await talks.ask(f"question {letter}?")).text for letter in "abcdefg"]
    assert [text.startswith("💬") for text in said] == [True] * 6 + [False]
    assert said[-1].startswith("🐢 That was a lot of questions; ask again in a minute.")
    assert (await talks.ask("and I?", VIEWER)).text.startswith("💬")
    assert (await talks.ask("/status")).text.startswith("📊")


async def test_an_answer_that_takes_its_time_is_announced_and_takes_that_place(
    talks: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words_handlers, "THINKING_AFTER", 0.05)
    talks.desk.topics.words.let.clear()
    thinking = await talks.ask("how did SOL do?")
    assert thinking.text == "💭 Looking into the books"
    assert (await talks.ask("/version")).text.startswith("Julaba")
    talks.desk.topics.words.let.set()
    answer = await talks.phone.wait_for(lambda m: m.text.startswith("💬"))
    assert answer.message_id == thinking.message_id
    assert ("sendchataction", "typing") in [(name, values.get("action")) for name, values in talks.phone.calls]


async def test_the_times_of_an_answer_are_of_whoever_asks_and_a_reply_says_what_it_is_about(talks: World) -> None:
    await talks.desk.topics.people.wish(Actor(OWNER, "You", "approver"), zone="Asia/Tokyo")
    status = await talks.ask("/status")
    await talks.ask("why is that so?", reply_to=status.message_id)

    (question,) = talks.desk.topics.words.asked
    assert talks.desk.topics.words.zones == ["Asia/Tokyo"]
    assert question.text == "why is that so?"
    assert question.about == status.text


async def test_yes_and_numbers_and_signs_are_no_questions(talks: World) -> None:
    for words in ("yes", "12", "?!", "👍"):
        await talks.ask(words)
    assert talks.desk.topics.words.asked == []


async def test_a_stop_in_the_middle_leaves_no_task_and_the_question_is_asked_again(talks: World) -> None:
    talks.desk.topics.words.let.clear()
    talks.phone.say(OWNER, "how did SOL do?")
    await talks.until(lambda: bool(talks.desk.topics.words.asked))
    assert talks.bot is not None
    await talks.bot.stop()
    assert not [t for t in asyncio.all_tasks() if t.get_name() in ("words", "typing", "answer in words")]
    assert len(talks.desk.kept) == 1, "it was not dealt with"
    talks.desk.topics.words.let.set()
    await talks.new_bot().start()
    assert (await talks.phone.wait_for(lambda m: m.text.startswith("💬"))).text


async def test_hostile_answers_do_no_harm(talks: World) -> None:
    talks.desk.topics.words.view = WordsView(
        "<b>&</blockquote>" * 40 + "\n" + "x " * 900, ANSWER.sources * 30, ("1",) * 99
    )
    said = await talks.ask("how?")
    assert "<b>&</blockquote>" in said.text


# What may be offered


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if not c.arguments or c.example.count(" ")], ids=lambda c: c.usage
)
def test_every_command_can_be_offered_as_its_example_has_it(command: Any) -> None:
    assert Offers("approver").refusal(command.example) == ""
    assert (Offers("viewer").refusal(command.example) == "") == (command.role == "viewer")


@pytest.mark.parametrize(
    "line",
    ["pause", "", "/", "/nothing", "/pause@other_bot", "/pause now", "/close LINK token 99", "/pair LINK off token 1",
     "/pair LINK <b>", "/close \u202eLINK", "/ml --0.25", "/ml " + "9" * 60],
)  # fmt: skip
def test_lines_that_are_no_command_of_the_table_are_not_offered(line: str) -> None:
    assert Offers("approver").refusal(line) != ""


def test_the_commands_listed_to_gemini_are_those_of_the_role() -> None:
    assert "/pause: " not in Offers("viewer").listing
    assert "/pause: " in Offers("operator").listing
