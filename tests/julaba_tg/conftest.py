"""The real bot over real HTTP: python-telegram-bot on one side, the phone on the other, a fake desk behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from core.config import Settings
from julaba_tg.app import Bot
from julaba_tg.phone.bot_api import Phone
from julaba_tg.phone.chats import Message
from julaba_tg.phone.clock import wall_now
from tests.fakes.desk import FakeDesk
from tests.fakes.outbox import FakeOutbox
from tests.julaba_tg.line import OWNER, STRANGER, VIEWER, Line, a_line, make_hasty

__all__ = ["OWNER", "STRANGER", "VIEWER", "World"]


@dataclass
class World:
    """A bot, its phone and its desk, with a few words for transcripts."""

    phone: Phone
    desk: FakeDesk
    outbox: FakeOutbox
    settings: Settings
    bot: Bot | None = None
    skipped: timedelta = timedelta()  # of wall time, as the bot sees it

    def now(self) -> datetime:
        return wall_now() + self.skipped

    def new_bot(self, **options: float) -> Bot:
        self.bot = Bot(self.settings, self.phone.token, self.desk, self.outbox, self.now, **options)
        return self.bot

    async def ask(self, words: str, user: int = OWNER, reply_to: int | None = None) -> Message:
        """What the bot answers to a message, as a new message of its own."""
        before = max((m.message_id for m in self.phone.messages(user)), default=0)
        self.phone.say(user, words, reply_to)
        return await self.phone.wait_for(lambda m: True, chat_id=user, after=before + 1)

    async def quiet(self, user: int = STRANGER) -> list[Message]:
        """Everything said to a user once the bot has worked through all updates."""
        before = max((m.message_id for m in self.phone.messages(OWNER)), default=0)
        self.phone.say(OWNER, "/version")
        await self.phone.wait_for(lambda m: m.text.startswith("Julaba"), chat_id=OWNER, after=before)
        await self.until(lambda: self.bot is not None and self.bot.idle)
        return [m for m in self.phone.messages(user) if m.from_bot]

    async def until(self, holds: Callable[[], bool], timeout: float = 5.0) -> None:
        """Returns once something holds that no event tells of."""
        async with asyncio.timeout(timeout):
            while not holds():  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.005)


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate(
        {"access": {"users": {OWNER: "approver", VIEWER: "viewer"}}, "telegram": {"poll_timeout": 1}}
    )


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[World]:
    """Everything built and the phone listening; the bot is not started yet."""
    phone = Phone()
    await phone.start()
    there = World(phone, FakeDesk(), FakeOutbox(), settings)
    there.settings = settings.model_copy(
        update={"telegram": settings.telegram.model_copy(update={"base_url": phone.base_url})}
    )
    try:
        yield there
    finally:
        if there.bot is not None:
            await there.bot.stop()
        await phone.stop()


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    async with opened(settings) as there:
        yield there


@pytest.fixture
async def chat(world: World) -> World:
    """A running bot."""
    await world.new_bot().start()
    return world


@pytest.fixture
async def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Line]:
    make_hasty(monkeypatch)
    async with a_line(tmp_path) as there:
        yield there
