"""The success metrics and their red flags: what was promised after two and four weeks, what is there, and why. Pure.

A red flag is raised only where the target was within reach: seventy outcomes in two weeks are no failure of a bot
whose filters leave 0.6 a day, and two losses in three trades are no evidence of anything. What is out of reach or too
early to tell says so instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from core.ml.arrivals import Arrivals, arrivals

Period = Literal["2 weeks", "4 weeks", "bootstrap"]
State = Literal["good", "short", "flag", "out of reach", "early", "unknown"]
Trend = Literal["better", "worse", "same"]

DUE: Mapping[Period, float] = {"2 weeks": 14.0, "4 weeks": 28.0, "bootstrap": 0.0}

_SURE = 0.05  # a share is judged only where chance would give it so rarely, were the target true
_FEWEST_TRADES = 10
_FEWEST_FOR_FACTOR = 20
_FEWEST_ASKED = 20
_FEWEST_UNSEEN = 50
_MOST_PAIRS = 30  # more than anybody would watch: then pairs are no advice


@dataclass(frozen=True, slots=True)
class Figures:
    """A ledger at one moment: ``days`` since its first candle, live ``outcomes``, closed ``trades`` with net ``gains``
    and ``losses`` (both positive), the deepest ``drawdown`` so far (share), how often Gemini was ``asked`` and
    ``rejected``, and the accuracy of the gate's last look (None: no look)."""

    days: float
    outcomes: int
    trades: int
    wins: int
    gains: float
    losses: float
    drawdown: float | None
    asked: int
    rejected: int
    live_accuracy: float | None = None
    live_n: int = 0


@dataclass(frozen=True, slots=True)
class Learned:
    """The champion's figures: backtest ``samples`` there are, ``n`` unseen signals, accuracy, the majority's, AUC."""

    samples: int
    n: int = 0
    accuracy: float | None = None
    majority: float | None = None
    auc: float | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """What could be expected: signals per day of the watched pairs in history (None: not known), and how many pairs."""

    per_day: float | None
    pairs: int
    bootstrap_days: float


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the table: its value now and a week ago, and what it means.

    ``target`` and ``red`` are the numbers asked for, ``value`` and ``before`` in the same unit; ``wanted`` and
    ``warned`` the same in words, ``shown`` the value. ``cause`` says why it is as it is, ``change`` the one thing
    that would mend it. ``due`` is whether its time has come, ``applies`` whether its period is the present one.
    """

    key: str
    period: Period
    name: str
    wanted: str
    warned: str
    target: float
    red: float
    value: float | None
    shown: str
    state: State
    cause: str
    change: str = ""
    before: float | None = None
    trend: Trend | None = None
    due: bool = True
    applies: bool = True

    @property
    def raised(self) -> bool:
        return self.state == "flag" and self.due and self.applies


def metrics(now: Figures, before: Figures | None, learned: Learned, pace: Pace) -> tuple[Metric, ...]:
    """Every line of the table; ``before`` are the figures of a week ago (None: there was nothing yet)."""
    found = (
        _collected("2 weeks", 70, 30, now, before, pace),
        _model_accuracy("2 weeks", learned, 0.55, 0.50),
        _win_rate("2 weeks", 0.35, 0.25, now, before),
        _rejections(now, before),
        _collected("4 weeks", 150, 80, now, before, pace),
        _live_accuracy(now, before),
        _win_rate("4 weeks", 0.45, 0.35, now, before),
        _profit_factor(now, before),
        _drawdown(now, before),
        _samples(learned, pace),
        _model_accuracy("bootstrap", learned, 0.60, 0.55),
        _auc(learned),
    )
    return tuple(_placed(metric, now.days) for metric in found)


def flags(found: tuple[Metric, ...]) -> tuple[Metric, ...]:
    return tuple(metric for metric in found if metric.raised)


def present(days: float) -> Period:
    """Which of the two periods a ledger of so many days is measured by."""
    return "4 weeks" if days >= DUE["4 weeks"] else "2 weeks"


def chance_of_at_most(count: int, n: int, share: float) -> float:
    """The binomial chance of at most ``count`` of ``n`` at a true ``share`` strictly between 0 and 1; exact."""
    total = 0.0
    for k in range(count + 1):
        log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        total += math.exp(log + k * math.log(share) + (n - k) * math.log1p(-share))
    return min(1.0, total)


def _placed(metric: Metric, days: float) -> Metric:
    """The line with whether its time has come; before that a bad one is only early."""
    due = days >= DUE[metric.period]
    applies = metric.period in ("bootstrap", present(days))
    state: State = "early" if metric.state == "flag" and not due else metric.state
    return replace(metric, due=due, applies=applies, state=state)


def _trend(value: float | None, before: float | None, *, more_is_better: bool = True) -> Trend | None:
    if value is None or before is None:
        return None
    if math.isclose(value, before, abs_tol=5e-4):
        return "same"
    return "better" if (value > before) is more_is_better else "worse"


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _collected(period: Period, target: int, red: int, now: Figures, before: Figures | None, pace: Pace) -> Metric:
    promised = arrivals(0, 0.0, pace.per_day) if pace.per_day else None
    known = promised or arrivals(now.outcomes, now.days, None)
    in_reach = known is not None and known.more_in(DUE[period], 0.9) >= target
    fewer = promised is not None and now.days >= 1 and promised.more_in(now.days, _SURE) >= now.outcomes + 1
    if now.outcomes >= target:
        state: State = "good"
    elif now.days < DUE[period]:
        state = "early"
    elif now.outcomes < red:
        state = "flag" if in_reach or fewer else "out of reach"
    else:
        state = "short"
    a_week = None if before is None else now.outcomes - before.outcomes
    usual = None if before is None or before.days < 7 else before.outcomes / before.days * 7
    return Metric(
        "collected", period, "live outcomes", f"{target}+", f"< {red}", target, red, now.outcomes, str(now.outcomes),
        state, _collected_cause(now, pace, known, target, period, in_reach, a_week),
        _collected_change(target, period, pace, known, fewer), None if before is None else before.outcomes,
        _trend(a_week, usual),
    )  # fmt: skip


def _collected_cause(
    now: Figures, pace: Pace, known: Arrivals | None, target: int, period: Period, in_reach: bool, a_week: int | None
) -> str:
    if pace.per_day:
        words = f"the filters leave {now.outcomes}; {pace.per_day * now.days:.0f} expected at {pace.per_day:.2g} a day"
    elif known is None:
        return "how fast outcomes come cannot be told yet"
    else:
        words = f"{now.outcomes} in {now.days:.0f} days, {known.per_day:.2g} a day"
    if a_week is not None:
        words += f", {a_week} in the last week"
    return words if in_reach else f"{words}; {target} in {period} are out of reach at that rate"


def _collected_change(target: int, period: Period, pace: Pace, known: Arrivals | None, fewer: bool) -> str:
    if fewer:
        return "far fewer than history gave: look at /status for pairs that are off or feeds that fail"
    if known is None or not pace.pairs:
        return ""
    per_pair = known.per_day / pace.pairs
    more = math.ceil(target / DUE[period] / per_pair) - pace.pairs
    if more <= 0:
        return ""
    if more > _MOST_PAIRS:
        return f"no number of pairs that one could watch gives {target} in {period}: wait longer, the rest is in order"
    return f"{more} more pairs would bring {target} in {period}"


def _judged(value: int, n: int, target: float, red: float, fewest: int, what: str, *, good: bool) -> tuple[State, str]:
    """The state of a share that should not be small, and the remark that goes with it."""
    if n < fewest:
        return ("unknown", f"no {what} yet") if n == 0 else ("early", f"{n} {what} are too few to tell")
    if good:
        return "good", ""
    if value / n >= red:
        return "short", ""
    chance = chance_of_at_most(value, n, target)
    if chance >= _SURE:
        return "early", f"were {target:.0%} true, so few would come in {chance:.0%} of cases: too early to tell"
    return "flag", f"were {target:.0%} true, so few would come in {chance:.1%} of cases"


def _win_rate(period: Period, target: float, red: float, now: Figures, before: Figures | None) -> Metric:
    value, earlier = _share(now.wins, now.trades), _share(before.wins, before.trades) if before else None
    good = value is not None and value > target
    state, remark = _judged(now.wins, now.trades, target, red, _FEWEST_TRADES, "closed trades", good=good)
    counted = f"{now.wins} of {now.trades} trades won after costs"
    return Metric(
        "win_rate", period, "paper win rate", f"> {target:.0%}", f"< {red:.0%}", target, red, value, _percent(value),
        state, _joined(counted if now.trades else "", remark),
        "`julaba check filters` shows which rule costs more than it saves" if state in ("flag", "short") else "",
        earlier, _trend(value, earlier),
    )  # fmt: skip


def _rejections(now: Figures, before: Figures | None) -> Metric:
    value, earlier = _share(now.rejected, now.asked), _share(before.rejected, before.asked) if before else None
    good = value is not None and 0.30 <= value <= 0.50
    if value is not None and value > 0.70:  # the same question, asked of the approvals
        state, remark = _judged(now.asked - now.rejected, now.asked, 0.50, 0.30, _FEWEST_ASKED, "answers", good=good)
        remark = remark.replace("so few", "so few approvals")
    else:
        state, remark = _judged(now.rejected, now.asked, 0.30, 0.20, _FEWEST_ASKED, "answers of Gemini", good=good)
    change = ""
    if state == "flag" and value is not None:
        change = (
            "Gemini refuses nearly all: /gemini shows whether it is right" if value > 0.5 else
            "Gemini refuses nearly nothing: /gemini shows whether it is worth its tokens"
        )  # fmt: skip
    distance = None if value is None else abs(value - 0.4)
    earlier_distance = None if earlier is None else abs(earlier - 0.4)
    counted = f"{now.rejected} of {now.asked} rejected" if now.asked else ""
    return Metric(
        "rejections", "2 weeks", "Gemini rejections", "30-50%", "< 20% or > 70%", 0.30, 0.20, value, _percent(value),
        state, _joined(counted, remark), change, earlier, _trend(distance, earlier_distance, more_is_better=False),
    )  # fmt: skip


def _model_accuracy(period: Period, learned: Learned, target: float, red: float) -> Metric:
    state, remark = _measured(learned.accuracy, learned.n, target, red)
    beside = "" if learned.majority is None else f"always saying the commoner outcome has {learned.majority:.0%}"
    name = "model accuracy (backtest)"
    return Metric(
        "backtest_accuracy", period, name, f"{'> ' if period == '2 weeks' else ''}{target:.0%}", f"< {red:.0%}",
        target, red, learned.accuracy, _percent(learned.accuracy), state, _joined(remark, beside),
        _more_samples(state),
    )  # fmt: skip


def _auc(learned: Learned) -> Metric:
    state, remark = _measured(learned.auc, learned.n, 0.62, 0.55)
    shown = "–" if learned.auc is None else f"{learned.auc:.2f}"
    return Metric(
        "auc", "bootstrap", "model AUC (backtest)", "0.62", "< 0.55", 0.62, 0.55, learned.auc, shown, state,
        _joined(remark, "guessing has 0.50"), _more_samples(state),
    )  # fmt: skip


def _measured(value: float | None, n: int, target: float, red: float) -> tuple[State, str]:
    if value is None:
        return "unknown", "no evaluated model yet"
    words = f"on {n} unseen signals"
    if n < _FEWEST_UNSEEN:
        return "early", f"{words}, too few to tell"
    return ("good" if value > target else "flag" if value < red else "short"), words


def _more_samples(state: State) -> str:
    return "learn from every crossover too: `julaba pipeline --candidates`" if state in ("flag", "short") else ""


def _live_accuracy(now: Figures, before: Figures | None) -> Metric:
    value, earlier = now.live_accuracy, before.live_accuracy if before else None
    state: State = "unknown"
    cause = "the gate has not looked yet"
    if value is not None:
        state = "good" if value > 0.55 else "flag" if value < 0.50 else "short"
        cause = f"at the last look, on {now.live_n} outcomes"
    return Metric(
        "live_accuracy", "4 weeks", "model accuracy (live)", "> 55%", "< 50%", 0.55, 0.50, value, _percent(value),
        state, cause, "keep the weight at 0; /models shows older models" if state == "flag" else "", earlier,
        _trend(value, earlier),
    )  # fmt: skip


def _profit_factor(now: Figures, before: Figures | None) -> Metric:
    value, earlier = _factor(now), _factor(before) if before else None
    if value is None:
        state: State = "unknown"
        cause = "no losing trade yet" if now.trades else "no closed trades yet"
    elif now.trades < _FEWEST_FOR_FACTOR:
        state, cause = "early", f"{now.trades} trades are too few to tell"
    else:
        state = "good" if value > 1.2 else "flag" if value < 1.0 else "short"
        cause = f"{now.gains:,.0f} won, {now.losses:,.0f} lost after costs, in {now.trades} trades"
    change = "`julaba check filters` shows which rule costs more than it saves" if state == "flag" else ""
    return Metric(
        "profit_factor", "4 weeks", "profit factor", "> 1.2", "< 1.0", 1.2, 1.0, value,
        "–" if value is None else f"{value:.2f}", state, cause, change, earlier, _trend(value, earlier),
    )  # fmt: skip


def _factor(figures: Figures) -> float | None:
    return figures.gains / figures.losses if figures.losses else None


def _drawdown(now: Figures, before: Figures | None) -> Metric:
    value, earlier = now.drawdown, before.drawdown if before else None
    state: State = "unknown"
    if value is not None:
        state = "good" if value < 0.15 else "flag" if value > 0.20 else "short"
    return Metric(
        "drawdown", "4 weeks", "deepest drawdown", "< 15%", "> 20%", 0.15, 0.20, value, _percent(value, 1), state,
        "from the highest equity so far" if value is not None else "no equity yet",
        "halve paper.risk_per_trade" if state == "flag" else "", earlier,
        _trend(value, earlier, more_is_better=False),
    )  # fmt: skip


def _samples(learned: Learned, pace: Pace) -> Metric:
    n, days = learned.samples, pace.bootstrap_days
    possible = None if pace.per_day is None else pace.per_day * days
    in_reach = possible is None or possible >= 250
    state: State = "good" if n >= 250 else "short" if n >= 150 else "flag" if in_reach else "out of reach"
    cause = "" if possible is None else f"{days:.0f} days at {pace.per_day:.2g} a day hold {possible:.0f}"
    change = "" if n >= 250 else "fetch more days or more pairs, or learn from every crossover (--candidates)"
    if not n and possible is None:
        state, cause, change = "unknown", "no stored candles", "`julaba fetch` gets them"
    return Metric(
        "samples", "bootstrap", "backtest samples", "250+", "< 150", 250, 150, n, str(n), state, cause, change,
    )  # fmt: skip


def _percent(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:.{digits}%}"


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
