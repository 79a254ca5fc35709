"""Telegram's troubles against the real bot over HTTP, with alerts in a real SQLite outbox.

Whatever happens on the line: all that waits arrives, once or marked, in order, and a trouble that lasts is told once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.adapters.clocks import ReplayClock
from core.config import Access, Settings
from core.domain.messages import ApprovalAsked, ApprovalEnded, Event, Notice
from core.services.bus import Bell
from core.services.faults import Faults
from core.services.outbox import Outbox
from julaba_tg import notifier, polling, troubles
from julaba_tg.alerts import AGAIN
from julaba_tg.app import Bot
from julaba_tg.pacing import Bucket
from julaba_tg.phone.bot_api import Phone
from julaba_tg.phone.chats import Message
from julaba_tg.phone.clock import wall_now
from tests.core.services.test_live import NOON as NOON_MS
from tests.core.services.test_live import Moody, running
from tests.fakes.desk import NOON, FakeDesk, a_closing, a_refusal, a_signal, a_target, an_approval
from tests.fakes.mexc import START
from tests.julaba_tg.conftest import OWNER, VIEWER
from tests.ledgers import Books, books
from tests.markets import M15

LATER = 15.0  # seconds a test waits at most
STALE_AFTER = 1.3  # beyond one long poll


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
        line = Line(phone, kept, Desk(kept, faults), Outbox(kept.chat, bell), bell, conf)
        try:
            yield line
        finally:
            await line.stop()
            await phone.stop()


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with a_line(tmp_path) as there:
        yield there


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
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

Trouble = Callable[[Line], Coroutine[Any, Any, None]]


async def flood(line: Line) -> None:
    line.phone.fault("rate_limit", method="sendPhoto", times=2, retry_after=1)
    line.phone.fault("rate_limit", method="sendMessage", times=2, retry_after=1)
    line.phone.fault("rate_limit", method="editMessageCaption", times=1, retry_after=1)


async def server_errors(line: Line) -> None:
    line.phone.fault("error", method="sendPhoto", times=2, status=502)
    line.phone.fault("error", method="sendMessage", times=3, status=500)
    line.phone.fault("error", method="getUpdates", times=2, status=503)


async def unreachable(line: Line) -> None:
    host, port = line.phone.base_url.removeprefix("http://").split(":")
    await line.phone.stop()
    await asyncio.sleep(0.2)
    await line.phone.start(host, int(port))


async def refused_token(line: Line) -> None:
    token, line.phone.token = line.phone.token, "1:changed"
    line.phone.say(VIEWER, "hello")  # ends the long poll that is under way
    await asyncio.sleep(0.3)
    line.phone.token = token


async def a_blocked_chat(line: Line) -> None:
    line.phone.block(OWNER)
    await asyncio.sleep(0.2)
    line.phone.block(OWNER, False)


async def lost_edits(line: Line) -> None:
    """An edit may be repeated as often as one likes."""
    line.phone.fault("drop", method="editMessageCaption", times=2)


@pytest.mark.parametrize("trouble", [flood, server_errors, unreachable, refused_token, a_blocked_chat, lost_edits])
async def test_everything_arrives_exactly_once_and_each_story_in_order(line: Line, trouble: Trouble) -> None:
    await line.start()
    await line.bot.connected.wait()  # type: ignore[union-attr]
    working = asyncio.create_task(trouble(line))
    await asyncio.sleep(0.05)
    await line.publish(*story())
    await working
    await line.drained()

    assert [t for t in line.titles() if "Telegram" not in t] == [OPENED, CLOSED, REFUSED]
    living = line.said()[line.titles().index(OPENED)]
    assert living.text.splitlines()[0] == CLOSED, "the living message has lived on"
    assert not any(AGAIN in m.text for m in line.said())


# Answers that are lost: Telegram has the message, we cannot know.


async def test_a_message_whose_answer_was_lost_is_sent_again_and_says_so(line: Line) -> None:
    line.phone.fault("drop", method="sendMessage")
    await line.start()
    await line.publish(a_refusal(1), a_refusal(2, "BTC down"))
    await line.drained()

    assert line.titles() == [REFUSED, REFUSED, "⛔ LINK LONG · refused: BTC down"]
    assert [m.text.splitlines()[1] == AGAIN for m in line.said()] == [False, True, False]


async def test_an_answer_that_takes_too_long_counts_as_lost(line: Line) -> None:
    line.phone.fault("hang", method="sendMessage", seconds=0.5)
    await line.start()
    await line.publish(a_refusal(1), a_refusal(2, "BTC down"))
    await line.drained()

    assert [m.text.splitlines()[0] for m in line.said() if AGAIN in m.text] == [REFUSED]


async def test_a_kill_between_sending_and_commit_doubles_one_alert_which_says_so(line: Line) -> None:
    bot = await line.start()
    sent = line.kept.chat.sent
    killed = asyncio.Event()

    async def never(*_: object) -> None:
        killed.set()
        await asyncio.Event().wait()

    line.kept.chat.sent = never  # type: ignore[method-assign, assignment]
    await line.publish(a_signal(), a_refusal(2))
    await killed.wait()
    await bot.stop()
    line.kept.chat.sent = sent  # type: ignore[method-assign]
    await line.start()
    await line.drained()

    assert line.titles() == [OPENED, OPENED, REFUSED]
    assert [AGAIN in m.text for m in line.said()] == [False, True, False]
    living = await line.kept.chat.message_of("trade:7")
    assert living is not None
    assert living.message_id == line.said()[1].message_id, "the newer one lives on"


async def test_a_store_that_cannot_take_it_down_doubles_nothing(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    real_sleep = asyncio.sleep
    monkeypatch.setattr("julaba_tg.notifier.asyncio.sleep", lambda seconds: real_sleep(min(seconds, 0.02)))
    sent, failures = line.kept.chat.sent, iter(range(3))

    async def full_disk(*arguments: object) -> None:
        if next(failures, None) is not None:
            raise OSError("disk full")
        await sent(*arguments)  # type: ignore[arg-type]

    line.kept.chat.sent = full_disk  # type: ignore[method-assign, assignment]
    line.kept.chat.sending = full_disk  # type: ignore[method-assign, assignment]
    await line.start()
    await line.publish(*story())
    await line.drained()

    assert line.titles() == [OPENED, CLOSED, REFUSED]


# Outages.


async def test_after_an_hours_outage_one_digest_tells_what_is_over_and_the_rest_speaks_for_itself(line: Line) -> None:
    line.desk.approvals = {3: an_approval(3), 4: replace(an_approval(4), state="expired")}
    await line.start()
    await line.publish(a_signal(6, trade_id=6))  # before it: this one's message is there
    await line.drained()
    opening = a_signal(9, trade_id=9, pair="SOL/USDT")
    await line.outage(
        replace(a_closing(6), pnl=-40.0),
        *story(7),
        *(a_refusal(n) for n in range(30, 40)),
        opening,
        replace(a_target(9), pair="SOL/USDT"),
        notice("fault", "feed", "The feed is stale", 5),
        notice("recovered", "feed", "The feed is fresh", 9),
        notice("fault", "feed", "The feed is stale", 12),
        notice("recovered", "feed", "The feed is fresh", 14),
        notice("fault", "exchange", "The exchange does not answer", 20),
        ApprovalAsked(key="asked:3", time=NOON, approval_id=3),
        ApprovalAsked(key="asked:4", time=NOON, approval_id=4),
        ApprovalEnded(key="ended:4", time=NOON, approval_id=4),
        lasting=timedelta(hours=1, minutes=5),
    )
    await line.drained()

    said = [m for m in line.said() if "Telegram" not in m.text.splitlines()[0]]
    digest, rest = said[1].text.splitlines(), [m.text.splitlines()[0] for m in said[2:]]
    assert digest[0].startswith("📬 While you were away: ")
    assert digest[1] == "Nothing could be told for 1h05."
    assert digest[2] == "🏁 2 trades closed, 1 won, -$17.90"
    assert "⛔ 11 signals refused: 1h down 11×" in digest
    assert "🎯 1 target, +$88.40: SOL TP1" in digest
    assert "⌛ Expired: Let the model count 25%?" in digest
    assert "✅ Over: The feed is stale (2×)" in digest
    assert not [words for words in digest if "fresh" in words]
    assert not said[1].silent, "trades closed in it"
    assert rest == [
        "🎯 SOL LONG 17.48 · TP1 ✓ · +0.75R · 50% left",
        "⚠️ The exchange does not answer",
        "🗳 Let the model count 25%?",
    ]
    assert said[0].text.splitlines()[0].startswith("🔴 LINK LONG closed -$40")
    assert await line.kept.chat.message_of("trade:9") is not None


async def test_what_happened_while_the_bot_was_down_for_long_is_one_digest_too(line: Line) -> None:
    await line.start()
    await line.publish(a_refusal(1))
    await line.drained()
    await line.stop()
    await line.publish(*story())
    line.skipped += timedelta(hours=3)
    await line.start()
    await line.drained()

    first, digest = line.said()
    assert first.text.startswith(REFUSED)
    assert digest.text.splitlines()[:3] == [
        "📬 While you were away: 4 alerts, 21 Nov 12:00 to 21 Nov 15:00",
        "Nothing could be told for 3h00.",
        "🏁 1 trade closed, 1 won, +$22.10",
    ]


async def test_a_restart_of_a_minute_and_a_simulated_week_in_a_second_fold_nothing(line: Line) -> None:
    await line.start()
    await line.publish(a_refusal(1))
    await line.drained()
    await line.stop()
    await line.publish(*(replace(e, time=e.time + timedelta(days=7)) for e in story()))
    line.skipped += timedelta(minutes=1)
    await line.start()
    await line.drained()

    assert line.titles() == [REFUSED, OPENED, CLOSED, REFUSED]


async def test_two_alerts_after_an_outage_need_no_digest(line: Line) -> None:
    await line.start()
    await line.publish(a_refusal(1))
    await line.drained()
    await line.stop()
    await line.publish(a_refusal(2), a_refusal(3))
    line.skipped += timedelta(hours=3)
    await line.start()
    await line.drained()

    assert line.titles() == [REFUSED] * 3


async def test_a_fault_that_passed_before_it_could_be_told_wakes_nobody(line: Line) -> None:
    await line.publish(notice("fault", "feed", "The feed is stale", 5), notice("recovered", "feed", "It is fresh", 9))
    await line.start()
    await line.drained()

    [message] = line.said()
    assert message.text == "✅ Over: The feed is stale\nIt is fresh: from 21 Nov 12:05 to 21 Nov 12:09"
    assert message.silent


async def test_a_fault_that_comes_back_is_told_in_order(line: Line) -> None:
    await line.publish(notice("fault", "feed", "The feed is stale", 5))
    await line.start()
    await line.drained()
    line.phone.fault("error", method="sendMessage", times=2, status=500)
    await line.publish(notice("recovered", "feed", "It is fresh", 9), notice("fault", "feed", "The feed is stale", 12))
    await line.drained()

    assert line.titles() == ["⚠️ The feed is stale", "✅ It is fresh", "⚠️ The feed is stale"]


# The poller.


async def test_a_refused_token_is_told_once_it_is_accepted_again(line: Line) -> None:
    bot = await line.start()
    await bot.connected.wait()
    await refused_token(line)
    await line.until(lambda: bot.trouble == "")
    await line.until(lambda: any("bot token" in m.text for m in line.said()))
    await line.drained()

    assert len([m for m in line.said() if "Telegram refused the bot token (401)" in m.text.splitlines()[0]]) == 1


async def test_a_second_program_on_the_token_is_told_once_and_its_end_once(line: Line) -> None:
    bot = await line.start()
    await bot.connected.wait()
    for _ in range(3):
        await line.phone.chats.updates.poll(0, 1, 0)  # somebody else asks for updates
        await asyncio.sleep(0.1)
    await line.until(lambda: len(line.said()) == 2)
    await line.drained()

    assert line.titles() == [
        "⚠️ Another program uses this bot's token (409)",
        "✅ This bot has its token to itself again",
    ]
    assert [m.silent for m in line.said()] == [False, True]


async def test_a_deaf_poller_is_told_once_while_alerts_still_go_out_and_hears_again(line: Line) -> None:
    bot = await line.start(STALE_AFTER)
    await bot.connected.wait()
    line.phone.fault("hang", method="getUpdates", times=2, seconds=600)
    line.phone.say(OWNER, "/version")  # ends the long poll that is under way
    await line.until(lambda: bot.restarts > 0)
    assert bot.silent_for > STALE_AFTER
    await line.publish(a_refusal(1))
    await line.until(lambda: REFUSED in line.titles())
    line.phone.faults.clear()
    line.phone.say(OWNER, "/status")
    await line.phone.wait_for(lambda m: m.text.startswith("📊"), timeout=LATER)
    await line.until(lambda: any("answers again" in t for t in line.titles()))

    told = [t for t in line.titles() if "Telegram" in t]
    assert told == ["⚠️ Telegram did not answer: messages and taps were not heard", "✅ Telegram answers again"]
    assert bot.silent_for < 2.5


async def test_a_trouble_that_ended_with_a_restart_gets_its_end_told(line: Line) -> None:
    await line.desk.trouble("rival", "Another program uses this bot's token (409)")
    await line.start()
    await line.drained()
    await line.until(lambda: not line.desk.faults.active)
    await line.until(lambda: any("to itself again" in m.text for m in line.said()))


async def test_a_rival_told_before_a_restart_is_not_over_because_the_first_poll_went_well(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(troubles, "CALM", 3600.0)
    await line.desk.trouble("rival", "Another program uses this bot's token (409)")
    bot = await line.start()
    line.phone.say(OWNER, "/version")
    await line.until(lambda: any(m.text.startswith("Julaba") for m in line.said()))
    await asyncio.sleep(0.1)  # several looks

    assert bot.trouble == ""
    assert line.desk.faults.is_active("telegram:rival")


# What people did meanwhile.


async def tapped_while_down(line: Line, data: str, away: timedelta) -> None:
    bot = await line.start()
    await bot.connected.wait()
    line.phone.say(OWNER, "/status")
    shown = await line.phone.wait_for(lambda m: m.text.startswith("📊"))
    await line.publish(ApprovalAsked(key="asked:3", time=NOON, approval_id=3))
    await line.drained()
    await line.stop()
    line.phone.tap(OWNER, shown.message_id, data)
    line.skipped += away
    await line.start()


async def test_a_button_pressed_hours_ago_asks_back_before_it_changes_anything(line: Line) -> None:
    await tapped_while_down(line, "new:pause", timedelta(hours=2))
    asked = await line.phone.wait_for(lambda m: "came while I was away" in m.text)
    assert not line.desk.paused

    line.phone.tap(OWNER, asked.message_id, asked.buttons[0].callback_data)
    await line.until(lambda: bool(line.desk.paused))


async def test_a_button_that_an_earlier_run_had_kept_asks_back_too(line: Line) -> None:
    await tapped_while_down(line, "new:pause", timedelta(seconds=30))
    await line.until(lambda: bool(line.desk.paused))
    tap = line.phone.tap(OWNER, line.said()[0].message_id, "new:resume")
    await line.until(lambda: not line.desk.paused)
    await line.stop()
    line.desk.seen.clear()
    line.desk.paused = "by somebody"
    line.desk.kept[tap["update_id"]] = json.dumps(tap)
    line.skipped += timedelta(hours=2)
    await line.start()
    await line.phone.wait_for(lambda m: "/resume came while I was away" in m.text)

    assert line.desk.paused == "by somebody"


async def test_a_button_pressed_during_a_short_restart_is_honoured(line: Line) -> None:
    await tapped_while_down(line, "new:pause", timedelta(seconds=30))
    await line.until(lambda: bool(line.desk.paused))


async def test_an_approval_given_while_the_bot_was_down_is_honoured_while_it_is_open(line: Line) -> None:
    await tapped_while_down(line, "yes:3", timedelta(hours=2))
    await line.until(lambda: line.desk.approvals[3].state == "approved")


async def test_an_approval_that_expired_meanwhile_is_not(line: Line) -> None:
    line.desk.approvals[3] = an_approval(3)
    bot = await line.start()
    await bot.connected.wait()
    await line.publish(ApprovalAsked(key="asked:3", time=NOON, approval_id=3))
    await line.drained()
    await line.stop()
    line.phone.say(OWNER, "approve", reply_to=line.said()[-1].message_id)
    line.desk.approvals[3] = replace(an_approval(3), state="expired", answered_by="nobody")
    await line.start()
    answer = await line.phone.wait_for(lambda m: "was expired" in m.text)

    assert line.desk.approvals[3].state == "expired"
    assert answer.text


# Quiet hours.


async def test_in_quiet_hours_a_loud_alert_comes_silently_and_a_fault_rings(tmp_path: Path) -> None:
    hours = {"quiet_hours": "22:00-07:00"}
    async with a_line(tmp_path, **hours) as line:
        midnight = wall_now().replace(hour=0, minute=0) + timedelta(days=1)
        line.skipped = midnight - wall_now()
        await line.start()
        await line.publish(a_closing(), notice("fault", "x", "The disk is full", 1))
        await line.drained()
        line.skipped += timedelta(hours=9)
        await line.publish(a_closing(8))
        await line.drained()

        assert [m.silent for m in line.said()] == [True, False, False]


# Trading does not wait.


async def test_the_loop_handles_closes_while_telegram_hangs_for_ever(tmp_path: Path) -> None:
    phone = Phone()
    await phone.start()
    phone.fault("hang", times=None, seconds=3600)
    async with Moody(now=NOON_MS + 10, first=START).serving() as mexc, running(mexc, tmp_path) as scene:  # type: ignore[arg-type]
        told = scene.settings.model_copy(
            update={
                "telegram": scene.settings.telegram.model_copy(update={"base_url": phone.base_url}),
                "access": Access(users={OWNER: "approver"}),
            }
        )
        bot = Bot(told, phone.token, FakeDesk(), Outbox(scene.kept.chat, Bell()), wall_now)
        await bot.start()
        await scene.close(6)

        assert scene.loop.last_close == NOON_MS + 6 * M15.ms
        assert await scene.events()
        assert phone.messages(OWNER) == []
        phone.faults.clear()
        await bot.stop()
    await phone.stop()
