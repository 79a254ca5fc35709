"""The simulated exchange, read by the real ccxt client over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import ccxt.async_support as ccxt
import numpy as np
import pytest

from core.domain.candles import Candles, Pair, Timeframe, to_ms
from julaba_tg.phone.clock import SimClock
from julaba_tg.phone.exchange import Exchange, StoredSource
from julaba_tg.phone.market_sim import MarketSim

NOW = datetime(2026, 1, 5, 12, 7, 30, tzinfo=UTC)
QUARTER = Timeframe.parse("15m")
RUNNING = QUARTER.floor(to_ms(NOW))
LINK = Pair.parse("LINK")
SIM = MarketSim(7)


class Market:
    """The exchange with its clock standing still, and a client for each test."""

    def __init__(self, exchange: Exchange, client: Any) -> None:
        self.exchange, self.client = exchange, client

    async def raw(self, route: str, **query: Any) -> tuple[int, Any]:
        url = f"{self.exchange.base_url}/api/v3/{route}"
        async with aiohttp.ClientSession() as session, session.get(url, params=query) as answer:
            return answer.status, await answer.json()


def client_of(base_url: str) -> Any:
    client = ccxt.mexc({"enableRateLimit": False, "timeout": 2000})
    client.urls["api"]["spot"] = dict.fromkeys(("public", "private"), base_url)
    client.urls["api"]["contract"] = dict.fromkeys(("public", "private"), f"{base_url}/api/v1/contract")
    return client


@pytest.fixture
async def market() -> AsyncIterator[Market]:
    clock = SimClock(NOW, 4)
    clock.pause()
    clock.set(NOW)
    exchange = Exchange(SIM, clock)
    await exchange.start()
    client = client_of(exchange.base_url)
    yield Market(exchange, client)
    await client.close()
    await exchange.stop()


async def test_the_last_price_is_that_of_the_running_candle(market: Market) -> None:
    running = SIM.running(LINK, QUARTER, market.exchange.clock.now_ms())

    status, body = await market.raw("ticker/price", symbol="LINKUSDT")
    everybody = await market.raw("ticker/price")
    market.exchange.delist(LINK)

    assert (status, body["symbol"], float(body["price"])) == (200, "LINKUSDT", running.close)
    assert [row["symbol"] for row in everybody[1]] == [pair.symbol for pair in SIM.pairs()]
    assert (await market.raw("ticker/price", symbol="LINKUSDT"))[0] == 400


async def test_markets_and_time(market: Market) -> None:
    markets = await market.client.load_markets()
    assert set(markets) == {str(pair) for pair in SIM.pairs()}
    assert markets["LINK/USDT"]["active"] is True
    assert await market.client.fetch_time() == to_ms(NOW)
    assert (await market.raw("ping"))[1] == {}
    assert "LINKUSDT" in (await market.raw("defaultSymbols"))[1]["data"]


async def test_candles_are_the_simulators_and_the_last_one_is_running(market: Market) -> None:
    rows = await market.client.fetch_ohlcv("LINK/USDT", "15m", limit=10)
    closed = SIM.candles(LINK, QUARTER, RUNNING - 9 * QUARTER.ms, RUNNING)
    assert [row[0] for row in rows] == [*closed.time, RUNNING]
    assert np.array_equal([row[4] for row in rows[:-1]], closed.close)
    assert rows[-1][4] == SIM.running(LINK, QUARTER, to_ms(NOW)).close


@pytest.mark.parametrize("name", ["1m", "5m", "15m", "30m", "1h"])
async def test_every_timeframe_pages_without_gap(market: Market, name: str) -> None:
    frame = Timeframe.parse(name)
    start = frame.floor(to_ms(NOW)) - 1200 * frame.ms
    rows: list[list[float]] = []
    while len(rows) < 1201:
        since = int(rows[-1][0]) + frame.ms if rows else start
        until = min(since + 500 * frame.ms, to_ms(NOW)) - 1
        page = await market.client.fetch_ohlcv("LINK/USDT", name, since, 500, {"until": until})
        assert page
        rows += page
    assert np.all(np.diff([row[0] for row in rows]) == frame.ms)


async def test_klines_keep_mexcs_ways(market: Market) -> None:
    frame = QUARTER.ms
    query = {"symbol": "LINKUSDT", "interval": "15m"}
    _, rows = await market.raw("klines", **query, startTime=RUNNING - 9 * frame, endTime=RUNNING - 5 * frame)
    assert [row[0] for row in rows] == [RUNNING - i * frame for i in (9, 8, 7, 6)]  # endTime is excluded
    assert len(rows[0]) == 8
    assert isinstance(rows[0][1], str)
    assert rows[0][6] == rows[0][0] + frame

    _, ignored = await market.raw("klines", **query, startTime=RUNNING - 900 * frame, limit=3)
    assert ignored[-1][0] == RUNNING  # startTime alone counts for nothing
    _, many = await market.raw("klines", **query, limit=1000)
    assert len(many) == 500
    _, until = await market.raw("klines", **query, endTime=RUNNING - 5 * frame, limit=2)
    assert [row[0] for row in until] == [RUNNING - 7 * frame, RUNNING - 6 * frame]
    _, future = await market.raw("klines", **query, startTime=RUNNING + frame, endTime=RUNNING + 9 * frame)
    assert future == []


async def test_what_is_wrong_is_said(market: Market) -> None:
    query = {"symbol": "LINKUSDT", "interval": "15m"}
    assert await market.raw("klines", **{**query, "symbol": "NOPE"}) == (400, {"code": -1121, "msg": "Invalid symbol."})
    assert (await market.raw("klines", **{**query, "interval": "1h"}))[1]["msg"] == "Invalid interval."
    assert (await market.raw("klines", interval="15m"))[0] == 400
    assert (await market.raw("klines", **query, limit="x"))[0] == 400


async def test_a_delisted_and_a_paused_pair(market: Market) -> None:
    await market.client.load_markets()
    market.exchange.delist(LINK)
    market.exchange.pause_trading(Pair.parse("ETH"))
    with pytest.raises(ccxt.BadSymbol):
        await market.client.fetch_ohlcv("LINK/USDT", "15m")
    markets = await market.client.load_markets(True)
    assert "LINK/USDT" not in markets
    assert markets["ETH/USDT"]["active"] is False


async def test_faults_reach_the_client_as_the_real_ones_do(market: Market) -> None:
    client = market.client
    await client.load_markets()
    market.exchange.fault("rate_limit", method="klines", retry_after=3)
    with pytest.raises(ccxt.RateLimitExceeded):
        await client.fetch_ohlcv("LINK/USDT", "15m")
    assert client.last_response_headers["Retry-After"] == "3"

    market.exchange.fault("error", status=503)
    with pytest.raises(ccxt.ExchangeNotAvailable):
        await client.fetch_time()
    market.exchange.fault("cut")
    with pytest.raises(ccxt.BaseError):
        await client.fetch_ohlcv("LINK/USDT", "15m")
    market.exchange.fault("down", times=None, seconds=30)
    with pytest.raises(ccxt.NetworkError):
        await client.fetch_ohlcv("LINK/USDT", "15m")
    market.exchange.faults.clear()
    market.exchange.fault("hang", seconds=30)
    client.timeout = 100
    with pytest.raises(ccxt.RequestTimeout):
        await client.fetch_time()


@pytest.mark.parametrize("kind", ["html", "null", "nonsense"])
async def test_answers_that_are_none_pass_the_client_in_silence(market: Market, kind: str) -> None:
    """FACTS: that is why the adapter checks every row."""
    await market.client.load_markets()
    market.exchange.fault(kind, method="klines")
    rows = await market.client.fetch_ohlcv("LINK/USDT", "15m", limit=20)
    good = all(len(r) >= 6 and None not in r and all(v == v for v in r) and r[2] >= r[3] for r in rows)
    assert not rows or not good


class Stored:
    """A ``CandleStore`` that holds one pair's 15m candles."""

    def __init__(self, candles: Candles) -> None:
        self.candles = candles

    def load(self, pair: Pair, timeframe: Timeframe, start_ms: int | None = None, end_ms: int | None = None) -> Candles:
        if timeframe == self.candles.timeframe and pair == self.candles.pair:
            return self.candles.between(start_ms, end_ms)
        return Candles.empty(pair, timeframe)

    def save(self, candles: Candles) -> int:
        raise AssertionError("nothing is written")

    def pairs(self, timeframe: Timeframe) -> tuple[Pair, ...]:
        return (self.candles.pair,)


async def test_stored_candles_are_played_again_without_the_future() -> None:
    stored = SIM.candles(LINK, QUARTER, RUNNING - 100 * QUARTER.ms, RUNNING + 100 * QUARTER.ms)
    source = StoredSource(Stored(stored), QUARTER)

    assert source.pairs() == (LINK,)
    running = source.running(LINK, QUARTER, RUNNING + 60_000)
    assert running is not None
    assert running.close == running.high == stored.close[99]
    assert len(source.candles(LINK, Timeframe.parse("5m"), RUNNING - 9_000_000, RUNNING)) == 0
    hour = Timeframe.parse("1h")
    assert columns_equal(
        source.candles(LINK, hour, hour.floor(RUNNING) - 5 * hour.ms, hour.floor(RUNNING)),
        SIM.candles(LINK, hour, hour.floor(RUNNING) - 5 * hour.ms, hour.floor(RUNNING)),
    )


def columns_equal(one: Candles, two: Candles) -> bool:
    return all(
        np.allclose(getattr(one, c), getattr(two, c)) for c in ("time", "open", "high", "low", "close", "volume")
    )


async def test_the_clock_runs_pauses_steps_and_wakes_sleepers() -> None:
    clock = SimClock(NOW, 40_000)
    await clock.sleep_until(NOW + timedelta(days=10))
    assert clock.now() >= NOW + timedelta(days=10)

    clock.pause()
    stopped = clock.now()
    assert clock.step(2) == stopped.replace(minute=stopped.minute // 15 * 15, second=0, microsecond=0) + timedelta(
        minutes=30
    )
    clock.set(NOW)
    assert clock.now() == NOW
    clock.resume()
    clock.set_speed(0)
    assert clock.rate == 0
    with pytest.raises(ValueError, match="backwards"):
        clock.set_speed(-1)
