"""What is done for ``/health``: ask the desk, answer with a card."""

from __future__ import annotations

from julaba_tg import keyboards, rendering_health
from julaba_tg.calls import Call
from julaba_tg.ports import DeskLike
from julaba_tg.sending import Outgoing


async def health(call: Call, desk: DeskLike) -> Outgoing:
    view = await desk.health()
    return Outgoing(rendering_health.health(view, call.zone), keyboards.refresh(call.command.name))
