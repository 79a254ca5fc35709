"""Transcripts: what was made, the last signals, the market, the risk, what the model would say now."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.trading import Direction, Regime, Ruling, Verdict
from core.services.asked_now import PredictView
from core.services.exposure import NextPause
from core.services.market_board import Cross, MarketLine, MarketView
from core.services.prices import LivePrice
from julaba_tg.card import CAPTION_LIMIT, TEXT_LIMIT, Card, html, plain, units
from julaba_tg.rendering_money import market, month, predict, profit, risk, signals
from tests.fakes import money
from tests.fakes.desk import a_pair
from tests.julaba_tg.conftest import OWNER, STRANGER, VIEWER, World

UTC = ZoneInfo("UTC")


def table_of(words: str) -> list[str]:
    return [line for line in words.splitlines() if line.startswith(("open risk", "gross", "trades", "together"))]


# -- profit --


async def test_profit_says_net_first_and_gross_beside_it(chat: World) -> None:
    answer = await chat.ask("/profit")
    assert answer.text.splitlines() == [
        "💰 +$312 net in 30 days · 14 trades",
        "23 Oct – 21 Nov · 6 won, 8 lost · profit factor 1.42",
        "Each trade +$22.31 on average, +0.11R",
        "Gross +$401, factor 1.61; fees and slippage took $88.70",
        "Equity $10,312, +$335 in this time · Deepest fall 3.9% ($410)",
        "Open: 1 trade, +$22.80",
        "Best #12 LINK LONG +$260 · stop after TP1",
        "Worst #9 ETH LONG -$190 · stop after TP1",
        "LINK +$420 · 5 of 8 won · +3.40R",
        "ETH -$108 · 1 of 6 won · -1.90R",
    ]
    assert answer.media is not None
    assert [b.text for b in answer.buttons] == ["7 days", "• 30 days", "90 days", "All", "📅 Calendar", "🔄 Refresh"]
    assert chat.desk.topics.money.asked == [("profit", 30)]
    assert chat.desk.topics.money.zone == UTC


async def test_profit_of_other_days_comes_in_place(chat: World) -> None:
    answer = await chat.ask("/profit 7")
    assert answer.text.startswith("💰 +$312 net in 7 days")
    chat.phone.tap(OWNER, answer.message_id, answer.button("All").callback_data)
    changed = await chat.phone.wait_for(lambda m: "since the start" in m.text)
    assert changed.message_id == answer.message_id
    assert [b.text for b in changed.buttons][3] == "• All"
    assert chat.desk.topics.money.asked == [("profit", 7), ("profit", None)]
    assert (await chat.ask("/profit 1")).text.startswith("💰 +$312 net today")


async def test_the_calendar_and_the_equity_take_each_others_place(chat: World) -> None:
    answer = await chat.ask("/profit")
    chat.phone.tap(OWNER, answer.message_id, answer.button("Calendar").callback_data)
    shown = await chat.phone.wait_for(lambda m: m.text.startswith("📅"))
    assert shown.message_id == answer.message_id
    assert shown.text.splitlines() == [
        "📅 November 2026 · +$120 · 3 trades",
        "1 day up, 1 down · best 3 Nov +$180, worst 17 Nov -$60.50",
        "Net, each trade on the day it ended (UTC)",
    ]
    assert [b.text for b in shown.buttons] == ["◀️ 2026-10", "📈 Equity", "🔄 Refresh"]

    chat.phone.tap(OWNER, shown.message_id, shown.button("2026-10").callback_data)
    october = await chat.phone.wait_for(lambda m: m.text.startswith("📅 October"))
    assert [b.text for b in october.buttons] == ["▶️ 2026-11", "📈 Equity", "🔄 Refresh"]

    chat.phone.tap(OWNER, october.message_id, october.button("Equity").callback_data)
    back = await chat.phone.wait_for(lambda m: m.text.startswith("💰"))
    assert back.message_id == answer.message_id
    assert len([m for m in chat.phone.messages() if m.from_bot]) == 1


async def test_a_month_without_trades_and_an_account_without_any_are_told_plainly(chat: World) -> None:
    chat.desk.topics.money.profit_view = money.nothing_earned()
    assert (await chat.ask("/profit 90")).text.splitlines() == [
        "💰 No trade ended in 90 days",
        "23 Oct – 21 Nov",
        "Equity $10,000, +$0 in this time · No fall",
    ]
    assert (await chat.ask("/profit calendar 2026-10")).text.startswith("📅 October 2026 · +$120")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/profit 0", "'0' is not a whole number from 1 to 3650."),
        ("/profit -7", "'-7' is not a whole number from 1 to 3650."),
        ("/profit lots", "'lots' is not a whole number from 1 to 3650."),
        ("/profit 7 30", "That is more than one word."),
        ("/profit calendar 2026-13", "A month is written like 2026-10."),
        ("/profit calendar 0000-01", "A month is written like 2026-10."),
        ("/profit calendar 2026-10 2", "A month is written like 2026-10."),
        ("/profit calendar ٢٠٢٦-١٠", "A month is written like 2026-10."),
    ],
)
async def test_what_profit_cannot_read_ends_in_its_usage(chat: World, typed: str, said: str) -> None:
    usage = "Usage: /profit [days|all|calendar], for example /profit 30"
    assert (await chat.ask(typed)).text == f"✋ {said}\n{usage}"


async def test_a_month_that_has_not_begun_is_a_sentence(chat: World) -> None:
    assert (await chat.ask("/profit CALENDAR 2027-01")).text == "✋ January 2027 has not begun"


# -- signals --


async def test_signals_say_who_refused_and_what_became_of_each(chat: World) -> None:
    answer = await chat.ask("/signals")
    assert answer.text.splitlines() == [
        "📡 The last 3 signals · 1 taken",
        "14 ✅ LINK LONG · 21 Nov 12:00 · +0.34R so far",
        "   G 78 · ML 41 (avg 36)",
        "13 ⛔ ETH LONG · 21 Nov 12:00 · -1.20R",
        "   refused: 1h down · G 78 · ML 41 (avg 36)",
        "12 ⌛ SOL LONG · 21 Nov 12:00 · +1.30R",
        "   missed, found too late",
        "R after costs once closed. What was not taken is followed by the same rules, without money.",
    ]
    assert [b.text for b in answer.buttons] == ["🔍 14 LINK", "🔍 13 ETH", "🔍 12 SOL", "🔄 Refresh"]
    chat.phone.tap(OWNER, answer.message_id, answer.button("12 SOL").callback_data)
    why = await chat.phone.wait_for(lambda m: m.text.startswith("🔍"))
    assert why.message_id != answer.message_id, "the list stays where it is"


async def test_signals_name_the_layer_that_refused(chat: World) -> None:
    refusal = Verdict("gemini", "opinion", Ruling.REFUSE, 0.2, "weak")
    first = replace(money.some_signals()[1], verdicts=(refusal,), reason="momentum is gone")
    chat.desk.topics.money.signal_views = (first,)
    assert "   Gemini: momentum is gone · G 78" in (await chat.ask("/signals 1")).text
    chat.desk.topics.money.signal_views = (replace(first, reason="Gemini refuses at 0.20"),)
    assert "   Gemini refuses at 0.20 · G 78" in (await chat.ask("/signals 1")).text


async def test_no_signal_yet_says_where_to_look(chat: World) -> None:
    chat.desk.topics.money.signal_views = ()
    answer = await chat.ask("/signals 50")
    assert answer.text.startswith("📡 No signal yet")
    assert [b.text for b in answer.buttons if b.text.startswith("🔍")] == []
    assert (await chat.ask("/signals 51")).text == (
        "✋ '51' is not a whole number from 1 to 50.\nUsage: /signals [n], for example /signals 20"
    )


# -- market --


async def test_the_market_is_a_table_for_a_phone(chat: World) -> None:
    answer = await chat.ask("/market")
    assert answer.text.splitlines() == [
        "🧭 BTC 1h down, -1.2% in 24 h · close 12:00",
        "           price     24h  ADX  RSI",
        "LINK       17.61   +1.2%   31   58",
        "  trending · H 0.58 · vol 0.92",
        "  close 17.48 · SMA +0.21%",
        "  ⚡ cross up in ~5 candles",
        "ETH      3,412.6   -3.1%   31   58",
        "  choppy · H 0.58 · vol 0.92",
        "  close 3,412.6 · SMA -0.40%",
        "SOL            –",
        "  no candles yet",
        "  switched off",
    ]
    assert [b.text for b in answer.buttons] == [
        "📈 LINK", "🔮 LINK", "📈 ETH", "🔮 ETH", "📈 SOL", "🔮 SOL", "🔄 Refresh",
    ]  # fmt: skip
    chat.phone.tap(OWNER, answer.message_id, answer.button("🔮 ETH").callback_data)
    assert (await chat.phone.wait_for(lambda m: m.text.startswith("🔮 ETH"))).message_id != answer.message_id


NUMBERS = st.just(0.0) | st.floats(1e-7, 1e8)
LINES = st.builds(
    MarketLine,
    pair=st.sampled_from(["LINK/USDT", "1000PEPE/USDT", "A/USDC", "ETH/BTC"]),
    enabled=st.booleans(),
    close=st.none() | NUMBERS,
    at=st.just(money.NOON),
    live=st.none() | st.builds(LivePrice, NUMBERS, st.sampled_from([1.0, 600.0]), st.just("stream")),
    change=st.none() | st.floats(-1, 1e6),
    regime=st.sampled_from(list(Regime)),
    adx=st.none() | st.floats(0, 100),
    rsi=st.none() | st.floats(0, 100),
    volume_ratio=st.none() | st.floats(0, 1e5),
    hurst=st.none() | st.floats(-1, 2),
    distance=st.none() | st.floats(-99, 999),
    cross=st.none() | st.builds(Cross, st.sampled_from(list(Direction)), st.integers(0, 8)),
)


@given(lines=st.lists(LINES, max_size=40))
def test_no_row_of_a_market_is_wider_than_a_phone(lines: list[MarketLine]) -> None:
    shown = market(MarketView(tuple(lines), "BTC/USDT", None, None), UTC)
    rows = shown.blocks[0].lines
    assert max(len(row) for row in rows) <= 34
    assert units(html(shown)) <= TEXT_LIMIT
    if len(lines) > 20:
        assert f"And {len(lines) - 20} more" in plain(shown).replace(" pairs", "").replace(" pair", "")


# -- risk --


async def test_risk_shows_each_limit_and_which_would_pause_next(chat: World) -> None:
    answer = await chat.ask("/risk")
    assert answer.text.splitlines() == [
        "🛡 2 trades open, $210 at risk (2.1%) · today -2.1%",
        "open risk ▓▓▓▓▓░░░░░ 2.1% of 4%",
        "gross     ▓▓░░░░░░░░ 0.89 of 3x",
        "trades    ▓▓▓▓▓▓░░░░ 2 of 3",
        "together  ▓▓▓▓▓▓▓▓▓▓ 2 of 2",
        "day loss  ▓▓▓▓░░░░░░ 2.1% of 5%",
        "drawdown  ▓░░░░░░░░░ 3.4% of 20%",
        "Next pause: daily loss of 5%, after $296 more (3.0%)",
        "2 losing trades in a row; no limit is set on that",
        "Every stop hit would cost $240 before costs",
        "LINK, ETH win and lose together",
        "LINK LONG · $120 at risk · worth $5,520",
        "ETH LONG · $90 at risk · worth $3,400",
    ]
    assert max(len(line) for line in table_of(answer.text)) <= 34


async def test_risk_says_when_the_stops_alone_would_pause_and_why_it_is_paused(chat: World) -> None:
    near = replace(money.a_risk(), next_pause=NextPause("daily loss", 100.0), drawdown=0.17, streak=0)
    chat.desk.topics.money.risk_view = near
    words = (await chat.ask("/risk")).text
    assert "Every stop hit would cost $240 before costs, and that pauses entries" in words
    assert "drawdown  ▓▓▓▓▓▓▓▓░░ 17.0% of 20% ⚠" in words

    streak = replace(near, streak=3, streak_limit=4, next_pause=NextPause("run of losses", 0.0, 1))
    chat.desk.topics.money.risk_view = streak
    words = (await chat.ask("/risk")).text
    assert "losses    ▓▓▓▓▓▓▓░░░ 3 of 4 in a row" in words
    assert "Next pause: a run of losses, after 1 more losing trade" in words

    chat.desk.topics.money.risk_view = replace(
        near, paused="by hand", next_pause=None, open=(), open_risk=0.0, notional=0.0, groups=(), day_loss=0.0
    )
    assert (await chat.ask("/risk")).text.splitlines()[:7] == [
        "🛡 0 trades open, $0 at risk (0.0%) · today unchanged",
        "open risk ░░░░░░░░░░ 0.0% of 4%",
        "gross     ░░░░░░░░░░ 0 of 3x",
        "trades    ░░░░░░░░░░ 0 of 3",
        "together  ░░░░░░░░░░ 0 of 2",
        "day loss  ░░░░░░░░░░ 0.0% of 5%",
        "drawdown  ▓▓▓▓▓▓▓▓░░ 17.0% of 20% ⚠",
    ]


# -- predict --


async def test_predict_says_first_that_there_is_no_signal(chat: World) -> None:
    answer = await chat.ask("/predict link")
    assert answer.text.splitlines() == [
        "🔮 LINK · no signal now · LONG 37, SHORT 62",
        "What xgb-1 would say of a crossover at 12:00 (17.48), its average 36; nothing is decided by this.",
        "",
        "LONG 37 (avg 36) · LOW · SKIP, ahead of 80% of its last ones",
        "🟩 ADX 31 +0.42",
        "🟥 RSI 64 -0.10",
        "",
        "SHORT 62 (avg 36) · HIGH · TAKE, ahead of 80% of its last ones",
        "🟩 ADX 31 +0.42",
        "🟥 RSI 64 -0.10",
    ]
    assert [b.text for b in answer.buttons] == ["🔄 Refresh", "📈 Chart"]
    assert chat.desk.topics.money.asked == [("predict", "LINK/USDT")]


async def test_predict_without_a_pair_is_a_choice_and_without_a_model_a_sentence(chat: World) -> None:
    choice = await chat.ask("/predict")
    assert [b.text for b in choice.buttons] == [f"🔮 {name}" for name in ("LINK", "ETH", "SOL")]
    chat.desk.topics.money.prediction = PredictView("LINK/USDT", money.NOON, 17.48, None, None, (), "learning 31/50")
    chat.phone.tap(OWNER, choice.message_id, choice.button("ETH").callback_data)
    told = await chat.phone.wait_for(lambda m: "learning" in m.text)
    assert told.text == "🔮 ETH · no signal now · learning 31/50\nLast close 17.48 at 12:00."


async def test_predict_of_a_candle_that_crossed_points_to_what_was_decided(chat: World) -> None:
    chat.desk.topics.money.prediction = replace(money.a_prediction(), crossed=Direction.SHORT)
    words = (await chat.ask("/predict ETH/USDT")).text
    assert words.startswith("🔮 ETH · crossed SHORT at 12:00 · LONG 37")
    assert "what came of it is in /signals" in words


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/predict DOGE", "✋ DOGE/USDT is not among the pairs: LINK, ETH"),
        ("/predict LINK ETH", "✋ That is more than one word.\nUsage: /predict PAIR, for example /predict LINK"),
        ("/predict <b>", "✋ '<b>' is not a pair.\nUsage: /predict PAIR, for example /predict LINK"),
    ],
)
async def test_predict_of_what_is_no_pair(chat: World, typed: str, said: str) -> None:
    assert (await chat.ask(typed)).text == said


# -- who may look --


@pytest.mark.parametrize("line", ["/profit", "/profit calendar", "/signals", "/market", "/risk", "/predict LINK"])
async def test_a_viewer_may_look_and_a_stranger_gets_no_answer(chat: World, line: str) -> None:
    owners = await chat.ask(line)
    viewers = await chat.ask(line, VIEWER)
    assert viewers.text == owners.text
    assert [b.text for b in viewers.buttons] == [b.text for b in owners.buttons]
    chat.phone.say(STRANGER, line)
    assert await chat.quiet(STRANGER) == []


async def test_plain_words_for_money_are_pointed_to_its_commands(chat: World) -> None:
    for words, name in {"my pnl": "profit", "exposure": "risk", "prices please": "market"}.items():
        assert (await chat.ask(words)).text.startswith(f"Did you mean /{name}")


# -- whatever the figures are --


def cards_of_odd_values() -> list[Card]:
    huge, awful = 1e15, money.a_profit()
    pair = replace(awful.pairs[0], pair="<b>&/USDT", pnl=-huge, r=1e9)
    many = replace(awful, pairs=(pair,) * 300, equity=huge, change=-huge, net=replace(awful.net, pnl=huge, factor=None))
    sad = tuple(replace(v, reason="<i>" + "x" * 5_000) for v in money.some_signals()) * 17
    days = replace(money.a_calendar(), days=(replace(money.a_calendar().days[0], pnl=-huge, trades=10**6),))
    broke = replace(money.a_risk(), equity=-5.0, day_loss=1.5, next_pause=NextPause("drawdown", 0.0))
    return [profit(many), signals(sad, UTC), month(days, UTC), risk(broke), predict(money.a_prediction(), UTC)]


@pytest.mark.parametrize("shown", cards_of_odd_values())
def test_no_card_is_too_long_or_breaks(shown: Card) -> None:
    for limit in (TEXT_LIMIT, CAPTION_LIMIT):
        assert units(html(shown, limit)) <= limit
        assert html(shown, limit).count("<b>") == 1


def test_fifty_signals_fit_one_message_with_all_their_numbers() -> None:
    views = tuple(replace(money.some_signals()[1], decision_id=1_000 + n) for n in range(50))
    words = plain(signals(views, UTC))
    assert all(f"{1_000 + n} ⛔" in words for n in range(50))


def test_times_are_the_persons_own() -> None:
    views = tuple(replace(v, time=money.NOON + timedelta(hours=11)) for v in money.some_signals())
    assert "22 Nov 12:00" in plain(signals(views, ZoneInfo("Pacific/Auckland")))
    assert a_pair().pair == "LINK/USDT"
    assert "(Pacific/Auckland)" in plain(month(money.a_calendar(date(2026, 10, 1)), ZoneInfo("Pacific/Auckland")))
