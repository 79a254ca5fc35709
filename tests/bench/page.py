"""What was measured, for people: a table in the terminal, the tables of docs/performance.md, and a picture."""

from __future__ import annotations

import io
import os
import platform
import re
from collections.abc import Sequence

import numpy as np

from core.reports.canvas import FAINT, FAST, GRID, GROUND, PANEL, SLOW, TEXT
from tests.bench.measure import ROOT, Line

PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "images" / "time-per-candle.png"
BEGIN, END = MARKS = ("<!-- bench:begin -->", "<!-- bench:end -->")
LIVE_MARKS = ("<!-- live:begin -->", "<!-- live:end -->")

_WORDS = {"aim": "met, aim too", "must": "met", "missed": "**not met**", "-": ""}


def cells(line: Line) -> list[str]:
    """what, ours, theirs, ratio, must, aim, met or not."""
    sign, unit = ("x", "") if line.goal == "ratio" else ("", f" {line.unit}")

    def limit(value: float | None) -> str:
        return "" if value is None else f"{value:g}{sign}{unit}"

    return [
        line.what,
        "" if line.ours is None else f"{number(line.ours)} {line.unit}",
        "" if line.theirs is None else f"{number(line.theirs)} {line.unit}",
        "" if line.ratio is None else f"{number(line.ratio)}x",
        limit(line.must),
        limit(line.aim),
        _WORDS[line.verdict],
    ]


def number(value: float) -> str:
    """Three significant digits, without an exponent, thousands set apart."""
    return f"{value:,.0f}".replace(",", " ") if value >= 100 else f"{value:.3g}"


def terminal(lines: Sequence[Line]) -> str:
    """Lines with their notes, for stdout."""
    heading = ["what", "ours", "theirs", "ratio", "must", "aim", ""]
    rows = [heading, *([cell.replace("*", "") for cell in cells(line)] for line in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heading))]
    text = []
    for row, line in zip(rows, [None, *lines], strict=True):
        first, *rest = (c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        text.append("  ".join((first, *rest)).rstrip())
        if line is not None and line.note:
            text.append(f"    {line.note}")
    return "\n".join(text)


def markdown(lines: Sequence[Line], load: float | None = None) -> str:
    """The tables between two marks of docs/performance.md; ``load`` says how busy the machine was."""
    grown = [line for line in lines if line.part == "growth"]
    told = [line for line in lines if line.part != "growth"]
    busy = "" if load is None else f"; load average when it began: {load:.1f}"
    heading = ["what", "ours", "theirs", "ratio", "must", "aim", ""]
    rows = [heading, ["---"] * len(heading), *(cells(line) for line in told)]
    # Where nothing is compared, the columns for it are left out.
    kept = [n for n in range(len(heading)) if n not in (2, 3) or any(row[n] for row in rows[2:])]
    text = [f"Measured on {machine(one_core=len(kept) == len(heading))}{busy}.", ""]
    text += [f"| {' | '.join(row[n] for n in kept)} |" for row in rows]
    text += ["", *(f"- {line.what}: {line.note}." for line in told if line.note)]
    if grown:
        text += ["", "| candles to trades | a candle |", "| --- | --- |"]
        text += [f"| {line.what} | {number(line.ours or 0)} us |" for line in grown]
    return "\n".join(text)


def rewritten(page: str, lines: Sequence[Line], load: float | None = None, marks: tuple[str, str] = MARKS) -> str:
    """The page with everything between the marks replaced. Raises ValueError where the marks are not there."""
    begin, end = marks
    found = re.search(f"{begin}.*{end}", page, re.DOTALL)
    if found is None:
        raise ValueError(f"no {begin} ... {end} to write between")
    return f"{page[: found.start()]}{begin}\n{markdown(lines, load)}\n{end}{page[found.end() :]}"


def machine(*, one_core: bool = True) -> str:
    """In general words: what is needed to judge the figures, and no more."""
    used = ", of which one was used" if one_core else ""
    return (
        f"{os.cpu_count()} cores ({platform.machine()}){used}, {platform.system()}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}"
    )


def picture(lines: Sequence[Line]) -> bytes:
    """The time per candle over the number of candles, as a PNG in the style of the chat's pictures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    grown = [line for line in lines if line.part == "growth" and line.ours]
    sizes = [int(re.sub(r"\D", "", line.what)) for line in grown]
    taken = [line.ours or 0.0 for line in grown]
    figure = Figure(figsize=(9.0, 5.0), dpi=120, facecolor=GROUND)
    FigureCanvasAgg(figure)
    figure.text(
        0.035, 0.93, "Time per candle, candles to trades", color=TEXT, fontsize=18, fontweight="bold", va="center"
    )
    axes = figure.add_axes((0.105, 0.16, 0.86, 0.69))
    axes.set_facecolor(PANEL)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(which="both", colors=FAINT, labelsize=12, length=0, pad=6)
    axes.grid(color=GRID, linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size // 1_000_000} M" if size >= 1_000_000 else f"{size // 1000} k" for size in sizes])
    axes.set_xticks([], minor=True)
    axes.plot(sizes, taken, color=SLOW, linewidth=2.4, marker="o", markersize=8, markeredgecolor=GROUND)
    for size, value in zip(sizes, taken, strict=True):
        axes.annotate(
            f"{value:.2f}",
            (size, value),
            xytext=(0, 11),
            textcoords="offset points",
            color=FAST,
            fontsize=12,
            ha="center",
        )
    axes.set_ylim(0, max(taken) * 1.35)
    axes.set_xlim(min(sizes) / 1.6, max(sizes) * 1.6)
    axes.set_xlabel("candles of one pair", color=FAINT, fontsize=12)
    axes.set_ylabel("microseconds a candle", color=FAINT, fontsize=12)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor=GROUND, metadata={"Software": None})
    return buffer.getvalue()
