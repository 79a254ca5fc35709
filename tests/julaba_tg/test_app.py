"""Living with a difficult Telegram: unreachable, deaf, contested, refused, and never a token in a log."""

from __future__ import annotations

import json
import logging

import pytest
from telegram.error import InvalidToken

from julaba_tg import polling
from julaba_tg.secrecy import allow_again, keep_out_of_logs
from julaba_tg.troubles import words_for
from tests.julaba_tg.conftest import OWNER, STRANGER, World


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits half a minute in a test."""
    monkeypatch.setattr(polling, "LONGEST_PAUSE", 0.05)


async def test_starting_does_not_wait_for_telegram_and_succeeds_when_it_comes_back(world: World) -> None:
    world.phone.fault("down", times=3)
    bot = world.new_bot()
    await bot.start()
    await world.until(lambda: bot.trouble != "")
    assert "alerts wait" in bot.trouble
    assert (await world.ask("/status")).text.startswith("📊")
    assert bot.trouble == ""


async def test_a_deaf_poller_is_built_anew(world: World) -> None:
    bot = world.new_bot(stale_after=0.3, look_every=0.05)
    world.phone.fault("hang", method="getUpdates", times=2, seconds=600)
    await bot.start()
    await world.until(lambda: bot.restarts > 0, timeout=20)
    world.phone.faults.clear()
    assert (await world.ask("/status")).text.startswith("📊")


async def test_a_refused_token_is_named_once_and_hearing_comes_back(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    bot = world.new_bot(look_every=0.02)
    await bot.start()
    await bot.connected.wait()
    token, world.phone.token = world.phone.token, "1:changed"
    world.phone.say(STRANGER, "hello")  # ends the long poll that is under way
    await world.until(lambda: "401" in bot.trouble)
    assert [r.getMessage() for r in caplog.records].count(words_for(InvalidToken())) == 1
    assert token not in caplog.text
    assert "Traceback" not in caplog.text
    world.phone.token = token
    assert (await world.ask("/status")).text.startswith("📊")


async def test_a_second_bot_on_the_same_token_is_named_for_what_it_is(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    bot = world.new_bot()
    await bot.start()
    await world.ask("/version")
    await world.phone.chats.updates.poll(0, 1, 0)  # somebody else asks for updates
    await world.until(lambda: "409" in caplog.text)
    assert sum("another program is polling" in r.getMessage() for r in caplog.records) == 1
    assert (await world.ask("/status")).text.startswith("📊")
    assert bot.trouble == ""


async def test_a_command_that_cannot_be_answered_is_a_line_in_the_log(
    chat: World, caplog: pytest.LogCaptureFixture
) -> None:
    await chat.ask("/version")
    chat.phone.fault("error", method="sendMessage", status=502)
    chat.phone.say(OWNER, "/status")
    await chat.until(lambda: "could not be sent" in caplog.text)
    assert (await chat.ask("/status")).text.startswith("📊")


async def test_an_answer_waits_for_retry_after(chat: World) -> None:
    await chat.ask("/version")
    chat.phone.fault("rate_limit", method="sendMessage", retry_after=1)
    assert (await chat.ask("/status")).text.startswith("📊")


async def test_a_flood_that_lasts_is_a_line_in_the_log_and_no_traceback(
    chat: World, caplog: pytest.LogCaptureFixture
) -> None:
    await chat.ask("/version")
    chat.phone.fault("rate_limit", method="sendMessage", retry_after=0, times=20)
    chat.phone.say(OWNER, "/status")
    await chat.until(lambda: "could not be sent" in caplog.text)
    chat.phone.faults.clear()
    assert not [r for r in caplog.records if r.exc_info]
    assert (await chat.ask("/status")).text.startswith("📊")


async def test_stopping_is_clean_at_any_time(world: World) -> None:
    bot = world.new_bot()
    await bot.start()
    await bot.stop()
    bot = world.new_bot()
    await bot.start()
    await world.ask("/retrain")
    await bot.stop()
    assert not bot.trouble


async def test_updates_sent_while_the_bot_was_down_are_answered(world: World) -> None:
    await world.new_bot().start()
    await world.ask("/version")
    assert world.bot is not None
    await world.bot.stop()
    world.phone.say(OWNER, "/positions")
    await world.new_bot().start()
    await world.phone.wait_for(lambda m: m.text.startswith("📂"))


def test_the_token_reaches_no_log_not_even_in_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    redactor = keep_out_of_logs("123:secret")
    try:
        try:
            raise RuntimeError("https://host/bot123:secret/getMe")
        except RuntimeError:
            logging.getLogger("any").exception("calling %s", "bot123:secret")
        logging.getLogger("httpx").info("GET /bot123:secret/")
    finally:
        allow_again(redactor)
    assert "secret" not in caplog.text
    assert "calling bot<token>" in caplog.text


@pytest.mark.parametrize(
    "content", [{"date": 0}, {}, {"message_id": "x", "chat": 5, "date": "soon"}, {"message_id": 1, "chat": None}]
)
async def test_an_update_that_cannot_be_read_does_not_make_the_bot_deaf(
    chat: World, content: dict[str, object]
) -> None:
    chat.phone.chats.updates.push("message", content)
    assert (await chat.ask("/status")).text.startswith("📊")


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b"<html>", b"<html>"),
        (b"[]", b"[]"),
        (b'{"ok": true, "result": []}', b'{"ok": true, "result": []}'),
        (b'{"result": [{"update_id": 3}, {}, 7]}', b'{"result": [{"update_id": 3}]}'),
        (b'{"result": [{"update_id": 3, "message": 1}]}', b'{"result": [{"update_id": 3}]}'),
    ],
)
def test_what_is_left_of_an_answer(body: bytes, kept: bytes) -> None:
    assert polling.readable(body) == kept


@pytest.mark.parametrize(
    "broken", [{"text": "half \ud83d"}, {"message_id": 2**63}, {"from": {"id": 2**64}}, {"date": 10**15}]
)
def test_what_the_store_could_not_keep_is_not_let_in(broken: dict[str, object]) -> None:
    person = {"id": 1001, "is_bot": False, "first_name": "Ann"}
    whole = {"message_id": 1, "date": 1, "chat": {"id": 1001, "type": "private"}, "from": person, "text": "/status"}
    changed = {**whole, **broken, **({"from": {**person, **broken["from"]}} if "from" in broken else {})}  # type: ignore[dict-item]
    updates = [{"update_id": 7, "message": changed}, {"update_id": 8, "message": whole}]
    kept = json.loads(polling.readable(json.dumps({"ok": True, "result": updates}).encode()))["result"]
    assert kept == [{"update_id": 7}, {"update_id": 8, "message": whole}]
