"""The audit of the filters as one picture for a phone held upright: a PNG of 1080 x 1350 points."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from core.domain.candles import DAY_MS, iso
from core.reports.canvas import (
    DASHED,
    DOWN,
    FAINT,
    FAST,
    NORMAL,
    PANEL,
    SLOW,
    SMALL,
    TEXT,
    UP,
    empty_figure,
    png,
    row_panel,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from core.ml.audit import Audit, Figures, FilterAudit

_BOTTOM, _HEIGHT = 0.135, 0.71
_MONTHS_MS = 120 * DAY_MS  # from so long a period on its months tell enough
_APART = 0.17  # of a row's height: the point with the filter above, the one without below


def audit_chart(audit: Audit) -> bytes:
    """Each filter a row: the crossovers it kills as a bar, then mean net R with it and without it, earlier and later.

    Lines are 95% intervals; a point without one has too few separate stretches of time. Gives a PNG.
    """
    shown = [f for f in audit.filters if f.whole.killed]
    figure = empty_figure("What each filter is worth", 11.25, 0.967)
    figure.text(
        0.035,
        0.936,
        f"{audit.candidates:,} crossovers, {audit.signals:,} signals, {len(audit.pairs)} pairs",
        color=FAINT,
        fontsize=NORMAL,
        va="center",
    )
    _kills(row_panel(figure, (0.235, _BOTTOM, 0.215, _HEIGHT), len(shown)), shown, audit.candidates)
    low, high = _reach(shown)
    boxes = ((0.475, "earlier", audit.start_ms, audit.middle_ms), (0.735, "later", audit.middle_ms, audit.end_ms))
    for left, name, start, end in boxes:
        axes = row_panel(figure, (left, _BOTTOM, 0.245, _HEIGHT), len(shown))
        axes.set_xlim(low, high)
        _worths(axes, shown, name)
        middle = left + 0.1225
        figure.text(middle, 0.878, f"{name}, net R", color=TEXT, fontsize=NORMAL, ha="center", va="center")
        length = 7 if end - start >= _MONTHS_MS else 10  # of a shorter period the days matter
        dates = f"{iso(start)[:length]} to {iso(end)[:length]}"
        figure.text(middle, 0.857, dates, color=FAINT, fontsize=SMALL, ha="center", va="center")
    figure.text(0.3425, 0.878, "kills", color=TEXT, fontsize=NORMAL, ha="center", va="center")
    figure.text(0.3425, 0.857, "bright: it alone", color=FAINT, fontsize=SMALL, ha="center", va="center")
    for row, each in enumerate(shown):
        _label(figure, each, _BOTTOM + _HEIGHT * (1 - (row + 0.5) / len(shown)))
    _legend(figure)
    words = "\n".join(textwrap.wrap(audit.conclusion, 86))
    figure.text(0.035, 0.068, words, color=TEXT, fontsize=NORMAL - 1, va="top", linespacing=1.35)
    return png(figure)


def _label(figure: Figure, each: FilterAudit, height: float) -> None:
    words = each.words.replace("WEAK_TRENDING", "WEAK\nTRENDING")
    figure.text(
        0.035, height, words, color=TEXT if each.in_force else FAST, fontsize=NORMAL, va="center", linespacing=1.1
    )
    if each.verdict in ("helps", "costs"):
        color = UP if each.verdict == "helps" else DOWN
        figure.text(0.035, height - 0.021, each.verdict, color=color, fontsize=SMALL, fontweight="bold", va="center")


def _kills(axes: Axes, shown: list[FilterAudit], candidates: int) -> None:
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "50%", "100%"])
    axes.get_xticklabels()[0].set_horizontalalignment("left")
    axes.get_xticklabels()[-1].set_horizontalalignment("right")
    for row, each in enumerate(shown):
        share, alone = each.whole.killed / candidates, each.whole.killed_alone / candidates
        axes.barh(row - 0.08, share, height=0.34, color=SLOW, alpha=0.32, linewidth=0)
        axes.barh(row - 0.08, alone, height=0.34, color=SLOW, linewidth=0)
        text = f"{each.whole.killed:,}, alone {each.whole.killed_alone:,}"
        axes.text(0.02, row + 0.29, text, color=FAINT, fontsize=SMALL - 1, va="center")


def _worths(axes: Axes, shown: list[FilterAudit], period: str) -> None:
    axes.axvline(0, color=FAINT, linewidth=1.2, linestyle=DASHED)
    for row, each in enumerate(shown):
        worth = each.earlier if period == "earlier" else each.later
        color = SLOW if each.in_force else FAST
        _point(axes, worth.kept, row - _APART, color, color)
        _point(axes, worth.free, row + _APART, FAINT, PANEL)


def _point(axes: Axes, figures: Figures, height: float, color: str, face: str) -> None:
    if figures.net is None:
        return
    if figures.net_low is not None and figures.net_high is not None:
        axes.plot([figures.net_low, figures.net_high], [height] * 2, color=color, linewidth=2.2, alpha=0.75)
    axes.plot(figures.net, height, "o", color=color, markersize=9, markerfacecolor=face, markeredgewidth=2, zorder=4)


def _reach(shown: list[FilterAudit]) -> tuple[float, float]:
    """The range of R that holds every interval; a far one is cut off at 1.5R."""
    every = [f for each in shown for w in (each.earlier, each.later) for f in (w.kept, w.free)]
    found = [value for f in every for value in (f.net, f.net_low, f.net_high) if value is not None] + [0.0]
    low, high = max(min(found), -1.5), min(max(found), 1.5)
    room = (high - low or 1) * 0.06
    return low - room, high + room


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], color=color, markerfacecolor=face, marker="o", markersize=9, markeredgewidth=2, linewidth=2.2)
        for color, face in ((SLOW, SLOW), (FAINT, PANEL), (FAST, FAST))
    ]
    words = ["with the filter", "without it", "if this refused too"]
    figure.legend(
        marks,
        words,
        loc="center left",
        bbox_to_anchor=(0.02, 0.908),
        ncols=3,
        frameon=False,
        fontsize=SMALL,
        labelcolor=FAINT,
        handlelength=2.2,
        columnspacing=2.0,
    )
