"""The report as a card: each metric with its target, its value, its trend, and why."""

from __future__ import annotations

from core.ml.success import Metric, State, Trend
from core.services.success import ReportView
from julaba_tg.card import Card, card, quote, section

_MARKS: dict[State, str] = {
    "good": "✅", "short": "🟡", "flag": "🚩", "out of reach": "🔵", "early": "⏳", "unknown": "▫️",
}  # fmt: skip
_TRENDS: dict[Trend | None, str] = {"better": " ↗ better", "worse": " ↘ worse", "same": " → same", None: ""}


def report(view: ReportView) -> Card:
    found = view.report
    if found is None:
        return card("📋 No report yet", "It begins with the first candle; /status shows when that closes.")
    mine = [m for m in found.shown if m.period != "bootstrap"]
    start = [m for m in found.shown if m.period == "bootstrap"]
    due = "" if mine[0].due else f", measured after {found.period}"
    # A caption may end before the last cause: what is flagged is told first.
    wanting = sorted((m for m in found.shown if m.state not in ("good", "unknown")), key=lambda m: m.state != "flag")
    why = (f"{m.name}: {_cause(m)}" for m in wanting if m.cause)
    causes = list(dict.fromkeys(why))  # the model's accuracy stands in two periods, for one reason
    return card(
        f"📋 {found.headline}",
        f"Day {found.days:.0f}{due}",
        section(_line(m) for m in mine),
        section(["At the bootstrap:", *(_line(m) for m in start)]),
        section([f"❔ {found.unclear.words}"] if found.unclear.words else []),
        quote(["Why:", *causes] if causes else []),
    )


def _line(metric: Metric) -> str:
    word = " · out of reach" if metric.state == "out of reach" else ""
    shown = "not known yet" if metric.value is None else metric.shown
    return f"{_MARKS[metric.state]} {metric.name} {shown} ({metric.wanted}){word}{_TRENDS[metric.trend]}"


def _cause(metric: Metric) -> str:
    return f"{metric.cause}. {metric.change[0].upper()}{metric.change[1:]}." if metric.change else f"{metric.cause}."
