"""Who was champion when: one row per reign's beginning, oldest first. The models themselves are files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict

from core.adapters.sqlite_approvals import read_approval
from core.adapters.sqlite_database import Database
from core.adapters.sqlite_deeds import put_controls
from core.adapters.sqlite_ledger import put_events
from core.domain.ledger import Controls
from core.domain.messages import Event, event_from_json, event_to_json
from core.ports import ChampionRecord, StoredApproval

CROWNING = "crowning"
"""The mark of an intent."""


class SqliteModels:
    """Implements ``core.ports.ChampionBook`` on a ``Database``."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def champions(self) -> list[ChampionRecord]:
        """All reigns, in the order in which they began."""
        rows = await self._db.rows("SELECT * FROM champions ORDER BY seq")
        return [
            ChampionRecord(row["line"], row["model_id"], row["since"], row["chosen_by"], row["reason"]) for row in rows
        ]

    async def crowned(
        self, record: ChampionRecord, controls: Controls | None = None, events: Iterable[Event] = ()
    ) -> None:
        """Notes a reign's beginning, with the controls it changes and what is told of it, together."""
        async with self._db.transaction() as tx:
            await tx.execute(
                "INSERT INTO champions (line, model_id, since, chosen_by, reason) VALUES (?, ?, ?, ?, ?)",
                (record.line, record.model_id, record.since, record.chosen_by, record.reason),
            )
            if controls is not None:
                await put_controls(tx, controls)
            await put_events(tx, events)
            await tx.execute("DELETE FROM marks WHERE name = ?", (CROWNING,))

    async def intend(self, record: ChampionRecord, news: Event) -> None:
        """Notes what is about to be made champion, and what is told of it then."""
        value = json.dumps({"record": asdict(record), "news": event_to_json(news)})
        await self._db.write("INSERT OR REPLACE INTO marks VALUES (?, ?)", (CROWNING, value))

    async def intended(self) -> tuple[ChampionRecord, Event] | None:
        """The newest intent that no ``crowned`` has followed."""
        row = await self._db.row("SELECT value FROM marks WHERE name = ?", (CROWNING,))
        if row is None:
            return None
        noted = json.loads(row["value"])
        return ChampionRecord(**noted["record"]), event_from_json(noted["news"])

    async def promised(self) -> StoredApproval | None:
        """The newest promotion that was approved, where no reign has begun since: it was cut off before its files."""
        row = await self._db.row(
            "SELECT * FROM approvals WHERE kind = 'promote' AND state = 'approved' "
            "AND answered_at > coalesce((SELECT since FROM champions ORDER BY seq DESC LIMIT 1), 0) "
            "ORDER BY answered_at DESC, approval_id DESC LIMIT 1"
        )
        return read_approval(row) if row else None
