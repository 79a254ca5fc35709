"""The SQLite file: opened once, WAL with full sync, one writer under a lock, one reader that sees snapshots."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiosqlite

from core.adapters.migrations import migrate
from core.errors import StoreError

Row = sqlite3.Row


class Database:
    """``async with Database(path) as db``. Raises StoreError where the file cannot be opened or is no database."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        """``durable`` False (a replay's ledger, that can be made again) does not wait for the disk."""
        self._path = path
        self._durable = durable
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._prepare)
        self._writer = await aiosqlite.connect(self._path, isolation_level=None)
        self._reader = await aiosqlite.connect(self._path, isolation_level=None)
        for connection in (self._writer, self._reader):
            connection.row_factory = sqlite3.Row
            await connection.execute("PRAGMA foreign_keys = ON")
            await connection.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'OFF'}")
        await self._reader.execute("PRAGMA query_only = ON")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A connection left open would keep its thread, and with it the process, alive for ever.
        await self._reader.close()
        await self._writer.close()

    def _prepare(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, isolation_level=None)) as db:
                migrate(db)  # first: it refuses what is not ours before anything is changed
                db.execute("PRAGMA journal_mode = WAL")
        except (sqlite3.Error, OSError, ValueError) as error:
            raise StoreError(f"the database {self._path} cannot be used: {error}") from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """All or nothing. BEGIN IMMEDIATE waits for other writers instead of failing in the middle."""
        async with self._lock:
            await self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                await asyncio.shield(self._writer.execute("ROLLBACK"))
                raise
            else:
                await asyncio.shield(self._writer.execute("COMMIT"))

    async def write(self, sql: str, values: Sequence[Any] = ()) -> int:
        """One statement in a transaction of its own; gives the number of rows changed."""
        async with self.transaction() as tx:
            return (await tx.execute(sql, values)).rowcount

    async def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        return list(await self._reader.execute_fetchall(sql, values))

    async def row(self, sql: str, values: Sequence[Any] = ()) -> Row | None:
        found = await self.rows(sql, values)
        return found[0] if found else None


def placeholders(columns: Sequence[str]) -> str:
    return f"({', '.join(columns)}) VALUES ({', '.join('?' for _ in columns)})"


def unpack(rows: Iterable[Row]) -> list[dict[str, Any]]:
    return [dict(row) for row in rows]
