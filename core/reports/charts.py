"""Pictures for a phone: dark, large letters, a PNG of 1080 x 810 points each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from core.domain.candles import HOUR_MS, Candles, FloatArray, IntArray, to_datetime
from core.domain.trading import Leg, Levels
from core.engine.windows import rolling_mean
from core.reports.canvas import (
    DASHED,
    DOWN,
    ENTRY,
    FAINT,
    FAST,
    GROUND,
    NORMAL,
    PANEL,
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


_HEIGHT, _TITLE_AT = 6.75, 0.945  # 1080 x 810 points
_LABEL = 0.052  # of the price panel's height: a line of text with its ground
_Named = tuple[float, float, Leg, str]
"""A fill's row, the height of its name (0..1), the leg, its colour."""

_STEPS = tuple(h * HOUR_MS for h in (1, 2, 3, 6, 12, 24, 48, 96, 168, 336))


def candle_chart(
    candles: Candles,
    levels: Levels | None,
    title: str,
    legs: Sequence[Leg] = (),
    entry_time: int | None = None,
    *,
    shown: int | None = None,
) -> bytes:
    """Candles with SMA 15 and 40; with ``levels`` the entry, stop and targets; ``legs`` are marked where they filled.

    ``entry_time`` is the open time (epoch ms) of the entry candle; without it the levels begin at the last candle.
    ``shown`` draws only that many of the last candles, the earlier ones then feed the averages. Gives a PNG. Raises
    ValueError without candles.
    """
    if not len(candles):
        raise ValueError("there are no candles to draw")
    figure = empty_figure(title, _HEIGHT, _TITLE_AT)
    first = max(0, len(candles) - (shown or len(candles)))
    view = candles.rows(first, None)
    price_axes = panel(figure, (0.03, 0.24, 0.80, 0.66))
    volume_axes = panel(figure, (0.03, 0.09, 0.80, 0.14))

    _draw_candles(price_axes, view)
    _draw_volume(volume_axes, view)
    low, high = float(view.low.min()), float(view.high.max())
    for size, color in ((15, FAST), (40, SLOW)):
        average = rolling_mean(candles.close, size)[first:]
        low, high = float(np.nanmin(average, initial=low)), float(np.nanmax(average, initial=high))
        price_axes.plot(average, color=color, linewidth=1.8, label=f"SMA {size}", zorder=2)
    figure.legend(
        *price_axes.get_legend_handles_labels(),
        loc="center right",
        bbox_to_anchor=(0.84, 0.945),
        frameon=False,
        fontsize=SMALL,
        labelcolor=FAINT,
        ncols=2,
        handlelength=1.4,
        columnspacing=1.4,
    )

    last, right = float(view.close[-1]), len(view) - 0.2
    tags = [(last, _price(last), TEXT)]
    if levels is not None:
        start = len(view) - 1
        if entry_time is not None:
            start = min(start, int(np.searchsorted(view.time, entry_time)))
            if view.time[0] <= entry_time:
                price_axes.plot(start, levels.entry, ">", color=ENTRY, markersize=12, markeredgecolor=GROUND, zorder=6)
        end = _end_row(view, legs)
        if end is None:
            right = max(right, start + 0.22 * len(view))  # a trade that has just begun needs room for its future
        tags = [t for t in tags if last != levels.entry] + _draw_levels(price_axes, levels, start, end or right)
        low, high = min(low, levels.stop, levels.targets[-1]), max(high, levels.stop, levels.targets[-1])
    room = (high - low or high) * 0.07
    price_axes.set_ylim(low - room, high + room)
    _draw_fills(price_axes, view, legs, levels.entry if levels else None)
    _draw_tags(price_axes, tags)
    for axes in (price_axes, volume_axes):
        axes.set_xlim(-1, right)
        axes.set_yticks([])
    price_axes.set_xticks([])
    rows, labels = _row_ticks(view.time)
    volume_axes.set_xticks(rows, labels)
    _name_zone(figure)
    return png(figure)


def equity_chart(
    times: IntArray | Sequence[int],
    equity: FloatArray | Sequence[float],
    title: str,
    benchmark: FloatArray | None = None,
    words: str = "",
    *,
    zone: str = "UTC",
) -> bytes:
    """An account over time with its drawdown below, as a PNG; beside it, where given, what holding would have made.

    ``times`` are epoch ms, ascending, one per value of ``equity`` (money or cumulated R) and of ``benchmark``. Where
    equity is always above 0 the drawdown is a share of the highest so far. ``words`` stand below the title, ``zone`` is
    the time axis's. Raises ValueError where they are empty or do not fit.
    """
    moments, values = np.asarray(times, dtype=np.int64), np.asarray(equity, dtype=np.float64)
    if not len(values) or len(moments) != len(values) or len(values) != len(values if benchmark is None else benchmark):
        raise ValueError(f"{len(moments)} times do not fit {len(values)} values")
    figure = empty_figure(title, _HEIGHT, _TITLE_AT)
    if words:
        figure.text(0.035, 0.892, words.replace("$", r"\$"), color=FAINT, fontsize=NORMAL, va="center")
    curve_axes = panel(figure, (0.03, 0.34, 0.80, 0.50 if words else 0.56))
    fall_axes = panel(figure, (0.03, 0.09, 0.80, 0.23))
    start, last = float(values[0]), float(values[-1])
    color = UP if last >= start else DOWN

    high, low = float(values.max()), float(values.min())
    tags = [(last, _amount(last), color)] + ([(start, _amount(start), FAINT)] if last != start else [])
    if benchmark is not None:
        high, low = max(high, float(benchmark.max())), min(low, float(benchmark.min()))
        curve_axes.plot(moments, benchmark, color=FAINT, linewidth=1.3, label="basket held")
        tags.append((float(benchmark[-1]), _amount(float(benchmark[-1])), FAINT))
    curve_axes.plot(moments, values, color=color, linewidth=2.2, drawstyle="steps-post", label="account")
    curve_axes.fill_between(moments, values, start, color=color, alpha=0.14, step="post", linewidth=0)
    curve_axes.axhline(start, color=FAINT, linewidth=1, linestyle=DASHED)
    if benchmark is not None:
        curve_axes.legend(loc="upper left", frameon=False, fontsize=SMALL, labelcolor=FAINT, ncols=2, handlelength=1.4)
    room = (high - low or abs(high) or 1) * 0.08
    curve_axes.set_ylim(low - room, high + room * (2 if benchmark is not None else 1))
    _draw_tags(curve_axes, tags)

    peak = np.maximum.accumulate(values)
    fall = values / peak - 1 if values.min() > 0 else values - peak
    fall_axes.fill_between(moments, fall, 0, color=DOWN, alpha=0.35, step="post", linewidth=0)
    fall_axes.plot(moments, fall, color=DOWN, linewidth=1.4, drawstyle="steps-post")
    deepest = float(fall.min())
    fall_axes.set_ylim((deepest or -1) * 1.4, 0)
    fall_axes.text(0.012, 0.06, "below the peak", transform=fall_axes.transAxes, color=FAINT, fontsize=SMALL)
    if deepest < 0:
        _draw_tags(fall_axes, [(deepest, f"−{-deepest:.1%}" if values.min() > 0 else _amount(deepest), DOWN)])

    shift, name = _zone_at(int(moments[-1]), zone)
    ticks, labels = _time_ticks(moments + shift)
    positions = [tick - shift for tick in ticks]
    for axes in (curve_axes, fall_axes):
        axes.set_xlim(moments[0] - 1, moments[-1] + 1)
        axes.set_yticks([])
    curve_axes.set_xticks([])
    fall_axes.set_xticks(positions, labels)
    if positions and positions[0] - moments[0] < 0.03 * (moments[-1] - moments[0]):
        fall_axes.get_xticklabels()[0].set_horizontalalignment("left")  # in the middle it would be cut off
    _name_zone(figure, name)
    return png(figure)


def _zone_at(time_ms: int, zone: str) -> tuple[int, str]:
    """What a zone's clocks are ahead of UTC at a time, in ms, and what that is called there.

    One shift for a whole axis: where the clocks change within it, days before that begin an hour off their ticks,
    which is less than a line's width.
    """
    moment = to_datetime(time_ms).astimezone(ZoneInfo(zone))
    offset = moment.utcoffset()
    return round(offset.total_seconds() * 1000) if offset else 0, moment.tzname() or zone


# -- candles --


def _name_zone(figure: Figure, name: str = "UTC") -> None:
    # At the figure's edge: the last tick's name may reach beyond the axes.
    figure.text(0.965, 0.068, name, color=FAINT, fontsize=SMALL, ha="right", va="center")


def _draw_candles(axes: Axes, candles: Candles) -> None:
    from matplotlib.collections import LineCollection, PolyCollection

    rows = np.arange(len(candles), dtype=np.float64)
    colors = np.where(candles.close >= candles.open, UP, DOWN)
    wicks = np.stack([np.stack([rows, candles.low], 1), np.stack([rows, candles.high], 1)], 1)
    top, bottom = np.maximum(candles.open, candles.close), np.minimum(candles.open, candles.close)
    half = 0.34
    corners = ((-half, bottom), (half, bottom), (half, top), (-half, top))
    bodies = np.stack([np.stack([rows + dx, y], 1) for dx, y in corners], 1)
    axes.add_collection(LineCollection(list(wicks), colors=list(colors), linewidths=1.1, zorder=3))
    # The edge keeps a body without height visible.
    axes.add_collection(PolyCollection(list(bodies), facecolors=list(colors), edgecolors=list(colors), zorder=4))
    missing = np.flatnonzero(np.diff(candles.time) > candles.timeframe.ms)
    for row in missing:
        axes.axvline(row + 0.5, color=FAINT, linewidth=1, linestyle=(0, (1, 3)))


def _draw_volume(axes: Axes, candles: Candles) -> None:
    colors = np.where(candles.close >= candles.open, UP, DOWN)
    axes.bar(np.arange(len(candles)), candles.volume, width=0.7, color=list(colors), alpha=0.55, linewidth=0)
    axes.set_ylim(0, float(candles.volume.max()) * 1.1 or 1)
    axes.text(0.012, 0.93, "volume", transform=axes.transAxes, color=FAINT, fontsize=SMALL, va="top")


def _end_row(candles: Candles, legs: Sequence[Leg]) -> float | None:
    """The right edge of a closed trade's levels, a candle beyond its last fill; None while something is open."""
    if sum(leg.fraction for leg in legs) < 1 - 1e-9:
        return None
    return float(np.searchsorted(candles.time, legs[-1].time, side="right"))


def _draw_levels(axes: Axes, levels: Levels, start: int, right: float) -> list[tuple[float, str, str]]:
    """Lines and zones from the entry to the right, or to the trade's end; gives the tags for the right edge."""
    width = max(right - start, 1.0)
    for price, color in ((levels.stop, DOWN), (levels.targets[-1], UP)):
        low, high = sorted((levels.entry, price))
        axes.fill_between([start, start + width], low, high, color=color, alpha=0.10, linewidth=0, zorder=1)
    tags = [(levels.entry, f"in {_price(levels.entry)}", ENTRY), (levels.stop, f"stop {_price(levels.stop)}", DOWN)]
    tags += [(price, f"TP{n} {_price(price)}", UP) for n, price in enumerate(levels.targets, 1)]
    for price, _, color in tags:
        axes.hlines(price, start, start + width, color=color, linewidth=1.3, linestyle=(0, (5, 3)), zorder=2)
    return tags


def _draw_fills(axes: Axes, candles: Candles, legs: Sequence[Leg], entry: float | None) -> None:
    """A dot at each fill, its name on the side away from the entry, where fewer candles are.

    Names of fills that stand close together are moved apart.
    """
    low, high = axes.get_ylim()
    named: list[_Named] = []
    for leg in legs:
        if not candles.time[0] <= leg.time < candles.time[-1] + candles.timeframe.ms:
            continue
        # One within the candle that is still running stands between the newest and the edge.
        row = min(float(np.searchsorted(candles.time, leg.time)), len(candles) - 0.5)
        color = UP if leg.r > 0 else DOWN if leg.r < 0 else ENTRY
        axes.plot(row, leg.price, "o", color=color, markersize=11, markeredgecolor=TEXT, markeredgewidth=1.6, zorder=7)
        away = _LABEL if entry is None or leg.price >= entry else -_LABEL
        named.append((row, (leg.price - low) / (high - low) + away, leg, color))
    for near in _clusters(named, len(candles) / 4):
        ordered = sorted(near, key=lambda name: name[1])
        places = _spread([place for _, place, _, _ in ordered], _LABEL)
        for (row, _, leg, color), place in zip(ordered, places, strict=True):
            late = row > len(candles) / 4
            axes.text(
                row + (-0.8 if late else 0.8),
                min(max(place, _LABEL / 2), 1 - _LABEL / 2),
                f"{leg.name} {leg.r:+.2f}R",
                transform=axes.get_xaxis_transform(),
                color=color,
                fontsize=NORMAL,
                fontweight="bold",
                ha="right" if late else "left",
                va="center",
                zorder=7,
                bbox={"facecolor": PANEL, "edgecolor": "none", "alpha": 0.75, "pad": 2},
            )


def _clusters(named: Sequence[_Named], apart: float) -> list[list[_Named]]:
    """Names in the order of their rows, cut where the next begins ``apart`` rows or more behind."""
    found: list[list[_Named]] = []
    for name in sorted(named, key=lambda one: one[0]):
        if found and name[0] - found[-1][-1][0] < apart:
            found[-1].append(name)
        else:
            found.append([name])
    return found


def _draw_tags(axes: Axes, tags: Sequence[tuple[float, str, str]]) -> None:
    """Texts at the right edge at their heights, moved apart where they would cover each other."""
    low, high = axes.get_ylim()
    height = axes.get_position().height
    least = 0.043 / height  # of the axes' height: one line of text
    ordered = sorted(tags, key=lambda tag: tag[0])
    places = _spread([(value - low) / (high - low) for value, _, _ in ordered], least)
    for (_, text, color), place in zip(ordered, places, strict=True):
        size = NORMAL if len(text) <= 12 else SMALL
        axes.text(
            1.012, place, text.replace("$", r"\$"), transform=axes.transAxes, color=color, fontsize=size, va="center"
        )


def _spread(places: Sequence[float], least: float) -> list[float]:
    """Ascending places moved up and down until neighbours are ``least`` apart."""
    out = np.array(places, dtype=np.float64)
    for _ in range(50):
        near = np.maximum(0.0, least - np.diff(out)) / 2
        if not (near > 1e-9).any():
            break
        out[:-1] -= near
        out[1:] += near
    return [float(place) for place in out]


# -- words --


def _price(price: float) -> str:
    """Five digits that count: 43,210 and 17.480 and 0.83245."""
    decimals = 4 - math.floor(math.log10(abs(price))) if price else 0
    return f"{price:,.{min(10, max(0, decimals))}f}"


def _amount(value: float) -> str:
    """Never more than nine characters: ``84.20`` ``10,240`` ``12.35M``."""
    size = abs(value)
    if size < 1000:
        return f"{value:,.2f}"
    return f"{value:,.0f}" if size < 9_999_999.5 else short_amount(value, 2)


def short_amount(value: float, digits: int = 1) -> str:
    """For narrow places: ``84`` ``1.2k`` ``12M`` ``3.4B``."""
    size = abs(value)
    if size < 999.5:
        return f"{value:.0f}"
    unit = next((u for u in _UNITS if size < 999.5 * u[0]), _UNITS[-1])
    scaled = value / unit[0]
    return f"{scaled:.{digits if digits > 1 or abs(scaled) < 9.95 else 0}f}{unit[1]}"


def signed_amount(value: float) -> str:
    """``+$84``, ``−$1.2k``, ``+$0.42``: what was made or lost, in at most seven characters."""
    if abs(value) < 9.995:
        shown = f"{abs(value):.2f}"
        sign = "" if not float(shown) else "+" if value > 0 else "−"
        return f"{sign}${shown}"
    return f"{'+' if value > 0 else '−'}${short_amount(abs(value))}"


_UNITS = ((1e3, "k"), (1e6, "M"), (1e9, "B"), (1e12, "T"))


def _time_ticks(times: IntArray) -> tuple[list[int], list[str]]:
    """At most six round moments (UTC) and their names."""
    first, last = int(times[0]), int(times[-1])
    step = next((s for s in _STEPS if (last - first) / s <= 5), None)
    if step is None:
        return _month_ticks(first, last)
    ticks = list(range(-(-first // step) * step, last + 1, step))
    return ticks, [_moment(t, step) for t in ticks]


def _month_ticks(first: int, last: int) -> tuple[list[int], list[str]]:
    """The same for long times: the first days of months, or of every second, third, ..."""
    begin, end = (int(np.datetime64(ms, "ms").astype("datetime64[M]").astype(np.int64)) for ms in (first - 1, last))
    every = next((n for n in (1, 2, 3, 6, 12, 24) if (end - begin) / n <= 6), 60)
    months = [month for month in range(begin + 1, end + 1) if month % every == 0]
    ticks = [int(np.datetime64(month, "M").astype("datetime64[ms]").astype(np.int64)) for month in months]
    return ticks, [f"{to_datetime(tick):%b %y}" for tick in ticks]


def _row_ticks(times: IntArray) -> tuple[list[int], list[str]]:
    """The same by row, for axes where candles stand side by side."""
    ticks, labels = _time_ticks(times)
    rows = [int(np.searchsorted(times, t)) for t in ticks]
    edge = len(times) * 0.03  # a name there would be cut off
    kept = [(row, label) for row, label in zip(rows, labels, strict=True) if edge <= row or len(times) < 3]
    return [row for row, _ in kept], [label for _, label in kept]


def _moment(ms: int, step: int) -> str:
    moment = to_datetime(ms)
    if step >= 24 * HOUR_MS or moment.hour == 0:
        return f"{moment.day} {moment:%b}"
    return f"{moment:%H:%M}"
