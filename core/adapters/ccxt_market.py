"""MEXC's public side through ccxt: real HTTP, nothing believed unchecked.

ccxt turns a page of HTML or a ``null`` into rows of None or into an empty list that reads as "no news", and sorts
away disorder. So its raw routes are used here, which keep ccxt's throttling, signing and sessions, and every answer
is checked before it becomes candles.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import numpy as np

from core.config import Exchange
from core.domain.candles import Candles, Pair, Timeframe, iso
from core.engine.candle_faults import EARLIEST_MS, LATEST_MS, find_faults, shown_time
from core.errors import MarketError, RateLimited, UnknownPair, UsageError
from core.ports import Market

DEFAULT_RETRY_AFTER = 5.0  # seconds, when the exchange asks to wait but does not say how long

_INTERVALS = {"1h": "60m"}  # the others are called what we call them


class CcxtMarket:
    """MEXC spot. Opens its session at the first question; ``close`` it in the loop that asked.

    Every method raises MarketError with one short sentence, without addresses or bodies.
    """

    def __init__(self, settings: Exchange) -> None:
        self._settings = settings
        self._exchange: Any = None
        self._silent_until = 0.0  # monotonic seconds: an exchange that asked to wait bans those who go on

    async def server_time(self) -> int:
        """The exchange's clock, epoch ms."""
        answer = await self._ask("spotPublicGetTime", {})
        stamp = answer.get("serverTime") if isinstance(answer, dict) else None
        text = str(stamp)
        if not (text.isascii() and text.isdigit() and EARLIEST_MS <= int(text) < LATEST_MS):
            raise MarketError("the exchange did not say what time it is")
        return int(text)

    async def markets(self) -> dict[Pair, Market]:
        """All spot markets, asked for anew at each call. An answer without any is a fault, not an empty exchange."""
        answer = await self._ask("spotPublicGetExchangeInfo", {})
        rows = answer.get("symbols") if isinstance(answer, dict) else None
        found = [market for row in rows if (market := _market(row))] if isinstance(rows, list) else []
        if not found:
            raise MarketError("the exchange's list of markets is empty or unreadable")
        return {market.pair: market for market in found}

    async def candles(self, pair: Pair, timeframe: Timeframe, start_ms: int, end_ms: int, now_ms: int) -> Candles:
        """See ``MarketData.candles``. Asks for at most ``exchange.page`` candles from ``start_ms`` on."""
        step = timeframe.ms
        first = -(-start_ms // step) * step
        end = min(-(-end_ms // step) * step, timeframe.floor(now_ms), first + self._settings.page * step)
        if end <= first:
            return Candles.empty(pair, timeframe)
        query = {
            "symbol": pair.symbol,
            "interval": _INTERVALS.get(timeframe.name, timeframe.name),
            "startTime": first,
            "endTime": end - step + 1,  # the exchange leaves endTime itself out
            "limit": self._settings.page,
        }
        try:
            answer = await self._ask("spotPublicGetKlines", query)
        except UnknownPair:
            raise UnknownPair(f"the exchange does not trade {pair}") from None
        return _checked(answer, pair, timeframe, first, end)

    async def prices(self, pairs: Iterable[Pair]) -> dict[Pair, float]:
        """See ``MarketData.prices``. One request a pair: without a symbol the exchange sends those of all its pairs."""
        found: dict[Pair, float] = {}
        failures: list[MarketError] = []

        async def one(pair: Pair) -> None:
            try:
                found[pair] = await self._price(pair)
            except MarketError as error:
                failures.append(error)

        await asyncio.gather(*(one(pair) for pair in pairs))
        if failures and not found:
            raise next((error for error in failures if isinstance(error, RateLimited)), failures[0])
        return found

    async def _price(self, pair: Pair) -> float:
        answer = await self._ask("spotPublicGetTickerPrice", {"symbol": pair.symbol})
        told = answer.get("price") if isinstance(answer, dict) and answer.get("symbol") == pair.symbol else None
        try:
            price = float(str(told))
        except ValueError:
            price = math.nan
        if not (math.isfinite(price) and price > 0):
            raise MarketError(f"the exchange did not say what {pair} costs")
        return price

    async def volumes(self) -> dict[Pair, float]:
        """See ``MarketData.volumes``. An answer without any is a fault, not an empty exchange."""
        answer = await self._ask("spotPublicGetTicker24hr", {})
        found = dict(filter(None, map(_volume, answer))) if isinstance(answer, list) else {}
        if not found:
            raise MarketError("the exchange's list of volumes is empty or unreadable")
        return found

    async def close(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            await exchange.close()

    async def _ask(self, route: str, query: Mapping[str, Any]) -> Any:
        from core.adapters.ccxt_alone import errors  # loaded by those who talk to an exchange

        if (wait := self._silent_until - time.monotonic()) > 0:
            raise _asked_to_wait(wait)
        if self._exchange is None:
            self._exchange = _exchange(self._settings)
        call: Callable[[Mapping[str, Any]], Awaitable[Any]] = getattr(self._exchange, route)
        try:
            return await call(query)
        except RateLimited as error:
            self._silent_until = time.monotonic() + error.retry_after
            raise
        except errors.BadSymbol:
            raise UnknownPair("the exchange does not trade the pair") from None
        except (errors.RequestTimeout, TimeoutError):
            raise MarketError(f"the exchange did not answer within {self._settings.timeout:g} s") from None
        except (errors.NetworkError, OSError):
            raise MarketError("the exchange cannot be reached") from None
        except errors.BaseError:
            raise MarketError("the exchange's answer broke off or was refused") from None


def _exchange(settings: Exchange) -> Any:
    """ccxt's MEXC with its addresses and error handling bent to ours."""
    from core.adapters.ccxt_alone import errors, mexc

    class Mexc(mexc):  # type: ignore[misc]  # ccxt is untyped
        # ccxt waits this long (ms) at closing for encrypted sockets to end; plain ones have nothing to wait for.
        timeout_on_exit = 250 if settings.base_url.startswith("https") else 0

        async def fetch_swap_markets(self, params: Any = None) -> list[Any]:
            """None: loading markets must not depend on the futures host."""
            return []

        def handle_errors(
            self, code: int, reason: str, url: str, method: str, headers: Any, body: str, response: Any, *rest: Any
        ) -> None:
            """Called for each answer, with that answer's own headers: requests run side by side."""
            if code in (418, 429):
                raise _rate_limited(headers)
            try:
                super().handle_errors(code, reason, url, method, headers, body, response, *rest)
            except errors.RateLimitExceeded:
                raise _rate_limited(headers) from None
            except errors.BadSymbol:
                raise
            except errors.BaseError:
                raise MarketError(f"the exchange refused with code {_short(response.get('code'))}") from None
            if code >= 400:
                raise MarketError(f"the exchange answered HTTP {code}")
            if not isinstance(response, list | dict):
                raise MarketError("the exchange's answer is not JSON")

    exchange = Mexc(
        {
            "timeout": settings.timeout * 1000,
            "rateLimit": settings.rate_limit_ms,
            "enableRateLimit": settings.rate_limit_ms > 0,
            "asyncio_loop": asyncio.get_running_loop(),
        }
    )
    root = settings.base_url
    exchange.urls["api"] = {
        "spot": {"public": root, "private": root},
        "spot2": {"public": f"{root}/open/api/v2", "private": f"{root}/open/api/v2"},
        "contract": {"public": f"{root}/api/v1/contract", "private": f"{root}/api/v1/private"},
        "broker": {"private": f"{root}/api/v3/broker"},
    }
    return exchange


def _rate_limited(headers: Mapping[str, str]) -> RateLimited:
    wait = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    try:
        seconds = float(wait)
    except ValueError:
        seconds = DEFAULT_RETRY_AFTER
    if not math.isfinite(seconds) or seconds < 0:
        seconds = DEFAULT_RETRY_AFTER
    return _asked_to_wait(seconds)


def _asked_to_wait(seconds: float) -> RateLimited:
    return RateLimited(f"the exchange asks to wait {seconds:.3g} s", seconds)


def _short(value: object) -> str:
    return str(value)[:20]


def _market(row: Any) -> Market | None:
    """A listed market; None for a row that names no pair of ours (strange symbols exist)."""
    if not isinstance(row, dict) or not (row.get("baseAsset") and row.get("quoteAsset")):
        return None
    try:
        pair = Pair.parse(f"{row['baseAsset']}/{row['quoteAsset']}")
    except UsageError:
        return None
    return Market(pair, str(row.get("status")) == "1" and row.get("isSpotTradingAllowed") is True)


def _volume(row: Any) -> tuple[Pair, float] | None:
    """A pair with its quote volume of 24 hours; None for a row that names no pair of ours or no possible volume."""
    try:
        pair, volume = Pair.parse(str(row["symbol"])), float(str(row["quoteVolume"]))
    except (UsageError, ValueError, KeyError, TypeError):
        return None
    return (pair, volume) if math.isfinite(volume) and volume >= 0 else None


def _checked(answer: Any, pair: Pair, timeframe: Timeframe, first: int, end: int) -> Candles:
    """The answer as candles with open times in ``[first, end)``. Raises MarketError for anything doubtful."""
    if not isinstance(answer, list):
        raise MarketError(f"the exchange's answer for {pair} is not a list of candles")
    try:
        table = np.array([[float(value) for value in row[:6]] for row in answer], dtype=np.float64).reshape(-1, 6)
    except (TypeError, ValueError, KeyError, OverflowError):
        raise MarketError(f"a candle of {pair} is not six numbers") from None
    if len(table) != len(answer):
        raise MarketError(f"a candle of {pair} is not six numbers")
    times = table[:, 0]
    if not np.all(np.isfinite(times) & (times == np.floor(times)) & (np.abs(times) < 2**53)):
        raise MarketError(f"a candle of {pair} has no readable time")
    columns = (np.ascontiguousarray(table[:, i]) for i in range(1, 6))
    candles = Candles(pair, timeframe, times.astype(np.int64), *columns)
    if faults := find_faults(candles):
        fault = faults[0]
        raise MarketError(f"the exchange's {pair} candle {shown_time(fault.time)} cannot be: {fault.reason}")
    return _inside(candles, first, end)


def _inside(candles: Candles, first: int, end: int) -> Candles:
    """Without the candle at ``end``, which may still be running. Further outside, the question was misunderstood."""
    if len(candles) and (candles.time[0] < first or candles.time[-1] > end):
        wrong = int(candles.time[0] if candles.time[0] < first else candles.time[-1])
        raise MarketError(
            f"the exchange gave the {candles.pair} candle {iso(wrong)}, asked for {iso(first)} to {iso(end)}"
        )
    return candles.between(first, end)
