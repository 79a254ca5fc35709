"""The journal of what people do: deeds that can be taken back, and the audit log chained by hash.

The newest entry's hash stands in a mark too, written with the entry: a log whose end was cut off is then seen.
"""

from __future__ import annotations

import json
from dataclasses import asdict

import aiosqlite

from core.adapters.sqlite_database import Row
from core.domain.audit_chain import HEAD, audit_hash
from core.domain.deeds import Alteration, AuditEntry, Deed
from core.domain.ledger import Controls
from core.errors import UsageError


async def put_entry(tx: aiosqlite.Connection, entry: AuditEntry) -> None:
    """Appends an entry chained to the one before it, and notes it as the newest.

    Chained to the newest that was noted, not to the newest that is there: one that was deleted leaves its gap.
    """
    noted = list(await tx.execute_fetchall("SELECT value FROM marks WHERE name = ?", (HEAD,)))
    last = list(await tx.execute_fetchall("SELECT hash FROM audit ORDER BY entry_id DESC LIMIT 1"))
    previous = str(json.loads(noted[0]["value"])["hash"]) if noted else last[0]["hash"] if last else ""
    values = (entry.time, entry.user_id, entry.user_name, entry.action, entry.detail)
    digest = audit_hash(previous, *values)
    cursor = await tx.execute(
        "INSERT INTO audit (time, user_id, user_name, action, detail, previous, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*values, previous, digest),
    )
    mark = json.dumps({"entry_id": cursor.lastrowid, "hash": digest})
    await tx.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (HEAD, mark))


async def put_controls(tx: aiosqlite.Connection, controls: Controls) -> None:
    await tx.executemany(
        "INSERT OR REPLACE INTO controls VALUES (?, ?)",
        [(key, json.dumps(value)) for key, value in asdict(controls).items()],
    )


async def put_alteration(tx: aiosqlite.Connection, change: Alteration) -> int:
    """Controls, switches, audit entries and the deed, whose number it gives; 0 where there is no deed.

    Raises UsageError for a deed that was taken back before: nothing is changed twice.
    """
    if change.controls is not None:
        await put_controls(tx, change.controls)
    await tx.executemany(
        "INSERT OR REPLACE INTO switches VALUES (?, ?, ?)",
        [(str(pair), switch.enabled, switch.reason) for pair, switch in change.switches.items()],
    )
    for entry in change.entries:
        await put_entry(tx, entry)
    return await _put_deed(tx, change.deed, change.undoes) if change.deed is not None else 0


async def _put_deed(tx: aiosqlite.Connection, deed: Deed, undoes: int | None) -> int:
    cursor = await tx.execute(
        "INSERT INTO deeds (time, user_id, user_name, subject, before, after) VALUES (?, ?, ?, ?, ?, ?)",
        (deed.time, deed.user_id, deed.user_name, deed.subject, json.dumps(deed.before), json.dumps(deed.after)),
    )
    number = int(cursor.lastrowid or 0)
    if undoes is not None:
        taken = await tx.execute(
            "UPDATE deeds SET undone_by = ? WHERE deed_id = ? AND undone_by IS NULL", (number, undoes)
        )
        if taken.rowcount != 1:
            raise UsageError("that was taken back before")
    return number


def deed_of(row: Row) -> Deed:
    """A deed as it stands in its table."""
    values = {name: row[name] for name in ("deed_id", "time", "user_id", "user_name", "subject", "undone_by")}
    return Deed(before=json.loads(row["before"]), after=json.loads(row["after"]), **values)
