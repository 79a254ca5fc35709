"""``/whatif`` as a use case: the last signals of the ledger, or one of them, decided again with something changed."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from core.config import Settings
from core.domain.candles import Candles, Pair, Timeframe, to_datetime
from core.domain.ledger import FollowRecord
from core.domain.trading import FollowKind
from core.engine.what_if import Change, Entry, Past, Run
from core.engine.what_if_run import run
from core.engine.what_if_start import Curve, carried, opening
from core.errors import UsageError
from core.ml.what_if_worth import Comparison, Flip, Side, compare
from core.ports import CandleStore, Ledger
from core.services.reading import Stores, read
from core.services.views import Progress

MOST_SIGNALS = 1000
MOST_FLIPS = 12
"""That are listed; the rest is counted."""

_AROUND = 30  # candles shown before the entry
_AFTER = 12  # and after the later end


@dataclass(frozen=True, slots=True)
class Question:
    """``number``: one signal (``is_trade``: a trade's number) instead of the ``last`` ones."""

    change: Change
    last: int = 100
    number: int | None = None
    is_trade: bool = False


@dataclass(frozen=True, slots=True)
class FlipView:
    """A signal decided differently. ``r_net`` None while its follow is open; ``reason``: why it is not taken (now)."""

    decision_id: int
    pair: str
    direction: str
    time: datetime
    taken: bool
    was_signal: bool
    r_net: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class OneView:
    """One way a single signal ends; ``exit_reason`` empty while it is open, ``r`` gross and ``r_net`` net."""

    taken: bool
    reason: str
    stop: float
    targets: tuple[float, ...]
    exit_reason: str
    last_target: str
    r: float
    r_net: float | None
    pnl: float | None


@dataclass(frozen=True, slots=True)
class SingleView:
    """A single signal as it was and as it would have been; ``ended`` when the second way was over."""

    decision_id: int
    trade_id: int | None
    pair: str
    direction: str
    time: datetime
    entry: float
    before: OneView
    after: OneView
    picture: bytes | None


@dataclass(frozen=True, slots=True)
class WhatIfView:
    """The answer; figures as in ``Comparison``, over ``signals`` signals from ``since`` to ``until``.

    ``not_reproduced``: signals that this account decides differently from what was done although nothing is changed;
    ``guessed`` and ``no_model`` as in ``Run``. ``paused_since``: the drawdown limit would have ended it there.
    """

    change: Change
    signals: int
    since: datetime
    until: datetime
    before: Side
    after: Side
    flips: tuple[FlipView, ...]
    flips_total: int
    moved: int
    difference: float
    interval: tuple[float, float] | None
    apart: int
    unknown: Mapping[str, int]
    not_reproduced: int
    guessed: int
    no_model: int
    paused_since: datetime | None
    single: SingleView | None = None


@dataclass(frozen=True, slots=True)
class Lived:
    """What the ledger holds of the range: its signals (candidates too, where asked for), all trades, the equity."""

    past: tuple[Past, ...]
    trades: tuple[FollowRecord, ...]
    curve: Curve


def what_if_job(
    progress: Progress, store: CandleStore, stores: Stores, settings: Settings, question: Question
) -> WhatIfView:
    """For a worker process. Raises UsageError where there is no such signal, or none at all; StoreError, DataError."""
    progress("reading what was lived", 0.0)
    lived = read(stores, lambda ledger, chat: _lived(ledger, question))
    progress("candles", 0.3)
    candles = _candles(store, lived.past, settings)
    progress("deciding again", 0.6)
    before, after = both_ways(lived, candles, settings, question.change)
    progress("comparing", 0.9)
    if question.number is None:
        return _view(question.change, before, after)
    wanted = lived.past[-1].record.follow_id  # the last of the close, see ``_of_one``
    single = _single(before, after, wanted, candles, settings)
    return replace(_view(question.change, before, after), single=single)


def both_ways(lived: Lived, candles: Mapping[Pair, Candles], settings: Settings, change: Change) -> tuple[Run, Run]:
    """The run with nothing changed, and the one with the change."""
    open_then = carried(lived.trades, lived.past[0].close_time, candles, settings)
    account = opening(lived.past, open_then, lived.curve, candles, settings)
    signals = [p for p in lived.past if p.decision.is_signal]
    before = run(signals, open_then, account, candles, settings)
    return before, run(lived.past, open_then, account, candles, settings, change, before.calibration)


async def _lived(ledger: Ledger, question: Question) -> Lived:
    past = await _of_last(ledger, question) if question.number is None else await _of_one(ledger, question)
    state = await ledger.load()
    trades = [*await ledger.closed_trades(), *(f for f in state.follows if f.kind is FollowKind.TRADE)]
    return Lived(past, tuple(trades), await ledger.equity_curve())


async def _of_last(ledger: Ledger, question: Question) -> tuple[Past, ...]:
    newest = await ledger.newest_signals(question.last)
    if not newest:
        raise UsageError("there are no signals yet, so there is nothing to decide again")
    since = min(row.decision.open_time for row in newest)
    everything = bool(question.change.strategy)
    rows = await ledger.trade_rows(signals_only=not everything, since_ms=since)
    return _in_order([Past(row.decision, row.follow) for row in rows])


async def _of_one(ledger: Ledger, question: Question) -> tuple[Past, ...]:
    """That signal behind those that the same close decided before it: they may have taken its place."""
    number = question.number
    if question.is_trade and number is not None:
        record = await ledger.follow(number)
        if record is None or record.kind is not FollowKind.TRADE:
            raise UsageError(f"there is no trade #{number}")
        number = record.decision_id
    row = await ledger.row_of(number)
    if row is None:
        raise UsageError(f"there is no signal {number}")
    if not row.decision.is_signal:
        raise UsageError(f"{number} is a candidate that the strategy's own filters stopped; /why {number} shows which")
    rows = await ledger.trade_rows(signals_only=True, since_ms=row.decision.open_time)
    same = [r for r in rows if r.decision.open_time == row.decision.open_time]
    return _in_order([Past(r.decision, r.follow) for r in same if r.decision.decision_id <= row.decision.decision_id])


def _in_order(past: Sequence[Past]) -> tuple[Past, ...]:
    return tuple(sorted(past, key=lambda p: (p.close_time, p.decision.decision_id)))


def _candles(store: CandleStore, past: Sequence[Past], settings: Settings) -> dict[Pair, Candles]:
    """From as far back as live trading looks to the newest, of all pairs that may matter."""
    start = past[0].decision.open_time - (settings.candles.history + settings.strategy.max_bars) * settings.frame.ms
    pairs = dict.fromkeys([*(p.decision.pair for p in past), *settings.traded, settings.btc])
    loaded = {pair: store.load(pair, settings.frame, start, None) for pair in pairs}
    return {pair: candles for pair, candles in loaded.items() if len(candles)}


def _view(change: Change, before: Run, after: Run) -> WhatIfView:
    found: Comparison = compare(before, after)
    entries = after.entries
    times = [e.past.close_time for e in before.entries]
    flips = heapq.nlargest(MOST_FLIPS, found.flips, key=lambda f: f.after.past.close_time)
    return WhatIfView(
        change=change,
        signals=len(before.entries),
        since=to_datetime(min(times)),
        until=to_datetime(max(times)),
        before=found.before,
        after=found.after,
        flips=tuple(_flip(flip) for flip in flips),
        flips_total=len(found.flips),
        moved=found.moved,
        difference=found.difference,
        interval=found.interval,
        apart=found.apart,
        unknown=found.unknown,
        not_reproduced=sum(e.taken != (e.past.decision.status == "taken") for e in before.entries),
        guessed=after.guessed,
        no_model=after.no_model,
        paused_since=_paused(before, after) if entries else None,
    )


def _paused(before: Run, after: Run) -> datetime | None:
    since = after.paused_since
    return None if since is None or before.paused_since is not None else to_datetime(since)


def _flip(flip: Flip) -> FlipView:
    entry, decision = flip.after, flip.after.past.decision
    return FlipView(
        decision_id=decision.decision_id,
        pair=str(decision.pair),
        direction=decision.direction,
        time=to_datetime(entry.past.close_time),
        taken=entry.taken,
        was_signal=decision.is_signal,
        r_net=entry.r_net,
        reason=entry.reason,
    )


def _single(before: Run, after: Run, wanted: int, candles: Mapping[Pair, Candles], settings: Settings) -> SingleView:
    was = next(e for e in before.entries if e.past.record.follow_id == wanted)
    now = next(e for e in after.entries if e.past.record.follow_id == wanted)
    decision = was.past.decision
    return SingleView(
        decision_id=decision.decision_id,
        trade_id=wanted if was.past.record.kind is FollowKind.TRADE else None,
        pair=str(decision.pair),
        direction=decision.direction,
        time=to_datetime(was.past.close_time),
        entry=was.follow.levels.entry,
        before=_one(was),
        after=_one(now),
        picture=_picture(was, now, candles.get(decision.pair), settings),
    )


def _one(entry: Entry) -> OneView:
    follow = entry.follow
    return OneView(
        taken=entry.taken,
        reason=entry.reason,
        stop=follow.levels.stop,
        targets=follow.levels.targets,
        exit_reason=follow.exit_reason.value if follow.exit_reason else "",
        last_target=f"TP{follow.targets_hit}" if follow.targets_hit else "",
        r=follow.realized_r,
        r_net=entry.r_net,
        pnl=entry.pnl,
    )


def _picture(was: Entry, now: Entry, candles: Candles | None, settings: Settings) -> bytes | None:
    """The trade with its new levels and fills, to beyond the later of the two ends."""
    from core.reports.charts import candle_chart

    frame = Timeframe.parse(settings.timeframe).ms
    entered = was.follow.entry_time
    if candles is None:
        return None
    ends = [e.follow.exit_time for e in (was, now)]
    end = None if None in ends else max(t for t in ends if t is not None) + _AFTER * frame
    shown = candles.between(None, end)
    count = len(shown.between(entered - _AROUND * frame, None))
    if count < 2:
        return None
    title = f"{was.past.decision.pair} · {settings.timeframe} · what if"
    return candle_chart(shown, now.follow.levels, title, now.follow.legs, entered, shown=count)
