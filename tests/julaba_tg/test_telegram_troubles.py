"""Telegram's troubles against the real bot over HTTP, with alerts in a real SQLite outbox.

Whatever happens on the line: all that waits arrives, once or marked, in order, and a trouble that lasts is told once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from core.config import Access
from core.services.bus import Bell
from core.services.outbox import Outbox
from julaba_tg import troubles
from julaba_tg.alerts import AGAIN
from julaba_tg.app import Bot
from julaba_tg.phone.bot_api import Phone
from julaba_tg.phone.clock import wall_now
from tests.fakes.desk import FakeDesk, a_refusal, a_signal
from tests.fakes.mexc import START
from tests.julaba_tg.conftest import OWNER
from tests.julaba_tg.line import CLOSED, LATER, OPENED, REFUSED, STALE_AFTER, Line, refused_token, story
from tests.markets import M15
from tests.scenes import NOON as NOON_MS
from tests.scenes import Moody, running

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
