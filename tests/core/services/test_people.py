"""What each person wishes is kept, over restarts and in backups; what nobody chose follows the configuration."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.adapters.backup_folder import BackupFolder
from core.adapters.sqlite_database import Database
from core.adapters.sqlite_people import SqlitePeople
from core.config import Settings
from core.errors import UsageError
from core.services.people import People, Wishes
from core.services.views import Actor
from tests.ledgers import books

ANN, OLE = Actor(1001, "Ann", "approver"), Actor(1002, "Ole", "viewer")


async def test_who_has_chosen_nothing_follows_the_configuration(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        store = SqlitePeople(kept.db)
        await People(Settings(timezone="Asia/Tokyo"), store).wish(ANN, numbers="de")
        moved = People(Settings(timezone="Europe/Berlin"), store)

        assert await moved.of(ANN.user_id) == Wishes("Europe/Berlin", "de")
        assert await moved.of(OLE.user_id) == moved.usual == Wishes("Europe/Berlin", "en")


async def test_one_wish_leaves_the_other_and_everybody_elses(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        people = People(Settings(), SqlitePeople(kept.db))
        await asyncio.gather(people.wish(ANN, zone="Asia/Tokyo"), people.wish(ANN, numbers="fr"))
        await people.wish(OLE, zone="Europe/Paris")
        await people.wish(ANN)

        for who in (people, People(Settings(), SqlitePeople(kept.db))):
            assert await who.of(ANN.user_id) == Wishes("Asia/Tokyo", "fr")
            assert await who.of(OLE.user_id) == Wishes("Europe/Paris", "en")


@pytest.mark.parametrize(
    "name", ["", "berlin", "Mars/Olympus", "../etc/passwd", "localtime", "/etc/localtime", "Europe"]
)
async def test_a_zone_nobody_knows_is_refused_and_changes_nothing(tmp_path: Path, name: str) -> None:
    async with books(tmp_path) as kept:
        people = People(Settings(), SqlitePeople(kept.db))
        with pytest.raises(UsageError, match="is not a time zone"):
            await people.wish(ANN, zone=name)

        assert await SqlitePeople(kept.db).all() == {}


async def test_wishes_that_mean_nothing_here_fall_back(tmp_path: Path) -> None:
    async with books(tmp_path) as kept:
        await SqlitePeople(kept.db).keep(ANN.user_id, {"zone": "Mars/Olympus", "numbers": "roman", "more": "x"})

        assert await People(Settings(), SqlitePeople(kept.db)).of(ANN.user_id) == Wishes("UTC", "en")


def test_a_restored_backup_knows_them(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"

    async def chosen(folder: Path, zone: str | None = None) -> Wishes:
        async with Database(folder / "julaba.sqlite") as db:
            people = People(Settings(), SqlitePeople(db))
            return await people.wish(ANN, zone=zone) if zone else await people.of(ANN.user_id)

    asyncio.run(chosen(here, "Asia/Tokyo"))
    moment = datetime(2026, 11, 21, tzinfo=UTC)
    BackupFolder(there).restore(BackupFolder(here).make(moment).path, moment)

    assert asyncio.run(chosen(there)).zone == "Asia/Tokyo"
