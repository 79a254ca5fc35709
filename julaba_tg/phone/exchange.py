"""A simulated exchange with MEXC's spot routes, for the real ccxt client: simulated or stored candles, its own clock.

Facts it keeps to: ``endTime`` is excluded, ``startTime`` without ``endTime`` is ignored, at most 500 rows, the last
row is the candle still running, an hour is called 60m, prices are texts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from aiohttp import web

from core.domain.candles import DAY_MS, Candle, Candles, Pair, Timeframe
from core.errors import UsageError
from core.ports import CandleStore
from julaba_tg.phone.clock import SimClock
from julaba_tg.phone.faults import Fault, cut, hang, kinds
from julaba_tg.phone.market_sim import resampled
from julaba_tg.phone.serving import LocalServer, local_only

MAX_ROWS = 500
INTERVALS = {"1m": "1m", "5m": "5m", "15m": "15m", "30m": "30m", "60m": "1h"}
_BAD_SYMBOL = {"code": -1121, "msg": "Invalid symbol."}
_BAD_INTERVAL = {"code": -1121, "msg": "Invalid interval."}
_SPOILT = ("gap", "duplicate", "disorder", "stale")
_HTML = "<!doctype html><title>Just a moment...</title><h1>Checking your browser</h1>"

__all__ = ["CandleSource", "Exchange", "SimClock", "StoredSource"]


class CandleSource(Protocol):
    """Where the exchange's candles come from; ``market_sim.MarketSim`` is one, ``StoredSource`` another."""

    def pairs(self) -> Sequence[Pair]: ...

    def candles(self, pair: Pair, timeframe: Timeframe, start_ms: int, end_ms: int) -> Candles:
        """Whole candles with open times in ``[start_ms, end_ms)``; the caller asks for the past only."""
        ...

    def running(self, pair: Pair, timeframe: Timeframe, now_ms: int) -> Candle | None:
        """The candle open at ``now_ms``, made of what was known then; None where nothing is."""
        ...


class StoredSource:
    """Stored candles played again. A longer timeframe is resampled from ``base``; a shorter one must be stored."""

    def __init__(self, store: CandleStore, base: Timeframe, pairs: Sequence[Pair] | None = None) -> None:
        self._store, self._base = store, base
        self._pairs = tuple(pairs) if pairs is not None else store.pairs(base)
        self._loaded: dict[tuple[Pair, Timeframe], Candles] = {}

    def pairs(self) -> tuple[Pair, ...]:
        return self._pairs

    def candles(self, pair: Pair, timeframe: Timeframe, start_ms: int, end_ms: int) -> Candles:
        return self._all(pair, timeframe).between(start_ms, end_ms)

    def running(self, pair: Pair, timeframe: Timeframe, now_ms: int) -> Candle | None:
        """Flat at the last price known: the stored candle of this moment would tell the future."""
        opened = timeframe.floor(now_ms)
        before = self._all(pair, timeframe).between(None, opened).tail(1)
        if not len(before) or opened - int(before.time[0]) > timeframe.ms:
            return None  # a gap in the stored candles stays one
        price = float(before.close[0])
        return Candle(opened, price, price, price, price, 0.0)

    def _all(self, pair: Pair, timeframe: Timeframe) -> Candles:
        key = (pair, timeframe)
        if key not in self._loaded:
            stored = self._store.load(pair, timeframe)
            if not len(stored) and timeframe.minutes > self._base.minutes:
                stored = resampled(self._all(pair, self._base), timeframe)
            self._loaded[key] = stored
        return self._loaded[key]


class Exchange(LocalServer):
    """MEXC's public spot routes on loopback; ``exchange.base_url`` of the settings is ``base_url``.

    ``delist`` and ``pause_trading`` change what exchangeInfo says, ``lose`` takes a candle away. ``fault`` also knows
    answers with status 200 that are none: html, null, cut (broken off in the middle), nonsense (impossible candles),
    gap (one candle left out), duplicate, disorder, and stale (nothing that closed lately, as of when it began). A
    fault of ``method="klines:LINKUSDT"`` is one pair's alone.
    """

    def __init__(self, source: CandleSource, clock: SimClock) -> None:
        super().__init__(kinds("html", "null", "cut", "nonsense", *_SPOILT))
        self.source, self.clock = source, clock
        self.requests = 0
        self._delisted: set[Pair] = set()
        self._paused: set[Pair] = set()
        self._lost: set[tuple[Pair, int]] = set()

    def _build(self) -> web.Application:
        app = web.Application(middlewares=[local_only, self._trouble])
        app.router.add_get("/api/v3/ping", self._ping)
        app.router.add_get("/api/v3/time", self._time)
        app.router.add_get("/api/v3/exchangeInfo", self._exchange_info)
        app.router.add_get("/api/v3/defaultSymbols", self._default_symbols)
        app.router.add_get("/api/v3/klines", self._klines)
        app.router.add_get("/api/v3/ticker/price", self._ticker_price)
        app.router.add_get("/api/v3/ticker/24hr", self._ticker_24h)
        app.router.add_get("/api/v1/contract/detail", self._contracts)  # ccxt asks for futures too
        return app

    def delist(self, pair: Pair, gone: bool = True) -> None:
        """The pair leaves the exchange, or comes back."""
        (self._delisted.add if gone else self._delisted.discard)(pair)

    def pause_trading(self, pair: Pair, paused: bool = True) -> None:
        """The pair stays listed with status 2 (paused)."""
        (self._paused.add if paused else self._paused.discard)(pair)

    def lose(self, pair: Pair, open_time: int, gone: bool = True) -> None:
        """The exchange does not have the candle (of any timeframe) of this open time, or has it after all."""
        (self._lost.add if gone else self._lost.discard)((pair, open_time))

    # Routes.

    async def _ping(self, _: web.Request) -> web.Response:
        return web.json_response({})

    async def _time(self, _: web.Request) -> web.Response:
        return web.json_response({"serverTime": self.clock.now_ms()})

    async def _contracts(self, _: web.Request) -> web.Response:
        return web.json_response({"success": True, "code": 0, "data": []})

    async def _default_symbols(self, _: web.Request) -> web.Response:
        return web.json_response({"code": 0, "msg": None, "data": [pair.symbol for pair in self._listed()]})

    async def _exchange_info(self, request: web.Request) -> web.Response:
        wanted = request.query.get("symbol")
        found = [pair for pair in self._listed() if wanted in {None, pair.symbol}]
        if wanted is not None and not found:
            return web.json_response(_BAD_SYMBOL, status=400)
        symbols = [_symbol_info(pair, pair in self._paused) for pair in found]
        now = self.clock.now_ms()
        body = {"timezone": "CST", "serverTime": now, "rateLimits": [], "exchangeFilters": [], "symbols": symbols}
        return web.json_response(body)

    async def _klines(self, request: web.Request) -> web.Response:
        try:
            rows = self._rows(request)
        except _Refused as refused:
            return web.json_response(refused.body, status=400)
        return web.json_response(rows)

    async def _ticker_price(self, request: web.Request) -> web.Response:
        """One pair's last price, or everybody's where none is named."""
        wanted = request.query.get("symbol")
        asked = [pair for pair in self._listed() if wanted in {None, pair.symbol}]
        if wanted is not None and not asked:
            return web.json_response(_BAD_SYMBOL, status=400)
        prices = {pair: price for pair in asked if (price := last_price(self.source, pair, self.clock)) is not None}
        rows = [{"symbol": pair.symbol, "price": _decimal(price)} for pair, price in prices.items()]
        return web.json_response(rows if wanted is None else rows[0] if rows else {"symbol": wanted, "price": None})

    async def _ticker_24h(self, _: web.Request) -> web.Response:
        """Everybody's turnover of the last 24 hours."""
        frame = Timeframe.parse("15m")
        end = frame.floor(self.clock.now_ms())
        rows = []
        for pair in self._listed():
            day = self.source.candles(pair, frame, max(0, end - DAY_MS), end)
            turnover, volume = float((day.volume * day.close).sum()), float(day.volume.sum())
            rows.append({"symbol": pair.symbol, "volume": _decimal(volume), "quoteVolume": _decimal(turnover)})
        return web.json_response(rows)

    def _listed(self) -> list[Pair]:
        return [pair for pair in self.source.pairs() if pair not in self._delisted]

    def _rows(self, request: web.Request) -> list[list[Any]]:
        query = request.query
        if not query.get("symbol"):
            raise _Refused({"code": 700004, "msg": "Param 'symbol' must be specified"})
        pair = next((p for p in self._listed() if p.symbol == query["symbol"]), None)
        if pair is None:
            raise _Refused(_BAD_SYMBOL)
        name = INTERVALS.get(query.get("interval", ""))
        if name is None:
            raise _Refused(_BAD_INTERVAL)
        frame = Timeframe.parse(name)
        limit = max(1, min(_number(query.get("limit"), MAX_ROWS), MAX_ROWS))
        end = _number(query.get("endTime"), None)
        start = _number(query.get("startTime"), None) if end is not None else None
        return self._between(pair, frame, start, end, limit)

    def _between(self, pair: Pair, frame: Timeframe, start: int | None, end: int | None, limit: int) -> list[list[Any]]:
        """Rows from ``start`` on where it is known, else the last ones before ``end``; never one of the future."""
        now = self.clock.now_ms()
        running = frame.floor(now)
        stop = min(running + 1 if end is None else end, running + 1)
        latest = frame.floor(stop - 1) - (limit - 1) * frame.ms
        first = latest if start is None else -(-start // frame.ms) * frame.ms
        try:
            closed = self.source.candles(pair, frame, max(0, first), max(0, min(stop, running)))
        except UsageError:
            return []
        candles = list(closed.rows(0, limit) if start is not None else closed.tail(limit))
        if stop > running >= first and len(candles) < limit:
            last = self.source.running(pair, frame, now)
            candles += [last] if last is not None else []
        return [_row(candle, frame) for candle in candles if (pair, candle.open_time) not in self._lost]

    @web.middleware
    async def _trouble(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests += 1
        route = request.path.rsplit("/", 1)[-1]
        fault = self.faults.take(route, f"{route}:{request.query.get('symbol', '')}")
        if fault is None:
            answer: web.StreamResponse = await handler(request)
            return answer
        match fault.kind:
            case "hang":
                await hang(fault)
                hung: web.StreamResponse = await handler(request)
                return hung
            case "down" | "drop":
                return cut(request)
            case "cut":
                return _cut_short(request, await handler(request))
            case "rate_limit":
                headers = {"Retry-After": f"{fault.retry_after:g}"}
                return web.json_response({"code": 429, "msg": "Too Many Requests"}, status=429, headers=headers)
            case "error":
                return web.Response(status=fault.status, text="Service Unavailable")
            case "html":
                return web.Response(text=_HTML, content_type="text/html")
            case "null":
                return web.Response(text="null", content_type="application/json")
            case "gap" | "duplicate" | "disorder" | "stale":
                fault.since = fault.since or self.clock.now_ms()
                return _spoilt(fault, await handler(request))
            case _:
                return _nonsense(await handler(request))


def last_price(source: CandleSource, pair: Pair, clock: SimClock) -> float | None:
    """The pair's price at this moment of the simulated time; None where the source knows none."""
    try:
        candle = source.running(pair, clock.timeframe, clock.now_ms())
    except UsageError:
        return None
    return candle.close if candle is not None else None


class _Refused(Exception):  # noqa: N818 - reads as the participle it is
    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(body["msg"])
        self.body = body


def _number(text: str | None, default: Any) -> Any:
    if text is None or text == "":
        return default
    if not text.lstrip("-").isdigit():
        raise _Refused({"code": 700003, "msg": f"Illegal characters found in parameter '{text[:20]}'"})
    return int(text)


def _row(candle: Candle, frame: Timeframe) -> list[Any]:
    """MEXC's eight columns: times as numbers, the rest as texts, then quote volume behind the close time."""
    quote = candle.volume * (candle.high + candle.low + candle.close) / 3
    texts = [_decimal(v) for v in (candle.open, candle.high, candle.low, candle.close, candle.volume)]
    return [candle.open_time, *texts, candle.open_time + frame.ms, _decimal(round(quote, 2))]


def _decimal(value: float) -> str:
    """The shortest text that reads back as the same number, without an exponent."""
    text = repr(float(value))
    return np.format_float_positional(value, trim="-") if "e" in text else text


def _symbol_info(pair: Pair, paused: bool) -> dict[str, Any]:
    return {
        "symbol": pair.symbol,
        "status": "2" if paused else "1",
        "baseAsset": pair.base,
        "baseAssetPrecision": 4,
        "quoteAsset": pair.quote,
        "quotePrecision": 4,
        "quoteAssetPrecision": 4,
        "baseCommissionPrecision": 4,
        "quoteCommissionPrecision": 4,
        "orderTypes": ["LIMIT", "MARKET", "LIMIT_MAKER"],
        "isSpotTradingAllowed": not paused,
        "isMarginTradingAllowed": False,
        "quoteAmountPrecision": "1",
        "baseSizePrecision": "0.0001",
        "permissions": ["SPOT"],
        "filters": [],
        "maxQuoteAmount": "2000000",
        "makerCommission": "0",
        "takerCommission": "0.0005",
        "fullName": pair.base,
        "tradeSideType": 1,
    }


def _cut_short(request: web.Request, whole: web.StreamResponse) -> web.StreamResponse:
    """Promises the whole body and breaks off in the middle."""
    body = bytes(whole.body) if isinstance(whole, web.Response) and isinstance(whole.body, bytes) else b"[]"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    return cut(request, [head, body[: len(body) // 2]])


def _spoilt(fault: Fault, whole: web.StreamResponse) -> web.Response:
    """Candles of which one is left out, doubled or misplaced, or only those that were old when it began."""
    rows = json.loads(whole.body) if isinstance(whole, web.Response) and isinstance(whole.body, bytes) else []
    if not (isinstance(rows, list) and rows and isinstance(rows[0], list)):
        return web.json_response(rows)
    frame = rows[0][6] - rows[0][0]
    match fault.kind:
        case "gap":
            del rows[len(rows) // 2]
        case "duplicate":
            rows.append([*rows[-1][:4], rows[-1][3], *rows[-1][5:]])  # the same candle with another close
        case "disorder":
            rows.append([rows[0][0] - frame, *rows[0][1:6], rows[0][0], rows[0][7]])
        case _:
            rows = [row for row in rows if row[6] + frame <= (fault.since or 0)]
    return web.json_response(rows)


def _nonsense(whole: web.StreamResponse) -> web.Response:
    """Candles whose low lies above their high and whose close is no number."""
    body = whole.body if isinstance(whole, web.Response) and isinstance(whole.body, bytes) else b"[]"
    rows = json.loads(body)
    if isinstance(rows, list) and rows and isinstance(rows[-1], list):
        rows[-1][2], rows[-1][3] = rows[-1][3], rows[-1][2]
        rows[len(rows) // 2][4] = "NaN"
    return web.json_response(rows)
