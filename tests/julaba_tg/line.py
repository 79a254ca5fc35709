"""The real bot on a line to the phone over HTTP: alerts in a real SQLite outbox, a clock that can be put forward."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from core.adapters.clocks import ReplayClock
from core.config import Settings
from core.domain.messages import Event, Notice
from core.services.bus import Bell
from core.services.changes import changed
from core.services.faults import Faults
from core.services.outbox import Outbox
from julaba_tg import notifier, polling, troubles
from julaba_tg.app import Bot
from julaba_tg.pacing import Bucket
from julaba_tg.phone.bot_api import Phone
from julaba_tg.phone.chats import Message
from julaba_tg.phone.clock import wall_now
from tests.fakes.desk import NOON, FakeDesk, a_closing, a_refusal, a_signal, a_target
from tests.ledgers import Books, books

OWNER, VIEWER, STRANGER = 1001, 1002, 1003
LATER = 15.0  # seconds a test waits at most
STALE_AFTER = 1.3  # seconds; beyond one long poll


@dataclass
class Desk(FakeDesk):
    """The fake one, but trades and faults are those of the ledger."""

    books: Books
    faults: Faults

    def __post_init__(self) -> None:
        super().__init__()

    async def trade_events(self, trade_id: int) -> Sequence[Event]:
        return await self.books.chat.trade_events(trade_id)

    async def trouble(self, name: str, title: str, detail: str = "") -> None:
        await self.faults.raised(f"telegram:{name}", title, detail)

    async def trouble_over(self, name: str, title: str) -> None:
        await self.faults.cleared(f"telegram:{name}", title)


@dataclass
class Line:
    """Phone, store and bot. ``skipped`` is wall time the bot believes to have passed."""

    phone: Phone
    kept: Books
    desk: Desk
    outbox: Outbox
    bell: Bell
    settings: Settings
    skipped: timedelta = field(default_factory=timedelta)
    bot: Bot | None = None

    def now(self) -> datetime:
        return wall_now() + self.skipped

    async def start(self, stale_after: float = 10.0) -> Bot:
        self.bot = Bot(
            self.settings, self.phone.token, self.desk, self.outbox, self.now,
            stale_after=stale_after, look_every=0.02, patience=0.3,
        )  # fmt: skip
        await self.bot.start()
        return self.bot

    async def stop(self) -> None:
        bot, self.bot = self.bot, None
        if bot is not None:
            await bot.stop()

    async def publish(self, *events: Event) -> None:
        await self.kept.ledger.publish(events)
        self.bell.ring()

    async def drained(self) -> None:
        """Until nothing waits any more."""
        async with asyncio.timeout(LATER):
            while await self.kept.chat.pending(1):  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.01)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(LATER):
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def said(self) -> list[Message]:
        return [m for m in self.phone.messages(OWNER) if m.from_bot]

    def titles(self) -> list[str]:
        """The first lines of what the chat got, as they were sent."""
        return [(m.history[0] if m.history else m.text).splitlines()[0] for m in self.said()]

    async def outage(self, *events: Event, lasting: timedelta) -> None:
        """Nobody answers at the phone's address, for so long by the bot's clock; meanwhile this happens."""
        host, port = self.phone.base_url.removeprefix("http://").split(":")
        await self.phone.stop()
        await self.publish(*events)
        await asyncio.sleep(0.15)
        self.skipped += lasting
        await asyncio.sleep(0.15)
        await self.phone.start(host, int(port))


@asynccontextmanager
async def a_line(folder: Path, **notify: object) -> AsyncIterator[Line]:
    phone, bell = Phone(), Bell()
    await phone.start()
    conf = Settings.model_validate(
        {
            "access": {"users": {OWNER: "approver", VIEWER: "viewer"}},
            "telegram": {"poll_timeout": 1, "base_url": phone.base_url},
            "notify": notify,
        }
    )
    async with books(folder) as kept:
        faults = Faults(ReplayClock(NOON), kept.ledger, bell)
        desk = Desk(kept, faults)
        desk.topics.steering.settings = changed(
            desk.topics.steering.settings, {f"notify.{k}": v for k, v in notify.items()}
        )
        line = Line(phone, kept, desk, Outbox(kept.chat, bell), bell, conf)
        try:
            yield line
        finally:
            await line.stop()
            await phone.stop()


def make_hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of real seconds are hundredths here; how long they are is tested elsewhere."""
    monkeypatch.setattr(notifier, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(notifier, "retry_after", lambda error: 0.05)
    monkeypatch.setattr(notifier, "_pace_for", lambda chat: Bucket(1e6, 1e6, asyncio.get_running_loop().time))
    monkeypatch.setattr(polling, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(troubles, "CALM", 0.3)


def story(trade_id: int = 7) -> list[Event]:
    """A trade from its opening to its end, and a refusal between."""
    opened = a_signal(trade_id, trade_id=trade_id)
    return [opened, a_refusal(trade_id + 100), a_target(trade_id), a_closing(trade_id)]


def notice(topic: str, name: str, title: str, at: int) -> Notice:
    return Notice(key=f"{topic}:{name}:{at}", time=NOON + timedelta(minutes=at), topic=topic, title=title)  # type: ignore[arg-type]


OPENED = "✅ LINK LONG 17.48 · risk $120 · G 78 · ML 37 (avg 36)"
REFUSED = "⛔ LINK LONG · refused: 1h down"
CLOSED = "🟢 LINK LONG closed +$22.10 · +0.18R · stop after TP1"


async def refused_token(line: Line) -> None:
    token, line.phone.token = line.phone.token, "1:changed"
    line.phone.say(VIEWER, "hello")  # ends the long poll that is under way
    await asyncio.sleep(0.3)
    line.phone.token = token
