"""A person's change in the store: everything of it or nothing, and taken back once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.domain.account import Account
from core.domain.audit_chain import HEAD, broken_link
from core.domain.candles import Pair
from core.domain.deeds import Alteration, AuditEntry, Deed
from core.domain.ledger import Controls, Switch
from core.errors import StoreError, UsageError
from tests.core.adapters.test_sqlite import notice
from tests.ledgers import Books, books

LINK = Pair.parse("LINK/USDT")
ENTRY = AuditEntry(7, 1001, "Ann", "pause", "trading: running → paused by Ann")
DEED = Deed(0, 7, 1001, "Ann", "pause", {"paused": ""}, {"paused": "by Ann"})
WHOLE = Alteration(
    controls=Controls(paused="by Ann"),
    switches={LINK: Switch(False, "by Ann")},
    account=Account(9_000.0),
    events=(notice("told"),),
    entries=(ENTRY,),
    deed=DEED,
)


async def everything(kept: Books) -> list[Any]:
    tables = ("controls", "switches", "account", "outbox", "audit", "deeds", "marks")
    return [[tuple(row) for row in await kept.db.rows(f"SELECT * FROM {table}")] for table in tables]


async def test_all_of_a_change_is_stored_together(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        number = await kept.ledger.alter(WHOLE)
    async with books(tmp_path) as kept:
        state = await kept.ledger.load()
        deed = await kept.chat.deed(number)
        rows = await kept.chat.audit_rows()
        head = json.loads(await kept.ledger.mark(HEAD) or "")

    assert (state.controls, state.switches, state.account) == (
        Controls(paused="by Ann"),
        {LINK: Switch(False, "by Ann")},
        Account(9_000.0),
    )
    assert deed == replace(DEED, deed_id=number)
    assert [(r["user_name"], r["action"], r["detail"]) for r in rows] == [("Ann", "pause", ENTRY.detail)]
    assert head == {"entry_id": rows[0]["entry_id"], "hash": rows[0]["hash"]}


@pytest.mark.parametrize("table", ["controls", "switches", "account", "outbox", "audit", "deeds", "marks"])
async def test_whatever_part_cannot_be_written_none_of_it_is(tmp_path: Path, table: str) -> None:
    async with books(tmp_path) as kept:
        before = await everything(kept)
        await kept.db.write(
            f"CREATE TRIGGER no_more BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
        with pytest.raises(StoreError):
            await kept.ledger.alter(WHOLE)
        assert await everything(kept) == before


async def test_a_deed_is_taken_back_once(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        first = await kept.ledger.alter(WHOLE)
        back = Alteration(controls=Controls(), entries=(ENTRY,), deed=replace(DEED, subject="undo"), undoes=first)
        second = await kept.ledger.alter(back)
        before = await everything(kept)
        with pytest.raises(UsageError, match="taken back before"):
            await kept.ledger.alter(replace(back, controls=Controls(paused="x")))

        assert await everything(kept) == before
        stored = await kept.chat.deed(first)
        assert stored is not None
        assert stored.undone_by == second
        assert await kept.chat.newest_deed(undo=False) is None
        newest = await kept.chat.newest_deed(undo=True)
        assert newest is not None
        assert newest.deed_id == second
        assert await kept.chat.deed(99) is None


async def test_what_is_not_named_stays_as_it_is(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        await kept.ledger.alter(WHOLE)
        assert await kept.ledger.alter(Alteration(entries=(ENTRY,))) == 0
        state = await kept.ledger.load()

    assert (state.controls.paused, state.switches, state.account) == (
        "by Ann",
        {LINK: Switch(False, "by Ann")},
        Account(9_000.0),
    )


async def test_entries_are_chained_to_the_newest_that_was_written_even_where_that_is_gone(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        for _ in range(3):
            await kept.ledger.alter(Alteration(entries=(ENTRY, ENTRY)))
        assert broken_link(reversed(await kept.chat.audit_rows())) is None
        await kept.db.write("DELETE FROM audit WHERE entry_id = 6")
        assert broken_link(reversed(await kept.chat.audit_rows())) is None
        await kept.chat.audit(8, 1001, "Ann", "command", "/status")
        assert broken_link(reversed(await kept.chat.audit_rows())) == 7


async def test_the_log_is_read_from_either_end(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        for n in range(6):
            await kept.chat.audit(n, 1001, "Ann", "command", str(n))
        assert [r["detail"] for r in await kept.chat.audit_rows(2)] == ["5", "4"]
        assert [r["detail"] for r in await kept.chat.audit_rows(2, before=3)] == ["1", "0"]
        assert [r["detail"] for r in await kept.chat.audit_from(4, 2)] == ["3", "4"]
