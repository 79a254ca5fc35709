"""The report as a picture for a phone: each metric as a bar against its target, then equity with its drawdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.domain.candles import DAY_MS
from core.ml.success import Metric, State
from core.reports.canvas import DASHED, DOWN, FAINT, FAST, GRID, NORMAL, SLOW, SMALL, TEXT, UP, empty_figure, panel, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEAD, _ROW, _EQUITY = 1.15, 0.66, 3.7  # inches: the title, one metric, the curve
_LEFT, _BAR, _RIGHT = 0.035, 0.43, 0.79
_REACH = 1.6  # a bar's whole width is this many targets
_COLORS: Mapping[State, str] = {
    "good": UP, "short": FAST, "flag": DOWN, "out of reach": SLOW, "early": FAINT, "unknown": FAINT,
}  # fmt: skip
_MOST_POINTS = 1_500  # of a curve: more than the picture is wide tells nothing


def success_chart(title: str, metrics: Sequence[Metric], equity: Sequence[tuple[int, float]]) -> bytes:
    """A PNG 1080 points wide. ``equity``: (close in epoch ms, USDT), ascending. Raises ValueError without metrics."""
    if not metrics:
        raise ValueError("there is nothing to draw")
    periods = list(dict.fromkeys(m.period for m in metrics))
    lines = len(metrics) + len(periods)
    height = _HEAD + _ROW * lines + _EQUITY
    head, _, flags = title.partition(", ")  # in two lines: the whole of it is wider than a phone
    figure = empty_figure(f"Report, {head}", height, 1 - 0.38 / height)
    legend = f"{flags}   (line: target, dotted: red flag)" if flags else "line: target, dotted: red flag"
    figure.text(_LEFT, 1 - 0.78 / height, legend, color=FAINT, fontsize=SMALL, va="center")
    axes = panel(figure, (0, _EQUITY / height, 1, _ROW * lines / height))
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(lines, 0)
    row = 0
    for period in periods:
        name = "at the bootstrap" if period == "bootstrap" else f"after {period}"
        axes.text(_LEFT, row + 0.62, name, color=FAINT, fontsize=NORMAL, va="center")
        row += 1
        for metric in (m for m in metrics if m.period == period):
            _line(axes, metric, row)
            row += 1
    _equity(figure, equity, height)
    return png(figure)


def _line(axes: Axes, metric: Metric, row: int) -> None:
    color, middle = _COLORS[metric.state], row + 0.5
    axes.text(_LEFT, middle - 0.13, metric.name, color=TEXT, fontsize=NORMAL, va="center")
    wanted = f"{metric.wanted}, red {metric.warned}"
    axes.text(_LEFT, middle + 0.24, wanted, color=FAINT, fontsize=SMALL - 1, va="center")
    width = _RIGHT - _BAR
    axes.barh(middle, width, left=_BAR, height=0.36, color=GRID, linewidth=0)
    scale = width / (_REACH * max(metric.target, metric.red))
    if metric.value is not None:
        axes.barh(middle, min(width, metric.value * scale), left=_BAR, height=0.36, color=color, linewidth=0)
    marks = [(metric.target, TEXT, "-"), (metric.red, DOWN, ":")]
    if metric.key == "rejections":  # a band, wanted from both sides
        marks = [(0.3, TEXT, "-"), (0.5, TEXT, "-"), (0.2, DOWN, ":"), (0.7, DOWN, ":")]
        scale = width
        axes.barh(middle, width, left=_BAR, height=0.36, color=GRID, linewidth=0)
        axes.barh(middle, (metric.value or 0.0) * width, left=_BAR, height=0.36, color=color, linewidth=0)
    for at, tone, style in marks:
        axes.plot([_BAR + at * scale] * 2, [middle - 0.28, middle + 0.28], color=tone, linewidth=2, linestyle=style)
    axes.text(_RIGHT + 0.02, middle - 0.13, metric.shown, color=TEXT, fontsize=NORMAL, va="center", fontweight="bold")
    word = {"flag": "red flag", "good": "on target", "short": "below target"}.get(metric.state, metric.state)
    if metric.state == "short" and metric.key in ("drawdown", "rejections"):
        word = "above the limit" if metric.key == "drawdown" else "outside the band"
    axes.text(_RIGHT + 0.02, middle + 0.24, word, color=color, fontsize=SMALL - 1, va="center")


def _equity(figure: Figure, equity: Sequence[tuple[int, float]], height: float) -> None:
    figure.text(_LEFT, (_EQUITY - 0.36) / height, "equity and its drawdown", color=FAINT, fontsize=NORMAL, va="center")
    above = panel(figure, (0.1, 1.35 / height, 0.86, 1.65 / height))
    below = panel(figure, (0.1, 0.45 / height, 0.86, 0.8 / height))
    step = max(1, len(equity) // _MOST_POINTS)
    points = [*equity[::step], *equity[-1:]]
    days = np.array([time for time, _ in points], dtype=np.float64) / DAY_MS
    values = np.array([value for _, value in points])
    if len(values):
        whole = np.array([value for _, value in equity])
        fall = (1 - whole / np.maximum.accumulate(whole))[[*range(0, len(whole), step), -1]] * 100
        above.plot(days, values, color=UP if values[-1] >= values[0] else DOWN, linewidth=2)
        above.axhline(values[0], color=FAINT, linewidth=1, linestyle=DASHED)
        below.fill_between(days, -fall, 0, color=DOWN, alpha=0.5, linewidth=0)
        below.set_ylim(-max(5.0, float(fall.max()) * 1.15), 0)
    for axes in (above, below):
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        if len(days):
            axes.set_xlim(days[0], max(days[-1], days[0] + 0.1))
    _ticks(above, below)


def _ticks(above: Axes, below: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    above.set_xticklabels([])
    above.yaxis.set_major_locator(MaxNLocator(4))
    above.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    below.yaxis.set_major_locator(MaxNLocator(2))
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}%".replace("-", "−")))
    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    below.xaxis_date()
    below.xaxis.set_major_locator(locator)
    below.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]
    above.set_xticks(below.get_xticks(), [])
    above.set_xlim(below.get_xlim())
