"""What is done for ``/start``, ``/help``, ``/report`` and the pinned status: where things stand and what comes next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from core.services.story_words import Span
from julaba_tg import keyboards, parsing, rendering_help, rendering_home, rendering_report
from julaba_tg.calls import Call, say
from julaba_tg.card import Card, fits_caption
from julaba_tg.commands import COMMANDS, Command, nearest
from julaba_tg.ports import DeskLike
from julaba_tg.rendering_help import GROUPS
from julaba_tg.rendering_home import Now
from julaba_tg.sending import Outgoing
from julaba_tg.story_picture import story_picture

_PAGES = keyboards.groups({group: title for group, (title, _) in GROUPS.items()})
_SPANS: dict[str, Span] = {"today": "day", "day": "day", "week": "week"}


async def start(call: Call, desk: DeskLike, alerts: Callable[[], str]) -> Outgoing:
    """Home; ``more`` and a group's name are the pages behind it, anything else is home: links may carry words.

    ``alerts`` says why nobody can be told anything, empty when somebody can.
    """
    page = call.arguments[0].lower() if call.arguments else ""
    if page == "more":
        return Outgoing(rendering_help.more(), _PAGES)
    group = next((g for g in GROUPS if g == page), None)
    if group is not None:
        return Outgoing(rendering_help.group_page(group, call.actor.role), keyboards.group_page(group, call.actor.role))
    now = Now(await desk.status(), await desk.ml(), await desk.open_approvals(), alerts(), call.actor.role)
    step = rendering_home.next_step(now)
    return Outgoing(rendering_home.home(now, call.zone), keyboards.home(step.label, step.line))


async def help_(call: Call) -> Outgoing:
    """The list by groups with a page each, or one command with its example and a button that runs it."""
    role = call.actor.role
    if not call.arguments:
        return Outgoing(rendering_help.help_list(role), _PAGES)
    name = parsing.one(call.arguments, call.command).lstrip("/").lower()
    lines = [c for c in COMMANDS if c.name == name]
    if lines:
        return Outgoing(rendering_help.help_command(lines), keyboards.help_of(lines[0]))
    return unknown(parsing.short(name), nearest(name))


def unknown(name: str, near: Command | None) -> Outgoing:
    """A command nobody knows, with a button for the one that was perhaps meant."""
    return Outgoing(rendering_help.unknown_command(name, near), keyboards.run(near) if near else keyboards.only_home())


def not_understood(near: Command | None) -> Outgoing:
    return Outgoing(rendering_help.not_understood(near), keyboards.run(near) if near else keyboards.only_home())


async def report(call: Call, desk: DeskLike) -> Outgoing:
    """The success metrics; ``today`` and ``week`` tell the story of the last 24 hours and seven days."""
    if not call.arguments:
        view = await desk.report()
        card = rendering_report.report(view)
        return await _under_its_picture(call, Outgoing(card, keyboards.report(None), view.picture), "📋 The report")
    word = parsing.one(call.arguments, call.command).lower()
    if word not in _SPANS:
        raise parsing.refusal(f"{parsing.short(word)!r} is neither today nor week.", call.command)
    span = _SPANS[word]
    story = await desk.topics.stories.now(span)
    card = rendering_home.story(story.title, story.lines, span)
    picture = await story_picture(desk, span, call.zone)
    return await _under_its_picture(call, Outgoing(card, keyboards.report(span), picture), "The picture of it")


async def _under_its_picture(call: Call, answer: Outgoing, caption: str) -> Outgoing:
    """A card that does not fit under its picture whole is a message of its own, with the picture behind it.

    Where such a message is drawn again in place its words change; the picture behind it stays as it was.
    """
    if answer.picture is None or fits_caption(answer.card):
        return answer
    words = replace(answer, picture=None)
    if call.in_place and not call.place.has_picture:
        return words
    await say(call.place, words)
    return Outgoing(Card(caption), None, answer.picture)


async def pin(call: Call, desk: DeskLike) -> Outgoing:
    """``/status pin`` and ``/status unpin``."""
    word = parsing.one(call.arguments, call.command).lower()
    if word not in {"pin", "unpin"}:
        raise parsing.refusal(f"{parsing.short(word)!r} is neither pin nor unpin.", call.command)
    await desk.topics.steering.set({"notify.pinned": word == "pin"}, call.actor)
    return Outgoing(rendering_home.pin_switched(word == "pin"), keyboards.pin_switch(word == "pin"))
