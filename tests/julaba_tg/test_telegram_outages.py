"""After a long silence, and what people did meanwhile: against the real bot over HTTP, with a real SQLite outbox."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from core.domain.messages import ApprovalAsked, ApprovalEnded
from julaba_tg.phone.clock import wall_now
from tests.fakes.desk import NOON, a_closing, a_refusal, a_signal, a_target, an_approval
from tests.julaba_tg.conftest import OWNER
from tests.julaba_tg.line import (
    CLOSED,
    OPENED,
    REFUSED,
    Line,
    a_line,
    make_hasty,
    notice,
    story,
)


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


async def test_in_quiet_hours_a_loud_alert_comes_silently_and_a_fault_rings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hasty(monkeypatch)
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
