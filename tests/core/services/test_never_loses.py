"""Whatever the candles, the store's troubles and the restarts are: no money, leg or event is lost or counted twice.

The real loop on a real SQLite file, against made-up markets (random walks with spikes and gaps). The store fails at
places the test chooses: before a transaction, in the middle of one, at its COMMIT, after it (done, but the answer was
lost), at a later read; or the process dies there, and another one begins on the same file. What is left must be what
the same candles leave without any of it.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from functools import cache, partial, reduce
from pathlib import Path
from typing import Any, Literal

import aiosqlite
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from core.adapters.clocks import ReplayClock
from core.adapters.sqlite_chat import SqliteChat
from core.adapters.sqlite_database import Database, Row
from core.adapters.sqlite_ledger import SqliteLedger
from core.config import Settings
from core.domain.candles import Candles, Pair, Timeframe, to_datetime
from core.errors import StoreError
from core.services.loop import TradingLoop
from tests.ledgers import Books, facts_of
from tests.markets import M15, START, minutes_of, walk

M1 = Timeframe.parse("1m")
NAMES = ("LINK/USDT", "ETH/USDT", "SOL/USDT", "BTC/USDT")
FIRST, LAST = 130, 190  # rows: history before, and those that are lived through
LOOKS = (4, 11)  # minutes of a running candle at which open trades are looked at

CONFIG = Settings.model_validate(
    {
        "pairs": [{"symbol": name} for name in NAMES[:3]],
        "strategy": {
            "adx_min": 0,
            "volume_ratio_min": 0,
            "rsi_long_max": 100,
            "rsi_short_min": 0,
            "cooldown_bars": 0,
            "max_bars": 12,
            "refused_regimes": [],
        },
        "rules": {"alignment": "record", "btc": "record"},
        "portfolio": {"max_correlated": 3, "max_open_risk": 0.2, "loss_streak": 3, "cooldown_hours": 2},
        "candles": {"history": 300, "min_history": 100},
        "ml": {"threshold": 0},
    }
)

Kind = Literal["begin", "statement", "commit", "answer", "read", "dies before", "dies within", "dies after"]
KINDS: tuple[Kind, ...] = ("begin", "statement", "commit", "answer", "read", "dies before", "dies within", "dies after")


class Died(BaseException):
    """The process is gone: nobody catches this, and nothing is tidied up but what the system closes."""


@dataclass
class Troubles:
    """What happens at which of the transactions, counted over all restarts."""

    at: Mapping[int, Kind]
    transactions: int = 0
    met: list[Kind] = field(default_factory=list)
    reads_fail: bool = False

    def next(self) -> Kind | None:
        self.transactions += 1
        kind = self.at.get(self.transactions)
        if kind is not None:
            self.met.append(kind)
        return kind


class BrittleStore(Database):
    """The store with troubles in it."""

    def __init__(self, path: Path, troubles: Troubles) -> None:
        super().__init__(path, durable=False)
        self.troubles = troubles

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        kind = self.troubles.next()
        if kind == "begin":
            raise StoreError("The database is locked")
        if kind == "dies before":
            raise Died
        async with super().transaction() as tx:
            yield _Failing(tx, kind) if kind in ("statement", "dies within") else tx  # type: ignore[misc]
            if kind == "commit":
                raise sqlite3.OperationalError("disk I/O error")
        if kind == "answer":
            raise StoreError("The disk does not answer")
        if kind == "dies after":
            raise Died
        self.troubles.reads_fail |= kind == "read"

    async def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        if self.troubles.reads_fail:
            self.troubles.reads_fail = False
            raise StoreError("The disk does not answer")
        return await super().rows(sql, values)


class _Failing:
    """A connection whose second writing statement fails, the first of which is done."""

    def __init__(self, tx: aiosqlite.Connection, kind: Kind) -> None:
        self._tx, self._kind, self._left = tx, kind, 2

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Died if self._kind == "dies within" else sqlite3.OperationalError("database or disk is full")

    def __getattr__(self, name: str) -> Any:
        if name in ("execute", "executemany"):
            self._count()
        return getattr(self._tx, name)


@dataclass(frozen=True, eq=False)
class World:
    """Candles of each pair, and the minutes in them."""

    candles: Mapping[Pair, Candles]
    inside: Mapping[Pair, Candles] | None

    async def minutes(self, pair: Pair, start_ms: int, end_ms: int) -> Candles:
        assert self.inside is not None
        return self.inside[pair].between(start_ms, end_ms)


def _returning(candles: Candles) -> Candles:
    """The same steps drawn back to where they began, so that the averages cross again and again."""
    steps = np.diff(np.log(candles.close), prepend=np.log(candles.close[0]))
    level = np.zeros(len(steps))
    for row in range(1, len(steps)):
        level[row] = 0.7 * level[row - 1] + steps[row]
    close = 100 * np.exp(level)
    scale = close / candles.close
    opened = np.concatenate(([close[0]], close[:-1]))
    high, low = np.maximum(candles.high * scale, opened), np.minimum(candles.low * scale, opened)
    return replace(candles, open=opened, high=high, low=low, close=close)


Spike = tuple[int, int, float]  # which pair, which row, how far beyond high and low, as a fraction
Gap = tuple[int, int, int]  # which pair, from which row on, how many candles are missing


@cache
def world(seed: int, spikes: tuple[Spike, ...], gaps: tuple[Gap, ...], inside: bool) -> World:
    made: dict[Pair, Candles] = {}
    for n, name in enumerate(NAMES):
        candles = replace(walk(LAST, seed * 10 + n), pair=Pair.parse(name))
        candles = _returning(candles)
        high, low = candles.high.copy(), candles.low.copy()
        for _, row, far in (s for s in spikes if s[0] == n):
            high[row], low[row] = high[row] * (1 + far), low[row] * (1 - far)
        keep = np.ones(LAST, dtype=bool)
        for _, row, missing in (g for g in gaps if g[0] == n):
            keep[row : row + missing] = False
        spiked = replace(candles, high=high, low=low)
        parts = [spiked.rows(row, row + 1) for row in range(LAST) if keep[row]]
        made[candles.pair] = reduce(Candles.joined, parts)
    lived = {pair: c.between(START + FIRST * M15.ms, None) for pair, c in made.items()}
    return World(made, {p: minutes_of(c, seed) for p, c in lived.items()} if inside else None)


@dataclass
class Process:
    """What ``julaba run`` does with a store and an exchange, told what time it is."""

    world: World
    loop: TradingLoop
    clock: ReplayClock

    @property
    def now(self) -> int:
        return round(self.clock.now().timestamp() * 1000)

    async def begin(self) -> None:
        """Memory from the store, then what was missed through the same steps; tried until the store is well."""
        while True:
            try:
                await self.loop.start()
                await self._catch_up()
            except StoreError:
                continue
            return

    async def _catch_up(self) -> None:
        known = {p: c.between(None, M15.floor(self.now)) for p, c in self.world.candles.items()}
        missed: dict[Pair, Candles] = {}
        for pair, candles in known.items():
            handled = self.loop.handled(pair) if pair != CONFIG.btc else None
            cut = START + FIRST * M15.ms if handled is None else handled + 1
            if pair != CONFIG.btc and len(candles.between(cut, None)):
                missed[pair] = candles.between(cut, None)
            self.loop.warm(candles.between(None, cut) if pair != CONFIG.btc else candles)
        if missed:
            first = min(int(c.time[0]) for c in missed.values())
            self.loop.warm(known[CONFIG.btc].between(None, first))
            missed[CONFIG.btc] = known[CONFIG.btc].between(first, None)
            await self.loop.handle({p: c for p, c in missed.items() if len(c)})

    async def until_done(self, work: Callable[[], Awaitable[None]], after: Callable[[], None]) -> None:
        """As live trading does: what breaks off begins again from the store."""
        while True:
            try:
                await work()
            except StoreError:
                after()
                await self.begin()
                continue
            return

    async def close(self) -> None:
        at = self.now - M15.ms
        batch = {p: c.between(at, at + 1) for p, c in self.world.candles.items()}
        await self.loop.handle({p: c for p, c in batch.items() if len(c)})


async def lived_through(path: Path, made: World, troubles: Troubles) -> dict[str, list[tuple[object, ...]]]:
    """The ledger after every candle, whatever came between."""
    now = START + FIRST * M15.ms
    moments = [
        START + row * M15.ms + minute * M1.ms
        for row in range(FIRST, LAST)
        for minute in ((*LOOKS, 15) if made.inside else (15,))
    ]
    while True:
        try:
            async with BrittleStore(path, troubles) as db:
                kept = Books(db, SqliteLedger(db), SqliteChat(db))
                clock = ReplayClock(to_datetime(now))
                minutes = made if made.inside is not None else None
                process = Process(made, TradingLoop(CONFIG, clock, kept.ledger, minutes=minutes), clock)
                await process.begin()
                while moments:
                    now = moments[0]
                    if now > process.now:
                        clock.advance(to_datetime(now))
                    closes = now % M15.ms == 0
                    work = process.close if closes else partial(process.loop.look_inside, now)
                    await process.until_done(work, lambda: books_hold(path))
                    moments.pop(0)
                troubles.reads_fail = False
                books_hold(path, whole=True)
                return await facts_of(kept)
        except Died:
            books_hold(path)


def books_hold(path: Path, whole: bool = False) -> None:
    """What anyone may expect of the store at any moment, looked at from outside. ``whole``: right after a close."""
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        account = db.execute("SELECT * FROM account").fetchone()
        trades = {row["follow_id"]: row for row in db.execute("SELECT * FROM follows WHERE kind = 'trade'")}
        follows = db.execute("SELECT * FROM follows").fetchall()
        legs: dict[int, list[sqlite3.Row]] = {}
        for leg in db.execute("SELECT * FROM legs ORDER BY follow_id, seq"):
            legs.setdefault(leg["follow_id"], []).append(leg)
        told = [(row["kind"], json.loads(row["payload"])) for row in db.execute("SELECT * FROM outbox")]
        taken = [row[0] for row in db.execute("SELECT decision_id FROM decisions WHERE status = 'taken'")]
        equity = db.execute("SELECT * FROM equity ORDER BY time DESC").fetchone()

    assert account is not None or not trades
    for row in follows:
        own = legs.get(row["follow_id"], [])
        assert [leg["seq"] for leg in own] == list(range(len(own)))
        assert len({leg["name"] for leg in own}) == len(own)
        assert sum(leg["fraction"] for leg in own) == pytest.approx(1 - row["remaining"], abs=1e-9)
        assert (row["exit_reason"] is not None) == (row["remaining"] < 1e-12)
    for number, row in trades.items():
        fee = row["entry_fill"] * row["quantity"] * CONFIG.paper.fee_rate
        assert row["pnl"] == pytest.approx(sum(leg["pnl"] for leg in legs.get(number, [])) - fee, abs=1e-6)
    if account is not None:
        start = CONFIG.paper.start_balance
        assert account["cash"] == pytest.approx(start + sum(row["pnl"] for row in trades.values()), abs=1e-6)
    if account is not None and whole:  # told before the entries of the same close
        older = [row for row in trades.values() if row["entry_time"] < equity["time"] - M15.ms]
        worth = sum(row["pnl"] + _open_value(row) for row in older)
        assert equity["equity"] == pytest.approx(CONFIG.paper.start_balance + worth, abs=1e-6)

    names = {number: {leg["name"] for leg in own} for number, own in legs.items()}
    hits = [(e["trade_id"], e["target"]) for kind, e in told if kind == "target_hit"]
    ends = [e["trade_id"] for kind, e in told if kind == "trade_closed"]
    begun = [e["decision_id"] for kind, e in told if kind == "signal_decided" and e["status"] == "taken"]
    assert all(target in names[trade] for trade, target in hits)
    assert len(hits) == len(set(hits))
    assert sorted(ends) == sorted(number for number, row in trades.items() if row["exit_reason"] is not None)
    assert sorted(begun) == sorted(taken)
    assert len(taken) == len(trades)


def _open_value(trade: sqlite3.Row) -> float:
    sign = 1 if trade["direction"] == "LONG" else -1
    return float(sign * (trade["mark"] - trade["entry_fill"]) * trade["quantity"] * trade["remaining"])


_UNTROUBLED: dict[World, dict[str, list[tuple[object, ...]]]] = {}


def run(made: World, at: Mapping[int, Kind]) -> tuple[dict[str, list[tuple[object, ...]]], Troubles]:
    troubles = Troubles(at)
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(lived_through(Path(folder) / "julaba.sqlite", made, troubles)), troubles


def untroubled(made: World) -> dict[str, list[tuple[object, ...]]]:
    if made not in _UNTROUBLED:
        _UNTROUBLED[made] = run(made, {})[0]
    return _UNTROUBLED[made]


spikes = st.lists(
    st.tuples(st.integers(0, 3), st.integers(FIRST, LAST - 1), st.sampled_from([0.01, 0.03, 0.2])), max_size=6
).map(tuple)
gaps = st.lists(
    st.tuples(st.integers(0, 3), st.integers(FIRST, LAST - 10), st.sampled_from([1, 3, 8, 9])), max_size=3
).map(tuple)
worlds = st.builds(world, st.integers(0, 5), spikes, gaps, st.booleans())
troubles_at = st.dictionaries(st.integers(1, 160), st.sampled_from(KINDS), max_size=14)


@settings(
    max_examples=10,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # a run takes long enough without looking for the smallest one
    suppress_health_check=[HealthCheck.too_slow],
)
@given(made=worlds, at=troubles_at)
def test_no_trouble_and_no_restart_loses_or_doubles_anything(made: World, at: dict[int, Kind]) -> None:
    assert run(made, at)[0] == untroubled(made)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inside", [False, True])
def test_the_same_trouble_again_and_again(kind: Kind, inside: bool) -> None:
    """Every fourth transaction of a life fails, those of the recovery too."""
    made = world(1, ((0, 150, 0.03), (1, 160, 0.2)), ((2, 155, 3),), inside)
    found, troubles = run(made, dict.fromkeys(range(2, 2_000, 4), kind))

    assert len(troubles.met) > 10
    assert found == untroubled(made)


def test_the_markets_are_worth_it() -> None:
    """Trades, targets, stops, time-outs, gaps, refusals: a test in which nothing happens would hold anything."""
    made = [world(seed, ((0, 150, 0.2),), ((1, 150, 9),), inside) for seed in (1, 2) for inside in (False, True)]
    facts = [untroubled(one) for one in made]
    ends = {row[19] for fact in facts for row in fact["follows"]}
    kinds = {row[1] for fact in facts for row in fact["outbox"]}

    assert {"STOP_LOSS", "TP3_FULL", "TIMEOUT", "GAP", None} <= ends
    assert {"signal_decided", "target_hit", "trade_closed"} <= kinds
    assert sum(row[2] == "trade" for fact in facts for row in fact["follows"]) >= 12
