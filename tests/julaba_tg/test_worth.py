"""``/gemini`` and ``/worth`` as they are read on a phone: by the roles, with pictures, whatever the ledger holds."""

from __future__ import annotations

from julaba_tg import rendering_worth
from julaba_tg.card import CAPTION_LIMIT, html, plain, units
from julaba_tg.commands import COMMANDS
from tests.fakes import worth
from tests.fakes.desk import PNG
from tests.julaba_tg.conftest import STRANGER, VIEWER, World

LONGEST = "<b>&" * 200


async def test_worth_is_a_picture_with_the_layers_in_a_table(chat: World) -> None:
    shown = await chat.ask("/worth", VIEWER)

    assert shown.media is not None
    assert shown.text.splitlines()[0] == "⚖️ alignment helps"
    assert "alignment   50/100   +0.22R ✅" in shown.text
    assert "model           never asked" in shown.text
    assert "Of the first 100 closed signals; 120 so far, looked at again at 150." in shown.text


async def test_gemini_is_a_picture_with_its_scoreboard(chat: World) -> None:
    shown = await chat.ask("/gemini", VIEWER)

    assert shown.media is not None
    assert shown.text.splitlines()[0] == "✨ Gemini does worse than the base rate · refuses 41%: as wanted"
    assert "12 without an opinion" in shown.text
    assert "No opinion: no answer within 20 s 12×" in shown.text
    assert " a day, $0.0" in shown.text


async def test_without_a_key_gemini_says_so_in_a_sentence(chat: World) -> None:
    chat.desk.gemini_view = worth.gemini([], present=False)

    shown = await chat.ask("/gemini")

    assert shown.media is None
    assert shown.text.splitlines()[0] == "✨ Gemini is off"
    assert "there is no GEMINI_API_KEY" in shown.text


async def test_before_the_first_look_both_count_and_say_nothing(chat: World) -> None:
    few = worth.opinionated(31)
    chat.desk.layers_view, chat.desk.gemini_view = worth.layers(few), worth.gemini(few)

    assert (await chat.ask("/worth")).text.splitlines()[0] == "⚖️ Layers: 31 of 50 closed signals"
    board = (await chat.ask("/gemini")).text
    assert "28 of 50 closed opinions: too few to score its confidence." in board
    assert "scored at fixed counts" not in board, "the same count is not told twice"


async def test_refreshing_changes_the_picture_in_place(chat: World) -> None:
    shown = await chat.ask("/worth")
    chat.desk.layers_view = worth.layers(worth.opinionated(100), PNG)
    chat.phone.tap(1001, shown.message_id, shown.button("Refresh").callback_data)
    changed = await chat.phone.wait_for(lambda m: "100 so far" in m.text)

    assert changed.message_id == shown.message_id


async def test_both_stand_among_what_helps_to_understand_and_any_viewer_may_ask(chat: World) -> None:
    lines = [c for c in COMMANDS if c.name in ("gemini", "worth")]

    assert [(c.group, c.role, c.changes) for c in lines] == [("understand", "viewer", False)] * 2
    assert "/worth" in (await chat.ask("/help", VIEWER)).text
    chat.phone.say(STRANGER, "/worth")
    assert await chat.quiet(STRANGER) == []


def test_hostile_words_stay_words_and_a_card_never_outgrows_its_picture() -> None:
    rows = worth.opinionated(120, reason=LONGEST)
    for card in (rendering_worth.gemini(worth.gemini(rows, PNG)), rendering_worth.worth(worth.layers(rows, PNG))):
        assert units(html(card)) <= CAPTION_LIMIT
        assert "<b>&<b>" not in html(card).partition("\n")[2]
    assert "<b>&<b>&<b>" in plain(rendering_worth.gemini(worth.gemini(rows, PNG)))


def test_lines_of_a_table_fit_a_narrow_phone() -> None:
    rows = worth.opinionated()
    for card in (rendering_worth.gemini(worth.gemini(rows)), rendering_worth.worth(worth.layers(rows))):
        tables = [line for block in card.blocks if block.style == "pre" for line in block.lines]
        assert max(map(len, tables)) <= 32
