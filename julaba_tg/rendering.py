"""Views to cards: what the bot answers. Pure; every string in a card is raw, ``card`` does the escaping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

from core.errors import StoreError
from core.services.prices import LivePrice
from core.services.views import (
    ConditionView,
    MlView,
    PairView,
    PositionView,
    Role,
    StatusView,
    TradesView,
    TradeView,
    TrainingView,
    WeightAnswer,
)
from julaba_tg import rendering_samples
from julaba_tg.card import Block, Card, card, quote, section, table, text
from julaba_tg.figures import (
    UNKNOWN,
    bar,
    clock_time,
    coin,
    counted,
    day_time,
    duration,
    figure,
    money,
    percent,
    price,
    r_multiple,
    signed_money,
    utc_day,
)
from julaba_tg.rendering_models import comparison


def status(view: StatusView, zone: ZoneInfo) -> Card:
    state = "⏸ paused" if view.paused else "running"
    today = utc_day(zone, view.now)
    title = f"📊 {money(view.equity)} · {today} {signed_money(view.day_pnl)} · {len(view.positions)} open · {state}"
    lines = [f"⏸ {pause_words(view.paused)}. Open trades go on; /resume trades again."] if view.paused else []
    lines += [f"⚠️ {fault}" for fault in view.faults]
    lines += [
        f"Total {signed_money(view.total_pnl)} · cash {money(view.cash)} · open {signed_money(view.open_pnl)} · "
        f"drawdown {percent(view.drawdown, 1)}",
        f"Signals {today} {view.signals_today}, refused {view.refused_today} · trades so far {view.trades_total}",
        f"Gemini {view.gemini} · ML {view.ml}",
    ]
    positions = [" · ".join(filter(None, [_position_line(p), live_words(p.live)])) for p in view.positions]
    pairs = [_pair_row(p, zone) for p in view.pairs]
    times = (
        f"Last close {clock_time(view.last_close, zone)}, next {clock_time(view.next_close, zone)} "
        f"({zone.key}) · {view.mode} · at {view.now.astimezone(zone):%H:%M:%S}"
    )
    return card(title, text(lines), section(positions), table(pairs), times)


def _position_line(p: PositionView) -> str:
    sign = "🟢" if p.r >= 0 else "🔴"
    return f"{sign} {coin(p.pair)} {p.direction} {price(p.entry)} → {price(p.mark)} · {r_multiple(p.r)}"


def live_words(live: LivePrice | None) -> str:
    """``now 17.52 (4 s ago)``; empty where no price is known. Above, beside it, stand the figures of the last close."""
    if live is None:
        return ""
    if live.old:
        return f"⚠️ old price {price(live.price)} ({duration(live.age / 60)} ago)"
    return f"now {price(live.price)} ({'just now' if live.age < 1 else f'{live.age:.0f} s ago'})"


def _live_line(p: PositionView) -> str:
    """Left out where nothing is known."""
    words = live_words(p.live)
    worth = f" · {signed_money(p.live_pnl + p.realized_pnl)}" if p.live_pnl is not None else ""
    return f"{words[:1].upper()}{words[1:]}{worth}" if words else ""


def _pair_row(p: PairView, zone: ZoneInfo) -> str:
    note = f" {p.note}" if p.note else ""
    return (
        f"{'✅' if p.enabled else '⛔'} {coin(p.pair):<6} {price(p.price):>8}  {clock_time(p.last_close, zone)}{note}"
    )


def positions(views: Sequence[PositionView], zone: ZoneInfo) -> Card:
    if not views:
        return card("📂 No open trades", "The next signal that passes every layer opens one. /status shows the pairs.")
    total = sum(p.open_pnl + p.realized_pnl for p in views)
    return card(f"📂 {counted(len(views), 'open trade')} · {signed_money(total)}", *(_position(p, zone) for p in views))


def _position(p: PositionView, zone: ZoneInfo) -> Block:
    targets = " / ".join(f"{price(t)}{' ✓' if i < p.targets_hit else ''}" for i, t in enumerate(p.targets))
    return section(
        [
            f"{_position_line(p)} · {signed_money(p.open_pnl + p.realized_pnl)}",
            *filter(None, [_live_line(p)]),
            f"Stop {price(p.stop)} · targets {targets}",
            f"#{p.trade_id} since {day_time(p.opened_at, zone)} · {counted(p.bars, 'candle')} · "
            f"{percent(p.remaining)} left · risk {money(p.risk_amount)}",
        ]
    )


def trades(view: TradesView, zone: ZoneInfo) -> Card:
    if not view.trades:
        return card("📒 No closed trades yet", "They appear here with their result in R and dollars.")
    title = f"📒 {signed_money(view.pnl)} · {view.wins} of {view.total} won"
    factor = f"Profit factor {figure(view.profit_factor)} · " if view.profit_factor is not None else ""
    shown = f"{factor}the last {len(view.trades)} of {view.total}, net of costs"
    return card(title, shown, section(_trade_row(t, zone) for t in view.trades))


def _trade_row(t: TradeView, zone: ZoneInfo) -> str:
    sign = "🟢" if t.pnl > 0 else "🔴"
    return (
        f"{sign} {coin(t.pair)} {t.direction} {r_multiple(t.r_net)} · {signed_money(t.pnl)} · "
        f"{exit_words(t.exit_reason, t.last_target)} · {day_time(t.closed_at, zone)}"
    )


def exit_words(reason: str, last_target: str) -> str:
    """``stop after TP1`` and the like."""
    words = {
        "STOP_LOSS": "stop",
        "TP3_FULL": "all targets",
        "TIMEOUT": "time out",
        "MANUAL": "closed by hand",
        "GAP": "gap in the data",
    }.get(reason, reason)
    return f"{words} after {last_target}" if last_target and reason != "TP3_FULL" else words


def pairs(views: Sequence[PairView], zone: ZoneInfo, changed: str = "") -> Card:
    on = sum(p.enabled for p in views)
    title = f"🔀 {changed}" if changed else f"🔀 {on} of {len(views)} pairs trade"
    rows = [
        f"{'✅' if p.enabled else '⛔'} {coin(p.pair)} · risk ×{p.risk:g} · signals {p.signals} · "
        f"shadows {p.open_shadows} · {clock_time(p.last_close, zone)}{f' · {p.note}' if p.note else ''}"
        for p in views
    ]
    return card(title, text(rows), "A tap switches a pair. A trade that is open goes on to its end.")


def switched(view: PairView) -> str:
    """The first line after a switch."""
    return f"{coin(view.pair)} is {'on' if view.enabled else 'off'}"


def paused(view: StatusView) -> Card:
    if not view.paused:
        return card("▶️ Running", "Signals are traded again as they come.")
    return card(
        f"⏸ {pause_words(view.paused)}", "No new trades; open ones keep their stop and targets. /resume ends it."
    )


def pause_words(reason: str) -> str:
    return f"Paused {reason}" if reason.startswith("by ") else f"Paused: {reason}"


def ml(view: MlView, zone: ZoneInfo) -> Card:
    state = {
        "learning": f"learning {view.rows}/{view.rows_needed}",
        "blocked": "gate closed",
        "weak": "not proven",
        "ready": "may ask for weight",
    }[view.state]
    weight = f"weight {percent(view.weight)}"
    if view.approved_weight != view.weight:
        weight += f" of {percent(view.approved_weight)} approved"
    head = [view.summary, f"Champion {view.champion or 'none yet'} · line {view.line or UNKNOWN}"]
    return card(
        f"🧠 ML {state} · {weight}",
        text([*head, *view.standing]),
        section([*_progress(view, zone), *rendering_samples.ml_lines(view)]),
        section(["The gate:", *(_condition(c) for c in view.conditions)] if view.conditions else []),
        section([f"Approval {view.pending_approval} waits for an answer."] if view.pending_approval else []),
        section(["Rules changed by approval:", *view.changes] if view.changes else []),
        quote(["The champion, walk-forward:", *_metrics(view.metrics)] if view.metrics else []),
    )


def _progress(view: MlView, zone: ZoneInfo) -> list[str]:
    left = max(0, view.next_look - view.outcomes)
    looked = f"Last look (no. {view.looks}) {day_time(view.looked_at, zone)}" if view.looked_at else "No look so far"
    return [
        f"{bar(view.outcomes, view.next_look)} {view.outcomes} of {view.next_look} outcomes, {view.trades} are trades",
        f"{looked} · next at {view.next_look}: {left} to go",
    ]


def _condition(c: ConditionView) -> str:
    """A condition's sentence; its numbers before it where the sentence has none."""
    mark = "✅" if c.met else "❌"
    if c.number is None or any(character.isdigit() for character in c.sentence):
        return f"{mark} {c.sentence}"
    needed = f" (needs {figure(c.threshold)})" if c.threshold is not None else ""
    return f"{mark} {c.name.replace('_', ' ')} {figure(c.number)}{needed}: {c.sentence}"


def _metrics(metrics: Mapping[str, float | None]) -> list[str]:
    """Evaluation figures in a trader's words, as many as a phone has room for; the model's page has all of them."""
    known = {name: value for name, value in metrics.items() if value is not None}
    lines = []
    if "n" in known:
        lines.append(_row("unseen", f"{known['n']:.0f} signals"))
    if "accuracy" in known:
        beside = f" (commoner {known['majority']:.0%})" if "majority" in known else ""
        lines.append(_row("accuracy", f"{known['accuracy']:.0%}{beside}"))
    if "auc" in known:
        low, high = known.get("auc_low"), known.get("auc_high")
        interval = f" ({low:.2f} to {high:.2f})" if low is not None and high is not None else ""
        lines.append(_row("AUC", f"{known['auc']:.2f}{interval}"))
        lines.append(_row("guessing", "0.50"))
    if "brier_skill" in known:
        lines.append(_row("Brier skill", f"{known['brier_skill']:+.1%}"))
    if "permutation_p" in known:
        lines.append(_row("by chance", f"{known['permutation_p']:.0%} as good"))
    if "better_r" in known and "worse_r" in known:
        lines.append(_row("R by half", f"{known['better_r']:+.2f} and {known['worse_r']:+.2f}"))
    return lines


def _row(name: str, value: str) -> str:
    """A line of a fixed-width table that a phone shows without scrolling: at most 34 characters."""
    return f"{name:<11} {value}"


def weight_answer(answer: WeightAnswer) -> Card:
    asked = percent(answer.weight)
    if answer.missing:
        return card(
            f"⛔ Weight {asked}: not yet",
            answer.sentence,
            text(f"• {m}" for m in answer.missing),
            "/ml shows the gate.",
        )
    if answer.approval_id is not None:
        return card(f"🗳 Weight {asked}: asked as approval {answer.approval_id}", answer.sentence)
    return card(f"🧠 Weight {asked}", answer.sentence)


def progress(emoji: str, what: str, words: str, fraction: float) -> Card:
    """How far long work is; what is done just now in ``words``."""
    done = min(1.0, max(0.0, fraction))
    return card(f"{emoji} {what} · {percent(done)}", f"{bar(done, 1.0)} {words}")


def cut_off() -> Card:
    """In the place of a progress that a restart has ended; the same update is handed to its handler anew."""
    return card("✂️ A restart cut this off", "What became of it stands below.")


def training_done(view: TrainingView) -> Card:
    """The first line of a result, for the message that showed the progress."""
    if view.model_id is None:
        return card("🧠 Training ended without a model", view.sentence)
    return card(f"🧠 Trained in {view.seconds:.0f} s: {view.model_id}", view.sentence)


def training_result(view: TrainingView) -> Card:
    place = "the champion now" if view.champion else "a challenger; the champion stays"
    return card(
        f"🧠 {view.model_id}: {place}" if view.model_id else "🧠 No model",
        view.sentence,
        f"{view.rows} rows · {view.seconds:.1f} s",
        table(_metrics(view.metrics)),
        comparison(view.comparison),
        "/ml shows the gate.",
    )


def version(number: str, mode: str) -> Card:
    return card(f"Julaba {number} · {mode}")


def chart_caption(pair: str) -> Card:
    return card(f"📈 {coin(pair)}")


def which_pair() -> Card:
    return card("📈 Which pair?")


def refused(sentence: str) -> Card:
    """A JulabaError's sentence; its further lines (the usage) below."""
    first, *rest = sentence.splitlines() or [""]
    return card(f"✋ {_begun(first)}", text(rest))


def _begun(sentence: str) -> str:
    """With a capital, unless it begins with a name: of a model, of a setting."""
    return f"{sentence[:1].upper()}{sentence[1:]}" if sentence.partition(" ")[0].isalpha() else sentence


def needs_role(what: str, needed: Role, role: Role) -> Card:
    article = "an" if needed[0] in "aeiou" else "a"
    return card(f"✋ {what} needs {article} {needed}; you are {'an' if role[0] in 'aeiou' else 'a'} {role}.")


def too_old(command_line: str, age: timedelta | None = None) -> Card:
    """``age``: None for a tap, which has no date."""
    sent = f"was sent {duration(age)} ago" if age is not None else "came while I was away"
    return card(
        f"⌛ {command_line} {sent} and was not done.",
        "Still wanted? Tap, or send it again.",
    )


def apology(error: Exception | None = None) -> Card:
    if isinstance(error, StoreError):
        return card(f"😕 {error}", "What you asked may not have been done: send it again when that is over.")
    return card("😕 That went wrong on my side and is in the log. Trading goes on.")


def slow_down() -> Card:
    return card("🐢 That was a lot at once; I skip some until it calms down.")


def too_much(reason: str) -> Card:
    return card(f"🐢 {reason}")


def gone() -> Card:
    return card("This button is no longer valid. /start shows the current ones.")
