"""``/close`` and ``/panic`` on a phone: shown first, done once, by who may, and only what was shown."""

from __future__ import annotations

from datetime import timedelta

from telegram import Update

from core.services.manual import ClosePlan, CloseResult
from julaba_tg import rendering_closing
from julaba_tg.card import html, units
from julaba_tg.closing_handlers import Shown
from julaba_tg.commands import COMMANDS
from julaba_tg.incoming import Ask, Number, Words, read
from julaba_tg.phone.chats import Message
from julaba_tg.ports import MessageRef
from tests.fakes import closing
from tests.fakes.desk import NOON
from tests.julaba_tg.conftest import OWNER, STRANGER, VIEWER, World

LATER = timedelta(minutes=11)


async def told(chat: World, what: str, after: int = 0) -> Message:
    return await chat.phone.wait_for(lambda m: what in m.text, after=after)


def tap(chat: World, shown: Message, words: str, user: int = OWNER) -> None:
    data = shown.button(words).callback_data
    assert data is not None
    chat.phone.tap(user, shown.message_id, data)


# -- /close --


async def test_close_shows_what_it_would_make_and_a_tap_closes_it_in_place(chat: World) -> None:
    shown = await chat.ask("/close link")
    before = list(chat.desk.closed_by)
    tap(chat, shown, "Close LINK")
    done = await told(chat, "closed +")

    assert shown.text.splitlines()[0] == "✋ Close LINK LONG? +$41.05"
    assert "LINK LONG #7 · +$41.05 · +0.34R" in shown.text
    assert "315.8 at 17.61 (entry 17.48), price 20s old" in shown.text
    assert shown.button("Close LINK").style == "danger"
    assert before == []
    assert (done.message_id, done.text.splitlines()[0]) == (shown.message_id, "✋ LINK LONG closed +$41.05")
    assert "Equity $10,281. New trades go on." in done.text
    assert [(c.pair) for c in chat.desk.closings] == ["ETH/USDT", "SOL/USDT"]
    assert [pair for _, pair in chat.desk.closed_by] == ["LINK/USDT"]


async def test_an_old_price_is_marked(chat: World) -> None:
    shown = await chat.ask("/close ETH")

    assert "⚠️ price 15m old" in shown.text


async def test_a_second_tap_closes_nothing_and_leaves_the_first_answer(chat: World) -> None:
    shown = await chat.ask("/close LINK")
    tap(chat, shown, "Close LINK")
    tap(chat, shown, "Close LINK")
    said = await told(chat, "Nothing is open in LINK/USDT")

    assert said.message_id != shown.message_id
    assert "closed +$41.05" in (await told(chat, "closed")).text
    assert len(chat.desk.closed_by) == 1


async def test_a_trade_that_changed_meanwhile_is_shown_anew_before_anything_is_closed(chat: World) -> None:
    shown = await chat.ask("/close LINK")
    chat.desk.closings = (closing.a_closing_trade(11, "LINK/USDT"),)
    tap(chat, shown, "Close LINK")
    anew = await told(chat, "This is how it is now")
    tap(chat, anew, "Close LINK")
    await told(chat, "closed +$41.05")

    assert anew.message_id != shown.message_id
    assert "has changed since it was shown" in anew.text
    assert "#11" in anew.text
    assert len(chat.desk.closed_by) == 1


async def test_a_preview_is_good_for_ten_minutes(chat: World) -> None:
    shown = await chat.ask("/close LINK")
    chat.skipped = LATER
    tap(chat, shown, "Close LINK")
    anew = await told(chat, "That preview was too old")

    assert chat.desk.closed_by == []
    assert anew.button("Close LINK")


async def test_a_forged_tap_closes_nothing(chat: World) -> None:
    shown = await chat.ask("/close LINK")
    now = int(chat.now().timestamp())
    for data in (
        f"go:close LINK/USDT wrong {now}",
        "go:close LINK/USDT t7 99999999999999",
        "go:close LINK/USDT t7 ٣",
        "go:close LINK/USDT t7",
        "go:close LINK/USDT t7 1 2",
    ):
        chat.phone.tap(OWNER, shown.message_id, data)
    chat.phone.tap(VIEWER, shown.message_id, f"go:close LINK/USDT t7 {now}")
    await chat.quiet()

    assert chat.desk.closed_by == []


async def test_a_preview_outlives_a_restart(chat: World) -> None:
    shown = await chat.ask("/close LINK")
    assert chat.bot is not None
    await chat.bot.stop()
    await chat.new_bot().start()
    tap(chat, shown, "Close LINK")
    await told(chat, "closed +$41.05")

    assert len(chat.desk.closed_by) == 1


async def test_close_without_a_pair_has_a_button_for_each_open_trade(chat: World) -> None:
    asked = await chat.ask("/close")
    assert asked.text.startswith("✖️ Close which trade?")
    labels = [b.text for row in asked.keyboard for b in row]
    assert labels == [f"✖️ {p.pair.partition('/')[0]}" for p in chat.desk.position_views]
    tap(chat, asked, labels[0])
    await told(chat, "Nothing is closed before you tap.")
    chat.desk.position_views = ()
    assert (await chat.ask("/close")).text == "📂 No open trade to close"
    assert chat.desk.closed_by == []


async def test_close_wants_one_pair_and_says_where_nothing_is_open(chat: World) -> None:
    assert (await chat.ask("/close AVAX")).text == "✋ Nothing is open in AVAX/USDT"
    assert "That is more than a pair." in (await chat.ask("/close LINK now")).text


# -- /panic --


async def test_panic_shows_everything_and_the_typed_number_closes_it_and_pauses(chat: World) -> None:
    shown = await chat.ask("/panic")
    done = await chat.ask("3")

    assert shown.text.splitlines()[0] == "🛑 Close 3 trades and pause? -$20.10"
    assert "Type 3 to close all of them and pause new trades." in shown.text
    assert all(f"#{n}" in shown.text for n in (7, 8, 9))
    assert not [b for b in shown.buttons if "close" in b.text.lower()], "a tap must not do it"
    assert done.text.splitlines()[0] == "🛑 3 trades closed -$20.10"
    assert "New trades are paused; /resume ends it." in done.text
    assert chat.desk.paused.startswith("panic by ")
    assert chat.desk.closings == ()


async def test_any_other_number_closes_nothing(chat: World) -> None:
    await chat.ask("/panic")

    assert (await chat.ask("2")).text.splitlines() == [
        "✋ 2 is not 3: nothing was closed",
        "3 trades would be. Type 3, or let it be.",
    ]
    assert "I only know commands" in (await chat.ask("three")).text
    assert chat.desk.closed_by == []


async def test_a_number_out_of_the_blue_is_only_words(chat: World) -> None:
    assert "I only know commands" in (await chat.ask("3")).text
    assert chat.desk.closed_by == []


async def test_a_number_typed_twice_closes_once(chat: World) -> None:
    await chat.ask("/panic")
    await chat.ask("3")
    again = await chat.ask("3")

    assert "I only know commands" in again.text
    assert len(chat.desk.closed_by) == 1


async def test_two_numbers_at_once_close_once(chat: World) -> None:
    await chat.ask("/panic")
    chat.phone.say(OWNER, "3")
    chat.phone.say(OWNER, "3")
    await told(chat, "3 trades closed")
    await chat.quiet()

    assert len(chat.desk.closed_by) == 1


async def test_a_trade_closed_meanwhile_is_shown_anew_before_anything_is_closed(chat: World) -> None:
    await chat.ask("/panic")
    chat.desk.closings = chat.desk.closings[:2]
    anew = await chat.ask("3")

    assert "has changed since it was shown" in anew.text
    assert "Type 2 to close all of them" in anew.text
    assert chat.desk.closed_by == []
    assert (await chat.ask("2")).text.splitlines()[0] == "🛑 2 trades closed -$20.25"


async def test_as_many_trades_but_others_are_shown_anew(chat: World) -> None:
    await chat.ask("/panic")
    chat.desk.closings = (*chat.desk.closings[:2], closing.a_closing_trade(12, "AVAX/USDT"))

    assert "#12" in (await chat.ask("3")).text
    assert chat.desk.closed_by == []


async def test_an_answer_after_ten_minutes_is_asked_back(chat: World) -> None:
    await chat.ask("/panic")
    chat.skipped = LATER
    anew = await chat.ask("3")

    assert "Your answer came late" in anew.text
    assert chat.desk.closed_by == []


async def test_a_number_that_waited_while_the_bot_was_away_is_asked_back(chat: World) -> None:
    await chat.ask("/panic")
    chat.skipped = timedelta(minutes=3)

    assert "Your answer came late. This is how it is now:" in (await chat.ask("3")).text
    assert chat.desk.closed_by == []


async def test_a_preview_of_panic_is_good_for_ten_minutes_too(chat: World) -> None:
    shown = await chat.ask("/panic")
    old = Shown("t7x8x9", 3, int(chat.now().timestamp()) - 601)
    chat.outbox.subjects = {old.subject: MessageRef(OWNER, shown.message_id)}

    assert "That preview was too old" in (await chat.ask("3")).text
    assert chat.desk.closed_by == []


async def test_after_a_restart_a_reply_to_the_preview_still_counts_and_a_bare_number_does_not(chat: World) -> None:
    shown = await chat.ask("/panic")
    assert chat.bot is not None
    await chat.bot.stop()
    await chat.new_bot().start()

    assert "I only know commands" in (await chat.ask("3")).text
    assert chat.desk.closed_by == []
    assert "3 trades closed" in (await chat.ask("3", reply_to=shown.message_id)).text


async def test_a_reply_answers_the_preview_it_replies_to(chat: World) -> None:
    first = await chat.ask("/panic")
    chat.desk.closings = chat.desk.closings[:2]
    await chat.ask("/panic")

    assert "has changed since it was shown" in (await chat.ask("3", reply_to=first.message_id)).text
    assert chat.desk.closed_by == []


async def test_one_trade_wants_a_typed_one(chat: World) -> None:
    chat.desk.closings = chat.desk.closings[:1]
    shown = await chat.ask("/panic")

    assert shown.text.splitlines()[0] == "🛑 Close 1 trade and pause? +$41.05"
    assert "Type 1 to close it and pause new trades." in shown.text
    assert (await chat.ask("1")).text.splitlines()[0] == "✋ LINK LONG closed +$41.05"


async def test_with_nothing_open_panic_points_at_pause(chat: World) -> None:
    chat.desk.closings = ()

    assert (await chat.ask("/panic")).text == "✋ Nothing is open\n/pause stops new trades"


async def test_panic_with_a_number_behind_it_is_still_only_shown(chat: World) -> None:
    assert "Type 3" in (await chat.ask("/panic 3")).text
    assert chat.desk.closed_by == []


# -- who may --


async def test_viewers_and_strangers_close_nothing(chat: World) -> None:
    shown = await chat.ask("/panic")

    assert (await chat.ask("/panic", VIEWER)).text == "✋ /panic needs an operator; you are a viewer."
    assert (await chat.ask("/close LINK", VIEWER)).text == "✋ /close needs an operator; you are a viewer."
    assert "I only know commands" in (await chat.ask("3", VIEWER)).text
    for words in ("/panic", "/close LINK", "3"):
        chat.phone.say(STRANGER, words)
    assert await chat.quiet(STRANGER) == []
    assert chat.desk.closed_by == []
    assert shown.text


async def test_a_viewer_s_number_closes_nothing_even_below_a_preview(chat: World) -> None:
    """As in a group, where a viewer sees the preview that an operator has asked for."""
    below = await chat.ask("/version", VIEWER)
    shown = Shown("t7x8x9", 3, int(chat.now().timestamp()))
    chat.outbox.subjects[shown.subject] = MessageRef(VIEWER, below.message_id)

    assert "I only know commands" in (await chat.ask("3", VIEWER, reply_to=below.message_id)).text
    assert chat.desk.closed_by == []


def in_a_group(text: str, reply_from: dict[str, object] | None) -> Ask | None:
    group = {"id": -5, "type": "group", "title": "Traders"}
    ann = {"id": OWNER, "is_bot": False, "first_name": "Ann"}
    message: dict[str, object] = {"message_id": 9, "date": 1, "chat": group, "from": ann, "text": text}
    if reply_from is not None:
        message["reply_to_message"] = {"message_id": 8, "date": 1, "chat": group, "from": reply_from, "text": "?"}
    incoming = read(Update.de_json({"update_id": 1, "message": message}, None), "bot")
    return incoming.ask if incoming else None


def test_in_a_group_only_a_number_said_to_a_bot_is_one() -> None:
    bot = {"id": 5, "is_bot": True, "first_name": "Julaba", "username": "bot"}
    other = {"id": 7, "is_bot": True, "first_name": "Other", "username": "other_bot"}
    human = {"id": 6, "is_bot": False, "first_name": "Ole"}

    assert in_a_group("3", None) is None
    assert in_a_group("3", human) is None
    assert in_a_group("3", other) is None
    assert in_a_group("3", bot) == Number(3, "3", MessageRef(-5, 8))
    assert in_a_group("3 beers", bot) == Words("3 beers", "?")


def test_both_stand_among_what_steers_and_want_an_operator() -> None:
    lines = {c.name: c for c in COMMANDS if c.name in ("close", "panic")}

    assert {(c.group, c.role) for c in lines.values()} == {("steer", "operator")}
    assert lines["close"].changes, "an old /close asks back"


async def test_an_old_command_asks_back(chat: World) -> None:
    chat.skipped = timedelta(minutes=5)
    shown = await chat.ask("/close LINK")

    assert "was not done" in shown.text
    chat.skipped = timedelta()
    tap(chat, shown, "Do it now")
    assert (await told(chat, "Close LINK LONG?")).button("Close LINK")
    assert chat.desk.closed_by == []


def test_many_trades_fit_a_message_and_are_counted() -> None:
    many = tuple(closing.a_closing_trade(n, f"C{n:03d}<&>/USDT") for n in range(60))
    shown = html(rendering_closing.plan(ClosePlan("t", many, True, NOON)))
    done = html(rendering_closing.done(CloseResult(many, 1.0, True)))

    assert max(units(shown), units(done)) <= 4096
    assert "Type 60 to close all of them" in shown
    assert "… and 45 more" in shown
    assert "<&>" not in shown + done
