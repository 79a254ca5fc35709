"""What is done for ``/dial``, ``/rules`` and ``/opens``, and the buttons under their cards."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard
from telegram.constants import KeyboardButtonStyle

from core.errors import JulabaError
from core.services.rules import RuleView
from julaba_tg import parsing, rendering, rendering_rules, rendering_safety
from julaba_tg.calls import Call, edited, post, say
from julaba_tg.confirming import Confirming, Preview, unsealed
from julaba_tg.keyboards import refresh_button
from julaba_tg.ports import DeskLike, MessageRef
from julaba_tg.sending import Outgoing
from julaba_tg.tasks import Tasks

log = logging.getLogger(__name__)


async def dial(call: Call, desk: DeskLike) -> Outgoing:
    view = await desk.dial()
    row = [refresh_button("dial"), Button("🧠 ML", callback_data="new:ml")]
    return Outgoing(rendering_rules.dial(view), Keyboard([row]), view.picture)


async def rules(call: Call, desk: DeskLike, confirming: Confirming) -> Outgoing | None:
    """The rules in force; ``/rules config`` takes every change back, by a tap."""
    words, seal = unsealed(call.arguments)
    views = await desk.rules()
    if not words:
        return _view(views, call)
    if parsing.one(words, call.command).lower() != "config":
        raise parsing.refusal("Only config can follow.", call.command)

    async def back() -> Outgoing:
        return _view(await desk.rules_to_config(call.actor), call)

    if not any(v.changed_by for v in views):
        return await back()
    state = "|".join(f"{v.name} {v.value} {v.configured}" for v in views if v.changed_by)
    preview = Preview("rules config", state, partial(rendering_safety.rules_back, views), "Take them back")
    return await confirming.ask(call, preview, seal, back)


def _view(views: Sequence[RuleView], call: Call) -> Outgoing:
    row = [refresh_button("rules")]
    if any(v.changed_by for v in views) and call.actor.role == "approver":
        row.append(Button("Back to config", callback_data="new:rules config", style=KeyboardButtonStyle.DANGER))
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
