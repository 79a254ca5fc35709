"""The ledger's tables: decisions, follows, legs, account, cursors, switches and controls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import aiosqlite

from core.adapters.sqlite_approvals import put_asked
from core.adapters.sqlite_database import Database, Row, placeholders
from core.adapters.sqlite_deeds import put_alteration, put_controls
from core.adapters.sqlite_rows import (
    DECISION,
    FOLLOW,
    curve_of,
    decision_values,
    decisions_of,
    follow_values,
    follows_of,
    outcomes_of,
    position_of,
    seen_of,
)
from core.domain.account import Account
from core.domain.candles import Pair, to_ms
from core.domain.deeds import Alteration
from core.domain.ledger import Controls, DecisionRecord, Effect, FollowRecord, LedgerState, Seen, Settled, Step, Switch
from core.domain.messages import Event, event_to_json, is_urgent
from core.domain.trading import FollowKind
from core.ports import Outcome, TradeRow, TradeTotals

T = TypeVar("T")

FEW = 50
"""Rows that are read where they are; more of them in a thread."""

PART = 200
"""Decisions that are read at once: some ten milliseconds."""

ACCOUNT = tuple(f.name for f in fields(Account) if f.name != "positions")
_FOLLOW_CHANGES = ("kind", "last_time", *FOLLOW[12:])
_LEG = ("name", "time", "price", "fraction", "r")
_INSERT_DECISION = f"INSERT INTO decisions {placeholders(DECISION)}"
_SAVE_FOLLOW = f"INSERT INTO follows {placeholders(FOLLOW)} ON CONFLICT (follow_id) DO UPDATE SET " + ", ".join(
    f"{c} = excluded.{c}" for c in _FOLLOW_CHANGES
)
_CROSSOVER = "NOT is_signal AND model_id = ? AND open_time >= ? AND ml_probability IS NOT NULL AND features <> '{}'"
_LIVE_OUTCOME = (
    "f.exit_reason IS NOT NULL AND f.exit_reason NOT IN ('GAP', 'MANUAL') AND d.status IN ('taken', 'refused') "
    "AND f.kind IN ('trade', 'shadow_signal')"
)
"""A closed trade or the closed shadow of a refused signal: not one missed, nor one of the mode that only tells."""

_IN_SHORT = "decisions d INDEXED BY decisions_in_short"
"""Where a decision's status and pair are enough: its row is some 3 KB, and a count over all would read them all."""


async def put_events(tx: aiosqlite.Connection, events: Iterable[Event]) -> None:
    """Queues events; one that is already there under its key is left as it is."""
    await tx.executemany(
        "INSERT INTO outbox (key, kind, urgent, payload, created_at, trade_id) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        [(e.key, e.kind, is_urgent(e), event_to_json(e), to_ms(e.time), getattr(e, "trade_id", None)) for e in events],
    )


async def _off_the_loop(read: Callable[..., T], rows: Sequence[Row], *more: Sequence[Row]) -> T:
    """A year's rows take seconds to read: in a thread the event loop has its turns between them."""
    return read(rows, *more) if len(rows) <= FEW else await asyncio.to_thread(read, rows, *more)


async def save_effect(tx: aiosqlite.Connection, effect: Effect) -> None:
    """All that a step changes, into a transaction that somebody else has begun."""
    await tx.executemany(
        "INSERT INTO cursors (step, pair, open_time) VALUES (?, ?, ?) "
        "ON CONFLICT (step, pair) DO UPDATE SET open_time = excluded.open_time",
        [(effect.step, str(pair), time) for pair, time in effect.cursors.items()],
    )
    if effect.account is not None:
        await save_account(tx, effect.account, effect.equity_time)
    if not effect.quiet:
        await _save_records(tx, effect)


async def save_account(tx: aiosqlite.Connection, account: Account, equity_time: int | None) -> None:
    """The account, and with a time (epoch ms of the close) the equity it had then."""
    await tx.execute(
        f"INSERT OR REPLACE INTO account {placeholders(('id', *ACCOUNT))}",
        (1, *(getattr(account, name) for name in ACCOUNT)),
    )
    if equity_time is not None:
        await tx.execute("INSERT OR REPLACE INTO equity VALUES (?, ?, ?)", (equity_time, account.cash, account.equity))


async def _save_records(tx: aiosqlite.Connection, effect: Effect) -> None:
    await tx.executemany(_INSERT_DECISION, [decision_values(d) for d in effect.decisions])
    await tx.executemany(
        "INSERT INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (d.decision_id, seq, v.layer, v.rule, v.ruling, v.number, v.sentence)
            for d in effect.decisions
            for seq, v in enumerate(d.verdicts)
        ],
    )
    await tx.executemany(_SAVE_FOLLOW, [follow_values(f) for f in effect.follows])
    # A leg's place is that in its trade, not behind what is there: one that is booked twice is refused by its key.
    place = {(f.follow_id, leg.name): n for f in effect.follows for n, leg in enumerate(f.follow.legs)}
    await tx.executemany(
        "INSERT INTO legs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (r.follow_id, place[r.follow_id, r.leg.name], *(getattr(r.leg, name) for name in _LEG), r.pnl)
            for r in effect.legs
        ],
    )
    for settled in effect.settled:
        await _settle(tx, settled)
    cards = [await put_asked(tx, asked) for asked in effect.asked]
    await put_events(tx, [*effect.events, *cards])


async def _settle(tx: aiosqlite.Connection, settled: Settled) -> None:
    """A decision that waited, as it ended; its last verdict says who ended it."""
    number, verdict = settled.decision_id, settled.verdict
    await tx.execute(
        "UPDATE decisions SET status = ?, reason = ?, quantity = ?, risk_amount = ? WHERE decision_id = ?",
        (settled.status, settled.reason, settled.quantity, settled.risk_amount, number),
    )
    await tx.execute(
        "INSERT INTO verdicts SELECT ?, coalesce(max(seq), -1) + 1, ?, ?, ?, ?, ? FROM verdicts WHERE decision_id = ?",
        (number, verdict.layer, verdict.rule, verdict.ruling, verdict.number, verdict.sentence, number),
    )


class SqliteLedger:
    """Implements ``core.ports.Ledger`` on a ``Database``."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def commit(self, effect: Effect) -> bool:
        """Writes the effect in one transaction. False: these candles were handled before, nothing was changed."""
        async with self._db.transaction() as tx:
            if await self._seen(tx, effect):
                return False
            await save_effect(tx, effect)
        return True

    async def _seen(self, tx: aiosqlite.Connection, effect: Effect) -> bool:
        rows = await tx.execute_fetchall("SELECT pair, open_time FROM cursors WHERE step = ?", (effect.step,))
        known = {row["pair"]: row["open_time"] for row in rows}
        return any(known.get(str(pair), -1) >= time for pair, time in effect.cursors.items())

    async def load(self) -> LedgerState:
        """Everything the live loop needs to go on; an empty database gives an empty state."""
        follows = await self._follows("f.exit_reason IS NULL")
        account = await self._db.row("SELECT * FROM account")
        cursors: dict[Step, dict[Pair, int]] = {"exits": {}, "entries": {}, "minutes": {}}
        for row in await self._db.rows("SELECT * FROM cursors"):
            cursors[row["step"]][Pair.parse(row["pair"])] = row["open_time"]
        signals = await self._db.rows("SELECT pair, max(open_time) AS t FROM decisions WHERE is_signal GROUP BY pair")
        variants = await self._db.rows(
            "SELECT v.rule, substr(v.sentence, 1, instr(v.sentence, ']: ')) AS label, d.pair, max(d.open_time) AS t "
            "FROM verdicts v INDEXED BY verdicts_variants JOIN decisions d USING (decision_id) "
            "WHERE v.layer = 'variant' AND v.number = 1 GROUP BY v.rule, label, d.pair"
        )
        recent = await self._db.rows(
            "SELECT ml_probability AS p, model_id FROM decisions WHERE model_id = (SELECT model_id FROM decisions "
            "WHERE ml_probability IS NOT NULL ORDER BY decision_id DESC LIMIT 1) ORDER BY decision_id DESC LIMIT 200"
        )
        last = await self._db.row("SELECT timeframe FROM decisions ORDER BY decision_id DESC LIMIT 1")
        counts = await self._db.row(
            "SELECT (SELECT coalesce(max(decision_id), 0) FROM decisions) AS d, "
            "(SELECT coalesce(max(follow_id), 0) FROM follows) AS f"
        )
        assert counts is not None
        return LedgerState(
            account=self._account(account, follows) if account else None,
            follows=tuple(follows),
            cursors=cursors,
            last_signals={Pair.parse(row["pair"]): row["t"] for row in signals},
            switches=await self.switches(),
            controls=await self.controls(),
            next_decision_id=counts["d"] + 1,
            next_follow_id=counts["f"] + 1,
            recent_probabilities=tuple(row["p"] for row in reversed(recent)),
            recent_model=recent[0]["model_id"] if recent else None,
            timeframe=last["timeframe"] if last else None,
            outcomes=await self.outcome_count(),
            variant_signals={(row["rule"], row["label"], Pair.parse(row["pair"])): row["t"] for row in variants},
        )

    def _account(self, row: Row, follows: list[FollowRecord]) -> Account:
        values = {name: row[name] for name in ACCOUNT}
        values |= {name: bool(row[name]) for name in ("drawdown_warned", "drawdown_paused")}
        return Account(**values, positions=tuple(position_of(f) for f in follows if f.kind is FollowKind.TRADE))

    async def _follows(self, where: str, values: tuple[Any, ...] = ()) -> list[FollowRecord]:
        legs = await self._db.rows(
            # CROSS: the follows first, or SQLite goes through every leg there is.
            f"SELECT l.* FROM follows f CROSS JOIN legs l USING (follow_id) WHERE {where} ORDER BY follow_id, seq",
            values,
        )
        rows = await self._db.rows(f"SELECT f.* FROM follows f WHERE {where} ORDER BY follow_id", values)
        return await _off_the_loop(follows_of, rows, legs)

    async def follow(self, follow_id: int) -> FollowRecord | None:
        found = await self._follows("f.follow_id = ?", (follow_id,))
        return found[0] if found else None

    async def closed_trades(self, limit: int | None = None) -> list[FollowRecord]:
        """Closed paper trades, the newest first."""
        newest = await self._db.rows(
            "SELECT follow_id FROM follows WHERE kind = 'trade' AND exit_reason IS NOT NULL "
            "ORDER BY exit_time DESC, follow_id DESC LIMIT ?",
            (-1 if limit is None else limit,),
        )
        order = [row["follow_id"] for row in newest]
        found = {f.follow_id: f for f in await self._follows(f"f.follow_id IN ({', '.join(map(str, order))})")}
        return [found[number] for number in order]

    async def trade_totals(self) -> TradeTotals:
        row = await self._db.row(
            "SELECT count(*) AS count, coalesce(sum(pnl > 0), 0) AS wins, coalesce(sum(max(pnl, 0.0)), 0.0) AS gains, "
            "coalesce(-sum(min(pnl, 0.0)), 0.0) AS losses "
            "FROM follows INDEXED BY follows_trades WHERE kind = 'trade' AND exit_reason IS NOT NULL"
        )
        assert row is not None
        return TradeTotals(row["count"], row["wins"], row["gains"], row["losses"])

    async def signals_per_pair(self) -> Mapping[Pair, int]:
        rows = await self._db.rows("SELECT pair, count(*) AS n FROM decisions WHERE is_signal GROUP BY pair")
        return {Pair.parse(row["pair"]): row["n"] for row in rows}

    async def outcome_count(self) -> int:
        """Live outcomes: closed trades and closed shadows of refused signals, gaps left out."""
        row = await self._db.row(
            f"SELECT count(*) AS n FROM follows f CROSS JOIN {_IN_SHORT} USING (decision_id) WHERE {_LIVE_OUTCOME}"
        )
        return int(row["n"]) if row else 0

    async def outcomes(self) -> list[Outcome]:
        """Live outcomes in the order of their closing, with the prediction stored before each was known."""
        rows = await self._db.rows(
            "SELECT d.open_time, d.timeframe, d.pair, d.direction, d.ml_probability, d.model_id, d.decided_at, "
            "f.kind, f.exit_time, f.realized_r FROM follows f JOIN decisions d USING (decision_id) "
            f"WHERE {_LIVE_OUTCOME} ORDER BY f.exit_time, f.follow_id"
        )
        return await _off_the_loop(outcomes_of, rows)

    async def sample_counts(self) -> Mapping[tuple[str, str], int]:
        """Closed follows that can teach, by (pair, source); sources as ``records.closed_samples`` names them."""
        rows = await self._db.rows(
            "SELECT d.pair, CASE WHEN d.status IN ('taken', 'refused') THEN f.kind ELSE 'shadow_candidate' END "
            f"AS source, count(*) AS n FROM follows f CROSS JOIN {_IN_SHORT} USING (decision_id) "
            "WHERE f.exit_reason IS NOT NULL AND f.exit_reason NOT IN ('GAP', 'MANUAL') GROUP BY d.pair, source"
        )
        return {(row["pair"], row["source"]): row["n"] for row in rows}

    async def trade_rows(self, signals_only: bool = False, since_ms: int = 0) -> list[TradeRow]:
        """Every follow of a signal or candidate with its decision: what exports and datasets are made from.

        ``since_ms``: only of candles that opened then or later.
        """
        found: list[TradeRow] = []
        where = "open_time >= ?" + (" AND is_signal" if signals_only else "")
        async for decisions in self._in_parts(where, (since_ms,)):
            known = {d.decision_id: d for d in decisions}
            follows = await self._follows("f.decision_id BETWEEN ? AND ?", (min(known), max(known)))
            found += [TradeRow(known[f.decision_id], f) for f in follows if f.decision_id in known]
        return sorted(found, key=lambda row: row.follow.follow_id)

    async def decisions(
        self, since_ms: int = 0, pair: Pair | None = None, signals_only: bool = False
    ) -> list[DecisionRecord]:
        """Decisions from an open time on, oldest first, with all their verdicts."""
        where, values = "open_time >= ?", [since_ms, *([str(pair)] if pair else [])]
        where += " AND pair = ?" if pair else ""
        where += " AND is_signal" if signals_only else ""
        return [decision async for part in self._in_parts(where, values) for decision in part]

    async def _in_parts(self, where: str, values: Sequence[Any]) -> AsyncIterator[list[DecisionRecord]]:
        """Decisions in the order of their ids, some at a time: all reads share one connection, and a whole year at
        once would keep /status and the next close waiting for seconds."""
        rows = await self._db.rows(f"SELECT decision_id FROM decisions WHERE {where} ORDER BY decision_id", values)
        for first in range(0, len(rows), PART):
            part = rows[first : first + PART]
            span = (part[0]["decision_id"], part[-1]["decision_id"])
            yield await self._decisions(f"{where} AND decision_id BETWEEN ? AND ?", (*values, *span))

    async def row_of(self, decision_id: int | None = None) -> TradeRow | None:
        """One decision with what became of it, without an id the newest signal; None where there is none."""
        newest = "decision_id = (SELECT max(decision_id) FROM decisions WHERE is_signal)"
        where, values = (newest, ()) if decision_id is None else ("decision_id = ?", (decision_id,))
        decisions, follows = await self._decisions(where, values), await self._follows(f"f.{where}", values)
        return TradeRow(decisions[0], follows[0]) if decisions and follows else None

    async def newest_signals(self, limit: int) -> list[TradeRow]:
        """The last signals with what became of each, the newest first."""
        rows = await self._db.rows(
            "SELECT decision_id FROM decisions WHERE is_signal ORDER BY decision_id DESC LIMIT ?", (limit,)
        )
        chosen = f"decision_id IN ({', '.join(str(row['decision_id']) for row in rows)})"
        decisions, follows = await self._decisions(chosen, ()), await self._follows(f"f.{chosen}")
        known = {d.decision_id: d for d in decisions}
        return [TradeRow(known[f.decision_id], f) for f in sorted(follows, key=lambda f: -f.decision_id)]

    async def _decisions(self, where: str, values: Sequence[Any]) -> list[DecisionRecord]:
        verdicts = await self._db.rows(
            f"SELECT v.* FROM verdicts v JOIN decisions USING (decision_id) WHERE {where} ORDER BY decision_id, seq",
            values,
        )
        rows = await self._db.rows(f"SELECT * FROM decisions WHERE {where} ORDER BY decision_id", values)
        return await _off_the_loop(decisions_of, rows, verdicts)

    async def crossover_count(self, model_id: str, since_ms: int) -> int:
        """How many ``crossovers`` there are."""
        row = await self._db.row(f"SELECT count(*) AS n FROM decisions WHERE {_CROSSOVER}", (model_id, since_ms))
        return int(row["n"]) if row else 0

    async def crossovers(self, model_id: str, since_ms: int, limit: int) -> list[Seen]:
        """The first crossovers since an open time that were no signals, as this model saw them, oldest first."""
        rows = await self._db.rows(
            "SELECT open_time, features, ml_probability FROM decisions "
            f"WHERE {_CROSSOVER} ORDER BY decision_id LIMIT ?",
            (model_id, since_ms, limit),
        )
        return await _off_the_loop(seen_of, rows)

    async def signal_counts(self, since_ms: int) -> Mapping[str, int]:
        """Signals per status (taken, refused, missed, ...) from an open time on."""
        rows = await self._db.rows(
            "SELECT status, count(*) AS n FROM decisions WHERE is_signal AND open_time >= ? GROUP BY status",
            (since_ms,),
        )
        return {row["status"]: row["n"] for row in rows}

    async def equity_curve(self) -> list[tuple[int, float]]:
        """(epoch ms of the close, equity), oldest first."""
        rows = await self._db.rows("SELECT time, equity FROM equity ORDER BY time")
        return await _off_the_loop(curve_of, rows)

    async def controls(self) -> Controls:
        rows = {row["key"]: json.loads(row["value"]) for row in await self._db.rows("SELECT * FROM controls")}
        return Controls(**{k: v for k, v in rows.items() if k in Controls.__dataclass_fields__})

    async def switches(self) -> dict[Pair, Switch]:
        rows = await self._db.rows("SELECT * FROM switches")
        return {Pair.parse(row["pair"]): Switch(bool(row["enabled"]), row["reason"]) for row in rows}

    async def alter(self, change: Alteration) -> int:
        """All that a person's command changes, with its audit entries; gives the number of its deed, 0 without one.

        Raises UsageError where the deed that it takes back was taken back before.
        """
        async with self._db.transaction() as tx:
            number = await put_alteration(tx, change)
            if change.account is not None:
                await save_account(tx, change.account, None)
            await put_events(tx, change.events)
        return number

    async def set_controls(self, controls: Controls, events: Iterable[Event] = ()) -> None:
        async with self._db.transaction() as tx:
            await put_controls(tx, controls)
            await put_events(tx, events)

    async def set_switch(self, pair: Pair, switch: Switch, events: Iterable[Event] = ()) -> None:
        async with self._db.transaction() as tx:
            await tx.execute(
                "INSERT OR REPLACE INTO switches VALUES (?, ?, ?)", (str(pair), switch.enabled, switch.reason)
            )
            await put_events(tx, events)

    async def save_account(self, account: Account) -> None:
        """An account changed by a person, outside of any candle."""
        async with self._db.transaction() as tx:
            await save_account(tx, account, None)

    async def publish(self, events: Iterable[Event]) -> None:
        """Queues events that belong to no other change."""
        async with self._db.transaction() as tx:
            await put_events(tx, events)

    async def mark(self, name: str) -> str | None:
        """A small fact that a restart must know, as last set; None where it never was."""
        row = await self._db.row("SELECT value FROM marks WHERE name = ?", (name,))
        return str(row["value"]) if row else None

    async def set_mark(self, name: str, value: str, events: Iterable[Event] = ()) -> None:
        """Keeps a fact together with the events it is the reason for."""
        async with self._db.transaction() as tx:
            await tx.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (name, value))
            await put_events(tx, events)
