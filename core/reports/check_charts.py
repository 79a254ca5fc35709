"""Monte Carlo as one picture for a phone: fans of equity paths, and where they end and how deep they fall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.domain.candles import FloatArray
from core.reports.canvas import (
    DASHED,
    DOWN,
    ENTRY,
    FAINT,
    FAST,
    GRID,
    NORMAL,
    SLOW,
    SMALL,
    TEXT,
    UP,
    Box,
    empty_figure,
    panel,
    png,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLOCK, _HEAD = 5.1, 0.9  # inches: a block, the title above them
_LEFT, _RIGHT = 0.035, 0.865
_BINS = (8, 36)  # of a histogram, at least and at most
_NARROW = 1.0  # per cent: what lies within so little is not spread over a whole axis


@dataclass(frozen=True, eq=False)
class Chance:
    """One block of the picture. Equity as a multiple of the start, falls as shares.

    ``fan`` (5, n): quantiles 5, 25, 50, 75, 95% of equity over time; ``final`` and ``drawdown`` (trials,);
    ``real_final`` and ``real_drawdown`` how it was in fact.
    """

    title: str
    note: str
    along: str
    fan: FloatArray
    final: FloatArray
    drawdown: FloatArray
    real_final: float
    real_drawdown: float


def montecarlo_chart(title: str, blocks: Sequence[Chance], limit: float) -> bytes:
    """The blocks one above the other, as a PNG 1080 points wide; ``limit`` is the drawdown that pauses entries.

    Raises ValueError without blocks.
    """
    if not blocks:
        raise ValueError("there is nothing to draw")
    height = _HEAD + _BLOCK * len(blocks)
    figure = empty_figure(title, height, 1 - 0.45 / height)
    for number, block in enumerate(blocks):
        _draw(figure, block, limit, height - _HEAD - number * _BLOCK, height)
    return png(figure)


def _draw(figure: Figure, block: Chance, limit: float, top: float, height: float) -> None:
    """One block whose upper edge is ``top`` inches above the bottom."""

    def box(left: float, right: float, upper: float, lower: float) -> Box:
        return left, (top - lower) / height, right - left, (lower - upper) / height

    figure.text(_LEFT, (top - 0.12) / height, block.title, color=TEXT, fontsize=NORMAL, va="center")
    figure.text(_RIGHT + 0.025, (top - 2.91) / height, block.along, color=FAINT, fontsize=SMALL, va="center")
    figure.text(_LEFT, (top - 0.40) / height, block.note, color=FAINT, fontsize=SMALL, va="center")
    _fan(_axes(figure, box(_LEFT, _RIGHT, 0.6, 2.75)), block)
    middle = (_LEFT + 0.97) / 2
    ends = _axes(figure, box(_LEFT, middle - 0.015, 3.42, 4.42))
    falls = _axes(figure, box(middle + 0.015, 0.97, 3.42, 4.42))
    final = (block.final - 1) * 100
    _histogram(ends, final, (block.real_final - 1) * 100, 0.0, UP, "start", good_above=True)
    _histogram(falls, block.drawdown * 100, block.real_drawdown * 100, limit * 100, SLOW, "pause", good_above=False)
    share = float((block.final < 1).mean())
    hit = float((block.drawdown >= limit).mean())
    for axes, left, text in (
        (ends, _LEFT, f"at the end, %: below the start in {share:.0%}"),
        (falls, middle + 0.015, f"deepest fall, %: the pause in {hit:.0%}"),
    ):
        axes.set_yticks([])
        figure.text(left, (top - 3.25) / height, text, color=FAINT, fontsize=SMALL, va="center")


def _fan(axes: Axes, block: Chance) -> None:
    from matplotlib.ticker import MaxNLocator

    percent = (block.fan - 1) * 100
    x = np.arange(percent.shape[1])
    color = UP if percent[2, -1] >= 0 else DOWN
    for lower, upper, alpha in ((0, 4, 0.16), (1, 3, 0.28)):
        axes.fill_between(x, percent[lower], percent[upper], color=color, alpha=alpha, linewidth=0)
    axes.plot(x, percent[2], color=color, linewidth=2.4)
    axes.axhline(0, color=FAINT, linewidth=1, linestyle=DASHED)
    axes.set_xlim(0, max(1, len(x) - 1))
    room = float(percent.max() - percent.min() or 1) * 0.06
    bottom, ceiling = float(percent.min()) - room, float(percent.max()) + room
    axes.set_ylim(bottom, ceiling)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    least, place = 0.1, -1.0  # of the axes' height: a line of text
    for row, name in enumerate(("5%", "25%", "half", "75%", "95%")):
        place = max(float(percent[row, -1] - bottom) / (ceiling - bottom), place + least)
        axes.text(
            1.012,
            place,
            f"{name} {_change(percent[row, -1])}",
            transform=axes.transAxes,
            color=TEXT if row == 2 else FAINT,
            fontsize=SMALL,
            va="center",
        )


def _change(percent: float) -> str:
    text = f"{percent:+.0f}%" if abs(percent) >= 9.95 else f"{percent:+.1f}%"
    return text.replace("-", "−")  # as on the axes


def _histogram(
    axes: Axes, values: FloatArray, real: float, mark: float, color: str, mark_name: str, *, good_above: bool
) -> None:
    """Counts with the good side in ``color``, a line where it was in fact and one at the mark."""
    from matplotlib.ticker import MaxNLocator

    low, high = min(float(values.min()), real), max(float(values.max()), real)
    step = max(high - low, _NARROW) / int(np.clip(2 * len(values) ** 0.5, *_BINS))
    # Bars begin and end at the mark, so that each lies on one side of it.
    edges = mark + step * np.arange(np.floor((low - mark) / step), np.ceil((high - mark) / step) + 1.5)
    counts, edges = np.histogram(values, edges)
    centres, width = (edges[:-1] + edges[1:]) / 2, np.diff(edges) * 0.86
    bad = centres < mark if good_above else centres >= mark
    axes.bar(centres, counts, width=width, color=[DOWN if b else color for b in bad], alpha=0.75, linewidth=0)
    room = float(edges[-1] - edges[0]) * 0.04
    room = max(room, (_NARROW - float(edges[-1] - edges[0])) / 2)
    axes.set_xlim(float(edges[0]) - room, float(edges[-1]) + room)
    axes.set_ylim(0, float(counts.max()) * 1.42)
    left, right = axes.get_xlim()
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=right - left > 5))
    marks = sorted(((mark, mark_name, FAST, (0, (4, 3)), 0.86), (real, "in fact", ENTRY, "-", 0.97)))
    for number, (at, name, tone, line, level) in enumerate(marks):
        if not left < at < right:
            continue
        axes.axvline(at, color=tone, linewidth=1.8, linestyle=line)
        # The names stand outside of the two lines, where the edge leaves them room.
        place = (at - left) / (right - left)
        to_the_left = place > 0.2 if number == 0 else place > 0.8
        axes.annotate(
            name,
            (at, level),
            xycoords=("data", "axes fraction"),
            xytext=(-5 if to_the_left else 5, 0),
            textcoords="offset points",
            color=tone,
            fontsize=SMALL,
            ha="right" if to_the_left else "left",
            va="top",
        )


def _axes(figure: Figure, box: Box) -> Axes:
    axes = panel(figure, box, pad=5)
    axes.grid(color=GRID, linewidth=0.8, axis="x")
    axes.set_axisbelow(True)
    return axes
