"""The real ccxt client against a server on loopback: good answers become candles, anything else an error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

from core.adapters.ccxt_market import CcxtMarket
from core.config import Exchange
from core.domain.candles import Pair, Timeframe
from core.errors import MarketError, RateLimited, UnknownPair
from tests.fakes.mexc import (
    DAY,
    START,
    Answer,
    FakeMexc,
    answer,
    broken,
    candle_at,
    candles_of,
    cut_off,
    refused,
    row_of,
    silent,
    text,
)

LINK = Pair("LINK", "USDT")
M15 = Timeframe.parse("15m")
STEP = M15.ms
ROWS = [row_of(candle_at(START + i * STEP), STEP) for i in range(8)]


@pytest.fixture
async def mexc() -> AsyncIterator[FakeMexc]:
    async with FakeMexc().serving() as server:
        yield server


@pytest.fixture
async def market(mexc: FakeMexc) -> AsyncIterator[CcxtMarket]:
    market = CcxtMarket(Exchange(base_url=mexc.url, rate_limit_ms=0))
    yield market
    await market.close()


async def ask(market: CcxtMarket, mexc: FakeMexc) -> Any:
    return await market.candles(LINK, M15, START, START + 8 * STEP, mexc.now)


async def test_candles_of_a_range_come_whole_and_exact(market: CcxtMarket, mexc: FakeMexc) -> None:
    found = await market.candles(LINK, M15, START, START + 100 * STEP, mexc.now)

    wanted = candles_of(LINK, M15, START, START + 100 * STEP)
    assert list(found) == list(wanted)
    assert found.time.dtype == np.int64


async def test_start_and_end_are_asked_for_so_that_an_end_left_out_or_included_is_the_same(
    market: CcxtMarket, mexc: FakeMexc
) -> None:
    await ask(market, mexc)

    (query,) = mexc.asked("klines")
    assert query == {
        "symbol": "LINKUSDT",
        "interval": "15m",
        "startTime": str(START),
        "endTime": str(START + 7 * STEP + 1),
        "limit": "500",
    }


@pytest.mark.parametrize(("timeframe", "interval"), [("1m", "1m"), ("5m", "5m"), ("30m", "30m"), ("1h", "60m")])
async def test_every_timeframe_has_the_exchanges_name(
    market: CcxtMarket, mexc: FakeMexc, timeframe: str, interval: str
) -> None:
    frame = Timeframe.parse(timeframe)

    found = await market.candles(LINK, frame, START, START + 3 * frame.ms, mexc.now)

    assert len(found) == 3
    assert mexc.asked("klines")[0]["interval"] == interval


async def test_a_running_candle_is_left_out(market: CcxtMarket, mexc: FakeMexc) -> None:
    running = M15.floor(mexc.now)

    found = await market.candles(LINK, M15, running - 2 * STEP, mexc.now + DAY, mexc.now)

    assert [c.open_time for c in found] == [running - 2 * STEP, running - STEP]


async def test_a_running_candle_sent_unasked_is_left_out(market: CcxtMarket, mexc: FakeMexc) -> None:
    mexc.faults = [answer(ROWS)]

    found = await market.candles(LINK, M15, START, START + DAY, START + 7 * STEP + 1)

    assert [c.open_time for c in found] == [START + i * STEP for i in range(7)]


async def test_nothing_is_asked_where_nothing_has_closed(market: CcxtMarket, mexc: FakeMexc) -> None:
    found = await market.candles(LINK, M15, M15.floor(mexc.now), mexc.now + DAY, mexc.now)

    assert len(found) == 0
    assert mexc.requests == []


async def test_one_page_at_most(market: CcxtMarket, mexc: FakeMexc) -> None:
    found = await market.candles(LINK, M15, START, mexc.now, mexc.now)

    assert len(found) == 500
    assert len(mexc.requests) == 1


async def test_a_gap_stays_a_gap(market: CcxtMarket, mexc: FakeMexc) -> None:
    mexc.absent = {START + 3 * STEP}

    assert [c.open_time for c in await ask(market, mexc)] == [START + i * STEP for i in range(8) if i != 3]


def spoiled(change: Callable[[list[list[Any]]], Any]) -> Answer:
    rows = [list(row) for row in ROWS]
    changed = change(rows)
    return answer(rows if changed is None else changed)


def put(row: int, column: int, value: object) -> Callable[[list[list[Any]]], None]:
    def change(rows: list[list[Any]]) -> None:
        rows[row][column] = value

    return change


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(text("null"), id="null"),
        pytest.param(text("<html>busy</html>", "text/html"), id="html with 200"),
        pytest.param(text(""), id="empty body"),
        pytest.param(text('[[1704067200000,"1'), id="cut JSON"),
        pytest.param(cut_off, id="cut body"),
        pytest.param(answer({"rows": []}), id="an object"),
        pytest.param(answer("text"), id="a text"),
        pytest.param(answer([1, 2, 3, 4, 5, 6]), id="numbers"),
        pytest.param(answer([None]), id="row of null"),
        pytest.param(spoiled(lambda rows: [row[:5] for row in rows]), id="five columns"),
        pytest.param(spoiled(lambda rows: [rows[0], rows[1][:3]]), id="ragged"),
        pytest.param(spoiled(put(2, 4, "NaN")), id="NaN"),
        pytest.param(spoiled(put(2, 4, None)), id="null close"),
        pytest.param(spoiled(put(2, 4, "abc")), id="text close"),
        pytest.param(spoiled(put(2, 2, "Infinity")), id="infinite high"),
        pytest.param(spoiled(put(2, 3, "0")), id="zero low"),
        pytest.param(spoiled(put(2, 1, "-1")), id="negative open"),
        pytest.param(spoiled(put(2, 5, "-1")), id="negative volume"),
        pytest.param(spoiled(put(2, 2, "1.0")), id="high below"),
        pytest.param(spoiled(put(2, 3, "100.0")), id="low above"),
        pytest.param(spoiled(put(2, 0, START + 2 * STEP + 1)), id="off the grid"),
        pytest.param(spoiled(put(2, 0, START // 1000)), id="seconds"),
        pytest.param(spoiled(put(2, 0, START + STEP)), id="duplicate"),
        pytest.param(spoiled(lambda rows: rows[::-1]), id="disorder"),
        pytest.param(spoiled(put(7, 0, START + 100 * DAY)), id="future"),
        pytest.param(spoiled(put(0, 0, START - STEP)), id="before what was asked"),
        pytest.param(spoiled(put(7, 0, START + 9 * STEP)), id="behind what was asked"),
        pytest.param(broken(500), id="500"),
        pytest.param(broken(503), id="503"),
        pytest.param(broken(403), id="403"),
        pytest.param(broken(404), id="404"),
        pytest.param(answer({"code": 700003, "msg": "odd"}), id="code with 200"),
    ],
)
async def test_a_doubtful_answer_is_an_error_and_never_no_news(
    market: CcxtMarket, mexc: FakeMexc, fault: Answer
) -> None:
    mexc.faults = [fault]

    with pytest.raises(MarketError) as caught:
        await ask(market, mexc)

    sentence = str(caught.value)
    assert not isinstance(caught.value, UnknownPair | RateLimited)
    assert len(sentence) < 160
    assert "http" not in sentence.replace("HTTP ", "")
    assert "html" not in sentence
    assert len(await ask(market, mexc)) == 8, "the next question is answered"


async def test_an_exchange_that_is_too_slow_is_not_waited_for(mexc: FakeMexc) -> None:
    market = CcxtMarket(Exchange(base_url=mexc.url, rate_limit_ms=0, timeout=0.05))
    mexc.faults = [silent(1.0)]

    with pytest.raises(MarketError, match=r"within 0\.05 s"):
        await ask(market, mexc)
    await market.close()


async def test_an_empty_list_is_an_honest_nothing(market: CcxtMarket, mexc: FakeMexc) -> None:
    mexc.faults = [answer([])]

    assert len(await ask(market, mexc)) == 0


@pytest.mark.parametrize(("header", "seconds"), [("0.05", 0.05), ("7", 7.0), (None, 5.0), ("soon", 5.0), ("-3", 5.0)])
async def test_429_says_how_long_to_wait(
    market: CcxtMarket, mexc: FakeMexc, header: str | None, seconds: float
) -> None:
    mexc.faults = [refused(header)]

    with pytest.raises(RateLimited) as caught:
        await ask(market, mexc)

    assert caught.value.retry_after == pytest.approx(seconds)


async def test_after_a_429_the_exchange_is_left_alone_until_the_wait_is_over(
    market: CcxtMarket, mexc: FakeMexc
) -> None:
    mexc.faults = [refused("60")]
    with pytest.raises(RateLimited):
        await ask(market, mexc)

    with pytest.raises(RateLimited) as caught:
        await market.server_time()

    assert 50 < caught.value.retry_after <= 60
    assert len(mexc.requests) == 1


async def test_rate_limit_told_in_the_body_is_one_too(market: CcxtMarket, mexc: FakeMexc) -> None:
    mexc.faults = [answer({"code": 510, "msg": "Requests are too frequent"})]

    with pytest.raises(RateLimited):
        await ask(market, mexc)


async def test_an_unknown_pair_is_named(market: CcxtMarket, mexc: FakeMexc) -> None:
    with pytest.raises(UnknownPair, match="NONE/USDT"):
        await market.candles(Pair("NONE", "USDT"), M15, START, START + STEP, mexc.now)


async def test_a_pair_delisted_since_is_unknown(market: CcxtMarket, mexc: FakeMexc) -> None:
    assert LINK in await market.markets()
    mexc.gone = {"LINKUSDT"}

    with pytest.raises(UnknownPair, match="LINK/USDT"):
        await ask(market, mexc)


async def test_markets_tell_which_are_active_and_are_read_anew(market: CcxtMarket, mexc: FakeMexc) -> None:
    before = await market.markets()
    mexc.symbols = {"NEWUSDT": "1"}
    after = await market.markets()

    assert before[LINK].active
    assert not before[Pair("OLD", "USDT")].active
    assert set(after) == {Pair("NEW", "USDT")}


@pytest.mark.parametrize("fault", [text("null"), answer({"symbols": []}), answer({}), text("<html>"), answer([1])])
async def test_an_exchange_without_markets_is_an_error(market: CcxtMarket, mexc: FakeMexc, fault: Answer) -> None:
    mexc.faulty_route, mexc.faults = "/api/v3/exchangeInfo", [fault]

    with pytest.raises(MarketError):
        await market.markets()


async def test_futures_are_never_asked(market: CcxtMarket, mexc: FakeMexc) -> None:
    await market.markets()
    await ask(market, mexc)
    await market.server_time()

    assert {path for path, _ in mexc.requests} == {"/api/v3/exchangeInfo", "/api/v3/klines", "/api/v3/time"}


async def test_server_time(market: CcxtMarket, mexc: FakeMexc) -> None:
    assert await market.server_time() == mexc.now


@pytest.mark.parametrize("stamp", [None, "x", 0, -5, 1_704_067_200, "1e12"])
async def test_a_senseless_server_time_is_an_error(market: CcxtMarket, mexc: FakeMexc, stamp: object) -> None:
    mexc.faulty_route, mexc.faults = "/api/v3/time", [answer({"serverTime": stamp})]

    with pytest.raises(MarketError):
        await market.server_time()


async def test_nobody_there() -> None:
    market = CcxtMarket(Exchange(base_url="http://127.0.0.1:9"))
    with pytest.raises(MarketError, match="cannot be reached"):
        await market.server_time()
    await market.close()


async def test_closing_twice_or_unused_is_fine(mexc: FakeMexc) -> None:
    market = CcxtMarket(Exchange(base_url=mexc.url, rate_limit_ms=0))
    await market.close()
    assert await market.server_time() == mexc.now
    await market.close()
    await market.close()


@pytest.mark.parametrize("body", ["<html>busy</html>", "null", '[["cut'])
async def test_what_is_no_json_is_called_so(market: CcxtMarket, mexc: FakeMexc, body: str) -> None:
    mexc.faults = [text(body)]

    with pytest.raises(MarketError, match="not JSON"):
        await ask(market, mexc)


async def test_the_last_prices_of_pairs_are_asked_one_by_one(market: CcxtMarket, mexc: FakeMexc) -> None:
    found = await market.prices([LINK, Pair("ETH", "USDT")])

    assert found == {pair: candle_at(mexc.now).close for pair in (LINK, Pair("ETH", "USDT"))}
    assert sorted(query["symbol"] for query in mexc.asked("ticker/price")) == ["ETHUSDT", "LINKUSDT"]


async def test_a_pair_without_a_price_takes_nobody_elses_away(market: CcxtMarket, mexc: FakeMexc) -> None:
    assert list(await market.prices([Pair("NONE", "USDT"), LINK])) == [LINK]

    with pytest.raises(UnknownPair):
        await market.prices([Pair("NONE", "USDT")])


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "inf", "", None, "17,5", [1], {"LINKUSDT": 2}])
async def test_a_price_that_is_none_is_refused(market: CcxtMarket, mexc: FakeMexc, price: object) -> None:
    mexc.faulty_route = "/api/v3/ticker/price"
    mexc.faults = [answer({"symbol": "LINKUSDT", "price": price})]

    with pytest.raises(MarketError, match="did not say what LINK/USDT costs"):
        await market.prices([LINK])


@pytest.mark.parametrize("body", [{"symbol": "ETHUSDT", "price": "17.5"}, [], {"price": "17.5"}])
async def test_another_pairs_price_is_not_taken_for_this_ones(market: CcxtMarket, mexc: FakeMexc, body: object) -> None:
    mexc.faulty_route = "/api/v3/ticker/price"
    mexc.faults = [answer(body)]

    with pytest.raises(MarketError, match="did not say what LINK/USDT costs"):
        await market.prices([LINK])


async def test_a_wish_to_slow_down_is_heard_where_no_price_came(market: CcxtMarket, mexc: FakeMexc) -> None:
    mexc.faulty_route = "/api/v3/ticker/price"
    mexc.faults = [broken(), refused("7")]

    with pytest.raises(RateLimited, match="7 s"):
        await market.prices([LINK, Pair("ETH", "USDT")])


async def test_all_volumes_come_in_one_request(mexc: FakeMexc, market: CcxtMarket) -> None:
    mexc.volumes = {"LINKUSDT": 12_345_678.5}
    found = await market.volumes()

    assert found[LINK] == 12_345_678.5
    assert found[Pair.parse("ETH/USDT")] == 5_000_000.0
    assert mexc.asked("ticker/24hr") == [{}]


async def test_a_volume_that_cannot_be_read_is_left_out_and_none_at_all_is_a_fault(
    mexc: FakeMexc, market: CcxtMarket
) -> None:
    mexc.faulty_route = "/api/v3/ticker/24hr"
    odd = [{"symbol": "ETHUSDT", "quoteVolume": None}, {"symbol": "?", "quoteVolume": "1"}, {"quoteVolume": "2"}, 7]
    mexc.faults = [answer([{"symbol": "LINKUSDT", "quoteVolume": "3.5"}, *odd]), answer(odd), text("null")]

    assert await market.volumes() == {LINK: 3.5}
    for _ in range(2):
        with pytest.raises(MarketError):
            await market.volumes()
