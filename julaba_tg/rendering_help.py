"""What can be said, as cards: the pages behind More, the help, and what was perhaps meant. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from core.services.views import Role
from julaba_tg.card import Card, card, section, text
from julaba_tg.commands import COMMANDS, Command, Group, allowed_to

GROUPS: dict[Group, tuple[str, str]] = {
    "look": ("👀 Look", "how things stand"),
    "understand": ("🔍 Understand", "why something was done, or not"),
    "learn": ("🧠 Learn", "the model and the rules"),
    "steer": ("🎛 Steer", "change what is traded"),
    "keep": ("🧰 Keep", "settings, health, help"),
}
"""What a group of commands is called, and what it is for."""


def more() -> Card:
    lines = [f"{title}: {words}" for title, words in GROUPS.values()]
    return card("🗂 More", text(lines), "Everything can be typed too: /help.")


def group_page(group: Group, role: Role) -> Card:
    """One group's commands, those a role may use."""
    title, words = GROUPS[group]
    found: dict[str, str] = {}
    for command in allowed_to(role):
        if command.group == group:
            found.setdefault(command.name, command.help)
    return card(f"{title}: {words}", text(f"/{name} – {help_}" for name, help_ in found.items()))


def help_list(role: Role) -> Card:
    visible = allowed_to(role)
    blocks = [
        section([GROUPS[group][0], *(f"{c.usage} – {c.help}" for c in visible if c.group == group)])
        for group in GROUPS
        if any(c.group == group for c in visible)
    ]
    hidden = len(COMMANDS) - len(visible)
    more = (
        f"{hidden} more need another role than {role}." if hidden else "An answer to a card: reply approve or reject."
    )
    return card("❓ What you can say", *blocks, section([more]))


def help_command(lines: Sequence[Command]) -> Card:
    """One command's help; a name with several uses shows each."""
    blocks = [text([f"{c.usage} – {c.help}", f"For example {c.example} · {c.role}"]) for c in lines]
    return card(f"❓ /{lines[0].name}", *blocks)


def not_understood(near: Command | None) -> Card:
    if near is None:
        return card("I only know commands; /help lists them.")
    return card(f"Did you mean {near.usage}?", f"{near.help.capitalize()}. /help lists everything.")


def unknown_command(name: str, near: Command | None) -> Card:
    hint = f"Did you mean {near.usage}?" if near else "/help lists what I know."
    return card(f"I do not know /{name}. {hint}")
