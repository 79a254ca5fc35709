"""One decision in full, as a card: what became of it, the model's reasons, what it resembles, Gemini, every layer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from core.domain.trading import Neighbour, Ruling, Verdict
from core.ml.neighbours import DISTANCE_WORDS, summary
from core.ml.words import rest_words, told
from core.services.explain import Became, GeminiWhy, ModelWhy, WhyView
from julaba_tg.card import Block, Card, card, quote, section, text
from julaba_tg.figures import UNKNOWN, coin, counted, day_time, figure, percent, price, r_multiple, score
from julaba_tg.rendering import exit_words

RULING_MARK = {
    Ruling.PASS: "✅",
    Ruling.HALF: "½",
    Ruling.REFUSE: "⛔",
    Ruling.RECORD: "📝",
    Ruling.UNKNOWN: "❔",
    Ruling.ABSENT: "–",
}

_SHOWN_LINES = 8


def why(view: WhyView, zone: ZoneInfo) -> Card:
    """The first line says what it was and what became of it."""
    number = f"Trade {view.trade_id}, signal" if view.trade_id is not None else _noun(view)
    plan = (
        f"{price(view.entry)} · stop {price(view.stop)} · targets {' / '.join(price(t) for t in view.targets)}",
        f"{number} {view.decision_id} at {day_time(view.time, zone)}",
    )
    return card(
        f"🔍 {name_of(view)} · {_status(view)} · {result(view.became)}",
        text([*plan, *_end(view.became, zone)]),
        section(_model(view.model) if view.model else ["No model spoke."]),
        section(_neighbours(view.neighbours, zone)),
        section(_gemini(view.gemini) if view.gemini else []),
        _layers(view),
    )


def picture_caption(view: WhyView) -> Card:
    return card(f"📊 {name_of(view)} · signal {view.decision_id}: what moved the model")


def name_of(view: WhyView) -> str:
    return f"{coin(view.pair)} {view.direction}"


def _noun(view: WhyView) -> str:
    return "Candidate" if view.status == "candidate" else "Signal"


def _status(view: WhyView) -> str:
    match view.status:
        case "candidate":
            stopped = next((v.sentence for v in view.verdicts if v.ruling is Ruling.REFUSE), "")
            return f"no signal: {stopped}" if stopped else "no signal"
        case "refused":
            return f"refused: {view.reason}"
        case "missed":
            return "missed"
        case "signal_only":
            return "shown only"
        case "waiting":
            return "waits for a yes"
        case "taken":
            return "taken"


def result(became: Became) -> str:
    """In R, after costs once it has ended."""
    if not became.closed:
        return f"{r_multiple(became.r)} so far"
    return r_multiple(became.r if became.r_net is None else became.r_net)


def _end(became: Became, zone: ZoneInfo) -> list[str]:
    """What became of it; what was no trade was followed by the same rules without money."""
    followed = "" if became.is_trade else " (followed without money)"
    reach = f"on the way between {r_multiple(became.worst)} and {r_multiple(became.best)}"
    if not became.closed:
        last = f", {became.last_target} reached" if became.last_target else ""
        age = counted(became.bars, "candle")
        return [f"Open{followed}: {r_multiple(became.r)} before costs after {age}{last}, {reach}"]
    net = f", {r_multiple(became.r_net)} after costs" if became.r_net is not None else ""
    how = exit_words(became.exit_reason, became.last_target)
    when = day_time(became.ended_at, zone)
    return [f"Ended{followed}: {how}, {when}: {r_multiple(became.r)} before costs{net}; {reach}"]


def _model(model: ModelWhy) -> list[str]:
    average = f", avg {score(model.average)}" if model.average is not None else ""
    rank = f", ahead of {percent(model.rank)} of its last ones" if model.rank is not None else ""
    head = f"ML {score(model.probability)}{average}{rank} · {model.model_id}"
    if model.start is None:
        return [head, "Its reasons were not kept."]
    shown, rest = told(model.lines, _SHOWN_LINES)
    lines = [f"{'🟩' if line.share >= 0 else '🟥'} {line.words}" for line in shown]
    if rest:
        lines.append(f"▫️ {rest_words(rest)}")
    return [head, f"From {score(model.start)} to {score(model.probability)}, in log-odds (+ speaks for a win):", *lines]


def _neighbours(neighbours: Sequence[Neighbour], zone: ZoneInfo) -> list[str]:
    if not neighbours:
        return []
    return [summary(neighbours), *(_neighbour(n, zone) for n in neighbours), DISTANCE_WORDS]


def _neighbour(n: Neighbour, zone: ZoneInfo) -> str:
    """Without its direction, which is the signal's own."""
    mark = "🟢" if n.realized_r > 0 else "🔴"
    return f"{mark} {coin(n.pair)} {_day(n.decided_at, zone)} {r_multiple(n.realized_r)} · distance {n.distance:.2f}"


def _day(time_ms: int, zone: ZoneInfo) -> str:
    """With the year: a past signal may be two years old."""
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).astimezone(zone).strftime("%-d %b %Y")
    except (ValueError, OverflowError, OSError):
        return UNKNOWN


def _gemini(gemini: GeminiWhy) -> list[str]:
    said = {True: "approves", False: "disapproves", None: "speaks"}[gemini.approve]
    words = f": {gemini.reasoning}" if gemini.reasoning else ""
    return [f"G {score(gemini.confidence)} · {gemini.source or 'Gemini'} {said}{words}"]


def _layers(view: WhyView) -> Block:
    lines = [f"{RULING_MARK[v.ruling]} {v.layer}, {v.rule.replace('_', ' ')}: {_sentence(v)}" for v in view.verdicts]
    if view.combined_confidence is not None:
        weight = percent(view.influence_weight)
        lines.append(f"Combined confidence {score(view.combined_confidence)} with the model at {weight}")
    return quote(["Every layer:", *lines])


def _sentence(verdict: Verdict) -> str:
    """With its number where the sentence has none."""
    if verdict.number is None or any(character.isdigit() for character in verdict.sentence):
        return verdict.sentence
    return f"{verdict.sentence} ({figure(verdict.number)})"
