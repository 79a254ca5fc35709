"""What is done for ``/dial``, ``/rules`` and ``/opens``, and the buttons under their cards."""

from __future__ import annotations

import logging
from dataclasses import replace

from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard
from telegram.constants import KeyboardButtonStyle

from core.errors import JulabaError
from julaba_tg import parsing, rendering, rendering_rules
from julaba_tg.calls import Call, edited, post, say
from julaba_tg.keyboards import refresh_button
from julaba_tg.ports import DeskLike, MessageRef
from julaba_tg.sending import Outgoing
from julaba_tg.tasks import Tasks

log = logging.getLogger(__name__)


async def dial(call: Call, desk: DeskLike) -> Outgoing:
    view = await desk.dial()
    row = [refresh_button("dial"), Button("🧠 ML", callback_data="new:ml")]
    return Outgoing(rendering_rules.dial(view), Keyboard([row]), view.picture)


async def rules(call: Call, desk: DeskLike) -> Outgoing:
    """The rules in force; ``/rules config`` takes every change back."""
    if not call.arguments:
        views = await desk.rules()
    elif parsing.one(call.arguments, call.command).lower() == "config":
        views = await desk.rules_to_config(call.actor)
    else:
        raise parsing.refusal("Only config can follow.", call.command)
    row = [refresh_button("rules")]
    if any(v.changed_by for v in views) and call.actor.role == "approver":
        row.append(Button("Back to config", callback_data="go:rules config", style=KeyboardButtonStyle.DANGER))
    return Outgoing(rendering_rules.rules(views, call.zone), Keyboard([row]))


async def opens(call: Call, desk: DeskLike, tasks: Tasks) -> None:
    """Answers at once; what was found takes that message's place."""
    place = call.place
    shown = await post(place, Outgoing(rendering_rules.looking()))
    tasks.start(_look(call, desk, shown), "opening")


async def _look(call: Call, desk: DeskLike, shown: MessageRef) -> None:
    answer = await _found(call, desk)
    if not await edited(replace(call.place, message=shown, has_picture=False), answer):
        await say(call.place, answer)


async def _found(call: Call, desk: DeskLike) -> Outgoing:
    row = [Button("🧠 ML", callback_data="new:ml"), Button("📏 Rules", callback_data="new:rules")]
    try:
        return Outgoing(rendering_rules.opening(await desk.opens(call.actor)), Keyboard([row]))
    except JulabaError as error:
        return Outgoing(rendering.refused(str(error)))
    except Exception:  # the edge of a task: whoever asked must not wait for an answer for ever
        log.exception("whether the gate opens could not be told")
        return Outgoing(rendering.apology())
