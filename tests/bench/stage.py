"""A live loop as the product has it, for the benchmark: many pairs, a champion, and a ledger that is not young."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from core.adapters.clocks import ReplayClock
from core.adapters.model_files import ModelFiles
from core.adapters.sqlite_database import Database
from core.adapters.sqlite_ledger import SqliteLedger
from core.config import Settings
from core.domain.candles import Candles, Pair, to_datetime
from core.services.backtest import run_backtest
from core.services.loop import TradingLoop
from core.services.predict import ChampionPredictor
from core.services.samples import samples_of
from core.services.train import train_from_table
from core.services.worker import Worker
from tests.bench.measure import say
from tests.markets import M15, START, walk

HISTORY = 500
"""Candles that every pair has before the first close."""

_TABLES = {"decisions": "decision_id", "verdicts": "decision_id", "follows": "follow_id", "legs": "follow_id"}


def pairs_of(count: int) -> tuple[Pair, ...]:
    return tuple(Pair(f"P{n:03}", "USDT") for n in range(count))


def settings_of(count: int, *, loose: bool = False) -> Settings:
    """Settings for so many pairs. ``loose``: every crossover is a signal."""
    strategy = {"adx_min": 0, "volume_ratio_min": 0, "rsi_long_max": 100, "rsi_short_min": 0, "cooldown_bars": 0}
    changes: dict[str, object] = {"pairs": [{"symbol": str(p)} for p in pairs_of(count)]}
    return Settings.model_validate(changes | ({"strategy": strategy} if loose else {}))


def market(count: int, rows: int, *, alike: bool = False) -> dict[Pair, Candles]:
    """BTC and so many pairs. ``alike``: all take the same path, so that all of them cross at the same close."""
    found = {
        pair: replace(walk(HISTORY + rows, 100 if alike else 100 + n), pair=pair)
        for n, pair in enumerate(pairs_of(count))
    }
    btc = Settings().btc
    return {**found, btc: replace(walk(HISTORY + rows, 7), pair=btc)}


def train_champion(folder: Path) -> None:
    """A champion under ``folder/models``, with the signals it learned from and its size model."""
    settings = Settings()
    history = {pair: replace(walk(96 * 365, 900 + n), pair=pair) for n, pair in enumerate(settings.traded)}
    samples = samples_of(run_backtest(history, settings))
    now = to_datetime(START + 96 * 365 * M15.ms)
    models = ModelFiles(folder / "models")
    report = train_from_table(samples, settings.ml, models, now, page=False)
    models.promote(report.model_id)


@dataclass
class Live:
    """The loop at work; its clock stands at each close."""

    loop: TradingLoop
    clock: ReplayClock
    candles: Mapping[Pair, Candles]

    async def close(self, row: int) -> None:
        """One close of all pairs: row ``HISTORY`` is the first that is new."""
        moment = to_datetime(START + (row + 1) * M15.ms)
        if moment > self.clock.now():
            self.clock.advance(moment)
        await self.loop.handle({pair: c.rows(row, row + 1) for pair, c in self.candles.items()})


@asynccontextmanager
async def live(
    folder: Path, settings: Settings, candles: Mapping[Pair, Candles], row: int = HISTORY, *, durable: bool = True
) -> AsyncIterator[Live]:
    """The real loop on the store of ``folder`` with the champion there, asked in its worker."""
    async with Database(folder / "julaba.sqlite", durable=durable) as db, Worker() as worker:
        predictor = ChampionPredictor(worker, ModelFiles(folder / "models"))
        clock = ReplayClock(to_datetime(START + row * M15.ms))
        loop = TradingLoop(settings, clock, SqliteLedger(db), predictor=predictor)
        await loop.start()
        for pair in candles:
            loop.warm(candles[pair].rows(0, row))
        await predictor.predict({})  # the worker loads its libraries
        yield Live(loop, clock, candles)


async def lived(folder: Path, decisions: int) -> Path:
    """``folder`` with a champion and a ledger of so many closed decisions, long before the first close."""
    train_champion(folder)
    settings, count, rows = settings_of(40), 40, 60
    async with live(folder, settings, market(count, rows), HISTORY, durable=False) as stage:
        for row in range(HISTORY, HISTORY + rows):
            await stage.close(row)
    with closing(sqlite3.connect(folder / "julaba.sqlite", isolation_level=None)) as db:
        _multiply(db, decisions)
    return folder


def _multiply(db: sqlite3.Connection, wanted: int) -> None:
    """Copies of what is there, each earlier than the one before, all closed; what is there is taken away."""
    names = {table: [row[1] for row in db.execute(f"PRAGMA table_info({table})")] for table in _TABLES}
    count = db.execute("SELECT count(*) FROM decisions").fetchone()[0]
    copies = -(-wanted // count)
    say(f"a ledger of {copies * count} decisions from {count} ...")
    db.execute("BEGIN")
    for table in _TABLES:
        db.execute(f"CREATE TEMP TABLE was_{table} AS SELECT * FROM {table}")
    for table in reversed(_TABLES):
        db.execute(f"DELETE FROM {table}")
    for table, columns in names.items():
        chosen = ", ".join(_copied(name, table, count) for name in columns)
        db.execute(
            "WITH RECURSIVE n(k) AS (VALUES (1) UNION ALL SELECT k + 1 FROM n WHERE k < ?) "
            f"INSERT INTO {table} SELECT {chosen} FROM was_{table}, n ORDER BY k",
            (copies,),
        )
    db.execute("DELETE FROM cursors")
    db.execute("DELETE FROM equity")
    db.execute("UPDATE account SET day = 0, paused_day = 0")
    db.execute("COMMIT")


_TIMES = ("open_time", "decided_at", "entry_time", "last_time", "exit_time", "time")
_CLOSED = {
    "exit_reason": "'TIMEOUT'",
    "exit_price": "entry",
    "exit_time": "last_time",
    "r_net": "0.0",
}


def _copied(column: str, table: str, count: int) -> str:
    """What copy ``k`` has in a column: ids of its own, times some weeks before the last copy's."""
    if column in ("decision_id", "follow_id"):
        return f"{column} + (k - 1) * {count}"
    value = f"coalesce({column}, {_CLOSED[column]})" if table == "follows" and column in _CLOSED else column
    weeks = 4 * 7 * 96 * M15.ms
    return f"{value} - ({weeks} * k)" if column in _TIMES else value


def copy_of(folder: Path, name: str) -> Path:
    """The same beside it, to be written into."""
    other = folder.parent / name
    shutil.copytree(folder, other)
    return other


def twice_followed(path: Path, time: int) -> int:
    """Makes of each open shadow two that will not end soon, seen up to the candle ``time``; how many there are now."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        names = [row[1] for row in db.execute("PRAGMA table_info(follows)")]
        highest = db.execute("SELECT max(follow_id) FROM follows").fetchone()[0]
        chosen = ", ".join(f"follow_id + {highest}" if name == "follow_id" else name for name in names)
        db.execute("BEGIN")
        db.execute(f"INSERT INTO follows SELECT {chosen} FROM follows WHERE exit_reason IS NULL")
        sign = "CASE direction WHEN 'LONG' THEN 1 ELSE -1 END"
        far = {"stop": -0.9, "tp1": 0.95, "tp2": 0.96, "tp3": 0.97}
        moved = ", ".join(f"{name} = entry * (1 + {by} * {sign})" for name, by in far.items())
        db.execute(f"UPDATE follows SET {moved}, bars = 0, last_time = ? WHERE exit_reason IS NULL", (time,))
        found = db.execute("SELECT count(*) FROM follows WHERE exit_reason IS NULL").fetchone()[0]
        db.execute("COMMIT")
    return int(found)


@lru_cache
def crossings(rows: int) -> Sequence[int]:
    """The rows at which the one path of ``market(alike=True)`` crosses."""
    candles = market(1, rows, alike=True)[pairs_of(1)[0]]
    found = run_backtest({candles.pair: candles}, settings_of(1, loose=True), candidates=True)
    times = found.parts[0].at_entry.time
    return [int(row) for row in np.searchsorted(candles.time, times) if row >= HISTORY]
