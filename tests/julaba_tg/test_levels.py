"""Every event has a level, decided by somebody: a new kind fails here until it has a line."""

from __future__ import annotations

import typing
from dataclasses import replace

import pytest

from core.config import LoudKind, Notify
from core.domain import messages
from core.domain.messages import (
    ApprovalAsked,
    ApprovalEnded,
    ApprovalReminder,
    Digest,
    Event,
    ModelTrained,
    Notice,
    PairStopped,
)
from julaba_tg import alerts
from julaba_tg.levels import kind_of, level_of, rings
from tests.fakes.desk import NOON, a_closing, a_signal, a_target


def notice(topic: str) -> Notice:
    return Notice(key=f"{topic}:x", time=NOON, topic=topic, title="Something")  # type: ignore[arg-type]


# What speaks for it in the settings (none: never loud), and how loud it is by default.
TABLE: dict[str, tuple[Event, LoudKind | None, str]] = {
    "signal_decided taken": (a_signal(status="taken"), "opened", "loud"),
    "signal_decided signal_only": (a_signal(status="signal_only", trade_id=None), "opened", "loud"),
    "signal_decided refused": (a_signal(status="refused", trade_id=None), "signal", "silent"),
    "signal_decided missed": (a_signal(status="missed", trade_id=None), "signal", "silent"),
    "target_hit": (a_target(), "target", "silent"),
    "trade_closed": (a_closing(), "closed", "loud"),
    "approval_asked": (ApprovalAsked(key="a", time=NOON, approval_id=1), "approval", "loud"),
    "approval_ended": (ApprovalEnded(key="e", time=NOON, approval_id=1), "approval", "loud"),
    "approval_reminder": (ApprovalReminder(key="r", time=NOON, approval_id=1), "approval", "loud"),
    "pair_stopped": (PairStopped(key="p", time=NOON, pair="LINK/USDT", reason="gone"), "fault", "loud"),
    "model_trained": (ModelTrained(key="m", time=NOON, model_id="x", champion=True, summary="s"), "training", "silent"),
    "digest": (
        Digest(key="d", time=NOON, span="day", since=NOON, title="The day", lines=("nothing",)),
        "digest",
        "silent",
    ),
    "notice started": (notice("started"), None, "silent"),
    "notice breaker": (notice("breaker"), "fault", "loud"),
    "notice fault": (notice("fault"), "fault", "loud"),
    "notice recovered": (notice("recovered"), None, "silent"),
    "notice weight": (notice("weight"), "approval", "loud"),
    "notice gemini": (notice("gemini"), None, "silent"),
    "notice training": (notice("training"), "training", "silent"),
    "notice report": (notice("report"), None, "silent"),
}


def every_kind() -> list[str]:
    """All events there can be, with what a signal's status or a notice's topic makes of them."""
    found = []
    for event in typing.get_args(messages.Event):
        hints = typing.get_type_hints(event)
        [kind] = typing.get_args(hints["kind"])
        sorts = typing.get_args(hints.get("status", hints.get("topic")))
        found += [f"{kind} {sort}" for sort in sorts if sort != "waiting"] or [kind]  # that stands in a card alone
    return found


@pytest.mark.parametrize("kind", every_kind())
def test_every_kind_of_event_has_a_level_a_setting_and_a_card(kind: str) -> None:
    assert kind in TABLE, f"{kind} is new: decide in julaba_tg/levels.py how loud it is, and say so here"
    event, setting, level = TABLE[kind]

    assert level_of(event, Notify()) == level
    assert kind_of(event) == setting
    assert alerts.other(event).title


@pytest.mark.parametrize("kind", TABLE)
def test_its_setting_makes_it_loud_silent_or_nothing(kind: str) -> None:
    event, setting, _ = TABLE[kind]
    for level in ("loud", "silent", "none"):
        chosen = Notify() if setting is None else Notify.model_validate({setting: level})

        assert setting is None or level_of(event, chosen) == level


def test_whoever_wants_no_faults_hears_nothing_of_their_end_but_of_a_restart() -> None:
    deaf = Notify(fault="none")

    assert level_of(notice("recovered"), deaf) == "none"
    assert level_of(notice("started"), deaf) == "silent"


@pytest.mark.parametrize("kind", TABLE)
def test_in_quiet_hours_only_what_may_rings(kind: str) -> None:
    event, setting, level = TABLE[kind]
    notify = Notify(quiet_hours="22:00-07:00", quiet_loud=("approval",))

    assert rings(event, notify, quiet=False) == (level == "loud")
    assert rings(event, notify, quiet=True) == (level == "loud" and setting == "approval")


def test_a_topic_nobody_has_heard_of_is_told_silently() -> None:
    unknown = replace(notice("started"), topic="surprise")  # type: ignore[arg-type]

    assert level_of(unknown, Notify()) == "silent"
    assert alerts.other(unknown).title == "• Something"


def test_a_day_that_differs_for_known_causes_is_no_red_flag() -> None:
    assert alerts.notice(replace(notice("report"), key="parity:2026-11-21")).title.startswith("🔎")
    assert alerts.notice(replace(notice("fault"), key="parity:2026-11-21")).title.startswith("⚠️")
    assert alerts.notice(notice("report")).title.startswith("🚩")
