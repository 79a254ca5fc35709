"""What the layers are worth, and whether Gemini's confidence holds, as pictures for a phone: PNGs 1080 points wide."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from core.reports.canvas import (
    DASHED,
    DOWN,
    ENTRY,
    FAINT,
    GRID,
    NORMAL,
    PANEL,
    SLOW,
    SMALL,
    TEXT,
    UP,
    Box,
    empty_figure,
    panel,
    png,
    row_panel,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from core.ml.scoreboard import Score, Scoreboard
    from core.ml.worth import Figures, LayerReport, LayerWorth

_ROW = 1.05  # inches a layer takes
_HEAD, _FOOT = 1.35, 1.55
_FAR = 1.5  # R: an interval that reaches further is cut off there
_COLORS = {"helps": UP, "costs": DOWN}


def layers_chart(report: LayerReport) -> bytes:
    """Each layer a row: mean net R a signal with it less without it, with its 95% interval; what it changes beside it.

    Gives a PNG. Raises ValueError before the first look, when there is nothing to draw.
    """
    if report.look is None:
        raise ValueError("there is no look to draw yet")
    rows = report.layers
    height = _HEAD + _ROW * len(rows) + _FOOT
    figure = empty_figure("What each layer is worth", height, 1 - 0.36 / height)
    part = f"; figures of the first {report.look.n:,}" if report.look.n < report.outcomes else ""
    _say(figure, 1 - 0.76 / height, f"{report.outcomes:,} closed signals, {report.trades:,} of them trades{part}")
    box = (0.40, _FOOT / height, 0.56, _ROW * len(rows) / height)
    axes = row_panel(figure, box, len(rows))
    low, high = _reach(rows)
    axes.set_xlim(low, high)
    axes.axvline(0, color=FAINT, linewidth=1.2, linestyle=DASHED)
    for row, layer in enumerate(rows):
        _forest(axes, layer, row, low, high)
        _label(figure, layer, box[1] + box[3] * (1 - (row + 0.5) / len(rows)))
    _axis_words(figure, box, height)
    words = "\n".join(textwrap.wrap(report.conclusion, 88))
    figure.text(0.035, 0.62 / height, words, color=TEXT, fontsize=NORMAL - 1, va="center", linespacing=1.35)
    return png(figure)


def _say(figure: Figure, height: float, words: str) -> None:
    figure.text(0.035, height, words, color=FAINT, fontsize=NORMAL, va="center", parse_math=False)


def _reach(rows: tuple[LayerWorth, ...]) -> tuple[float, float]:
    found = [v for layer in rows for v in (layer.difference, layer.low, layer.high) if v is not None] + [0.0]
    far = min(max(abs(v) for v in found), _FAR) or 0.1
    return -far * 1.08, far * 1.08


def _forest(axes: Axes, layer: LayerWorth, row: int, left: float, right: float) -> None:
    if layer.difference is None:
        _words(axes, (left + right) / 2, row, layer.verdict)
        return
    color = _COLORS.get(layer.verdict, SLOW)
    if layer.low is not None and layer.high is not None:
        axes.plot([layer.low, layer.high], [row - 0.06] * 2, color=color, linewidth=2.6, alpha=0.8)
    at = min(max(layer.difference, left * 0.97), right * 0.97)
    axes.plot(at, row - 0.06, "o", color=color, markersize=11, zorder=4)
    words = f"{layer.difference:+.2f}R" + (
        " (too little for an interval)" if layer.low is None else f"  {layer.low:+.2f} to {layer.high:+.2f}"
    )
    _words(axes, (left + right) / 2, row + 0.27, words)


def _words(axes: Axes, x: float, y: float, words: str) -> None:
    behind = {"facecolor": PANEL, "edgecolor": "none", "pad": 2}  # so that the line of 0 does not run through it
    axes.text(x, y, words, color=FAINT, fontsize=SMALL, ha="center", va="center", bbox=behind)


def _label(figure: Figure, layer: LayerWorth, height: float) -> None:
    inch = 1 / figure.get_figheight()
    figure.text(0.035, height + 0.22 * inch, layer.words, color=TEXT, fontsize=NORMAL, va="center")
    changed = f"changes {layer.apart:,} of {layer.asked:,}" if layer.asked else "never asked"
    figure.text(0.035, height - 0.03 * inch, changed, color=FAINT, fontsize=SMALL, va="center")
    figure.text(
        0.035, height - 0.27 * inch, _totals(layer.with_it, layer.without), color=FAINT, fontsize=SMALL, va="center"
    )
    if layer.verdict in _COLORS:
        figure.text(
            0.355, height + 0.22 * inch, layer.verdict, color=_COLORS[layer.verdict], fontsize=SMALL,
            fontweight="bold", va="center", ha="right",
        )  # fmt: skip


def _totals(with_it: Figures | None, without: Figures | None) -> str:
    if with_it is None or without is None or not without.n:
        return ""
    return f"{with_it.total:+.1f}R with, {without.total:+.1f}R without"


def _axis_words(figure: Figure, box: Box, height: float) -> None:
    top = box[1] + box[3] + 0.16 / height
    figure.text(box[0], top, "costs", color=DOWN, fontsize=SMALL, ha="left", va="center")
    figure.text(box[0] + box[2], top, "helps", color=UP, fontsize=SMALL, ha="right", va="center")
    figure.text(
        box[0] + box[2] / 2, top, "net R a signal, with less without", color=TEXT, fontsize=SMALL, ha="center",
        va="center",
    )  # fmt: skip


def calibration_chart(board: Scoreboard) -> bytes:
    """What Gemini said against what won, a point per bucket of its confidence with its 95% interval; the counts below.

    Gives a PNG. Raises ValueError before the first look, when there is nothing to draw.
    """
    score = board.score
    if score is None:
        raise ValueError("there is no look to draw yet")
    height = 8.6
    figure = empty_figure("Does Gemini's confidence hold?", height, 1 - 0.36 / height)
    _say(figure, 1 - 0.76 / height, f"{score.look.n:,} closed opinions; on the line it means what it says")
    axes = panel(figure, (0.10, 0.285, 0.86, 0.575))
    _calibration(axes, score)
    _counts(panel(figure, (0.10, 0.135, 0.86, 0.085)), score)
    figure.text(0.53, 0.243, "said: likely to end in profit", color=FAINT, fontsize=SMALL, ha="center", va="center")
    figure.text(0.035, 0.886, "won", color=FAINT, fontsize=SMALL, va="center")
    words = "\n".join(textwrap.wrap(board.conclusion, 88))
    figure.text(0.035, 0.055, words, color=TEXT, fontsize=NORMAL - 1, va="center", linespacing=1.35)
    return png(figure)


def _calibration(axes: Axes, score: Score) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set_xticks(ticks, [f"{t:.0%}" for t in ticks])
    axes.set_yticks(ticks, [f"{t:.0%}" for t in ticks])
    axes.grid(color=GRID, linewidth=0.8)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.4, linestyle=DASHED)
    axes.axhline(score.base, color=ENTRY, linewidth=1.2, alpha=0.7)
    axes.text(0.012, score.base + 0.018, f"base rate {score.base:.0%}", color=ENTRY, fontsize=SMALL, va="bottom")
    for bucket in score.buckets:
        if bucket.won_low is not None and bucket.won_high is not None:
            axes.plot([bucket.predicted] * 2, [bucket.won_low, bucket.won_high], color=SLOW, linewidth=2.6, alpha=0.8)
        axes.plot(bucket.predicted, bucket.won, "o", color=SLOW, markersize=11, zorder=4)


def _counts(axes: Axes, score: Score) -> None:
    """How many opinions each bucket holds: few points mean little, however far off they lie."""
    most = max(b.n for b in score.buckets)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.5)
    axes.set_xticks([])
    axes.set_yticks([])
    for bucket in score.buckets:
        middle, width = (bucket.low + bucket.high) / 2, (bucket.high - bucket.low) * 0.86
        axes.bar(middle, bucket.n / most, width=width, color=SLOW, alpha=0.45, linewidth=0)
        axes.text(middle, bucket.n / most + 0.08, f"{bucket.n:,}", color=FAINT, fontsize=SMALL - 1, ha="center")
