"""Money as cards: what was made, the last signals, the market, the risk, and what the model would say now."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from core.domain.trading import Direction, Regime, Ruling
from core.ml.words import told
from core.services.asked_now import PredictView, Side
from core.services.explain import WhyView
from core.services.exposure import NextPause, RiskView
from core.services.market_board import Cross, MarketLine, MarketView
from core.services.profit import CalendarView, PairProfit, ProfitView
from core.services.views import TradeView
from julaba_tg.card import Card, card, quote, section, table, text
from julaba_tg.figures import (
    UNKNOWN,
    bar,
    clock_time,
    coin,
    counted,
    day_time,
    figure,
    money,
    percent,
    price,
    r_multiple,
    score,
    signed_money,
)
from julaba_tg.rendering import exit_words
from julaba_tg.rendering_why import result

MOST_IN_FULL = 25
"""Signals: more of them are a line each, or the oldest would not fit into a message."""

MOST_LINES = 20
"""Pairs of a market: 60 lines are as much as anybody scrolls through."""

_MARKS = {"taken": "✅", "refused": "⛔", "missed": "⌛", "signal_only": "👁", "candidate": "▫️"}
_WHO = {"rules": "the rules", "gemini": "Gemini", "model": "the model", "combined": "the confidence",
        "portfolio": "the limits", "size": "the size"}  # fmt: skip
_REGIMES = {Regime.TRENDING: "trending", Regime.WEAK_TRENDING: "weak trend", Regime.CHOPPY: "choppy",
            Regime.VOLATILE: "volatile", Regime.UNKNOWN: "unknown"}  # fmt: skip


# -- profit --


def profit(view: ProfitView) -> Card:
    """Net first: that is what the account has."""
    over = "since the start" if view.days is None else "today" if view.days == 1 else f"in {view.days} days"
    span = f"{view.since:%-d %b} – {view.until:%-d %b}" if view.since != view.until else f"{view.since:%-d %b}"
    if not view.trades:
        return card(f"💰 No trade ended {over}", text([span, *_standing(view)]))
    net, gross = view.net, view.gross
    return card(
        f"💰 {signed_money(net.pnl)} net {over} · {counted(view.trades, 'trade')}",
        f"{span} · {net.wins} won, {view.trades - net.wins} lost · profit factor {_factor(net.factor)}",
        f"Each trade {signed_money(net.each)} on average, {r_multiple(net.r_each)}",
        f"Gross {signed_money(gross.pnl)}, factor {_factor(gross.factor)}; fees and slippage took {money(view.costs)}",
        text(_standing(view)),
        quote([f"Best {_trade(view.best)}", f"Worst {_trade(view.worst)}", *(_pair(p) for p in view.pairs)]),
    )


def _standing(view: ProfitView) -> list[str]:
    fall = view.drawdown
    deepest = f"Deepest fall {percent(fall.share, 1)} ({money(fall.depth)})" if fall is not None else "No fall"
    lines = [f"Equity {money(view.equity)}, {signed_money(view.change)} in this time · {deepest}"]
    if view.open_trades:
        lines.append(f"Open: {counted(view.open_trades, 'trade')}, {signed_money(view.open_pnl)}")
    return lines


def _pair(line: PairProfit) -> str:
    won = f"{line.wins} of {line.trades} won"
    return f"{coin(line.pair)} {signed_money(line.pnl)} · {won} · {r_multiple(line.r)}"


def _trade(trade: TradeView | None) -> str:
    if trade is None:
        return UNKNOWN
    how = exit_words(trade.exit_reason, trade.last_target)
    return f"#{trade.trade_id} {coin(trade.pair)} {trade.direction} {signed_money(trade.pnl)} · {how}"


def _factor(value: float | None) -> str:
    return "– (nothing lost)" if value is None else f"{value:.2f}"


def month(view: CalendarView, zone: ZoneInfo) -> Card:
    name = f"{view.month:%B %Y}"
    if not view.days:
        return card(f"📅 {name} · no trade ended")
    up, down = (sum(sign * d.pnl > 0 for d in view.days) for sign in (1, -1))
    best, worst = max(view.days, key=lambda d: d.pnl), min(view.days, key=lambda d: d.pnl)
    lines = [f"{counted(up, 'day')} up, {down} down · best {best.day:%-d %b} {signed_money(best.pnl)}"]
    if worst is not best:
        lines[0] += f", worst {worst.day:%-d %b} {signed_money(worst.pnl)}"
    lines.append(f"Net, each trade on the day it ended ({zone.key})")
    return card(f"📅 {name} · {signed_money(view.pnl)} · {counted(view.trades, 'trade')}", text(lines))


# -- signals --


def signals(views: Sequence[WhyView], zone: ZoneInfo) -> Card:
    if not views:
        return card("📡 No signal yet", "Signals are rare: about one in eight days a pair. /market shows how far away.")
    taken = sum(v.status == "taken" for v in views)
    full = len(views) <= MOST_IN_FULL
    lines = [line for view in views for line in _signal(view, zone, full)]
    return card(
        f"📡 The last {counted(len(views), 'signal')} · {taken} taken",
        text(lines),
        "R after costs once closed. What was not taken is followed by the same rules, without money.",
    )


def _signal(view: WhyView, zone: ZoneInfo, full: bool) -> list[str]:
    mark = _MARKS[view.status]
    head = f"{view.decision_id} {mark} {coin(view.pair)} {view.direction} · {day_time(view.time, zone)}"
    opinions = " · ".join([*_opinions(view)])
    if not full:
        return [f"{head} · {result(view.became)}{' · ' + opinions if opinions else ''}"]
    more = " · ".join(part for part in (_what(view), opinions) if part)
    return [f"{head} · {result(view.became)}", *([f"   {more}"] if more else [])]


def _opinions(view: WhyView) -> list[str]:
    found = [f"G {score(view.gemini.confidence)}"] if view.gemini is not None else []
    if view.model is not None:
        average = f" (avg {score(view.model.average)})" if view.model.average is not None else ""
        found.append(f"ML {score(view.model.probability)}{average}")
    return found


def _what(view: WhyView) -> str:
    """Who refused and why; nothing for a trade."""
    if view.status == "refused":
        by = next((v.layer for v in view.verdicts if v.ruling is Ruling.REFUSE), "")
        who = _WHO.get(by, by) or "refused"
        return view.reason if view.reason.startswith(who) else f"{who}: {view.reason}"
    return {"missed": "missed, found too late", "signal_only": "shown only"}.get(view.status, "")


# -- market --


def market(view: MarketView, zone: ZoneInfo) -> Card:
    """A table of rows that fit a phone: three a pair, at most 34 characters each."""
    at = max((line.at for line in view.lines if line.at is not None), default=None)
    trend = {1: "up", -1: "down", 0: "flat", None: "not known"}[view.btc_trend]
    moved = f", {_change(view.btc_change)} in 24 h" if view.btc_change is not None else ""
    shown = view.lines[:MOST_LINES]
    left = len(view.lines) - len(shown)
    return card(
        f"🧭 {coin(view.btc)} 1h {trend}{moved} · close {clock_time(at, zone)}",
        table([f"{'':<6}{'price':>10}{'24h':>8}{'ADX':>5}{'RSI':>5}", *(r for line in shown for r in _rows(line))]),
        text([f"And {counted(left, 'pair')} more: /chart PAIR"] if left else []),
    )


def _rows(line: MarketLine) -> list[str]:
    now = price(line.live.price if line.live is not None and not line.live.old else line.close)
    name = coin(line.pair)[: 15 - len(now)]
    head = f"{name}{now:>{16 - len(name)}}"
    off = [] if line.enabled else ["  switched off"]
    if line.close is None:
        return [head, "  no candles yet", *off]
    cross = [f"  {_cross(line.cross)}"] if line.cross is not None else []
    return [
        f"{head}{_change(line.change):>8}{_whole(line.adx):>5}{_whole(line.rsi):>5}",
        f"  {_REGIMES[line.regime]} · H {_short(line.hurst)} · vol {_short(line.volume_ratio)}",
        f"  close {price(line.close)} · SMA {_distance(line.distance)}",
        *cross,
        *off,
    ]


def _cross(cross: Cross) -> str:
    way = "up" if cross.direction is Direction.LONG else "down"
    return f"⚡ averages crossed {way}" if not cross.candles else f"⚡ cross {way} in ~{cross.candles} candles"


def _change(share: float | None) -> str:
    if share is None:
        return UNKNOWN
    shown = f"{share * 100:+.1f}%"
    return shown if len(shown) <= 7 else f"{share * 100:+.0f}%"[:7]


def _distance(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:+.2f}%" if abs(value) < 99.995 else f"{value:+.0f}%"


def _whole(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0f}"


def _short(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}" if value < 99.995 else f"{min(value, 99_999.0):.0f}"


# -- risk --


def risk(view: RiskView, day: str = "today") -> Card:
    """``day`` is what the day of the loss limit is called, see ``figures.utc_day``."""
    share = view.open_risk / view.equity if view.equity > 0 else None
    today = f"{day} {_change(-view.day_loss)}" if view.day_loss else f"{day} unchanged"
    return card(
        f"🛡 {counted(view.positions, 'trade')} open, {money(view.open_risk)} at risk ({percent(share, 1)}) · {today}",
        table(_bars(view)),
        text(_next(view)),
        text(_together(view)),
        quote(
            [f"{coin(p.pair)} {p.direction} · {money(p.risk)} at risk · worth {money(p.notional)}" for p in view.open]
        ),
    )


def _bars(view: RiskView) -> list[str]:
    equity = view.equity if view.equity > 0 else 1.0
    open_share, open_limit = view.open_risk / equity, view.open_risk_limit / equity
    gross, loss = view.notional / equity, max(0.0, view.day_loss)
    group = max((len(g) for g in view.groups), default=min(1, view.positions))
    rows = [
        ("open risk", open_share, open_limit, f"{percent(open_share, 1)} of {percent(open_limit)}"),
        ("gross", gross, view.max_leverage, f"{figure(round(gross, 2))} of {figure(view.max_leverage)}x"),
        ("trades", view.positions, view.max_positions, f"{view.positions} of {view.max_positions}"),
        ("together", group, view.max_correlated, f"{group} of {view.max_correlated}"),
        ("day loss", loss, view.day_loss_limit, f"{percent(loss, 1)} of {percent(view.day_loss_limit)}"),
        ("drawdown", view.drawdown, view.drawdown_pause, _drawdown(view)),
    ]
    if view.streak_limit:
        rows.append(("losses", view.streak, view.streak_limit, f"{view.streak} of {view.streak_limit} in a row"))
    return [f"{name:<10}{bar(done, limit)} {words}" for name, done, limit, words in rows]


def _drawdown(view: RiskView) -> str:
    warned = " ⚠" if view.drawdown >= view.drawdown_warn else ""
    return f"{percent(view.drawdown, 1)} of {percent(view.drawdown_pause)}{warned}"


def _next(view: RiskView) -> list[str]:
    lines = [f"⏸ No entries: {view.paused}"] if view.paused else []
    coming = view.next_pause
    if coming is not None:
        lines.append(f"Next pause: {_pause_words(coming, view)}")
    if not view.streak_limit and view.streak:
        lines.append(f"{counted(view.streak, 'losing trade')} in a row; no limit is set on that")
    if view.positions:
        stops = f"Every stop hit would cost {money(max(0.0, view.stops))} before costs"
        enough = coming is not None and coming.limit != "run of losses" and view.stops >= coming.loss
        lines.append(f"{stops}, and that pauses entries" if enough else stops)
    return lines


def _pause_words(coming: NextPause, view: RiskView) -> str:
    if coming.limit == "run of losses":
        return f"a run of losses, after {counted(coming.trades, 'more losing trade')}"
    limit = view.day_loss_limit if coming.limit == "daily loss" else view.drawdown_pause
    way = percent(coming.loss / view.equity, 1) if view.equity > 0 else UNKNOWN
    return f"{coming.limit} of {percent(limit)}, after {money(coming.loss)} more ({way})"


def _together(view: RiskView) -> list[str]:
    lines = [f"{', '.join(coin(p) for p in group)} win and lose together" for group in view.groups]
    if view.unknown:
        lines.append(f"Too few candles to tell: {', '.join(coin(p) for p in view.unknown)}")
    return lines


# -- predict --


def predict(view: PredictView, zone: ZoneInfo) -> Card:
    """It says first that this is no signal: a high number here is no advice."""
    name, at = coin(view.pair), clock_time(view.at, zone)
    now = "no signal now" if view.crossed is None else f"crossed {view.crossed} at {at}"
    if not view.sides:
        return card(f"🔮 {name} · {now} · {view.note}", f"Last close {price(view.price)} at {at}.")
    heads = ", ".join(f"{side.direction} {score(side.probability)}" for side in view.sides)
    what = "what came of it is in /signals" if view.crossed is not None else "nothing is decided by this"
    average = next((f", its average {score(side.average)}" for side in view.sides if side.average is not None), "")
    return card(
        f"🔮 {name} · {now} · {heads}",
        f"What {view.model_id} would say of a crossover at {at} ({price(view.price)}){average}; {what}.",
        *(section(_side(side)) for side in view.sides),
    )


def _side(side: Side) -> list[str]:
    opinion = side.opinion
    average = f" (avg {score(side.average)})" if side.average is not None else ""
    rank = f", ahead of {percent(side.rank)} of its last ones" if side.rank is not None else ""
    shown, _ = told(side.lines, 4)
    return [
        f"{side.direction} {score(side.probability)}{average} · {opinion.confidence} · {opinion.recommendation}{rank}",
        *(f"{'🟩' if line.share >= 0 else '🟥'} {line.words}" for line in shown),
    ]
