"""What every check shares: its options, its candles and how it answers."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from core.cli import Context
from core.cli.options import add_last_days, add_pairs, add_range, check_range, whole_number
from core.cli.stored import load_range, with_btc
from core.cli.text import wrapped
from core.config import Settings
from core.domain.candles import Candles, Pair, iso

SHOWN = 10
"""Leaks or differences in a text answer; --json has them all."""
_MOST = 100_000  # of anything a check is told to make: more costs memory and hours and tells nothing new


def common(parser: argparse.ArgumentParser, days: str = "all that is stored") -> None:
    """``--pairs``, ``--from``, ``--to`` and ``--days``; give the parsed ones to ``material_of``."""
    add_pairs(parser)
    add_range(parser)
    add_last_days(parser, days)


def count(parser: argparse.ArgumentParser, name: str, default: int, help_text: str) -> None:
    """An option for a number of things, from 1 to ``_MOST``."""
    kind = partial(whole_number, most=_MOST)
    parser.add_argument(name, type=kind, default=default, metavar="N", help=f"{help_text} (default {default})")


@dataclass(frozen=True)
class Material:
    """What a check works on: all candles up to ``end`` (earlier ones warm up), epoch ms."""

    settings: Settings
    candles: Mapping[Pair, Candles]
    start: int
    end: int

    @property
    def range(self) -> dict[Pair, Candles]:
        """The candles in ``[start, end)`` only."""
        return {pair: c.between(self.start, self.end) for pair, c in self.candles.items()}


def material_of(
    args: argparse.Namespace, context: Context, *, default_days: int | None = None, btc: bool = False
) -> Material:
    """Candles of the pairs that have some in the range. Raises UsageError and DataError."""
    check_range(args)
    pairs = context.pairs(args.pairs)
    stored = load_range(args, context, pairs, context.settings.frame, default_days=default_days)
    settings = context.settings.with_pairs(stored.candles)
    candles = with_btc(stored, context, settings) if btc else stored.candles
    return Material(settings, candles, stored.start, stored.end)


def answer(context: Context, material: Material, data: Mapping[str, Any], verdict: str, text: str, *, ok: bool) -> int:
    """Prints the result with its range and verdict; gives the exit code."""
    span = {"from": iso(material.start), "to": iso(material.end)}
    context.result(
        plain({"ok": ok, "verdict": verdict, **span, **data}),
        f"{span['from']} to {span['to']}\n\n{text}\n\n{paragraph(verdict)}",
    )
    return 0 if ok else 1


def paragraph(text: str) -> str:
    """A sentence in as many lines as it takes."""
    return "\n".join(wrapped(text))


def plain(value: Any) -> Any:
    """For JSON: what is not a finite number is null."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
