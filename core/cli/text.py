"""What a person reads in a terminal: aligned tables, wrapped sentences, and a bar while it takes long."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

WIDTH = 100


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, foot: bool = False) -> list[str]:
    """The first column to the left, the others to the right; with ``foot`` the last row stands apart."""
    widths = [max(len(line[i]) for line in (headings, *rows)) for i in range(len(headings))]
    rule = "  ".join("-" * width for width in widths)

    def line(cells: Sequence[str]) -> str:
        first, *rest = zip(cells, widths, strict=True)
        return "  ".join((first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)))

    lines = [line(headings), rule, *map(line, rows)]
    return [*lines[:-1], rule, lines[-1]] if foot else lines


def wrapped(text: str, width: int = WIDTH) -> list[str]:
    """A sentence in lines of ``width`` columns."""
    return textwrap.wrap(text, width)


def number(value: float | None, form: str) -> str:
    """``form`` as in a format string; ``-`` where nothing is known."""
    return "-" if value is None else f"{value:{form}}"


def percent(share: float | None) -> str:
    return number(share, ".0%")


def between(low: float | None, high: float | None, form: str) -> str:
    """An interval as ``0.41..0.63``."""
    return "-" if low is None or high is None else f"{low:{form}}..{high:{form}}"


def bounded(value: float | None, low: float | None, high: float | None, form: str) -> str:
    """A figure with its interval behind it, as far as they are known."""
    shown = number(value, form)
    return shown if value is None or low is None or high is None else f"{shown} {between(low, high, form)}"


@contextmanager
def bar_of(name: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, as a function of (done, total)."""
    from tqdm import tqdm

    with tqdm(desc=name, unit=unit, disable=None, leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress
