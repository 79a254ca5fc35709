"""What if: the ledger's signals decided once more, one after the other, with something changed. Pure.

The same account lives through the same closes: one position per pair, the portfolio's limits, sizes and breakers, by
the functions that trading itself uses. What was said of a signal then (rules, Gemini, the model) is taken as it is
stored; what nobody was asked then is not made up: such a signal stays out and is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from core.config import Settings
from core.domain.account import Account
from core.domain.candles import Candles, Pair, Timeframe
from core.domain.ledger import DecisionRecord, FollowRecord
from core.domain.trading import (
    Candidate,
    Decision,
    Follow,
    GeminiOpinion,
    Levels,
    ModelOpinion,
    Opinions,
    Ruling,
    Verdict,
)
from core.engine import answered, fills, filters, sizing, strategy, trader
from core.engine.portfolio import FactsOf
from core.engine.refollow import Stage, followed_again, stages
from core.engine.what_if import NOTHING, RULE_OF, Calibration, Change, Entry, Past, Run, Unknown

_ELSEWHERE = ("signal", "variant", "portfolio", "size", "combined")  # layers that are decided anew, or decide nothing
_YES = ("approval", "person")
_NOBODY: Mapping[Unknown, str] = {
    "gemini": "nobody asked Gemini then",
    "person": "nobody was asked for a yes then",
}
_SAME = 1e-9


def run(
    past: Sequence[Past],
    carried: Iterable[FollowRecord],
    account: Account,
    candles: Mapping[Pair, Candles],
    settings: Settings,
    change: Change = NOTHING,
    calibration: Calibration | None = None,
) -> Run:
    """Decides ``past`` in its order with ``account`` as it was before the first, holding the trades ``carried``.

    ``past`` holds every signal of the range, and every candidate where ``change.strategy`` chooses among them. Without
    a ``calibration`` nothing may be changed: that run finds it.
    """
    return _Simulation(carried, account, candles, settings, change, calibration).over(past)


@dataclass(slots=True)
class _Held:
    past: Past | None  # None: opened before the range
    left: list[Stage]


class _Simulation:
    """``now``: the close up to which the account has lived."""

    def __init__(
        self,
        carried: Iterable[FollowRecord],
        account: Account,
        candles: Mapping[Pair, Candles],
        settings: Settings,
        change: Change,
        calibration: Calibration | None,
    ) -> None:
        self.settings, self.change, self.account = settings, change, account
        self.candles = candles
        self.first = calibration is None
        self.known = calibration or Calibration()
        self.exits = _exits(settings, change)
        self.filters = settings.strategy.model_copy(
            update={k: int(v) if k == "cooldown_bars" else v for k, v in change.strategy.items()}
        )
        self.limits = settings.portfolio
        if change.max_positions is not None:
            self.limits = settings.portfolio.model_copy(update={"max_positions": change.max_positions})
        self.facts = FactsOf(candles, settings, {})
        self.closes = {p: dict(zip(c.time.tolist(), c.close.tolist(), strict=True)) for p, c in candles.items()}
        self.held: dict[int, _Held] = {}
        for record in carried:
            self.held[record.follow_id] = _Held(None, self._left(record.follow, record.pair))
        self.entries: dict[int, Entry] = {}
        self.pnl: dict[int, float] = {}
        self.last: dict[Pair, int] = {}  # this run's newest signal of a pair, and the ledger's
        self.was: dict[Pair, int] = {}
        self.ratio: dict[Pair, float] = {}
        self.advised = self.approved = False
        self.guessed = self.no_model = 0
        self.paused_since: int | None = None
        self.now = 0

    def over(self, past: Sequence[Past]) -> Run:
        frame = self.settings.frame.ms
        self.advised = any(v.ruling is not Ruling.ABSENT for p in past if (v := p.verdict("gemini", "gemini")))
        self.approved = any(p.verdict(*_YES) for p in past)
        for close, group in groupby(past, key=lambda p: p.close_time):
            self._drop_known(close) if not self.now else self._live_to(close)
            self.now = close
            for one in group:
                self._book(max(close, min(one.decision.decided_at, close + frame - 1)))
                self._decide(one)
        ends = [known for held in self.held.values() for known, _ in held.left]
        if ends:
            self._live_to(-(-max(ends) // frame) * frame)
        entries = tuple(self._ended(e, number) if e.taken else e for number, e in sorted(self.entries.items()))
        return Run(entries, self.guessed, self.no_model, self.paused_since, self.known)

    # -- the account's life ----------------------------------------------------------------------------------------

    def _left(self, follow: Follow, pair: Pair) -> list[Stage]:
        return list(stages(follow, self.candles.get(pair), self.settings))

    def _drop_known(self, close: int) -> None:
        """At the beginning: what had been filled by then is in the account already."""
        for held in self.held.values():
            held.left = [stage for stage in held.left if stage[0] > close]

    def _live_to(self, close: int) -> None:
        """Every close up to this one: fills, marks, day and breakers. While nothing is open only the last counts."""
        frame = self.settings.frame.ms
        while self.now < close:
            step = self.now + frame if self.held else close
            self._book(step)
            for position in self.account.positions:
                if (mark := self.closes.get(position.pair, {}).get(step - frame)) is not None:
                    self.account = trader.mark(self.account, position, mark)
            self.account, _ = trader.roll(self.account, step, self.settings)
            if self.account.drawdown_paused and self.paused_since is None:
                self.paused_since = step
            self.now = step

    def _book(self, until: int) -> None:
        """Everything that had been filled and was known by then, in the order in which it became known."""
        due = [(held.left[0][0], number) for number, held in self.held.items() if held.left]
        while due := sorted(d for d in due if d[0] <= until):
            _, number = due[0]
            held = self.held[number]
            _, follow = held.left.pop(0)
            before = next(p for p in self.account.positions if p.trade_id == number)
            self.account, after, _ = trader.settle(self.account, before, follow, self.settings)
            if follow.closed:
                del self.held[number]
                self.pnl[number] = after.pnl
            due = [(h.left[0][0], n) for n, h in self.held.items() if h.left]

    # -- deciding --------------------------------------------------------------------------------------------------

    def _decide(self, past: Past) -> None:
        pair, was_signal = past.decision.pair, past.decision.is_signal
        signal, reason = self._signal(past)
        if signal:
            self.last[pair] = past.decision.open_time
        if was_signal:
            self.was[pair] = past.decision.open_time
        if not (signal or was_signal):
            return
        entry = self._entry(past, reason if not signal else "")
        self.entries[past.record.follow_id] = entry
        if entry.taken:
            follow = entry.follow
            self.held[past.record.follow_id] = _Held(past, self._left(follow, pair))

    def _signal(self, past: Past) -> tuple[bool, str]:
        """Whether it is a signal under the changed filters; those that are not changed say what they said."""
        decision = past.decision
        if not self.change.strategy:
            return decision.is_signal, ""
        stored = [v for v in decision.verdicts if v.layer == "signal"]
        bars, was = self._bars_since(past)
        fresh = {v.rule: v for v in strategy.signal_verdicts(decision.snapshot, decision.direction, bars, self.filters)}
        changed = {rule for name in self.change.strategy for rule in RULE_OF[name]}
        changed |= {"cooldown"} if bars != was else set()
        verdicts = [fresh.get(v.rule, v) if v.rule in changed else v for v in stored]
        against = next((v.sentence for v in verdicts if v.ruling is Ruling.REFUSE), "")
        return not against, against

    def _bars_since(self, past: Past) -> tuple[int | None, int | None]:
        """Candles since the pair's signal before, in this run and as it was stored."""
        pair, time = past.decision.pair, past.decision.open_time
        verdict = past.verdict("signal", "cooldown")
        stored = None if verdict is None or verdict.number is None else int(verdict.number)
        if stored is not None and pair not in self.was:
            self.was[pair] = time - stored * self.settings.frame.ms
            self.last.setdefault(pair, self.was[pair])
        last = self.last.get(pair)
        if last == self.was.get(pair):
            return stored, stored
        return (None if last is None else self._rows_between(pair, last, time)), stored

    def _rows_between(self, pair: Pair, first: int, last: int) -> int:
        candles = self.candles.get(pair)
        if candles is None or not len(candles) or int(candles.time[0]) > first:
            return (last - first) // self.settings.frame.ms
        rows = np.searchsorted(candles.time, [first, last], side="right")
        return int(rows[1] - rows[0])

    def _entry(self, past: Past, no_signal: str) -> Entry:
        """A signal's decision; ``no_signal``: the filter that stopped it, for one that was a signal and is none now."""
        levels, follow, unknown = self._followed(past)
        entry = Entry(past, False, no_signal, follow, self._r_net(past, follow), unknown=unknown)
        if no_signal:
            return entry
        if past.decision.status not in ("taken", "refused", "candidate"):
            return replace(entry, reason=past.decision.reason or past.decision.status)
        layers, weight, gap = self._layers(past)
        rank = past.decision.ml_size_rank if past.decision.ml_probability is not None else None
        candidate = _candidate(past, levels)
        portfolio = self._portfolio(past, candidate)
        size = self._size(past, candidate, sizing.rule_factor(layers), sizing.confidence_factor(rank, weight))
        verdicts = (*layers, *portfolio, *size.verdicts)
        against = next((v for v in verdicts if v.ruling is Ruling.REFUSE), None)
        if against is not None:
            return replace(entry, reason=against.sentence)
        if gap:
            return replace(entry, reason=_NOBODY[gap], unknown=gap)
        decision = Decision(candidate, Opinions(), verdicts, True, size.quantity, size.risk_amount, None, weight)
        return self._opened(entry, decision, past)

    def _opened(self, entry: Entry, decision: Decision, past: Past) -> Entry:
        """The signal taken: at the close, or at the price of the yes where a person was asked for one."""
        fill = _price_of_yes(past)
        if fill is not None:
            stop, quantity = decision.candidate.levels.stop, decision.quantity
            sign = decision.candidate.direction.sign
            if sign * (fill - stop) > 0:
                quantity = answered.shown(quantity, decision.risk_amount, fill, stop)
            if sign * (fill - stop) <= 0 or not answered.worth_it(quantity, fill, stop, decision.risk_amount):
                return replace(entry, reason="at the yes the price was too near this stop")
            decision = replace(decision, quantity=quantity, risk_amount=quantity * abs(fill - stop))
        number = past.record.follow_id
        self.account, _ = trader.open_position(self.account, decision, number, self.settings, fill)
        return replace(entry, taken=True, reason="", risk=decision.risk_amount)

    def _ended(self, entry: Entry, number: int) -> Entry:
        """With the money; R by the plan's entry is not what a yes at another price has made."""
        pnl = self.pnl.get(number)
        if pnl is None or entry.follow is entry.past.record.follow or _price_of_yes(entry.past) is None:
            return replace(entry, pnl=pnl)
        return replace(entry, pnl=pnl, r_net=pnl / entry.risk)

    def _followed(self, past: Past) -> tuple[Levels, Follow, Unknown]:
        """The levels and what became of them; as stored where nothing about the exits is different."""
        record, snapshot = past.record, past.decision.snapshot
        levels = record.follow.levels
        if self.change.stop_atr is not None:
            levels = strategy.levels(levels.direction, levels.entry, snapshot.atr, self.change.stop_atr)
        rules, was = self.exits.strategy, self.settings.strategy
        same = rules.max_bars == was.max_bars and rules.breakeven_after_tp1 == was.breakeven_after_tp1
        if same and levels == record.follow.levels:
            return levels, record.follow, ""
        candles = self.candles.get(past.decision.pair)
        again = None if candles is None else followed_again(record, levels, candles, self.exits)
        return (record.follow.levels, record.follow, "candles") if again is None else (levels, again, "")

    def _r_net(self, past: Past, follow: Follow) -> float | None:
        if follow is past.record.follow:
            return past.record.r_net
        paper = self.settings.paper
        return fills.net_r(follow.levels, follow.legs, paper.fee_rate, paper.slippage_rate) if follow.closed else None

    def _layers(self, past: Past) -> tuple[tuple[Verdict, ...], float, Unknown]:
        """What rules, Gemini, the model and a person say; the model's weight; who was never asked."""
        decision, skip = past.decision, self.change.skip
        stored = [v for v in decision.verdicts if v.layer not in _ELSEWHERE]
        if not decision.is_signal:
            stored = self._rules_anew(past)
        kept = [v for v in stored if v.rule not in skip and v.layer not in skip]
        gap: Unknown = ""
        if "gemini" not in skip and self._newly_asked(past):
            own = next((v for v in kept if v.layer == "gemini"), None)
            if (own is None and self.advised) or (own is not None and own.sentence.endswith("not asked")):
                gap, kept = "gemini", [v for v in kept if v is not own]
        if not gap and self.approved and past.verdict(*_YES) is None and past.decision.status != "taken":
            gap = "person"
        combined, weight = self._combined(decision, past)
        return (*kept, *combined), weight, gap

    def _newly_asked(self, past: Past) -> bool:
        """Whether it would be put before Gemini now and was not then: it was no signal, or its pair was off."""
        return not past.decision.is_signal or self.change.pairs.get(past.decision.pair) is True

    def _rules_anew(self, past: Past) -> list[Verdict]:
        """The rules on a candidate that was no signal then: lower timeframes were not fetched for it."""
        decision, rules = past.decision, self.settings.rules
        candidate = _candidate(past, past.record.follow.levels)
        facts = self.facts(candidate, ()) if self._covers([decision.pair], decision.open_time) else filters.Facts()
        return [
            filters.alignment_verdict(decision.direction, facts, rules),
            filters.btc_verdict(decision.direction, facts, rules),
        ]

    def _combined(self, decision: DecisionRecord, past: Past) -> tuple[tuple[Verdict, ...], float]:
        """The confidence test with the weight asked for, and that weight; as stored where nothing about it changes."""
        stored = tuple(v for v in decision.verdicts if v.layer == "combined")
        weight = decision.influence_weight if self.change.weight is None else self.change.weight
        opinions = _opinions(decision, without_gemini="gemini" in self.change.skip)
        if opinions.model is None:
            self.no_model += bool(weight)
            weight = 0.0
        if weight == decision.influence_weight and "gemini" not in self.change.skip and decision.is_signal:
            return stored, weight
        confidence = filters.combined_confidence(opinions, weight, self.settings.gemini, self.settings.ml)
        return (filters.combined_verdict(confidence, self.settings.ml),), weight

    def _portfolio(self, past: Past, candidate: Candidate) -> tuple[Verdict, ...]:
        """Switch and pause as they were, the limits by this run's account."""
        switch, pause = past.verdict("portfolio", "switch"), past.verdict("portfolio", "pause")
        enabled = self.change.pairs.get(candidate.pair, switch is None or switch.ruling is not Ruling.REFUSE)
        paused = "then" if pause is not None and pause.ruling is Ruling.REFUSE else ""
        self._resume(past)
        verdicts = sizing.portfolio_verdicts(
            candidate,
            self.account,
            self.limits,
            self._correlations(candidate),
            paused,
            enabled,
            candidate.close_time,
        )
        return tuple(self._as_stored(past, v) for v in verdicts)

    def _correlations(self, candidate: Candidate) -> Mapping[Pair, float | None]:
        near = tuple(dict.fromkeys(p.pair for p in self.account.positions))
        if not near or not self._covers([candidate.pair, *near], candidate.open_time):
            return {}
        return self.facts(candidate, near).correlations

    def _as_stored(self, past: Past, verdict: Verdict) -> Verdict:
        """Where no candle tells how the pairs moved together, what was said then stands, and is counted."""
        if verdict.rule != "correlated" or verdict.ruling is not Ruling.UNKNOWN:
            return verdict
        known = past.verdict("portfolio", "correlated")
        if known is None or known.ruling is Ruling.UNKNOWN:
            return verdict
        self.guessed += 1
        return known

    def _covers(self, pairs: Iterable[Pair], time: int) -> bool:
        return all(time in self.closes.get(pair, {}) for pair in pairs)

    def _resume(self, past: Past) -> None:
        """The drawdown pause is lifted where a person had lifted it by then."""
        number, then = past.decision.decision_id, past.verdict("portfolio", "drawdown")
        if self.first and self.account.drawdown_paused and then is not None and then.ruling is not Ruling.REFUSE:
            self.known.resumed.add(number)
        if number in self.known.resumed and self.account.drawdown_paused:
            self.account = replace(
                self.account, drawdown_paused=False, drawdown_warned=False, peak_equity=self.account.equity
            )
            self.paused_since = None

    def _size(self, past: Past, candidate: Candidate, factor: float, confidence: float) -> sizing.Size:
        """By today's risk settings, put right by what the size then says of the settings then."""
        number, pair = past.decision.decision_id, candidate.pair
        if self.first:
            plain = self._sized(candidate, factor, confidence, 1.0)
            then = past.verdict("size", "risk")
            if then is not None and then.number and plain.risk_amount:
                ratio = then.number / plain.risk_amount
                self.known.risk[number] = 1.0 if abs(ratio - 1) < _SAME else ratio
        self.ratio[pair] = self.known.risk.get(number, self.ratio.get(pair, 1.0))
        return self._sized(candidate, factor, confidence, self.ratio[pair])

    def _sized(self, candidate: Candidate, factor: float, confidence: float, ratio: float) -> sizing.Size:
        risk = self.settings.risk_of(candidate.pair) * ratio
        return sizing.size_of(candidate, self.account, self.settings.paper, self.limits, risk, factor, confidence)


def _exits(settings: Settings, change: Change) -> Settings:
    wanted = {
        "stop_atr": change.stop_atr,
        "max_bars": change.max_bars,
        "breakeven_after_tp1": change.breakeven,
    }
    strategy_ = settings.strategy.model_copy(update={k: v for k, v in wanted.items() if v is not None})
    return settings.model_copy(update={"strategy": strategy_})


def _price_of_yes(past: Past) -> float | None:
    """What a trade that waited for a yes was filled at, after slippage; None for one that did not wait."""
    verdict = past.verdict(*_YES)
    return None if verdict is None or verdict.ruling is Ruling.REFUSE else verdict.number


def _candidate(past: Past, levels: Levels) -> Candidate:
    decision = past.decision
    frame = Timeframe.parse(decision.timeframe)
    return Candidate(decision.pair, frame, decision.direction, decision.snapshot, levels, ())


def _opinions(decision: DecisionRecord, *, without_gemini: bool) -> Opinions:
    """What was stored at the decision, as the layers took it in."""
    gemini, model = None, None
    if not without_gemini and decision.gemini_confidence is not None and decision.gemini_approve is not None:
        gemini = GeminiOpinion(decision.gemini_approve, decision.gemini_confidence, "", (), "")
    if decision.model_id is not None and decision.ml_probability is not None and decision.ml_rank is not None:
        average = decision.ml_probability if decision.ml_average is None else decision.ml_average
        model = ModelOpinion(decision.model_id, decision.ml_probability, average, decision.ml_rank)
    return Opinions(gemini=gemini, gemini_present=gemini is not None, model=model)
