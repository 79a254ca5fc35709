"""Transcripts of /backtest, /whatif, /fetch and /export; the words of /whatif are read and written back alike."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import Settings
from core.domain.candles import Pair
from core.engine.what_if import Change
from core.errors import UsageError
from core.services.exports import ExportView
from core.services.what_if import Question
from julaba_tg import rendering_research, rendering_whatif
from julaba_tg.card import CAPTION_LIMIT, html, units
from julaba_tg.commands import COMMANDS
from julaba_tg.keyboards import MAX_DATA
from julaba_tg.whatif_words import in_words, line_of, question
from tests.fakes.desk import a_signal
from tests.fakes.research import a_backtest, a_single, a_what_if, figures
from tests.julaba_tg.conftest import STRANGER, VIEWER, World

OWNER, OPERATOR = 1001, 1003
UTC = ZoneInfo("UTC")
WHATIF = next(c for c in COMMANDS if c.name == "whatif")


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    """1003 is an operator, or with a parameter a stranger."""
    users = {OWNER: "approver", VIEWER: "viewer"} | ({} if hasattr(request, "param") else {OPERATOR: "operator"})
    return Settings.model_validate({"access": {"users": users}, "telegram": {"poll_timeout": 1}})


async def test_a_backtest_answers_at_once_and_ends_in_a_card_a_picture_and_a_file(chat: World) -> None:
    research = chat.desk.topics.research
    research.let.clear()
    first = await chat.ask("/backtest LINK 30")
    assert first.text.startswith("🔬 Backtest · 0%")
    assert [b.text for b in first.buttons] == ["✖️ Cancel"]
    assert (await chat.ask("/status")).text.startswith("📊")  # it keeps nobody waiting
    await chat.phone.wait_for(lambda m: m.message_id == first.message_id and "50%" in m.text)
    research.let.set()

    done = await chat.phone.wait_for(lambda m: m.text.startswith("🔬 Backtest done in 3 s"))
    card = await chat.phone.wait_for(lambda m: m.media is not None and m.media.kind == "photo")
    file = await chat.phone.wait_for(lambda m: m.media is not None and m.media.kind == "document")
    assert done.message_id == first.message_id
    assert card.reply_to == first.message_id
    assert card.text.splitlines()[0] == "🔬 LINK ETH · 30 days · 40 signals · -2.00R net"
    assert "Won 16 of 40: 40% (28% to 52%)" in card.text
    assert {"• 30 days", "90 days", "SOL"} <= {b.text for b in card.buttons}
    assert file.media is not None
    assert (file.media.name, file.media.content) == ("signals-30d.csv", research.backtests.csv)
    assert research.asked == [("backtest", ("LINK/USDT",), 30)]


async def test_a_second_backtest_is_told_that_one_runs_and_the_button_ends_the_first(chat: World) -> None:
    chat.desk.topics.research.let.clear()
    first = await chat.ask("/backtest")
    second = await chat.ask("/backtest 30", OPERATOR)
    await chat.phone.wait_for(
        lambda m: m.message_id == second.message_id and "already running" in m.text, chat_id=OPERATOR
    )
    chat.phone.tap(OWNER, first.message_id, first.button("Cancel").callback_data)
    ended = await chat.phone.wait_for(lambda m: m.text.startswith("✋ The backtest was cancelled by"))
    assert ended.message_id == first.message_id
    assert not ended.buttons
    assert (await chat.ask("/backtest cancel")).text == "✋ No backtest is running"


async def test_a_backtest_without_signals_or_with_too_large_a_file_says_so(chat: World) -> None:
    research = chat.desk.topics.research
    none = replace(a_backtest(pairs=("LINK/USDT",)), total=figures(0, 0, 0.0, 0.0), picture=None, csv=None, csv_size=0)
    research.backtests = none
    first = await chat.ask("/backtest link")
    empty = await chat.phone.wait_for(lambda m: "no signal" in m.text)
    assert (empty.message_id, empty.text.splitlines()[0]) == (first.message_id, "🔬 LINK · 90 days · no signal")

    research.backtests = replace(a_backtest(), csv=None, csv_size=61_000_000)
    await chat.ask("/backtest all 365")
    large = await chat.phone.wait_for(lambda m: "more than Telegram takes" in m.text)
    assert large.text.splitlines()[1] == "On the machine: julaba backtest --days 365 --out signals.csv"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/backtest LINK ETH", "at most a pair and a number of days"),
        ("/backtest 0", "not a whole number from 1 to 1500"),
        ("/fetch 1501", "not a whole number from 1 to 1500"),
        ("/fetch many", "not a whole number"),
        ("/export trades now", "more than one word"),
        ("/whatif tp 3", "targets stay at 1.5, 2.5 and 4 times the stop"),
        ("/whatif sl", "Something is missing behind sl"),
        ("/whatif sl 99", "'sl' wants a number from 0.1 to 20"),
        ("/whatif skip stop", "none of ml, gemini, alignment and btc"),
        ("/whatif pair SOL", "Something is missing behind pair"),
        ("/whatif moon 3", "'moon' cannot be changed here"),
    ],
)
async def test_what_cannot_be_read_ends_in_the_usage_line(chat: World, line: str, words: str) -> None:
    answer = (await chat.ask(line)).text
    assert words in answer
    assert f"Usage: {line.split()[0]}" in answer
    assert chat.desk.topics.research.asked == []


async def test_fetching_asks_how_long_and_ends_in_a_table_with_the_next_step(chat: World) -> None:
    choice = await chat.ask("/fetch")
    chat.phone.tap(OWNER, choice.message_id, choice.button("365").callback_data)
    done = await chat.phone.wait_for(lambda m: m.text.startswith("📥 8,640 new candles"))
    assert "LINK     90    8,640     0\nETH      90    8,640     2" in done.text
    assert [b.text for b in done.buttons] == ["🔬 Backtest", "🏋️ Retrain"]
    assert chat.desk.topics.research.asked == [("fetch", 365)]


async def test_an_export_is_chosen_by_button_and_comes_as_a_file(chat: World) -> None:
    choice = await chat.ask("/export", OPERATOR)
    assert [b.text for b in choice.buttons] == ["Trades", "Signals", "Equity", "Audit", "All"]
    chat.phone.tap(OPERATOR, choice.message_id, choice.button("Trades").callback_data)
    file = await chat.phone.wait_for(lambda m: m.media is not None, chat_id=OPERATOR)
    assert file.media is not None
    assert (file.media.name, file.text) == ("julaba-trades.csv", "📦 3 trades")

    chat.desk.topics.research.export_view = ExportView("audit", "julaba-audit.zip", {"audit": 9}, 60_000_000, None)
    await chat.ask("/export audit", OPERATOR)
    large = await chat.phone.wait_for(lambda m: "60 MB" in m.text, chat_id=OPERATOR)
    assert large.text.splitlines()[1] == "On the machine: julaba export audit"


async def test_a_what_if_says_with_and_without_what_flips_and_how_sure_it_is(chat: World) -> None:
    first = await chat.ask("/whatif sl 2.5 skip gemini", VIEWER)
    done = await chat.phone.wait_for(lambda m: "instead of" in m.text, chat_id=VIEWER)
    assert done.message_id == first.message_id
    assert done.text.splitlines()[0] == "🧪 stop 2.5 ATR, without Gemini: +$312 instead of +$84"
    assert f"{'net USDT':9}{'+84':>9}{'+312':>9}" in done.text
    assert "Difference +1.90R net over n = 100 (95%: -2.00R to +5.80R, by days): chance could do that." in done.text
    assert "This is hindsight" in done.text
    assert "4 signals left out: Gemini was never asked" in done.text
    assert "12 LINK LONG 21 Nov 12:00: taken → refused, +1.20R (1h down)" in done.text
    assert "and 2 more" in done.text
    again = done.button("Last 200")
    assert again.callback_data == "new:whatif sl 2.5 skip gemini last 200"


async def test_without_words_common_what_ifs_are_offered(chat: World) -> None:
    choice = await chat.ask("/whatif", VIEWER)
    assert {"Stop 2.5 ATR", "No Gemini", "No BTC rule", "ADX 20", "SOL off"} <= {b.text for b in choice.buttons}
    chat.phone.tap(VIEWER, choice.message_id, choice.button("SOL off").callback_data)
    await chat.phone.wait_for(lambda m: m.text.startswith("🧪 SOL off:"), chat_id=VIEWER)
    (asked,) = chat.desk.topics.research.asked
    assert asked == ("whatif", Question(Change(pairs={Pair.parse("SOL"): False})))


async def test_a_reply_to_a_trade_asks_about_that_trade(chat: World) -> None:
    chat.outbox.put(a_signal(12, trade_id=7))
    alert = await chat.phone.wait_for(lambda m: m.text.startswith("✅ LINK"))
    choice = await chat.ask("/whatif", reply_to=alert.message_id)
    assert choice.text.splitlines()[0] == "🧪 What if, for trade #7?"
    assert choice.button("Stop 3").callback_data == "new:whatif #7 sl 3"

    first = await chat.ask("/whatif sl 2.5", reply_to=alert.message_id)
    shown = await chat.phone.wait_for(lambda m: m.media is not None and m.text.startswith("🧪"))
    assert shown.reply_to == first.message_id
    assert shown.text.splitlines()[0] == "🧪 LINK LONG #7 · stop 2.5 ATR: -1.05R → +0.20R"
    assert chat.desk.topics.research.asked[-1] == (
        "whatif",
        Question(Change(stop_atr=2.5), number=7, is_trade=True),
    )


async def test_a_reply_to_a_refused_signal_asks_about_that_signal(chat: World) -> None:
    chat.outbox.put(a_signal(31, status="refused", reason="1h down", trade_id=None))
    alert = await chat.phone.wait_for(lambda m: m.text.startswith("⛔ LINK"))
    await chat.ask("/whatif skip alignment", reply_to=alert.message_id)
    await chat.phone.wait_for(lambda m: m.media is not None and m.text.startswith("🧪"))
    asked = chat.desk.topics.research.asked[-1][1]
    assert (asked.number, asked.is_trade) == (31, False)


@pytest.mark.parametrize("settings", ["strange"], indirect=True)
async def test_who_may_what(chat: World) -> None:
    for line in ("/backtest", "/fetch 30", "/export trades"):
        assert "needs an operator" in (await chat.ask(line, VIEWER)).text
    for line in ("/backtest", "/whatif sl 2", "/fetch 30", "/export all"):
        chat.phone.say(STRANGER, line)
    assert await chat.quiet(STRANGER) == []
    assert chat.desk.topics.research.asked == []


NUMBERS = st.integers(1, 20)
CHANGES = st.builds(
    Change,
    stop_atr=st.none() | st.sampled_from([0.5, 1.5, 2.0, 20.0]),
    max_bars=st.none() | NUMBERS,
    breakeven=st.none() | st.booleans(),
    weight=st.none() | st.sampled_from([0.0, 0.25, 1.0]),
    skip=st.frozensets(st.sampled_from(["gemini", "alignment", "btc"])),
    pairs=st.dictionaries(st.sampled_from([Pair.parse("SOL"), Pair.parse("LINK")]), st.booleans()),
    max_positions=st.none() | NUMBERS,
    strategy=st.sampled_from([{}, {"adx_min": 20.0}, {"rsi_long_max": 75.0, "rsi_short_min": 25.0}]),
)


@given(CHANGES, st.none() | st.integers(1, 10**8), st.booleans(), st.sampled_from([1, 100, 200, 1000]))
def test_what_is_asked_can_be_written_down_and_read_again(
    change: Change, number: int | None, is_trade: bool, last: int
) -> None:
    asked = Question(change, last if number is None else 100, number, is_trade and number is not None)
    name, *words = line_of(asked).split()
    assert name == "whatif"
    assert question(words, WHATIF) == asked
    assert in_words(change)


@given(st.lists(st.text(max_size=12) | st.sampled_from(["sl", "2,5", "#7", "skip", "pair", "on", "nan", "1e3"])))
def test_any_words_are_read_or_refused_with_a_sentence(words: list[str]) -> None:
    said = ""
    try:
        question([word for one in words for word in one.split()], WHATIF)
    except UsageError as error:
        said = str(error)
    assert not said or "Usage: /whatif" in said


def test_every_card_fits_under_a_picture_and_every_button_into_its_64_bytes() -> None:
    from julaba_tg.research_handlers import _choices

    view = a_what_if(Change(stop_atr=2.5), a_single())
    cards = [
        rendering_research.backtest(a_backtest(pairs=tuple(f"COIN{n}/USDT" for n in range(14))), UTC),
        rendering_whatif.single(view, a_single(), UTC),
    ]
    assert all(units(html(card, CAPTION_LIMIT)) <= CAPTION_LIMIT for card in cards)
    pairs = tuple(f"{'X' * 20}{n}/USDT" for n in range(9))
    for row in _choices("#999999999", ()).inline_keyboard + _choices("", pairs).inline_keyboard:
        assert all(len(str(button.callback_data).encode()) <= MAX_DATA for button in row)
