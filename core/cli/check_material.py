"""What every check shares: its options, its candles, its progress bar and how it answers."""

from __future__ import annotations

import argparse
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from core import bootstrap
from core.cli import Context, say
from core.cli.options import add_days, add_pairs, add_range, check_range, positive_int
from core.cli.stored import warn_missing
from core.config import Settings
from core.domain.candles import DAY_MS, Candles, Pair, iso
from core.errors import DataError, UsageError

SHOWN = 10
"""Leaks or differences in a text answer; --json has them all."""


def common(parser: argparse.ArgumentParser, days: str = "the last N days (default: all that is stored)") -> None:
    """``--pairs``, ``--from``, ``--to`` and ``--days``; give the parsed ones to ``material_of``."""
    add_pairs(parser)
    add_range(parser)
    add_days(parser, days)


def count(parser: argparse.ArgumentParser, name: str, default: int, help_text: str) -> None:
    """An option for a number of things, at least 1."""
    parser.add_argument(name, type=positive_int, default=default, metavar="N", help=f"{help_text} (default {default})")


def add_seed(parser: argparse.ArgumentParser) -> None:
    """``--seed``; read it with ``seed_of``."""
    parser.add_argument("--seed", type=int, default=None, metavar="N", help="of what is drawn (default: ml.seed)")


def seed_of(args: argparse.Namespace, context: Context) -> int:
    """The seed named on the command line, else that of the settings. Raises UsageError for a negative one."""
    seed = context.settings.ml.seed if args.seed is None else int(args.seed)
    if seed < 0:
        raise UsageError(f"--seed {seed} must not be negative")
    return seed


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
    args: argparse.Namespace, context: Context, *, default_days: int | None = None, with_btc: bool = False
) -> Material:
    """Candles of the pairs that have some in the range. Raises UsageError and DataError."""
    from core.services.backtest import stored_candles

    check_range(args)
    if args.days is not None and args.from_ms is not None:
        raise UsageError("--days and --from both say where to begin; give one of them")
    pairs = context.pairs(args.pairs)
    settings = context.settings.with_pairs(pairs)
    store, timeframe = bootstrap.candle_store(context.data_dir), settings.frame
    found = stored_candles(store, pairs, timeframe, args.from_ms, args.to_ms)
    if not found:
        where = "stored" if args.from_ms is None and args.to_ms is None else "in this range"
        raise DataError(
            f"no {timeframe.name} candles of {', '.join(map(str, pairs))} {where}; "
            "get them with `julaba fetch` or `julaba candles import`"
        )
    end = args.to_ms or max(int(c.time[-1]) + timeframe.ms for c in found.values())
    days = args.days if args.days is not None or args.from_ms is not None else default_days
    if args.from_ms is not None:
        start = args.from_ms
    elif days is not None:
        start = end - days * DAY_MS
    else:
        start = min(int(c.time[0]) for c in found.values())
    candles = {pair: c for pair, c in found.items() if len(c.between(start, end))}
    span = f"from {iso(start)} to {iso(end)}"
    if not candles:
        raise DataError(f"no {timeframe.name} candles {span}; take another range")
    words = f"has no {timeframe.name} candles {span}"
    warn_missing([p for p in pairs if p not in candles], store.pairs(timeframe), settings.exchange.renames, words)
    settings = settings.with_pairs(candles)
    if with_btc and settings.btc not in candles:
        btc = stored_candles(store, (settings.btc,), timeframe, start, end)
        if not btc:
            say(f"warning: no {settings.btc} candles: the BTC check will say that it cannot tell")
        candles |= btc
    return Material(settings, candles, start, end)


def answer(context: Context, material: Material, data: Mapping[str, Any], verdict: str, text: str, *, ok: bool) -> int:
    """Prints the result with its range and verdict; gives the exit code."""
    span = {"from": iso(material.start), "to": iso(material.end)}
    context.result(
        _plain({"ok": ok, "verdict": verdict, **span, **data}),
        f"{span['from']} to {span['to']}\n\n{text}\n\n{wrapped(verdict)}",
    )
    return 0 if ok else 1


def _plain(value: Any) -> Any:
    """For JSON: what is not a finite number is null."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def bar_of(name: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, as a function of (done, total)."""
    with tqdm(desc=name, unit=unit, disable=None, leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, the others to the right."""
    widths = [max(len(line[i]) for line in (headings, *rows)) for i in range(len(headings))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = zip(cells, widths, strict=True)
        return "  ".join((first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)))

    return [line(headings), "  ".join("-" * width for width in widths), *map(line, rows)]


def wrapped(text: str) -> str:
    """A verdict in lines of 100 columns."""
    return "\n".join(textwrap.wrap(text, 100))
