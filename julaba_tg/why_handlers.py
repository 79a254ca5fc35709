"""What is done for ``/why``: the card with every layer, and the picture of the model's reasons behind it."""

from __future__ import annotations

import re

from julaba_tg import keyboards, parsing
from julaba_tg.calls import Call, say
from julaba_tg.commands import Command
from julaba_tg.ports import DeskLike
from julaba_tg.rendering_why import picture_caption
from julaba_tg.rendering_why import why as why_card
from julaba_tg.sending import Outgoing

_NUMBER = re.compile(r"^(#?)([0-9]{1,9})$")


async def why(call: Call, desk: DeskLike) -> Outgoing:
    """Without a number the newest signal. The card does not fit under a picture, so that comes in a second message."""
    number, is_trade = _number(call.arguments, call.command)
    view = await desk.why(number, is_trade)
    answer = Outgoing(why_card(view, call.zone), keyboards.chart_and_status(view.pair))
    if view.picture is None:
        return answer
    await say(call.place, answer)
    return Outgoing(picture_caption(view), None, view.picture)


def _number(arguments: tuple[str, ...], command: Command) -> tuple[int | None, bool]:
    """``12`` is a signal's number as alerts name it, ``#12`` a trade's as /positions does."""
    if not arguments:
        return None, False
    word = parsing.one(arguments, command)
    found = _NUMBER.match(word)
    if not found:
        raise parsing.refusal(f"{parsing.short(word)!r} is not a signal's number; alerts name it.", command)
    return int(found[2]), bool(found[1])
