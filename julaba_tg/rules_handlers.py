"""What is done for ``/dial``, ``/rules`` and ``/opens``, and the buttons under their cards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard
from telegram.constants import KeyboardButtonStyle

from core.services.proposals import OpeningAnswer
from core.services.rules import RuleView
from core.services.views import Progress
from julaba_tg import parsing, rendering_rules, rendering_safety
from julaba_tg.calls import Call
from julaba_tg.confirming import Confirming, Preview, unsealed
from julaba_tg.keyboards import refresh_button, way_to
from julaba_tg.ports import DeskLike, MessageRef
from julaba_tg.progress import begin, conclude, followed
from julaba_tg.sending import Outgoing
from julaba_tg.tasks import Tasks


async def dial(call: Call, desk: DeskLike) -> Outgoing:
    view = await desk.dial()
    row = [refresh_button("dial"), way_to("ml")]
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
    tasks.start(_look(call, desk, await begin(call.place, _looking)), "opening")


async def _look(call: Call, desk: DeskLike, shown: MessageRef) -> None:
    async def work(progress: Progress) -> OpeningAnswer:
        return await desk.opens(call.actor)

    found = await followed(call.place, shown, _looking, work, "whether the gate opens")
    if isinstance(found, OpeningAnswer):
        number = found.approval_id
        card = [[Button(f"🗳 Show {number}", callback_data=f"new:approvals {number}")]] if number is not None else []
        found = Outgoing(rendering_rules.opening(found), Keyboard([*card, [way_to("ml"), way_to("rules")]]))
    await conclude(call.place, shown, found)


def _looking(words: str, fraction: float) -> Outgoing:
    return Outgoing(rendering_rules.looking())
