"""The one place that names concrete adapters. Nothing here connects anywhere until it is used.

Adapters are imported where they are made, so that a command pays only for the libraries it needs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.config import Settings
from core.errors import StoreError
from core.ports import Clock, Ledger, MarketData, SettableClock

if TYPE_CHECKING:
    from core.adapters.candle_files import CandleFiles
    from core.adapters.model_files import ModelFiles


def market(settings: Settings) -> MarketData:
    """The exchange of the settings; ``await close()`` it."""
    from core.adapters.ccxt_market import CcxtMarket

    return CcxtMarket(settings.exchange)


def candle_store(data_dir: Path) -> CandleFiles:
    """The candles under ``data_dir``; a ``CandleStore`` whose files can also be read unchecked."""
    from core.adapters.candle_files import CandleFiles

    return CandleFiles(data_dir / "candles")


async def clock(settings: Settings, exchange: MarketData) -> Clock:
    """The clock of the settings, running. Raises MarketError when the exchange's is wanted and cannot be read."""
    from core.adapters.clocks import ExchangeClock, SystemClock

    if settings.clock == "system":
        return SystemClock()
    exchange_clock = ExchangeClock(exchange)
    await exchange_clock.start()
    return exchange_clock


def model_files(data_dir: Path) -> ModelFiles:
    """The models under ``data_dir``."""
    from core.adapters.model_files import ModelFiles

    return ModelFiles(data_dir / "models")


@asynccontextmanager
async def replay_ledger(path: Path) -> AsyncIterator[Ledger]:
    """A ledger of its own for one replay, begun anew: an older file of that name is removed. Raises StoreError."""
    from core.adapters.sqlite_database import Database
    from core.adapters.sqlite_ledger import SqliteLedger

    for leftover in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        leftover.unlink(missing_ok=True)
    async with Database(path, durable=False) as db:
        yield SqliteLedger(db)


@asynccontextmanager
async def open_ledger(path: Path) -> AsyncIterator[Ledger]:
    """An existing ledger, to read from. Raises StoreError where there is none."""
    from core.adapters.sqlite_database import Database
    from core.adapters.sqlite_ledger import SqliteLedger

    if not path.exists():
        raise StoreError(f"there is no ledger {path}; `julaba run`, `demo` or `replay` makes one")
    async with Database(path) as db:
        yield SqliteLedger(db)


def replay_clock(start: datetime) -> SettableClock:
    from core.adapters.clocks import ReplayClock

    return ReplayClock(start)


def ledger_path(data_dir: Path) -> Path:
    """Where the bot keeps its database."""
    return data_dir / "julaba.sqlite"
