"""A ledger on a real SQLite file, candles of several pairs, the loop run over them: where service tests begin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from core import bootstrap
from core.adapters.clocks import ReplayClock
from core.adapters.sqlite_chat import SqliteChat
from core.adapters.sqlite_database import Database
from core.adapters.sqlite_ledger import SqliteLedger
from core.config import Settings
from core.domain.candles import Candles, Pair, to_datetime
from core.services.loop import TradingLoop
from core.services.reading import Stores
from tests.markets import M15, START, walk

PAIRS = ("LINK/USDT", "ETH/USDT", "SOL/USDT")


def settings(**changes: object) -> Settings:
    """Three pairs, and filters loose enough that a random walk gives signals."""
    loose = {"adx_min": 10.0, "volume_ratio_min": 0.0, "rsi_long_max": 100.0, "rsi_short_min": 0.0}
    return Settings.model_validate({"pairs": [{"symbol": p} for p in PAIRS], "strategy": loose} | changes)


def market(rows: int, pairs: Sequence[str] = (*PAIRS, "BTC/USDT"), seed: int = 3) -> dict[Pair, Candles]:
    return {Pair.parse(p): replace(walk(rows, seed + n), pair=Pair.parse(p)) for n, p in enumerate(pairs)}


@dataclass
class Books:
    db: Database
    ledger: SqliteLedger
    chat: SqliteChat


@asynccontextmanager
async def books(path: Path) -> AsyncIterator[Books]:
    async with Database(path / "julaba.sqlite", durable=False) as db:
        yield Books(db, SqliteLedger(db), SqliteChat(db))


def stores_in(path: Path) -> Stores:
    """The same store, for another process to read."""
    return partial(bootstrap.open_stores, path / "julaba.sqlite")


@dataclass
class Stage:
    """The loop with the clock that moves it."""

    loop: TradingLoop
    clock: ReplayClock

    @classmethod
    async def begin(cls, kept: Books, row: int, settings: Settings, **parts: Any) -> Stage:
        """Started on the store as it is, at the open of a row."""
        clock = ReplayClock(to_datetime(START + row * M15.ms))
        loop = TradingLoop(settings, clock, kept.ledger, **parts)
        await loop.start()
        return cls(loop, clock)

    async def play(self, candles: Mapping[Pair, Candles], first: int, last: int) -> None:
        """Candle by candle through rows ``[first, last)``, the clock standing at each close."""
        for row in range(first, last):
            moment = to_datetime(START + (row + 1) * M15.ms)
            if moment > self.clock.now():
                self.clock.advance(moment)
            await self.loop.handle({pair: c.rows(row, row + 1) for pair, c in candles.items() if row < len(c)})


async def facts_of(books: Books) -> dict[str, list[tuple[object, ...]]]:
    """The ledger's whole content that trading decides, for comparing two runs."""
    tables = {
        "account": "SELECT * FROM account",
        "decisions": "SELECT * FROM decisions ORDER BY decision_id",
        "verdicts": "SELECT * FROM verdicts ORDER BY decision_id, seq",
        "follows": "SELECT * FROM follows ORDER BY follow_id",
        "legs": "SELECT * FROM legs ORDER BY follow_id, seq",
        "equity": "SELECT * FROM equity ORDER BY time",
        "outbox": "SELECT key, kind, urgent, payload FROM outbox ORDER BY key",
    }
    return {name: [tuple(row) for row in await books.db.rows(sql)] for name, sql in tables.items()}
