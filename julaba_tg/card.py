"""What the bot says, before Telegram's markup: a title and blocks of raw lines, turned into HTML or plain text.

Only this module writes tags, and it escapes every character that came from anywhere else. Text is cut before the tags
are put around it, so a message is never too long and a tag never broken, whatever the text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from core.services.people import Numbers
from julaba_tg.numbers import numbered

TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024
_LOOK_AHEAD = 80  # characters behind a cut that say what the last word is: a number, or the beginning of an id
LEAST_ROOM = 24  # units; a block cut to less would be little more than an ellipsis
MAX_BLOCKS = 40  # each is one entity, and Telegram reads only the first hundred of a message

Style = Literal["text", "pre", "quote"]
_TAGS: dict[Style, tuple[str, str]] = {
    "text": ("", ""),
    "pre": ("<pre>", "</pre>"),
    "quote": ("<blockquote expandable>", "</blockquote>"),
}
# Marks that turn the reading direction round: in a reason or a model's words they could disguise the rest of the line.
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Block:
    """Raw lines in one style: running text, a table in fixed width, or a quote that opens on a tap."""

    lines: tuple[str, ...]
    style: Style = "text"


@dataclass(frozen=True, slots=True)
class Card:
    """``title`` is the first line: all that a locked phone shows."""

    title: str
    blocks: tuple[Block, ...] = ()


def card(title: str, *blocks: Block | str) -> Card:
    """A card; a bare string is a line of running text."""
    return Card(title, tuple(Block((b,)) if isinstance(b, str) else b for b in blocks))


def text(lines: Iterable[str]) -> Block:
    return Block(tuple(lines))


def section(lines: Iterable[str]) -> Block:
    """Running text with an empty line above it; nothing at all when there are no lines."""
    found = tuple(lines)
    return Block(("", *found) if found else ())


def table(lines: Iterable[str]) -> Block:
    return Block(tuple(lines), "pre")


def quote(lines: Iterable[str]) -> Block:
    return Block(tuple(lines), "quote")


def units(content: str) -> int:
    """Length as Telegram counts it: in UTF-16 code units, so that an emoji is two."""
    return len(content.encode("utf-16-le")) // 2


def html(content: Card, limit: int = TEXT_LIMIT, numbers: Numbers = "en") -> str:
    """Telegram HTML of at most ``limit`` units, tags included."""
    return _compose(content, limit, numbers, escape, _TAGS, ("<b>", "</b>"))


def plain(content: Card, limit: int = TEXT_LIMIT, numbers: Numbers = "en") -> str:
    """The same without markup: what is sent when the HTML was refused."""
    none = dict.fromkeys(_TAGS, ("", ""))
    return _compose(content, limit, numbers, lambda line: line, none, ("", ""))


def fits_caption(content: Card, numbers: Numbers = "en") -> bool:
    """Whether a card can stand whole under a picture."""
    return units(html(content, TEXT_LIMIT, numbers)) <= CAPTION_LIMIT


def shortened(content: Card, limit: int = CAPTION_LIMIT, numbers: Numbers = "en") -> Card:
    """The card with as many whole lines as fit: those at its end are left out, and an ellipsis says so.

    A title that is too long by itself is left to be cut.
    """
    if units(html(content, TEXT_LIMIT, numbers)) <= limit:
        return content
    lines = [(number, line) for number, block in enumerate(content.blocks) for line in block.lines]
    low, high = 0, len(lines)  # so many are sure to fit, so many are not
    while high - low > 1:
        middle = (low + high) // 2
        fitting = units(html(_first_lines(content, lines[:middle]), TEXT_LIMIT, numbers)) <= limit
        low, high = (middle, high) if fitting else (low, middle)
    return _first_lines(content, lines[:low])


def _first_lines(content: Card, lines: Sequence[tuple[int, str]]) -> Card:
    """These lines, each in its own block's style, and an ellipsis behind them."""
    blocks = [
        Block(tuple(line for of, line in lines if of == number), block.style)
        for number, block in enumerate(content.blocks)
    ]
    return Card(content.title, (*(b for b in blocks if b.lines), Block(("…",))))


def escape(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def clean(line: str) -> str:
    """One line that can be sent: no line breaks, control characters, half surrogates or reading-direction tricks."""
    return "".join(_clean_character(c) for c in line)


def _clean_character(character: str) -> str:
    if character in _BIDI:
        return ""
    category = unicodedata.category(character)
    return "\ufffd" if category == "Cs" else " " if category == "Cc" or character in "\u2028\u2029" else character


def _seen(line: str) -> str:
    """Empty for a line of nothing but spaces and marks without width, which nobody can see."""
    return line if any(unicodedata.category(c)[0] not in "ZC" for c in line) else ""


def _compose(
    content: Card,
    limit: int,
    numbers: Numbers,
    write: Callable[[str], str],
    tags: dict[Style, tuple[str, str]],
    title_tags: tuple[str, str],
) -> str:
    opening, closing = title_tags
    title = _fit([_seen(clean(content.title).strip()) or "–"], limit - units(opening + closing), numbers, write)
    message = opening + title + closing
    for block in content.blocks[:MAX_BLOCKS]:
        opening, closing = tags[block.style]
        body = _fit(block.lines, limit - units(message) - units(opening + closing) - 1, numbers, write)
        if limit - units(message) < LEAST_ROOM and body != _fit(block.lines, TEXT_LIMIT, numbers, write):
            break
        if body.strip():
            message += f"\n{opening}{body}{closing}"
    return message


def _fit(lines: Iterable[str], room: int, numbers: Numbers, write: Callable[[str], str]) -> str:
    """As many whole lines as the room takes; the one that does not fit is cut and ends in an ellipsis."""
    written: list[str] = []
    for line in lines:
        kept = numbered(clean(line[: room + _LOOK_AHEAD]), numbers)  # what cannot fit anyway need not be looked at
        whole = write(kept)
        needed = units(whole) + (1 if written else 0)
        if needed > room:
            cut = _cut(kept, room - (1 if written else 0), write)
            return "\n".join([*written, cut] if cut else written)
        written.append(whole)
        room -= needed
    return "\n".join(written)


def _cut(line: str, room: int, write: Callable[[str], str]) -> str:
    if room < 1:
        return ""
    kept: list[str] = []
    room -= 1  # for the ellipsis
    for character in line:
        piece = write(character)
        if units(piece) > room:
            break
        kept.append(piece)
        room -= units(piece)
    return "".join(kept) + "…"
