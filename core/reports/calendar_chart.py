"""A month of an account as a calendar for a phone: what each day made, a PNG 1080 points wide."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from core.reports.canvas import DOWN, FAINT, NORMAL, PANEL, SMALL, TEXT, UP, empty_figure, png
from core.reports.charts import signed_amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEAD, _NAMES, _ROW, _FOOT = 0.95, 0.42, 1.02, 0.15  # inches: title, names of the days, a week, below
_DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
_MONTHS = tuple(calendar.month_name)


def calendar_chart(year: int, month: int, days: Sequence[tuple[int, float, int]], today: int | None = None) -> bytes:
    """Weeks from Monday on. ``days``: (day of the month, USDT made, trades), those without trades may be left out.

    ``today`` is the day that is marked; what comes after it is empty, and with None all of the month has been. Gives
    a PNG, also for a month without trades.
    """
    weeks = calendar.Calendar().monthdayscalendar(year, month)
    height = _HEAD + _NAMES + _ROW * len(weeks) + _FOOT
    figure = empty_figure(f"{_MONTHS[month]} {year}", height, 1 - _HEAD / 2 / height)
    made, count = sum(pnl for _, pnl, _ in days), sum(trades for _, _, trades in days)
    color = UP if made > 0 else DOWN if made < 0 else FAINT
    words = f"{signed_amount(made)} · {count} trade{'' if count == 1 else 's'}" if count else "no trades"
    place: dict[str, Any] = {"fontsize": NORMAL + 3, "ha": "right", "va": "center", "parse_math": False}
    figure.text(0.965, 1 - _HEAD / 2 / height, words, color=color, fontweight="bold", **place)
    body = _NAMES + _ROW * len(weeks)
    axes = figure.add_axes((0.025, _FOOT / height, 0.95, body / height))
    axes.set_axis_off()
    axes.set_xlim(0, 7)
    axes.set_ylim(len(weeks), -_NAMES / _ROW)
    for column, name in enumerate(_DAYS):
        axes.text(column + 0.5, -0.16, name, color=FAINT, fontsize=NORMAL, ha="center", va="center")
    known = {day: (pnl, trades) for day, pnl, trades in days}
    most = max((abs(pnl) for pnl, _ in known.values()), default=0.0)
    for row, week in enumerate(weeks):
        for column, day in enumerate(week):
            if day:
                future = today is not None and day > today
                _draw_day(axes, column, row, day, known.get(day), most, future=future, marked=day == today)
    return png(figure)


def _draw_day(
    axes: Axes,
    column: int,
    row: int,
    day: int,
    found: tuple[float, int] | None,
    most: float,
    *,
    future: bool,
    marked: bool,
) -> None:
    """``found``: what the day made and its trades, None without any; ``most`` in a day has the strongest colour."""
    from matplotlib.patches import FancyBboxPatch

    def box(**look: Any) -> None:
        style = "round,pad=0,rounding_size=0.07"
        axes.add_patch(FancyBboxPatch((column + 0.04, row + 0.05), 0.92, 0.9, boxstyle=style, **look))

    pnl, trades = found or (0.0, 0)
    box(facecolor=PANEL, linewidth=0, alpha=0.45 if future else 1.0)
    if pnl and most:
        box(facecolor=UP if pnl > 0 else DOWN, linewidth=0, alpha=0.14 + 0.5 * abs(pnl) / most)
    if marked:
        box(facecolor="none", edgecolor=TEXT, linewidth=1.8)
    strong = bool(pnl) and abs(pnl) > most / 2
    faint = TEXT if strong or marked else FAINT
    axes.text(
        column + 0.12, row + 0.24, str(day), color=faint, fontsize=NORMAL, va="center", alpha=0.5 if future else 1
    )
    if trades:
        middle: dict[str, Any] = {"ha": "center", "va": "center", "parse_math": False}
        made = signed_amount(pnl)
        size = 17 if len(made) <= 5 else 14
        axes.text(column + 0.5, row + 0.54, made, color=TEXT, fontsize=size, fontweight="bold", **middle)
        words = f"{trades} trade{'' if trades == 1 else 's'}" if trades < 100 else f"{trades}"
        axes.text(column + 0.5, row + 0.8, words, color=TEXT if strong else FAINT, fontsize=SMALL, **middle)
