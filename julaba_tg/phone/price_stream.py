"""The simulated exchange's price stream, as MEXC's: JSON questions, protobuf prices, over a WebSocket of its own.

Facts it keeps to: a subscription is answered with its own name, a channel that is not known with a sentence; a ping
with PONG; prices are texts, times epoch ms; at most 30 subscriptions on one connection.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from aiohttp import WSMsgType, web

from core.domain.candles import Pair
from julaba_tg.phone.clock import SimClock
from julaba_tg.phone.exchange import CandleSource, last_price
from julaba_tg.phone.faults import cut, kinds
from julaba_tg.phone.serving import LocalServer, local_only

EVERY = 0.25  # seconds between two prices of a pair
SPREAD = 0.0001  # of the price, between bid and ask
MOST = 30  # subscriptions on one connection
_CHANNEL = "spot@public.aggre.bookTicker.v3.api.pb@100ms@"


class PriceFeed(LocalServer):
    """MEXC's spot WebSocket on loopback; ``exchange.websocket_url`` of the settings is ``url``.

    ``fault`` knows here: down (the connection is refused), error (an answer that is no WebSocket), closes (after the
    subscription), silent (pings are answered, prices are not sent), deaf (nothing is answered), and of what is sent
    in a price's place: nonsense (bytes that are no protobuf), broken_json (half a text), impossible (bid above ask).
    All count once per connection, but the last three once per price.
    """

    def __init__(self, source: CandleSource, clock: SimClock) -> None:
        super().__init__(kinds("closes", "silent", "deaf", "nonsense", "broken_json", "impossible"))
        self.source, self.clock = source, clock
        self.connections = 0  # so far
        self.open = 0  # at this moment
        self.subscribed: list[str] = []  # every subscription so far, by symbol

    @property
    def url(self) -> str:
        return self.base_url.replace("http", "ws", 1) + "/ws"

    def _build(self) -> web.Application:
        app = web.Application(middlewares=[local_only])
        app.router.add_get("/ws", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        fault = self.faults.take("connect")
        kind = fault.kind if fault is not None else ""
        if kind == "down":
            return cut(request)
        if kind in {"error", "rate_limit"}:
            return web.Response(status=fault.status if fault is not None and kind == "error" else 429)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        self.connections += 1
        self.open += 1
        pairs: dict[Pair, None] = {}  # those subscribed to, in their order
        sending = asyncio.create_task(self._send_prices(socket, pairs, kind))
        try:
            with suppress(ConnectionError):  # who asked is gone
                await (_ignore(request) if kind == "deaf" else self._answer(socket, pairs, kind))
        finally:
            self.open -= 1
            sending.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await sending
        return socket

    async def _answer(self, socket: web.WebSocketResponse, pairs: dict[Pair, None], kind: str) -> None:
        async for message in socket:
            if message.type == WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type == WSMsgType.TEXT:
                for text in self._replies(message.data, pairs):
                    await socket.send_json({"id": 0, "code": 0, "msg": text})
                if kind == "closes" and pairs:
                    await socket.close()

    def _replies(self, data: str, pairs: dict[Pair, None]) -> Iterable[str]:
        try:
            question = json.loads(data)
        except ValueError:
            question = None
        method = str(question.get("method", "")).upper() if isinstance(question, dict) else ""
        if method == "PING":
            return ["PONG"]
        if method not in {"SUBSCRIPTION", "UNSUBSCRIPTION"}:
            return ["Request error"]
        channels = [str(channel) for channel in question.get("params") or []]
        return [self._subscribe(channel, pairs, method == "SUBSCRIPTION") for channel in channels]

    def _subscribe(self, channel: str, pairs: dict[Pair, None], wanted: bool) -> str:
        symbol = channel.removeprefix(_CHANNEL)
        pair = next((p for p in self.source.pairs() if channel.startswith(_CHANNEL) and p.symbol == symbol), None)
        if pair is None or (wanted and len(pairs) >= MOST):
            return f"Not Subscribed successfully! [{channel}]. Reason: Blocked!"
        if wanted:
            pairs[pair] = None
            self.subscribed.append(symbol)
        else:
            pairs.pop(pair, None)
        return channel

    async def _send_prices(self, socket: web.WebSocketResponse, pairs: dict[Pair, None], kind: str) -> None:
        while kind not in {"silent", "deaf"}:
            for pair in tuple(pairs):
                price = last_price(self.source, pair, self.clock)
                if price is not None:
                    await self._send(socket, pair, price)
            await asyncio.sleep(EVERY)

    async def _send(self, socket: web.WebSocketResponse, pair: Pair, price: float) -> None:
        fault = self.faults.take("price")
        match fault.kind if fault is not None else "":
            case "nonsense":
                await socket.send_bytes(b"\xff\xfe\x00 no protobuf")
            case "broken_json":
                await socket.send_str('{"channel": "spot@')
            case "impossible":
                await socket.send_bytes(_frame(pair, price * 2, price, self.clock.now_ms()))
            case _:
                half = price * SPREAD / 2
                await socket.send_bytes(_frame(pair, price - half, price + half, self.clock.now_ms()))


async def _ignore(request: web.Request) -> None:
    """Reads nothing, not even a goodbye, for as long as the connection is there."""
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.05)


def _frame(pair: Pair, bid: float, ask: float, time_ms: int) -> bytes:
    """One push as MEXC encodes it, by the message types it publishes."""
    from ccxt.protobuf.mexc import PushDataV3ApiWrapper_pb2 as types

    message: Any = types.PushDataV3ApiWrapper(channel=_CHANNEL + pair.symbol, symbol=pair.symbol, sendTime=time_ms)
    ticker = message.publicAggreBookTicker
    ticker.bidPrice, ticker.askPrice = f"{bid:.10f}", f"{ask:.10f}"
    ticker.bidQuantity = ticker.askQuantity = "100"
    return bytes(message.SerializeToString())
