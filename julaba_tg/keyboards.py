"""Inline buttons and what they carry.

``callback_data`` is ``verb:argument``: ``go`` runs a command line and edits the message in place, ``new`` answers
with a message of its own, ``yes`` and ``no`` carry nothing but an approval's id. A client can send any data it likes,
so whoever reads a tap checks it and the person's role as if the line had been typed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard
from telegram.constants import KeyboardButtonStyle

from core.domain.messages import Event, Notice
from core.services.outlook import Outlook
from core.services.story_words import Span
from core.services.views import MlView, PairView, Role
from julaba_tg.commands import Command, Group, allowed_to, find, may
from julaba_tg.figures import coin, percent
from julaba_tg.parsing import Typed, command_of

MAX_DATA = 64  # bytes
REFRESH = "🔄 Refresh"

_LABELS = {
    "start": "🪙 Home",
    "status": "📊 Status",
    "positions": "📂 Positions",
    "trades": "📒 Trades",
    "pairs": "🔀 Pairs",
    "ml": "🧠 ML",
    "chart": "📈 Chart",
    "close": "✖️ Close one",
    "why": "🔍 Why?",
    "report": "📋 Report",
    "report week": "📖 This week",
    "models": "🗃 Models",
    "risk": "🛡 Risk",
    "samples": "🧮 Samples",
    "worth": "⚖️ Worth",
    "gemini": "✨ Gemini",
    "health": "🩺 Health",
    "resume": "▶️ Resume",
    "pause": "⏸ Pause",
    "help": "❓ Help",
    "retrain": "🏋️ Retrain",
    "dial": "🎚 Dial",
    "opens": "🔭 Will it open?",
    "rules": "📏 Rules",
    "filters": "🧪 Filters",
    "rollback": "↩️ Roll back",
    "undo": "↩️ Undo",
    "size": "📐 Sizes",
    "audit": "🧾 Audit",
}
"""Views that many answers lead to, and what their buttons say under all of them."""


@dataclass(frozen=True, slots=True)
class CommandTap:
    """A button that stands for a typed command; ``in_place`` edits the message it hangs on."""

    typed: Typed
    in_place: bool


@dataclass(frozen=True, slots=True)
class ApprovalTap:
    approval_id: int
    yes: bool


def tap_of(data: str) -> CommandTap | ApprovalTap | None:
    """What a button says; None for data no button of ours carries."""
    verb, _, argument = data.partition(":")
    if verb in {"yes", "no"} and re.fullmatch(r"[0-9]{1,15}", argument):
        return ApprovalTap(int(argument), verb == "yes")
    if verb in {"go", "new"} and (typed := command_of(f"/{argument}")):
        return CommandTap(typed, verb == "go")
    return None


def home(label: str = "", line: str = "") -> Keyboard:
    """What helps now above the six; a step without a command has no button."""
    step = [[Button(label, callback_data=f"new:{line}")]] if line else []
    return Keyboard(
        [
            *step,
            [way_to("status"), way_to("positions")],
            [way_to("trades"), way_to("pairs")],
            [way_to("ml"), Button("🗂 More", callback_data="go:start more")],
        ]
    )


def groups(titles: Mapping[Group, str]) -> Keyboard:
    """The pages behind More, two in a row, and the ways on."""
    pages = [Button(title, callback_data=f"go:start {group}") for group, title in titles.items()]
    return Keyboard([*rows([*pages, way_to("help")], 2), [_back("start")]])


def group_page(group: Group, role: Role) -> Keyboard:
    """A button for each command of a group that a role may use; one that wants a word asks for it."""
    names = dict.fromkeys(c.name for c in allowed_to(role) if c.group == group and c.name != "start")
    return Keyboard([*rows([Button(f"/{n}", callback_data=f"new:{n}") for n in names], 3), [_back("start more")]])


def _back(line: str) -> Button:
    return Button("⬅️ Back", callback_data=f"go:{line}")


def pinned(outlook: Outlook | None) -> Keyboard:
    """Under the pinned status: what would bring the next look nearer, each way a button, and the whole status."""
    ways = [(change.words, change.command) for change in outlook.changes[:3]] if outlook is not None else []
    known = [(words, line) for words, line in ways if find(line.split()[0]) and fits(line)]
    return Keyboard(
        [
            *([Button(f"⏩ {words}", callback_data=f"new:{line}")] for words, line in known),
            [way_to("status"), way_to("start")],
        ]
    )


def pin_switch(on: bool) -> Keyboard:
    """After /status pin or unpin: the way back."""
    word, label = ("unpin", "📌 Unpin") if on else ("pin", "📌 Pin again")
    return Keyboard([[Button(label, callback_data=f"go:status {word}"), way_to("status")]])


def fits(line: str) -> bool:
    """Whether a button can carry a command line."""
    return len(f"new:{line}".encode()) <= MAX_DATA


def run(command: Command) -> Keyboard:
    """Does what was perhaps meant, where that changes nothing; else tells how it is written."""
    if command.changes:
        return Keyboard(
            [[Button(f"❓ /help {command.name}", callback_data=f"new:help {command.name}"), way_to("start")]]
        )
    return Keyboard([[Button(f"/{command.name}", callback_data=f"new:{command.name}"), way_to("start")]])


def only_home() -> Keyboard:
    return Keyboard([[way_to("start"), way_to("help")]])


def help_of(command: Command) -> Keyboard:
    """Under a command's help, and under an argument error."""
    row = [] if command.changes else [Button(f"/{command.name}", callback_data=f"new:{command.name}")]
    return Keyboard([[*row, Button("❓ All commands", callback_data="new:help"), way_to("start")]])


def report(span: Span | None) -> Keyboard:
    """Under the report (None) and the stories: each leads to the others."""
    others = [
        Button(words, callback_data=f"new:{line}")
        for words, line, own in (
            ("🌇 Today", "report today", "day"),
            ("📖 This week", "report week", "week"),
            ("📋 Metrics", "report", None),
        )
        if own != span
    ]
    line = {"day": "report today", "week": "report week", None: "report"}[span]
    return Keyboard([[refresh_button(line), *others], [way_to("status"), way_to("trades")]])


def with_next(keyboard: Keyboard | None, name: str, role: Role) -> Keyboard:
    """An answer that leads nowhere but to itself gets what people do after it, as far as their role goes."""
    there = [list(row) for row in keyboard.inline_keyboard] if keyboard is not None else []
    if any(button.text != REFRESH for row in there for button in row):
        return Keyboard(there)
    lines = [line for line in NEXT.get(name, ("status",)) if _may_run(line, role)]
    return Keyboard([*there, [*(way_to(line) for line in lines), way_to("start")]])


def after(event: Event) -> Keyboard:
    """Under news that has no buttons of its own: where it is explained, or what to do about it."""
    kind = event.topic if isinstance(event, Notice) else event.kind
    lines = _AFTER.get(kind, ("status",))
    return Keyboard([[*(way_to(line) for line in lines), way_to("start")]])


def after_many() -> Keyboard:
    """Under many alerts in one."""
    return Keyboard([[way_to("status"), way_to("trades"), way_to("start")]])


def _may_run(line: str, role: Role) -> bool:
    name, *words = line.split()
    command = find(name, words)
    return command is not None and may(role, command.role)


_AFTER: dict[str, tuple[str, ...]] = {
    "target_hit": ("positions",),
    "pair_stopped": ("pairs", "health"),
    "model_trained": ("ml", "models"),
    "breaker": ("risk", "trades"),
    "fault": ("health",),
    "recovered": ("health",),
    "weight": ("ml",),
    "gemini": ("gemini",),
    "training": ("ml",),
    "report": ("report",),
}

NEXT: dict[str, tuple[str, ...]] = {
    "positions": ("chart", "close", "trades"),
    "trades": ("why", "report week", "positions"),
    "chart": ("status", "positions"),
    "why": ("trades", "worth"),
    "gemini": ("worth", "why"),
    "worth": ("gemini", "why"),
    "samples": ("ml", "report"),
    "ml": ("ml", "status"),
    "models": ("ml", "samples"),
    "promote": ("models", "ml"),
    "rollback": ("models", "ml"),
    "rules": ("ml", "status"),
    "pairs": ("status", "positions"),
    "close": ("positions", "trades"),
    "panic": ("status", "trades"),
    "pause": ("status",),
    "resume": ("status",),
    "health": ("status",),
    "version": ("status", "health"),
    "help": ("status",),
    "report": ("trades", "status"),
}
"""What people do after an answer that has no way on of its own; the status for a command that is not named here."""


def way_to(line: str) -> Button:
    """To a view that many answers lead to, by the name it has under all of them; see ``_LABELS``."""
    return Button(_LABELS[line], callback_data=f"new:{line}")


def refresh(line: str) -> Keyboard:
    """One button that draws the same view again in place."""
    return Keyboard([[refresh_button(line)]])


def refresh_button(line: str) -> Button:
    """The same, to stand beside others."""
    return Button(REFRESH, callback_data=f"go:{line}")


def status(paused: bool) -> Keyboard:
    steer = way_to("resume") if paused else way_to("pause")
    return Keyboard([[refresh_button("status"), steer], [way_to("positions")]])


def running(paused: bool) -> Keyboard:
    """After /pause or /resume: the way back."""
    if paused:
        return Keyboard([[Button("▶️ Resume", callback_data="go:resume")]])
    return Keyboard([[Button("⏸ Pause", callback_data="go:pause")]])


def pairs(views: Sequence[PairView]) -> Keyboard:
    """A switch per pair, two in a row. Each carries the state it leads to, so that a second tap changes nothing."""
    switches = [
        Button(
            f"{'✅' if p.enabled else '⛔'} {coin(p.pair)}",
            callback_data=f"go:pair {p.pair} {'off' if p.enabled else 'on'}",
        )
        for p in views[:80]
    ]
    return Keyboard(
        [*rows(switches, 2), [refresh_button("pairs"), Button("➕ Add", callback_data="new:pairs suggest")]]
    )


def which_pair(names: Sequence[str], emoji: str, name: str, verb: str = "new") -> Keyboard:
    """A button for each pair, for a command that wants one and got none."""
    return Keyboard(rows([Button(f"{emoji} {coin(n)}", callback_data=f"{verb}:{name} {n}") for n in names[:80]], 3))


def chart(name: str) -> Keyboard:
    return refresh(f"chart {name}")


def ml(view: MlView, steps: Sequence[float]) -> Keyboard:
    """Refresh and retrain; the weights to ask for once the gate is ready; a way back to 0 while there is a weight."""
    found = [[refresh_button("ml"), way_to("retrain")]]
    if view.state == "ready" and view.pending_approval is None:
        found.append(
            [
                Button(f"Ask {percent(s)}", callback_data=f"new:ml {s:g}")
                for s in steps
                if s > 0 and s != view.approved_weight
            ]
        )
    if view.approved_weight > 0:
        found.append([Button("Weight 0", callback_data="new:ml 0", style=KeyboardButtonStyle.DANGER)])
    found.append([way_to("dial"), way_to("opens")])
    found.append([way_to("samples"), way_to("report")])
    if view.changes:
        found.append([way_to("rules")])
    return Keyboard([row for row in found if row])


def after_training() -> Keyboard:
    return Keyboard([[way_to("ml"), way_to("status")]])


def approval(approval_id: int) -> Keyboard:
    return Keyboard(
        [
            [
                Button("Approve", callback_data=f"yes:{approval_id}", style=KeyboardButtonStyle.SUCCESS),
                Button("Reject", callback_data=f"no:{approval_id}", style=KeyboardButtonStyle.DANGER),
            ]
        ]
    )


def alert(pair: str, decision_id: int) -> Keyboard:
    """Under a signal or a trade."""
    return Keyboard([[_chart_of(pair), Button("🔍 Why?", callback_data=f"new:why {decision_id}"), way_to("status")]])


def chart_and_status(pair: str) -> Keyboard:
    return Keyboard([[_chart_of(pair), way_to("status")]])


def _chart_of(pair: str) -> Button:
    return Button("📈 Chart", callback_data=f"new:chart {pair}")


def do_it_now(line: str) -> Keyboard | None:
    """For a command that came too late; None when it is too long for a button."""
    data = f"new:{line.removeprefix('/')}"
    return Keyboard([[Button("Do it now", callback_data=data)]]) if len(data.encode()) <= MAX_DATA else None


def rows(buttons: Sequence[Button], width: int) -> list[list[Button]]:
    """So many of them beside each other, the rest below."""
    return [list(buttons[i : i + width]) for i in range(0, len(buttons), width)]
