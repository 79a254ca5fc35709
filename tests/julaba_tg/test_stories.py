"""How the stories and a trade's end reach the phone: silently, with a picture, once, and never folded away."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from core.domain.messages import Digest
from julaba_tg import story_picture
from julaba_tg.phone.chats import Message
from tests.fakes.desk import NOON, a_closing, a_refusal, a_signal, a_target
from tests.julaba_tg.line import CLOSED, Line

TITLE = "Sat 21 Nov: +$31.20 · equity $10,240 · 2 trades"


def a_story(span: str = "day", at: datetime = NOON, lines: tuple[str, ...] = ("2 trades closed.",)) -> Digest:
    day = f"{at:%Y-%m-%d}"
    since = at - timedelta(days=1 if span == "day" else 7)
    return Digest(
        key=f"digest:{span}:{day}", time=at, span=span, since=since, title=TITLE, lines=lines  # type: ignore[arg-type]
    )  # fmt: skip


async def told(line: Line, *events: object) -> list[Message]:
    await line.start()
    await line.publish(*events)  # type: ignore[arg-type]
    await line.drained()
    return line.said()


async def test_the_days_story_comes_silently_with_its_picture_and_ways_on(line: Line) -> None:
    [story] = await told(line, a_story())
    assert story.text.splitlines() == [f"🌇 {TITLE}", "2 trades closed."]
    assert story.silent
    assert story.media is not None
    assert [b.text for b in story.buttons] == [
        "🔄 Refresh", "📖 This week", "📋 Metrics", "📊 Status", "📒 Trades",
    ]  # fmt: skip


async def test_the_same_day_is_told_once_however_often_it_is_published(line: Line) -> None:
    await told(line, a_story())
    await line.publish(a_story(lines=("Something else.",)))
    await line.drained()
    assert len(line.said()) == 1


async def test_a_long_story_is_whole_with_its_picture_behind_it(line: Line) -> None:
    words = tuple(f"{n}: {'word ' * 12}" for n in range(30))
    text, picture = await told(line, a_story("week", lines=words))
    assert text.text.startswith(f"📖 {TITLE}\n")
    assert words[-1].strip() in text.text
    assert (picture.reply_to, picture.silent, picture.media is not None) == (text.message_id, True, True)
    assert picture.text == "📖 Sat 21 Nov"


async def test_a_picture_that_cannot_follow_does_not_bring_the_story_twice(line: Line) -> None:
    line.phone.faults.add("error", method="sendPhoto", times=None)
    words = tuple(f"{n}: {'word ' * 12}" for n in range(30))
    [text] = await told(line, a_story("week", lines=words))
    assert text.text.startswith(f"📖 {TITLE}\n")


async def test_a_picture_that_takes_long_is_not_waited_for(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(*_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(story_picture, "PATIENCE", 0.05)
    line.desk.topics.money.profit = slow  # type: ignore[method-assign,assignment]
    [story] = await told(line, a_story())
    assert story.media is None
    assert story.text.startswith(f"🌇 {TITLE}")


async def test_a_story_that_comes_on_another_day_has_no_picture_of_that_day(line: Line) -> None:
    [story] = await told(line, a_story(at=NOON - timedelta(hours=11) - timedelta(hours=2)))
    assert story.media is None


async def test_whoever_wants_no_story_gets_none(line: Line) -> None:
    steering = line.desk.topics.steering
    steering.settings = steering.settings.model_copy(
        update={"notify": steering.settings.notify.model_copy(update={"digest": "none"})}
    )
    assert await told(line, a_story()) == []


async def test_after_a_long_silence_a_story_is_told_as_itself(line: Line) -> None:
    await line.start()
    await line.publish(a_signal(1, trade_id=1))
    await line.drained()
    await line.outage(*(a_refusal(n) for n in range(10, 16)), a_story(), lasting=timedelta(hours=2))
    await line.drained()
    titles = [t for t in line.titles() if t]
    assert f"🌇 {TITLE}" in titles
    assert sum("While you were away" in t for t in titles) == 1


async def test_among_many_routine_alerts_a_story_is_told_as_itself(line: Line) -> None:
    await line.publish(*(a_refusal(n) for n in range(10, 40)), a_story())
    await line.start()
    await line.drained()
    assert f"🌇 {TITLE}" in line.titles()


async def test_a_trades_end_is_a_reply_with_the_chart_of_its_fills(line: Line) -> None:
    asked: list[tuple[str, int | None]] = []
    usual = line.desk.chart

    async def chart(pair: str, trade_id: int | None = None) -> bytes:
        asked.append((pair, trade_id))
        return await usual(pair, trade_id)

    line.desk.chart = chart  # type: ignore[method-assign]
    opened, *_, closed = await told(line, a_signal(7, trade_id=7), a_closing(7))
    assert closed.text.splitlines()[0] == CLOSED
    assert closed.media is not None
    assert closed.reply_to == opened.message_id
    assert asked[-1] == ("LINK/USDT", 7)
    assert not closed.silent
    assert [b.text for b in closed.buttons] == ["📈 Chart", "🔍 Why?", "📊 Status"]


async def test_an_end_does_not_wait_for_a_chart_that_cannot_be_drawn(line: Line) -> None:
    async def broken(pair: str, trade_id: int | None = None) -> bytes:
        raise RuntimeError("the worker died")

    line.desk.chart = broken  # type: ignore[method-assign]
    *_, closed = await told(line, a_signal(7, trade_id=7), a_closing(7))
    assert (closed.text.splitlines()[0], closed.media) == (CLOSED, None)


async def test_what_is_routine_is_silent_and_what_needs_a_person_is_loud(line: Line) -> None:
    await told(line, a_signal(7, trade_id=7))
    for event in (a_target(7), a_refusal(8), a_story(), a_closing(7)):
        await line.publish(event)
        await line.drained()
    marks = [(m.text.split()[0], not m.silent) for m in line.said()][1:]
    assert not line.said()[0].silent
    assert marks == [("🎯", False), ("⛔", False), ("🌇", False), ("🟢", True)]


async def test_the_living_message_is_never_cut_in_the_middle_of_a_sentence(line: Line) -> None:
    reasoning = "Momentum with volume, and the trend of the hour agrees. " * 12
    [opened] = await told(line, a_signal(7, trade_id=7, gemini_reasoning=reasoning.strip()))
    assert opened.media is not None
    await line.publish(a_target(7), replace(a_target(7, "TP2"), key="target:7:TP2"), a_closing(7))
    await line.drained()
    living = next(m for m in line.said() if m.message_id == opened.message_id)
    assert living.text.splitlines()[0] == CLOSED
    assert len(living.text) <= 1024
    whole = set(living.text.splitlines()) - {"…"}
    assert all(not words.endswith("…") for words in whole)
    assert living.text.splitlines()[-1] == "…"
