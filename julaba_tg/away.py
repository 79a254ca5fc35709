"""What of a long outage still matters, and what is over and can be told in one digest. Pure.

A fault is over when its end waits behind it; both carry one name in their keys, see ``core.services.faults``.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from core.domain.messages import (
    ApprovalAsked,
    ApprovalEnded,
    ApprovalReminder,
    Digest,
    Event,
    Notice,
    PairStopped,
    SignalDecided,
    TargetHit,
    TradeClosed,
)
from julaba_tg.ports import OutboxItem


def over(items: Sequence[OutboxItem], closed: Set[int], ended: Set[int]) -> list[OutboxItem]:
    """Those of the waiting items that are history, the oldest first; the others must each be told as themselves.

    ``closed`` are trades that are closed by now, ``ended`` approvals that nobody can answer any more.
    """
    history = [i for i in items if _is_over(i, items, closed, ended)]
    return sorted(history, key=lambda item: item.item_id)


def _is_over(item: OutboxItem, items: Sequence[OutboxItem], closed: Set[int], ended: Set[int]) -> bool:
    match item.event:
        case SignalDecided(trade_id=int() as trade_id):
            return trade_id in closed
        case ApprovalAsked(approval_id=approval_id) | ApprovalReminder(approval_id=approval_id):
            return approval_id in ended
        case Notice(topic="fault"):
            return end_of(item, items) is not None
        case PairStopped() | Digest() | Notice(topic="breaker" | "weight"):
            return False
        case _:
            return True


def end_of(item: OutboxItem, items: Sequence[OutboxItem]) -> OutboxItem | None:
    """The waiting item that says a fault is over; None while it stands."""
    event = item.event
    name = fault_name(event)
    if name is None or not isinstance(event, Notice) or event.topic != "fault":
        return None
    ends = [i for i in items if i.item_id > item.item_id and fault_name(i.event) == name and _recovered(i.event)]
    return min(ends, key=lambda i: i.item_id, default=None)


def fault_name(event: Event) -> str | None:
    """``exchange`` of ``fault:exchange:1790000000000``; None for what is no fault, or one that has no end."""
    if not isinstance(event, Notice) or event.topic not in {"fault", "recovered"}:
        return None
    topic, _, rest = event.key.partition(":")
    name, _, moment = rest.rpartition(":")
    return name if topic == event.topic and name and moment.isdigit() else None


def subject_of(event: Event) -> str | None:
    """What an event is about: within one subject nothing is told out of order. None: it stands alone."""
    match event:
        case SignalDecided(trade_id=int() as number) | TargetHit(trade_id=number) | TradeClosed(trade_id=number):
            return f"trade:{number}"
        case ApprovalAsked(approval_id=number) | ApprovalReminder(approval_id=number):
            return f"approval:{number}"
        case ApprovalEnded(approval_id=number):
            return f"approval:{number}"
        case _:
            name = fault_name(event)
            return f"fault:{name}" if name is not None else None


def first(items: Sequence[OutboxItem]) -> OutboxItem:
    """The item to tell next: the queue's first, unless something older about the same subject waits behind it."""
    subject = subject_of(items[0].event)
    same = [i for i in items if subject is not None and subject_of(i.event) == subject]
    return min([items[0], *same], key=lambda i: i.item_id)


def _recovered(event: Event) -> bool:
    return isinstance(event, Notice) and event.topic == "recovered"
