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


@contextmanager
def bar_of(name: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, as a function of (done, total)."""
    from tqdm import tqdm

    with tqdm(desc=name, unit=unit, disable=None, leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress
