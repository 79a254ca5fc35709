"""What is done for ``/models``, ``/promote`` and ``/rollback``, and the buttons under their cards."""

from __future__ import annotations

from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard

from core.errors import UsageError
from core.services.model_pictures import PictureKind
from core.services.registry import ModelEntry, ModelList
from julaba_tg import parsing, rendering_models
from julaba_tg.calls import Call
from julaba_tg.card import Card
from julaba_tg.commands import Command
from julaba_tg.confirming import Confirming, Preview, unsealed
from julaba_tg.keyboards import MAX_DATA, refresh_button, rows, way_to
from julaba_tg.ports import DeskLike
from julaba_tg.rendering_models import listed
from julaba_tg.sending import Outgoing


async def models(call: Call, desk: DeskLike) -> Outgoing:
    """All models, or with an id (or its last letters) one of them, or a picture of its evaluation."""
    view = await desk.models()
    if not call.arguments:
        return Outgoing(rendering_models.models(view, call.zone), _list_buttons(view))
    model_id, *more = call.arguments
    chosen = view.find(model_id)
    if more:
        kind = _kind(parsing.one(more, call.command), call.command)
        picture = await desk.model_picture(chosen.model_id, kind)
        return Outgoing(rendering_models.picture(chosen.model_id, kind), _picture_buttons(chosen, kind), picture)
    return Outgoing(rendering_models.model(view, chosen, call.zone), _model_buttons(view, chosen))


async def promote(call: Call, desk: DeskLike) -> Outgoing:
    """Asks the approvers; it never promotes by itself. Without an id the challengers are buttons."""
    if not call.arguments:
        view = await desk.models()
        others = [m for m in listed(view) if m.model_id != view.champion and not m.damage]
        keys = [b for b in (_button(f"🗳 {m.model_id}", f"new:promote {m.model_id}") for m in others) if b is not None]
        return Outgoing(rendering_models.which_model(bool(keys)), Keyboard([*rows(keys, 2), [way_to("models")]]))
    asked = await desk.ask_promotion(parsing.one(call.arguments, call.command), call.actor)
    return Outgoing(rendering_models.promotion_asked(asked))


async def rollback(call: Call, desk: DeskLike, confirming: Confirming) -> Outgoing | None:
    """Says what it would do; a tap does it. An id that is not the champion before is refused."""
    words, seal = unsealed(call.arguments)
    plan = await desk.plan_rollback(call.actor)
    model_id = plan.target.model_id
    if words and parsing.one(words, call.command) != model_id:
        raise UsageError(f"going back is to {model_id}, the champion before; /promote asks for any other")

    async def back() -> Outgoing:
        done = await desk.rollback(model_id, call.actor)
        return Outgoing(rendering_models.rolled_back(done), Keyboard([[way_to("models")]]))

    def shown(why: str) -> Card:
        return rendering_models.rollback_plan(plan, call.zone, why)

    preview = Preview(f"rollback {model_id}", f"{plan.champion} {plan.weight:g}", shown, f"Go back to {model_id}")
    return await confirming.ask(call, preview, seal, back)


def _kind(word: str, command: Command) -> PictureKind:
    match word.lower():
        case "calibration":
            return "calibration"
        case "importance":
            return "importance"
        case other:
            raise parsing.refusal(f"{parsing.short(other)!r} is neither calibration nor importance.", command)


def _picture_buttons(chosen: ModelEntry, shown: PictureKind | None = None) -> Keyboard:
    """The pictures there are but the one that is shown; a way back to the model's card from there."""
    words = {"calibration": "🎯 Calibration", "importance": "🏋️ Importance"}
    row = [_button(text, f"new:models {chosen.model_id} {kind}") for kind, text in words.items() if kind != shown]
    if shown is not None:
        row.append(_button("🔎 Model", f"new:models {chosen.model_id}"))
    return Keyboard([[b for b in row if b is not None]])


def _list_buttons(view: ModelList) -> Keyboard:
    shown = [_button(f"🔎 {m.model_id}", f"new:models {m.model_id}") for m in listed(view)]
    known = [b for b in shown if b is not None]
    last = [refresh_button("models")]
    if view.before is not None:
        last.append(way_to("rollback"))
    return Keyboard([*rows(known, 2), last])


def _model_buttons(view: ModelList, chosen: ModelEntry) -> Keyboard:
    row = [Button("🗃 All", callback_data="new:models")]
    if chosen.model_id != view.champion and not chosen.damage:
        row += [b for b in (_button("🗳 Promote (asks)", f"new:promote {chosen.model_id}"),) if b is not None]
    if chosen.model_id == view.champion and view.before is not None:
        row.append(way_to("rollback"))
    pictures = [] if chosen.damage else [list(r) for r in _picture_buttons(chosen).inline_keyboard if r]
    return Keyboard([*pictures, row])


def _button(words: str, data: str, style: str | None = None) -> Button | None:
    """None where the data is too long for a button: the command can still be typed."""
    return Button(words, callback_data=data, style=style) if len(data.encode()) <= MAX_DATA else None
