"""What all pictures share: their colours and letters, an empty figure, a panel on it, and the PNG.

matplotlib is loaded when the first picture is drawn, and used through its objects: pyplot keeps global state, and
pictures are drawn in threads.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GROUND, PANEL, GRID, TEXT, FAINT = "#0e1218", "#141a22", "#222b36", "#e8edf3", "#8b98a8"
UP, DOWN, FAST, SLOW, ENTRY = "#2fbf8a", "#f0616d", "#f5b942", "#5aa9f7", "#c9d3df"
SMALL, NORMAL, LARGE = 12, 14, 18

DASHED = (0, (4, 4))
"""A line that is no measurement: zero, a median, a limit."""

Box = tuple[float, float, float, float]
"""Left, bottom, width and height as shares of the figure."""

WIDTH = 9.0
"""Inches at 120 dots: 1080 points across, a phone's width."""

_DPI = 120


def empty_figure(title: str, height: float, title_at: float) -> Figure:
    """A dark figure ``height`` inches high with its title at ``title_at``, a share of the height."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=_DPI, facecolor=GROUND)
    FigureCanvasAgg(figure)
    # A dollar sign would begin a formula.
    figure.text(0.035, title_at, title, color=TEXT, fontsize=LARGE, fontweight="bold", va="center", parse_math=False)
    return figure


def panel(figure: Figure, box: Box, pad: float = 6) -> Axes:
    """Axes without a frame; ``pad`` points between them and their labels."""
    axes = figure.add_axes(box)
    axes.set_facecolor(PANEL)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(colors=FAINT, labelsize=SMALL, length=0, pad=pad)
    return axes


def row_panel(figure: Figure, box: Box, rows: int) -> Axes:
    """A panel of ``rows`` lines, row 0 on top at height 0, with a thin line between them."""
    axes = panel(figure, box)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks([])
    for row in range(1, rows):
        axes.axhline(row - 0.5, color=GRID, linewidth=0.8)
    return axes


def png(figure: Figure) -> bytes:
    """The same picture gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor=GROUND, metadata={"Software": None})
    return buffer.getvalue()
