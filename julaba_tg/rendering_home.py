"""Home, help by groups, the pinned status and the stories as cards. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from core.services.listing import SWITCHED_BY
from core.services.outlook import Outlook, Shortening
from core.services.story_words import Span
from core.services.views import ApprovalView, MlView, PairView, Role, StatusView
from julaba_tg.card import Block, Card, card, quote, section, text
from julaba_tg.commands import may
from julaba_tg.figures import clock_time, coin, counted, money, r_multiple, signed_money, utc_day
from julaba_tg.rendering import pause_words

SEVERAL = 3  # open trades that the pinned status names
MOST_CHANGES = 3
DAY_HOURS = 24.0


@dataclass(frozen=True, slots=True)
class Step:
    """What helps now: a sentence, and the button that does it (a label and a command line without its slash)."""

    sentence: str
    label: str = ""
    line: str = ""


@dataclass(frozen=True, slots=True)
class Now:
    """All that home goes by. ``alerts``: why nobody can be told anything; empty when somebody can."""

    status: StatusView
    ml: MlView
    waiting: Sequence[ApprovalView]
    alerts: str
    role: Role


def home(now: Now, zone: ZoneInfo) -> Card:
    """Two lines: where things stand, and the one step that helps now."""
    return card(f"🪙 Julaba · {standing(now, zone)}", f"➡️ {next_step(now).sentence}")


def standing(now: Now, zone: ZoneInfo) -> str:
    view = now.status
    if not view.trades_total and not view.positions:
        on = sum(p.enabled for p in view.pairs)
        return (
            f"{money(view.equity)} on paper, no trade yet. Next close {clock_time(view.next_close, zone)}"
            f"{_rhythm(now.ml, on)}."
        )
    state = "paused" if view.paused else f"next close {clock_time(view.next_close, zone)}"
    day = f"{utc_day(zone, view.now)} {signed_money(view.day_pnl)}"
    return f"{money(view.equity)} · {day} · {len(view.positions)} open · {state}"


def _rhythm(ml: MlView, pairs: int) -> str:
    """How often signals come, as far as it is known."""
    per_day = ml.forecast.per_day if ml.forecast is not None else None
    if not per_day or not pairs:
        return ""
    hours = DAY_HOURS / per_day
    every = f"{hours:.0f} hours" if 1.5 <= hours < 48 else f"{hours / DAY_HOURS:.0f} days" if hours >= 48 else "hour"
    return f"; signals come about every {every} for {counted(pairs, 'pair')}"


def next_step(now: Now) -> Step:
    """What needs a person first, then what a person could do, at last how long to wait and for what."""
    return _needs_somebody(now) or _could_be_done(now) or _to_wait_for(now)


def _needs_somebody(now: Now) -> Step | None:
    view = now.status
    if view.faults:
        more = f" (and {len(view.faults) - 1} more)" if len(view.faults) > 1 else ""
        return Step(f"⚠️ {view.faults[0]}{more}.", "🩺 What is wrong", "health")
    if now.waiting:
        asked = now.waiting[0]
        who = "" if may(now.role, "approver") else " An approver answers it."
        return Step(f"🗳 Waits for a yes or no: {asked.title}{who}", "🗳 Show the card", f"approvals {asked.approval_id}")
    if now.alerts:
        return Step(now.alerts, "🩺 Health", "health")
    if view.paused:
        sentence = f"⏸ {pause_words(view.paused)}: no new trades."
        if may(now.role, "operator"):
            return Step(f"{sentence} Resume when you like.", "▶️ Resume", "resume")
        return Step(f"{sentence} An operator can resume.", "📊 Status", "status")
    stopped = [p for p in view.pairs if is_troubled(p)]
    if stopped:
        names = ", ".join(coin(p.pair) for p in stopped[:SEVERAL])
        return Step(f"⛔ {names}: {stopped[0].note}. The other pairs go on.", "🔀 Pairs", "pairs")
    return None


def _could_be_done(now: Now) -> Step | None:
    if now.ml.state == "ready" and not now.ml.approved_weight:
        return Step("The model has proven itself: it may be asked for a weight.", "🧠 ML", "ml")
    if not any(p.enabled for p in now.status.pairs):
        return Step("Every pair is switched off: switch one on to trade.", "🔀 Pairs", "pairs")
    ahead = now.ml.forecast
    shut = ahead is not None and ahead.opens is False and now.ml.state != "learning"
    if shut and may(now.role, "operator"):
        return Step("With this model the gate is not expected to open: see what could be changed.", "🔭 See", "opens")
    if now.status.gemini.startswith("off"):
        return Step(
            "Nothing must be done; the rules decide alone. With a Gemini key (GEMINI_API_KEY in .env) each signal gets "
            "a second opinion.",
            "✨ Gemini",
            "gemini",
        )
    return None


def _to_wait_for(now: Now) -> Step:
    if now.ml.state == "learning":
        return Step(
            f"The model is learning, {now.ml.rows} of {now.ml.rows_needed}; it trains by itself. Nothing must be done.",
            "🧮 Samples",
            "samples",
        )
    ahead = now.ml.forecast
    if ahead is not None and ahead.gate.left and ahead.gate.on is not None:
        sentence = (
            f"Nothing must be done. The model is judged again at {ahead.gate.target} outcomes: {ahead.gate.text}."
        )
        opens = may(now.role, "operator")
        return Step(sentence, "🔭 Will it open?" if opens else "🧠 ML", "opens" if opens else "ml")
    return Step("Nothing must be done; what happens is told here.", "📋 Report", "report")


def is_troubled(pair: PairView) -> bool:
    """Whether something other than a person keeps a pair from trading."""
    return bool(pair.note) and not pair.note.startswith(SWITCHED_BY)


# The pinned status


def pinned(view: StatusView, outlook: Outlook | None, zone: ZoneInfo) -> Card:
    """How things stand, in words that change only when something has: no seconds, no ages."""
    state = "⏸ paused" if view.paused else "running"
    day = f"{utc_day(zone, view.now)} {signed_money(view.day_pnl)}"
    title = f"📌 {money(view.equity)} · {day} · {len(view.positions)} open · {state}"
    lines = [f"⚠️ {fault}" for fault in view.faults[:SEVERAL]]
    if view.paused:
        lines.append(f"⏸ {pause_words(view.paused)}")
    if view.positions:
        trades = [
            f"{'🟢' if p.r >= 0 else '🔴'} {coin(p.pair)} {p.direction} {r_multiple(p.r)}" for p in view.positions
        ]
        hidden = len(trades) - SEVERAL
        lines.append(" · ".join([*trades[:SEVERAL], *([f"and {hidden} more"] if hidden > 0 else [])]))
    lines += [
        f"Gemini {view.gemini} · ML {view.ml}",
        f"Next close {clock_time(view.next_close, zone)} · last {clock_time(view.last_close, zone)} ({zone.key})",
    ]
    return card(title, text(lines), *([section(countdown(outlook)), *_prices(outlook)] if outlook is not None else []))


def countdown(outlook: Outlook) -> list[str]:
    """``⏳ 50 outcomes: 12 Feb (±3 weeks), 31 are there``, and each shorter way in half a line."""
    if outlook.due is None:
        when = "a date cannot be told yet"
    else:
        weeks = outlook.due.plus_minus_days
        wide = "" if weeks is None else f" (±{_weeks(weeks)})"
        when = f"{_date(outlook.due.at)}{wide}" + (" or later" if weeks is None else "")
    lines = [f"⏳ {outlook.title}: {when}, {outlook.have} of {outlook.needed} are there"]
    ways = [f"{c.words}: {_date(c.due)}" for c in outlook.changes[:MOST_CHANGES] if c.due is not None]
    return [*lines, *([f"Sooner: {'; '.join(ways)}"] if ways else [])]


def _weeks(days: float) -> str:
    return counted(max(1, -int(-days // 7)), "week")


def _prices(outlook: Outlook) -> list[Block]:
    lines = [_price(c) for c in outlook.changes[:MOST_CHANGES]]
    return [quote(["What sooner costs:", *lines])] if lines else []


def _price(change: Shortening) -> str:
    if change.price_r is None or not change.n:
        return f"{change.words}: its price is not known yet"
    low, high = change.price_low, change.price_high
    wide = "" if low is None or high is None else f" ({r_multiple(low)} to {r_multiple(high)})"
    return f"{change.words}: {r_multiple(change.price_r)} a trade{wide}, from {change.n} outcomes; {change.basis}"


def _date(moment: datetime | None) -> str:
    return "–" if moment is None else f"{moment.day} {moment:%b}"


def unpinned() -> Card:
    return card("📌 No longer kept up to date", "/status shows how things stand, /status pin brings this back.")


def pin_switched(on: bool) -> Card:
    if on:
        return card("📌 The status will be pinned", "One message in the alerts' chat, kept up to date without a sound.")
    return card("📌 The status is no longer pinned", "/status shows how things stand at any time.")


# Stories

_STORY_MARK: Mapping[Span, str] = {"day": "🌇", "week": "📖"}


def story(title: str, lines: Sequence[str], span: Span) -> Card:
    return card(f"{_STORY_MARK[span]} {title}", text(lines))


def story_picture(title: str, span: Span) -> Card:
    """The caption of a picture that stands below its story."""
    return card(f"{_STORY_MARK[span]} {title.partition(':')[0]}")
