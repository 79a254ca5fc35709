"""Ten thousand hostile updates through the real library over HTTP: nothing breaks, nothing changes, nobody waits."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.config import Settings
from core.services.bus import Bell
from core.services.outbox import Outbox
from julaba_tg.app import Bot
from julaba_tg.phone.bot_api import Phone
from julaba_tg.phone.clock import wall_now
from tests.julaba_tg.conftest import OWNER, STRANGER, VIEWER, World
from tests.julaba_tg.hostility import Enemy
from tests.julaba_tg.people import OPERATOR, ROLES, SORRY, changed, state, three_roles, unhurried
from tests.ledgers import settings as settings_of
from tests.offices import office

WAVES, WAVE = 10, 1000
ASKED = {"updates", "kept_updates", "audit"}
MARKS = ("told_until", "audit", "pinned", "work:")  # the first column of rows that go with what is asked and shown
PATIENCE = 60.0  # seconds
WARM = 4  # waves after which nothing grows any more
MOST_KEPT = 30_000  # objects more after five thousand updates: one update alone is a dozen
MOST_LATE = 5.0  # seconds: no measure of the machine, only that nothing stands still


class Beat:
    """How long the event loop is held up at a time, by beats of ten milliseconds."""

    def __init__(self) -> None:
        self.late: list[float] = []

    async def run(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.01)
            self.late.append(time.perf_counter() - began - 0.01)

    def __str__(self) -> str:
        late = sorted(self.late)
        return f"longest {late[-1] * 1000:.0f} ms, 99% below {late[int(len(late) * 0.99)] * 1000:.0f} ms"


@contextlib.asynccontextmanager
async def beating() -> AsyncIterator[Beat]:
    beat = Beat()
    task = asyncio.create_task(beat.run())
    try:
        yield beat
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def settings() -> Settings:
    return three_roles()


@pytest.fixture
async def chat(world: World) -> World:
    return await unhurried(world)


async def cards_of(phone: Phone, bot: Bot) -> tuple[tuple[int, ...], int]:
    """Messages that are there, and a group where the bot is: what a forged update can name."""
    group = phone.add_group("Desk", members=(OWNER, VIEWER, OPERATOR), bot="administrator")
    for words in ("/start", "/status", "/pairs"):
        phone.say(OWNER, words)
    await drained(phone, bot)
    return tuple(m.message_id for m in phone.messages(OWNER) if m.from_bot), group.chat_id


async def drained(phone: Phone, bot: Bot) -> None:
    """Until the bot has heard everything and dealt with it."""
    async with asyncio.timeout(PATIENCE):
        while len(phone.chats.updates) or not bot.idle:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


async def send(phone: Phone, enemy: Enemy, count: int) -> None:
    first = phone.chats.updates.number(count)
    for number in range(first, first + count):
        phone.chats.updates.force(enemy.update(number))
        if number % 20 == 0:
            await asyncio.sleep(0)  # making them up is not the bot's work


async def status_of(phone: Phone) -> float:
    """Seconds until the owner's /status is answered."""
    began = time.perf_counter()
    asked = phone.say(OWNER, "/status")["message"]["message_id"]
    await phone.wait_for(lambda m: m.text.startswith("📊"), PATIENCE, chat_id=OWNER, after=asked)
    return time.perf_counter() - began


def calm(phone: Phone, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody was told that something went wrong, and the log has no fault."""
    faults = [r for r in caplog.records if r.levelname in {"ERROR", "CRITICAL"}]
    assert not faults, "\n".join(f"{r.getMessage()} {r.exc_info}" for r in faults[:5])
    said = [m for chat in phone.chats.chat_ids() for m in phone.messages(chat) if m.from_bot]
    assert not [m.text for m in said if SORRY in m.text or "😕" in m.text]


def forget(phone: Phone) -> None:
    """The phone's own memory is not what is measured here."""
    for chat in phone.chats.chat_ids():
        for message in phone.chats.messages(chat)[:-20]:
            phone.chats.delete(message)
    phone.chats.queries.clear()
    phone.calls.clear()


def spoken_to(phone: Phone) -> set[int]:
    return {int(p["chat_id"]) for name, p in phone.calls if name.startswith(("send", "edit")) and "chat_id" in p}


def told(words: str) -> None:
    """What was measured, for who looks with ``-s``."""
    sys.stdout.write(f"\n{words}\n")


def tables(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Everything a ledger holds, but what was asked, who asked it, and where the chat stands."""
    with contextlib.closing(sqlite3.connect(file)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        found = {n: db.execute(f"SELECT * FROM {n}").fetchall() for n in names if n not in ASKED}
    return {name: [row for row in rows if not str(row[0]).startswith(MARKS)] for name, rows in found.items()}


async def test_ten_thousand_hostile_updates(chat: World, caplog: pytest.LogCaptureFixture) -> None:
    phone, desk, bot = chat.phone, chat.desk, chat.bot
    assert bot is not None
    cards, group = await cards_of(phone, bot)
    enemy = Enemy(20261122, int(wall_now().timestamp()), cards, group)
    before, weights = state(desk), len(desk.weights)
    answered, objects = [], {}
    began, worked = time.perf_counter(), time.process_time()
    async with beating() as beat:
        for wave in range(WAVES):
            await send(phone, enemy, WAVE // 2)
            right = phone.say(OWNER, "/ml 0.25")  # something rightly asked for in between, which comes twice
            phone.chats.updates.force(right)
            await send(phone, enemy, WAVE // 2 - 3)
            answered.append(await status_of(phone))
            await drained(phone, bot)
            calm(phone, caplog)
            assert spoken_to(phone) <= {OWNER, OPERATOR, VIEWER, group}
            assert STRANGER not in spoken_to(phone)
            forget(phone)
            desk.recorded.clear()
            gc.collect()
            objects[wave] = len(gc.get_objects())
    seconds = time.perf_counter() - began

    assert len(desk.weights) - weights == WAVES
    desk.weights = desk.weights[:weights]
    differences = changed(before, state(desk))
    assert not differences, "\n".join(differences)
    assert objects[WAVES - 1] - objects[WARM] < MOST_KEPT
    told(
        f"{WAVES * WAVE} updates in {seconds:.1f} s, {time.process_time() - worked:.1f} s of work; "
        f"the loop was held up {beat}; /status in the middle after {max(answered):.2f} s at most; "
        f"{objects[WAVES - 1] - objects[WARM]:+d} objects over the last {WAVES - 1 - WARM} waves"
    )
    assert max(beat.late) < MOST_LATE


FEWER = 1500


async def test_a_real_ledger_holds_the_same_afterwards(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    phone = Phone()
    await phone.start()
    phone.add_user(OPERATOR, "Operator")
    people = {str(number): role for number, role in ROLES.items()}
    config = settings_of(access={"users": people}, telegram={"poll_timeout": 1, "base_url": phone.base_url})
    try:
        async with office(tmp_path, config=config) as there:
            await there.played(500)
            bot = Bot(config, phone.token, there.desk, Outbox(there.kept.chat, Bell()), wall_now)
            bot._gate._burst = 10**9
            await bot.start()
            await bot.connected.wait()
            cards, group = await cards_of(phone, bot)
            async with asyncio.timeout(PATIENCE):
                while await there.kept.chat.pending(1):  # noqa: ASYNC110 - what has happened is told first
                    await asyncio.sleep(0.05)
            before = tables(tmp_path / "julaba.sqlite")
            await send(phone, Enemy(7, int(wall_now().timestamp()), cards, group), FEWER)
            await status_of(phone)
            await drained(phone, bot)
            await bot.stop()
            after = tables(tmp_path / "julaba.sqlite")
    finally:
        await phone.stop()
    calm(phone, caplog)
    different = {name: (before[name], rows) for name, rows in after.items() if rows != before[name]}
    assert not different
    assert after["decisions"], "the market has been lived through"
