"""The audit log's chain: each entry carries a hash over itself and the hash before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

HEAD = "audit:head"
"""The mark with the newest entry, ``{"entry_id": 57, "hash": "..."}``: written with it, so that a cut end is seen."""


def audit_hash(previous: str, time: int, user_id: int, user_name: str, action: str, detail: str) -> str:
    """SHA-256 over the entry and the hash before it: changing any entry breaks every later one."""
    return hashlib.sha256(json.dumps([previous, time, user_id, user_name, action, detail]).encode()).hexdigest()


def broken_link(entries: Iterable[Mapping[str, Any]], previous: str = "") -> int | None:
    """The id of the first entry (oldest first) whose hash does not fit; None when the chain holds.

    ``previous`` is the hash before the first of them.
    """
    for entry in entries:
        expected = audit_hash(
            previous, entry["time"], entry["user_id"], entry["user_name"], entry["action"], entry["detail"]
        )
        if entry["previous"] != previous or entry["hash"] != expected:
            return int(entry["entry_id"])
        previous = entry["hash"]
    return None
