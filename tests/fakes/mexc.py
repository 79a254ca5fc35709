"""A small MEXC on loopback: a few routes, candles made by a rule, and faults on demand.

Prices follow from the open time alone, so that a test can say what must come out without keeping a copy.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from types import TracebackType
from typing import Any

from aiohttp import web

from core.domain.candles import Candle, Candles, Pair, Timeframe

START = 1_704_067_200_000  # 2024-01-01T00:00:00Z
DAY = 86_400_000
_STEPS = {"1m": 60_000, "5m": 300_000, "15m": 900_000, "30m": 1_800_000, "60m": 3_600_000}

Answer = Callable[[web.Request], Any]


def candle_at(time: int) -> Candle:
    """The candle of an open time: a different one for each, always possible."""
    base = 10 + (time // 60_000) % 997 / 100
    return Candle(time, base, base + 0.25, base - 0.125, base + 0.0625, float((time // 60_000) % 101))


def candles_of(pair: Pair, timeframe: Timeframe, start: int, end: int) -> Candles:
    return Candles.of(pair, timeframe, [candle_at(t) for t in range(start, end, timeframe.ms)])


def row_of(candle: Candle, step: int) -> list[object]:
    """As MEXC writes it: eight columns, prices as text."""
    prices = [repr(value) for value in (candle.open, candle.high, candle.low, candle.close, candle.volume)]
    return [candle.open_time, *prices, candle.open_time + step, "1.0"]


@dataclass
class FakeMexc:
    """``faults`` are used up one per request to ``faulty_route``; ``spoil`` changes every page of candles."""

    now: int = START + 10 * DAY + 123_000
    first: int = START
    symbols: dict[str, str] = field(
        default_factory=lambda: {"LINKUSDT": "1", "ETHUSDT": "1", "BTCUSDT": "1", "POLUSDT": "1", "OLDUSDT": "2"}
    )
    volumes: dict[str, float] = field(default_factory=dict)  # of 24 hours, where they are not the usual
    gone: set[str] = field(default_factory=set)  # still listed, refused by klines: delisted a moment ago
    absent: set[int] = field(default_factory=set)  # open times the exchange does not have
    faults: list[Answer] = field(default_factory=list)
    faulty_route: str = "/api/v3/klines"
    spoil: Callable[[list[list[object]]], list[Any]] = lambda rows: rows
    cap: int = 500  # rows in one answer at most
    speed: float = 0.0  # exchange seconds per second; 0: the clock stands at ``now``
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""
    _started: float = 0.0

    def asked(self, route: str) -> list[dict[str, str]]:
        return [query for path, query in self.requests if path == f"/api/v3/{route}"]

    def clock(self) -> int:
        return self.now + int((asyncio.get_running_loop().time() - self._started) * 1000 * self.speed)

    def candle_times(self, start: int, end: int, step: int) -> Iterator[int]:
        for time in range(-(-start // step) * step, end, step):
            if self.first <= time <= self.clock() and time not in self.absent:
                yield time

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.path, dict(request.query)))
        if self.faults and request.path == self.faulty_route:
            answer = self.faults.pop(0)(request)
            return await answer if asyncio.iscoroutine(answer) else answer  # type: ignore[no-any-return]
        routes = {
            "time": self._time,
            "exchangeInfo": self._markets,
            "klines": self._klines,
            "ticker/price": self._price,
            "ticker/24hr": self._volumes,
        }
        return routes[request.path.removeprefix("/api/v3/")](request)

    def _time(self, request: web.Request) -> web.Response:
        return web.json_response({"serverTime": self.clock()})

    def _markets(self, request: web.Request) -> web.Response:
        symbols = [
            {
                "symbol": name,
                "status": status,
                "baseAsset": name.removesuffix("USDT"),
                "quoteAsset": "USDT",
                "isSpotTradingAllowed": True,
            }
            for name, status in self.symbols.items()
        ]
        return web.json_response({"symbols": symbols})

    def _price(self, request: web.Request) -> web.Response:
        name = request.query["symbol"]
        if name not in self.symbols or name in self.gone:
            return web.json_response({"code": -1121, "msg": "Invalid symbol."}, status=400)
        return web.json_response({"symbol": name, "price": repr(candle_at(self.clock()).close)})

    def _volumes(self, request: web.Request) -> web.Response:
        rows = [
            {"symbol": name, "quoteVolume": repr(volume), "volume": "1.0"}
            for name, volume in {**dict.fromkeys(self.symbols, 5_000_000.0), **self.volumes}.items()
        ]
        return web.json_response(rows)

    def _klines(self, request: web.Request) -> web.Response:
        query = request.query
        if query["symbol"] not in self.symbols or query["symbol"] in self.gone:
            return web.json_response({"code": -1121, "msg": "Invalid symbol."}, status=400)
        step = _STEPS[query["interval"]]
        times = self.candle_times(int(query["startTime"]), int(query["endTime"]), step)
        rows = [row_of(candle_at(t), step) for t in times][: min(int(query["limit"]), self.cap)]
        return web.json_response(self.spoil(rows))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[FakeMexc]:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self._started = asyncio.get_running_loop().time()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()


class InThread:
    """The fake in a thread of its own, for what brings its own event loop: ``with InThread(FakeMexc()) as mexc``."""

    def __init__(self, mexc: FakeMexc) -> None:
        self._mexc = mexc
        self._up = Event()
        self._thread = Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with self._mexc.serving():
            self._up.set()
            await self._stop.wait()

    def __enter__(self) -> FakeMexc:
        self._thread.start()
        assert self._up.wait(10)
        return self._mexc

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)


def refused(wait: str | None = None) -> Answer:
    headers = {} if wait is None else {"Retry-After": wait}
    return lambda request: web.json_response({"code": 429, "msg": "Too many requests"}, status=429, headers=headers)


def broken(status: int = 503) -> Answer:
    return lambda request: web.Response(status=status, text="<html>down</html>", content_type="text/html")


def text(body: str, content_type: str = "application/json") -> Answer:
    """An answer with status 200 and this body."""
    return lambda request: web.Response(text=body, content_type=content_type)


def answer(value: object) -> Answer:
    return text(json.dumps(value))


def cut_off(request: web.Request) -> Any:
    """Promises more bytes than it sends, then hangs up."""

    async def respond() -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b'[[1704067200000,"10.0"')
        assert request.transport is not None
        request.transport.close()
        return response

    return respond()


def silent(seconds: float) -> Answer:
    """Answers too late."""

    async def respond() -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return web.json_response([])

    return lambda request: respond()
