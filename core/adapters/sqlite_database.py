"""The SQLite file: opened once, WAL with full sync, one writer under a lock, one reader that sees snapshots."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiosqlite

from core.adapters.migrations import migrate
from core.adapters.sqlite_backup import keep_before_migration
from core.adapters.sqlite_troubles import trouble
from core.errors import StoreError

T = TypeVar("T")
Row = sqlite3.Row


class Database:
    """``async with Database(path) as db``. Raises StoreError where the file cannot be opened or is no database.

    Every use raises StoreError where SQLite refuses; a transaction that fails, at whatever point, leaves nothing, and
    the next one begins as if it had never been.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        """``durable`` False (a replay's ledger, that can be made again) does not wait for the disk."""
        self._path = path
        self._durable = durable
        self._lock = asyncio.Lock()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._prepare)
        # A connection left open would keep its thread, and with it the process, alive for ever.
        async with AsyncExitStack() as stack:
            with self._in_words():
                self._writer = await self._connect(stack)
                self._reader = await self._connect(stack)
                await self._reader.execute("PRAGMA query_only = ON")
            self._open = stack.pop_all()
        return self

    async def _connect(self, stack: AsyncExitStack) -> aiosqlite.Connection:
        connection = await stack.enter_async_context(aiosqlite.connect(self._path, isolation_level=None))
        connection.row_factory = sqlite3.Row
        await connection.execute("PRAGMA foreign_keys = ON")
        await connection.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'OFF'}")
        return connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    def _prepare(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._in_words(), closing(sqlite3.connect(self._path, isolation_level=None)) as db:
                if self._durable:
                    keep_before_migration(db, self._path)
                migrate(db)  # before all else: it refuses what is not ours before anything is changed
                kept = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except (OSError, ValueError) as error:
            raise StoreError(f"the database {self._path} cannot be used: {error}") from error
        if kept != "wal":
            raise StoreError(f"the disk of {self._path} cannot keep a database in WAL mode; name another --data-dir")

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise trouble(error, self._path) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """All or nothing. BEGIN IMMEDIATE waits for other writers instead of failing in the middle."""
        async with self._lock:
            with self._in_words():
                await self._roll_back()  # one that could not be ended before
                try:
                    await _whole(self._writer.execute("BEGIN IMMEDIATE"))
                    yield self._writer
                    await _whole(self._writer.execute("COMMIT"))
                finally:
                    # Also after a COMMIT that failed, or a BEGIN that was cancelled and began all the same.
                    await self._roll_back()

    async def _roll_back(self) -> None:
        """Ends what is open; SQLite itself may have done so already, as where the disk is full."""
        if self._writer.in_transaction:
            await _whole(self._writer.execute("ROLLBACK"))

    async def write(self, sql: str, values: Sequence[Any] = ()) -> int:
        """One statement in a transaction of its own; gives the number of rows changed."""
        async with self.transaction() as tx:
            return (await tx.execute(sql, values)).rowcount

    async def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        with self._in_words():
            return list(await self._reader.execute_fetchall(sql, values))

    async def row(self, sql: str, values: Sequence[Any] = ()) -> Row | None:
        found = await self.rows(sql, values)
        return found[0] if found else None


async def _whole(work: Awaitable[T]) -> T:
    """What ``work`` gives; a cancellation waits for its end: a statement cannot be stopped, and may have counted."""
    doing = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not doing.done():
        try:
            await asyncio.wait({doing})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        doing.exception()  # looked at, so that nobody complains that it was not
        raise cancelled
    return doing.result()


def placeholders(columns: Sequence[str]) -> str:
    return f"({', '.join(columns)}) VALUES ({', '.join('?' for _ in columns)})"


def unpack(rows: Iterable[Row]) -> list[dict[str, Any]]:
    return [dict(row) for row in rows]
