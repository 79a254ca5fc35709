"""What is done for ``/samples``: ask the desk, answer with a card and its picture."""

from __future__ import annotations

from julaba_tg import keyboards, rendering_samples
from julaba_tg.calls import Call
from julaba_tg.ports import DeskLike
from julaba_tg.sending import Outgoing


async def samples(call: Call, desk: DeskLike) -> Outgoing:
    view = await desk.samples()
    return Outgoing(rendering_samples.samples(view), keyboards.refresh(call.command.name), view.picture)
