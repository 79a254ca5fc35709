"""The months of an account as a heat map for a phone: a PNG 1080 points wide."""

from __future__ import annotations

from collections.abc import Sequence

from core.reports.canvas import DOWN, FAINT, PANEL, SMALL, TEXT, UP, empty_figure, png

_HEAD, _ROW = 0.85, 1.05  # inches: the title, half a year
_YEARS = 6  # more would not fit a phone
_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def month_chart(months: Sequence[tuple[int, int, float, int]], title: str, *, in_r: bool = False) -> bytes:
    """A heat map of ``(year, month, change, trades)``, the newest six years; a row is half a year.

    ``change`` is a share (0.02 = 2%), with ``in_r`` a sum of R. Gives a PNG. Raises ValueError without months.
    """
    from matplotlib.patches import FancyBboxPatch

    if not months:
        raise ValueError("there are no months to draw")
    newest = max(year for year, *_ in months)
    shown = [month for month in months if month[0] > newest - _YEARS]
    halves = sorted({(year, (month - 1) // 6) for year, month, *_ in shown})
    height = _HEAD + _ROW * len(halves) + 0.12
    figure = empty_figure(title, height, 1 - _HEAD / 2 / height)
    axes = figure.add_axes((0.025, 0.12 / height, 0.95, _ROW * len(halves) / height))
    axes.set_axis_off()
    axes.set_xlim(0, 6)
    axes.set_ylim(len(halves), 0)
    most = max(abs(change) for _, _, change, _ in shown) or 1.0
    for year, month, change, trades in shown:
        left, top = (month - 1) % 6, halves.index((year, (month - 1) // 6))
        corner = (left + 0.08, top + 0.1)
        style = "round,pad=0,rounding_size=0.08"
        axes.add_patch(FancyBboxPatch(corner, 0.84, 0.8, boxstyle=style, facecolor=PANEL, linewidth=0))
        if change:
            color, strength = UP if change > 0 else DOWN, 0.12 + 0.53 * abs(change) / most
            axes.add_patch(
                FancyBboxPatch(corner, 0.84, 0.8, boxstyle=style, facecolor=color, alpha=strength, linewidth=0)
            )
        faint = TEXT if abs(change) > most / 2 else FAINT
        text = f"{change:+.1f} R" if in_r else f"{change:+.1%}"
        text = text if float(text.rstrip("% R")) else text[1:]
        for y, words, size, color in (
            (0.29, f"{_NAMES[month - 1]} {year % 100:02d}", SMALL, faint),
            (0.53, text.replace("-", "−"), 17, TEXT),
            (0.76, f"{trades} trade{'' if trades == 1 else 's'}", SMALL, faint),
        ):
            axes.text(left + 0.5, top + y, words, color=color, fontsize=size, ha="center", va="center")
    return png(figure)
