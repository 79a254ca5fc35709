"""Numbers as a person writes them: all cards are made with ``1,234.56``, and here their separators are exchanged.

Only words that are a number and nothing else are touched: a sign, a currency, a unit and punctuation may stand around
it, and several may be joined (``17.48→17.61``, ``1.5R/2.5R``). An id, a version, a date, a time, an address or a file's
name holds something else and stays as it is; so does what is there to be typed or copied: a command with what follows
it, a setting's value, anything in backticks. Each separator gives way to one character, so lengths stay the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.services.people import Numbers

# A table made for one width stays in line, and no line is broken within a number.
_NO_BREAK_SPACE = "\u00a0"
_EXCHANGED: dict[Numbers, dict[int, str]] = {
    "en": {},
    "de": str.maketrans({",": ".", ".": ","}),
    "fr": str.maketrans({",": _NO_BREAK_SPACE, ".": ","}),
}

_NUMBER = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]+\.[0-9]+")
_ONE = r"[-+−±~≈<>≤≥=$€×→]*(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?:e[+-]?[0-9]{1,3})?"
_UNIT = r"(?:%|‰|R|USDT|USD|s|ms|m|min|h|d|x|×|kB|MB|GB|k|M|pp)?"
_NUMERIC = re.compile(rf"[(\[\"'«]*{_ONE}{_UNIT}(?:(?:[-–—→…/·±]|\.\.\.?|\+-){_ONE}{_UNIT})*[)\]\"'».,;:!?…]*")
_WORD = re.compile(r"[^ \n]+")
_COMMAND = re.compile(r"[(\[\"'«]*/[a-z][a-z0-9_]*")
_MOST_ARGUMENTS = 4
_ENDS = (".", ",", ";", ":", ")", "]", "…", "!", "?")
# A number behind these is a version, or is to be copied as it is: ``Python 3.11``, ``ml.threshold: 0.7``.
_BEFORE_LITERALS = re.compile(r"(?:[Vv]ersion|Python|SQLite|JULABA\w*=?|--?[a-z][a-z-]*=?|[a-z]+[._][a-z_.]+[:=])")


def numbered(line: str, numbers: Numbers) -> str:
    """The line with its numbers in that style; the line itself for ``en``. Give it each line once: it is no undoing."""
    exchanged = _EXCHANGED[numbers]
    if not exchanged or not any(mark in line for mark in ".,"):
        return line
    pieces: list[str] = []
    end = 0
    for word in _free_words(line):
        if _NUMERIC.fullmatch(word[0]):
            pieces += [line[end : word.start()], _NUMBER.sub(lambda n: n[0].translate(exchanged), word[0])]
            end = word.end()
    return "".join([*pieces, line[end:]])


def _free_words(line: str) -> Iterator[re.Match[str]]:
    """The words that belong to no command and to nothing else that is to be left as it is."""
    words = list(_WORD.finditer(line))
    quoted, arguments, before = False, 0, ""
    for place, word in enumerate(words):
        said = word[0]
        was_quoted = quoted
        if said.count("`") % 2:
            quoted = not quoted
        if _COMMAND.match(said):
            arguments = 0 if said.endswith(_ENDS) else _MOST_ARGUMENTS
        elif arguments and _is_argument(said, words[place + 1 : place + 2]):
            arguments = 0 if said.endswith(_ENDS) else arguments - 1
        else:
            arguments = 0
            if not (was_quoted or quoted or _BEFORE_LITERALS.fullmatch(before)):
                yield word
        before = said


def _is_argument(word: str, following: list[re.Match[str]]) -> bool:
    """What may stand behind a command: a number, a name in capitals, or a small word before such a one (``sl 2.5``)."""
    if not word[0].isalnum():
        return False
    return not word[0].islower() or bool(following and following[0][0][:1].isdigit())
