"""Whatever stands in a view or an event: the card made of it can be sent, by every function that makes one.

Each command and each alert is asked for once in front of the fake desk, and what the renderers were given is kept. Then
they are given the same again with hostile words in all its places: new renderers are covered as soon as a
command shows them.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import julaba_tg
from julaba_tg.card import CAPTION_LIMIT, TEXT_LIMIT, Card, html, plain, units
from julaba_tg.commands import COMMANDS
from julaba_tg.notifier import Notifier
from julaba_tg.phone.markup import parse_html
from tests.julaba_tg.conftest import OWNER, opened
from tests.julaba_tg.people import settled, three_roles, unhurried
from tests.julaba_tg.test_alert_transcripts import STORIES
from tests.julaba_tg.test_card import hostile, read

MODULES = sorted(m.name for m in pkgutil.iter_modules(julaba_tg.__path__) if m.name.startswith(("rendering", "alerts")))
words = hostile | st.sampled_from(
    [
        "\u200b" * 50,
        "\u200f\u202eRTL\u2066",
        "👩‍👩‍👧‍👦" * 40,
        "&" * 10_000,
        "<b>" * 3_000,
        "x\u0301" * 9_000,
        "\udc00\ud800",
        "\t\r\n\v",
    ]
)


@dataclass(frozen=True)
class Made:
    """One card that was made: by what, of what."""

    maker: Callable[..., Card]
    arguments: tuple[Any, ...]
    named: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.maker.__module__.removeprefix('julaba_tg.')}.{self.maker.__name__}"


def makers() -> Iterator[Callable[..., Card]]:
    for name in MODULES:
        module = importlib.import_module(f"julaba_tg.{name}")
        for attribute, function in vars(module).items():
            own = getattr(function, "__module__", "") == module.__name__ and not attribute.startswith("_")
            if own and inspect.isfunction(function) and hints_of(function).get("return") is Card:
                yield function


@cache
def made() -> tuple[Made, ...]:
    """Every call of a renderer while all commands and alerts are asked for, at most three of each."""
    found: dict[str, list[Made]] = {}
    with pytest.MonkeyPatch.context() as patch:
        for function in list(makers()):
            noted = _noting(function, found)
            for name, module in list(sys.modules.items()):  # wherever it was imported to
                for attribute in (
                    [a for a, v in vars(module).items() if v is function] if name.startswith("julaba_tg") else []
                ):
                    patch.setattr(module, attribute, noted)
        asyncio.run(_asked_for_all())
    return tuple(m for calls in found.values() for m in calls[:3])


def _noting(function: Callable[..., Card], found: dict[str, list[Made]]) -> Callable[..., Card]:
    def noted(*arguments: Any, **named: Any) -> Card:
        call = Made(function, arguments, named)
        found.setdefault(call.name, []).append(call)
        return function(*arguments, **named)

    return noted


async def _asked_for_all() -> None:
    async with opened(three_roles()) as world:
        await unhurried(world)
        for line in COMMANDS:
            for words in {f"/{line.name}", line.example, f"{line.example} ☃"}:
                world.phone.say(OWNER, words)
                await settled(world, 60.0)
        for message in world.phone.messages(OWNER):
            for button in message.buttons:
                world.phone.tap(OWNER, message.message_id, button.callback_data)
                await settled(world, 60.0)
    for steps in STORIES.values():
        async with opened(three_roles()) as world:
            assert world.bot is None
            bot = world.new_bot()
            notifier: Notifier = bot._notifier
            async with bot._app.bot:
                for step in steps:
                    step.so(world.desk)
                    world.outbox.put(step.event)
                    while await notifier.step():
                        pass


@cache
def hints_of(thing: Any) -> dict[str, Any]:
    """Its annotations; as they are written where a name is known to the type checker alone."""
    try:
        return get_type_hints(thing)
    except NameError:
        return dict(thing.__annotations__)


def is_choice(hint: Any) -> bool:
    """Whether only some words may stand there."""
    if isinstance(hint, str):  # as it is written
        return not {"str", "tuple", "Mapping", "Sequence"} & set(re.findall(r"\w+", hint))
    return get_origin(hint) is Literal or any(get_origin(h) is Literal for h in get_args(hint))


class Hostile:
    """Puts words into all places of a value where any may stand."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._words = [draw(words) for _ in range(3)]
        self._at = 0

    def __call__(self, value: Any, hint: Any = None) -> Any:
        if is_choice(hint):
            return value
        if is_dataclass(value) and not isinstance(value, type):
            return self._inside(value)
        if isinstance(value, tuple) and type(value) is tuple:
            return tuple(self(item) for item in value)
        if isinstance(value, list):
            return [self(item) for item in value]
        if type(value) is str:
            self._at += 1
            return self._words[self._at % 3]
        return value

    def _inside(self, value: Any) -> Any:
        kind: Any = type(value)
        hints = hints_of(kind)
        changes = {f.name: self(getattr(value, f.name), hints.get(f.name)) for f in fields(value) if f.init}
        return replace(value, **changes)


def sendable(card: Card) -> None:
    for limit in (CAPTION_LIMIT, TEXT_LIMIT):
        markup = html(card, limit)
        assert units(markup) <= limit
        assert units(plain(card, limit)) <= limit
        shown = parse_html(markup)
        assert any(unicodedata.category(c)[0] not in "ZC" for c in shown.text.splitlines()[0])
        assert len(shown.entities) <= 100
        assert read(markup).text.strip()


def test_most_makers_of_cards_are_reached() -> None:
    """Those that are not need a trouble or a second step; they take a line of words, and have tests of their own."""
    known = {f"{f.__module__.removeprefix('julaba_tg.')}.{f.__name__}" for f in makers()}
    reached = {call.name for call in made()}
    assert reached <= known
    assert len(reached) > 0.6 * len(known), sorted(known - reached)
    assert reached >= {
        "alerts.signal",
        "alerts.trade",
        "rendering.status",
        "rendering_why.why",
        "rendering_models.models",
    }


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_card_of_hostile_words_can_be_sent(data: st.DataObject) -> None:
    call = data.draw(st.sampled_from(made()), label="call")
    put = Hostile(data.draw)
    hints = hints_of(call.maker)
    names = list(hints)
    arguments = [put(value, hints.get(name)) for value, name in zip(call.arguments, names, strict=False)]
    named = {name: put(value, hints.get(name)) for name, value in call.named.items()}
    sendable(call.maker(*arguments, **named))
