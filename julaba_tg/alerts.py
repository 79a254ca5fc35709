"""Events to cards: what the bot says on its own. Pure, like ``rendering``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from core.domain.messages import (
    ApprovalAsked,
    ApprovalEnded,
    ApprovalReminder,
    Digest,
    Event,
    ModelTrained,
    Notice,
    PairStopped,
    SignalDecided,
    TargetHit,
    TradeClosed,
)
from core.domain.trading import Ruling, Verdict
from core.ml.neighbours import summary
from core.ml.words import strongest
from julaba_tg import rendering_home
from julaba_tg.away import fault_name
from julaba_tg.card import Block, Card, card, quote, text
from julaba_tg.figures import (
    UNKNOWN,
    amount,
    clock_time,
    coin,
    counted,
    day_time,
    duration,
    money,
    percent,
    price,
    r_multiple,
    score,
    signed_money,
)
from julaba_tg.rendering import exit_words
from julaba_tg.rendering_why import RULING_MARK

MOST_LINES = 8  # of one kind in a digest
AGAIN = "🔁 Perhaps a second time: the answer to the first never came."
_TOPIC_MARK = {
    "started": "🟢",
    "breaker": "🛑",
    "fault": "⚠️",
    "recovered": "✅",
    "weight": "🧠",
    "gemini": "✨",
    "training": "🧠",
    "report": "🚩",
}


def signal(event: SignalDecided, zone: ZoneInfo) -> Card:
    """A signal, whatever became of it. The first line is all that a locked phone shows."""
    opinions = [] if event.status in {"taken", "signal_only"} else [f"{price(event.entry)} · {opinions_of(event)}"]
    return card(_signal_title(event), text([*opinions, *_plan(event), *_gemini(event)]), _layers(event, zone))


def _signal_title(event: SignalDecided) -> str:
    name = f"{coin(event.pair)} {event.direction}"
    match event.status:
        case "taken":
            return f"✅ {name} {price(event.entry)} · risk {money(event.risk_amount)} · {opinions_of(event)}"
        case "refused":
            return f"⛔ {name} · refused: {event.reason}"
        case "missed":
            return f"⌛ {name} · missed: {event.reason}"
        case "waiting":
            return f"⏳ {name} {price(event.entry)} · waits for your yes"
        case "signal_only":
            return f"📣 {name} {price(event.entry)} · {opinions_of(event)}"


def opinions_of(event: SignalDecided) -> str:
    """``G 78 · ML 37 (avg 36)``; ``G –`` without Gemini, ``ML learning 31/50`` without a model."""
    return f"G {score(event.gemini_confidence)} · {_ml_words(event)}"


def _ml_words(event: SignalDecided) -> str:
    if event.ml_probability is None:
        return f"ML {event.ml_note or UNKNOWN}"
    average = f" (avg {score(event.ml_average)})" if event.ml_average is not None else ""
    return f"ML {score(event.ml_probability)}{average}"


def _plan(event: SignalDecided) -> list[str]:
    targets = " / ".join(price(t) for t in event.targets)
    away = percent(abs(event.entry - event.stop) / event.entry, 1) if event.entry else UNKNOWN
    lines = [f"Stop {price(event.stop)} ({away} away) · targets {targets}"]
    if event.status in {"taken", "waiting"}:
        lines.append(f"{amount(event.quantity)} {coin(event.pair)} = {money(event.quantity * event.entry)} on paper")
    return lines


def _gemini(event: SignalDecided) -> list[str]:
    """Who spoke stands before the words, so that a stand-in is never taken for the real one."""
    if event.gemini_confidence is None:
        return [f"Gemini: {event.gemini_note}"] if event.gemini_note else []
    source = event.gemini_source or "Gemini"
    return [f"{source}: {event.gemini_reasoning}" if event.gemini_reasoning else source]


def _layers(event: SignalDecided, zone: ZoneInfo) -> Block:
    """Every layer in order: what passed by name, anything else with its sentence. Gemini's words stand above."""
    lines = []
    for layer, verdicts in groupby(event.verdicts, key=lambda v: v.layer):
        if layer != "gemini" or event.gemini_confidence is None:
            lines += _layer(layer, list(verdicts))
    if event.combined_confidence is not None:
        weight = percent(event.influence_weight)
        lines.append(f"Combined confidence {score(event.combined_confidence)} with the model at {weight}")
    return quote([*_model_words(event), *lines, f"Signal {event.decision_id} at {day_time(event.time, zone)}"])


def _model_words(event: SignalDecided) -> list[str]:
    """What moved the model most, and what became of signals like this one: they stand before the layers, for a caption
    is cut at its end."""
    reasons, past = strongest(event.ml_reasons), summary(event.neighbours)
    return [*([f"🧠 {reasons}"] if reasons else []), *([f"🕰 {past}"] if past else [])]


def _layer(layer: str, verdicts: Sequence[Verdict]) -> list[str]:
    passed = [v for v in verdicts if v.ruling is Ruling.PASS]
    spoken = [v for v in verdicts if v.ruling is not Ruling.PASS or len(verdicts) == 1]
    lines = [f"{RULING_MARK[v.ruling]} {layer}: {v.sentence}" for v in spoken]
    if passed and len(verdicts) > 1:
        lines.insert(0, f"{RULING_MARK[Ruling.PASS]} {layer}: {', '.join(v.rule.replace('_', ' ') for v in passed)}")
    return lines


def trade(events: Sequence[Event], zone: ZoneInfo) -> Card:
    """The living message of one trade: how it began, each target, the end. Needs its SignalDecided."""
    opening = next(e for e in events if isinstance(e, SignalDecided))
    hits = [e for e in events if isinstance(e, TargetHit)]
    closing = next((e for e in events if isinstance(e, TradeClosed)), None)
    if closing is None and not hits:
        return signal(opening, zone)
    if closing is not None:
        title = _closed_title(closing)
    else:
        reached, newest = " ".join(h.target for h in hits), hits[-1]
        title = (
            f"🎯 {coin(opening.pair)} {opening.direction} {price(opening.entry)} · {reached} ✓ · "
            f"{r_multiple(newest.realized_r)} · {percent(newest.remaining)} left"
        )
    story = [f"🎯 {clock_time(h.time, zone)} {_hit_words(h)}" for h in hits]
    if closing is not None:
        story.append(f"🏁 {clock_time(closing.time, zone)} {_closed_words(closing)}")
    begin = f"{price(opening.entry)} · risk {money(opening.risk_amount)} · {opinions_of(opening)}"
    return card(title, text([begin, *_plan(opening), *story, *_gemini(opening)]), _layers(opening, zone))


def target(event: TargetHit, zone: ZoneInfo) -> Card:
    title = f"🎯 {coin(event.pair)} {event.direction} · {event.target} {price(event.price)} · {r_multiple(event.r)}"
    return card(title, _hit_words(event), f"{r_multiple(event.realized_r)} so far · {percent(event.remaining)} left")


def _hit_words(event: TargetHit) -> str:
    return f"{event.target} {price(event.price)}: {percent(event.fraction)} closed, {signed_money(event.pnl)}"


def closed(event: TradeClosed) -> Card:
    return card(_closed_title(event), _closed_words(event), f"Equity {money(event.equity)}")


def _closed_title(event: TradeClosed) -> str:
    mark = "🟢" if event.pnl > 0 else "🔴"
    return (
        f"{mark} {coin(event.pair)} {event.direction} closed {signed_money(event.pnl)} · "
        f"{r_multiple(event.realized_r_net)} · {exit_words(event.reason, event.last_target)}"
    )


def _closed_words(event: TradeClosed) -> str:
    return (
        f"{price(event.entry)} → {price(event.exit_price)} in {duration(event.duration_minutes)} · "
        f"net {r_multiple(event.realized_r_net)}, gross {r_multiple(event.realized_r)}"
    )


def pair_stopped(event: PairStopped) -> Card:
    successor = coin(event.successor) if event.successor else ""
    hint = f"Its successor is probably {event.successor}: /pair {successor} add" if event.successor else ""
    return card(f"⛔ {coin(event.pair)} switched off: {event.reason}", hint, "Other pairs go on. /pairs")


def model_trained(event: ModelTrained) -> Card:
    place = "champion now" if event.champion else "challenger"
    return card(f"🧠 {event.model_id} trained · {place}", event.summary, "/ml")


def notice(event: Notice) -> Card:
    # A day that differs from its backtest for causes that are known is no red flag.
    mark = "🔎" if event.topic == "report" and event.key.startswith("parity:") else _TOPIC_MARK.get(event.topic, "•")
    return card(f"{mark} {event.title}", text(event.detail.splitlines()))


def fault_over(fault: Notice, end: Notice, zone: ZoneInfo) -> Card:
    """A fault that had passed before it could be told."""
    span = f"from {day_time(fault.time, zone)} to {day_time(end.time, zone)}"
    return card(f"{_TOPIC_MARK['recovered']} Over: {fault.title}", f"{end.title}: {span}")


def again(content: Card) -> Card:
    """A message whose first sending was never answered. It says so below its title, where nothing is cut off."""
    return Card(content.title, (text([AGAIN]), *content.blocks))


def undrawn(events: Sequence[Event]) -> Card:
    """What is left to say when alerts could not be made."""
    kinds = ", ".join(sorted({e.kind.replace("_", " ") for e in events}))
    return card(f"⚠️ {counted(len(events), 'alert')} could not be drawn: {kinds}", f"{events[0].key}: see the log")


def digest(
    events: Sequence[Event], zone: ZoneInfo, silence: timedelta | None = None, answers: Sequence[str] = ()
) -> Card:
    """Many alerts in one, after a ``silence`` in which nothing could be told. ``answers`` say how approvals ended."""
    first, last = min(e.time for e in events), max(e.time for e in events)
    title = f"📬 {len(events)} alerts in one" if silence is None else f"📬 While you were away: {len(events)} alerts"
    span = f"{day_time(first, zone)} to {day_time(last, zone)}"
    quiet = [f"Nothing could be told for {duration(silence)}."] if silence is not None else []
    return card(
        f"{title}, {span}",
        text(
            [
                *quiet,
                *_closed_lines(events),
                *_refused_lines(events),
                *_target_lines(events),
                *answers,
                *_other_lines(events),
            ]
        ),
    )


def _closed_lines(events: Sequence[Event]) -> list[str]:
    closings = [e for e in events if isinstance(e, TradeClosed)]
    if not closings:
        return []
    won = sum(e.pnl > 0 for e in closings)
    total = f"🏁 {counted(len(closings), 'trade')} closed, {won} won, {signed_money(sum(e.pnl for e in closings))}"
    shown = [_closed_title(e) for e in closings[:MOST_LINES]]
    hidden = len(closings) - len(shown)
    return [total, *shown, *([f"and {hidden} more: /trades"] if hidden else [])]


def _refused_lines(events: Sequence[Event]) -> list[str]:
    lines = []
    words = {"refused": "refused", "missed": "missed", "signal_only": "shown only"}
    for status, word in words.items():
        of_status = [e for e in events if isinstance(e, SignalDecided) and e.status == status]
        if of_status:
            reasons = Counter(e.reason or "no reason" for e in of_status).most_common(4)
            told = ", ".join(f"{r} {n}×" for r, n in reasons)
            lines.append(f"⛔ {counted(len(of_status), 'signal')} {word}: {told}")
    return lines


def _target_lines(events: Sequence[Event]) -> list[str]:
    closed = {e.trade_id for e in events if isinstance(e, TradeClosed)}  # their end has told all
    hits = [e for e in events if isinstance(e, TargetHit) and e.trade_id not in closed]
    if not hits:
        return []
    names = ", ".join(f"{coin(h.pair)} {h.target}" for h in hits[:MOST_LINES])
    return [f"🎯 {counted(len(hits), 'target')}, {signed_money(sum(h.pnl for h in hits))}: {names}"]


def _other_lines(events: Sequence[Event]) -> list[str]:
    """What trades, signals and approvals leave: their titles, the most frequent first."""
    told_above = SignalDecided | TargetHit | TradeClosed | ApprovalAsked | ApprovalEnded | ApprovalReminder
    faults = {name: e for e in events if isinstance(e, Notice) and e.topic == "fault" and (name := fault_name(e))}
    lines = Counter[str]()
    for event in (e for e in events if not isinstance(e, told_above)):
        fault = faults.get(fault_name(event) or "")  # the newest of its name
        if fault is None:
            lines[other(event).title] += 1
        elif isinstance(event, Notice) and event.topic == "fault":  # whatever stands is in no digest
            lines[f"{_TOPIC_MARK['recovered']} Over: {fault.title}"] += 1
    shown = [f"{title} ({n}×)" if n > 1 else title for title, n in lines.most_common(MOST_LINES)]
    hidden = len(lines) - len(shown)
    return [*shown, *([f"and {hidden} more"] if hidden else [])]


def other(event: Event) -> Card:
    """Any event by itself that is neither a trade's nor an approval's."""
    match event:
        case PairStopped():
            return pair_stopped(event)
        case ModelTrained():
            return model_trained(event)
        case Notice():
            return notice(event)
        case TradeClosed():
            return closed(event)
        case Digest():
            return rendering_home.story(event.title, event.lines, event.span)
        case ApprovalAsked() | ApprovalEnded() | ApprovalReminder():
            return card(f"🗳 Approval {event.approval_id}")
        case _:
            return card(f"{event.kind.replace('_', ' ')}")
