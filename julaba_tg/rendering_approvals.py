"""Approvals to cards: what is asked with its frozen evidence, that it still waits, and how it ended. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from core.services.views import ApprovalView
from julaba_tg import alerts
from julaba_tg.card import Card, card, section
from julaba_tg.figures import coin, day_time, duration, price

HOW = "Tap a button, reply with approve or reject, or react with 👍 or 👎."


def approval(view: ApprovalView, zone: ZoneInfo, now: datetime) -> Card:
    """The card with its frozen evidence; once it has ended, who ended it stands in the first line."""
    if view.trade is not None:
        return _trade(view, zone, now)
    evidence = section(view.lines)
    asked = f"Approval {view.approval_id} · asked by {view.asked_by} {day_time(view.created_at, zone)}"
    frozen = f"{asked} · evidence {view.evidence[:8]}" if view.evidence else asked
    if view.state == "pending":
        return card(f"🗳 {view.title}", evidence, section([f"{frozen} · {_left(view, zone, now)}", HOW]))
    return card(f"{approval_end(view, zone)}: {view.title}", evidence, section([frozen]), view.answer_note)


def _trade(view: ApprovalView, zone: ZoneInfo, now: datetime) -> Card:
    """A signal that waits, drawn as any signal; what a yes does stands below the plan."""
    assert view.trade is not None
    shown = alerts.signal(view.trade.signal, zone)
    if view.state != "pending":
        return Card(f"{approval_end(view, zone)}: {_plan(view)}", (section([view.answer_note]), *shown.blocks))
    until = f"Until {day_time(view.expires_at, zone)} (in {duration(view.expires_at - now)}). {view.lines[-1]} {HOW}"
    return Card(shown.title, (section([until]), *shown.blocks))


def _plan(view: ApprovalView) -> str:
    assert view.trade is not None
    signal = view.trade.signal
    return f"{coin(signal.pair)} {signal.direction} {price(signal.entry)}"


def title(view: ApprovalView) -> str:
    """What is asked, in one line."""
    return view.title if view.trade is None else f"trade {_plan(view)}?"


def reminder(view: ApprovalView, zone: ZoneInfo, now: datetime) -> Card:
    """Told once, in reply to the card."""
    return card(f"🗳 Still waiting for an answer: {view.title}", f"It {_left(view, zone, now)}. {HOW}")


def _left(view: ApprovalView, zone: ZoneInfo, now: datetime) -> str:
    return f"expires {day_time(view.expires_at, zone)} (in {duration(view.expires_at - now)})"


def approval_answered(view: ApprovalView, zone: ZoneInfo) -> Card:
    """What the person who answered hears; the card itself says the same."""
    return card(f"{approval_end(view, zone)}: {_plan(view) if view.trade else view.title}", view.answer_note)


def approval_end(view: ApprovalView, zone: ZoneInfo) -> str:
    """``✅ Approved by Ann, 21 Nov 14:30``."""
    who = f" by {view.answered_by}" if view.answered_by and view.state != "expired" else ""
    when = f", {day_time(view.answered_at, zone)}" if view.answered_at else ""
    words = {
        "approved": "✅ Approved",
        "rejected": "⛔ Rejected",
        "expired": "⌛ Expired",
        "withdrawn": "↩️ Withdrawn",
        "pending": "🗳 Pending",
    }
    return f"{words[view.state]}{who}{when}"


def waiting(views: Sequence[ApprovalView], zone: ZoneInfo, now: datetime) -> Card:
    """The questions that wait, the oldest first."""
    if not views:
        return nothing_to_answer()
    lines = [f"{v.approval_id}: {title(v)} {_left(v, zone, now)}" for v in views]
    noun = "question waits" if len(views) == 1 else "questions wait"
    return card(f"🗳 {len(views)} {noun} for an answer", section(lines))


def reply_to_card(approval_id: int) -> Card:
    return card(f"Approval {approval_id} waits: reply to its card with that word, or tap its button.")


def nothing_to_answer() -> Card:
    return card("Nothing waits for an answer.")
