"""The pinned status over HTTP: sent once, pinned in silence, kept alive by edits; whatever goes wrong is calm."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from telegram.error import TelegramError
from telegram.ext import ExtBot

from core.errors import UsageError
from core.services.changes import changed
from core.services.outlook import Outlook
from core.services.views import StatusView
from julaba_tg import pinned
from julaba_tg.phone.chats import Message
from julaba_tg.pinned import CALM, CALM_AT_CLOSE, NO_RIGHT_FOR, Pinned
from julaba_tg.target import Target
from tests.fakes.desk import a_signal
from tests.fakes.insight import OUTLOOK
from tests.julaba_tg.conftest import World
from tests.julaba_tg.line import OWNER, Line


@dataclass
class Kept:
    """A pinned status whose clock a test moves."""

    line: Line
    pinned: Pinned
    bot: ExtBot[None]
    chat_id: int
    seconds: float = 1000.0

    async def look(self, after: float = 0.0) -> None:
        """One look, so many seconds after the one before."""
        self.seconds += after
        await self.pinned.step()

    def said(self) -> list[Message]:
        return [m for m in self.line.phone.messages(self.chat_id) if m.from_bot and m.text]

    @property
    def message(self) -> Message:
        [only] = self.said()
        return only

    def on_top(self) -> list[int]:
        return [m.message_id for m in self.line.phone.messages(self.chat_id) if m.pinned]

    def calls(self, method: str) -> list[dict[str, Any]]:
        return [params for name, params in self.line.phone.calls if name.lower() == method.lower()]

    def restarted(self) -> Kept:
        return _kept(self.line, self.bot, self.chat_id)


def _kept(line: Line, bot: ExtBot[None], chat_id: int) -> Kept:
    telegram = line.settings.telegram.model_copy(update={"chat_id": chat_id})
    settings = line.settings.model_copy(update={"telegram": telegram})
    kept = Kept(line, None, bot, chat_id)  # type: ignore[arg-type]
    target = Target(settings, line.desk, line.outbox, line.now)
    kept.pinned = Pinned(bot, line.desk, line.outbox, lambda: kept.seconds, target)
    return kept


@asynccontextmanager
async def a_status(line: Line, chat_id: int = OWNER) -> AsyncIterator[Kept]:
    wish(line, pinned=True)
    root = line.settings.telegram.base_url
    async with ExtBot(line.phone.token, base_url=f"{root}/bot", base_file_url=f"{root}/file/bot") as bot:
        yield _kept(line, bot, chat_id)


def wish(line: Line, **notify: object) -> None:
    steering = line.desk.topics.steering
    steering.settings = changed(steering.settings, {f"notify.{k}": v for k, v in notify.items()})


def moves(line: Line, **changes: object) -> None:
    """From now on the desk's status is the usual one with these."""
    usual = type(line.desk).status

    async def status() -> StatusView:
        return replace(await usual(line.desk), **changes)  # type: ignore[arg-type]

    line.desk.status = status  # type: ignore[method-assign]


async def test_the_status_is_sent_once_without_a_sound_and_pinned(line: Line) -> None:
    async with a_status(line) as kept:
        await kept.look()
        await kept.look(after=CALM)
        [pin] = kept.calls("pinChatMessage")
    assert kept.message.silent
    assert pin["disable_notification"] in {True, "true", "True"}
    assert kept.on_top() == [kept.message.message_id]


async def test_it_says_how_things_stand_and_what_would_bring_the_next_look_nearer(line: Line) -> None:
    async with a_status(line) as kept:
        await kept.look()
    assert kept.message.text.splitlines() == [
        "📌 $10,240 · today +$31 · 1 open · running",
        "🟢 LINK LONG +0.34R",
        "Gemini off (no key) · ML learning 31/50",
        "Next close 12:15 · last 12:00 (UTC)",
        "",
        "⏳ 50 outcomes: 12 Feb (±3 weeks), 31 of 50 are there",
        "Sooner: Add 7 pairs: 4 Jan; ADX from 20: 20 Jan",
        "What sooner costs:",
        f"Add 7 pairs: -0.08R a trade (-0.31R to +0.15R), from 31 outcomes; {OUTLOOK.changes[0].basis}",
        f"ADX from 20: -0.21R a trade, from 12 outcomes; {OUTLOOK.changes[1].basis}",
    ]
    assert "⏩ Add 7 pairs" in [b.text for b in kept.message.buttons]


async def test_a_close_is_shown_at_once_anything_else_within_a_minute(line: Line) -> None:
    async with a_status(line) as kept:
        await kept.look()
        line.desk.paused = "by Ann"
        await kept.look(after=CALM - 1)
        assert "running" in kept.message.text
        await kept.look(after=1)
        assert "paused" in kept.message.text
        close = (await line.desk.status()).next_close
        moves(line, equity=10_300.0, last_close=close)
        await kept.look(after=CALM_AT_CLOSE)
    assert "$10,300" in kept.message.text
    assert kept.message.message_id == kept.on_top()[0]


async def test_without_a_change_nothing_is_edited(line: Line) -> None:
    async with a_status(line) as kept:
        for _ in range(5):
            await kept.look(after=2 * CALM)
        assert not kept.calls("editMessageText")


async def test_it_lives_on_over_a_restart(line: Line) -> None:
    async with a_status(line) as kept:
        await kept.look()
        moves(line, equity=9_990.0)
        await kept.restarted().look()
    assert "$9,990" in kept.message.text
    assert len(kept.calls("pinChatMessage")) == 1


async def test_a_deleted_one_is_sent_anew_and_pinned(line: Line) -> None:
    async with a_status(line) as kept:
        await kept.look()
        first = kept.message
        line.phone.chats.delete(first)
        moves(line, equity=9_990.0)
        await kept.look(after=CALM)
    assert kept.message.message_id != first.message_id
    assert kept.on_top() == [kept.message.message_id]


async def test_one_too_old_to_be_edited_makes_way_for_a_new_one(line: Line) -> None:
    async with a_status(line) as kept:
        await kept.look()
        first = kept.message
        line.phone.chats.change(first, sender=line.phone.chats.users[OWNER])  # "message can't be edited"
        moves(line, equity=9_990.0)
        await kept.look(after=CALM)
    assert kept.on_top() == [kept.message.message_id] != [first.message_id]


async def test_a_kill_between_sending_and_pinning_leaves_one_message_that_is_pinned(line: Line) -> None:
    async with a_status(line) as kept:
        line.phone.faults.add("error", method="pinChatMessage")
        with pytest.raises(TelegramError):
            await kept.look()
        assert kept.on_top() == []
        await kept.restarted().look()
    assert kept.on_top() == [kept.message.message_id]


async def test_without_the_right_to_pin_it_is_kept_alive_where_it_stands(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    group = line.phone.add_group("The desk")
    async with a_status(line, group.chat_id) as kept:
        await kept.look()
        moves(line, equity=9_990.0)
        for _ in range(3):
            await kept.look(after=CALM)
        assert "$9,990" in kept.message.text
        assert kept.on_top() == []
        assert len(kept.calls("pinChatMessage")) == 1
        group.members[line.phone.chats.bot.user_id] = "administrator"
        group.rights = frozenset({"can_pin_messages"})
        await kept.look(after=NO_RIGHT_FOR)
    assert kept.on_top() == [kept.message.message_id]
    assert sum("cannot be pinned" in r.message for r in caplog.records) == 1


async def test_switched_off_it_says_so_and_is_unpinned_and_comes_back_as_the_same_message(line: Line) -> None:
    async with a_status(line) as kept:
        await kept.look()
        wish(line, pinned=False)
        await kept.look()
        await kept.look(after=CALM)
        assert kept.message.text.startswith("📌 No longer kept up to date")
        assert kept.on_top() == []
        assert len(kept.calls("unpinChatMessage")) == 1
        wish(line, pinned=True)
        await kept.look(after=CALM)
    assert kept.message.text.startswith("📌 $10,240")
    assert kept.on_top() == [kept.message.message_id]


async def test_never_switched_on_it_says_nothing_at_all(line: Line) -> None:
    async with a_status(line) as kept:
        wish(line, pinned=False)
        await kept.look()
        await kept.look(after=CALM)
    assert kept.said() == []


async def test_an_alert_goes_first(line: Line) -> None:
    async with a_status(line) as kept:
        await line.publish(a_signal(7, trade_id=7))
        await kept.look()
        assert kept.said() == []
        [item] = await line.kept.chat.pending(10)
        await line.kept.chat.sent([item.item_id], None)
        await kept.look()
    assert kept.message.text.startswith("📌")


async def test_a_flood_is_waited_out_with_a_line_in_the_log(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "julaba_tg.pinned")
    async with a_status(line) as kept:
        line.phone.faults.add("rate_limit", method="sendMessage", retry_after=37)
        rest = await kept.pinned._step_safely()
        assert rest == 37
        assert kept.said() == []
        assert await kept.pinned._step_safely() == pinned.LOOK_EVERY
    assert kept.message.text.startswith("📌")
    assert [r.message for r in caplog.records] == ["the pinned status: Telegram asks to wait 37 s"]


async def test_trouble_that_lasts_is_one_line_and_ever_longer_rests(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "julaba_tg.pinned")
    async with a_status(line) as kept:
        line.phone.faults.add("error", times=None, method="sendMessage", status=502)
        rests = [await kept.pinned._step_safely() for _ in range(8)]
        line.phone.faults.clear()
        assert await kept.pinned._step_safely() == pinned.LOOK_EVERY
    assert rests == [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]
    assert len(caplog.records) == 1
    assert len(kept.said()) == 1


async def test_a_status_without_its_countdown_is_still_a_status(line: Line) -> None:
    async def broken() -> Outlook:
        raise UsageError("no candles are stored yet")

    line.desk.topics.insight.outlook = broken  # type: ignore[method-assign]
    async with a_status(line) as kept:
        await kept.look()
    assert kept.message.text.splitlines()[-1] == "Next close 12:15 · last 12:00 (UTC)"


async def test_a_forum_has_it_in_the_topic_of_the_alerts(line: Line) -> None:
    group = line.phone.add_group("The desk", topics=["Julaba"], bot="administrator", rights=["can_pin_messages"])
    telegram = line.settings.telegram.model_copy(update={"topic_id": group.topic("Julaba")})
    line.settings = line.settings.model_copy(update={"telegram": telegram})
    async with a_status(line, group.chat_id) as kept:
        await kept.look()
    assert kept.message.thread_id == group.topic("Julaba")


async def test_the_running_bot_keeps_it_beside_its_alerts(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"LOOK_EVERY": 0.02, "CALM": 0.02, "CALM_AT_CLOSE": 0.02}.items():
        monkeypatch.setattr(pinned, name, seconds)
    wish(line, pinned=True)
    await line.start()
    await line.until(lambda: any(m.pinned for m in line.said()))
    await line.publish(a_signal(7, trade_id=7))
    await line.drained()
    line.desk.paused = "by Ann"
    await line.until(lambda: any("⏸ paused" in m.text for m in line.said() if m.pinned))
    assert [m.text.split()[0] for m in line.said() if m.text] == ["📌", "✅"]


async def test_it_is_pinned_and_unpinned_by_a_command(chat: World) -> None:
    answer = await chat.ask("/status pin")
    assert answer.text.startswith("📌 The status will be pinned")
    assert chat.desk.topics.steering.settings.notify.pinned is True
    chat.phone.tap(OWNER, answer.message_id, answer.button("Unpin").callback_data)
    changed_ = await chat.phone.wait_for(lambda m: "no longer pinned" in m.text)
    assert changed_.message_id == answer.message_id
    assert chat.desk.topics.steering.settings.notify.pinned is False
    assert (await chat.ask("/status sideways")).text.startswith("✋ 'sideways' is neither pin nor unpin.")


async def test_a_day_of_closes_is_one_message(line: Line) -> None:
    start = (await line.desk.status()).next_close
    async with a_status(line) as kept:
        for number in range(96):
            moves(line, equity=10_000.0 + number, last_close=start + number * timedelta(minutes=15))
            await kept.look(after=900.0)
    assert kept.message.text.startswith("📌 $10,095")
    assert len(kept.calls("sendMessage")) == 1
    assert len(kept.calls("editMessageText")) == 95
