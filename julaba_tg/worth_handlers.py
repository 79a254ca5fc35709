"""What is done for ``/gemini`` and ``/worth``: ask the desk, answer with a card and its picture."""

from __future__ import annotations

from julaba_tg import keyboards, rendering_worth
from julaba_tg.calls import Call
from julaba_tg.ports import DeskLike
from julaba_tg.sending import Outgoing


async def gemini(call: Call, desk: DeskLike) -> Outgoing:
    view = await desk.gemini()
    return Outgoing(rendering_worth.gemini(view), keyboards.refresh(call.command.name), view.picture)


async def worth(call: Call, desk: DeskLike) -> Outgoing:
    view = await desk.layers()
    return Outgoing(rendering_worth.worth(view), keyboards.refresh(call.command.name), view.picture)
