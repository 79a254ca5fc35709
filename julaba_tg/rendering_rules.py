"""The rules in force, the weight's dial and whether the gate will open, as cards."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from core.services.dial import DialView
from core.services.proposals import OpeningAnswer
from core.services.rules import RuleView
from julaba_tg.card import Card, card, section, text
from julaba_tg.figures import day_time


def rules(views: Sequence[RuleView], zone: ZoneInfo) -> Card:
    """The changed ones first, each with who changed it and what is configured; then the rest as configured."""
    changed = [v for v in views if v.changed_by]
    count = f"{len(changed)} changed by approval" if changed else "as configured"
    return card(
        f"📏 Rules: {count}",
        text([line for v in changed for line in _changed(v, zone)]),
        section(["As configured:", *(f"{v.words}: {v.value}" for v in views if not v.changed_by)]),
        section(_foot(bool(changed))),
    )


def _changed(view: RuleView, zone: ZoneInfo) -> list[str]:
    when = f", {day_time(view.changed_at, zone)}" if view.changed_at else ""
    return [f"{view.words}: {view.value} (configured: {view.configured})", f"by {view.changed_by}{when} · {view.name}"]


def _foot(changed: bool) -> list[str]:
    if not changed:
        return ["A change is asked for by /opens, where the gate will not open, and needs an approver's yes."]
    return ["A change lapses when config.yaml is edited there. /rules config takes all of them back."]


def dial(view: DialView) -> Card:
    """Below the picture: what the next step would do."""
    return card(f"🎚 {view.title}", text(view.lines))


def looking() -> Card:
    return card("🔭 Looking at the forecast and the filters…", "The answer stands here in some seconds.")


def opening(answer: OpeningAnswer) -> Card:
    """The verdict; where a card asks for something, the evidence stands there and here is only the pointer."""
    mark = {True: "🟢", False: "🔴", None: "⚪"}[answer.opens]
    if answer.approval_id is None:
        return card(f"{mark} {answer.title}", text(answer.lines))
    asked = f"Approval {answer.approval_id} asks for the best supported change of a rule; an approver answers it."
    return card(f"{mark} The gate will not open", text([*answer.lines[:2], asked]))
