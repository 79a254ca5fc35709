"""The portfolio backtest: one account over all pairs in time order, under the limits, sizes and costs of the live loop.

What becomes of a trade is found by array search beforehand; the money, the limits and the breakers are the live
loop's own functions (``trader``, ``sizing``). Only the closes at which something happens are walked through: between
them the equity is an array expression, and the account is rolled where that can change it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby

import numpy as np

from core.config import Settings
from core.domain.account import Account
from core.domain.candles import DAY_MS, BoolArray, Candles, FloatArray, IntArray, Pair
from core.domain.trading import Candidate, ExitReason, Follow, Opinions, Verdict
from core.engine import filters, trader
from core.engine.fills import REMAINING
from core.engine.filters import Facts
from core.engine.indicators import Indicators
from core.engine.outcomes import Outcomes
from core.engine.strategy import Entries, candidate_at
from core.engine.trader import Stance

LowerCandles = Mapping[str, Mapping[Pair, Candles]]
"""Stored candles below the trading timeframe: timeframe name -> pair -> candles."""


@dataclass(frozen=True, slots=True)
class PortfolioTrade:
    """A trade that the account took and closed. Money in USDT; ``pnl`` is net, ``r_net`` = pnl / risk_amount.

    ``exit_time`` is the close time of the exit candle, epoch ms.
    """

    trade_id: int
    candidate: Candidate
    follow: Follow
    quantity: float
    risk_amount: float
    entry_fill: float
    pnl: float
    r_net: float
    exit_time: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A signal that was not taken; ``verdict`` is the first that refused."""

    candidate: Candidate
    verdict: Verdict


@dataclass(frozen=True, eq=False)
class Market:
    """One traded pair: its candles to the end of the range, its signals within the range and what becomes of them.

    ``indicators`` are of all candles; ``entries`` and ``outcomes`` have the same length.
    """

    candles: Candles
    indicators: Indicators
    entries: Entries
    outcomes: Outcomes

    @property
    def pair(self) -> Pair:
        return self.candles.pair

    @cached_property
    def at_entry(self) -> Indicators:
        """The indicators at the entries alone."""
        return self.indicators.at(self.entries.row)


@dataclass(frozen=True, eq=False)
class AccountRun:
    """What the account lived through; the arrays are (n,), one value per close in the range.

    ``time`` close times in epoch ms; ``equity`` USDT before the entries of that close; ``exposed`` whether anything
    is open after them. ``trades`` and ``refused`` in the order of their signals, ``open``: trades still open.
    """

    trades: tuple[PortfolioTrade, ...]
    refused: tuple[Refusal, ...]
    open: int
    time: IntArray
    equity: FloatArray
    exposed: BoolArray
    decided: int
    paused_since: int | None


@dataclass(slots=True)
class FactsOf:
    """``filters.gather_facts`` for signals, each asked for once: several runs over one market share them."""

    candles: Mapping[Pair, Candles]
    settings: Settings
    lower: LowerCandles
    _known: dict[tuple[Pair, int, tuple[Pair, ...]], Facts] = field(default_factory=dict)

    def __call__(self, candidate: Candidate, near: tuple[Pair, ...]) -> Facts:
        """The facts at the candidate's close; ``near``: the pairs whose correlation with it may matter."""
        key = candidate.pair, candidate.open_time, near
        if key not in self._known:
            self._known[key] = self._gather(candidate, near)
        return self._known[key]

    def _gather(self, candidate: Candidate, near: tuple[Pair, ...]) -> Facts:
        settings, time = self.settings, candidate.open_time
        btc = settings.btc
        lower = {
            name: candles[candidate.pair].between(None, candidate.close_time).tail(settings.candles.history)
            for name, candles in self.lower.items()
            if candidate.pair in candles
        }
        return filters.gather_facts(
            self._window(candidate.pair, time),
            self._window(btc, time) if btc in self.candles else None,
            lower,
            {pair: self._window(pair, time) for pair in near},
            settings.rules,
            settings.candles.max_gap,
        )

    def _window(self, pair: Pair, time: int) -> Candles:
        """What the live loop would hold of a pair at the close of the candle that opened at ``time``."""
        candles = self.candles[pair]
        last = int(np.searchsorted(candles.time, time, side="right"))
        return candles.rows(max(0, last - self.settings.candles.history), last)


def run_account(markets: Sequence[Market], facts: FactsOf, settings: Settings, start_ms: int) -> AccountRun:
    """Trades all signals from ``start_ms`` on with one account, as the live loop without Gemini and model does.

    ``markets`` in the order in which the live loop asks its pairs. Signals on fewer than ``candles.min_history``
    candles of their stretch are not trusted and left out.
    """
    return _Run(markets, facts, settings, start_ms).result()


@dataclass(slots=True)
class _Open:
    """A position's market, the full follow it will have, and its next stages as (step, follow), the next one last."""

    market: int
    candidate: Candidate
    follow: Follow
    decided: bool
    stages: list[tuple[int, Follow]]


class _Run:
    """A step is an index into the closes of the range. ``done`` steps have their equity."""

    def __init__(self, markets: Sequence[Market], facts: FactsOf, settings: Settings, start_ms: int) -> None:
        self.markets, self.facts, self.settings = markets, facts, settings
        ranges = [m.candles.time[int(np.searchsorted(m.candles.time, start_ms)) :] for m in markets]
        self.opens = _union(ranges)
        self.time = self.opens + settings.frame.ms
        self.day = self.time // DAY_MS
        self.mark = [_last_closes(m.candles, self.opens) for m in markets]
        self.equity = np.empty(len(self.opens))
        self.exposed = np.zeros(len(self.opens), dtype=np.bool_)
        balance = settings.paper.start_balance
        self.account = Account(cash=balance, day_start_equity=balance, peak_equity=balance)
        self.stance = {Pair.parse(p.symbol): Stance(enabled=p.enabled) for p in settings.pairs}
        self.held: dict[int, _Open] = {}
        self.trades: dict[int, PortfolioTrade] = {}
        self.refused: list[Refusal] = []
        self.taken = 0
        self.done = 0
        self.decided = 0
        self.paused_since: int | None = None

    def result(self) -> AccountRun:
        for step, signals in self._signals():
            self._live_to(step)
            self._enter(step, signals)
        self._live_to(len(self.opens) - 1)
        return AccountRun(
            trades=tuple(self.trades[n] for n in sorted(self.trades)),
            refused=tuple(self.refused),
            open=len(self.held),
            time=self.time,
            equity=self.equity,
            exposed=self.exposed,
            decided=self.decided,
            paused_since=self.paused_since,
        )

    def _signals(self) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """Step by step the (market, entry) of the signals there, in the order of the markets."""
        found = []
        for number, market in enumerate(self.markets):
            chosen = np.flatnonzero(market.entries.is_signal & self._trusted(market))
            steps = np.searchsorted(self.opens, market.candles.time[market.entries.row[chosen]])
            found += [(int(step), number, int(entry)) for step, entry in zip(steps, chosen, strict=True)]
        for step, group in groupby(sorted(found), key=lambda item: item[0]):
            yield step, [(number, entry) for _, number, entry in group]

    def _trusted(self, market: Market) -> BoolArray:
        """Whether an entry's stretch is as long as the live loop wants it before it takes a signal."""
        starts = np.array([first for first, _ in market.candles.stretches(self.settings.candles.max_gap)] or [0])
        row = market.entries.row
        began = starts[np.searchsorted(starts, row, side="right") - 1]
        trusted: BoolArray = row + 1 - began >= self.settings.candles.min_history
        return trusted

    def _live_to(self, last: int) -> None:
        """Every step up to and including ``last``."""
        while self.done <= last:
            coming = min((held.stages[-1][0] for held in self.held.values() if held.stages), default=last)
            step = min(max(coming, self.done), last)
            self._quiet(self.done, step)
            self._settle(step)
            self.done = step + 1

    def _settle(self, step: int) -> None:
        """One close: what ends there is booked, the rest gets its new mark, the day and the breakers roll."""
        for trade_id, held in tuple(self.held.items()):
            position = next(p for p in self.account.positions if p.trade_id == trade_id)
            if held.stages and held.stages[-1][0] == step:
                _, follow = held.stages.pop()
                self.account, position, _ = trader.settle(self.account, position, follow, self.settings)
                if follow.closed:
                    self._close(trade_id, held, position.pnl, position.quantity, position.risk_amount)
                    continue
            self.account = trader.mark(self.account, position, float(self.mark[held.market][step]))
        self._roll(step)
        self.equity[step] = self.account.equity
        self.exposed[step] = bool(self.held)

    def _close(self, trade_id: int, held: _Open, pnl: float, quantity: float, risk: float) -> None:
        del self.held[trade_id]
        self.decided += held.decided
        exit_time = held.follow.exit_time
        assert exit_time is not None
        fill = trader.entry_fill(held.candidate, self.settings.paper.slippage_rate)
        end = exit_time + self.settings.frame.ms
        self.trades[trade_id] = PortfolioTrade(
            trade_id, held.candidate, held.follow, quantity, risk, fill, pnl, pnl / risk, end
        )

    def _quiet(self, first: int, last: int) -> None:
        """The steps ``[first, last)``, in which nothing ends and nothing is entered."""
        if first >= last:
            return
        equity = np.full(last - first, self.account.cash)
        for position in self.account.positions:
            moved = self.mark[self.held[position.trade_id].market][first:last] - position.entry_fill
            equity += position.direction.sign * moved * position.open_quantity
        self.equity[first:last] = equity
        self.exposed[first:last] = bool(self.held)
        for step in self._rolling(first, equity) if self.held else ():
            for trade_id, held in self.held.items():
                position = next(p for p in self.account.positions if p.trade_id == trade_id)
                self.account = trader.mark(self.account, position, float(self.mark[held.market][step]))
            self._roll(step)

    def _rolling(self, first: int, equity: FloatArray) -> IntArray:
        """The steps from ``first`` on at which ``trader.roll`` changes more than a peak that a later one replaces.

        These are the first of each day and the highest; where a breaker that stops entries would trip, all of them.
        """
        account, limits = self.account, self.settings.portfolio
        day = self.day[first : first + len(equity)]
        changes = np.flatnonzero(np.diff(day, prepend=account.day))
        starts = np.append(account.day_start_equity, equity[changes])
        day_start = starts[np.searchsorted(changes, np.arange(len(equity)), side="right")]
        peak = np.maximum(np.maximum.accumulate(equity), account.peak_equity)
        breach = (equity <= (1 - limits.daily_loss) * day_start) & (day != account.paused_day)
        if not account.drawdown_paused:
            breach |= equity <= (1 - limits.drawdown_pause) * peak
        if breach.any():
            return np.arange(first, first + len(equity))
        return first + np.array(sorted({*changes.tolist(), int(equity.argmax())}))

    def _roll(self, step: int) -> None:
        self.account, _ = trader.roll(self.account, int(self.time[step]), self.settings)
        if self.account.drawdown_paused and self.paused_since is None:
            self.paused_since = int(self.time[step])

    def _enter(self, step: int, signals: Sequence[tuple[int, int]]) -> None:
        """Decides the signals of one close, each seeing the positions that the ones before it opened."""
        candidates = [self._candidate(*signal) for signal in signals]
        near = tuple(dict.fromkeys([*(p.pair for p in self.account.positions), *(c.pair for c in candidates)]))
        gathered = [self.facts(candidate, near) for candidate in candidates]
        for (market, entry), candidate, facts in zip(signals, candidates, gathered, strict=True):
            decision = trader.decide(
                candidate, Opinions(), facts, self.account, self.stance[candidate.pair], self.settings
            )
            refused_by = decision.refused_by
            if refused_by is not None:
                self.refused.append(Refusal(candidate, refused_by))
                continue
            self.taken += 1
            self.account, _ = trader.open_position(self.account, decision, self.taken, self.settings)
            self.held[self.taken] = self._held(market, entry, candidate)
        self.exposed[step] = bool(self.held)

    def _candidate(self, market: int, entry: int) -> Candidate:
        part = self.markets[market]
        sign, since = int(part.entries.sign[entry]), int(part.entries.bars_since[entry])
        rules = self.settings.strategy
        return candidate_at(part.candles, part.at_entry, entry, sign, None if since < 0 else since, rules)

    def _held(self, market: int, entry: int, candidate: Candidate) -> _Open:
        part = self.markets[market]
        follow = part.outcomes.follow(entry, part.candles)
        stages: list[tuple[int, Follow]] = []
        for (time, gap), legs in groupby(follow.legs, key=lambda leg: (leg.time, leg.name == ExitReason.GAP)):
            count = (len(stages[-1][1].legs) if stages else 0) + len(list(legs))
            if count == len(follow.legs) and follow.closed:
                # A gap is only seen, and booked, when the candle after it comes.
                seen = part.candles.time[int(part.outcomes.exit_row[entry]) + 1] if gap else time
                stages.append((int(np.searchsorted(self.opens, seen)), follow))
            else:
                so_far = replace(
                    Follow(follow.levels, follow.entry_time),
                    remaining=REMAINING[count],
                    targets_hit=count,
                    legs=follow.legs[:count],
                )
                stages.append((int(np.searchsorted(self.opens, time)), so_far))
        return _Open(market, candidate, follow, bool(part.outcomes.decided[entry]), stages[::-1])


def _union(times: Sequence[IntArray]) -> IntArray:
    """The times of all, each once, in order; the parts are in order themselves, which a stable sort is quick with."""
    together = np.sort(np.concatenate([np.empty(0, dtype=np.int64), *times]), kind="stable")
    union: IntArray = together[np.diff(together, prepend=-1) != 0]
    return union


def _last_closes(candles: Candles, opens: IntArray) -> FloatArray:
    """The pair's last close at each close of the range; NaN before its first candle."""
    row = np.searchsorted(candles.time, opens, side="right") - 1
    closes: FloatArray = np.where(row >= 0, candles.close[row], np.nan) if len(candles) else np.full(len(opens), np.nan)
    return closes
