"""The dial: what each weight would have taken and made, as one picture for a phone held upright: 1080 x 1080 points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from core.reports.canvas import (
    DASHED,
    DOWN,
    FAINT,
    FAST,
    GRID,
    NORMAL,
    SLOW,
    SMALL,
    TEXT,
    UP,
    empty_figure,
    panel,
    png,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from core.ml.preview import Dial, Scale

_COLOUR: dict[Scale, str] = {"percentile": FAST, "probability": SLOW}
_LEFT, _WIDTH, _HEIGHT = 0.115, 0.845, 0.315


def dial_chart(found: Dial) -> bytes:
    """How many signals each weight takes (above) and their net R (below), under both scales. Gives a PNG."""
    figure = empty_figure("What each weight would have done", 9.0, 0.958)
    words = f"the last {found.signals} signals with a prediction; the scale in force is drawn strong"
    figure.text(0.035, 0.918, words, color=FAINT, fontsize=NORMAL, va="center")
    _taken(panel(figure, (_LEFT, 0.535, _WIDTH, _HEIGHT)), found)
    _worth(panel(figure, (_LEFT, 0.135, _WIDTH, _HEIGHT)), found)
    _foot(figure, found)
    return png(figure)


def _taken(axes: Axes, found: Dial) -> None:
    """A share of the signals; below the broken line fewer than half of what weight 0 takes is left."""
    at_zero = found.previews[found.scale][0].after.taken
    shares = {scale: [100 * p.after.taken / max(1, p.signals) for p in each] for scale, each in found.previews.items()}
    _lines(axes, found, shares, {scale: [str(p.after.taken) for p in each] for scale, each in found.previews.items()})
    axes.set_ylim(-20, 118)
    axes.set_yticks([0, 50, 100], ["0%", "50%", "100%"])
    half = 50 * at_zero / max(1, found.signals)
    axes.axhline(half, color=DOWN, linewidth=1, linestyle=DASHED, zorder=1)
    axes.text(0.012, half - 2, "half of weight 0", color=DOWN, fontsize=SMALL, ha="left", va="top")
    _frame(axes, found, "signals taken")
    _legend(axes, found)


def _worth(axes: Axes, found: Dial) -> None:
    values = {scale: [p.after.r_net for p in each] for scale, each in found.previews.items()}
    _lines(axes, found, values, {scale: [f"{value:+.1f}" for value in each] for scale, each in values.items()})
    axes.axhline(0, color=FAINT, linewidth=1, zorder=1)
    reached = [value for each in values.values() for value in each]
    low, high = min(-1.0, *reached), max(1.0, *reached)
    axes.set_ylim(low - 0.2 * (high - low), high + 0.2 * (high - low))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:+g}R" if value else "0")
    _frame(axes, found, "net R of those that have closed")
    axes.set_xlabel("weight", color=FAINT, fontsize=SMALL)


def _lines(
    axes: Axes, found: Dial, values: Mapping[Scale, Sequence[float]], words: Mapping[Scale, Sequence[str]]
) -> None:
    """Each point's figure stands above the higher line and below the lower one; at weight 0 they meet."""
    weights = [p.weight for p in found.previews[found.scale]]
    other: Scale = "probability" if found.scale == "percentile" else "percentile"
    for scale, rival in ((found.scale, other), (other, found.scale)):
        strong = scale == found.scale
        axes.plot(
            weights,
            values[scale],
            color=_COLOUR[scale],
            linewidth=3 if strong else 1.8,
            linestyle="-" if strong else (0, (5, 3)),
            marker="o",
            markersize=9 if strong else 6,
            zorder=3 if strong else 2,
        )
        for at, weight in enumerate(weights):
            value, against = values[scale][at], values[rival][at]
            if value == against and not strong:
                continue
            above = value > against or (value == against and strong)
            axes.annotate(
                words[scale][at], (weight, value), (0, 9 if above else -9), textcoords="offset points",
                color=_COLOUR[scale], fontsize=SMALL, ha="center", va="bottom" if above else "top", zorder=4,
            )  # fmt: skip


def _frame(axes: Axes, found: Dial, words: str) -> None:
    axes.set_xlim(-0.06, 1.06)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.text(0, 1.035, words, color=TEXT, fontsize=NORMAL, transform=axes.transAxes)
    if found.cap < 1:
        axes.axvspan(found.cap, 1.06, color=FAINT, alpha=0.1, zorder=0, linewidth=0)
    axes.axvline(found.weight, color=UP, linewidth=2, alpha=0.7, zorder=1)


def _legend(axes: Axes, found: Dial) -> None:
    places: tuple[tuple[Scale, float], ...] = (("percentile", 0.55), ("probability", 0.78))
    for scale, x in places:
        strong = "bold" if scale == found.scale else "normal"
        axes.text(
            x, 1.035, f"● {scale}", color=_COLOUR[scale], fontsize=SMALL, fontweight=strong, transform=axes.transAxes
        )


def _foot(figure: Figure, found: Dial) -> None:
    today = f"Green: {found.weight:.2f} counts today." if found.weight else "Green: nothing counts today."
    if found.cap < 1:
        today += f" Grey: more than live outcomes allow so far ({found.cap:.2f})."
    for words, y in ((today, 0.052), ("Other layers' refusals stand. A few dozen signals prove nothing.", 0.024)):
        figure.text(0.035, y, words, color=FAINT, fontsize=SMALL, va="center")
