"""Live outcomes so far and where they are heading, as a picture for a phone: a PNG 1080 points wide."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from core.domain.candles import DAY_MS, to_ms
from core.ml.forecast import TAIL, Forecast
from core.reports.canvas import DASHED, DOWN, FAINT, FAST, GRID, NORMAL, SLOW, SMALL, TEXT, UP, empty_figure, panel, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHT = 6.6  # inches
_LEFT, _RIGHT = 0.075, 0.965
_STEPS = 60  # points of the fan
_SHORTEST, _LONGEST = 30.0, 365.0  # days ahead that are drawn
_MOST_MARKS = 5


def samples_chart(forecast: Forecast, closed: Sequence[int], began: datetime | None) -> bytes:
    """The number of live outcomes over time, the fan of what is to come, and the gate's looks as marks.

    ``closed`` are the times (epoch ms, ascending) at which outcomes became known, ``began`` when watching began (None:
    not yet). Where nothing can be told of the rate there is no fan and the picture says so.
    """
    figure = empty_figure("Samples: live outcomes, and when there are enough", _HEIGHT, 0.945)
    _headline(figure, forecast)
    axes = panel(figure, (_LEFT, 0.135, _RIGHT - _LEFT, 0.645))
    axes.grid(color=GRID, linewidth=0.8, axis="x")
    axes.set_axisbelow(True)
    now, ahead = forecast.now, _days_ahead(forecast)
    first = min(began or now, now)
    end = now + timedelta(days=ahead)
    top = _draw_fan(axes, forecast, ahead)
    times = [_day(first), *(ms / DAY_MS for ms in closed), _day(now)]
    axes.step(times, [0, *range(1, len(closed) + 1), len(closed)], where="post", color=UP, linewidth=2.6, zorder=3)
    axes.axvline(_day(now), color=FAINT, linewidth=1, linestyle=DASHED)
    room = (_day(end) - _day(first)) * 0.02
    axes.set_xlim(_day(first) - room, _day(end) + room)
    axes.set_ylim(0, max(top, 55.0) * 1.06)
    _marks(axes, forecast, max(top, 55.0) * 1.06)
    _dates(axes)
    _verdict(figure, forecast)
    return png(figure)


def _headline(figure: Figure, forecast: Forecast) -> None:
    dates = f"50: {forecast.to_50.text}   ·   200: {forecast.to_200.text}"
    figure.text(0.035, 0.885, dates, color=TEXT, fontsize=NORMAL, va="center")
    figure.text(0.035, 0.835, forecast.told, color=FAINT, fontsize=SMALL, va="center")


def _verdict(figure: Figure, forecast: Forecast) -> None:
    color = {True: UP, False: DOWN, None: FAINT}[forecast.opens]
    sentence = forecast.sentence[0].upper() + forecast.sentence[1:]
    words = "\n".join(textwrap.wrap(sentence, 96)[:2])
    figure.text(0.035, 0.042, words, color=color, fontsize=SMALL, va="center", linespacing=1.3)


def _days_ahead(forecast: Forecast) -> float:
    """As far as the later end of the next count, within reason."""
    wanted = [r.high or r.days or 0.0 for r in (forecast.to_50, forecast.gate, forecast.to_200) if r.left]
    return min(_LONGEST, max(_SHORTEST, *(wanted or [_SHORTEST])))


def _draw_fan(axes: Axes, forecast: Forecast, ahead: float) -> float:
    """The fan and its middle; gives the highest count drawn."""
    start = float(forecast.seen.outcomes)
    known = forecast.known
    if known is None:
        axes.text(
            0.5, 0.5, "how fast outcomes come cannot be told yet", transform=axes.transAxes, color=FAINT,
            fontsize=NORMAL, ha="center", va="center",
        )  # fmt: skip
        return start
    days = [ahead * step / _STEPS for step in range(_STEPS + 1)]
    times = [_day(forecast.now) + day for day in days]
    low, middle, high = ([start + known.more_in(day, q) for day in days] for q in (TAIL, 0.5, 1 - TAIL))
    axes.fill_between(times, low, high, color=SLOW, alpha=0.22, linewidth=0)
    axes.plot(times, middle, color=SLOW, linewidth=2.2, linestyle=(0, (5, 3)))
    return max(high)


def _marks(axes: Axes, forecast: Forecast, top: float) -> None:
    """The counts at which the gate looks, with the AUC each would ask for."""
    counts = {look.n: look.needed for look in forecast.looks}
    counts.setdefault(forecast.gate.target, None)
    unscored = forecast.seen.outcomes - forecast.seen.scored  # the gate counts only those a model had predicted
    for number, (n, needed) in enumerate(sorted(counts.items())):
        height = n + unscored
        if height > top or number >= _MOST_MARKS:
            break
        axes.axhline(height, color=FAST, linewidth=1.2, alpha=0.7)
        asked = "" if needed is None else f", asks for AUC {needed:.2f}" if needed < 1 else ", out of reach"
        axes.annotate(
            f"look at {n}{asked}", (0.008, height), xycoords=("axes fraction", "data"), xytext=(0, 4),
            textcoords="offset points", color=FAST, fontsize=SMALL, ha="left", va="bottom",
        )  # fmt: skip


def _day(moment: datetime) -> float:
    """matplotlib's own unit of time: days since 1970."""
    return to_ms(moment) / DAY_MS


def _dates(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis_date()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]
