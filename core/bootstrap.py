"""The one place that names concrete adapters. Nothing here connects anywhere until it is used.

Adapters are imported where they are made, so that a command pays only for the libraries it needs.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import Settings
from core.errors import MarketError, StoreError

if TYPE_CHECKING:
    from core.adapters.backup_folder import BackupFolder
    from core.adapters.candle_files import CandleFiles
    from core.adapters.model_files import ModelFiles
    from core.ports import (
        ChampionBook,
        ChatStore,
        Clock,
        Conversation,
        Ledger,
        MarketData,
        OpinionSource,
        PriceStream,
        SettableClock,
    )
    from core.secrets import Secrets
    from core.services.assembly import Outside
    from core.services.engine import Engine
    from core.services.offline_models import OfflineModels
    from core.services.views import Progress


def market(settings: Settings) -> MarketData:
    """The exchange of the settings; ``await close()`` it."""
    from core.adapters.ccxt_market import CcxtMarket

    return CcxtMarket(settings.exchange)


def price_stream(settings: Settings) -> PriceStream | None:
    """Where the exchange pushes its prices; None where they are only asked for."""
    from core.adapters.price_stream import CcxtPriceStream

    url = settings.exchange.stream_url
    return CcxtPriceStream(url) if url else None


def candle_store(data_dir: Path) -> CandleFiles:
    """The candles under ``data_dir``; a ``CandleStore`` whose files can also be read unchecked."""
    from core.adapters.candle_files import CandleFiles

    return CandleFiles(data_dir / "candles")


async def clock(settings: Settings, exchange: MarketData) -> Clock:
    """The clock of the settings, running; the computer's is set right whenever the exchange says what time it is.

    Raises MarketError when the exchange's is wanted and cannot be read.
    """
    from core.adapters.clocks import CorrectedClock, ExchangeClock

    if settings.clock == "system":
        return CorrectedClock()
    exchange_clock = ExchangeClock(exchange)
    await exchange_clock.start()
    return exchange_clock


def model_files(data_dir: Path) -> ModelFiles:
    """The models under ``data_dir``."""
    from core.adapters.model_files import ModelFiles

    return ModelFiles(data_dir / "models")


@asynccontextmanager
async def model_registry(data_dir: Path, *, alone: bool = False) -> AsyncIterator[OfflineModels]:
    """The models under ``data_dir`` with the book of champions, where there is a database.

    ``alone``: to change something. Raises StoreError while a bot runs there.
    """
    from core.adapters.instance_lock import instance_lock
    from core.adapters.sqlite_chat import SqliteChat
    from core.adapters.sqlite_database import Database
    from core.adapters.sqlite_ledger import SqliteLedger
    from core.adapters.sqlite_models import SqliteModels
    from core.services.offline_models import NoBook, OfflineModels, in_a_thread
    from core.services.registry import Registry

    files, time = model_files(data_dir), computer_clock()
    async with AsyncExitStack() as stack:
        if alone:
            stack.enter_context(instance_lock(data_dir))
        if not ledger_path(data_dir).exists():
            yield OfflineModels(Registry(files, NoBook(), time, in_a_thread), time)
            return
        db = await stack.enter_async_context(Database(ledger_path(data_dir)))
        registry = Registry(files, SqliteModels(db), time, in_a_thread)
        if alone:
            await registry.reconcile((await SqliteLedger(db).controls()).line)
        yield OfflineModels(registry, time, SqliteLedger(db), SqliteChat(db))


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

    _must_exist(path)
    async with Database(path) as db:
        yield SqliteLedger(db)


@asynccontextmanager
async def open_stores(path: Path) -> AsyncIterator[tuple[Ledger, ChatStore]]:
    """An existing ledger and what the chat keeps beside it (looks, audit), to read from. Raises StoreError."""
    from core.adapters.sqlite_chat import SqliteChat
    from core.adapters.sqlite_database import Database
    from core.adapters.sqlite_ledger import SqliteLedger

    _must_exist(path)
    async with Database(path) as db:
        yield SqliteLedger(db), SqliteChat(db)


@asynccontextmanager
async def open_evidence(path: Path) -> AsyncIterator[tuple[Ledger, ChatStore, ChampionBook]]:
    """As ``open_stores``, with who was champion when: all that the gate judges by. Raises StoreError."""
    from core.adapters.sqlite_chat import SqliteChat
    from core.adapters.sqlite_database import Database
    from core.adapters.sqlite_ledger import SqliteLedger
    from core.adapters.sqlite_models import SqliteModels

    _must_exist(path)
    async with Database(path) as db:
        yield SqliteLedger(db), SqliteChat(db), SqliteModels(db)


def _must_exist(path: Path) -> None:
    if not path.exists():
        raise StoreError(f"there is no ledger {path}; `julaba run`, `demo` or `replay` makes one")


def replay_clock(start: datetime) -> SettableClock:
    from core.adapters.clocks import ReplayClock

    return ReplayClock(start)


def ledger_path(data_dir: Path) -> Path:
    """Where the bot keeps its database."""
    return data_dir / "julaba.sqlite"


def backup_folder(data_dir: Path) -> BackupFolder:
    """Backups of ledger and models: making, clearing, restoring."""
    from core.adapters.backup_folder import BackupFolder

    return BackupFolder(data_dir)


def database_summary(path: Path, seconds: float) -> str:
    """What is in the database, in half a sentence; looks without changing anything, also while the bot runs.

    Raises StoreError for a broken one and TimeoutError when looking takes longer than ``seconds``.
    """
    from core.adapters.backup_folder import entry_backed_up
    from core.adapters.sqlite_health import summary

    return summary(path, seconds, entry_backed_up(backup_folder(path.parent)))


def stored_tables(path: Path) -> Iterable[tuple[str, Sequence[str], Sequence[Mapping[str, object]]]]:
    """Every table of a ledger as it is stored, all of one moment: name, columns, rows. Raises StoreError."""
    from core.adapters.sqlite_health import tables

    return tables(path)


def broken_audit_entry(entries: Iterable[Mapping[str, Any]]) -> int | None:
    """The first entry (oldest first) that was changed after it was written; None where the chain holds."""
    from core.domain.audit_chain import broken_link

    return broken_link(map(dict, entries))


async def get_json(url: str, headers: Mapping[str, str]) -> tuple[int, object]:
    """The status and JSON body of a GET. Raises ConnectionError in words that never hold the address."""
    from core.adapters import web_probe

    return await web_probe.get_json(url, headers)


def computer_clock() -> Clock:
    """The computer's own time, for commands that talk to no exchange."""
    from core.adapters.clocks import SystemClock

    return SystemClock()


@asynccontextmanager
async def engine(
    settings: Settings,
    secrets: Secrets,
    data_dir: Path,
    *,
    progress: Progress = lambda text, done: None,
    gemini_note: str = "",
) -> AsyncIterator[Engine]:
    """All of Julaba but the chat, wired and opened; nothing runs until ``Engine.run``. Closes what it opened.

    ``gemini_note`` is added to the status where the advisor is not Gemini itself (the demo's stand-in).
    Raises StoreError, and MarketError when the exchange's clock is wanted and cannot be read.
    """
    from core.adapters.glibc import few_arenas
    from core.adapters.health_server import HealthServer
    from core.adapters.instance_lock import instance_lock
    from core.services.assembly import assemble

    few_arenas()
    # A thread that reads or draws hands over to the event loop after 1 ms, not after Python's 5: an answer takes
    # some thirty such turns.
    sys.setswitchinterval(0.001)
    async with AsyncExitStack() as stack:
        stack.enter_context(instance_lock(data_dir))
        outside = await _outside(stack, settings, secrets, data_dir)
        made = assemble(outside, progress, gemini_note)
        stack.push_async_callback(made.live.save)
        await stack.enter_async_context(HealthServer(settings.health.host, settings.health.port, made.desk.health))
        yield made


async def _outside(stack: AsyncExitStack, settings: Settings, secrets: Secrets, data_dir: Path) -> Outside:
    """All that the bot reads from, writes to and talks to but the chat; ``stack`` closes it.

    Its settings have the pairs that were added from the chat.
    """
    from core.adapters.glibc import Tidy
    from core.adapters.ping import Ping
    from core.adapters.sd_notify import Systemd
    from core.adapters.sqlite_chat import SqliteChat
    from core.adapters.sqlite_database import Database
    from core.adapters.sqlite_ledger import SqliteLedger
    from core.adapters.sqlite_models import SqliteModels
    from core.adapters.sqlite_opinions import SqliteOpinions
    from core.adapters.sqlite_people import SqlitePeople
    from core.services.added import with_added
    from core.services.assembly import Outside
    from core.services.worker import Worker

    def client() -> MarketData:
        made = market(settings)
        stack.push_async_callback(made.close)
        return made

    db = await stack.enter_async_context(Database(ledger_path(data_dir)))
    ledger = SqliteLedger(db)
    state = await ledger.load()
    _same_timeframe(state.timeframe, settings, data_dir)
    configured, settings = settings.traded, with_added(settings, state.controls.added)
    exchange = client()
    url = secrets.julaba_ping_url
    return Outside(
        settings=settings,
        added=settings.traded[len(configured) :],
        clock=await _patient_clock(settings, exchange),
        ledger=ledger,
        chat=SqliteChat(db),
        stores=partial(open_stores, ledger_path(data_dir)),
        champions=SqliteModels(db),
        opinions=SqliteOpinions(db),
        people=SqlitePeople(db),
        candles=candle_store(data_dir),
        models=model_files(data_dir),
        backups=backup_folder(data_dir),
        exchange=exchange,
        history=client(),
        quotes=client(),
        stream=price_stream(settings),
        advisor=_gemini(stack, settings, secrets),
        conversation=_gemini_words(stack, settings, secrets),
        worker=await stack.enter_async_context(Worker()),
        supervisor=Systemd(),
        ping=await stack.enter_async_context(Ping(url.get_secret_value())) if url is not None else None,
        tidy=Tidy(),
    )


def _gemini(stack: AsyncExitStack, settings: Settings, secrets: Secrets) -> OpinionSource | None:
    """None without a key: its library is loaded only where there is one."""
    if secrets.gemini_api_key is None:
        return None
    from core.adapters.gemini_advisor import GeminiAdvisor

    advisor = GeminiAdvisor(settings.gemini, secrets.gemini_api_key.get_secret_value())
    stack.push_async_callback(advisor.close)
    return advisor


def _gemini_words(stack: AsyncExitStack, settings: Settings, secrets: Secrets) -> Conversation | None:
    """As ``_gemini``, for questions in words."""
    if secrets.gemini_api_key is None:
        return None
    from core.adapters.gemini_words import GeminiWords

    words = GeminiWords(settings.gemini, secrets.gemini_api_key.get_secret_value())
    stack.push_async_callback(words.close)
    return words


def _same_timeframe(held: str | None, settings: Settings, data_dir: Path) -> None:
    """Candles of two lengths in one ledger would mix bars, cursors and training rows."""
    if held is not None and held != settings.timeframe:
        raise StoreError(
            f"the ledger in {data_dir} was kept on {held} candles, the settings say {settings.timeframe}; "
            "set timeframe back or name another --data-dir"
        )


async def _patient_clock(settings: Settings, exchange: MarketData) -> Clock:
    """The clock, waiting for an exchange whose time is wanted and that does not answer yet."""
    import asyncio  # with ssl it takes longer to load than all else here, and most commands wait for nobody

    told = False
    while True:
        try:
            return await clock(settings, exchange)
        except MarketError as error:
            if not told:
                logging.getLogger(__name__).warning("waiting for the exchange's clock: %s", error)
            told = True
            await asyncio.sleep(5)
