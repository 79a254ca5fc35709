"""The audit log as people read it, and whatever somebody does to it behind the bot's back."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from core import bootstrap
from core.adapters.backup_folder import BackupFolder
from core.domain.audit_chain import HEAD
from core.errors import StoreError
from core.services import audit_log
from core.services.audit_log import VERIFIED, AuditLog
from tests.ledgers import settings
from tests.offices import ANN, OLE, Office, office

PEOPLE = settings(access={"users": {"1001": "approver", "1002": "operator", "1004": "viewer"}})


def looks(said: str) -> bool:
    return said.startswith("/status")


async def filled(at: Office, count: int = 8) -> AuditLog:
    for n in range(count):
        await at.kept.chat.audit(n, 1001, "Ann", "command", f"/status {n}")
    return at.desk.topics.safety.audit


async def test_strangers_and_looks_are_folded_and_changes_stand_alone(tmp_path: Path) -> None:
    async with office(tmp_path, config=PEOPLE) as at:
        for n, (user, name) in enumerate([(66, "Eve"), (67, "Mallory"), (66, "Eve")]):
            await at.desk.record_command(n, user, name, "hello", False)
        await at.desk.record_command(10, 1004, "Vera", "/pause", False)
        for n in range(11, 15):
            await at.desk.record_command(n, 1001, "Ann", "/status", True)
        await at.desk.record_command(15, 1002, "Ole", "/status", True)
        await at.desk.record_command(16, 1002, "Ole", "/pair LINK off", True)
        await at.desk.switch_pair("LINK", False, OLE)
        page = await at.desk.topics.safety.audit.page(10, looks)

    assert [(line.kind, line.by, line.detail, line.count) for line in page.lines] == [
        ("change", "Ole", "LINK/USDT: on → off", 1),
        ("command", "Ole", "/pair LINK off", 1),
        ("look", "Ole", "/status", 1),
        ("look", "Ann", "/status", 4),
        ("refused", "Vera", "/pause", 1),
        ("stranger", "Eve", "hello", 3),
    ]
    assert (page.older, page.chain.entries, page.chain.holds) == (None, 11, True)


async def test_pages_follow_one_another_without_a_gap_or_a_double(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "PART", 3)
    async with office(tmp_path, config=PEOPLE) as at:
        log = await filled(at, 0)
        for n in range(17):
            await at.kept.chat.audit(n, 1001, "Ann", "set", f"{n}")
        found: list[str] = []
        before: int | None = None
        for _ in range(10):
            page = await log.page(4, looks, before)
            found += [line.detail for line in page.lines]
            before = page.older
            if before is None:
                break

    assert found == [str(n) for n in reversed(range(17))]


async def test_only_what_is_new_is_checked_and_the_whole_once_a_day(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        log = await filled(at)
        assert (await log.check()).entries == 8
        read: list[int] = []
        whole = at.kept.chat.audit_from

        async def counted(entry_id: int, limit: int) -> list[dict[str, object]]:
            rows = await whole(entry_id, limit)
            read.append(len(rows))
            return rows

        at.kept.chat.audit_from = counted  # type: ignore[method-assign]
        await at.desk.pause(ANN)
        chain = await log.check()
        assert (chain.entries, chain.holds, read) == (9, True, [2])
        await log.review()
        await log.review()
        assert read == [2, 9]
        assert (await log.check()).whole_at == at.stage.clock.now()
        at.stage.clock.advance(at.stage.clock.now() + timedelta(days=1))
        await log.review()
        assert read[-1] == 9


Harm = tuple[str, str]
HARMS: list[Harm] = [
    ("UPDATE audit SET detail = '/panic' WHERE entry_id = 3", "entry 3"),
    ("UPDATE audit SET user_id = 5 WHERE entry_id = 8", "entry 8"),
    ("DELETE FROM audit WHERE entry_id = 4", "entry 5"),
    ("DELETE FROM audit WHERE entry_id = 1", "entry 2"),
    ("DELETE FROM audit WHERE entry_id = 8", "entry 8"),
    ("DELETE FROM audit WHERE entry_id > 5", "entry 8"),
    ("DELETE FROM audit", "entry 8"),
]


@pytest.mark.parametrize(("harm", "named"), HARMS)
async def test_the_daily_check_finds_whatever_was_done_to_the_log_and_says_so_once(
    tmp_path: Path, harm: str, named: str
) -> None:
    async with office(tmp_path) as at:
        log = await filled(at)
        await log.check()
        await at.kept.db.write(harm)
        await log.review()
        chain = await log.check()
        assert not chain.holds
        assert named in chain.reason
        assert at.live.faults.active == ("The audit log was changed",)
        assert not (await log.page(5, looks)).chain.holds


@pytest.mark.parametrize(
    "harm", ["DELETE FROM audit WHERE entry_id = 8", "UPDATE audit SET hash = 'x' WHERE entry_id = 8"]
)
async def test_what_is_done_to_the_newest_entries_is_seen_at_the_next_look(tmp_path: Path, harm: str) -> None:
    async with office(tmp_path) as at:
        log = await filled(at)
        await at.kept.db.write(harm)
        assert not (await log.check()).holds
        await at.desk.pause(ANN)  # what comes after does not hide it
        assert not (await log.check()).holds


@pytest.mark.parametrize(("harm", "named"), HARMS)
async def test_the_doctor_finds_it_too(tmp_path: Path, harm: str, named: str) -> None:
    async with office(tmp_path) as at:
        await filled(at)
        path = at.kept.db._path
        assert "unbroken audit log of 8 entries" in bootstrap.database_summary(path, 10)
        await at.kept.db.write(harm)
        with pytest.raises(StoreError, match=named):
            bootstrap.database_summary(path, 10)


async def test_a_cut_end_with_its_mark_set_right_is_known_from_the_newest_backup(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        await filled(at)
        BackupFolder(tmp_path).make(at.stage.clock.now())
        rows = await at.kept.chat.audit_rows()
        await at.kept.db.write("DELETE FROM audit WHERE entry_id > 5")
        end = json.dumps({"entry_id": 5, "hash": rows[3]["hash"]})
        await at.kept.ledger.set_mark(HEAD, end)
        await at.kept.db.write("DELETE FROM marks WHERE name = ?", (VERIFIED,))
        assert (await at.desk.topics.safety.audit.check()).holds  # the ledger alone cannot know
        with pytest.raises(StoreError, match="entry 8 of the audit log is gone, and the newest backup knows of it"):
            bootstrap.database_summary(at.kept.db._path, 10)
        BackupFolder(tmp_path).make(at.stage.clock.now() + timedelta(minutes=1), by_hand=True)
        assert "unbroken" in bootstrap.database_summary(at.kept.db._path, 10)


async def test_a_ledger_from_before_the_mark_is_whole(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        log = await filled(at)
        await at.kept.db.write("DELETE FROM marks WHERE name = ?", (HEAD,))
        assert (await log.check()).holds
        assert "unbroken" in bootstrap.database_summary(at.kept.db._path, 10)
        await at.desk.pause(ANN)
        assert (await log.check()).entries == 9


async def test_what_is_written_while_it_is_checked_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "PART", 3)
    async with office(tmp_path) as at:
        log = await filled(at)
        whole: Callable[..., object] = at.kept.chat.audit_from

        async def meanwhile(entry_id: int, limit: int) -> list[dict[str, object]]:
            if entry_id < 6:
                await at.kept.chat.audit(99, 1001, "Ann", "command", "/status")
            return await whole(entry_id, limit)  # type: ignore[misc,no-any-return]

        at.kept.chat.audit_from = meanwhile  # type: ignore[method-assign]
        assert (await log.check()).holds
