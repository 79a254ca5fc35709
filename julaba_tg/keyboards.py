"""Inline buttons and what they carry.

``callback_data`` is ``verb:argument``: ``go`` runs a command line and edits the message in place, ``new`` answers
with a message of its own, ``yes`` and ``no`` carry nothing but an approval's id. A client can send any data it likes,
so whoever reads a tap checks it and the person's role as if the line had been typed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard
from telegram.constants import KeyboardButtonStyle

from core.services.views import MlView, PairView
from julaba_tg.figures import coin, percent
from julaba_tg.parsing import Typed, command_of

MAX_DATA = 64  # bytes

_STATUS = Button("📊 Status", callback_data="new:status")


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


def home() -> Keyboard:
    return Keyboard(
        [
            [Button("📊 Status", callback_data="new:status"), Button("📂 Positions", callback_data="new:positions")],
            [Button("📒 Trades", callback_data="new:trades"), Button("🔀 Pairs", callback_data="new:pairs")],
            [Button("🧠 ML", callback_data="new:ml"), Button("❓ Help", callback_data="new:help")],
        ]
    )


def refresh(line: str) -> Keyboard:
    """One button that draws the same view again in place."""
    return Keyboard([[refresh_button(line)]])


def refresh_button(line: str) -> Button:
    """The same, to stand beside others."""
    return Button("🔄 Refresh", callback_data=f"go:{line}")


def status(paused: bool) -> Keyboard:
    steer = Button("▶️ Resume", callback_data="new:resume") if paused else Button("⏸ Pause", callback_data="new:pause")
    return Keyboard([[refresh_button("status"), steer], [Button("📂 Positions", callback_data="new:positions")]])


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
    return Keyboard([*_rows(switches, 2), [refresh_button("pairs")]])


def charts(names: Sequence[str]) -> Keyboard:
    return Keyboard(_rows([Button(f"📈 {coin(n)}", callback_data=f"new:chart {n}") for n in names[:80]], 3))


def chart(name: str) -> Keyboard:
    return refresh(f"chart {name}")


def ml(view: MlView, steps: Sequence[float]) -> Keyboard:
    """Refresh and retrain; the weights to ask for once the gate is ready; a way back to 0 while there is a weight."""
    rows = [[refresh_button("ml"), Button("🏋️ Retrain", callback_data="new:retrain")]]
    if view.state == "ready" and view.pending_approval is None:
        rows.append(
            [
                Button(f"Ask {percent(s)}", callback_data=f"new:ml {s:g}")
                for s in steps
                if s > 0 and s != view.approved_weight
            ]
        )
    if view.approved_weight > 0:
        rows.append([Button("Weight 0", callback_data="new:ml 0", style=KeyboardButtonStyle.DANGER)])
    rows.append([Button("🎚 Dial", callback_data="new:dial"), Button("🔭 Will it open?", callback_data="new:opens")])
    rows.append([Button("🧮 Samples", callback_data="new:samples"), Button("📋 Report", callback_data="new:report")])
    if view.changes:
        rows.append([Button("📏 Rules", callback_data="new:rules")])
    return Keyboard([row for row in rows if row])


def after_training() -> Keyboard:
    return Keyboard([[Button("🧠 ML", callback_data="new:ml"), Button("📊 Status", callback_data="new:status")]])


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
    return Keyboard([[_chart_of(pair), Button("🔍 Why?", callback_data=f"new:why {decision_id}"), _STATUS]])


def chart_and_status(pair: str) -> Keyboard:
    return Keyboard([[_chart_of(pair), _STATUS]])


def _chart_of(pair: str) -> Button:
    return Button("📈 Chart", callback_data=f"new:chart {pair}")


def do_it_now(line: str) -> Keyboard | None:
    """For a command that came too late; None when it is too long for a button."""
    data = f"new:{line.removeprefix('/')}"
    return Keyboard([[Button("Do it now", callback_data=data)]]) if len(data.encode()) <= MAX_DATA else None


def _rows(buttons: Sequence[Button], width: int) -> list[list[Button]]:
    return [list(buttons[i : i + width]) for i in range(0, len(buttons), width)]
