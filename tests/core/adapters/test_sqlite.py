"""The store: whole transactions or nothing, each thing once, and all of it there after the process has gone."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.adapters import sqlite_ledger
from core.adapters.migrations import MIGRATIONS, migrate
from core.adapters.sqlite_database import Database
from core.domain.account import Account
from core.domain.audit_chain import broken_link
from core.domain.candles import Pair
from core.domain.ledger import Controls, Effect, Switch
from core.domain.messages import Event, Notice, event_from_json, event_to_json
from core.errors import StoreError
from core.ports import MessageRef, StoredApproval
from tests.ledgers import Books, Stage, books, facts_of, market, settings
from tests.markets import M15, START

LINK = Pair.parse("LINK/USDT")
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def notice(key: str, topic: Any = "started") -> Notice:
    return Notice(key=key, time=NOON, topic=topic, title=key)


def effect(open_time: int, *events: Event, cash: float = 10_000.0) -> Effect:
    return Effect(
        step="exits", cursors={LINK: open_time}, account=Account(cash), equity_time=open_time + 1, events=tuple(events)
    )


def approval(**changes: Any) -> StoredApproval:
    plain = StoredApproval(0, "weight", "pending", "May it?", ("n 50", "AUC 0.61"), 0.25, "main", "m1", "Ann", 10, 20)
    return replace(plain, **changes)


async def ask(kept: Books) -> int:
    return await kept.chat.ask(approval(), lambda number: notice(f"approval:{number}"))


async def test_a_step_is_stored_once_however_often_it_comes(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        assert await kept.ledger.commit(effect(100, notice("a")))
        assert not await kept.ledger.commit(effect(100, notice("b"), cash=1.0))
        assert not await kept.ledger.commit(effect(99, notice("c"), cash=1.0))
        state = await kept.ledger.load()

    assert state.account is not None
    assert state.account.cash == 10_000.0
    assert state.cursors["exits"] == {LINK: 100}


async def test_a_step_that_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        before = await facts_of(kept)
        broken = replace(effect(100, notice("a")), legs=(None,))  # type: ignore[arg-type]
        with pytest.raises(AttributeError):
            await kept.ledger.commit(broken)

        assert await facts_of(kept) == before
        assert await kept.ledger.commit(effect(100))


async def test_what_was_committed_is_there_after_a_restart(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        await kept.ledger.commit(effect(100, notice("a"), cash=9_999.5))
        await kept.ledger.set_controls(Controls(paused="by Ann", approved_weight=0.25, approved_model="m1"))
        await kept.ledger.set_switch(LINK, Switch(False, "by Ann"))
        number = await ask(kept)
        await kept.chat.sent([], MessageRef(5, 6), "trade:1")
    async with books(tmp_path) as kept:
        state = await kept.ledger.load()

        assert state.account is not None
        assert state.account.cash == 9_999.5
        assert state.controls == Controls(paused="by Ann", approved_weight=0.25, approved_model="m1")
        assert state.switches == {LINK: Switch(False, "by Ann")}
        assert (await kept.chat.open_approvals())[0].approval_id == number
        assert await kept.chat.message_of("trade:1") == MessageRef(5, 6)
        assert await kept.chat.subject_of(MessageRef(5, 6)) == "trade:1"


async def test_an_event_is_queued_once_per_key_urgent_ones_first(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        await kept.ledger.publish([notice("a"), notice("b", "fault"), notice("a")])
        await kept.ledger.publish([notice("b", "fault"), notice("c")])
        waiting = await kept.chat.pending(10)
        await kept.chat.failed([waiting[0].item_id], "flood")
        await kept.chat.sent([waiting[1].item_id], MessageRef(1, 2))
        left = await kept.chat.pending(10)

    assert [item.event.key for item in waiting] == ["b", "a", "c"]
    assert [(item.event.key, item.attempts) for item in left] == [("b", 1), ("c", 0)]


@pytest.mark.parametrize("topic", ["started", "fault", "weight"])
def test_an_event_comes_back_from_json_as_it_was(topic: str) -> None:
    event = notice("k", topic)

    assert event_from_json(event_to_json(event)) == event


async def test_an_approval_is_answered_once_and_grants_in_the_same_transaction(tmp_path: Path) -> None:
    granted = Controls(approved_weight=0.25)
    async with books(tmp_path) as kept:
        number = await ask(kept)
        answers = await asyncio.gather(
            *(kept.chat.answer(number, "approved", f"user {n}", 15, "", granted, [notice("end")]) for n in range(5))
        )
        stored = await kept.chat.approval(number)

        assert sorted(answers) == [False] * 4 + [True]
        assert stored is not None
        assert stored.state == "approved"
        assert (await kept.ledger.controls()).approved_weight == 0.25
        assert await kept.chat.open_approvals() == []


async def test_a_look_is_stored_once_for_error_is_spent_once(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        assert await kept.chat.save_look("main", 1, 50, 0, 0.0005, "blocked", "first")
        assert not await kept.chat.save_look("main", 1, 50, 9, 0.0005, "ready", "second")
        assert await kept.chat.looks("main") == ["first"]


async def test_an_update_is_seen_for_the_first_time_once(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        assert await kept.chat.first_seen(7)
        assert not await kept.chat.first_seen(7)


async def test_the_audit_chain_holds_and_a_changed_entry_breaks_it(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        for n in range(5):
            await kept.chat.audit(n, 1001, "Ann", "command", f"/status {n}")
        whole = list(reversed(await kept.chat.audit_rows()))
        await kept.db.write("UPDATE audit SET detail = '/panic' WHERE entry_id = 3")
        changed = list(reversed(await kept.chat.audit_rows()))

    assert broken_link(whole) is None
    assert broken_link(changed) == 3


async def test_two_tasks_do_not_share_a_transaction(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:

        async def rolled_back() -> None:
            async with kept.db.transaction() as tx:
                await tx.execute("INSERT INTO updates (update_id) VALUES (1)")
                await asyncio.sleep(0.01)
                raise ConnectionAbortedError

        results = await asyncio.gather(rolled_back(), kept.chat.first_seen(2), return_exceptions=True)
        rows = await kept.db.rows("SELECT update_id FROM updates")

    assert isinstance(results[0], ConnectionAbortedError)
    assert [row["update_id"] for row in rows] == [2]


async def test_the_database_waits_for_the_disk(tmp_path: Path) -> None:
    async with Database(tmp_path / "j.sqlite") as db, db.transaction() as tx:
        (mode,) = [row[0] for row in await tx.execute_fetchall("PRAGMA journal_mode")]
        (sync,) = [row[0] for row in await tx.execute_fetchall("PRAGMA synchronous")]

    assert (mode, sync) == ("wal", 2)


async def test_a_file_that_is_no_database_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "j.sqlite").write_text("this is not a database at all, whatever its name says")

    with pytest.raises(StoreError, match=r"j\.sqlite cannot be used"):
        async with Database(tmp_path / "j.sqlite"):
            pass


async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        await kept.db.write(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")

    with pytest.raises(StoreError, match="version"):
        async with books(tmp_path):
            pass


async def test_somebody_elses_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.sqlite") as db:
        db.execute("CREATE TABLE songs (title)")
    db.close()

    with pytest.raises(StoreError, match="not Julaba's"):
        async with Database(tmp_path / "other.sqlite"):
            pass
    db = sqlite3.connect(tmp_path / "other.sqlite")
    assert [row[0] for row in db.execute("SELECT name FROM sqlite_master")] == ["songs"]
    db.close()


def test_a_migration_that_fails_leaves_the_version_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE half_done (x)")
        raise sqlite3.OperationalError("disk full")

    monkeypatch.setattr("core.adapters.migrations.MIGRATIONS", (*MIGRATIONS, broken))
    db = sqlite3.connect(":memory:", isolation_level=None)
    with pytest.raises(sqlite3.OperationalError):
        migrate(db)

    assert db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
    assert not db.execute("SELECT name FROM sqlite_master WHERE name = 'half_done'").fetchall()
    db.close()


def test_a_ledger_of_the_first_form_becomes_one_of_today_with_all_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    with monkeypatch.context() as before:
        before.setattr("core.adapters.migrations.MIGRATIONS", MIGRATIONS[:1])
        migrate(db)
    db.execute(
        "INSERT INTO decisions VALUES (1, 'LINK/USDT', '15m', 0, 'LONG', 1, 'taken', '', '{}', 0, 1.0, 1.0, NULL, NULL,"
        " '', '', 0.4, 0.4, 'm', 0.0, NULL, NULL, NULL)"
    )

    assert migrate(db) == len(MIGRATIONS) - 1
    found = db.execute("SELECT ml_probability, features, reasons, neighbours, ml_rank FROM decisions").fetchall()
    assert found == [(0.4, "{}", "[]", "[]", None)]
    db.close()


async def test_many_rows_are_read_off_the_event_loop_and_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with books(tmp_path) as kept:
        stage = await Stage.begin(kept, 0, settings())
        await stage.play(market(400), 0, 400)
        here = await kept.ledger.trade_rows()
        readers: list[str] = []
        real = asyncio.to_thread

        async def watched(function: Any, *arguments: Any) -> Any:
            readers.append(function.__name__)
            return await real(function, *arguments)

        monkeypatch.setattr(asyncio, "to_thread", watched)
        monkeypatch.setattr(sqlite_ledger, "FEW", 1)
        assert len(here) > 5
        assert repr(await kept.ledger.trade_rows()) == repr(here)
        assert readers == ["decisions_of", "follows_of"]


async def test_a_long_ledger_is_read_in_parts_between_which_others_have_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with books(tmp_path) as kept:
        stage = await Stage.begin(kept, 0, settings())
        await stage.play(market(400), 0, 400)
        at_once = [await kept.ledger.trade_rows(), await kept.ledger.trade_rows(signals_only=True)]
        newer = await kept.ledger.decisions(START + 350 * M15.ms, LINK)
        fetched: list[int] = []
        whole = kept.db.rows

        async def noted(sql: str, values: Any = ()) -> Any:
            plan = await whole(f"EXPLAIN QUERY PLAN {sql}", values)
            rows = await whole(sql, values)
            if not sql.startswith("SELECT decision_id FROM"):
                fetched.append(len({dict(row).get("decision_id") for row in rows}))
                assert not [step["detail"] for step in plan if step["detail"].startswith("SCAN")]
            return rows

        kept.db.rows = noted  # type: ignore[method-assign]
        monkeypatch.setattr(sqlite_ledger, "PART", 2)
        in_parts = [await kept.ledger.trade_rows(), await kept.ledger.trade_rows(signals_only=True)]

        assert len(at_once[0]) > 5
        assert repr(in_parts) == repr(at_once)
        assert repr(await kept.ledger.decisions(START + 350 * M15.ms, LINK)) == repr(newer)
        assert max(fetched) == 2


def noting(kept: Books) -> list[tuple[str, Any]]:
    """What is read from now on, as it is asked for."""
    asked: list[tuple[str, Any]] = []
    whole = kept.db.rows

    async def noted(sql: str, values: Any = ()) -> Any:
        asked.append((sql, values))
        return await whole(sql, values)

    kept.db.rows = noted  # type: ignore[method-assign]
    return asked


async def test_what_is_counted_at_every_look_is_counted_without_reading_the_rows(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        whole, asked = kept.db.rows, noting(kept)
        for count in (kept.ledger.outcome_count, kept.ledger.trade_totals, kept.ledger.signals_per_pair):
            await count()
        plans = [await whole(f"EXPLAIN QUERY PLAN {sql}", values) for sql, values in asked]

    steps = [row["detail"] for plan in plans for row in plan]
    assert len(steps) == 4
    assert [step for step in steps if "USING COVERING INDEX" not in step] == []


async def test_at_a_start_the_legs_and_variants_of_long_ago_are_not_gone_through(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        whole, asked = kept.db.rows, noting(kept)
        await kept.ledger.load()
        steps = [row["detail"] for sql, values in asked for row in await whole(f"EXPLAIN QUERY PLAN {sql}", values)]

    gone_through = {step.removeprefix("SCAN ") for step in steps if step.startswith("SCAN ")}
    assert "f USING INDEX follows_open" in gone_through
    assert "v USING INDEX verdicts_variants" in gone_through
    assert not {step for step in gone_through if step.startswith("l ")}


async def test_a_crossovers_count_is_found_by_the_model(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        plan = await kept.db.rows(
            f"EXPLAIN QUERY PLAN SELECT count(*) FROM decisions WHERE {sqlite_ledger._CROSSOVER}", ("m", 1)
        )

    assert "decisions_crossovers (model_id=? AND open_time>?)" in plan[0]["detail"]
