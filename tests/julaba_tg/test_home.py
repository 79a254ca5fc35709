"""Home as a new person meets it: what stands there, what helps now, and that every answer leads on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.config import Settings
from core.services.views import ApprovalView, MlView, PairView, StatusView
from julaba_tg.card import CAPTION_LIMIT, Card, html, plain, quote, shortened, text, units
from julaba_tg.commands import COMMANDS, allowed_to
from julaba_tg.keyboards import REFRESH
from julaba_tg.phone.chats import Message
from julaba_tg.rendering_help import GROUPS
from julaba_tg.rendering_home import Now, home, next_step, standing
from tests.fakes.desk import FakeDesk, a_pair, an_approval
from tests.julaba_tg.conftest import OWNER, VIEWER, World
from tests.julaba_tg.people import OPERATOR, ROLES, settled, three_roles, unhurried

ZONE = ZoneInfo("UTC")
SIX = ["📊 Status", "📂 Positions", "📒 Trades", "🔀 Pairs", "🧠 ML", "🗂 More"]


@pytest.fixture
def settings() -> Settings:
    return three_roles()


@pytest.fixture
async def chat(world: World) -> World:
    return await unhurried(world)


async def tapped(chat: World, message: Message, button: str, user: int = OWNER) -> Message:
    """What a tap leads to: the message itself where it was changed, else the new one."""
    before = max(m.message_id for m in chat.phone.messages(user))
    chat.phone.tap(user, message.message_id, message.button(button).callback_data)
    await settled(chat)
    new = [m for m in chat.phone.messages(user) if m.from_bot and m.message_id > before]
    return new[-1] if new else next(m for m in chat.phone.messages(user) if m.message_id == message.message_id)


# What helps now


async def now_of(status: dict[str, Any] | None = None, ml: dict[str, Any] | None = None, **changes: Any) -> Now:
    """A desk on which nothing at all is the matter, but for these."""
    desk = FakeDesk()
    view: StatusView = replace(await desk.status(), **{"gemini": "gemini-3.5 on", **(status or {})})
    usual = await desk.ml()
    assert usual.forecast is not None
    model: MlView = replace(usual, **{"forecast": replace(usual.forecast, opens=None), **(ml or {})})
    return replace(Now(view, model, (), "", "approver"), **changes)


def quiet_pair(note: str = "", enabled: bool = True) -> PairView:
    return a_pair("POL/USDT", enabled, note)


WAITING: tuple[ApprovalView, ...] = (an_approval(),)
STEPS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a fault": ({"status": {"faults": ("No candles since 12:00",)}}, "⚠️ No candles since 12:00.", "health"),
    "an approval": ({"waiting": WAITING}, "🗳 Waits for a yes or no: Let the model count 25%?", "approvals 3"),
    "nobody to tell": ({"alerts": "Alerts have nowhere to go."}, "Alerts have nowhere to go.", "health"),
    "a pause": ({"status": {"paused": "by Ann"}}, "⏸ Paused by Ann: no new trades. Resume when you like.", "resume"),
    "a viewer in a pause": (
        {"status": {"paused": "by Ann"}, "role": "viewer"},
        "⏸ Paused by Ann: no new trades. An operator can resume.",
        "status",
    ),
    "a pair that stopped": (
        {"status": {"pairs": (quiet_pair("no candle since 11:00"), a_pair())}},
        "⛔ POL: no candle since 11:00. The other pairs go on.",
        "pairs",
    ),
    "an open gate": ({"ml": {"state": "ready"}}, "The model has proven itself: it may be asked for a weight.", "ml"),
    "every pair off": (
        {"status": {"pairs": (quiet_pair("switched off by Ann", enabled=False),)}},
        "Every pair is switched off: switch one on to trade.",
        "pairs",
    ),
    "no key": (
        {"status": {"gemini": "off (no key)"}},
        "Nothing must be done; the rules decide alone. With a Gemini key (GEMINI_API_KEY in .env) each signal gets a "
        "second opinion.",
        "gemini",
    ),
    "a model that learns": (
        {"ml": {"state": "learning", "rows": 31}},
        "The model is learning, 31 of 50; it trains by itself. Nothing must be done.",
        "samples",
    ),
}


@pytest.mark.parametrize("what", STEPS)
async def test_the_one_step_that_helps_now(what: str) -> None:
    changes, sentence, line = STEPS[what]
    step = next_step(await now_of(**changes))
    assert (step.sentence, step.line) == (sentence, line)


async def test_when_all_is_well_the_gate_has_a_date() -> None:
    step = next_step(await now_of())
    assert step.sentence.startswith("Nothing must be done. The model is judged again at 100 outcomes: ")
    assert step.line == "opens"
    assert next_step(await now_of(role="viewer")).line == "ml"


async def test_a_gate_that_will_not_open_is_said_to_whoever_can_ask_for_another_rule() -> None:
    shut = (await FakeDesk().ml()).forecast
    assert shut is not None
    assert shut.opens is False
    assert next_step(await now_of(ml={"forecast": shut})).line == "opens"
    assert next_step(await now_of(ml={"forecast": shut}, role="viewer")).line == "ml"


async def test_what_needs_a_person_stands_before_what_could_be_done() -> None:
    everything = await now_of(
        {"faults": ("The disk is full",), "paused": "by Ann", "gemini": "off (no key)"}, waiting=WAITING
    )
    assert next_step(everything).line == "health"
    assert next_step(replace(everything, status=replace(everything.status, faults=()))).line == "approvals 3"


async def test_a_first_start_says_when_to_expect_something() -> None:
    now = await now_of({"trades_total": 0, "positions": ()})
    assert standing(now, ZONE).startswith("$10,240 on paper, no trade yet. Next close 12:15; signals come about every ")
    assert standing(now, ZONE).endswith(" for 2 pairs.")
    unknown = replace(now, ml=replace(now.ml, forecast=None))
    assert standing(unknown, ZONE) == "$10,240 on paper, no trade yet. Next close 12:15."


async def test_home_is_two_lines() -> None:
    assert (
        plain(home(await now_of(), ZONE)).splitlines()[0]
        == "🪙 Julaba · $10,240 · today +$31 · 1 open · next close 12:15"
    )
    assert len(plain(home(await now_of(), ZONE)).splitlines()) == 2


# In the chat


async def test_start_shows_six_buttons_below_what_helps_now(chat: World) -> None:
    start = await chat.ask("/start")
    assert [b.text for b in start.buttons] == ["🗳 Show the card", *SIX]
    card = await tapped(chat, start, "Show the card")
    assert card.text.startswith("🗳 Let the model count 25%?")
    assert {"Approve", "Reject"} <= {b.text for b in card.buttons}


async def test_a_link_with_a_payload_is_home_too(chat: World) -> None:
    assert (await chat.ask("/start ref_4711")).text.startswith("🪙 Julaba")


@pytest.mark.parametrize("user", ROLES)
async def test_more_shows_everything_a_role_may_use_in_one_message(chat: World, user: int) -> None:
    start = await chat.ask("/start", user)
    seen: set[str] = {b.text for b in start.buttons}
    more = await tapped(chat, start, "More", user)
    for title, _ in GROUPS.values():
        page = await tapped(chat, more, title, user)
        assert page.message_id == start.message_id
        seen |= {b.callback_data.removeprefix("new:") for b in page.buttons if b.callback_data}
        more = await tapped(chat, page, "⬅️ Back", user)
    wanted = {c.name for c in allowed_to(ROLES[user])} - {"start"}
    assert wanted <= seen
    assert not {c.name for c in COMMANDS} - wanted - {"start"} & seen
    assert (await tapped(chat, more, "⬅️ Back", user)).text.startswith("🪙 Julaba")


async def test_every_button_behind_more_leads_to_an_answer_or_a_choice(chat: World) -> None:
    more = await tapped(chat, await chat.ask("/start"), "More")
    for title, _ in GROUPS.values():
        page = await tapped(chat, more, title)
        for name in [b.text for b in page.buttons if b.text.startswith("/")]:
            before = max(m.message_id for m in chat.phone.messages())
            await tapped(chat, page, name)
            answers = [m for m in chat.phone.messages() if m.from_bot and m.message_id > before]
            assert any(m.buttons for m in answers), f"{name} leads nowhere: {[m.text for m in answers]}"
            assert not any("went wrong" in m.text for m in answers)
        more = await tapped(chat, page, "⬅️ Back")


@pytest.mark.parametrize("user", ROLES)
async def test_every_answer_leads_on(chat: World, user: int) -> None:
    for command in allowed_to(ROLES[user]):
        for line in (f"/{command.name}", command.example):
            before = max(m.message_id for m in [*chat.phone.messages(user), await chat.ask("/version", user)])
            chat.phone.say(user, line)
            await settled(chat)
            answers = [m for m in chat.phone.messages(user) if m.from_bot and m.message_id > before]
            ways = [b.text for m in answers for b in m.buttons if b.text != REFRESH]
            assert ways, f"{line} as {ROLES[user]}: {[m.text[:60] for m in answers]}"


async def test_help_is_reached_from_home_and_shows_an_example_that_can_be_tapped(chat: World) -> None:
    more = await tapped(chat, await chat.ask("/start"), "More")
    help_ = await tapped(chat, more, "Help")
    assert help_.text.startswith("❓ What you can say")
    one = await chat.ask("/help trades")
    assert "For example /trades 20" in one.text
    assert (await tapped(chat, one, "/trades")).text.startswith("📒")


async def test_a_command_nobody_knows_has_a_button_for_the_nearest_one(chat: World) -> None:
    unknown = await chat.ask("/statsu")
    assert (await tapped(chat, unknown, "/status")).text.startswith("📊")
    words = await chat.ask("show me the positons please")
    assert (await tapped(chat, words, "/positions")).text.startswith("📂")


async def test_the_nearest_one_is_not_run_where_it_would_change_something(chat: World) -> None:
    unknown = await chat.ask("/retrian")
    assert [b.callback_data for b in unknown.buttons] == ["new:help retrain", "new:start"]
    assert (await chat.ask("/xyzzy")).button("Help").callback_data == "new:help"


async def test_a_refusal_leads_on_too(chat: World) -> None:
    answer = await chat.ask("/trades many")
    assert answer.text.startswith("✋ 'many'")
    assert [b.text for b in answer.buttons] == ["/trades", "❓ All commands", "🪙 Home"]


async def test_a_viewer_is_shown_no_way_that_is_not_theirs(chat: World) -> None:
    positions = await chat.ask("/positions", VIEWER)
    assert "✖️ Close one" not in [b.text for b in positions.buttons]
    assert "✖️ Close one" in [b.text for b in (await chat.ask("/positions", OPERATOR)).buttons]


async def test_nobody_who_can_be_told_is_said_at_home(world: World) -> None:
    world.settings = world.settings.model_copy(
        update={"access": Settings.model_validate({"access": {"users": {VIEWER: "viewer"}}}).access}
    )
    world.desk.approvals = {}
    await world.new_bot().start()
    start = await world.ask("/start", VIEWER)
    assert "Alerts have nowhere to go: set telegram.chat_id, or an approver in access.users." in start.text


# The report and the stories


async def test_the_report_leads_to_the_stories_and_back(chat: World) -> None:
    report = await chat.ask("/report")
    today = await tapped(chat, report, "Today")
    assert today.text.splitlines()[0] == "🌇 The last 24 hours: +$31 · equity $10,240 · 2 trades"
    week = await tapped(chat, today, "This week")
    assert week.text.splitlines()[0] == "📖 The last 7 days: +$31 · equity $10,240 · 2 trades"
    assert (await tapped(chat, week, "Metrics")).text.startswith("📋")
    assert chat.desk.topics.stories.asked == ["day", "week"]


async def test_a_story_has_its_picture_and_is_refreshed_in_place(chat: World) -> None:
    today = await chat.ask("/report today")
    assert today.media is not None
    chat.desk.topics.stories.lines["day"] = ("Nothing new.",)
    again = await tapped(chat, today, "Refresh")
    assert again.message_id == today.message_id
    assert "Nothing new." in again.text


async def test_a_word_that_is_no_span_is_an_argument_error(chat: World) -> None:
    answer = await chat.ask("/report yesterday")
    assert answer.text.startswith("✋ 'yesterday' is neither today nor week.")


async def test_a_story_that_does_not_fit_under_its_picture_is_a_message_of_its_own(chat: World) -> None:
    chat.desk.topics.stories.lines["week"] = tuple(f"{n}: {'word ' * 12}" for n in range(30))
    chat.phone.say(OWNER, "/report week")
    await settled(chat)
    words, picture = [m for m in chat.phone.messages(OWNER) if m.from_bot]
    assert words.media is None
    assert "29: word" in words.text
    assert picture.media is not None
    again = await tapped(chat, words, "Refresh")
    assert again.message_id == words.message_id


async def test_a_picture_that_does_not_come_keeps_no_story(chat: World) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the worker died")

    chat.desk.topics.money.profit = broken  # type: ignore[method-assign,assignment]
    today = await chat.ask("/report today")
    assert today.media is None
    assert today.text.startswith("🌇")


# Captions


def long_card(lines: int) -> Card:
    words, layers = (f"{n}. {'word ' * 10}" for n in range(lines)), [f"layer {n}" for n in range(9)]
    return Card("A title", (text(words), quote(layers)))


@pytest.mark.parametrize("lines", [1, 10, 16, 17, 18, 19, 20, 40])
def test_a_caption_leaves_out_whole_lines_and_says_so(lines: int) -> None:
    whole = plain(long_card(lines)).splitlines()
    shown = plain(shortened(long_card(lines))).splitlines()
    assert units(html(shortened(long_card(lines)))) <= CAPTION_LIMIT
    if shown[-1] == "…":
        assert shown[:-1] == whole[: len(shown) - 1]
        assert units(html(long_card(lines))) > CAPTION_LIMIT
    else:
        assert shown == whole


def test_a_card_that_fits_stays_as_it_is() -> None:
    assert shortened(long_card(3)) == long_card(3)


def test_every_group_has_a_page() -> None:
    assert set(GROUPS) == {c.group for c in COMMANDS}
