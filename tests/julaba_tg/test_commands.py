"""The one command table and what is made from it."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from core.services.views import Role
from julaba_tg.commands import COMMANDS, find, may, menu, nearest, table_markdown
from julaba_tg.incoming import role_for
from julaba_tg.keyboards import tap_of
from julaba_tg.parsing import Typed, command_of
from tests.julaba_tg.conftest import World


async def test_every_command_has_a_method_and_every_method_a_command(world: World) -> None:
    assert set(world.new_bot().commands) == {c.name for c in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.usage)
def test_examples_are_what_they_show(command: object) -> None:
    line = next(c for c in COMMANDS if c is command)
    typed = command_of(line.example)
    assert typed is not None
    assert find(typed.name, typed.arguments) is line


def test_names_are_what_telegram_allows() -> None:
    assert all(re.fullmatch(r"[a-z0-9_]{1,32}", c.name) and 1 <= len(c.help) <= 256 for c in COMMANDS)
    assert len(COMMANDS) <= 100


def test_whoever_may_change_something_is_more_than_a_viewer() -> None:
    assert all(not may("viewer", c.role) for c in COMMANDS if c.changes)


def test_ml_is_looked_at_by_viewers_and_asked_for_by_operators() -> None:
    assert role_for(Typed("ml", ())) == "viewer"
    assert role_for(Typed("ml", ("0.25",))) == "operator"


def test_a_switching_command_needs_its_role_also_without_arguments() -> None:
    assert role_for(Typed("pair", ())) == "operator"


def test_roles_include_the_lower_ones() -> None:
    roles: tuple[Role, ...] = get_args(Role)
    assert [[may(a, b) for b in roles] for a in roles] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_the_menu_grows_with_the_role() -> None:
    assert {name for name, _ in menu("viewer")} < {name for name, _ in menu("operator")}
    assert len({name for name, _ in menu("approver")}) == len(menu("approver"))


@pytest.mark.parametrize(
    ("words", "name"),
    [("statsu", "status"), ("Show the positons!", "positions"), ("balance?", "status"), ("stop", "pause")],
)
def test_the_nearest_command(words: str, name: str) -> None:
    found = nearest(words)
    assert found is not None
    assert found.name == name


def test_the_markdown_table_has_a_row_for_each_line() -> None:
    rows = table_markdown().splitlines()
    assert len(rows) == len(COMMANDS) + 2
    assert "| `/size [PAIR FACTOR]` | operator | how much of a pair trades | `/size LINK 0.5` |" in rows


@pytest.mark.parametrize("data", ["", "yes:", "yes:x", "yes:-1", "no:1e3", "go:", "go", "do:status", "yes:" + "9" * 40])
def test_forged_button_data_means_nothing(data: str) -> None:
    assert tap_of(data) is None
