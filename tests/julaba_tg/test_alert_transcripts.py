"""Every alert as a person reads it on the phone: the real notifier and library over HTTP, the whole chat written out.

The chats stand in ``alert_chats.txt``. 🔔 or 🔕 says whether the phone made a sound, 🖼 that there is a picture, ↩ the
first line of what it replies to; ┃ is the quote that opens on a tap, and the last lines have the buttons.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from telegram import Bot as TelegramBot

from core.domain.messages import (
    ApprovalAsked,
    ApprovalEnded,
    ApprovalReminder,
    Digest,
    Event,
    ModelTrained,
    Notice,
    PairStopped,
    SignalDecided,
    TradeClosed,
)
from core.domain.trading import ExitReason
from core.engine.advisory import Waiting
from core.services.views import ApprovalKind, ApprovalState
from julaba_tg.notifier import Notifier
from julaba_tg.phone.bot_api import Phone
from julaba_tg.phone.chats import Message
from tests.fakes.desk import NOON, PNG, FakeDesk, a_closing, a_refusal, a_signal, a_target, an_approval
from tests.julaba_tg.conftest import OWNER, World

CHATS = {
    name.strip(): chat.strip()
    for name, _, chat in (
        part.partition("\n")
        for part in Path(__file__).with_name("alert_chats.txt").read_text("utf-8").split("=== ")[1:]
    )
}


def written(phone: Phone) -> str:
    """The owner's chat as this file writes it."""
    return "\n\n".join(_written(phone, m) for m in phone.messages(OWNER) if m.from_bot)


def _written(phone: Phone, message: Message) -> str:
    head = ("🔕" if message.silent else "🔔") + (" 🖼" if message.media else "")
    answered = phone.chats.message(OWNER, message.reply_to) if message.reply_to else None
    if answered is not None:
        head += f" ↩ {answered.text.splitlines()[0]}"
    buttons = "\n".join(" ".join(f"[{b.text}]" for b in row) for row in message.keyboard)
    return "\n".join([head, *_lines(message), *([buttons] if buttons else [])])


def _lines(message: Message) -> list[str]:
    units = message.text.encode("utf-16-le")
    quoted = [e for e in message.content.entities if e.type == "expandable_blockquote"]
    lines, at = [], 0
    for line in message.text.split("\n"):
        inside = any(e.offset <= at < e.end for e in quoted)
        lines.append(f"┃ {line}" if inside else line)
        at += len(line.encode("utf-16-le")) // 2 + 1
    assert at == len(units) // 2 + 1
    return lines


Setting = Callable[[FakeDesk], object]


@dataclass(frozen=True)
class Step:
    """Something happens: the desk becomes so, and this event is told."""

    event: Event
    so: Setting = lambda desk: None


def card_is(**changes: Any) -> Setting:
    def change(desk: FakeDesk) -> None:
        view = desk.approvals.get(3, an_approval())
        desk.approvals[3] = replace(view, **changes)

    return change


def lived(*story: Event) -> Setting:
    return lambda desk: desk.events.__setitem__(7, list(story))


ASKED = ApprovalAsked(key="asked:3", time=NOON, approval_id=3)
ENDED = ApprovalEnded(key="ended:3", time=NOON, approval_id=3)
REMINDED = ApprovalReminder(key="reminded:3", time=NOON, approval_id=3)
LATER = NOON + timedelta(hours=2)


def closed(reason: ExitReason, **changes: Any) -> list[Step]:
    ending = replace(a_closing(), reason=reason, **changes)
    return [Step(a_signal(), lived(a_signal())), Step(ending, lived(a_signal(), ending))]


def ended(state: str, **changes: Any) -> list[Step]:
    return [Step(ASKED), Step(ENDED, card_is(state=state, **changes))]


def notice(topic: str, title: str, detail: str = "", **changes: Any) -> list[Step]:
    return [Step(Notice(key=f"{topic}:1", time=NOON, topic=topic, title=title, detail=detail, **changes))]  # type: ignore[arg-type]


WAITING = a_signal(status="waiting", trade_id=None)
TRADE_CARD = card_is(
    kind="trade", title="LINK LONG", lines=("It closes nothing else.", "Yes takes it at the next close."), weight=None,
    expires_at=NOON + timedelta(minutes=15), trade=Waiting(WAITING, 7, {}),
)  # fmt: skip

STORIES: dict[str, list[Step]] = {
    "taken": [Step(a_signal(), lived(a_signal()))],
    "taken without opinions": [
        Step(
            a_signal(
                gemini_confidence=None,
                gemini_note="off (no key)",
                ml_probability=None,
                ml_average=None,
                ml_note="learning 31/50",
                verdicts=(),
            ),
            lived(),
        )
    ],
    "refused": [Step(a_refusal())],
    "missed": [Step(a_signal(status="missed", reason="2 candles late", trade_id=None))],
    "shown only": [Step(a_signal(status="signal_only", trade_id=None))],
    "target": [Step(a_signal(), lived(a_signal())), Step(a_target(), lived(a_signal(), a_target()))],
    "stop after a target": [
        Step(a_signal(), lived(a_signal())),
        Step(a_target(), lived(a_signal(), a_target())),
        Step(a_closing(), lived(a_signal(), a_target(), a_closing())),
    ],
    "stop": closed(
        ExitReason.STOP_LOSS, last_target="", pnl=-121.2, realized_r=-1.0, realized_r_net=-1.01, equity=9_878.8
    ),
    "full target": closed(
        ExitReason.TP3_FULL, last_target="TP3", exit_price=19.0, pnl=283.0, realized_r=2.45, realized_r_net=2.36
    ),
    "timeout": closed(
        ExitReason.TIMEOUT, last_target="", exit_price=17.5, pnl=-1.9, realized_r=0.05, realized_r_net=-0.02
    ),
    "by hand": closed(ExitReason.MANUAL, last_target="", exit_price=17.6, pnl=30.0),
    "gap": closed(ExitReason.GAP, last_target="TP2", exit_price=16.9, pnl=-12.0, realized_r_net=-0.1),
    "approval asked": [Step(ASKED)],
    "approval with a picture": [Step(ASKED, card_is(picture=PNG, evidence="3fa91c20ffee"))],
    "approval reminded": [Step(ASKED), Step(REMINDED)],
    "approval approved": ended(
        "approved", answered_by="Ann", answered_at=LATER, answer_note="The model counts 25% from the next signal on."
    ),
    "approval rejected": ended("rejected", answered_by="Ann", answered_at=LATER),
    "approval expired": ended("expired", answered_by="nobody", answered_at=LATER),
    "approval withdrawn": ended("withdrawn", answered_at=LATER, answer_note="The champion has changed."),
    "approval of a champion": [
        Step(ASKED, card_is(kind="promote", title="Take xgb-v2-81ca5d5e as champion?", weight=None))
    ],
    "approval of a rule": [Step(ASKED, card_is(kind="rule", title="Lower adx_min from 25 to 20?", weight=None))],
    "approval of a trade": [Step(ASKED, TRADE_CARD)],
    "trade approved": [
        Step(ASKED, TRADE_CARD),
        Step(ENDED, card_is(state="approved", answered_by="Ann", answered_at=LATER)),
    ],
    "trade expired": [Step(ASKED, TRADE_CARD), Step(ENDED, card_is(state="expired", answered_at=LATER))],
    "pair stopped": [Step(PairStopped(key="p", time=NOON, pair="MATIC/USDT", reason="delisted at MEXC"))],
    "pair renamed": [
        Step(PairStopped(key="p", time=NOON, pair="MATIC/USDT", reason="delisted at MEXC", successor="POL/USDT"))
    ],
    "model took over": [
        Step(
            ModelTrained(
                key="m",
                time=NOON,
                model_id="xgb-v2-81ca5d5e",
                champion=True,
                summary="AUC 0.61 on 412 signals, better than the one before.",
            )
        )
    ],
    "model did not": [
        Step(
            ModelTrained(
                key="m",
                time=NOON,
                model_id="xgb-v2-81ca5d5e",
                champion=False,
                summary="AUC 0.55 on 412 signals: not better than the champion.",
            )
        )
    ],
    "started": notice("started", "Julaba is running", "3 pairs at 15m, 1 open."),
    "breaker": notice(
        "breaker",
        "5 losing trades in a row: no entries until 22 Nov 12:00 UTC",
        "Open positions keep their stops and targets.",
    ),
    "fault": notice("fault", "MEXC does not answer", "For 3 minutes; exits are checked when it does."),
    "recovered": notice("recovered", "MEXC answers again", "After 12 minutes."),
    "weight taken": [
        Step(ASKED),
        *notice(
            "weight",
            "The model's weight 0.25 is taken away",
            "AUC fell below 0.5. It decides nothing until an approver grants a weight again.",
            about="approval:3",
        ),
    ],
    "gemini": notice(
        "gemini", "Gemini is silent: the day's budget is spent", "Signals go on without it until midnight UTC."
    ),
    "training": notice("training", "The weekly training found too little", "31 of 50 outcomes."),
    "red flag": notice(
        "report",
        "Red flag: win rate 28% (below 30%; 40% wanted)",
        "The last ten trades were against the 1h trend. /report",
    ),
    "story of a day": [
        Step(
            Digest(
                key="d",
                time=NOON,
                span="day",
                since=NOON - timedelta(days=1),
                title="Saturday: +$31, 2 trades, 3 signals refused",
                lines=("Refused: 1h down 2×, ADX 1×", "Next look: 19 outcomes to go"),
            )
        )
    ],
}


@pytest.fixture
async def alerts(world: World) -> AsyncIterator[Notifier]:
    """The notifier alone, stepped by hand."""
    root = world.phone.base_url
    async with TelegramBot(world.phone.token, base_url=f"{root}/bot", base_file_url=f"{root}/file/bot") as bot:
        yield Notifier(world.settings, bot, world.desk, world.outbox, world.now)


async def chat_after(world: World, alerts: Notifier, steps: list[Step]) -> str:
    for step in steps:
        step.so(world.desk)
        world.outbox.put(step.event)
        while await alerts.step():
            pass
    return written(world.phone)


@pytest.mark.parametrize("name", STORIES)
async def test_an_alert_reads_like_this(world: World, alerts: Notifier, name: str) -> None:
    assert await chat_after(world, alerts, STORIES[name]) == CHATS[name]


def test_every_kind_of_alert_is_written_out() -> None:
    events = [step.event for steps in STORIES.values() for step in steps]
    assert {type(e) for e in events} == set(get_args(Event))
    news = choices(SignalDecided, "status") - {"waiting"}  # that stands in the card that asks, and is told by it
    assert {e.status for e in events if isinstance(e, SignalDecided)} == news
    assert {e.topic for e in events if isinstance(e, Notice)} == choices(Notice, "topic")
    assert {e.reason for e in events if isinstance(e, TradeClosed)} == set(ExitReason)
    desk = FakeDesk()
    cards = []
    for steps in STORIES.values():
        desk.approvals = {3: an_approval()}
        for step in steps:
            step.so(desk)
            cards += [desk.approvals[3]] if isinstance(step.event, ApprovalAsked | ApprovalEnded) else []
    assert {c.state for c in cards} == set(get_args(ApprovalState))
    assert {c.kind for c in cards} == set(get_args(ApprovalKind))
    assert set(CHATS) == set(STORIES), "a chat that nobody tells any more"


def choices(kind: type[Any], name: str) -> set[str]:
    return set(get_args(get_type_hints(kind)[name]))
