"""The whole command table, as everybody would try it: by role, with wrong words, and every button there is.

It reads ``COMMANDS``, so that a command is held to this from the moment it is in the table.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from core.config import Settings
from julaba_tg.commands import COMMANDS, Command, may
from julaba_tg.phone.chats import Button, Message
from tests.julaba_tg.conftest import OWNER, STRANGER, VIEWER, World
from tests.julaba_tg.people import LATER, ROLES, SORRY, settled, state, three_roles, unhurried

GONE = "no longer valid"
LINES = pytest.mark.parametrize("line", COMMANDS, ids=lambda c: c.example)
NAMES = sorted({c.name for c in COMMANDS})


@pytest.fixture
def settings() -> Settings:
    return three_roles()


@pytest.fixture
async def chat(world: World) -> World:
    return await unhurried(world)


def test_the_state_of_a_desk_tells_a_change_in_a_topic_too() -> None:
    from tests.fakes.desk import FakeDesk

    one, other = FakeDesk(), FakeDesk()
    before = state(one)
    other.switches["LINK/USDT"] = False
    assert state(other)["switches"] != before["switches"]
    one.paused = "by Ann"
    assert state(one) != before
    assert set(before["topics"]) >= {"steering", "people"}


async def told(chat: World, words: str, user: int) -> list[Message]:
    """All that the bot says to this, as it stands in the end."""
    before = max((m.message_id for m in chat.phone.messages(user)), default=0)
    chat.phone.say(user, words)
    await settled(chat)
    return [m for m in chat.phone.messages(user) if m.from_bot and m.message_id > before]


def shown(messages: Iterable[Message]) -> str:
    """Everything that stood in these messages at any time."""
    return "\n".join(words for m in messages for words in (*m.history, m.text))


@LINES
async def test_who_may_is_answered_and_who_may_not_is_refused_once(
    chat: World, line: Command, caplog: pytest.LogCaptureFixture
) -> None:
    for user, role in ROLES.items():
        before, known = state(chat.desk), len(chat.desk.recorded)
        answers = await told(chat, line.example, user)
        if may(role, line.role):
            assert answers, f"{line.example} by {role}: no answer"
            assert all(m.text.strip() or m.media for m in answers)
            assert SORRY not in shown(answers)
            assert not answers[0].text.startswith("✋ /"), answers[0].text
        else:
            article, own = ("an" if name[0] in "aeiou" else "a" for name in (line.role, role))
            name = line.example.split()[0]
            assert [m.text for m in answers] == [f"✋ {name} needs {article} {line.role}; you are {own} {role}."]
            assert state(chat.desk) == before
        record = chat.desk.recorded[known]
        assert (record.user_id, record.text, record.allowed) == (user, line.example, may(role, line.role))
    assert "Telegram refused" not in caplog.text
    assert not [r for r in caplog.records if r.levelname == "ERROR"]


@LINES
async def test_a_stranger_hears_nothing_and_is_written_down(chat: World, line: Command) -> None:
    before = state(chat.desk)
    assert await told(chat, line.example, STRANGER) == []
    assert state(chat.desk) == before
    assert [(r.user_id, r.text, r.allowed) for r in chat.desk.recorded] == [(STRANGER, line.example, False)]


@LINES
async def test_a_forged_tap_needs_the_same_role_as_the_words(chat: World, line: Command) -> None:
    home = await chat.ask("/start", VIEWER)
    before = state(chat.desk)
    for verb in ("go", "new"):
        tap = chat.phone.tap(VIEWER, home.message_id, f"{verb}:{line.example.removeprefix('/')}")
        stray = chat.phone.tap(STRANGER, home.message_id, f"{verb}:{line.example.removeprefix('/')}")
        await settled(chat)
        if not may("viewer", line.role):
            answer = await chat.phone.wait_answer(tap)
            assert answer["show_alert"]
            assert line.role in answer["text"]
            assert state(chat.desk) == before
        assert chat.phone.answer(stray) is None
    assert SORRY not in shown(chat.phone.messages(VIEWER))


RUBBISH = ("", "?", "-1", "💥 </b> &amp; \u202e", "99999999999999999999", "a b c d e f g h", "x" * 4000, "../../etc")


@pytest.mark.parametrize("name", NAMES)
async def test_wrong_words_end_in_the_usage_or_in_a_choice_and_never_in_an_apology(chat: World, name: str) -> None:
    usages = [c.usage for c in COMMANDS if c.name == name]
    takes = any(c.arguments for c in COMMANDS if c.name == name)
    for rubbish in RUBBISH:
        answers = await told(chat, f"/{name} {rubbish}".strip(), OWNER)
        words = shown(answers)
        assert answers, f"/{name} {rubbish[:20]}: no answer"
        assert SORRY not in words
        if takes and rubbish:
            helped = any(f"Usage: {usage}" in words for usage in usages) or any(m.buttons for m in answers)
            assert helped or words.startswith(("✋", "I do not know")), words[:200]


# Buttons.


async def tapped(chat: World, message: Message, button: Button) -> list[Message]:
    """What a tap leads to: what was said anew, or else the message itself."""
    before = max(m.message_id for m in chat.phone.messages(message.chat_id))
    tap = chat.phone.tap(OWNER, message.message_id, button.callback_data)
    await chat.phone.wait_answer(tap, LATER)
    await settled(chat)
    new = [m for m in chat.phone.messages(OWNER) if m.from_bot and m.message_id > before]
    here = chat.phone.chats.message(message.chat_id, message.message_id)
    return [*new, *([here] if here else [])]


DEEP, MOST = 4, 400


async def test_every_button_there_is_can_be_tapped(chat: World, caplog: pytest.LogCaptureFixture) -> None:
    """From /start, and from whatever a tap shows: breadth first, each kind of button once."""
    todo = [(0, m, b) for m in await told(chat, "/start", OWNER) for b in m.buttons]
    seen: set[str] = set()
    while todo and len(seen) < MOST:
        depth, message, button = todo.pop(0)
        if button.callback_data is None or button.callback_data in seen:
            continue
        seen.add(button.callback_data)
        found = await tapped(chat, message, button)
        words = shown(found)
        assert SORRY not in words, f"{button.text} ({button.callback_data})"
        assert GONE not in words, f"{button.text} ({button.callback_data})"
        if depth < DEEP:
            todo += [(depth + 1, m, b) for m in found for b in m.buttons]
    assert len(seen) > 20, "the home has lost its buttons"
    assert not [r for r in caplog.records if r.levelname == "ERROR"]
    assert "Telegram refused" not in caplog.text


VIEWS = [c for c in COMMANDS if not c.changes]


@pytest.mark.parametrize("line", VIEWS, ids=lambda c: c.example)
async def test_a_refresh_edits_in_place(chat: World, line: Command) -> None:
    for view in await told(chat, line.example, OWNER):
        for button in (b for b in view.buttons if "Refresh" in b.text):
            count = len(chat.phone.messages(OWNER))
            (after,) = await tapped(chat, view, button)
            assert len(chat.phone.messages(OWNER)) == count
            assert [b.text for b in after.buttons if "Refresh" in b.text] == [button.text]
