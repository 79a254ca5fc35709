"""How somebody is talked to: in whose time, with whose numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard

from core.services.people import Numbers, Wishes
from julaba_tg.numbers import numbered
from julaba_tg.ports import DeskLike
from julaba_tg.sending import Outgoing


@dataclass(frozen=True, slots=True)
class Voice:
    """What a message is written with: the zone its times are in, and how its numbers look."""

    zone: ZoneInfo
    numbers: Numbers


STANDARD = Voice(ZoneInfo("UTC"), "en")


async def voice_of(desk: DeskLike, chat_id: int) -> Voice:
    """Of a person by user id, which is their private chat's too; a group (an id below 0) has what is configured."""
    people = desk.topics.people
    return voice(people.usual if chat_id < 0 else await people.of(chat_id))


def voice(wishes: Wishes) -> Voice:
    return Voice(ZoneInfo(wishes.zone), wishes.numbers)


def in_voice(answer: Outgoing, speaking: Voice) -> Outgoing:
    """The same message with this voice's numbers, or its own, also on its buttons; what they do stays as it is."""
    numbers = answer.numbers or speaking.numbers
    return replace(answer, keyboard=_labelled(answer.keyboard, numbers), numbers=numbers)


def _labelled(keyboard: Keyboard | None, numbers: Numbers) -> Keyboard | None:
    if keyboard is None or numbers == "en":
        return keyboard
    return Keyboard([[_button(button, numbers) for button in row] for row in keyboard.inline_keyboard])


def _button(button: Button, numbers: Numbers) -> Button:
    label = numbered(button.text, numbers)
    return button if label == button.text else Button.de_json(button.to_dict() | {"text": label}, None)
