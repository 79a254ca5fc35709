"""How loud, in whose time, with whose numbers: what each person sets by phone, as they would read it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from telegram import InlineKeyboardButton, InlineKeyboardMarkup

from core.adapters.sqlite_people import SqlitePeople
from core.config import LoudKind, Notify
from core.services.changes import changed
from core.services.people import People
from julaba_tg.card import card
from julaba_tg.commands import find
from julaba_tg.incoming import role_for
from julaba_tg.parsing import Typed
from julaba_tg.phone.chats import Message
from julaba_tg.phone.clock import wall_now
from julaba_tg.rendering_people import kinds
from julaba_tg.sending import Outgoing
from julaba_tg.wishes import Voice, in_voice
from tests.fakes.desk import a_closing, a_refusal, an_approval
from tests.julaba_tg.conftest import OWNER, STRANGER, VIEWER, World
from tests.julaba_tg.line import Line, a_line, make_hasty, notice


async def tapped(chat: World, message: Message, label: str, user: int = OWNER) -> Message:
    """The message as it stands after a tap on one of its buttons."""
    before = len(message.history)
    chat.phone.tap(user, message.message_id, message.button(label).callback_data)
    return await chat.phone.wait_for(
        lambda m: m.message_id == message.message_id and len(m.history) > before, chat_id=user
    )


def first(message: Message) -> str:
    return message.text.splitlines()[0]


def notify(chat: World) -> Notify:
    return chat.desk.topics.steering.settings.notify


# How somebody is talked to


async def test_two_people_read_the_same_minute_in_their_own_time_and_numbers(chat: World) -> None:
    await chat.ask("/notify zone Europe/Berlin")
    await chat.ask("/notify numbers de")
    await chat.ask("/notify zone new york", VIEWER)
    mine, theirs = await chat.ask("/status"), await chat.ask("/status", VIEWER)

    assert first(mine) == "📊 $10.240 · today (UTC) +$31 · 1 open · running"
    assert "LINK LONG 17,48 → 17,61 · +0,34R" in mine.text
    assert "Last close 13:00, next 13:15 (Europe/Berlin)" in mine.text
    assert first(theirs) == "📊 $10,240 · today (UTC) +$31 · 1 open · running"
    assert "LINK LONG 17.48 → 17.61 · +0.34R" in theirs.text
    assert "Last close 07:00, next 07:15 (America/New_York)" in theirs.text


async def test_every_view_with_times_is_in_the_persons_zone(chat: World) -> None:
    await chat.ask("/notify zone Asia/Tokyo")
    chat.desk.approvals[3] = an_approval(3)
    said = {
        name: (await chat.ask(f"/{name}")).text for name in ("positions", "trades", "health", "approvals", "models")
    }

    assert "since 21 Nov 20:00" in said["positions"]
    assert "21 Nov 19:00" in said["trades"]
    assert "(Asia/Tokyo)" in said["health"]
    assert "21:00" in said["approvals"]


async def test_a_refresh_and_an_answer_under_a_button_keep_the_persons_numbers(chat: World) -> None:
    await chat.ask("/notify numbers fr")
    status = await chat.ask("/status")
    chat.desk.paused = "by hand"

    assert first(await tapped(chat, status, "Refresh")).startswith("📊 $10\u00a0240 · today +$31")


async def test_an_answered_card_says_when_in_the_persons_zone(chat: World) -> None:
    await chat.ask("/notify zone Asia/Kolkata")
    card = await chat.ask("/approvals 3") if chat.desk.approvals.setdefault(3, an_approval(3)) else None
    assert card is not None
    assert "17:30" in card.text
    ended = await tapped(chat, card, "Approve")

    assert first(ended).startswith("✅ Approved by You")
    assert "17:30" in first(ended)


async def test_a_card_is_ended_for_whoever_reads_it_and_the_answer_is_for_who_gave_it(world: World) -> None:
    access = world.settings.access.model_copy(update={"users": {OWNER: "approver", VIEWER: "approver"}})
    world.settings = world.settings.model_copy(update={"access": access})
    await world.new_bot().start()
    world.desk.approvals[3] = an_approval(3)
    mine = await world.ask("/approvals 3")
    await world.ask("/notify zone Asia/Kolkata", VIEWER)
    theirs = await world.ask("/approvals 3", VIEWER)  # the newest is the card
    world.phone.tap(OWNER, mine.message_id, mine.button("Approve").callback_data)
    ended = await world.phone.wait_for(
        lambda m: m.message_id == theirs.message_id and "Approved" in m.text, chat_id=VIEWER
    )

    assert "21 Nov 17:30" in first(ended)
    assert "21 Nov 17:30" not in "".join(m.text for m in world.phone.messages(OWNER))


def test_the_labels_of_buttons_are_written_so_too_and_what_they_do_is_not() -> None:
    keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("Ask 0.25: +0.12R", callback_data="new:ml 0.25")]])
    said = in_voice(Outgoing(card("1.5"), keyboard), Voice(ZoneInfo("UTC"), "de"))

    assert said.keyboard is not None
    button = said.keyboard.inline_keyboard[0][0]
    assert (button.text, button.callback_data) == ("Ask 0,25: +0,12R", "new:ml 0.25")
    assert in_voice(replace(said, numbers="en"), Voice(ZoneInfo("UTC"), "fr")).numbers == "en"


async def test_numbers_are_chosen_by_a_button_that_shows_them_and_typed_with_a_comma(chat: World) -> None:
    choice = await chat.ask("/notify numbers")
    assert [b.text for b in choice.buttons[:3]] == ["✅ en·1,234.56", "de·1.234,56", "fr·1 234,56"]
    chosen = await tapped(chat, choice, "de·")
    assert first(chosen) == "🔢 Numbers: 1.234,56"
    again = await chat.ask("/notify numbers")
    assert [b.text for b in again.buttons[:3]] == ["en·1,234.56", "✅ de·1.234,56", "fr·1 234,56"]
    await chat.ask("/ml 0,25")

    assert chat.desk.weights == [0.25]


async def test_usage_lines_are_left_as_they_must_be_typed(chat: World) -> None:
    await chat.ask("/notify numbers de")
    refused = await chat.ask("/ml heavy")

    assert refused.text.endswith("Usage: /ml WEIGHT, for example /ml 0.25")


async def test_a_zone_nobody_knows_is_answered_with_the_nearest_names(chat: World) -> None:
    offered = await chat.ask("/notify zone berln")
    assert first(offered) == "🕰 I know no zone 'berln'. Did you mean Europe/Berlin?"
    chosen = await tapped(chat, offered, "Berlin")

    assert first(chosen).startswith("🕰 Berlin: ")
    assert (await chat.desk.topics.people.of(OWNER)).zone == "Europe/Berlin"


@pytest.mark.parametrize("typed", ["berlin", "EUROPE/BERLIN", "europe/berlin"])
async def test_a_city_is_enough(chat: World, typed: str) -> None:
    assert first(await chat.ask(f"/notify zone {typed}")).startswith("🕰 Berlin: ")


async def test_without_a_name_the_zones_are_buttons_that_show_what_time_it_is_there(chat: World) -> None:
    choice = await chat.ask("/notify zone")
    kolkata = choice.button("Kolkata")

    assert kolkata.text.split()[0] == (chat.now() + timedelta(hours=5, minutes=30)).strftime("%H:%M")
    assert all(len((b.callback_data or "").encode()) <= 64 for b in choice.buttons)


async def test_what_a_person_chose_is_known_after_a_restart_and_to_nobody_else(line: Line) -> None:
    def opened() -> People:
        return People(line.settings, SqlitePeople(line.kept.db))

    line.desk.topics.people = opened()
    await line.start()
    line.phone.say(OWNER, "/notify zone Asia/Tokyo")
    await line.phone.wait_for(lambda m: m.text.startswith("🕰 Tokyo"))
    line.phone.say(OWNER, "/notify numbers de")
    await line.phone.wait_for(lambda m: m.text.startswith("🔢 Numbers: 1.234,56"))
    await line.stop()
    line.desk.topics.people = opened()
    await line.start()
    for user in (OWNER, VIEWER):
        line.phone.say(user, "/status")

    assert "(Asia/Tokyo)" in (await line.phone.wait_for(lambda m: m.text.startswith("📊 $10.240"))).text
    assert "(UTC)" in (await line.phone.wait_for(lambda m: m.text.startswith("📊 $10,240"), chat_id=VIEWER)).text


# How loud


async def test_notify_says_how_loud_each_kind_of_news_is(chat: World) -> None:
    view = await chat.ask("/notify")

    assert first(view) == "🔔 4 loud, 4 silent"
    assert "🔔 loud    opened, closed, approval, fault" in view.text
    assert "No quiet hours: what is loud rings at any time." in view.text
    assert all(any(kind in b.text for b in view.buttons) for kind in kinds())


async def test_a_kind_goes_through_its_levels_in_place(chat: World) -> None:
    view = await chat.ask("/notify")
    seen = []
    for _ in range(3):
        view = await tapped(chat, view, "target")
        seen.append(first(view))

    assert seen == ["🚫 target: none", "🔔 target: loud", "🔕 target: silent"]
    assert notify(chat).target == "silent"


async def test_a_level_is_typed(chat: World) -> None:
    assert first(await chat.ask("/notify signal none")) == "🚫 signal: none"
    assert notify(chat).signal == "none"
    assert [b.text for b in (await chat.ask("/notify signal")).buttons[:3]] == ["🔔 loud", "🔕 silent", "🚫 none"]


@pytest.mark.parametrize("kind", ["fault", "approval"])
async def test_silence_about_what_must_be_heard_is_asked_back(chat: World, kind: str) -> None:
    asked = await chat.ask(f"/notify {kind} none")
    assert first(asked) == f"🚫 Tell nothing of {kind} at all?"
    assert getattr(notify(chat), kind) == "loud"
    done = await tapped(chat, asked, "Tell nothing")

    assert first(done) == f"🚫 {kind}: none"
    assert getattr(notify(chat), kind) == "none"


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("/notify signals none", "'signals' is no kind of news"),
        ("/notify signal laut", "'laut' is none of loud, silent and none"),
        ("/notify signal none please", "'none' is none of"),
        ("/notify quiet 25-7", "are no hours"),
        ("/notify quiet 7-7", "begins and ends at the same minute"),
        ("/notify ring digest", "on or off"),
        ("/notify ring thunder on", "needs a kind of news"),
        ("/notify numbers xx", "none of en, de and fr"),
        ("/notify weekly 9:30", "needs a day and a time"),
        ("/notify daily 24:00", "is not a time of day"),
    ],
)
async def test_what_cannot_be_is_a_sentence_with_the_usage(chat: World, typed: str, answer: str) -> None:
    before = notify(chat)
    refused = (await chat.ask(typed)).text

    assert answer in refused
    assert "\nUsage: /notify " in refused
    assert notify(chat) == before


# Quiet hours


@pytest.mark.parametrize("typed", ["22:00-07:00", "22-7", "22:00 – 7:00", "22 to 7"])
async def test_quiet_hours_are_typed_as_people_write_them(chat: World, typed: str) -> None:
    chat.skipped = datetime.fromisoformat("2026-11-21T20:30:00+00:00") - wall_now()
    answer = await chat.ask(f"/notify quiet {typed}")

    assert notify(chat).quiet_hours == "22:00-07:00"
    assert first(answer) == "🌙 Quiet hours 22:00–07:00 · quiet from 22:00"
    assert "Next quiet from 21 Nov 22:00 (in 1h30) until 07:00. Then only approval and fault may ring." in answer.text
    off = await chat.ask("/notify quiet off")
    assert first(off) == "🔔 No quiet hours any more"
    assert notify(chat).quiet_hours == ""


async def test_quiet_hours_are_tapped(chat: World) -> None:
    changed = await tapped(chat, await chat.ask("/notify quiet"), "23:00–07:00")

    assert notify(chat).quiet_hours == "23:00-07:00"
    assert first(changed).startswith("🌙 Quiet hours 23:00–07:00")


async def test_they_are_those_of_the_chat_and_are_said_in_the_readers_time(chat: World) -> None:
    chat.skipped = datetime.fromisoformat("2026-11-21T20:30:00+00:00") - wall_now()
    await chat.ask("/notify zone Europe/Berlin")  # the owner's, in whose chat it is quiet
    await chat.ask("/notify quiet 22-7")
    await chat.ask("/notify zone Asia/Tokyo", VIEWER)
    theirs = (await chat.ask("/notify", VIEWER)).text

    assert "Quiet hours 22:00–07:00 (Europe/Berlin). Next quiet from 22 Nov 06:00 (in 30m) until 15:00." in theirs


async def test_what_rings_then_is_switched_by_buttons(chat: World) -> None:
    choice = await chat.ask("/notify ring")
    choice = await tapped(chat, choice, "⛔ opened")
    assert notify(chat).quiet_loud == ("opened", "approval", "fault")
    choice = await tapped(chat, choice, "✅ fault")
    choice = await tapped(chat, choice, "✅ approval")
    await tapped(chat, choice, "✅ opened")

    assert notify(chat).quiet_loud == ()
    assert "Then nothing rings." in (await chat.ask("/notify quiet 22-7")).text


async def test_what_may_ring_and_is_not_loud_is_not_said_to_ring(chat: World) -> None:
    await chat.ask("/notify fault silent")

    assert "Then only approval may ring." in (await chat.ask("/notify quiet 22-7")).text


async def test_when_the_stories_come_is_typed_or_tapped(chat: World) -> None:
    assert first(await chat.ask("/notify daily 8:30")) == "📰 Daily story: 08:30"
    await tapped(chat, await chat.ask("/notify weekly"), "Sat 10:00")
    assert (notify(chat).daily_at, notify(chat).weekly_at) == ("08:30", "sat 10:00")
    await chat.ask("/notify weekly off")

    assert notify(chat).weekly_at == ""


# Who may


async def test_a_viewer_looks_and_sets_only_what_is_their_own(chat: World) -> None:
    before = notify(chat)
    view = await chat.ask("/notify", VIEWER)
    assert [b.text for b in view.buttons] == ["🕰 My time zone", "🔢 My numbers", "🔄 Refresh"]
    refused = (
        "/notify signal none",
        "/notify quiet off",
        "/notify quiet",
        "/notify ring fault off",
        "/notify daily off",
    )
    for typed in refused:
        assert "needs an operator" in (await chat.ask(typed, VIEWER)).text
    for forged in ("go:notify signal none", "go:notify QUIET off", "go:notify fault none yes"):
        tap = chat.phone.tap(VIEWER, view.message_id, forged)
        assert "needs an operator" in (await chat.phone.wait_answer(tap))["text"]
    chosen = await tapped(chat, await chat.ask("/notify numbers", VIEWER), "fr·", VIEWER)

    assert first(chosen) == "🔢 Numbers: 1\u00a0234,56"
    assert notify(chat) == before
    assert (await chat.desk.topics.people.of(OWNER)).numbers == "en"


async def test_a_stranger_is_told_nothing_and_sets_nothing(chat: World) -> None:
    for typed in ("/notify", "/notify zone Asia/Tokyo", "/notify signal none"):
        chat.phone.say(STRANGER, typed)

    assert await chat.quiet(STRANGER) == []
    assert (await chat.desk.topics.people.of(STRANGER)).zone == "UTC"


@pytest.mark.parametrize(
    ("words", "role"),
    [((), "viewer"), (("zone",), "viewer"), (("ZONE", "utc"), "viewer"), (("numbers", "de"), "viewer")]
    + [((word,), "operator") for word in ("quiet", "ring", "daily", "weekly", "fault", "zones", "")],
)
def test_whose_a_word_is_the_table_says(words: tuple[str, ...], role: str) -> None:
    assert role_for(Typed("notify", words)) == role
    command = find("notify", words)
    assert command is not None
    assert command.word in ("", words[0].lower() if words else "")


def test_every_kind_that_can_ring_has_a_level() -> None:
    assert set(get_args(LoudKind)) == set(kinds())


# Alerts


async def test_an_alert_comes_in_the_time_and_numbers_of_whose_chat_it_is(chat: World) -> None:
    await chat.ask("/notify zone Asia/Tokyo")
    await chat.ask("/notify numbers de")
    chat.outbox.put(a_refusal(9), a_closing(7))
    refused = await chat.phone.wait_for(lambda m: "refused: 1h down" in m.text)
    closed = await chat.phone.wait_for(lambda m: "LINK LONG closed" in m.text)

    assert "at 21 Nov 21:00" in refused.text
    assert first(closed).startswith("🟢 LINK LONG closed +$22,10 · +0,18R")


async def waiting(line: Line, *events: object, meanwhile: dict[str, object]) -> None:
    """Events that wait in the store while the phone is away, and what is set before it comes back."""
    host, port = line.phone.base_url.removeprefix("http://").split(":")
    await line.phone.stop()
    await line.publish(*events)  # type: ignore[arg-type]
    await asyncio.sleep(0.15)
    steering = line.desk.topics.steering
    steering.settings = changed(steering.settings, meanwhile)
    await line.phone.start(host, int(port))
    await line.drained()


async def test_quiet_hours_set_while_an_alert_waits_make_it_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hasty(monkeypatch)
    async with a_line(tmp_path) as line:
        await line.start()
        now = line.now()
        hours = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=1):%H:%M}"
        await waiting(line, a_closing(7), meanwhile={"notify.quiet_hours": hours})
        await waiting(line, a_closing(8), meanwhile={"notify.quiet_loud": ["closed"]})
        await waiting(line, a_closing(9), meanwhile={"notify.closed": "silent"})
        await waiting(line, notice("fault", "x", "The disk is full", 1), meanwhile={"notify.quiet_loud": ["fault"]})
        await waiting(line, a_refusal(9), meanwhile={"notify.signal": "none"})

        assert [m.silent for m in line.said()] == [True, False, True, False]


async def test_quiet_hours_follow_the_zone_of_whose_chat_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_hasty(monkeypatch)
    async with a_line(tmp_path, quiet_hours="22:00-07:00") as line:
        line.skipped = (wall_now() + timedelta(days=1)).replace(hour=12, minute=0) - wall_now()  # noon UTC
        await line.start()
        await line.publish(a_closing(7))
        await line.drained()
        line.phone.say(OWNER, "/notify zone Pacific/Auckland")  # past midnight
        await line.phone.wait_for(lambda m: m.text.startswith("🕰 Auckland"))
        await line.publish(a_closing(8))
        await line.drained()

        assert [m.silent for m in line.said() if "closed" in m.text.splitlines()[0]] == [False, True]
