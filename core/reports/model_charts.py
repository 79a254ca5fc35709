"""What a model is worth, as pictures for a phone: calibration, importance, model on and off, AUC row by row."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.domain.candles import FloatArray, iso
from core.ml.importance import Importance
from core.ml.measures import Bucket
from core.ml.on_off import OnOff, Switched
from core.ml.slices import Slices
from core.reports.canvas import (
    DASHED,
    DOWN,
    FAINT,
    FAST,
    GRID,
    GROUND,
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
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_FEATURES = 18

_HEIGHT, _TITLE_AT = 6.75, 0.945  # 1080 x 810 points
_ROW = 0.36  # inches
_TINY = 0.05  # thousandths of squared error: not to be seen
_COLORS = {"off": FAINT, "on": FAST, "half": SLOW}


# -- calibration --


def calibration_chart(
    buckets: Sequence[Bucket], title: str, base_rate: float | None = None, probability: FloatArray | None = None
) -> bytes:
    """What the model said against what came true, as a PNG: on the diagonal it means what it says.

    Each point is one of ``buckets`` (0..1 fractions), larger with more predictions, with its clustered 95% interval
    where it has one. ``base_rate`` is drawn as a line, the predictions themselves (``probability``) as a histogram.
    Raises ValueError without buckets.
    """
    if not buckets:
        raise ValueError("there are no predictions to draw")
    figure = empty_figure(title, _HEIGHT, _TITLE_AT)
    bottom = 0.13 if probability is None else 0.28
    axes = panel(figure, (0.11, bottom, 0.84, 0.90 - bottom))
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.4, linestyle=DASHED)
    axes.text(0.02, 0.97, "on the line it means what it says", color=FAINT, fontsize=SMALL, va="top")
    if base_rate is not None:
        axes.axhline(base_rate, color=FAST, linewidth=1.2)
        axes.text(
            0.99, base_rate + 0.01, f"average {base_rate:.0%}", color=FAST, fontsize=SMALL, va="bottom", ha="right"
        )
    most = max(b.n for b in buckets)
    for bucket in buckets:
        _bucket(axes, bucket, most)
    percents = np.linspace(0, 1, 6)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xticks(percents, [f"{p:.0%}" for p in percents])
    axes.set_yticks(percents, [f"{p:.0%}" for p in percents])
    axes.grid(color=GRID, linewidth=1)
    axes.set_ylabel("it was a win", color=FAINT, fontsize=NORMAL)
    lowest = axes if probability is None else _histogram(figure, probability)
    lowest.set_xlabel("the model said", color=FAINT, fontsize=NORMAL)
    return png(figure)


def _bucket(axes: Axes, bucket: Bucket, most: int) -> None:
    low = bucket.won if bucket.won_low is None else bucket.won_low
    high = bucket.won if bucket.won_high is None else bucket.won_high
    axes.plot([bucket.predicted] * 2, [low, high], color=SLOW, linewidth=2, alpha=0.6, solid_capstyle="round")
    axes.scatter(bucket.predicted, bucket.won, s=60 + 500 * bucket.n / most, color=SLOW, edgecolor=GROUND, zorder=3)
    above, below = high < 0.85, low > 0.12
    axes.annotate(
        f"n {bucket.n}",
        (bucket.predicted, high if above else low if below else bucket.won),
        xytext=(0, 10) if above else (0, -10) if below else (14, 0),
        textcoords="offset points",
        ha="center" if above or below else "left",
        va="bottom" if above else "top" if below else "center",
        color=FAINT,
        fontsize=SMALL,
    )


def _histogram(figure: Figure, probability: FloatArray) -> Axes:
    """How often it said what, below and on the same scale."""
    axes = panel(figure, (0.11, 0.085, 0.84, 0.13))
    counts, edges = np.histogram(probability, np.linspace(0, 1, 51))
    axes.bar(edges[:-1] + 0.01, counts, width=0.017, color=SLOW, alpha=0.75, linewidth=0)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, max(1, int(counts.max())) * 1.15)
    axes.set_yticks([])
    axes.set_xticks([])
    axes.set_ylabel("how often", color=FAINT, fontsize=SMALL)
    return axes


# -- importance --


def importance_chart(importance: Sequence[Importance], title: str) -> bytes:
    """Each feature a row: how much the model uses it, and whether that helps it on unseen rows; a PNG.

    Raises ValueError without features.
    """
    if not importance:
        raise ValueError("there is no feature to draw")
    shown = importance[:MOST_FEATURES]
    height = 1.5 + _ROW * len(shown) + 1.0
    figure = empty_figure(title, height, 1 - 0.4 / height)
    bottom, tall = 1.0 / height, _ROW * len(shown) / height
    use, worth = (_rows(figure, (left, bottom, 0.30, tall), len(shown)) for left in (0.345, 0.665))
    for left, words, more in ((0.345, "how much it uses it", "log-odds"), (0.665, "whether that helps", "thousandths")):
        figure.text(left + 0.15, bottom + tall + 0.42 / height, words, color=TEXT, fontsize=NORMAL, ha="center")
        figure.text(left + 0.15, bottom + tall + 0.16 / height, more, color=FAINT, fontsize=SMALL, ha="center")
    for row, each in enumerate(shown):
        name = each.feature.removeprefix("entry_").replace("_", " ")
        level = bottom + tall * (1 - (row + 0.5) / len(shown))
        figure.text(0.035, level, name, color=TEXT, fontsize=SMALL, va="center")
        use.barh(row, each.use, height=0.6, color=SLOW, linewidth=0)
        low, high = _scaled(each.worth_low), _scaled(each.worth_high)
        seen = low is not None and high is not None and max(abs(low), abs(high)) > _TINY
        color = _side(low or 0.0, high or 0.0, 0.0) if seen else FAINT
        _whisker(worth, row, 1000 * each.worth, low, high, color)
    use.set_xlim(0, max(*(each.use for each in shown), 1e-6, 0.0) * 1.08)
    worth.axvline(0, color=FAINT, linewidth=1.2, linestyle=DASHED, zorder=1)
    worth.margins(x=0.08)
    for axes in (use, worth):
        axes.locator_params(axis="x", nbins=4)
    left_out = f" The {len(importance) - len(shown)} least used are left out." if len(importance) > len(shown) else ""
    known = sum(each.worth_low is not None for each in importance)
    words = (
        "Right: what shuffling the feature among unseen rows adds to the squared error, 95%. Green helps, red misleads;"
        f" of {known} intervals {known * 0.05:.1f} would miss 0 by chance.{left_out}"
    )
    lines = "\n".join(textwrap.wrap(words, 92))
    figure.text(0.035, 0.1 / height, lines, color=FAINT, fontsize=SMALL, va="bottom", linespacing=1.25)
    return png(figure)


def _scaled(value: float | None) -> float | None:
    return None if value is None else 1000 * value


# -- model on and off --


def on_off_chart(found: OnOff, title: str) -> bytes:
    """The running sum of R over the unseen signals, all of them and those the model would take; a PNG."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    figure = empty_figure(title, 7.6, 0.95)
    costs = "after costs" if found.net else "before costs (they are not known)"
    words = f"out of sample: {iso(int(found.closed[0]))[:10]} to {iso(int(found.closed[-1]))[:10]}, R {costs}"
    figure.text(0.035, 0.90, words, color=FAINT, fontsize=NORMAL, va="center")
    axes = panel(figure, (0.085, 0.30, 0.88, 0.565))
    axes.grid(color=GRID, linewidth=1)
    axes.axhline(0, color=FAINT, linewidth=1, linestyle=DASHED)
    time = found.closed.astype("datetime64[ms]")
    for rule in found.rules:
        width = 1.8 if rule.name == "off" else 2.6
        axes.step(time, rule.curve(found.r), where="post", color=_COLORS[rule.name], linewidth=width)
    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]
    for number, rule in enumerate(found.rules):
        _legend_line(figure, 0.205 - 0.068 * number, rule)
    return png(figure)


def _legend_line(figure: Figure, height: float, rule: Switched) -> None:
    color = _COLORS[rule.name]
    what = "model off" if rule.name == "off" else "model on"
    figure.text(0.035, height, f"{what}, {rule.words}", color=color, fontsize=NORMAL, va="center")
    mean = "" if rule.mean is None else f", {_signed(rule.mean, 2)} each"
    sums = f"{rule.n} taken, {_signed(rule.total, 1)}R{mean}, fall {rule.drawdown:.1f}R"
    if rule.gain is not None and rule.gain_low is not None and rule.gain_high is not None:
        sums += f"; gain {_signed(rule.gain_low, 2)} to {_signed(rule.gain_high, 2)} each (95%)"
    figure.text(0.035, height - 0.031, sums, color=FAINT, fontsize=SMALL, va="center")


# -- AUC row by row --


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a forest plot; None where there is no figure or no interval. Without ``n`` it is a heading."""

    label: str
    n: int | None = None
    auc: float | None = None
    low: float | None = None
    high: float | None = None


def slices_chart(slices: Slices, title: str) -> bytes:
    """AUC by pair, regime, part of the day and year with intervals; a PNG. Raises ValueError without a slice."""
    rows: list[Row] = []
    for group, words in (("pair", "pair"), ("regime", "regime"), ("block", "part of the day"), ("year", "year")):
        found = slices.of(group)
        rows += [Row(words)] if found else []
        rows += [Row(s.name.replace("_", " "), s.n, s.auc, s.auc_low, s.auc_high) for s in found]
    return forest_chart(title, rows, slices.note)


def forest_chart(title: str, rows: Sequence[Row], note: str) -> bytes:
    """Each row's AUC with its 95% interval and n, guessing as a line; a PNG. Raises ValueError without rows."""
    if not rows:
        raise ValueError("there is nothing to draw")
    notes = textwrap.wrap(note, 84)
    foot = 0.75 + 0.24 * len(notes)
    height = 0.8 + _ROW * len(rows) + foot
    figure = empty_figure(title, height, 1 - 0.42 / height)
    bottom, tall = foot / height, _ROW * len(rows) / height
    left = min(0.5, 0.06 + 0.0125 * max(len(row.label) for row in rows))
    axes = _rows(figure, (left + 0.09, bottom, 0.69 - left, tall), len(rows))
    axes.axvline(0.5, color=FAINT, linewidth=1.2, linestyle=DASHED, zorder=1)
    low, high = _reach(rows)
    axes.set_xlim(low, high)
    axes.locator_params(axis="x", nbins=5)
    for at, row in enumerate(rows):
        level = bottom + tall * (1 - (at + 0.5) / len(rows))
        heading = row.n is None
        color = FAINT if heading else TEXT
        figure.text(0.035, level, row.label, color=color, fontsize=SMALL, va="center")
        if heading:
            continue
        figure.text(left + 0.075, level, f"{row.n:,}", color=FAINT, fontsize=SMALL, va="center", ha="right")
        if row.auc is None:
            figure.text(0.80, level, "too few", color=FAINT, fontsize=SMALL, va="center")
            continue
        shade = SLOW if row.low is None or row.high is None else _side(row.low, row.high, 0.5)
        _whisker(axes, at, row.auc, row.low, row.high, shade)
        bounds = "" if row.low is None or row.high is None else f"  {row.low:.2f}–{row.high:.2f}"
        figure.text(0.80, level, f"{row.auc:.2f}{bounds}", color=TEXT, fontsize=SMALL, va="center")
    figure.text(0.035, 0.14 / height, "\n".join(notes), color=FAINT, fontsize=SMALL, va="bottom", linespacing=1.25)
    return png(figure)


def _reach(rows: Sequence[Row]) -> tuple[float, float]:
    found = [value for row in rows for value in (row.auc, row.low, row.high) if value is not None] + [0.45, 0.55]
    return max(0.0, min(found) - 0.02), min(1.0, max(found) + 0.02)


# -- parts --


def _rows(figure: Figure, box: Box, count: int) -> Axes:
    axes = panel(figure, box, pad=5)
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_yticks([])
    axes.grid(color=GRID, linewidth=0.8, axis="x")
    axes.set_axisbelow(True)
    return axes


def _whisker(axes: Axes, row: int, value: float, low: float | None, high: float | None, color: str) -> None:
    if low is not None and high is not None:
        axes.plot([low, high], [row] * 2, color=color, linewidth=2.4, alpha=0.8, solid_capstyle="round")
    face = PANEL if low is None else color
    axes.plot(value, row, "o", color=color, markerfacecolor=face, markersize=8, markeredgewidth=2, zorder=4)


def _side(low: float, high: float, middle: float) -> str:
    return UP if low > middle else DOWN if high < middle else SLOW


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")
