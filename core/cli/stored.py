"""Warnings about configured pairs that have no candles, and stored ones that nobody asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core.cli import say
from core.domain.candles import Pair


def warn_missing(
    missing: Iterable[Pair], stored: Iterable[Pair], renames: Mapping[str, str], words: str
) -> tuple[Pair, ...]:
    """A line for each pair left out, with its former name where that one is stored; the former names said.

    ``words`` such as "has no 15m candles stored"; ``renames`` as in ``exchange.renames``, old name to new.
    """
    there, said = set(stored), []
    for pair in missing:
        former = [Pair.parse(old) for old, new in renames.items() if Pair.parse(new) == pair]
        hints = [old for old in former if old in there]
        hint = "".join(f"; {old} is stored, its former name: take it with --pairs {old}" for old in hints)
        say(f"warning: {pair} {words} and is left out{hint}")
        said += hints
    return tuple(said)
