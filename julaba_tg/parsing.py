"""Words to commands and arguments. Pure; whatever cannot be read raises UsageError with a sentence and the usage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.domain.candles import Pair
from core.errors import UsageError
from julaba_tg.commands import Command

_COMMAND = re.compile(r"^/([A-Za-z0-9_]{1,32})(?:@([A-Za-z0-9_]+))?(?=\s|$)")
_NUMBER = re.compile(r"^\d{0,6}(?:[.,]\d{1,9})?$")
_TIME = re.compile(r"([0-9]{1,2})(?::([0-9]{2}))?")
_HOURS = re.compile(rf"{_TIME.pattern} ?(?:-|–|—|to|bis) ?{_TIME.pattern}")
_YES = frozenset({"approve", "approved", "yes", "y", "ok", "okay", "ja", "👍", "✅"})
_NO = frozenset({"reject", "rejected", "no", "n", "nein", "deny", "👎", "⛔"})
_ON = frozenset({"on", "an", "enable", "yes", "true", "1"})
_OFF = frozenset({"off", "aus", "disable", "no", "false", "0"})


@dataclass(frozen=True, slots=True)
class Typed:
    """A command as typed: its name in lower case, the words behind it."""

    name: str
    arguments: tuple[str, ...]


def command_of(content: str, bot_name: str = "") -> Typed | None:
    """The command a message begins with; None for plain words and for a command meant for another bot."""
    found = _COMMAND.match(content.strip())
    if not found:
        return None
    name, addressee = found.groups()
    if addressee and addressee.lower() != bot_name.lower():
        return None
    return Typed(name.lower(), tuple(content.strip()[found.end() :].split()))


def is_for_another_bot(content: str, bot_name: str) -> bool:
    found = _COMMAND.match(content.strip())
    return bool(found and found[2] and found[2].lower() != bot_name.lower())


def yes_or_no(content: str) -> bool | None:
    """An answer to a card: True for approve/yes/ok/ja, False for reject/no/nein, None for anything else."""
    word = content.strip().rstrip(".!").strip().lower()
    return True if word in _YES else False if word in _NO else None


def weight(word: str, command: Command) -> float:
    """``0.25``, ``25%``, ``,25`` or ``0`` as 0..1."""
    bare = word.strip()
    is_percent = bare.endswith("%")
    value = _number(bare.removesuffix("%").strip())
    if value is None:
        raise refusal(f"{short(word)!r} is not a weight.", command)
    value = value / 100 if is_percent else value
    if value > 1:
        raise refusal(f"A weight lies between 0 and 1, and {short(word)} does not; 25% is 0.25.", command)
    return value


def factor(word: str, command: Command) -> float:
    """``0.5`` or ``50%``: a share of the full risk, above 0."""
    value = _number(word.strip().removesuffix("%").strip())
    if value is None:
        raise refusal(f"{short(word)!r} is not a factor.", command)
    return value / 100 if word.strip().endswith("%") else value


def count(arguments: Sequence[str], command: Command, default: int, most: int) -> int:
    """The one whole number a command may carry, 1..``most``."""
    if not arguments:
        return default
    word = one(arguments, command)
    if not re.fullmatch(r"[0-9]{1,9}", word) or not 1 <= int(word) <= most:
        raise refusal(f"{short(word)!r} is not a whole number from 1 to {most}.", command)
    return int(word)


def pair(word: str, command: Command) -> str:
    """``link``, ``LINKUSDT`` or ``LINK/USDT`` as LINK/USDT."""
    try:
        return str(Pair.parse(word))
    except UsageError:
        raise refusal(f"{short(word)!r} is not a pair.", command) from None


def switch(word: str, command: Command) -> bool:
    """on or off."""
    lower = word.lower()
    if lower not in _ON | _OFF:
        raise refusal(f"{short(word)!r} is neither on nor off.", command)
    return lower in _ON


def hours(words: Sequence[str], command: Command) -> str:
    """``22:00-07:00`` of itself, ``22-7``, ``22:00 to 7:00`` and the like; empty for ``off``."""
    typed = " ".join(words).lower()
    if typed in _OFF:
        return ""
    found = _HOURS.fullmatch(typed)
    start, end = (_time(found[1], found[2]), _time(found[3], found[4])) if found else (None, None)
    if start is None or end is None:
        raise refusal(f"{short(typed)!r} are no hours.", command)
    if start == end:
        raise refusal(f"{short(typed)!r} begins and ends at the same minute.", command)
    return f"{start}-{end}"


def moment(word: str, command: Command) -> str:
    """A time of day, ``20:00`` of itself, ``8:30`` or ``20``."""
    found = _TIME.fullmatch(word)
    at = _time(found[1], found[2]) if found else None
    if at is None:
        raise refusal(f"{short(word)!r} is not a time of day.", command)
    return at


def _time(hour: str, minute: str | None) -> str | None:
    whole = f"{int(hour):02}:{minute or '00'}"
    return whole if int(hour) < 24 and int(minute or 0) < 60 else None


def one(arguments: Sequence[str], command: Command) -> str:
    """The only argument. Raises UsageError for none or several."""
    if len(arguments) != 1:
        raise refusal("That needs one word." if not arguments else "That is more than one word.", command)
    return arguments[0]


def refusal(sentence: str, command: Command) -> UsageError:
    """An argument error: what is wrong, then how it is written."""
    return UsageError(f"{sentence}\nUsage: {command.usage}, for example {command.example}")


def short(word: str) -> str:
    return word if len(word) <= 24 else word[:23] + "…"


def _number(word: str) -> float | None:
    """A plain number with a point or a comma; no signs, exponents, nan or infinity. A bare point is not one."""
    if not any(c.isdigit() for c in word) or not word.isascii() or not _NUMBER.match(word):
        return None
    return float(word.replace(",", "."))
