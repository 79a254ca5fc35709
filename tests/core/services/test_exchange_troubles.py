"""Whatever the exchange does wrong over HTTP: nothing is lost, one clear alert, one when it is over.

Each trouble hits the real client and the real loop on a real ledger, twice: as a moment, which nobody hears of and
which leaves the ledger byte for byte as without it; and for hours, in which stops are honoured late but at their own
time, and what could not be decided in time is named as missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from core.adapters.candle_files import CandleFiles
from core.adapters.ccxt_market import CcxtMarket
from core.config import Settings
from core.domain.candles import Pair, to_ms
from core.domain.messages import Event, Notice, PairStopped
from core.services import feed, fetch, live
from core.services.bus import Bell
from core.services.feed import ExchangeLower
from core.services.live import LiveTrading
from core.services.loop import TradingLoop
from julaba_tg.phone.clock import SimClock
from julaba_tg.phone.exchange import Exchange
from julaba_tg.phone.market_sim import MarketSim
from tests.ledgers import Books, books, facts_of, settings
from tests.markets import M15

BEGIN = datetime(2026, 1, 5, 12, tzinfo=UTC)
CLOSES = 31
TO_MIDNIGHT = 48
LINK, ETH, BTC = (Pair.parse(name) for name in ("LINK", "ETH", "BTC"))
LOOSE = {"adx_min": 0, "volume_ratio_min": 0, "rsi_long_max": 100, "rsi_short_min": 0, "cooldown_bars": 0}


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "PAUSE", 0.005)
    monkeypatch.setattr(feed, "PATIENCE", 0.1)
    monkeypatch.setattr(feed, "LONG_WAIT", 0.2)
    monkeypatch.setattr(live, "AGAIN_AFTER", 0.02)
    monkeypatch.setattr(fetch, "PAUSES", (0.0, 0.0))


@cache
def market() -> MarketSim:
    return MarketSim(7, (LINK, ETH, BTC))


@dataclass
class Scene:
    """Live trading on the simulated exchange, whose time stands still but for ``close``."""

    exchange: Exchange
    clock: SimClock
    kept: Books
    store: CandleFiles
    loop: TradingLoop
    live: LiveTrading
    task: asyncio.Task[None]

    @property
    def now(self) -> int:
        return self.clock.now_ms()

    async def until(self, what: Callable[[], object], seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while not what():
                assert not self.task.done(), self.task
                await asyncio.sleep(0.002)

    async def closes(self, count: int) -> None:
        """So many closes that are handled to their end."""
        for _ in range(count):
            self.clock.step()
            await self.until(lambda: self.live.settled >= self.now)

    async def closes_in_trouble(self, count: int) -> None:
        """So many closes with a moment for each, whatever becomes of them."""
        for _ in range(count):
            self.clock.step()
            await asyncio.sleep(0.03)

    async def closes_without(self, pair: Pair, count: int) -> None:
        """So many closes that all but one pair have handled; it is asked on until the next."""
        others = [p for p in (LINK, ETH, BTC) if p != pair]
        for _ in range(count):
            self.clock.step()
            await self.until(lambda: all(self.live.feed.newest(p) == self.now - M15.ms for p in others))
            await asyncio.sleep(0.02)

    async def told(self) -> list[str]:
        """The titles of what was told of faults and their ends, and of pairs that were stopped."""
        found = []
        for item in await self.kept.chat.pending(10_000):
            event: Event = item.event
            if isinstance(event, PairStopped):
                found.append(f"stopped {event.pair}: {event.reason}")
            if isinstance(event, Notice) and event.topic in {"fault", "recovered"}:
                found.append(event.title)
        return found


def config(exchange: Exchange, **changes: Any) -> Settings:
    return settings(
        pairs=[{"symbol": "LINK/USDT"}, {"symbol": "ETH/USDT"}],
        strategy=LOOSE | {"max_bars": 20},
        exchange={"base_url": exchange.base_url, "rate_limit_ms": 0, "grace": 0, "timeout": 0.25},
        rules={"alignment_timeframes": ["1h"]},
        paper={"exits_between_closes": False},
        **changes,
    )


@asynccontextmanager
async def trading(folder: Path, begin: datetime = BEGIN, **changes: Any) -> AsyncIterator[Scene]:
    clock = SimClock(begin)
    clock.pause()
    clock.set(begin)
    exchange = Exchange(market(), clock)
    await exchange.start()
    conf = config(exchange, **changes)
    client, store, bell = CcxtMarket(conf.exchange), CandleFiles(folder / "candles"), Bell()
    async with books(folder) as kept:
        loop = TradingLoop(conf, clock, kept.ledger, lower=ExchangeLower(client), bell=bell)
        trader = LiveTrading(conf, clock, client, store, kept.ledger, loop, bell)
        task = asyncio.create_task(trader.run())
        scene = Scene(exchange, clock, kept, store, loop, trader, task)
        try:
            await scene.until(trader.ready.is_set)
            await scene.until(lambda: trader.settled >= scene.now)
            yield scene
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await trader.save()
            await client.close()
            await exchange.stop()


Facts = dict[str, list[tuple[object, ...]]]


async def facts(scene: Scene) -> Facts:
    """All that trading has decided; what was told is looked at apart."""
    found = await facts_of(scene.kept)
    del found["outbox"]
    return found


@pytest.fixture(scope="module")
def _undisturbed() -> dict[str, Facts]:
    return {}


@pytest.fixture
async def undisturbed(_undisturbed: dict[str, Facts], tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """The ledger of a run without any trouble."""
    if not _undisturbed:
        async with trading(tmp_path_factory.mktemp("undisturbed")) as scene:
            await scene.closes(CLOSES)
            _undisturbed["all"] = await facts(scene)
            assert await scene.told() == []
    return _undisturbed["all"]


SIGNAL, STOP, AGAIN = 5, 7, 26
"""Candles after BEGIN at which LINK is sold, stopped out, and sold again."""

MOMENT: dict[str, dict[str, Any]] = {
    "HTTP 500": {"kind": "error", "status": 500},
    "HTTP 503": {"kind": "error", "status": 503},
    "wait a moment": {"kind": "rate_limit", "retry_after": 0.05},
    "a slow answer": {"kind": "hang", "seconds": 0.04},
    "the connection drops": {"kind": "drop"},
    "a body cut short": {"kind": "cut"},
    "a page of HTML": {"kind": "html"},
    "null": {"kind": "null"},
    "impossible candles": {"kind": "nonsense"},
    "a candle left out": {"kind": "gap"},
    "a candle twice": {"kind": "duplicate"},
    "candles in disorder": {"kind": "disorder"},
    "nothing new": {"kind": "stale"},
}


def row_times(found: Facts, table: str, column: int) -> set[int]:
    return {(int(str(row[column])) - to_ms(BEGIN)) // M15.ms for row in found[table]}


async def test_the_scene_holds_a_trade_a_stop_and_another_trade(undisturbed: Facts) -> None:
    assert {SIGNAL, AGAIN} <= {
        t for t, row in zip(times(undisturbed), undisturbed["decisions"], strict=True) if row[6] == "taken"
    }
    assert STOP in row_times(undisturbed, "legs", 3)


ROWS = {"nonsense", "gap", "duplicate", "disorder", "stale"}  # what can be wrong with candles alone
MOMENTS = [(r, n) for n, t in MOMENT.items() for r in ("klines", "time") if r == "klines" or t["kind"] not in ROWS]


@pytest.mark.parametrize(("route", "name"), MOMENTS)
async def test_a_moment_of_trouble_changes_nothing_and_nobody_hears_of_it(
    undisturbed: Facts, tmp_path: Path, route: str, name: str
) -> None:
    async with trading(tmp_path) as scene:
        for candle in range(CLOSES):
            if candle in {SIGNAL, STOP}:
                scene.exchange.fault(**MOMENT[name], times=4, method=route)
            await scene.closes(1)

        assert await facts(scene) == undisturbed
        assert await scene.told() == []


HOURS = {name: t for name, t in MOMENT.items() if t["kind"] not in {"gap", "rate_limit", "hang"}}
HOURS["no answer"] = {"kind": "hang"}


@pytest.mark.parametrize("trouble", HOURS.values(), ids=HOURS)
async def test_hours_of_trouble_are_one_alert_and_stops_are_honoured_at_their_own_time(
    undisturbed: Facts, tmp_path: Path, trouble: dict[str, Any]
) -> None:
    async with trading(tmp_path) as scene:
        await scene.closes(SIGNAL + 1)
        scene.exchange.fault(**trouble | {"method": "klines", "times": None, "seconds": 3600})
        await scene.closes_in_trouble(5)
        scene.exchange.faults.clear()
        await scene.closes(CLOSES - SIGNAL - 6)

        assert await facts(scene) == undisturbed
        assert await scene.told() == [
            "No candles from the exchange since 05 Jan 13:30 UTC",
            "Candles come from the exchange again",
        ]


async def test_a_long_pause_that_the_exchange_wants_is_kept_and_is_one_alert(
    undisturbed: Facts, tmp_path: Path
) -> None:
    async with trading(tmp_path) as scene:
        await scene.closes(SIGNAL + 1)
        refusal = scene.exchange.fault("rate_limit", method="klines", times=1, retry_after=0.5)
        await scene.closes_in_trouble(5)
        asked = scene.exchange.requests
        await asyncio.sleep(0.1)
        assert scene.exchange.requests == asked, "it goes on asking"
        await scene.closes(CLOSES - SIGNAL - 6)

        assert refusal.hits == 1
        assert await facts(scene) == undisturbed
        assert await scene.told() == ["The exchange asks us to wait until 13:45 UTC", "The exchange lets us ask again"]


async def test_a_signal_of_the_hours_of_trouble_is_named_as_missed_and_followed(
    undisturbed: Facts, tmp_path: Path
) -> None:
    async with trading(tmp_path) as scene:
        await scene.closes(AGAIN)
        scene.exchange.fault("error", times=None)
        await scene.closes_in_trouble(4)
        scene.exchange.faults.clear()
        await scene.closes(CLOSES - AGAIN - 4)
        found = await facts(scene)

    changed = [d for d, whole in zip(found["decisions"], undisturbed["decisions"], strict=True) if d != whole]
    assert [(t, d[6]) for t, d in zip(times(found), found["decisions"], strict=True) if d in changed] == [
        (AGAIN, "missed")
    ]
    assert [row[0] for row in found["follows"]] == [row[0] for row in undisturbed["follows"]]
    assert [row[0] for row in found["equity"]] == [row[0] for row in undisturbed["equity"]]


def times(found: Facts) -> list[int]:
    return [(int(str(row[3])) - to_ms(BEGIN)) // M15.ms for row in found["decisions"]]


async def test_one_pairs_trouble_is_one_alert_that_names_its_open_trade_and_costs_the_others_nothing(
    undisturbed: Facts, tmp_path: Path
) -> None:
    async with trading(tmp_path) as scene:
        await scene.closes(SIGNAL + 1)
        scene.exchange.fault("nonsense", method="klines:LINKUSDT", times=None)
        await scene.closes_without(LINK, 9)
        alert = next(i.event for i in await scene.kept.chat.pending(99) if getattr(i.event, "topic", "") == "fault")
        assert LINK in scene.live.quarantine
        assert scene.loop.handled(ETH) == scene.now - M15.ms
        scene.exchange.faults.clear()
        await scene.closes(CLOSES - SIGNAL - 10)
        found = await facts(scene)

        assert await scene.told() == ["LINK/USDT: no candle since 05 Jan 13:30 UTC", "LINK/USDT: candles come again"]
        assert LINK not in scene.live.quarantine
    assert isinstance(alert, Notice)
    assert "Its open trade is held and unwatched" in alert.detail
    assert found["legs"] == undisturbed["legs"]
    assert found["follows"] == undisturbed["follows"]
    assert found["account"] == undisturbed["account"]


async def test_a_quarantined_pair_is_asked_now_and_then_and_at_least_once_an_hour(tmp_path: Path) -> None:
    async with trading(tmp_path) as scene:
        fault = scene.exchange.fault("error", method="klines:LINKUSDT", times=None)
        await scene.closes_without(LINK, 4)
        asked = []
        for _ in range(12):
            await scene.closes(1)
            asked.append(fault.hits)
        assert LINK in scene.live.quarantine

    again = [n for n in range(1, 12) if asked[n] > asked[n - 1]]
    assert again == [1, 5, 9]


async def test_a_candle_that_never_comes_is_bridged_and_one_that_comes_late_is_in_the_files(
    undisturbed: Facts, tmp_path: Path
) -> None:
    lost = to_ms(BEGIN) + (STOP + 3) * M15.ms
    async with trading(tmp_path) as scene:
        scene.exchange.lose(LINK, lost)
        await scene.closes(STOP + 3)
        await scene.closes_without(LINK, 1)
        await scene.closes(2)
        decided = await facts(scene)
        await scene.live.save()
        assert lost not in scene.store.load(LINK, M15).time
        scene.exchange.lose(LINK, lost, gone=False)
        await scene.closes(1)
        await scene.live.save()

        assert lost in scene.store.load(LINK, M15).time
        again = await facts(scene)
        assert [d for d in again["decisions"] if d in decided["decisions"]] == decided["decisions"]
        assert again["equity"][: len(decided["equity"])] == decided["equity"]
        assert await scene.told() == ["LINK/USDT: no candle since 05 Jan 14:30 UTC", "LINK/USDT: candles come again"]


async def test_a_pair_delisted_while_its_trade_is_open_is_told_once_with_what_becomes_of_the_trade(
    undisturbed: Facts, tmp_path: Path
) -> None:
    async with trading(tmp_path) as scene:
        await scene.closes(SIGNAL + 1)
        scene.exchange.delist(LINK)
        await scene.closes(4)
        assert await scene.told() == [
            "stopped LINK/USDT: is not listed by the exchange; "
            "its open trade is held and unwatched: no stop or target can be seen"
        ]
        assert scene.loop.account.position(LINK) is not None
        assert scene.loop.handled(ETH) == scene.now - M15.ms
        scene.exchange.delist(LINK, gone=False)
        await scene.closes(TO_MIDNIGHT - SIGNAL - 4)
        assert (await scene.told())[1:] == ["LINK/USDT is traded again"]
        found = await facts(scene)

    first = [row for row in undisturbed["legs"] if row[0] == 1]
    assert [row for row in found["legs"] if row[0] == 1] == first, "the stop is honoured at its own time"


async def test_a_restart_in_the_middle_of_an_outage_tells_nothing_twice(undisturbed: Facts, tmp_path: Path) -> None:
    async with trading(tmp_path) as scene:
        await scene.closes(SIGNAL + 1)
        scene.exchange.fault("error", method="klines", times=None)
        await scene.closes_in_trouble(2)
        while not await scene.told():  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.002)
        moment = scene.clock.now()
    async with trading(tmp_path, moment) as scene:
        await scene.closes(CLOSES - SIGNAL - 3)

        assert await scene.told() == [
            "No candles from the exchange since 05 Jan 13:30 UTC",
            "Candles come from the exchange again",
        ]
        found = await facts(scene)
    assert found["legs"] == undisturbed["legs"]
    assert found["equity"] == undisturbed["equity"]
