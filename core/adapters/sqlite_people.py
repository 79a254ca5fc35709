"""How each person wants to be talked to, by user id."""

from __future__ import annotations

import json
from collections.abc import Mapping

from core.adapters.sqlite_database import Database


class SqlitePeople:
    """Implements ``core.services.people.WishStore`` on a ``Database``."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def all(self) -> dict[int, dict[str, str]]:
        rows = await self._db.rows("SELECT user_id, wishes FROM people")
        return {row["user_id"]: json.loads(row["wishes"]) for row in rows}

    async def keep(self, user_id: int, chosen: Mapping[str, str]) -> None:
        body = json.dumps(dict(chosen), sort_keys=True)
        await self._db.write("INSERT OR REPLACE INTO people (user_id, wishes) VALUES (?, ?)", (user_id, body))
