"""What a person said is in the store until it is dealt with, and not for ever where it never is."""

from __future__ import annotations

from pathlib import Path

from core.adapters.sqlite_chat import GIVEN_OUT, SqliteChat
from core.adapters.sqlite_database import Database


async def test_a_kept_update_is_new_until_it_is_done(tmp_path: Path) -> None:
    async with Database(tmp_path / "julaba.sqlite") as db:
        chat = SqliteChat(db)
        await chat.keep_update(7, "{}")
        assert [await chat.first_seen(7), await chat.first_seen(7)] == [True, True]
        await chat.update_done(7)
        assert not await chat.first_seen(7)
        await chat.keep_update(7, "{}")  # Telegram sends it once more
        assert not await chat.first_seen(7)
        assert await chat.kept_updates() == []


async def test_updates_that_were_never_done_come_in_their_order_and_a_few_times_at_most(tmp_path: Path) -> None:
    async with Database(tmp_path / "julaba.sqlite") as db:
        chat = SqliteChat(db)
        await chat.keep_update(9, "nine")
        await chat.keep_update(8, "eight")
        await chat.update_done(5)
        for _ in range(GIVEN_OUT):
            assert await chat.kept_updates() == ["eight", "nine"]
        assert await chat.kept_updates() == []
        assert not await chat.first_seen(8)
