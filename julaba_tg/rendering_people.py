"""How loud everything is, and how a person is talked to, as a card. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import get_args
from zoneinfo import ZoneInfo

from core.config import NoticeLevel, Notify
from core.services.people import Numbers
from julaba_tg.card import Card, card, quote, section, table
from julaba_tg.figures import clock_time, day_time, duration
from julaba_tg.quiet import next_change, quiet_hours
from julaba_tg.wishes import Voice
from julaba_tg.zones import city

MARKS: dict[NoticeLevel, str] = {"loud": "🔔", "silent": "🔕", "none": "🚫"}
_LEVELS = get_args(NoticeLevel)
SAMPLE = "1,234.56"
SAMPLES: dict[Numbers, str] = {"en": SAMPLE, "de": "1.234,56", "fr": "1 234,56"}
_MEANT = {
    "opened": "a trade was opened",
    "closed": "a trade has ended",
    "target": "a trade has reached a target",
    "signal": "a signal was refused or missed",
    "approval": "a card waits for a yes, or was answered",
    "fault": "something is wrong, or a breaker has stopped trading",
    "training": "a model was trained",
    "digest": "the day's and the week's story",
}
_UNHEARD = {
    "approval": (
        "No card would come: what waits for a yes would end unanswered, a trade that asks at the next close, a weight "
        "or a rule after its hours. /approvals still lists them."
    ),
    "fault": (
        "Nobody would hear of a broken feed, of a pair switched off, or of a breaker that stops trading. "
        "/health still shows them."
    ),
}


@dataclass(frozen=True, slots=True)
class NotifyView:
    """``own``: how the person who looks is talked to; ``chat_zone``: that of the chat alerts go to; ``now`` is wall
    time."""

    notify: Notify
    own: Voice
    chat_zone: ZoneInfo
    now: datetime


def kinds() -> tuple[str, ...]:
    """The kinds of news that have a level of their own."""
    return tuple(name for name, field in Notify.model_fields.items() if get_args(field.annotation) == _LEVELS)


def is_weighty(kind: str) -> bool:
    """Whether silence about it would cost more than quiet: it is asked back."""
    return kind in _UNHEARD


def notify(view: NotifyView, changed: str = "") -> Card:
    """How loud each kind of news is, the quiet hours, and how the person is talked to."""
    levels = {kind: getattr(view.notify, kind) for kind in kinds()}
    counts = ", ".join(f"{n} {level}" for level in _LEVELS if (n := list(levels.values()).count(level)))
    by_level = [
        f"{MARKS[level]} {level:<6}  {', '.join(of_level)}"
        for level in _LEVELS
        if (of_level := [kind for kind, its in levels.items() if its == level])
    ]
    return card(
        f"{changed or f'🔔 {counts}'}{_quiet_in_short(view)}",
        table(by_level),
        section([*_quiet(view), _stories(view), _person(view)]),
        quote([f"{kind}: {_MEANT.get(kind, kind.replace('_', ' '))}" for kind in levels]),
    )


def _quiet_in_short(view: NotifyView) -> str:
    """`` · quiet from 22:00``; empty without quiet hours."""
    hours = quiet_hours(view.notify.quiet_hours, view.chat_zone)
    change = next_change(hours, view.now) if hours else None
    if hours is None or change is None:
        return ""
    word = "quiet until" if hours.cover(view.now) else "quiet from"
    return f" · {word} {clock_time(change, view.own.zone)}"


def _quiet(view: NotifyView) -> list[str]:
    """Said in the person's zone; the hours themselves are those of the chat's."""
    hours = quiet_hours(view.notify.quiet_hours, view.chat_zone)
    change = next_change(hours, view.now) if hours else None
    if hours is None or change is None:
        return ["No quiet hours: what is loud rings at any time."]
    after = next_change(hours, change)
    own = view.own.zone
    left = duration(change - view.now)
    if hours.cover(view.now):
        when = f"It is quiet now, until {day_time(change, own)} (in {left})."
    else:
        end = f" until {clock_time(after, own)}" if after else ""
        when = f"Next quiet from {day_time(change, own)} (in {left}){end}."
    ringing = " and ".join(_listed([k for k in view.notify.quiet_loud if getattr(view.notify, k) == "loud"]))
    all_the_same = f"Then only {ringing} may ring." if ringing else "Then nothing rings."
    return [f"🌙 Quiet hours {_shown(view.notify.quiet_hours)} ({hours.zone.key}). {when} {all_the_same}"]


def _listed(kinds: Sequence[str]) -> list[str]:
    return [", ".join(kinds[:-1]), kinds[-1]] if len(kinds) > 2 else list(kinds)


def _shown(hours: str) -> str:
    return hours.replace("-", "–")


def _stories(view: NotifyView) -> str:
    """What comes by the clock of the chat."""
    daily, weekly = view.notify.daily_at or "never", view.notify.weekly_at.capitalize() or "never"
    pinned = "on" if view.notify.pinned else "off"
    return f"📰 The day's story: {daily}, the week's: {weekly} ({view.chat_zone.key}). Pinned status: {pinned}."


def _person(view: NotifyView) -> str:
    now = clock_time(view.now, view.own.zone)
    return f"👤 For you: times in {view.own.zone.key} (now {now}), numbers as {SAMPLE}."


def changed_level(kind: str, level: NoticeLevel) -> str:
    return f"{MARKS[level]} {kind}: {level}"


def weighty(kind: str, now: NoticeLevel) -> Card:
    """Asked back before news of it falls silent for good."""
    return card(f"🚫 Tell nothing of {kind} at all?", _UNHEARD[kind], f"Now it is {now}; silent comes without a sound.")


def which_level(kind: str, now: NoticeLevel) -> Card:
    return card(f"{MARKS[now]} {kind} is {now}. How loud?", _MEANT.get(kind, ""))


def which_hours(view: NotifyView) -> Card:
    typed = "Or type other ones, such as /notify quiet 21:30-06:45"
    return card("🌙 When must the phone not ring?", *_quiet(view), typed)


def which_ring(view: NotifyView) -> Card:
    return card("🌙 What may ring in quiet hours all the same?", "Only what is loud rings at all.")


def which_story(view: NotifyView, span: str) -> Card:
    now = view.notify.daily_at if span == "daily" else view.notify.weekly_at.capitalize()
    example = "21:30" if span == "daily" else "fri 17:45"
    return card(
        f"📰 The {'day' if span == 'daily' else 'week'}'s story comes: {now or 'never'}",
        f"By the clocks of {view.chat_zone.key}. Tap a time, or type one, such as /notify {span} {example}",
    )


def which_zone(view: NotifyView) -> Card:
    return card(
        f"🕰 Your times are in {view.own.zone.key}: {clock_time(view.now, view.own.zone)} now",
        "Tap where it is your time, or type a city, such as /notify zone Lisbon",
    )


def no_such_zone(words: str, near: Sequence[str]) -> Card:
    if not near:
        return card(f"🕰 I know no zone {words!r}. Tap one where it is your time, or type a large city of it.")
    return card(f"🕰 I know no zone {words!r}. Did you mean {' or '.join(near)}?")


def which_numbers() -> Card:
    return card(f"🔢 Your numbers look like {SAMPLE}", "Commands take a point and a comma alike.")


def zone_set(view: NotifyView) -> str:
    return f"🕰 {city(view.own.zone.key)}: {clock_time(view.now, view.own.zone)} now"


def quiet_set(hours: str) -> str:
    return f"🌙 Quiet hours {_shown(hours)}" if hours else "🔔 No quiet hours any more"


def story_set(span: str, at: str) -> str:
    return f"📰 {span.capitalize()} story: {at.capitalize() or 'never'}"


def numbers_set() -> str:
    return f"🔢 Numbers: {SAMPLE}"
