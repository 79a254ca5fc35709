"""What was measured, for people: one table, a short one for the README, and a picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from core.reports.canvas import (
    DOWN,
    ENTRY,
    FAINT,
    FAST,
    GRID,
    NORMAL,
    SLOW,
    SMALL,
    UP,
    empty_figure,
    panel,
    png,
)
from tests.bench_gate.cases import PROMISED_ERROR, Curve, Measured, Row

ROOT = Path(__file__).parents[2]
PAGE, README = ROOT / "docs" / "gate.md", ROOT / "README.md"
PICTURE = ROOT / "docs" / "images" / "gate.png"
BEGIN, END = "<!-- bench-gate:begin -->", "<!-- bench-gate:end -->"

HEADING = ("planted model", "outcomes", "n", "effective n", "gate", "AUC bound alone", "the bare rule", "promised")
_SHORT_COUNTS = (100, 200, 300, 400)


def cells(row: Row) -> tuple[str, ...]:
    verdict = "" if row.met is None else f"{row.promised}: {'met' if row.met else 'NOT MET'}"
    return (
        row.what,
        row.outcomes,
        f"to {row.n}" if row.gate[0] is None else f"{row.n}",
        "" if row.effective is None else f"{row.effective:.0f}",
        *(_shares(pair) for pair in (row.gate, row.bound, row.bare)),
        verdict,
    )


def _shares(pair: tuple[float | None, float]) -> str:
    at, ever = pair
    return f"{ever:.1%}" if at is None else f"{at:.1%} / {ever:.1%}"


def terminal(found: Measured) -> str:
    rows = [HEADING, *map(cells, found.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADING))]
    lines = [
        "  ".join(
            c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([f"{found.about}.", "Approved at that look / at that look or an earlier one.", "", *lines])


def markdown(found: Measured) -> str:
    return "\n".join(
        [f"{found.about}. Approved at that look / at that look or an earlier one.", "", *_table(found.rows)]
    )


def _table(rows: Sequence[Row]) -> list[str]:
    return [
        f"| {' | '.join(HEADING)} |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |",
        *(f"| {' | '.join(cells(row))} |" for row in rows),
    ]


def short(found: Measured) -> str:
    """Noise over a life, independent and the worst of the overlapping, and power at some looks."""
    lives = [row for row in found.rows if row.gate[0] is None]
    alone = [row for row in lives if row.outcomes == "independent"]
    others = [row for row in lives if row.outcomes != "independent"]
    worst = max(others, key=lambda row: row.gate[1])
    lines = ["| planted model | asked | the gate says yes | the bare rule says yes |", "| --- | --- | ---: | ---: |"]
    for row, outcomes in (
        (alone[0], "independent outcomes"),
        (worst, f"overlapping outcomes, the worst of {len(others)} cases"),
    ):
        what, life = row.what.split(", ")
        lines.append(f"| {what} | over {life}, {outcomes} | {row.gate[1]:.1%} | {row.bare[1]:.1%} |")
    for row in found.rows:
        if row.what in ("AUC 0.62", "AUC 0.65") and row.n in _SHORT_COUNTS:
            lines.append(f"| {row.what} | at {row.n} outcomes | {row.gate[0]:.1%} | {row.bare[0]:.1%} |")
    return "\n".join(lines)


def rewritten(page: str, text: str) -> str:
    """The page with everything between the marks replaced. Raises ValueError where the marks are not there."""
    found = re.search(f"{BEGIN}.*{END}", page, re.DOTALL)
    if found is None:
        raise ValueError(f"no {BEGIN} ... {END} to write between")
    return f"{page[: found.start()]}{BEGIN}\n{text}\n{END}{page[found.end() :]}"


def write(found: Measured) -> None:
    """Rewrites docs/gate.md, the README's table and the picture."""
    for path, text in ((PAGE, markdown(found)), (README, short(found))):
        path.write_text(rewritten(path.read_text(encoding="utf-8"), text), encoding="utf-8")
    PICTURE.write_bytes(picture(found))


def picture(found: Measured) -> bytes:
    """Noise let through over a line's life above, power by outcomes below; a PNG in the style of the chat's."""
    figure = empty_figure("How often the gate lets a model through", 10.4, 0.965)
    figure.text(0.035, 0.925, "Noise, by then or earlier (logarithmic)", color=ENTRY, fontsize=NORMAL, va="center")
    upper = panel(figure, (0.1, 0.545, 0.865, 0.355))
    upper.set_yscale("log")
    ticks = [0.001, 0.01, PROMISED_ERROR, 0.2, 1.0]
    upper.set_yticks(ticks, [f"{t:.1%}" if t < 0.01 else f"{t:.0%}" for t in ticks])
    upper.set_yticks([], minor=True)
    upper.set_ylim(0.0002, 1.6)
    upper.grid(color=GRID, linewidth=1)
    upper.axhline(PROMISED_ERROR, color=FAINT, linewidth=1.4, linestyle=(0, (4, 3)))
    last = found.noise[0].n[-1]
    upper.text(
        last,
        PROMISED_ERROR * 1.12,
        f"promised: at most {PROMISED_ERROR:.0%}",
        color=FAINT,
        fontsize=SMALL,
        ha="right",
        va="bottom",
    )
    for curve, color, outcomes in zip(
        found.noise, (SLOW, FAST), ("independent outcomes", "overlapping, the worst"), strict=True
    ):
        label = f"gate: {curve.label.split(',')[0]}, {outcomes}"
        upper.plot(curve.n, [max(share, 1e-5) for share in curve.gate], color=color, linewidth=2.4, label=label)
    upper.plot(found.noise[0].n, found.noise[0].bare, color=DOWN, linewidth=2.4, label="the bare rule: noise")
    _legend(upper, "lower right")
    figure.text(0.035, 0.475, "A real model, at that many outcomes", color=ENTRY, fontsize=NORMAL, va="center")
    lower = panel(figure, (0.1, 0.075, 0.865, 0.375))
    lower.grid(color=GRID, linewidth=1)
    lower.set_ylim(0, 1.04)
    lower.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
    counts = found.power[-1].n
    lower.set_xticks(counts, [str(n) for n in counts])
    for curve, color in zip(reversed(found.power), (UP, FAST, SLOW, ENTRY), strict=True):
        lower.plot(
            curve.n, curve.gate, color=color, linewidth=2.4, marker="o", markersize=6, label=f"gate: {curve.label}"
        )
    weakest: Curve = found.power[0]
    lower.plot(
        weakest.n, weakest.bare, color=DOWN, linewidth=2, linestyle=(0, (4, 3)), label=f"the bare rule: {weakest.label}"
    )
    _legend(lower, "lower right")
    figure.text(0.965, 0.018, "live outcomes", color=FAINT, fontsize=SMALL, ha="right", va="bottom")
    return png(figure)


def _legend(axes: object, place: str) -> None:
    legend = axes.legend(loc=place, fontsize=SMALL, frameon=False, labelcolor=ENTRY)  # type: ignore[attr-defined]
    legend.set_zorder(5)
