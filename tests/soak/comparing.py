"""Two books side by side: every table by its content, every difference by its name."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]

KEYS: dict[str, tuple[str, ...]] = {
    "account": ("id",),
    "approvals": ("approval_id",),
    "champions": ("seq",),
    "controls": ("key",),
    "cursors": ("step", "pair"),
    "decisions": ("decision_id",),
    "deeds": ("deed_id",),
    "equity": ("time",),
    "follows": ("follow_id",),
    "legs": ("follow_id", "seq"),
    "looks": ("line", "look"),
    "marks": ("name",),
    "messages": ("subject",),
    "opinions": ("pair", "open_time"),
    "outbox": ("key",),
    "people": ("user_id",),
    "switches": ("pair",),
    "verdicts": ("decision_id", "seq"),
    "audit": ("time", "user_id", "action", "detail"),
}
"""What names a row of each table."""

OWN: dict[str, frozenset[str]] = {
    "outbox": frozenset({"item_id", "attempts", "last_error", "chat_id", "message_id"}),
    "messages": frozenset({"chat_id", "message_id"}),
    "audit": frozenset({"entry_id", "previous", "hash"}),
}
"""Columns that are each run's own: places in a chat and in a queue."""

UNCOMPARED = {"updates": "Telegram's numbers", "sqlite_sequence": "SQLite's own"}

PASSED_OVER = {
    "outbox": ("started:", "waiting:"),  # made anew by each start; told of a slow answer
    "marks": ("told_until", "audit:"),  # a time of the computer's; how far a chain of each run's own was read
    "cursors": ("minutes ",),  # how far looks inside candles have come: the close makes up for those not taken
}
"""How rows begin that are each run's own."""

OF_THE_MOMENT = ("equity",)
"""What an alert says of the moment at which it is told: an exit between closes may be seen at once or at the close,
and the other trades are then worth something else. Cash, closed trades and every close's equity are compared."""


@dataclass(frozen=True)
class Difference:
    table: str
    row: str
    column: str
    left: object
    right: object

    def __str__(self) -> str:
        return f"{self.table} [{self.row}] {self.column}: {_short(self.left)} | {_short(self.right)}"


def differences(left: Path, right: Path) -> list[Difference]:
    """What two ledgers do not agree on; empty when every table says the same."""
    return list(_differences(tables(left), tables(right)))


def tables(path: Path) -> dict[str, dict[str, Row]]:
    """All rows of a ledger by table and by what names them. Raises AssertionError for a table nobody has thought of."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        unknown = set(names) - KEYS.keys() - UNCOMPARED.keys()
        assert not unknown, f"the soak does not know how to compare {sorted(unknown)}"
        return {name: _named(name, db.execute(f"SELECT * FROM {name}")) for name in names if name in KEYS}


def _named(table: str, rows: sqlite3.Cursor) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for raw in rows:
        row = {column: raw[column] for column in raw.keys() if column not in OWN.get(table, ())}  # noqa: SIM118
        name = " ".join(str(raw[column]) for column in KEYS[table])
        if any(name.startswith(beginning) for beginning in PASSED_OVER.get(table, ())):
            continue
        if table == "outbox":
            row["payload"] = json.dumps({k: v for k, v in json.loads(row["payload"]).items() if k not in OF_THE_MOMENT})
        found[name] = row  # the audit may hold the same entry twice: a command that a kill cut off is handled again
    return found


def _differences(left: Mapping[str, Mapping[str, Row]], right: Mapping[str, Mapping[str, Row]]) -> Iterator[Difference]:
    for table in sorted(left.keys() | right.keys()):
        ours, theirs = left.get(table, {}), right.get(table, {})
        for name in [*ours, *(n for n in theirs if n not in ours)]:
            if name not in theirs or name not in ours:
                yield Difference(table, name, "(row)", *("there" if name in x else "missing" for x in (ours, theirs)))
                continue
            for column in ours[name].keys() | theirs[name].keys():
                mine, yours = ours[name].get(column), theirs[name].get(column)
                if mine != yours:
                    yield Difference(table, name, column, mine, yours)


def counted(found: Sequence[Difference]) -> str:
    """How many differences each column of each table has."""
    counts = Counter(f"{d.table}.{d.column}" for d in found)
    return ", ".join(f"{name} {n}x" for name, n in counts.most_common())


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 300 else f"{text[:300]}..."
