"""A command that a kill cuts off is not lost: kept before Telegram hears of it, handed out again, done once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from julaba_tg import app
from tests.julaba_tg.conftest import OWNER, STRANGER, World


def _stuck(world: World) -> asyncio.Event:
    """From now on /pause comes as far as the desk and no further."""
    reached = asyncio.Event()

    async def pause(actor: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()

    world.desk.pause = pause  # type: ignore[method-assign]
    return reached


async def _killed(world: World) -> None:
    """As a kill leaves it: what was in a handler's hands is not done, and Telegram has had its confirmation."""
    bot = world.bot
    assert bot is not None
    await world.until(lambda: len(world.phone.chats.updates) == 0)
    for task in asyncio.all_tasks():
        if "process_update" in repr(task.get_coro()):
            task.cancel()
    await bot.stop()


async def test_a_command_cut_off_in_its_handler_is_done_at_the_next_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "STOP_PATIENCE", 0.1)  # what the killed handler had in hand is never done with
    before, reached = world.desk.pause, _stuck(world)
    await world.new_bot().start()
    world.phone.say(OWNER, "/pause")
    await asyncio.wait_for(reached.wait(), 5)
    await _killed(world)
    assert not world.desk.paused

    world.desk.pause = before  # type: ignore[method-assign]
    await world.new_bot().start()
    await world.phone.wait_for(lambda m: "No new trades" in m.text, chat_id=OWNER)
    await world.until(lambda: not world.desk.kept)
    assert world.desk.paused


async def test_a_long_work_that_a_stop_cuts_off_is_begun_again_at_the_next_start(world: World) -> None:
    begun = 0

    async def retrain(actor: Any, progress: Any) -> Any:
        nonlocal begun
        begun += 1
        await asyncio.Event().wait()

    world.desk.retrain = retrain  # type: ignore[method-assign]

    async def begun_and_cut_off(starts: int) -> None:
        await world.until(lambda: begun == starts)
        assert world.bot is not None
        await world.bot.stop()
        assert world.desk.kept

    await world.new_bot().start()
    world.phone.say(OWNER, "/retrain")
    await begun_and_cut_off(1)
    await world.new_bot().start()
    await begun_and_cut_off(2)
    first, second = (m.text for m in world.phone.messages(OWNER) if m.from_bot)
    assert first == "✂️ A restart cut this off\nWhat became of it stands below."
    assert second.startswith("🧠 Training · 0%")


async def test_what_has_been_dealt_with_is_not_handed_out_again(world: World) -> None:
    await world.new_bot().start()
    await world.ask("/pause")
    await world.until(lambda: not world.desk.kept)
    assert world.bot is not None
    await world.bot.stop()
    await world.new_bot().start()
    await world.ask("/version")

    assert [r.text for r in world.desk.recorded] == ["/pause", "/version"]


async def test_an_update_is_kept_before_telegram_may_forget_it(world: World) -> None:
    seen: list[int] = []
    keep = world.desk.keep_update

    async def noting(update_id: int, body: str) -> None:
        await asyncio.sleep(0.05)
        seen.append(len(world.phone.chats.updates))
        await keep(update_id, body)

    world.desk.keep_update = noting  # type: ignore[method-assign]
    await world.new_bot().start()
    await world.ask("/version")

    assert seen == [1]


async def test_nothing_of_a_strangers_is_kept(world: World) -> None:
    await world.new_bot().start()
    world.phone.say(STRANGER, "/pause")
    await world.quiet()

    assert not any("/pause" in body for body in world.desk.kept.values())
    assert not world.desk.kept


async def test_a_store_that_cannot_keep_leaves_the_bot_hearing(world: World) -> None:
    async def broken(update_id: int, body: str) -> None:
        raise OSError(28, "No space left on device")

    world.desk.keep_update = broken  # type: ignore[method-assign]
    await world.new_bot().start()

    assert "Julaba" in (await world.ask("/version")).text


async def test_a_kept_update_that_cannot_be_read_is_passed_over(world: World) -> None:
    world.desk.kept[1] = "{no json"
    await world.new_bot().start()

    assert "Julaba" in (await world.ask("/version")).text
