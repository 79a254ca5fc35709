"""What is done for ``/notify``: how loud everything is, quiet hours, and how each person is talked to.

One's own time zone and numbers are everybody's to set; the rest concerns all who read the alerts and is an operator's.
Which of the two a line is, the command table says by its first word, and so does what is done for it here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import get_args
from zoneinfo import ZoneInfo

from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard
from telegram.constants import KeyboardButtonStyle

from core.config import WEEKDAYS, LoudKind, NoticeLevel
from core.services.people import Numbers
from julaba_tg import keyboards, parsing, rendering_people
from julaba_tg.calls import Call
from julaba_tg.commands import may
from julaba_tg.figures import clock_time
from julaba_tg.ports import DeskLike
from julaba_tg.rendering_people import MARKS, SAMPLES, NotifyView
from julaba_tg.sending import Outgoing
from julaba_tg.wishes import voice, voice_of
from julaba_tg.zones import COMMON, city, nearest_zones, zone_named

COMMON_HOURS = ("22:00-07:00", "23:00-07:00", "23:00-08:00", "00:00-08:00")
COMMON_TIMES = {
    "daily": ("07:00", "08:00", "18:00", "20:00", "21:00", "22:00"),
    "weekly": ("fri 18:00", "sat 10:00", "sun 10:00", "sun 18:00", "sun 20:00", "mon 08:00"),
}
_LEVELS: tuple[NoticeLevel, ...] = get_args(NoticeLevel)
_BACK = Button("🔔 Back", callback_data="go:notify")


class Loudness:
    """Handlers of one chat program. ``chat_id``: where alerts go, None where nobody can be told."""

    def __init__(self, desk: DeskLike, chat_id: int | None) -> None:
        self._desk = desk
        self._chat_id = chat_id

    async def notify(self, call: Call, now: datetime) -> Outgoing:
        """``now`` is wall time: it is by that that a phone rings."""
        if not call.arguments:
            return await self._view(call, now)
        match call.command.word:
            case "zone":
                return await self._zone(call, now)
            case "numbers":
                return await self._numbers(call, now)
            case "quiet":
                return await self._quiet(call, now)
            case "ring":
                return await self._ring(call, now)
            case "daily" | "weekly":
                return await self._story(call, now)
            case _:
                return await self._level(call, now)

    # How somebody is talked to

    async def _zone(self, call: Call, now: datetime) -> Outgoing:
        typed = " ".join(call.arguments[1:])
        if not typed:
            return Outgoing(rendering_people.which_zone(await self._seen(call, now)), _zones(COMMON, now))
        name = zone_named(typed)
        if name is None:
            near = nearest_zones(typed, now)
            return Outgoing(rendering_people.no_such_zone(parsing.short(typed), near), _zones(near or COMMON, now))
        await self._desk.topics.people.wish(call.actor, zone=name)
        return await self._view(call, now, rendering_people.zone_set)

    async def _numbers(self, call: Call, now: datetime) -> Outgoing:
        if len(call.arguments) == 1:
            return Outgoing(rendering_people.which_numbers(), _number_styles(call.place.voice.numbers))
        word = call.arguments[1].lower()
        chosen = next((n for n in get_args(Numbers) if n == word), None)
        if chosen is None or len(call.arguments) > 2:
            raise parsing.refusal(f"{parsing.short(word)!r} is none of en, de and fr.", call.command)
        await self._desk.topics.people.wish(call.actor, numbers=chosen)
        return await self._view(call, now, lambda view: rendering_people.numbers_set())

    # What is told, and how loud

    async def _level(self, call: Call, now: datetime) -> Outgoing:
        """Silence about what must be heard of is asked back; the button's third word is the answer."""
        kind = call.arguments[0].lower()
        if kind not in rendering_people.kinds():
            near = ", ".join(rendering_people.kinds())
            raise parsing.refusal(f"{parsing.short(kind)!r} is no kind of news; these are: {near}.", call.command)
        was: NoticeLevel = getattr(self._desk.topics.steering.settings.notify, kind)
        if len(call.arguments) == 1:
            return Outgoing(rendering_people.which_level(kind, was), _levels(kind))
        word, sure = call.arguments[1].lower(), call.arguments[2:] == ("yes",)
        level = next((its for its in _LEVELS if its == word), None)
        if level is None or not (len(call.arguments) == 2 or sure):
            raise parsing.refusal(f"{parsing.short(word)!r} is none of loud, silent and none.", call.command)
        if level == "none" and was != "none" and rendering_people.is_weighty(kind) and not sure:
            return Outgoing(rendering_people.weighty(kind, was), _really(kind))
        await self._desk.topics.steering.set({f"notify.{kind}": level}, call.actor)
        return await self._view(call, now, lambda view: rendering_people.changed_level(kind, level))

    async def _quiet(self, call: Call, now: datetime) -> Outgoing:
        if len(call.arguments) == 1:
            return Outgoing(rendering_people.which_hours(await self._seen(call, now)), _hours())
        hours = parsing.hours(call.arguments[1:], call.command)
        await self._desk.topics.steering.set({"notify.quiet_hours": hours}, call.actor)
        return await self._view(call, now, lambda view: rendering_people.quiet_set(hours))

    async def _ring(self, call: Call, now: datetime) -> Outgoing:
        """Which kinds may ring in quiet hours; each button carries what it leads to."""
        steering = self._desk.topics.steering
        if len(call.arguments) > 1:
            kind = next((k for k in get_args(LoudKind) if k == call.arguments[1].lower()), None)
            if kind is None or len(call.arguments) != 3:
                kinds = ", ".join(get_args(LoudKind))
                raise parsing.refusal(f"That needs a kind of news and on or off; these are: {kinds}.", call.command)
            wanted = parsing.switch(call.arguments[2], call.command)
            ringing = steering.settings.notify.quiet_loud
            chosen = [k for k in get_args(LoudKind) if (wanted if k == kind else k in ringing)]
            await steering.set({"notify.quiet_loud": "+".join(chosen) or "none"}, call.actor)
        ringing = steering.settings.notify.quiet_loud
        return Outgoing(rendering_people.which_ring(await self._seen(call, now)), _ringing(ringing))

    async def _story(self, call: Call, now: datetime) -> Outgoing:
        """``daily 20:00``, ``weekly sun 18:00``, or ``off`` behind either."""
        span, *words = (word.lower() for word in call.arguments)
        if not words:
            return Outgoing(rendering_people.which_story(await self._seen(call, now), span), _times(span))
        if words == ["off"]:
            at = ""
        elif span == "daily":
            at = parsing.moment(parsing.one(words, call.command), call.command)
        elif len(words) == 2 and words[0][:3] in WEEKDAYS:
            at = f"{words[0][:3]} {parsing.moment(words[1], call.command)}"
        else:
            raise parsing.refusal("That needs a day and a time, or off.", call.command)
        await self._desk.topics.steering.set({f"notify.{span}_at": at}, call.actor)
        return await self._view(call, now, lambda view: rendering_people.story_set(span, at))

    # Views

    async def _seen(self, call: Call, now: datetime) -> NotifyView:
        people = self._desk.topics.people
        chat = voice(people.usual) if self._chat_id is None else await voice_of(self._desk, self._chat_id)
        own = await voice_of(self._desk, call.actor.user_id)
        return NotifyView(self._desk.topics.steering.settings.notify, own, chat.zone, now)

    async def _view(self, call: Call, now: datetime, changed: Callable[[NotifyView], str] | None = None) -> Outgoing:
        """In the numbers that count now: the call may have changed them."""
        view = await self._seen(call, now)
        card = rendering_people.notify(view, changed(view) if changed else "")
        return Outgoing(card, _switches(view, may(call.actor.role, "operator")), numbers=view.own.numbers)


def _switches(view: NotifyView, steers: bool) -> Keyboard:
    """A button per kind that leads to its next level, and the ways to the rest; a viewer has only what is theirs."""
    levels = [(kind, getattr(view.notify, kind)) for kind in rendering_people.kinds()]
    switches = [Button(f"{MARKS[its]} {kind}", callback_data=f"go:notify {kind} {_next(its)}") for kind, its in levels]
    quiet = [
        Button("🌙 Quiet hours", callback_data="go:notify quiet"),
        Button("🌙 What rings then", callback_data="go:notify ring"),
    ]
    own = [
        Button("🕰 My time zone", callback_data="go:notify zone"),
        Button("🔢 My numbers", callback_data="go:notify numbers"),
    ]
    stories = [
        Button("📰 Day's story", callback_data="go:notify daily"),
        Button("📰 Week's story", callback_data="go:notify weekly"),
    ]
    steering = [*keyboards.rows(switches, 2), quiet, stories] if steers else []
    return Keyboard([*steering, own, [keyboards.refresh_button("notify")]])


def _next(level: NoticeLevel) -> NoticeLevel:
    return _LEVELS[(_LEVELS.index(level) + 1) % len(_LEVELS)]


def _levels(kind: str) -> Keyboard:
    buttons = [Button(f"{MARKS[its]} {its}", callback_data=f"go:notify {kind} {its}") for its in _LEVELS]
    return Keyboard([buttons, [_BACK]])


def _really(kind: str) -> Keyboard:
    none = Button(
        f"🚫 Tell nothing of {kind}", callback_data=f"go:notify {kind} none yes", style=KeyboardButtonStyle.DANGER
    )
    return Keyboard([[none], [Button("🔕 silent", callback_data=f"go:notify {kind} silent"), _BACK]])


def _hours() -> Keyboard:
    spans = [Button(hours.replace("-", "–"), callback_data=f"go:notify quiet {hours}") for hours in COMMON_HOURS]
    return Keyboard([*keyboards.rows(spans, 2), [Button("Off", callback_data="go:notify quiet off"), _BACK]])


def _times(span: str) -> Keyboard:
    times = [Button(at.capitalize(), callback_data=f"go:notify {span} {at}") for at in COMMON_TIMES[span]]
    return Keyboard([*keyboards.rows(times, 3), [Button("Never", callback_data=f"go:notify {span} off"), _BACK]])


def _ringing(chosen: Sequence[str]) -> Keyboard:
    buttons = [
        Button(
            f"{'✅' if kind in chosen else '⛔'} {kind}",
            callback_data=f"go:notify ring {kind} {'off' if kind in chosen else 'on'}",
        )
        for kind in get_args(LoudKind)
    ]
    return Keyboard([*keyboards.rows(buttons, 2), [_BACK]])


def _zones(names: Sequence[str], now: datetime) -> Keyboard:
    """Each with what its clocks show: whoever does not know a zone's name knows what time it is."""
    buttons = [
        Button(f"{clock_time(now, ZoneInfo(name))} {city(name)}", callback_data=f"go:notify zone {name}")
        for name in names
    ]
    return Keyboard([*keyboards.rows(buttons, 2), [_BACK]])


def _number_styles(chosen: Numbers) -> Keyboard:
    """The sample hangs on its name, so that it is not itself written in the reader's style."""
    rows = [
        [Button(f"{'✅ ' if name == chosen else ''}{name}·{sample}", callback_data=f"go:notify numbers {name}")]
        for name, sample in SAMPLES.items()
    ]
    return Keyboard([*rows, [_BACK]])
