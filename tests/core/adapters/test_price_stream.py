"""The real streaming client of ccxt against the simulated exchange's WebSocket, as MEXC speaks: protobuf and all."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from core.adapters import price_stream
from core.adapters.ccxt_market import CcxtMarket
from core.adapters.price_stream import CcxtPriceStream
from core.config import Exchange
from core.domain.candles import Pair
from core.errors import MarketError
from core.services import prices
from julaba_tg.phone import exchange as simulated
from julaba_tg.phone import price_stream as phone
from julaba_tg.phone.clock import SimClock
from julaba_tg.phone.exchange import last_price
from julaba_tg.phone.market_sim import MarketSim
from julaba_tg.phone.price_stream import PriceFeed

NOW = datetime(2026, 1, 5, 12, 7, 30, tzinfo=UTC)
LINK, ETH = Pair("LINK", "USDT"), Pair("ETH", "USDT")
SIM = MarketSim(7)


@pytest.fixture
async def feed(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PriceFeed]:
    monkeypatch.setattr(phone, "EVERY", 0.01)
    clock = SimClock(NOW, 0)
    feed = PriceFeed(SIM, clock)
    await feed.start()
    yield feed
    await feed.stop()


@dataclass
class Listener:
    """What a stream has told, and how it ended."""

    heard: list[tuple[Pair, float, int]] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, pair: Pair, price: float, time_ms: int) -> None:
        self.heard.append((pair, price, time_ms))
        self.more.set()

    async def until(self, *pairs: Pair) -> None:
        async with asyncio.timeout(10):
            while not set(pairs) <= {pair for pair, _, _ in self.heard}:
                self.more.clear()
                await self.more.wait()


@asynccontextmanager
async def following(feed: PriceFeed, *pairs: Pair) -> AsyncIterator[tuple[Listener, asyncio.Task[None]]]:
    listener = Listener()
    task = asyncio.create_task(CcxtPriceStream(feed.url).follow(pairs, listener))
    try:
        yield listener, task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, MarketError):
            await task


async def ended(feed: PriceFeed, *pairs: Pair) -> str:
    """Why a stream broke off."""
    async with following(feed, *pairs) as (_, task):
        with pytest.raises(MarketError) as error:
            await asyncio.wait_for(task, 10)
    return str(error.value)


async def test_prices_come_as_the_middle_of_bid_and_ask_at_the_exchanges_time(feed: PriceFeed) -> None:
    async with following(feed, LINK, ETH) as (listener, _):
        await listener.until(LINK, ETH)

    told = {pair: (price, time) for pair, price, time in listener.heard}
    for pair in (LINK, ETH):
        price, time = told[pair]
        assert price == pytest.approx(last_price(SIM, pair, feed.clock), rel=1e-9)
        assert time == feed.clock.now_ms()
    assert sorted(feed.subscribed) == ["ETHUSDT", "LINKUSDT"]
    assert feed.connections == 1


async def test_a_stream_that_is_let_go_closes_its_connection_and_leaves_nothing(
    feed: PriceFeed, caplog: pytest.LogCaptureFixture
) -> None:
    before = len(asyncio.all_tasks())
    async with following(feed, LINK) as (listener, _):
        await listener.until(LINK)
    await connections(feed, 0)
    await asyncio.sleep(0.05)
    gc.collect()  # an unclosed session or a lost exception would speak here

    assert len(asyncio.all_tasks()) <= before
    assert [r.getMessage() for r in caplog.records if r.levelname != "INFO"] == []


async def connections(feed: PriceFeed, count: int) -> None:
    """Waits until so many are open."""
    for _ in range(500):
        if feed.open == count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{feed.open} connections are open")


@pytest.mark.parametrize("kind", ["nonsense", "broken_json"])
async def test_a_frame_that_cannot_be_read_ends_the_stream(
    feed: PriceFeed, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    feed.fault(kind, method="price")

    assert await ended(feed, LINK) == "the price stream broke off: a frame that cannot be read"
    assert [r.getMessage() for r in caplog.records if r.levelname != "INFO"] == []


async def test_a_price_that_cannot_be_is_not_heard(feed: PriceFeed) -> None:
    feed.fault("impossible", method="price", times=5)

    async with following(feed, LINK) as (listener, _):
        await listener.until(LINK)

    told = last_price(SIM, LINK, feed.clock)
    assert all(price == pytest.approx(told) for _, price, _ in listener.heard)


@pytest.mark.parametrize(("kind", "times"), [("closes", 1), ("down", 5), ("error", 1), ("rate_limit", 1)])
async def test_a_server_that_closes_or_refuses_ends_the_stream(feed: PriceFeed, kind: str, times: int) -> None:
    feed.fault(kind, method="connect", times=times)

    assert await ended(feed, LINK, ETH) == "the price stream broke off: the connection failed"


async def test_a_server_that_is_gone_ends_the_stream(feed: PriceFeed) -> None:
    async with following(feed, LINK) as (listener, task):
        await listener.until(LINK)
        await feed.stop()
        with pytest.raises(MarketError, match="broke off"):
            await asyncio.wait_for(task, 10)

    assert await ended(feed, LINK) == "the price stream broke off: the connection failed"


async def test_a_server_that_answers_nothing_holds_up_no_end(
    feed: PriceFeed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(price_stream, "CLOSING", 0.05)
    feed.fault("deaf", method="connect")
    before = len(asyncio.all_tasks())
    async with asyncio.timeout(5), following(feed, LINK) as (listener, task):  # aiohttp itself would wait for 10 s
        await connections(feed, 1)
        await asyncio.sleep(0.05)
        assert not task.done()
        assert listener.heard == []
    await feed.stop()
    await asyncio.sleep(0.05)
    gc.collect()

    assert len(asyncio.all_tasks()) <= before
    assert [r.getMessage() for r in caplog.records if r.levelname != "INFO"] == []


async def test_the_next_stream_works_after_one_that_broke(feed: PriceFeed) -> None:
    feed.fault("closes", method="connect")
    await ended(feed, LINK)

    async with following(feed, LINK) as (listener, _):
        await listener.until(LINK)


async def test_no_more_pairs_are_followed_than_one_connection_takes(feed: PriceFeed) -> None:
    many = [LINK, *(Pair(f"X{i}", "USDT") for i in range(40)), ETH]
    async with following(feed, *many) as (listener, _):
        await listener.until(LINK)
        await asyncio.sleep(0.05)

    assert feed.subscribed == ["LINKUSDT"]  # the others are not traded there, and ETH comes too late


async def test_prices_fall_back_to_asking_and_find_their_way_back(
    feed: PriceFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole of it over real HTTP and a real WebSocket: pushed, the stream goes, asked, it comes, pushed."""
    for name, seconds in {"TICK": 0.01, "ASK_EVERY": 0.05, "FIRST_PAUSE": 0.02, "LONGEST_PAUSE": 0.05}.items():
        monkeypatch.setattr(prices, name, seconds)
    rest = simulated.Exchange(SIM, feed.clock)
    await rest.start()
    market = CcxtMarket(Exchange(base_url=rest.base_url, rate_limit_ms=0))
    live = prices.Prices(lambda: [LINK], market, CcxtPriceStream(feed.url))
    running = asyncio.create_task(live.run())
    try:
        pushed = await priced(live, "stream")
        await feed.stop()
        asked = await priced(live, "asked")
        trouble = live.trouble
        await feed.start(port=urlsplit(feed.url).port or 0)
        again = await priced(live, "stream")
    finally:
        running.cancel()
        async with asyncio.timeout(1):
            await asyncio.gather(running, return_exceptions=True)
        await market.close()
        await rest.stop()

    assert pushed == again == pytest.approx(last_price(SIM, LINK, feed.clock), rel=1e-9)
    assert asked == last_price(SIM, LINK, feed.clock)
    assert trouble == "the price stream broke off: the connection failed"
    assert live.trouble == ""


async def priced(live: prices.Prices, source: str) -> float:
    for _ in range(1000):
        found = live.latest(LINK)
        if found is not None and found.source == source:
            return found.price
        await asyncio.sleep(0.01)
    raise AssertionError(f"no price came by {source}")


def test_mexcs_own_stream_is_left_alone_beside_another_exchange() -> None:
    assert Exchange().stream_url == "wss://wbs-api.mexc.com/ws"
    assert Exchange(base_url="http://127.0.0.1:1").stream_url == ""
    assert (
        Exchange(base_url="http://127.0.0.1:1", websocket_url="ws://127.0.0.1:2/ws").stream_url == "ws://127.0.0.1:2/ws"
    )
    assert Exchange(websocket_url="").stream_url == ""
