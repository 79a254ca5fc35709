"""Changes to take back, sizes, the audit log and the questions before dangerous commands, as cards."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from core.services.audit_log import AuditLine, AuditPage, Chain
from core.services.changing import Difference
from core.services.rules import RuleView
from core.services.sizes import SizeView
from core.services.undo import DeedView, Final, Undone, UndoPlan
from core.services.views import MlView, PositionView, Role, StatusView
from julaba_tg.card import Card, card, section, text
from julaba_tg.figures import coin, day_time, duration, figure, money, percent, price

_RISK = ".risk"
MOST_NAMED = 3
_NAMED = {"undo": "an undo", "redo": "a change made again", "rules_to_config": "/rules config"}


def changed_words(found: Difference) -> str:
    """``LINK off → on``, ``LINK size 0.5 → 1``, ``trading paused by Ann → running``."""
    name = coin(found.name)
    if found.name.startswith("pairs.") and found.name.endswith(_RISK):
        name = f"{coin(found.name.removeprefix('pairs.').removesuffix(_RISK))} size"
    return f"{name} {found.before} → {found.after}"


def _all_words(found: Sequence[Difference]) -> str:
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return ", ".join(changed_words(d) for d in found[:MOST_NAMED]) + more


# -- /undo


def undo_plan(plan: UndoPlan, why: str, now: datetime, role: Role) -> Card:
    """What a tap would take back; or why nothing can be, with what to do instead."""
    newer = section(_final(f, now) for f in plan.finals)
    deed = plan.deed
    if deed is None:
        return card("↩️ There is no change to take back", newer)
    title = f"{_all_words(deed.differences)}, by {deed.by} {ago(deed.at, now)}"
    if plan.blocked:
        return card(
            f"↩️ Not to be undone: {title}", f"{plan.blocked[:1].upper()}{plan.blocked[1:]}.", newer, _further(deed)
        )
    if deed.needs == "approver" and role != "approver":
        return card(f"↩️ Undo: {title}", "That needs an approver, as the change itself did.", newer)
    every = section([changed_words(d) for d in deed.differences] if len(deed.differences) > MOST_NAMED else [])
    return card(f"↩️ Undo: {title}?", text([why] if why else []), every, newer, "Nothing changes before you tap.")


def _further(deed: DeedView) -> str:
    return "Changes before it stay as they are; set what you want anew."


def _final(final: Final, now: datetime) -> str:
    return f"Not to be undone: {final.what}, by {final.by} {ago(final.at, now)}. {_sentence(final.instead)}"


def undone(done: Undone) -> Card:
    return card(f"↩️ Undone: {_all_words(done.of.differences)}", "/audit shows who changed what.")


def ago(moment: datetime, now: datetime) -> str:
    span = now - moment
    return "just now" if span.total_seconds() < 60 else f"{duration(span)} ago"


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


# -- /size


def sizes(views: Sequence[SizeView]) -> Card:
    """Every pair's size, to choose one from."""
    lines = [f"{coin(v.pair)} {figure(v.factor)} · {money(_risk(v.risk, v.room))} at risk" for v in views]
    return card("📐 Size: which pair?", text(lines), section(["How much the next trade of a pair risks; 1 is full."]))


def size(view: SizeView) -> Card:
    """One pair's, to choose a factor for."""
    return card(f"📐 {coin(view.pair)} size {figure(view.factor)}", text([_now(view), *_held(view)]))


def bigger(view: SizeView, why: str) -> Card:
    """Before a size above the full one."""
    assert view.wanted is not None
    return card(
        f"📐 {coin(view.pair)} size {figure(view.factor)} → {figure(view.wanted)}?",
        text([why] if why else []),
        text([_change(view), "That is more than the full risk of a trade.", *_held(view)]),
        "Nothing changes before you tap.",
    )


def sized(view: SizeView) -> Card:
    """``view`` as it was before, with what was wanted."""
    assert view.wanted is not None
    if view.wanted == view.factor:
        return card(f"📐 {coin(view.pair)} size is {figure(view.factor)} already", text([_now(view)]))
    return card(
        f"📐 {coin(view.pair)} size {figure(view.factor)} → {figure(view.wanted)}",
        text([_change(view), *_held(view)]),
        "Counts from the next candle on.",
    )


def _now(view: SizeView) -> str:
    usual = f" Configured: {figure(view.configured)}." if view.configured != view.factor else ""
    return f"The next trade risks {_most(view.risk, view.room)}.{usual}"


def _change(view: SizeView) -> str:
    return f"The next trade risks {_most(view.wanted_risk, view.room)} instead of {_most(view.risk, view.room)}."


def _risk(wanted: float, room: float) -> float:
    return min(wanted, room)


def _most(wanted: float, room: float) -> str:
    """A doubt of the rules or the model can make it less; the limit of open risk too."""
    shown = f"up to {money(_risk(wanted, room))}"
    return f"{shown} (of {money(wanted)}: the limit of open risk)" if wanted > room else shown


def _held(view: SizeView) -> list[str]:
    return [f"The open {coin(view.pair)} trade keeps its size."] if view.held else []


# -- /audit


def audit(page: AuditPage, zone: ZoneInfo) -> Card:
    """Who, what, before → after, the newest first; whether the chain holds stands above."""
    lines = [_audit_line(line, zone) for line in page.lines]
    mark = "🧾" if page.chain.holds else "⚠️"
    return card(
        f"{mark} Audit: {_holds(page.chain)}", text(lines or ["Nothing was done yet."]), section(_checked(page, zone))
    )


def _holds(chain: Chain) -> str:
    if chain.holds:
        return f"{chain.entries:,} {'entry' if chain.entries == 1 else 'entries'}, unchanged"
    return f"{chain.reason}"


def _checked(page: AuditPage, zone: ZoneInfo) -> list[str]:
    if not page.chain.holds:
        return ["Somebody has changed the log behind my back. `julaba doctor` says more; the backups hold the old one."]
    whole = page.chain.whole_at
    return [f"Checked now; all of it on {day_time(whole, zone)}."] if whole is not None else []


def _audit_line(line: AuditLine, zone: ZoneInfo) -> str:
    at = day_time(line.at, zone)
    match line.kind:
        case "stranger":
            count = "1 stranger" if line.count == 1 else f"{line.count} strangers"
            return f"{at} · {count} turned away"
        case "look":
            return f"{at} · {line.by} looked{f' {line.count} times' if line.count > 1 else ''}: {line.detail}"
        case "refused":
            return f"{at} · {line.by} may not: {line.detail}"
        case "command":
            return f"{at} · {line.by}: {line.detail}"
        case "change":
            return f"{at} · {line.by} · {line.action.replace('_', ' ')} · {line.detail}".removesuffix(" · ")


# -- asked before it is done


def rules_back(views: Sequence[RuleView], why: str) -> Card:
    changed = [v for v in views if v.changed_by]
    count = "1 rule" if len(changed) == 1 else f"{len(changed)} rules"
    return card(
        f"📏 Take {count} back to config?",
        text([why] if why else []),
        text(f"{v.words}: {v.value} → {v.configured}" for v in changed),
        section(["It counts from the next candle on. /undo brings them back.", "Nothing changes before you tap."]),
    )


def weight_to_zero(view: MlView, why: str) -> Card:
    counts = percent(view.approved_weight)
    return card(
        f"🧠 Weight {counts} → 0?",
        text([why] if why else []),
        text(
            [
                f"{view.champion} counts {percent(view.weight)} beside Gemini now; at 0 it decides nothing, from the "
                "next signal on. It is still asked and scored.",
                "This cannot be undone: a weight comes back only by an approver's yes.",
            ]
        ),
        "Nothing changes before you tap.",
    )


def resume_after_drawdown(view: StatusView, why: str) -> Card:
    return card(
        f"▶️ Trade again after a drawdown of {percent(view.drawdown, 1)}?",
        text([why] if why else []),
        text(
            [
                f"The drawdown is counted anew from today's equity, {money(view.equity)}: the next pause comes that "
                "much lower.",
                "This cannot be undone; /pause stops new trades again.",
            ]
        ),
        "Nothing changes before you tap.",
    )


def switch_off(held: PositionView, why: str) -> Card:
    name = coin(held.pair)
    return card(
        f"🔀 Switch {name} off? Its open trade goes on",
        text([why] if why else []),
        text(
            [
                f"{name} {held.direction} #{held.trade_id} keeps its stop {price(held.stop)} and its targets; "
                f"/close {name} ends it.",
                f"New trades in {name} end with the next close.",
            ]
        ),
        "Nothing changes before you tap.",
    )
