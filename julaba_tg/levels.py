"""How loud each event is: by what its owner chose for its kind, and by the hour. Pure; every event has an answer."""

from __future__ import annotations

from core.config import LoudKind, NoticeLevel, Notify
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
    TargetHit,
    TradeClosed,
)

ALWAYS_TOLD = frozenset({"started"})  # silently, whatever was chosen: a restart nobody asked for must be seen


def kind_of(event: Event) -> LoudKind | None:
    """The line of ``notify`` in the settings that speaks for an event; None for news that is never loud."""
    match event:
        case SignalDecided(status="taken" | "signal_only"):
            return "opened"
        case SignalDecided():
            return "signal"
        case TargetHit():
            return "target"
        case TradeClosed():
            return "closed"
        case ApprovalAsked() | ApprovalEnded() | ApprovalReminder() | Notice(topic="weight"):
            return "approval"
        case PairStopped() | Notice(topic="fault" | "breaker"):
            return "fault"
        case ModelTrained() | Notice(topic="training"):
            return "training"
        case Digest():
            return "digest"
        case Notice():
            return None  # started, a fault's end, Gemini's comings and goings, a report's flags


def level_of(event: Event, notify: Notify) -> NoticeLevel:
    """loud, silent or none, by what the person chose for this kind of event."""
    kind = kind_of(event)
    if kind is not None:
        level: NoticeLevel = getattr(notify, kind)
        return level
    told = isinstance(event, Notice) and event.topic in ALWAYS_TOLD
    return "silent" if told or notify.fault != "none" else "none"


def rings(event: Event, notify: Notify, quiet: bool) -> bool:
    """Whether the phone makes a sound; in quiet hours only for the kinds that may all the same."""
    loud = level_of(event, notify) == "loud"
    return loud and (not quiet or kind_of(event) in notify.quiet_loud)
