"""A sweep as two heat maps side by side for a phone: in-sample and out-of-sample, a PNG of 1080 x 1080 points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.domain.candles import FloatArray, IntArray
from core.reports.canvas import DOWN, ENTRY, FAINT, GROUND, NORMAL, SMALL, TEXT, UP, empty_figure, panel, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEW = 20  # trades: below that a cell says how many
_LEFT, _RIGHT, _BETWEEN = 0.105, 0.98, 0.025  # more to the left where the rows' names are long
_LETTER = 0.0108  # a row's name, per letter
_BOTTOM, _HEIGHT = 0.215, 0.61


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Net R per trade over two settings, all others pooled; (rows, columns) each, NaN where nothing was traded.

    ``x`` names the columns and ``y`` the rows, the first row is the lowest. ``trades`` are counts.
    """

    x_name: str
    y_name: str
    x: tuple[str, ...]
    y: tuple[str, ...]
    in_sample: FloatArray
    out_of_sample: FloatArray
    in_sample_trades: IntArray
    out_of_sample_trades: IntArray


def heat_chart(heat: HeatMap, title: str, notes: tuple[str, ...] = ()) -> bytes:
    """Both maps on one colour scale; the best cell in-sample is framed in both, to see where it went. Gives a PNG.

    ``notes`` are lines below. Raises ValueError where nothing was traded in-sample.
    """
    if not np.isfinite(heat.in_sample).any():
        raise ValueError("nothing was traded in-sample: there is no map to draw")
    figure = empty_figure(title, 9.0, 0.957)
    few = min(t[t > 0].min(initial=_FEW) for t in (heat.in_sample_trades, heat.out_of_sample_trades)) < _FEW
    words = "net R per trade" + (" (and of how many, where few)" if few else "") + "; framed: the best cell in-sample"
    figure.text(0.035, 0.917, words, color=FAINT, fontsize=NORMAL, va="center")
    reach = float(np.nanmax(np.abs(np.concatenate((heat.in_sample, heat.out_of_sample), axis=None)))) or 1.0
    best = np.unravel_index(int(np.nanargmax(heat.in_sample)), heat.in_sample.shape)
    sides = (
        ("in-sample", heat.in_sample, heat.in_sample_trades),
        ("out-of-sample", heat.out_of_sample, heat.out_of_sample_trades),
    )
    left = max(_LEFT, 0.045 + _LETTER * max(len(name) for name in heat.y))
    width = (_RIGHT - left - _BETWEEN) / 2
    for index, (name, values, trades) in enumerate(sides):
        axes = panel(figure, (left + index * (width + _BETWEEN), _BOTTOM, width, _HEIGHT))
        _draw(axes, values, trades, reach, (int(best[0]), int(best[1])))
        _ticks(axes, heat, with_rows=index == 0)
        axes.set_title(f"{name}  ·  {values_text(values, trades)}", color=TEXT, fontsize=NORMAL, pad=10, loc="left")
    figure.text(left + width + _BETWEEN / 2, 0.148, heat.x_name, color=FAINT, fontsize=NORMAL, ha="center")
    figure.text(
        0.022, _BOTTOM + _HEIGHT / 2, heat.y_name, color=FAINT, fontsize=NORMAL, rotation=90, va="center", ha="center"
    )
    for index, note in enumerate(notes):
        figure.text(0.035, 0.1 - 0.036 * index, note, color=TEXT if not index else FAINT, fontsize=NORMAL, va="center")
    return png(figure)


def values_text(values: FloatArray, trades: IntArray) -> str:
    """The mean over all trades of a map, such as ``-0.12 R``."""
    total = int(trades.sum())
    return f"mean {float(np.nansum(values * trades)) / total:+.2f} R" if total else "no trades"


def _draw(axes: Axes, values: FloatArray, trades: IntArray, reach: float, best: tuple[int, int]) -> None:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    colors = LinearSegmentedColormap.from_list("result", [DOWN, "#2a2f38", UP]).with_extremes(bad=GROUND)
    axes.imshow(values, cmap=colors, vmin=-reach, vmax=reach, aspect="auto", origin="lower", interpolation="nearest")
    rows, columns = values.shape
    if columns <= 7 and rows <= 16:
        size = NORMAL if columns <= 5 and rows <= 10 else SMALL - 1
        for row, column in np.argwhere(np.isfinite(values)):
            many = trades[row, column] >= _FEW
            text = f"{values[row, column]:+.2f}" + ("" if many else f"\nof {trades[row, column]}")
            # A bright cell swallows pale letters, so few trades are told by their number and smaller letters.
            axes.text(column, row, text, color=TEXT, fontsize=size if many else SMALL - 2, ha="center", va="center")
    frame = Rectangle((best[1] - 0.5, best[0] - 0.5), 1, 1, fill=False, edgecolor=ENTRY, linewidth=3, zorder=5)
    frame.set_clip_on(False)
    axes.add_patch(frame)


def _ticks(axes: Axes, heat: HeatMap, *, with_rows: bool) -> None:
    every = -(-len(heat.x) // 7)
    columns = range(0, len(heat.x), every)
    axes.set_xticks(list(columns), [heat.x[index] for index in columns])
    if with_rows:
        every = -(-len(heat.y) // 16)
        rows = range(0, len(heat.y), every)
        axes.set_yticks(list(rows), [heat.y[index] for index in rows])
    else:
        axes.set_yticks([])
