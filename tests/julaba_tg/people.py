"""People of every role in front of one bot, and what its desk holds, for tests of who may do what."""

from __future__ import annotations

from typing import Any

from core.config import Settings
from core.services.views import Role
from tests.julaba_tg.conftest import OWNER, VIEWER, World

OPERATOR = 1004
ROLES: dict[int, Role] = {VIEWER: "viewer", OPERATOR: "operator", OWNER: "approver"}
LATER = 10.0  # seconds a test waits at most
SORRY = "went wrong on my side"
# Of the fakes: who asked for what, which is not how things are.
UNTOLD = frozenset({"recorded", "seen", "kept", "troubles", "troubled", "asked"})


def three_roles() -> Settings:
    users = {str(user): role for user, role in ROLES.items()}
    return Settings.model_validate({"access": {"users": users}, "telegram": {"poll_timeout": 1}})


async def unhurried(world: World) -> World:
    """A running bot that nobody asks too much of."""
    world.phone.add_user(OPERATOR, "Operator")
    bot = world.new_bot()
    bot._gate._burst = 10**9
    await bot.start()
    return world


def state(thing: Any, seen: frozenset[int] = frozenset()) -> Any:
    """What a fake desk holds, down to plain values, so that two moments can be compared."""
    if id(thing) in seen:
        return "…"
    inner = seen | {id(thing)}
    if isinstance(thing, dict):
        return {str(key): state(value, inner) for key, value in thing.items()}
    if isinstance(thing, list | tuple | set | frozenset):
        return [state(value, inner) for value in thing]
    if type(thing).__module__.startswith("tests.") and hasattr(thing, "__dict__"):
        return {key: state(value, inner) for key, value in vars(thing).items() if key not in UNTOLD}
    return repr(thing)


def changed(before: Any, after: Any, where: str = "") -> list[str]:
    """Where two states differ, and how."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            line
            for key in sorted({*before, *after})
            for line in changed(before.get(key), after.get(key), f"{where}.{key}".lstrip("."))
        ]
    return [] if before == after else [f"{where}: {before!r:.300} became {after!r:.300}"]


async def settled(chat: World, patience: float = LATER) -> None:
    """Until everything heard is dealt with, also what was begun in the background for it."""
    assert chat.bot is not None
    bot, desk = chat.bot, chat.desk
    await chat.until(lambda: len(chat.phone.chats.updates) == 0, patience)
    await chat.until(lambda: bot.idle and not desk.kept, patience)
