"""The conversation's tables: outbox, messages, approvals, looks, updates and the hash-chained audit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from core.adapters.sqlite_approvals import put_approval, read_approval
from core.adapters.sqlite_database import Database, unpack
from core.adapters.sqlite_deeds import deed_of, put_controls, put_entry
from core.adapters.sqlite_ledger import put_events, save_effect
from core.domain.deeds import AuditEntry, Deed
from core.domain.ledger import Controls, Effect
from core.domain.messages import Event, event_from_json
from core.ports import MessageRef, OutboxItem, StoredApproval

UPDATES_KEPT = 10_000  # at least so many, to know a repeated one by
_TOLD_UNTIL = "told_until"
MOST = 2**63 - 1  # of SQLite's whole numbers

GIVEN_OUT = 5
"""Starts at which an update that was never done with is handed to the handlers again."""


def _places(values: Sequence[object]) -> str:
    return ", ".join("?" for _ in values)


class SqliteChat:
    """Implements ``core.ports.ChatStore`` on a ``Database``."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def pending(self, limit: int) -> list[OutboxItem]:
        """Events not yet sent: urgent ones first, then in the order they happened."""
        rows = await self._db.rows(
            "SELECT * FROM outbox WHERE state = 'pending' ORDER BY urgent DESC, item_id LIMIT ?", (limit,)
        )
        return [
            OutboxItem(
                row["item_id"],
                event_from_json(row["payload"]),
                datetime.fromtimestamp(row["created_at"] / 1000, UTC),
                row["attempts"],
                perhaps_told=row["chat_id"] is not None,
            )
            for row in rows
        ]

    async def waiting(self) -> tuple[int, int | None]:
        """How many events are not yet sent, and when the oldest was put there (epoch ms)."""
        row = await self._db.row("SELECT COUNT(*) AS n, MIN(created_at) AS oldest FROM outbox WHERE state = 'pending'")
        return (0, None) if row is None else (row["n"], row["oldest"])

    async def sending(self, item_ids: Sequence[int], chat_id: int | None) -> None:
        """A waiting item has the chat it is being handed to, for as long as nobody knows whether it got there."""
        await self._db.write(
            f"UPDATE outbox SET chat_id = ? WHERE state = 'pending' AND item_id IN ({_places(item_ids)})",
            (chat_id, *item_ids),
        )

    async def sent(self, item_ids: Sequence[int], message: MessageRef | None, subject: str = "") -> None:
        """Done with: sent as ``message``, which shows ``subject`` from now on, or with None wanted by nobody."""
        place = (message.chat_id, message.message_id) if message else (None, None)
        async with self._db.transaction() as tx:
            await tx.execute(
                f"UPDATE outbox SET state = 'sent', chat_id = ?, message_id = ? WHERE item_id IN ({_places(item_ids)})",
                (*place, *item_ids),
            )
            if message is not None and subject:
                await tx.execute("INSERT OR REPLACE INTO messages VALUES (?, ?, ?)", (subject, *place))

    async def failed(self, item_ids: Sequence[int], error: str) -> None:
        """One more attempt without success; the items stay pending."""
        await self._db.write(
            f"UPDATE outbox SET attempts = attempts + 1, last_error = ? WHERE item_id IN ({_places(item_ids)})",
            (error[:300], *item_ids),
        )

    async def told_until(self) -> int | None:
        """See ``set_told_until``; None before the first."""
        row = await self._db.row("SELECT value FROM marks WHERE name = ?", (_TOLD_UNTIL,))
        return int(row["value"]) if row else None

    async def set_told_until(self, moment_ms: int) -> None:
        """Until then (wall time) nothing was overdue: how long an outage was is counted from here."""
        await self._db.write("INSERT OR REPLACE INTO marks VALUES (?, ?)", (_TOLD_UNTIL, str(moment_ms)))

    async def message_of(self, subject: str) -> MessageRef | None:
        row = await self._db.row("SELECT * FROM messages WHERE subject = ?", (subject,))
        return MessageRef(row["chat_id"], row["message_id"]) if row else None

    async def subject_of(self, message: MessageRef) -> str | None:
        row = await self._db.row(
            "SELECT subject FROM messages WHERE chat_id = ? AND message_id = ?", (message.chat_id, message.message_id)
        )
        return str(row["subject"]) if row else None

    async def trade_events(self, trade_id: int) -> list[Event]:
        """What was told about a trade, oldest first; empty for an unknown one."""
        rows = await self._db.rows("SELECT payload FROM outbox WHERE trade_id = ? ORDER BY item_id", (trade_id,))
        return [event_from_json(row["payload"]) for row in rows]

    async def ask(self, approval: StoredApproval, asked: Callable[[int], Event]) -> int:
        """Stores the approval and queues ``asked(its id)`` in one transaction; gives the id."""
        async with self._db.transaction() as tx:
            approval_id = await put_approval(tx, approval)
            await put_events(tx, [asked(approval_id)])
        return approval_id

    async def approval(self, approval_id: int) -> StoredApproval | None:
        row = await self._db.row("SELECT * FROM approvals WHERE approval_id = ?", (approval_id,))
        return read_approval(row) if row else None

    async def open_approvals(self) -> list[StoredApproval]:
        rows = await self._db.rows("SELECT * FROM approvals WHERE state = 'pending' ORDER BY approval_id")
        return [read_approval(row) for row in rows]

    async def answer(
        self,
        approval_id: int,
        state: str,
        answered_by: str,
        answered_at: int,
        note: str,
        controls: Controls | None,
        events: Iterable[Event],
        effect: Effect | None = None,
        entry: AuditEntry | None = None,
    ) -> bool:
        """Ends a pending approval and applies what it grants, together. False: it was no longer pending."""
        async with self._db.transaction() as tx:
            cursor = await tx.execute(
                "UPDATE approvals SET state = ?, answered_by = ?, answered_at = ?, answer_note = ? "
                "WHERE approval_id = ? AND state = 'pending'",
                (state, answered_by, answered_at, note, approval_id),
            )
            if cursor.rowcount == 0:
                return False
            if controls is not None:
                await put_controls(tx, controls)
            if effect is not None:
                await save_effect(tx, effect)
            if entry is not None:
                await put_entry(tx, entry)
            await put_events(tx, events)
        return True

    async def save_look(self, line: str, look: int, n: int, at: int, alpha: float, state: str, body: str) -> bool:
        """Stores a look, once: False when this look of the line was taken before, for error is spent only once."""
        changed = await self._db.write(
            "INSERT INTO looks VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (line, look, n, at, alpha, state, body),
        )
        return changed == 1

    async def looks(self, line: str) -> list[str]:
        """The bodies of the line's looks, oldest first."""
        rows = await self._db.rows("SELECT body FROM looks WHERE line = ? ORDER BY look", (line,))
        return [row["body"] for row in rows]

    async def first_seen(self, update_id: int) -> bool:
        """True for an update that was not dealt with before: never shown, or kept and not done."""
        if update_id % UPDATES_KEPT == 0:  # Telegram repeats only the newest, and numbers them one by one
            await self._db.write("DELETE FROM updates WHERE update_id < ?", (update_id - UPDATES_KEPT,))
        new = await self._db.write("INSERT INTO updates (update_id) VALUES (?) ON CONFLICT DO NOTHING", (update_id,))
        return new == 1 or bool(
            await self._db.row("SELECT 1 FROM updates WHERE update_id = ? AND body IS NOT NULL", (update_id,))
        )

    async def keep_update(self, update_id: int, body: str) -> None:
        """Keeps an update until ``update_done``; one that is known is left as it is."""
        await self._db.write(
            "INSERT INTO updates (update_id, body) VALUES (?, ?) ON CONFLICT DO NOTHING", (update_id, body)
        )

    async def kept_updates(self) -> list[str]:
        """What was never done with, oldest first; each ``GIVEN_OUT`` times at most: it may be what ends the bot."""
        async with self._db.transaction() as tx:
            await tx.execute("UPDATE updates SET given_out = given_out + 1 WHERE body IS NOT NULL")
            await tx.execute("UPDATE updates SET body = NULL WHERE given_out > ?", (GIVEN_OUT,))
            rows = await tx.execute_fetchall("SELECT body FROM updates WHERE body IS NOT NULL ORDER BY update_id")
        return [str(row["body"]) for row in rows]

    async def update_done(self, update_id: int) -> None:
        await self._db.write("UPDATE updates SET body = NULL WHERE update_id = ?", (update_id,))

    async def audit(self, time: int, user_id: int, user_name: str, action: str, detail: str) -> None:
        """Appends an entry chained to the one before it."""
        async with self._db.transaction() as tx:
            await put_entry(tx, AuditEntry(time, user_id, user_name, action, detail))

    async def audit_rows(self, limit: int | None = None, before: int | None = None) -> list[dict[str, object]]:
        """Entries, the newest first; ``before`` names the entry behind the newest wanted."""
        return unpack(
            await self._db.rows(
                "SELECT * FROM audit WHERE entry_id < ? ORDER BY entry_id DESC LIMIT ?",
                (before if before is not None else MOST, limit or -1),
            )
        )

    async def audit_from(self, entry_id: int, limit: int) -> list[dict[str, object]]:
        """Entries from that one on, the oldest first."""
        return unpack(
            await self._db.rows("SELECT * FROM audit WHERE entry_id >= ? ORDER BY entry_id LIMIT ?", (entry_id, limit))
        )

    async def deed(self, deed_id: int) -> Deed | None:
        row = await self._db.row("SELECT * FROM deeds WHERE deed_id = ?", (deed_id,))
        return deed_of(row) if row else None

    async def newest_deed(self, *, undo: bool) -> Deed | None:
        """The newest that was not taken back: among those that take another back, or among all the others."""
        row = await self._db.row(
            "SELECT * FROM deeds WHERE undone_by IS NULL AND (subject = 'undo') = ? ORDER BY deed_id DESC LIMIT 1",
            (undo,),
        )
        return deed_of(row) if row else None
