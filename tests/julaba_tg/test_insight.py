"""What blocks a pair, what filters are worth, which pairs could be added: transcripts by everybody who may ask."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.domain.trading import Direction
from core.engine.nearness import Crossing, Nearness
from tests.fakes.insight import a_whynot, an_audit
from tests.julaba_tg.conftest import OWNER, STRANGER, VIEWER, World


async def test_the_first_line_says_what_blocks_first_and_how_far_it_is(chat: World) -> None:
    for user in (OWNER, VIEWER):
        said = await chat.ask("/whynot link", user)
        lines = said.text.splitlines()
        assert lines[:4] == [
            "🔎 LINK: no crossover, +2.50% (1.8 ATR) to one at the next close",
            "At the close of 12:00: 17.48",
            "SMA 15 lies 0.42% (0.6 ATR) below SMA 40.",
            "LONG: a next close at or above 17.917 crosses.",
        ]
        assert "⛔ ADX 19.0 is below 25" in lines
        assert "½ SHORT: 1h up (half the size)" in lines
        assert lines.index("What passes:") < lines.index("✅ 884 candles, 300 wanted")
        assert [b.callback_data for b in said.buttons][:2] == ["go:whynot LINK/USDT", "new:chart LINK/USDT"]


@pytest.mark.parametrize(
    ("near", "first"),
    [
        (Nearness(0.01, None, None, (Crossing(Direction.SHORT, 15.4, -0.233, None),), 6),
         "no crossover, -23.30% to one at the next close or 6 candles at this price"),
        (Nearness(-0.01, 1.0, None, (Crossing(Direction.LONG, 17.3, -0.01, -0.2),), 1),
         "no crossover, but at this price one comes at the next close"),
        (Nearness(0.01, 1.0, None, (Crossing(Direction.SHORT, None, None, None),), None),
         "no crossover, and no price would make one at the next close"),
    ],
)  # fmt: skip
async def test_how_far_a_crossover_is(chat: World, near: Nearness, first: str) -> None:
    chat.desk.topics.insight.whynot_view = a_whynot(near=near)
    assert (await chat.ask("/whynot LINK")).text.splitlines()[0] == f"🔎 LINK: {first}"


async def test_a_filter_that_refuses_stands_in_the_first_line_where_the_averages_have_crossed(chat: World) -> None:
    view = a_whynot()
    chat.desk.topics.insight.whynot_view = replace(view, first=view.points[2], decision=12, status="candidate")
    said = await chat.ask("/whynot LINK")
    assert said.text.splitlines()[0] == "🔎 LINK: ADX 19.0 is below 25"
    assert said.button("Why 12").callback_data == "new:why 12"

    chat.desk.topics.insight.whynot_view = replace(view, first=None, decision=12, status="taken")
    taken = await chat.ask("/whynot LINK")
    assert taken.text.splitlines()[0] == "🔎 LINK: nothing blocks, taken at this close (number 12)"


async def test_without_a_pair_there_are_buttons_and_refresh_edits_in_place(chat: World) -> None:
    choice = await chat.ask("/whynot", VIEWER)
    assert [b.text for b in choice.buttons][:3] == ["🔎 LINK", "🔎 ETH", "🔎 SOL"]
    chat.phone.tap(VIEWER, choice.message_id, choice.button("ETH").callback_data)
    said = await chat.phone.wait_for(lambda m: m.text.startswith("🔎 ETH: no"), chat_id=VIEWER)
    chat.desk.topics.insight.whynot_view = a_whynot(first=None)
    chat.phone.tap(VIEWER, said.message_id, said.button("Refresh").callback_data)
    changed = await chat.phone.wait_for(lambda m: "nothing blocks a trade" in m.text, chat_id=VIEWER)
    assert changed.message_id == said.message_id


async def test_a_wrong_pair_is_a_sentence(chat: World) -> None:
    assert (await chat.ask("/whynot DOGE")).text == "✋ DOGE/USDT is not among the pairs: LINK, ETH, SOL"
    assert "Usage: /whynot PAIR" in (await chat.ask("/whynot LINK ETH")).text


async def test_filters_answer_at_once_hold_up_nobody_and_end_in_a_card_with_its_picture(chat: World) -> None:
    insight = chat.desk.topics.insight
    insight.filters_gate.clear()
    begun = await chat.ask("/filters", VIEWER)
    assert begun.text.startswith("🧪 Filters · 0%")
    assert (await chat.ask("/status", VIEWER)).text.startswith("📊")
    await chat.phone.wait_for(
        lambda m: m.message_id == begun.message_id and "300 crossovers" in m.text, chat_id=VIEWER, timeout=5
    )
    insight.filters_gate.set()

    done = await chat.phone.wait_for(
        lambda m: m.message_id == begun.message_id and "ADX from 25 helps" in m.text, chat_id=VIEWER
    )
    lines = done.text.splitlines()
    assert lines[0] == "🧪 ADX from 25 helps"
    assert "Lived through: 812 crossovers, 51 signals, 1 pairs" in lines
    assert lines.count("   stopped 512, alone 40: -0.12R net each (-0.40 to +0.16)") == 6
    assert "🟢 ADX from 25: helps" in lines
    assert "⚪️ volume from 0.75: unclear" in lines
    assert "⚪️ alignment veto (if it refused): unclear" in lines
    assert "no VOLATILE" not in done.text, "what is let through and asked by no rule is not shown"
    picture = await chat.phone.wait_for(lambda m: m.media is not None, chat_id=VIEWER)
    assert picture.text == "🧪 Each filter on what was lived through"


async def test_filters_of_which_nothing_can_be_told_say_so_first(chat: World) -> None:
    insight = chat.desk.topics.insight
    insight.filters_view = replace(insight.filters_view, live=None, stored=an_audit(), shown="stored")
    await chat.ask("/filters")
    done = await chat.phone.wait_for(lambda m: m.text.startswith("🧪 No filter's worth can be told from chance"))
    assert "Lived through" not in done.text


async def test_pairs_are_suggested_two_at_a_time_and_added_by_two_taps(chat: World) -> None:
    first = await chat.ask("/pairs suggest")
    assert first.text.splitlines() == [
        "➕ XRP and ADA could be added",
        "XRP · $12.3M in 24 h · 730 days of candles or more, none of 1,000 looked at missing",
        "ADA · $12.3M in 24 h · 411 days of candles, none of 1,000 looked at missing",
        "Left out: 1 with less than 30 days of candles.",
        "3 liquid pairs are not traded here yet, room for 55 more.",
    ]
    chat.phone.tap(OWNER, first.message_id, first.button("More").callback_data)
    more = await chat.phone.wait_for(lambda m: m.text.startswith("➕ DOT could"))
    assert more.message_id == first.message_id
    assert not [b for b in more.buttons if b.text == "More"]

    chat.phone.tap(OWNER, more.message_id, more.button("Add DOT").callback_data)
    preview = await chat.phone.wait_for(lambda m: m.text.startswith("➕ Add DOT?"))
    assert "It brings about 0.12 signals a day" in preview.text
    assert "It costs one request at each close, 96 a day; 6 pairs in all." in preview.text
    assert chat.desk.topics.insight.changed == [], "shown, not done"
    chat.phone.tap(OWNER, preview.message_id, preview.buttons[0].callback_data)
    await chat.phone.wait_for(lambda m: m.text.startswith("⏳ DOT is being added"))
    assert [change[:2] for change in chat.desk.topics.insight.changed] == [("DOT/USDT", True)]

    chat.phone.tap(OWNER, preview.message_id, preview.buttons[0].callback_data)
    await chat.phone.wait_for(lambda m: m.text == "✋ DOT/USDT is among the pairs already")
    assert len(chat.desk.topics.insight.changed) == 1


async def test_an_added_pair_is_removed_by_words_and_a_tap(chat: World) -> None:
    chat.desk.topics.insight.added_pairs.append("DOT/USDT")
    offered = await chat.ask("/pairs suggest")
    assert offered.button("🗑 DOT").callback_data == "new:pair DOT/USDT remove"
    preview = await chat.ask("/pair dot remove")
    assert preview.text.startswith("🗑 Remove DOT?")
    chat.phone.tap(OWNER, preview.message_id, preview.buttons[0].callback_data)
    await chat.phone.wait_for(lambda m: m.text.startswith("⏳ DOT is being taken away"))
    assert chat.desk.topics.insight.added_pairs == []


@pytest.mark.parametrize(
    "words", ["/pairs suggest", "/pair DOT add", "/pair DOT remove", "/rule strategy.adx_min=20", "/rule"]
)
async def test_a_viewer_looks_but_neither_adds_nor_asks(chat: World, words: str) -> None:
    said = await chat.ask(words, VIEWER)
    assert "operator" in said.text
    assert chat.desk.topics.insight.changed == []
    assert chat.desk.topics.insight.asked == []


async def test_a_stranger_gets_no_answer(chat: World) -> None:
    for words in ("/whynot LINK", "/filters", "/pairs suggest", "/pair DOT add", "/rule strategy.adx_min=20"):
        chat.phone.say(STRANGER, words)
    assert await chat.quiet(STRANGER) == []
    assert chat.desk.topics.insight.changed == []


async def test_wrong_words_end_in_the_usage_line(chat: World) -> None:
    for words, complaint in (
        ("/pairs nonsense", "Only suggest can follow."),
        ("/pairs suggest many", "'many' is not a number."),
        ("/pair DOT add now", "That needs a pair and add or remove."),
        ("/rule adx_min", "'adx_min' is not a name and a value with = between."),
    ):
        said = await chat.ask(words)
        assert said.text.splitlines()[0] == f"✋ {complaint}"
        assert said.text.splitlines()[1].startswith("Usage: /")


async def test_another_rule_is_asked_for(chat: World) -> None:
    said = await chat.ask("/rule strategy.rsi_long_max=80 strategy.rsi_short_min=20")
    assert said.text.splitlines()[0] == "🗳 Asked as approval 4"
    assert chat.desk.topics.insight.asked == [{"strategy.rsi_long_max": "80", "strategy.rsi_short_min": "20"}]
    assert "strategy.adx_min=25" in (await chat.ask("/rule")).text


async def test_each_way_that_the_outlook_names_is_a_line_that_a_button_can_carry(chat: World) -> None:
    from core.services.outlook import _LOOSER, written

    for values, _ in _LOOSER:
        assert len(f"new:rule {written(values)}".encode()) <= 64
