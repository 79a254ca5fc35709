"""What a conversation gets to see of the books, and which figures of an answer come from there.

``shrunk`` makes JSON of any view: small, without pictures, times as a person reads them. ``Figures`` holds every number
of what was seen (and of the question), each with its name; an answer's figures are looked for among them, up to
rounding. Figures that were worked out from others, however rightly, are not from the books and are named as such.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

MOST_BYTES = 6_000
"""Of one look's JSON: some 2,000 tokens."""

_MOST_ITEMS = (10, 5, 3, 1)  # of a list; the next where the whole is too long
_MOST_TEXT = 200
_MOST_DEPTH = 7


def shrunk(view: object, zone: ZoneInfo) -> dict[str, Any]:
    """A view as a JSON object of at most ``MOST_BYTES``; lists lose their tail, and say how long they were."""
    for most in _MOST_ITEMS:
        found = _plain(view, zone, most, _MOST_DEPTH)
        if len(json.dumps(found)) <= MOST_BYTES:
            return found if isinstance(found, dict) else {"items": found}
    return {"error": "that view is too large to be shown here"}


def _plain(value: Any, zone: ZoneInfo, most: int, depth: int) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(f"{value:.8g}") if math.isfinite(value) else None
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, str):
        return value if len(value) <= _MOST_TEXT else value[: _MOST_TEXT - 1] + "…"
    if isinstance(value, datetime):
        return value.astimezone(zone).strftime("%Y-%m-%d %H:%M")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return round(value.total_seconds() / 60)
    if depth == 0 or isinstance(value, bytes):
        return None
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        inner = {_name(key): _plain(each, zone, most, depth - 1) for key, each in value.items()}
        return {key: each for key, each in inner.items() if each is not None and each not in ("", [], {})}
    if isinstance(value, Iterable):
        everything = list(value)
        shown = [_plain(each, zone, most, depth - 1) for each in everything[:most]]
        left = len(everything) - len(shown)
        return shown if not left else {"count": len(everything), "first": shown}
    if hasattr(value, "item"):  # a number of numpy's
        return _plain(value.item(), zone, most, depth)
    return str(value)[:_MOST_TEXT]


def _name(key: object) -> str:
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)


# -- figures of an answer --

_GROUPED = r"\d{1,3}(?: \d{3})+(?!\d)(?:[.,]\d+)?"  # 1 234,5
_DIGITS = r"\d(?:[\d.,'’:/\u00a0\u202f]*\d)?"
_TOKEN = re.compile(rf"(?<![^\W_])(?<![^\W\d_][-_])([+\-−]?)[$€£]?\s?({_GROUPED}|{_DIGITS})")
_PERCENT = re.compile(r"\s?(?:%|percent|per cent|prozent|pct)", re.IGNORECASE)
_THOUSAND = re.compile(r"[kK](?!\w)")
_UNIT = re.compile(r"\s?(?:[R%$€£]|USDT?\b|dollars?|euros?)")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2})?")
_CALENDAR_DAYS = 31
_EXACT_BELOW = 10  # a bare digit has to stand in the books as it is: nearly every small one is near some figure


@dataclass(frozen=True, slots=True)
class Figure:
    """A number in an answer: ``text`` as it stands there from ``start`` to ``end``, and all ways to read it.

    ``start`` and ``end`` are of the digits alone, without sign and unit.
    """

    text: str
    start: int
    end: int
    readings: tuple[tuple[float, int], ...]  # value, decimals
    whole: tuple[int, ...]  # its runs of digits: of a time or a date
    sign: str
    percent: bool
    unit: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """A number that was seen, with the ``name`` it has there and the place of the look that showed it.

    Without a name, and of look -1: one in the question, within words, or part of a time.
    """

    look: int
    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Found:
    """A figure with where it comes from, read as it was meant."""

    figure: Figure
    seen: Seen
    value: float = 0.0
    decimals: int = -1


def rewritten(text: str, found: Iterable[Found]) -> str:
    """The text with each figure that was found as ``1,234.5``, however it was written: what shows it goes by that."""
    for each in sorted(found, key=lambda each: -each.figure.start):
        before = text[each.figure.start : each.figure.end]
        if each.decimals >= 0 and not before.isdigit():
            after = f"{each.value:,.{each.decimals}f}"
            text = text[: each.figure.start] + after + text[each.figure.end :]
    return text


def figures_in(text: str) -> Iterator[Figure]:
    """Every number of a text but those that are part of a name, such as TP1 or SMA 15's in ``SMA15``."""
    for found in _TOKEN.finditer(text):
        core, rest = found[2], text[found.end() :]
        percent, thousand = bool(_PERCENT.match(rest)), bool(_THOUSAND.match(rest))
        unit = percent or bool(_UNIT.match(rest)) or found[0].lstrip("+-−")[:1] in "$€£"
        readings = tuple(_readings(core, 3 if thousand else 0))
        whole = tuple(int(run) for run in re.findall(r"\d+", core) if len(run) < 10)
        shown = found[0].strip() + ("%" if percent else "k" if thousand else "")
        sign = found[1].replace("−", "-")
        yield Figure(shown, found.start(2), found.end(2), readings, whole, sign, percent, unit)


def _readings(core: str, shift: int) -> Iterator[tuple[float, int]]:
    """``1,234.5`` and ``1.234,5`` and ``1'234.5``; ``1,234`` is both a thousand and one and a bit."""
    bare = re.sub(r"['’ \u00a0\u202f]", "", core)
    if re.search(r"[:/]", bare):
        return
    marks = re.findall(r"[.,]", bare)
    last = max(bare.rfind("."), bare.rfind(","))
    if not marks:
        yield float(bare) * 10**shift, -shift
        return
    decimals = len(bare) - last - 1
    if len(marks) == 1 or len(set(marks)) == 2:
        yield float(re.sub(r"[.,]", "", bare[:last]) + "." + bare[last + 1 :]) * 10**shift, decimals - shift
    if len(set(marks)) == 1 and re.fullmatch(r"\d{1,3}(?:[.,]\d{3})+", bare):
        yield float(re.sub(r"[.,]", "", bare)) * 10**shift, -shift


class Figures:
    """All numbers that were seen, in the order of the looks; the question's own are those of look -1."""

    def __init__(self, question: str, results: Sequence[Mapping[str, Any]]) -> None:
        self._seen: list[Seen] = []
        self._calendar: set[int] = set()
        self._add_text(question)
        for place, result in enumerate(results):
            self._add(place, "", result)

    def source(self, figure: Figure) -> Found | None:
        """Where a figure comes from; None for one that was not seen. A time or date is ``Seen`` without a name."""
        fitting = [
            (abs(value - size), -seen.look, place, Found(figure, seen, value, decimals))
            for place, seen in enumerate(self._seen)
            for value, decimals in figure.readings
            if (size := _fit(figure, value, decimals, seen)) is not None
        ]
        if fitting:
            return min(fitting)[-1]
        calendar = not figure.unit and not figure.sign and figure.whole and self._is_calendar(figure)
        return Found(figure, Seen(-1, "", 0.0)) if calendar else None

    def _is_calendar(self, figure: Figure) -> bool:
        alone = len(figure.whole) == 1
        if alone and not (figure.whole[0] <= _CALENDAR_DAYS or 2000 <= figure.whole[0] < 2100):
            return False
        return all(part in self._calendar or part % 100 in self._calendar for part in figure.whole)

    def _add(self, look: int, name: str, value: Any) -> None:
        if isinstance(value, bool) or value is None:
            return
        if isinstance(value, int | float):
            self._number(look, name, float(value))
        elif isinstance(value, str):
            self._add_text(value)
        elif isinstance(value, Mapping):
            for key, each in value.items():
                self._add_text(str(key))
                self._add(look, f"{name} {key}".strip(), each)
        else:
            self._seen.append(Seen(look, f"{name} listed".strip(), float(len(value))))
            for each in value:
                self._add(look, name, each)

    def _number(self, look: int, name: str, value: float) -> None:
        self._seen.append(Seen(look, name, value))
        if "minutes" in name:
            self._seen += [Seen(look, name, value / 60), Seen(look, name, value / 1440)]
        elif name.endswith(("age", "seconds")):
            self._seen += [Seen(look, name, value / 60), Seen(look, name, value / 3600)]

    def _add_text(self, text: str) -> None:
        """Numbers within words are known, but no figures of a view: they have no name."""
        for moment in _TIME.findall(text):
            self._calendar |= {int(part) for part in re.findall(r"\d+", moment)}
        for figure in figures_in(_TIME.sub(" ", text)):
            for value, _ in figure.readings:
                self._seen.append(Seen(-1, "", value / 100 if figure.percent else value))
            if not figure.readings:
                self._calendar |= set(figure.whole)


def _fit(figure: Figure, value: float, decimals: int, seen: Seen) -> float | None:
    """The size of what was seen, in the figure's unit, where that rounds to the figure read so."""
    if figure.sign == "+" and seen.value < 0:
        return None
    size = abs(seen.value)
    if decimals == 0 and not figure.unit and value < _EXACT_BELOW:
        return size if size == value else None
    sizes = (size, size * 100) if figure.percent else (size,)
    return next((each for each in sizes if _near(value, each, decimals)), None)


def _near(said: float, size: float, decimals: int) -> bool:
    """Equal when rounded to the digits that were said; ``10,200`` may be rounded to its last digit that is not 0."""
    zeros = 0
    if decimals <= 0 and said >= 100:
        digits = f"{said:.0f}"
        zeros = min(len(digits) - len(digits.rstrip("0")), len(digits) - 2)
    half = 0.5 * 10.0 ** (-decimals if decimals > 0 else max(zeros, -decimals))
    return abs(said - size) <= half * (1 + 1e-9) + 1e-12
