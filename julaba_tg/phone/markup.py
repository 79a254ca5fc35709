"""Telegram's HTML: text with entities from it, strictly, and a safe tree for the page from those.

Offsets and lengths are UTF-16 units, as the Bot API and JavaScript count. Rules and error texts follow
https://core.telegram.org/bots/api#html-style and what the server is known to answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

_TAGS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "span": "spoiler",
    "tg-spoiler": "spoiler",
    "tg-emoji": "custom_emoji",
    "tg-time": "date_time",
    "a": "text_link",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
}
ENTITY_TYPES = frozenset(
    {*_TAGS.values(), "expandable_blockquote", "bot_command", "url", "mention", "hashtag", "cashtag", "email"}
    | {"phone_number", "text_mention"}
)
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
_REFERENCE = re.compile(r"&(?:#(\d{1,8})|#x([0-9a-fA-F]{1,6})|(lt|gt|amp|quot));?")
_END_TAG = re.compile(r"</([^\s>]*)\s*>")
_TAG_NAME = re.compile(r"<([^\s>]*)(?=[\s>])")
_ATTRIBUTE_NAME = re.compile(r"[^\s=>/\"']+")
_BARE_VALUE = re.compile(r"[a-zA-Z0-9.-]+")
_COMMAND = re.compile(r"(?<![\w/<>@])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/@])", re.ASCII)
_LINK = re.compile(r"^(https?://[^\s\"'<>]+|tg://[a-z]+\?[^\s\"'<>]+)$", re.IGNORECASE)
_TIME_FORMAT = re.compile(r"^(r|w?[dD]?[tT]?)$")


class MarkupError(ValueError):
    """The text is not Telegram's HTML; the message is what the server says after "can't parse entities: "."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A marked range of a text; ``offset`` and ``length`` in UTF-16 units."""

    type: str
    offset: int
    length: int
    extra: tuple[tuple[str, Any], ...] = ()

    @property
    def end(self) -> int:
        return self.offset + self.length

    def to_api(self) -> dict[str, Any]:
        return {"type": self.type, "offset": self.offset, "length": self.length, **dict(self.extra)}


@dataclass(frozen=True, slots=True)
class RichText:
    """A text and its entities, sorted by offset, the longer first."""

    text: str = ""
    entities: tuple[Entity, ...] = field(default=())

    @property
    def units(self) -> int:
        return utf16_length(self.text)

    def api_entities(self) -> list[dict[str, Any]]:
        return [entity.to_api() for entity in self.entities]


def utf16_length(text: str) -> int:
    """How Telegram counts characters: an emoji outside the basic plane is 2."""
    return len(text) + sum(char > "\uffff" for char in text)


def parse_html(source: str) -> RichText:
    """Text and entities of a message with ``parse_mode=HTML``, trimmed as the server does.

    Raises MarkupError for unknown, unclosed and crossed tags, saying the byte offset.
    """
    return finished(_HtmlParser(source).parse())


def plain(text: str) -> RichText:
    """A text without markup: only the commands in it become entities."""
    return finished(RichText(text.replace("\r", "")))


def finished(rich: RichText) -> RichText:
    """Trims white space at both ends, drops what lies inside code, and marks bot commands."""
    rich = _trimmed(rich)
    kept = [e for e in rich.entities if e.length > 0 and not any(_swallows(outer, e) for outer in rich.entities)]
    found = [e for e in _commands(rich.text) if not any(e.offset < k.end and k.offset < e.end for k in _closed(kept))]
    return RichText(rich.text, tuple(sorted([*kept, *found], key=lambda e: (e.offset, -e.length))))


def _swallows(outer: Entity, inner: Entity) -> bool:
    """Code shows its content as it is; a quote holds no further quote."""
    if outer is inner or not (outer.offset <= inner.offset and inner.end <= outer.end):
        return False
    if (outer.offset, outer.length, outer.type) == (inner.offset, inner.length, inner.type):
        return False
    quotes = {"blockquote", "expandable_blockquote"}
    return outer.type in {"code", "pre"} or (outer.type in quotes and inner.type in quotes)


def _closed(entities: Sequence[Entity]) -> list[Entity]:
    return [e for e in entities if e.type in {"code", "pre", "text_link", "date_time"}]


def _commands(text: str) -> Iterator[Entity]:
    for match in _COMMAND.finditer(text):
        yield Entity("bot_command", utf16_length(text[: match.start()]), len(match.group()))


def _trimmed(rich: RichText) -> RichText:
    cut = len(rich.text) - len(rich.text.lstrip())  # white space is never outside the basic plane
    text = rich.text.strip()
    end = utf16_length(text)
    moved = []
    for entity in rich.entities:
        start, stop = max(0, entity.offset - cut), min(end, entity.end - cut)
        if stop > start:
            moved.append(replace(entity, offset=start, length=stop - start))
    return RichText(text, tuple(moved))


@dataclass(slots=True)
class _Open:
    name: str
    offset: int
    attributes: dict[str, str]


class _HtmlParser:
    """One pass over the source with a stack of open tags."""

    def __init__(self, source: str) -> None:
        self._source = source.replace("\r", "")
        self._at = 0
        self._out: list[str] = []
        self._units = 0
        self._open: list[_Open] = []
        self._entities: list[Entity] = []

    def parse(self) -> RichText:
        while self._at < len(self._source):
            if self._source[self._at] != "<":
                self._character()
            elif self._source.startswith("</", self._at):
                self._end_tag()
            else:
                self._start_tag()
        if self._open:
            raise MarkupError(f'Can\'t find end tag corresponding to start tag "{self._open[-1].name}"')
        self._entities.sort(key=lambda e: (e.offset, -e.length))
        return RichText("".join(self._out), tuple(self._entities))

    def _byte(self, position: int) -> int:
        return len(self._source[:position].encode())

    def _character(self) -> None:
        match = _REFERENCE.match(self._source, self._at)
        char = _referenced(match) if match else None
        if match is None or char is None:
            char = self._source[self._at]
            self._at += 1
        else:
            self._at = match.end()
        self._out.append(char)
        self._units += utf16_length(char)

    def _start_tag(self) -> None:
        begin = self._at
        match = _TAG_NAME.match(self._source, begin)
        if match is None:
            raise MarkupError(f"Unclosed start tag at byte offset {self._byte(begin)}")
        name = match.group(1).lower()
        if name not in _TAGS:
            raise MarkupError(f'Unsupported start tag "{name}" at byte offset {self._byte(begin)}')
        self._at = match.end()
        attributes = self._attributes(name, begin)
        if name == "span" and attributes.get("class") != "tg-spoiler":
            raise MarkupError(f'Tag "span" must have class "tg-spoiler" at byte offset {self._byte(begin)}')
        self._open.append(_Open(name, self._units, attributes))

    def _attributes(self, tag: str, begin: int) -> dict[str, str]:
        found: dict[str, str] = {}
        while True:
            self._space()
            if self._peek() == ">":
                self._at += 1
                return found
            if not self._peek():
                raise MarkupError(f"Unclosed start tag at byte offset {self._byte(begin)}")
            match = _ATTRIBUTE_NAME.match(self._source, self._at)
            if match is None:
                raise MarkupError(f'Empty attribute name in the tag "{tag}" at byte offset {self._byte(begin)}')
            self._at = match.end()
            found[match.group().lower()] = self._value(tag, match.group(), begin)

    def _value(self, tag: str, attribute: str, begin: int) -> str:
        self._space()
        if self._peek() != "=":
            return ""  # such as ``expandable``
        self._at += 1
        self._space()
        quote = self._peek()
        if quote and quote in "\"'":
            end = self._source.find(quote, self._at + 1)
            if end < 0:
                raise MarkupError(f"Unclosed start tag at byte offset {self._byte(begin)}")
            raw = self._source[self._at + 1 : end]
            self._at = end + 1
        else:
            match = _BARE_VALUE.match(self._source, self._at)
            if match is None:
                raise MarkupError(
                    f'Unexpected value of attribute "{attribute}" in the tag "{tag}" at byte offset {self._byte(begin)}'
                )
            raw = match.group()
            self._at = match.end()
        return _REFERENCE.sub(lambda m: _referenced(m) or m.group(), raw)

    def _end_tag(self) -> None:
        begin = self._at
        if not self._open:
            raise MarkupError(f"Unexpected end tag at byte offset {self._byte(begin)}")
        match = _END_TAG.match(self._source, begin)
        if match is None:
            raise MarkupError(f"Unclosed end tag at byte offset {self._byte(begin)}")
        name = match.group(1).lower()
        expected = self._open[-1].name
        if name and name != expected:
            raise MarkupError(
                f'Unmatched end tag at byte offset {self._byte(begin)}, expected "</{expected}>", found "</{name}>"'
            )
        self._at = match.end()
        self._close(self._open.pop())

    def _close(self, tag: _Open) -> None:
        length = self._units - tag.offset
        if length <= 0:
            return
        if tag.name == "code" and self._inside_pre(tag, length):
            return
        entity = _entity(tag, length, _tail("".join(self._out), length) if tag.name == "a" else "")
        if entity is not None:
            self._entities.append(entity)

    def _inside_pre(self, tag: _Open, length: int) -> bool:
        """``<pre><code class="language-x">`` names the language of the block; no entity of its own."""
        if not self._open or self._open[-1].name != "pre" or self._open[-1].offset != tag.offset:
            return False
        language = tag.attributes.get("class", "").removeprefix("language-")
        if language:
            self._open[-1].attributes["language"] = language
        return bool(language)

    def _space(self) -> None:
        while self._peek().isspace():
            self._at += 1

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]


def _referenced(match: re.Match[str]) -> str | None:
    """The character of ``&#60;`` or ``&lt;``; None for what is no character."""
    decimal, hexadecimal, name = match.groups()
    if name:
        return _NAMED[name]
    code = int(decimal) if decimal else int(hexadecimal, 16)
    if code == 0 or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        return None
    return chr(code)


def _tail(text: str, units: int) -> str:
    return text.encode("utf-16-le")[-2 * units :].decode("utf-16-le")


def _entity(tag: _Open, length: int, shown: str) -> Entity | None:
    """The entity of a closed tag; None for a link that leads nowhere, which the server drops in silence."""
    extra: dict[str, Any] = {}
    kind = _TAGS[tag.name]
    if kind == "text_link":
        url = tag.attributes.get("href") or shown
        if not is_link(url):
            return None
        extra["url"] = url
    elif kind == "blockquote" and "expandable" in tag.attributes:
        kind = "expandable_blockquote"
    elif kind == "pre" and (language := tag.attributes.get("language")):
        extra["language"] = language
    elif kind == "custom_emoji":
        if not tag.attributes.get("emoji-id", "").isdigit():
            raise MarkupError("Invalid custom emoji identifier specified")
        extra["custom_emoji_id"] = tag.attributes["emoji-id"]
    elif kind == "date_time":
        extra |= _moment(tag.attributes)
    return Entity(kind, tag.offset, length, tuple(extra.items()))


def _moment(attributes: dict[str, str]) -> dict[str, Any]:
    unix, form = attributes.get("unix", ""), attributes.get("format", "")
    if not re.fullmatch(r"\d{1,12}", unix):
        raise MarkupError("Invalid Unix time specified in the tg-time tag")
    if not _TIME_FORMAT.match(form):
        raise MarkupError("Invalid date-time format specified in the tg-time tag")
    return {"unix_time": int(unix), **({"date_time_format": form} if form else {})}


def is_link(url: str) -> bool:
    """Whether Telegram would make a link of it: http, https and its own tg://."""
    return bool(_LINK.match(url))


Node = str | dict[str, Any]


def tree(rich: RichText) -> list[Node]:
    """Nested nodes for the page: plain strings, and ``{"tag": type, "children": [...], ...}``.

    Holds nothing that a browser would run: types come from a fixed list, links are checked.
    """
    return _nodes(rich.text.encode("utf-16-le"), 0, rich.units, list(rich.entities))


def _nodes(units: bytes, start: int, end: int, entities: list[Entity]) -> list[Node]:
    out: list[Node] = []
    at = start
    while entities:
        first = entities.pop(0)
        begin, stop = max(first.offset, at), min(first.end, end)
        if stop <= begin:
            continue
        inner = []
        while entities and entities[0].offset < stop:
            inner.append(entities.pop(0))
        out += _text(units, at, begin)
        node: dict[str, Any] = {"tag": first.type, **dict(first.extra)}
        node["children"] = _nodes(units, begin, stop, inner)
        out.append(node)
        at = stop
    return out + _text(units, at, end)


def _text(units: bytes, start: int, end: int) -> list[Node]:
    return [units[2 * start : 2 * end].decode("utf-16-le", errors="replace")] if end > start else []
