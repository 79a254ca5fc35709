"""The way to the next look at the model: when it comes, what would make it come sooner, and at what price in R."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from core.config import Settings, Strategy
from core.domain.candles import DAY_MS, HOUR_MS, Pair, to_ms
from core.domain.trading import ExitReason, Ruling, Verdict
from core.engine.strategy import signal_verdicts
from core.ml.differences import mean_interval
from core.ml.forecast import Forecast, Reach, forecast
from core.ml.intervals import clusterings
from core.ports import Clock, Ledger, TradeRow
from core.services.changes import changed, configured, plain
from core.services.loop import TradingLoop
from core.services.stock import Stock

MORE_PAIRS = 7
"""Pairs more that the outlook asks about: what a first evening with ``/pairs suggest`` may bring."""

ENOUGH = 5
"""Signals, and further ones a looser rule would take, before the rate it would bring can be told."""

MOST_RULES = 2  # shown
ERROR = 0.05  # of every interval
_FRESH_MS = HOUR_MS  # a date moves by no more than an hour meanwhile
_LOOKS_BACK_MS = 365 * DAY_MS
_NO_SAMPLE = (ExitReason.GAP, ExitReason.MANUAL)

_LOOSER: tuple[tuple[Mapping[str, object], str], ...] = (
    ({"strategy.adx_min": 20.0}, "ADX from 20"),
    ({"strategy.volume_ratio_min": 0.5}, "Volume from 0.5"),
    ({"strategy.rsi_long_max": 80.0, "strategy.rsi_short_min": 20.0}, "RSI 20 to 80"),
    ({"strategy.refused_regimes": "none"}, "Choppy markets too"),
    ({"strategy.cooldown_bars": 4}, "Cooldown 4"),
)


@dataclass(frozen=True, slots=True)
class Due:
    """A date with its range, four times in five: ``at`` (aware UTC), so many days earlier or later; None: or later."""

    at: datetime
    plus_minus_days: float | None


@dataclass(frozen=True, slots=True)
class Shortening:
    """A change that would bring the date nearer, and its price.

    ``price_r``: mean net R of what it would add, so far, from ``n`` outcomes, with its 95% interval; None where there
    are none, or too few separate days for an interval. ``basis`` says in a few words where that comes from.
    ``command`` is what a button runs, without the slash.
    """

    words: str
    due: datetime | None
    price_r: float | None
    price_low: float | None
    price_high: float | None
    n: int
    command: str
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Outlook:
    """``title`` names what is counted to ("50 outcomes"), ``have`` of ``needed`` are there.

    ``due`` is None where no date can be told, ``changes`` are the shortest ways first.
    """

    title: str
    needed: int
    have: int
    due: Due | None
    changes: tuple[Shortening, ...]


class OutlookDesk:
    """``outlook`` works everything out anew when an outcome has come, a rule was changed, or an hour has passed.

    What each change would have added is read again only in the first two cases. ``stock`` gives the samples of today.
    """

    def __init__(
        self, clock: Clock, ledger: Ledger, loop: TradingLoop, stock: Callable[[], Awaitable[Stock]], most_pairs: int
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._loop = loop
        self._stock = stock
        self._most_pairs = most_pairs
        self._one = asyncio.Lock()
        self._priced: tuple[object, Prices] | None = None
        self._known: tuple[object, Outlook] | None = None

    async def outlook(self) -> Outlook:
        async with self._one:
            settings = self._loop.in_force
            key = (*self._story(), to_ms(self._clock.now()) // _FRESH_MS)
            if self._known is None or self._known[0] != key:
                prices, stock = await self._prices(), await self._stock()
                self._known = key, await asyncio.to_thread(outlook_of, stock, prices, settings, self._most_pairs)
            return self._known[1]

    async def looser(self) -> tuple[Looser, ...]:
        """The looser rules that are known of, with what each would have added so far."""
        async with self._one:
            return (await self._prices()).looser

    def _story(self) -> tuple[object, ...]:
        settings = self._loop.in_force
        return self._loop.memory.outcomes, settings.strategy, settings.traded

    async def _prices(self) -> Prices:
        story = self._story()
        if self._priced is None or self._priced[0] != story:
            rows = await self._ledger.trade_rows(since_ms=to_ms(self._clock.now()) - _LOOKS_BACK_MS)
            self._priced = story, await asyncio.to_thread(priced, rows, self._loop.in_force)
        return self._priced[1]


@dataclass(frozen=True, slots=True)
class Price:
    """Mean net R of ``n`` outcomes with its 95% interval; None where there are none, or too few separate days."""

    mean: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Looser:
    """A looser rule: it would have made ``added`` signals beside the ``signals`` there were.

    ``lost`` of these it would not have made: what comes before one keeps it out, by the cooldown.
    """

    values: Mapping[str, object]
    words: str
    signals: int
    added: int
    price: Price
    lost: int = 0

    @property
    def more(self) -> int:
        """By how many signals it is faster."""
        return self.added - self.lost


@dataclass(frozen=True, slots=True)
class Prices:
    """What all signals made so far, and what each looser rule would have added."""

    signals: Price
    looser: tuple[Looser, ...]


def priced(rows: Sequence[TradeRow], settings: Settings) -> Prices:
    """From what the ledger has followed under these settings: signals and all other crossovers. Pure."""
    own = _signals(rows, settings.strategy, settings.frame.ms)
    found = []
    for values, words in _LOOSER:
        if all(configured(settings, name) == value for name, value in values.items()):
            continue
        theirs = _signals(rows, changed(settings, values).strategy, settings.frame.ms)
        added = [row for number, row in theirs.items() if number not in own]
        lost = sum(number not in theirs for number in own)
        found.append(Looser(values, words, len(own), len(added), _price(added, settings.frame.ms), lost))
    return Prices(_price([r for r in rows if r.decision.is_signal], settings.frame.ms), tuple(found))


def _signals(rows: Sequence[TradeRow], strategy: Strategy, frame_ms: int) -> dict[int, TradeRow]:
    """Which of the followed crossovers these rules would have taken, by decision; the cooldown runs through them."""
    last: dict[Pair, int] = {}
    found = {}
    for row in sorted(rows, key=lambda r: (r.decision.open_time, r.decision.decision_id)):
        decision = row.decision
        since = last.get(decision.pair)
        bars = None if since is None else (decision.open_time - since) // frame_ms
        if passes(signal_verdicts(decision.snapshot, decision.direction, bars, strategy)):
            last[decision.pair] = decision.open_time
            found[decision.decision_id] = row
    return found


def passes(verdicts: Sequence[Verdict]) -> bool:
    return all(v.ruling is not Ruling.REFUSE for v in verdicts)


def _price(rows: Sequence[TradeRow], frame_ms: int) -> Price:
    ended = [r for r in rows if r.follow.r_net is not None and r.follow.follow.exit_reason not in _NO_SAMPLE]
    if not ended:
        return Price(None, None, None, 0)
    net = np.array([r.follow.r_net for r in ended], dtype=np.float64)
    decided = np.array([r.decision.open_time + frame_ms for r in ended], dtype=np.int64)
    end = np.array([(r.follow.follow.exit_time or 0) + frame_ms for r in ended], dtype=np.int64)
    low, high = mean_interval(net, clusterings(decided, end), ERROR) or (None, None)
    return Price(float(net.mean()), low, high, len(ended))


def outlook_of(stock: Stock, prices: Prices, settings: Settings, most_pairs: int) -> Outlook:
    """The dates and prices in one. Pure."""
    ahead = stock.forecast
    reach, have = _wanted(ahead)
    changes = [*_more_pairs(stock, prices, settings, most_pairs), *_looser(stock, prices, settings)]
    shorter = [c for c in changes if c.due is not None and (reach.on is None or c.due < reach.on)]
    title = f"{reach.target} outcomes" if ahead.to_50.left else f"look at {reach.target} outcomes"
    return Outlook(title, reach.target, have, _due(reach), tuple(sorted(shorter, key=lambda c: c.due or ahead.now)))


def _wanted(ahead: Forecast) -> tuple[Reach, int]:
    """The first 50 outcomes; when they are there, the next look that could say yes."""
    return (ahead.to_50, ahead.seen.outcomes) if ahead.to_50.left else (ahead.gate, ahead.seen.scored)


def _due(reach: Reach) -> Due | None:
    if reach.on is None or reach.days is None:
        return None
    wide = None if reach.high is None or reach.low is None else max(reach.high - reach.days, reach.days - reach.low)
    return Due(reach.on, wide)


def _more_pairs(stock: Stock, prices: Prices, settings: Settings, most_pairs: int) -> list[Shortening]:
    more, seen = min(MORE_PAIRS, most_pairs - len(settings.pairs)), stock.forecast.seen
    if more < 1 or seen.pairs < 1:
        return []
    reach = _wanted(_faster(stock, settings, seen.pairs, more))[0]
    price = prices.signals
    return [
        Shortening(
            f"Add {more} pair{'' if more == 1 else 's'}", reach.on, price.mean, price.low, price.high, price.n,
            "pairs suggest", "what all signals made so far; other pairs may differ",
        )
    ]  # fmt: skip


def _looser(stock: Stock, prices: Prices, settings: Settings) -> list[Shortening]:
    """The looser rules with the best price, of those whose rate can be told."""
    told = [each for each in prices.looser if min(each.signals, each.more, each.price.n) >= ENOUGH]
    best = sorted(told, key=lambda each: -(each.price.mean or 0.0))[:MOST_RULES]
    return [
        Shortening(
            each.words, _wanted(_faster(stock, settings, each.signals, each.more))[0].on, each.price.mean,
            each.price.low, each.price.high, each.price.n, f"rule {written(each.values)}",
            "what it would have added so far",
        )
        for each in best
    ]  # fmt: skip


def _faster(stock: Stock, settings: Settings, now: int, more: int) -> Forecast:
    """As if from now on ``more`` came beside every ``now``."""
    seen = replace(stock.forecast.seen, pairs=now)
    return forecast(seen, stock.now, settings.gate, prior_per_day=stock.history_per_day, more_pairs=more)


def written(values: Mapping[str, object]) -> str:
    """``strategy.adx_min=20``, as ``/rule`` reads it."""
    return " ".join(f"{name}={plain(value)}" for name, value in values.items())
