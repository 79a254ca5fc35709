"""The stock of samples: how many there are of each source, how fast they come, and when there will be enough."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.config import Settings
from core.domain.candles import DAY_MS, Pair, Timeframe, iso, to_datetime, to_ms
from core.domain.trading import FollowKind
from core.errors import DataError
from core.ml.forecast import Forecast, Reach, Seen, Skill, forecast
from core.ports import CandleStore, ChatStore, Clock, Ledger, Outcome
from core.services.backtest import stored_backtests
from core.services.pictures import Draw

log = logging.getLogger(__name__)

HISTORY_SOURCES = ("backtest signals", "backtest candidates")
SOURCES = (*(kind.value for kind in FollowKind), *HISTORY_SOURCES, "augmented")
"""What is counted, in the order it is shown; the first two are live outcomes."""

_FRESH_MS = DAY_MS  # the candles of one more day change a rate of two years by nothing one could see
_SOON_MS = DAY_MS // 144  # ten minutes: while history is being fetched, more of it is there soon
_LONG_DAYS = 30.0


@dataclass(frozen=True, slots=True)
class PairHistory:
    """What a pair's stored candles give: ``signals`` and further ``candidates`` with a known outcome in ``days``."""

    pair: str
    signals: int
    candidates: int
    days: float

    @property
    def signals_per_day(self) -> float:
        return self.signals / self.days if self.days else 0.0


@dataclass(frozen=True, slots=True)
class Lived:
    """What a ledger holds: ``counts`` by (pair, source), live ``outcomes`` in the order of closing, since ``first_ms``.

    ``first_ms`` and ``last_ms`` are the first and last close that were handled (None: not one), ``looks`` how many
    the gate has taken.
    """

    counts: Mapping[tuple[str, str], int]
    outcomes: tuple[Outcome, ...]
    first_ms: int | None
    last_ms: int | None
    watched: tuple[str, ...]
    looks: int

    def scored(self, frame: Timeframe) -> int:
        """Outcomes with a prediction stored before they were known: what the gate counts."""
        return sum(o.probability is not None and o.decided_at < o.exit_time + frame.ms for o in self.outcomes)


@dataclass(frozen=True, slots=True)
class Stock:
    """All samples there are, with the forecast. ``pairs`` maps each pair to its counts by source.

    ``closed`` are the times (epoch ms) at which live outcomes became known, ascending; ``began`` the first close
    watched. ``more`` is the forecast with so many pairs more. ``history_per_day`` is what
    all watched pairs together gave in the stored candles, signals per day (None: no candles).
    """

    now: datetime
    pairs: Mapping[str, Mapping[str, int]]
    counts: Mapping[str, int]
    forecast: Forecast
    more: tuple[tuple[int, Forecast], ...]
    closed: tuple[int, ...]
    began: datetime | None
    history: tuple[PairHistory, ...]
    history_per_day: float | None

    @property
    def live(self) -> int:
        return self.forecast.seen.outcomes

    @property
    def history_per_pair(self) -> float | None:
        """Signals per pair and day in the stored candles; None without any."""
        days = sum(h.days for h in self.history)
        return sum(h.signals for h in self.history) / days if days else None

    def to_json(self) -> dict[str, Any]:
        """As the command line gives it; times in ISO, None where it cannot be told."""
        ahead = self.forecast
        return {
            "time": iso(to_ms(self.now)),
            "counts": dict(self.counts),
            "pairs": {pair: dict(counts) for pair, counts in self.pairs.items()},
            "live_outcomes": self.live,
            "trades": ahead.seen.trades,
            "scored": ahead.seen.scored,
            "days": ahead.seen.days,
            "per_day": ahead.per_day,
            "per_day_low": ahead.per_day_low,
            "per_day_high": ahead.per_day_high,
            "history_per_pair_and_day": self.history_per_pair,
            "basis": ahead.basis,
            "to_50": _reach_json(ahead.to_50),
            "to_200": _reach_json(ahead.to_200),
            "to_gate": _reach_json(ahead.gate),
            "with_more_pairs": {str(n): {"to_50": _reach_json(f.to_50)} for n, f in self.more},
            "looks": [
                {"n": look.n, "needed_auc": look.needed, "chance": look.chance, "error": look.alpha}
                for look in ahead.looks
            ],
            "opens": ahead.opens,
            "sentence": ahead.sentence,
            "told": ahead.told,
        }


@dataclass(frozen=True, slots=True)
class SamplesView:
    """What ``/samples`` shows; ``picture`` is a PNG."""

    stock: Stock
    picture: bytes | None


def _reach_json(reach: Reach) -> dict[str, object]:
    days = (reach.on, reach.earliest, reach.latest)
    on, earliest, latest = (None if d is None else iso(to_ms(d)) for d in days)
    return {"outcomes": reach.target, "left": reach.left, "on": on, "earliest": earliest, "latest": latest}


def history_of(
    store: CandleStore, pairs: Iterable[Pair], timeframe: Timeframe, settings: Settings, end_ms: int | None = None
) -> tuple[PairHistory, ...]:
    """Labelled samples in the stored candles of the last ``ml.bootstrap_days``, for the pairs that have some.

    Some tenths of a second for two years of five pairs. Raises DataError.
    """
    found = []
    wanted = tuple(pairs)
    start = None if end_ms is None else end_ms - settings.bootstrap_ms
    for result in stored_backtests(store, wanted, timeframe, settings, start, end_ms, candidates=True):
        for part in result.parts:
            time = part.candles.time
            first = int(time[0]) if start is None else max(int(time[0]), start)
            signals = int(part.entries.is_signal.sum())
            days = (int(time[-1]) + timeframe.ms - first) / DAY_MS
            found.append(PairHistory(str(part.pair), signals, len(part) - signals, days))
    return tuple(found)


async def lived_of(ledger: Ledger, settings: Settings, looks: int = 0) -> Lived:
    """What a ledger holds of samples; ``looks`` are those its line has had."""
    curve = await ledger.equity_curve()
    switches = await ledger.switches()
    watched = tuple(
        p.symbol
        for p in settings.pairs
        if (switches[Pair.parse(p.symbol)].enabled if Pair.parse(p.symbol) in switches else p.enabled)
    )
    return Lived(
        counts=await ledger.sample_counts(),
        outcomes=tuple(await ledger.outcomes()),
        first_ms=curve[0][0] if curve else None,
        last_ms=curve[-1][0] if curve else None,
        watched=watched,
        looks=looks,
    )


def stock_of(
    settings: Settings,
    now: datetime,
    lived: Lived | None,
    history: tuple[PairHistory, ...],
    metrics: Mapping[str, float | None],
    more_pairs: Iterable[int] = (2, 5, 10),
) -> Stock:
    """Counts and forecast from a ledger's samples (None: no ledger) and those of stored candles. Pure.

    ``metrics`` are the champion's walk-forward figures, empty without one. History says how often the watched pairs
    gave a signal; a pair without candles is taken for an average one. Augmented rows are those a training would make:
    a copy of each row it learns from, where ``ml.augment`` is on.
    """
    pairs = _pairs(lived, history)
    counts = {source: sum(p.get(source, 0) for p in pairs.values()) for source in SOURCES}
    learned = sum(counts[s] for s in SOURCES if s not in ("backtest candidates", "augmented"))
    counts["augmented"] = learned if getattr(settings.ml, "augment", False) else 0
    seen, prior = _seen(settings, now, lived), _prior(settings, lived, history)
    skill = Skill.of(metrics)

    def ahead(more: int) -> Forecast:
        return forecast(seen, now, settings.gate, prior_per_day=prior, skill=skill, more_pairs=more)

    frame = settings.frame
    return Stock(
        now=now,
        pairs=pairs,
        counts=counts,
        forecast=ahead(0),
        more=tuple((n, ahead(n)) for n in more_pairs) if seen.pairs else (),
        closed=tuple(sorted(o.exit_time + frame.ms for o in lived.outcomes)) if lived else (),
        began=to_datetime(lived.first_ms) if lived and lived.first_ms is not None else None,
        history=history,
        history_per_day=prior,
    )


def _pairs(lived: Lived | None, history: tuple[PairHistory, ...]) -> dict[str, dict[str, int]]:
    names = dict.fromkeys([*(p for p, _ in (lived.counts if lived else {})), *(h.pair for h in history)])
    counts: dict[str, dict[str, int]] = {name: dict.fromkeys(SOURCES[:-1], 0) for name in sorted(names)}
    for (pair, source), n in (lived.counts if lived else {}).items():
        counts[pair][source] = n
    for each in history:
        signals, candidates = HISTORY_SOURCES
        counts[each.pair] |= {signals: each.signals, candidates: each.candidates}
    return counts


def _seen(settings: Settings, now: datetime, lived: Lived | None) -> Seen:
    if lived is None:
        return Seen(0, 0, 0, 0.0, sum(p.enabled for p in settings.pairs))
    days = 0.0 if lived.first_ms is None else max(0.0, (to_ms(now) - lived.first_ms) / DAY_MS)
    return Seen(
        outcomes=len(lived.outcomes),
        trades=sum(o.is_trade for o in lived.outcomes),
        scored=lived.scored(settings.frame),
        days=days,
        pairs=len(lived.watched),
        looks=lived.looks,
    )


def _prior(settings: Settings, lived: Lived | None, history: tuple[PairHistory, ...]) -> float | None:
    """Signals per day that the watched pairs together gave in the stored candles; None without candles."""
    days = sum(h.days for h in history)
    if not days:
        return None
    average = sum(h.signals for h in history) / days
    known = {h.pair: h.signals_per_day for h in history}
    watched = lived.watched if lived else tuple(p.symbol for p in settings.pairs if p.enabled)
    return sum(known.get(pair, average) for pair in watched)


class Stockroom:
    """The stock of a running bot; history is worked out in a thread, once a day.

    ``champion`` gives the champion's walk-forward figures; ``line`` the model line whose looks count.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        ledger: Ledger,
        chat: ChatStore,
        candles: CandleStore,
        champion: Callable[[], Mapping[str, float | None]],
        line: Callable[[], str],
        in_force: Callable[[], Settings] | None = None,
        draw: Draw = asyncio.to_thread,
    ) -> None:
        """``in_force`` gives the settings with what an approver has changed; None: ``settings`` as they are."""
        self._settings = settings
        self._in_force = in_force or (lambda: settings)
        self._clock = clock
        self._ledger = ledger
        self._chat = chat
        self._candles = candles
        self._champion = champion
        self._line = line
        self._draw = draw
        self._history: tuple[int, tuple[PairHistory, ...]] | None = None
        self._rules = settings  # those the history was worked out under
        self._reading = asyncio.Lock()

    async def stock(self) -> Stock:
        """Today's stock; candle files that cannot be read are left out, with a line in the log."""
        looks = len(await self._chat.looks(self._line()))
        lived = await lived_of(self._ledger, self._settings, looks)
        try:
            history = await self.history()
        except DataError as error:
            log.warning("samples of the stored candles: %s", error)
            history = ()
        now = self._clock.now()
        return await asyncio.to_thread(stock_of, self._settings, now, lived, history, self._champion())

    async def history(self) -> tuple[PairHistory, ...]:
        """What the stored candles give, at most a day old, or ten minutes while there are few.

        Raises DataError for a broken file.
        """
        async with self._reading:
            now = to_ms(self._clock.now())
            known, rules = self._history, self._in_force()
            if known is None or rules != self._rules or now - known[0] >= self._fresh_ms(known[1]):
                found = await asyncio.to_thread(history_of, self._candles, rules.traded, rules.frame, rules, now)
                known = self._history = (now, found)
                self._rules = rules
            return known[1]

    def _fresh_ms(self, history: tuple[PairHistory, ...]) -> int:
        whole = len(history) == len(self._settings.traded) and all(h.days >= _LONG_DAYS for h in history)
        return _FRESH_MS if whole else _SOON_MS

    async def view(self) -> SamplesView:
        """The stock with its picture."""
        from core.reports.samples_chart import samples_chart

        stock = await self.stock()
        picture = await self._draw(samples_chart, stock.forecast, stock.closed, stock.began)
        return SamplesView(stock, picture)
