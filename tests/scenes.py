"""Live trading with the real client against a small exchange, for tests: its time moves when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from core.adapters.candle_files import CandleFiles
from core.adapters.ccxt_market import CcxtMarket
from core.adapters.clocks import ReplayClock
from core.config import Settings
from core.domain.candles import Pair, to_datetime
from core.domain.messages import Event, Notice
from core.services import feed, fetch, live
from core.services.bus import Bell
from core.services.feed import ExchangeLower
from core.services.live import LiveTrading
from core.services.loop import TradingLoop
from tests.fakes.mexc import DAY, START, Answer, FakeMexc
from tests.ledgers import Books, books, settings
from tests.markets import M15

NOON = START + 20 * DAY + 12 * 3_600_000
LINK, ETH, BTC, MATIC = (Pair.parse(name) for name in ("LINK", "ETH", "BTC", "MATIC"))
EVERYTHING = {"adx_min": 0, "volume_ratio_min": 0, "rsi_long_max": 100, "rsi_short_min": 0, "cooldown_bars": 0}


def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "PAUSE", 0.01)
    monkeypatch.setattr(feed, "PATIENCE", 0.5)
    monkeypatch.setattr(live, "AGAIN_AFTER", 0.02)
    monkeypatch.setattr(fetch, "PAUSES", (0.0, 0.0))


@dataclass
class Moody(FakeMexc):
    """The small MEXC whose mood also depends on the pair: ``moods`` holds an answer instead of its candles."""

    moods: dict[str, Answer] = field(default_factory=dict)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        mood = self.moods.get(request.query.get("symbol", ""))
        if mood is None:
            return await super()._handle(request)
        self.requests.append((request.path, dict(request.query)))
        answer = mood(request)
        return await answer if asyncio.iscoroutine(answer) else answer  # type: ignore[no-any-return]


@dataclass
class Scene:
    """Live trading on its exchange. ``close`` moves both clocks to the next close and waits for its handling."""

    mexc: Moody
    settings: Settings
    kept: Books
    store: CandleFiles
    clock: ReplayClock
    loop: TradingLoop
    live: LiveTrading
    task: asyncio.Task[None]

    async def until(self, what: Callable[[], object], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not what():
                assert not self.task.done(), self.task
                await asyncio.sleep(0.005)

    async def until_told(self, part: str) -> Event:
        async with asyncio.timeout(10):
            while not (found := [e for e in await self.events() if part in told(e)]):
                assert not self.task.done(), self.task
                await asyncio.sleep(0.005)
        return found[-1]

    def pass_time(self, candles: int = 1) -> int:
        """Both clocks stand at the close ``candles`` later; gives it."""
        close = M15.floor(self.mexc.now) + candles * M15.ms
        self.mexc.now = close + 10
        self.clock.advance(to_datetime(close + 10))
        return close

    async def close(self, candles: int = 1) -> None:
        for _ in range(candles):
            moment = self.pass_time()
            await self.until(lambda at=moment: (self.loop.last_close or 0) >= at)  # type: ignore[misc]
            await self.idle()

    async def idle(self) -> None:
        """Until the loop waits for the next close again, be it beside asking for a late pair."""
        await self.until(lambda: any(not sleeper.done() for _, _, sleeper in self.clock._sleepers))

    async def events(self) -> list[Event]:
        return [item.event for item in await self.kept.chat.pending(10_000)]

    async def told(self, *kinds: type[Event]) -> list[Event]:
        return [e for e in await self.events() if isinstance(e, kinds)]

    async def notices(self, *topics: str) -> list[str]:
        return [e.title for e in await self.events() if isinstance(e, Notice) and e.topic in topics]


def told(event: Event) -> str:
    return event.title if isinstance(event, Notice) else event.kind


def config(mexc: FakeMexc, pairs: tuple[str, ...] = ("LINK/USDT", "ETH/USDT"), **changes: Any) -> Settings:
    return settings(
        pairs=[{"symbol": p} for p in pairs],
        strategy=EVERYTHING | changes.pop("strategy", {}),
        exchange={"base_url": mexc.url, "rate_limit_ms": 0, "grace": 0, "timeout": 5},
        **changes,
    )


@asynccontextmanager
async def running(
    mexc: Moody, folder: Path, pairs: tuple[str, ...] = ("LINK/USDT", "ETH/USDT"), wait: bool = True, **changes: Any
) -> AsyncIterator[Scene]:
    """Started on the exchange's time as it is; ended as bootstrap ends it, unsaved candles written."""
    conf = config(mexc, pairs, **changes)
    market, store, clock, bell = (
        CcxtMarket(conf.exchange),
        CandleFiles(folder / "candles"),
        ReplayClock(to_datetime(mexc.now)),
        Bell(),
    )
    async with books(folder) as kept:
        loop = TradingLoop(conf, clock, kept.ledger, lower=ExchangeLower(market), bell=bell)
        trading = LiveTrading(conf, clock, market, store, kept.ledger, loop, bell)
        task = asyncio.create_task(trading.run())
        scene = Scene(mexc, conf, kept, store, clock, loop, trading, task)
        try:
            if wait:
                await scene.until(trading.ready.is_set)
                await scene.idle()
            yield scene
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await trading.save()
            await market.close()


@pytest.fixture
async def mexc() -> AsyncIterator[Moody]:
    async with Moody(now=NOON + 10, first=START).serving() as served:
        assert isinstance(served, Moody)
        yield served
