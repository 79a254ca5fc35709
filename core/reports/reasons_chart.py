"""What moved one prediction, as bars for a phone: those that speak for a win to the right, against it to the left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.ml.words import Line, share_words, told
from core.reports.canvas import DOWN, ENTRY, FAINT, GRID, NORMAL, SMALL, TEXT, UP, empty_figure, panel, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BARS = 10
_ROW, _HEAD, _FOOT = 0.46, 1.35, 0.5  # inches: a bar, what stands above them, what stands below
_LABELS = 0.46  # the labels' share of the width
_LONGEST_LABEL = 43  # letters that fit into it


def reasons_chart(title: str, lines: Sequence[Line], start: float, probability: float) -> bytes:
    """A bar for each line's share of the log-odds, the strongest first, as a PNG 1080 points wide.

    ``lines`` as ``core.ml.words.lines`` gives them; the smaller ones are put together into a last bar, so that the bars
    still make up the whole way from ``start`` (the probability before any feature has spoken) to ``probability``.
    """
    bars = _bars(lines)
    height = _HEAD + _FOOT + _ROW * max(1, len(bars))
    figure = empty_figure(title, height, 1 - 0.42 / height)
    words = f"starts at {start:.0%}, ends at {probability:.0%}; what made the difference:"
    figure.text(0.035, 1 - 0.85 / height, words, color=FAINT, fontsize=NORMAL, va="center")
    axes = panel(figure, (_LABELS, _FOOT / height, 0.965 - _LABELS, 1 - (_HEAD + _FOOT - 0.15) / height))
    _draw(axes, bars)
    note = "shares of the log-odds · green speaks for a win, red against"
    figure.text(0.965, 0.2 / height, note, color=FAINT, fontsize=SMALL, va="center", ha="right")
    return png(figure)


def _bars(lines: Sequence[Line]) -> list[tuple[str, float]]:
    shown, rest = told(lines, MOST_BARS - 1)
    bars = [(line.label, line.share) for line in shown]
    if len(rest) == 1:
        return [*bars, (rest[0].label, rest[0].share)]
    return [*bars, (f"{len(rest)} smaller ones together", math.fsum(line.share for line in rest))] if rest else bars


def _draw(axes: Axes, bars: Sequence[tuple[str, float]]) -> None:
    places = range(len(bars))
    shares = [share for _, share in bars]
    axes.barh(places, shares, height=0.62, color=[UP if s >= 0 else DOWN for s in shares], zorder=3)
    axes.axvline(0, color=ENTRY, linewidth=1.2, zorder=4)
    left, right = min(0.0, *shares, 0.0), max(0.0, *shares, 0.0)
    room = 0.2 * (right - left or 1.0)  # for the figures beyond the longest bar on either side
    low, high = left - (room if left < 0 else room / 4), right + room
    axes.set_xlim(low, high)
    axes.set_ylim(max(0, len(bars) - 1) + 0.6, -0.6)
    for place, share in enumerate(shares):
        beyond = 0.02 * (high - low) * (1 if share >= 0 else -1)
        side = "left" if share >= 0 else "right"
        axes.text(share + beyond, place, share_words(share), color=TEXT, fontsize=SMALL, va="center", ha=side)
    axes.set_yticks(list(places), [_short(label) for label, _ in bars], parse_math=False)
    for label in axes.get_yticklabels():
        label.set_color(TEXT)
        label.set_fontsize(SMALL)
    axes.set_xticks([])
    axes.grid(axis="y", color=GRID, linewidth=0.6, zorder=0)


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…"
