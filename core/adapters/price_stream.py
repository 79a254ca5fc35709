"""MEXC's price stream through ccxt's WebSocket client: the best bid and ask of each pair, ten times a second at most.

ccxt's client is kept on a short lead. What it does not take (a frame that is no protobuf, half of a JSON text) would
end its reading loop without a word, so that counts as a broken connection here. It also never gives up a connection
of its own accord: each ``follow`` has one client, and closes it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable
from typing import Any

from core.domain.candles import Pair
from core.errors import MarketError

log = logging.getLogger(__name__)

MOST_PAIRS = 30  # MEXC takes no more subscriptions on one connection
CLOSING = 0.5  # seconds a server has to say goodbye
UNREADABLE = "a frame that cannot be read"

Heard = Callable[[Pair, float, int], None]


class CcxtPriceStream:
    """A ``PriceStream``. The price is the middle of the best bid and ask: on a quiet pair the last trade may be old."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def follow(self, pairs: Iterable[Pair], heard: Heard) -> None:
        """See ``PriceStream.follow``. At most ``MOST_PAIRS`` pairs, the first ones."""
        wanted = tuple(pairs)[:MOST_PAIRS]
        exchange = _exchange(self._url, wanted)
        tasks = [asyncio.ensure_future(_listen(exchange, pair, heard)) for pair in wanted]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            await _close(exchange)
        raise MarketError(f"the price stream broke off: {_words(ends)}")


async def _listen(exchange: Any, pair: Pair, heard: Heard) -> None:
    while True:
        ticker = await exchange.watch_ticker(str(pair))
        price, time = _middle(ticker), ticker.get("timestamp")
        if price is not None and isinstance(time, int):
            heard(pair, price, time)
        # A client that has the next price at hand would otherwise never let anybody else run.
        await asyncio.sleep(0)


def _middle(ticker: dict[str, Any]) -> float | None:
    """Between bid and ask; None where they cannot be."""
    bid, ask = ticker.get("bid"), ticker.get("ask")
    if not (isinstance(bid, float) and isinstance(ask, float) and 0 < bid <= ask and math.isfinite(ask)):
        return None
    return (bid + ask) / 2


def _exchange(url: str, pairs: Iterable[Pair]) -> Any:
    """ccxt's streaming MEXC, knowing these markets alone: loading all of them would cost a request and 50 MB."""
    from core.adapters.ccxt_alone import errors, mexc_stream

    class Mexc(mexc_stream()):  # type: ignore[misc]  # ccxt is untyped
        timeout_on_exit = 0  # ms; ``_close`` waits for what there is to wait for

        def client(self, url: str) -> Any:
            """The connection, which ends at the first frame it cannot read."""
            new = url not in (self.clients or {})
            client = super().client(url)
            if new:
                client.handle_message = _guarded(client, client.handle_message)
            return client

    def _guarded(client: Any, handle: Callable[[Any], None]) -> Callable[[Any], None]:
        def guarded(message: Any) -> None:
            try:
                handle(message)
            except Exception as error:  # whatever a server may send must end here
                log.info("a frame of the price stream could not be read: %s", type(error).__name__)
                client.on_error(errors.NetworkError(UNREADABLE))

        return guarded

    exchange = Mexc({"enableRateLimit": False, "asyncio_loop": asyncio.get_running_loop()})
    exchange.urls["api"]["ws"]["spot"] = url
    exchange.set_markets([_market(exchange, pair) for pair in pairs])
    return exchange


def _market(exchange: Any, pair: Pair) -> Any:
    return exchange.safe_market_structure(
        {
            "id": pair.symbol,
            "symbol": str(pair),
            "base": pair.base,
            "quote": pair.quote,
            "baseId": pair.base,
            "quoteId": pair.quote,
            "type": "spot",
            "spot": True,
            "active": True,
        }
    )


async def _close(exchange: Any) -> None:
    """Says goodbye, and hangs up on a server that does not answer."""
    try:
        async with asyncio.timeout(CLOSING):
            await exchange.close()
    except TimeoutError:
        await exchange.close()  # the connection counts as closed by now; this ends what lies around it
    await asyncio.sleep(0)  # what ccxt has begun to end, ends


def _words(ends: Iterable[object]) -> str:
    """What ended it, in a few words of ours: ccxt's own hold addresses and bodies."""
    from core.adapters.ccxt_alone import errors

    error = next((end for end in ends if isinstance(end, Exception)), None)
    match error:
        case None:
            return "it was closed"
        case errors.NetworkError() if str(error) == UNREADABLE:
            return UNREADABLE
        case errors.RequestTimeout():
            return "no answer"
        case errors.NetworkError() | OSError():
            return "the connection failed"
        case _:
            return type(error).__name__
