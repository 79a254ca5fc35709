"""Approvals as rows of their table: stored with a hash of their evidence, read whole."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import aiosqlite

from core.adapters.sqlite_database import Row
from core.domain.candles import to_datetime
from core.domain.ledger import Asked
from core.domain.messages import ApprovalAsked, Event
from core.ports import StoredApproval

APPROVAL = (
    "approval_id", "kind", "state", "title", "weight", "line", "model_id", "asked_by", "created_at", "expires_at",
    "answered_by", "answered_at", "answer_note", "body", "evidence_hash", "picture",
)  # fmt: skip
BY_ITSELF = "Julaba"


def evidence_hash(approval: StoredApproval) -> str:
    """SHA-256 over what a person is shown and what a yes does: title, lines, body and picture."""
    picture = hashlib.sha256(approval.picture).hexdigest() if approval.picture else ""
    return hashlib.sha256(json.dumps([approval.title, *approval.lines, approval.body, picture]).encode()).hexdigest()


def _first_hash(approval: StoredApproval) -> str:
    """As cards of the first versions have it: title and lines alone."""
    return hashlib.sha256(json.dumps([approval.title, *approval.lines]).encode()).hexdigest()


def read_approval(row: Row) -> StoredApproval:
    """An approval as it stands in its table; ``intact`` says whether its evidence is still what was frozen."""
    stored = StoredApproval(lines=tuple(json.loads(row["lines"])), **{name: row[name] for name in APPROVAL})
    intact = stored.evidence_hash in (evidence_hash(stored), _first_hash(stored))
    return stored if intact else replace(stored, intact=False)


async def put_approval(tx: aiosqlite.Connection, approval: StoredApproval) -> int:
    """Stores a question under the next free number, which it gives."""
    columns: dict[str, Any] = {name: getattr(approval, name) for name in APPROVAL if name != "approval_id"}
    columns |= {"lines": json.dumps(approval.lines), "evidence_hash": evidence_hash(approval)}
    cursor = await tx.execute(
        f"INSERT INTO approvals ({', '.join(columns)}) VALUES ({', '.join('?' for _ in columns)})",
        tuple(columns.values()),
    )
    return int(cursor.lastrowid or 0)


async def put_asked(tx: aiosqlite.Connection, asked: Asked) -> Event:
    """Stores the card of a trade that waits; gives the event that has it told."""
    approval = StoredApproval(
        approval_id=0,
        kind="trade",
        state="pending",
        title=asked.title,
        lines=asked.lines,
        weight=None,
        line=None,
        model_id=None,
        asked_by=BY_ITSELF,
        created_at=asked.time,
        expires_at=asked.expires_at,
        body=asked.body,
    )
    number = await put_approval(tx, approval)
    return ApprovalAsked(key=f"approval:{number}", time=to_datetime(asked.time), approval_id=number)
