"""A chunk of settings worked off: what each takes, in each pair and part, and what becomes of it.

A pair is prepared once per process: its indicators, its crossings, and the outcome of every crossing once per way to
leave a trade. A setting then only chooses among them, by the very function the backtest uses; a test holds each row
equal to ``run_backtest``.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.config import Strategy
from core.domain.candles import DAY_MS, BoolArray, Candles, FloatArray, IntArray, Pair
from core.domain.trading import ExitReason
from core.engine.indicators import indicators
from core.engine.metrics import max_drawdown
from core.engine.outcomes import EXITS, find_outcomes
from core.engine.strategy import candidates, chained, passes_rules
from core.ports import CandleStore
from core.services.sweep.grid import Setting
from core.services.sweep.plan import Chunk, Ground, Segment

Source = CandleStore | Mapping[Pair, Candles]
"""Where a worker finds candles: the store's own place, or the candles themselves."""

Rows = dict[str, list[Any]]
"""The result of a chunk, column by column, in the order setting, pair, window, part."""

_GAP = EXITS.index(ExitReason.GAP)
_KEPT_PAIRS = 32  # some 20 MB each for two years
_KEPT_EXITS = 64  # of one pair; 50 KB each

_prepared: OrderedDict[tuple[str, Pair], PairGround] = OrderedDict()
_preparing = threading.Lock()  # a cluster's worker may have several threads


def evaluate_chunk(ground: Ground, source: Source, chunk: Chunk) -> Rows:
    """One row per setting, pair and part. Raises DataError where stored candles cannot be read."""
    found = {(s.number, pair): _of_pair(ground, source, pair).rows(s) for pair in ground.pairs for s in chunk.settings}
    out: Rows = {name: [] for name in ("setting", "pair", *FIGURES)}
    for setting in chunk.settings:
        for pair in ground.pairs:
            for row in found[setting.number, pair]:
                out["setting"].append(setting.number)
                out["pair"].append(str(pair))
                for name in FIGURES:
                    out[name].append(row[name])
    return out


FIGURES = (
    *("window", "segment", "trades", "wins", "wins_net", "gross_r", "net_r", "net_r_squares", "max_drawdown_r"),
    *("ambiguous", "gap_ended", "day", "day_net_r"),
)
"""What a row says. R in units of the stop; ``max_drawdown_r`` of the net R one after the other, in the order of entry.
``day`` (UTC, since 1970) and ``day_net_r`` are lists: the net R of the trades entered on each day that had some."""


def _of_pair(ground: Ground, source: Source, pair: Pair) -> PairGround:
    with _preparing:
        key = (ground.key, pair)
        if key not in _prepared:
            for old in [k for k in _prepared if k[0] != ground.key]:
                del _prepared[old]  # of a sweep that is over
            if isinstance(source, Mapping):
                candles = source[pair].between(None, ground.end_ms)
            else:
                candles = source.load(pair, ground.timeframe, None, ground.end_ms)
            _prepared[key] = PairGround(candles, ground)
        _prepared.move_to_end(key)
        while len(_prepared) > _KEPT_PAIRS:
            _prepared.popitem(last=False)
        return _prepared[key]


@dataclass(frozen=True, eq=False)
class _Results:
    """Of every crossing under one way to leave a trade; ``sample`` is False where a gap ended it."""

    gross_r: FloatArray
    net_r: FloatArray
    ambiguous: BoolArray
    sample: BoolArray


class PairGround:
    """A pair made ready for any number of settings."""

    def __init__(self, candles: Candles, ground: Ground) -> None:
        self._candles, self._ground = candles, ground
        self._ind = indicators(candles, ground.max_gap)
        every = candidates(candles, self._ind, Strategy(), max_gap=ground.max_gap)  # its warm-up is the shortest
        self._row, self._sign, self._atr = every.row, every.sign, self._ind.atr[every.row]
        self._day = candles.time[self._row] // DAY_MS
        # What the rules ask for, at the crossings alone; the index of a crossing is its row here.
        self._at = self._ind.at(self._row)
        self._parts = [self._rows_of(segment) for segment in ground.segments]
        self._warm: dict[int, BoolArray] = {}
        self._results: OrderedDict[tuple[object, ...], _Results] = OrderedDict()
        self._searching = threading.Lock()

    def _rows_of(self, segment: Segment) -> tuple[int, int]:
        """The candles ``[first, last)`` of a part."""
        first, last = (int(np.searchsorted(self._candles.time, ms)) for ms in (segment.start_ms, segment.end_ms))
        return first, last

    def rows(self, setting: Setting) -> list[dict[str, Any]]:
        """The setting's figures in each part, in their order."""
        rules, every = setting.strategy, np.arange(len(self._row))
        passes = passes_rules(self._at, every, self._sign, rules) & self._warmed_up(rules)
        results = self._results_of(setting)
        found = []
        for segment, (first, last) in zip(self._ground.segments, self._parts, strict=True):
            low, high = np.searchsorted(self._row, (first, last))
            is_signal, _ = chained(self._row[low:high], passes[low:high], rules.cooldown_bars)
            # Closed within the part for certain: no in-sample trade reaches into what comes after.
            is_signal &= self._row[low:high] < last - rules.max_bars
            found.append(self._figures(segment, low + np.flatnonzero(is_signal), results))
        return found

    def _warmed_up(self, rules: Strategy) -> BoolArray:
        """Which crossings lie behind the warm-up that the rules want."""
        if rules.warmup_bars not in self._warm:
            kept = candidates(self._candles, self._ind, rules, max_gap=self._ground.max_gap).row
            self._warm[rules.warmup_bars] = np.isin(self._row, kept)
        return self._warm[rules.warmup_bars]

    def _figures(self, segment: Segment, signals: IntArray, results: _Results) -> dict[str, Any]:
        """``FIGURES`` of the signals, crossings by index."""
        sample = results.sample[signals]
        at = signals[sample]
        gross, net = results.gross_r[at], results.net_r[at]
        day, day_net = _by_day(self._day[at], net)
        return {
            "window": segment.window + 1,
            "segment": segment.kind,
            "trades": len(at),
            "wins": int((gross > 0).sum()),
            "wins_net": int((net > 0).sum()),
            "gross_r": float(gross.sum()),
            "net_r": float(net.sum()),
            "net_r_squares": float((net**2).sum()),
            "max_drawdown_r": max_drawdown(np.cumsum(np.concatenate(([0.0], net)))),
            "ambiguous": int(results.ambiguous[at].sum()),
            "gap_ended": int((~sample).sum()),
            "day": day.tolist(),
            "day_net_r": day_net.tolist(),
        }

    def _results_of(self, setting: Setting) -> _Results:
        rules = setting.strategy
        exits = (rules.stop_atr, rules.max_bars, rules.breakeven_after_tp1, setting.fills)
        key = (*exits, setting.fee_rate, setting.slippage_rate)
        with self._searching:
            if key not in self._results:
                self._results[key] = self._search(setting)
            self._results.move_to_end(key)
            while len(self._results) > _KEPT_EXITS:
                self._results.popitem(last=False)
            return self._results[key]

    def _search(self, setting: Setting) -> _Results:
        rules = setting.strategy
        found = find_outcomes(
            self._candles,
            self._row,
            self._sign,
            self._atr,
            stop_atr=rules.stop_atr,
            max_bars=rules.max_bars,
            fills="pessimistic" if setting.fills == "pessimistic" else "reference",
            breakeven=rules.breakeven_after_tp1,
            max_gap=self._ground.max_gap,
        )
        net = found.net_r(setting.fee_rate, setting.slippage_rate)
        return _Results(found.realized_r, net, found.ambiguous, found.exit != _GAP)


def _by_day(day: IntArray, net: FloatArray) -> tuple[IntArray, FloatArray]:
    """Each day once, with the sum of its results."""
    first = np.flatnonzero(np.diff(day, prepend=-1))  # days ascend, as the crossings do
    return day[first], np.add.reduceat(net, first) if len(first) else net
