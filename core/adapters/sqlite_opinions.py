"""Gemini's opinions, kept from the answer to the decision: a kill in between neither asks nor pays again."""

from __future__ import annotations

import json
from dataclasses import asdict, fields

from core.adapters.sqlite_database import Database
from core.domain.candles import DAY_MS, Pair
from core.domain.trading import GeminiOpinion

KEPT_MS = 7 * DAY_MS
"""Afterwards an opinion stands in its decision, or in none that could still be made."""

_FIELDS = frozenset(f.name for f in fields(GeminiOpinion))


class SqliteOpinions:
    """Implements ``core.ports.OpinionBook`` on a ``Database``."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def known(self, pair: Pair, open_time: int, question: str) -> GeminiOpinion | None:
        """See ``OpinionBook``. An answer to another question (another model, the other direction) is none to this."""
        row = await self._db.row("SELECT body FROM opinions WHERE pair = ? AND open_time = ?", (str(pair), open_time))
        body = json.loads(row["body"]) if row else {}
        if body.get("question") != question:
            return None
        kept = {name: value for name, value in body.items() if name in _FIELDS}
        return GeminiOpinion(**kept | {"risks": tuple(kept["risks"])})

    async def keep(self, pair: Pair, open_time: int, question: str, opinion: GeminiOpinion, at: int) -> None:
        body = json.dumps({"question": question, **asdict(opinion)})
        async with self._db.transaction() as tx:
            await tx.execute("DELETE FROM opinions WHERE asked_at < ?", (at - KEPT_MS,))
            await tx.execute("INSERT OR REPLACE INTO opinions VALUES (?, ?, ?, ?)", (str(pair), open_time, at, body))
