"""Every candidate beside what each single filter says of it and what became of it: what an audit of filters reads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from core.config import Rules, Settings, Strategy, Variant
from core.domain.candles import BoolArray, Candles, FloatArray, IntArray, Pair, Timeframe
from core.domain.trading import Direction, ExitReason, Regime, Ruling
from core.engine import filters
from core.engine.indicators import REGIMES, RegimeArray, indicators
from core.engine.outcomes import EXITS, outcomes_of
from core.engine.strategy import SignArray, candidates

EARLY = ("adx", "rsi", "volume", "CHOPPY", "UNKNOWN")
"""What makes a candidate a signal, before the cooldown; a regime's name stands for refusing that regime."""

OWN = (*EARLY, "cooldown")
"""The filters that the strategy has in force as it comes."""

OTHER_REGIMES = tuple(r.value for r in Regime if r.value not in EARLY)
LATE = ("alignment", "btc")
FILTERS = (*OWN, *OTHER_REGIMES, *LATE)
"""All that can be asked about. Regimes let through and the two rules are asked about as if they refused."""


def in_force_of(strategy: Strategy) -> tuple[str, ...]:
    """The filters that a strategy has in force, in the order of ``FILTERS``."""
    refused = ("UNKNOWN", *strategy.refused_regimes)
    return tuple(n for n in FILTERS if n in refused or (n in OWN and n not in _REGIME_CODES))


_REGIME_CODES = {regime.value: code for code, regime in enumerate(REGIMES)}
_GAP = EXITS.index(ExitReason.GAP)
_LOWER_CANDLES = 60  # as the live loop fetches them


@dataclass(frozen=True, eq=False)
class AuditPart:
    """A pair's candidates, oldest first: arrays (n,). Times in epoch ms, R in units of the stop distance.

    ``decided`` is the close of the entry candle, ``end`` that of the exit candle; ``bars_since`` the rows since the
    strategy's signal before (-1: none). ``sample`` is False where a long gap ended the trade: such a candidate starts
    a cooldown but has no outcome. ``aligned`` and ``with_btc``: not refused by that rule as a veto.
    """

    pair: Pair
    row: IntArray
    sign: SignArray
    decided: IntArray
    end: IntArray
    bars_since: IntArray
    adx: FloatArray
    rsi: FloatArray
    volume_ratio: FloatArray
    regime: RegimeArray
    aligned: BoolArray
    with_btc: BoolArray
    gross: FloatArray
    net: FloatArray
    sample: BoolArray
    strategy: Strategy

    def __len__(self) -> int:
        return len(self.row)

    def passed(self, name: str, strategy: Strategy | None = None) -> BoolArray:
        """Which candidates the filter ``name`` lets through, under ``strategy``'s limits (default: its own)."""
        limits = strategy or self.strategy
        if name in _REGIME_CODES:
            return np.asarray(self.regime != _REGIME_CODES[name])
        return np.asarray(
            {
                "adx": self.adx >= limits.adx_min,
                "rsi": np.where(self.sign > 0, self.rsi <= limits.rsi_long_max, self.rsi >= limits.rsi_short_min),
                "volume": self.volume_ratio >= limits.volume_ratio_min,
                "cooldown": (self.bars_since < 0) | (self.bars_since >= limits.cooldown_bars),
                "alignment": self.aligned,
                "btc": self.with_btc,
            }[name]
        )

    def signals(self, in_force: Collection[str] | None = None, strategy: Strategy | None = None) -> BoolArray:
        """The signals under these filters (None: the strategy's); the cooldown runs anew through those that result.

        Alignment and BTC come after it, for a signal that they refuse starts the cooldown all the same.
        """
        limits = strategy or self.strategy
        in_force = in_force_of(limits) if in_force is None else in_force
        chosen = np.ones(len(self), dtype=np.bool_)
        for name in in_force:
            if name not in LATE and name != "cooldown":
                chosen = chosen & self.passed(name, limits)
        if "cooldown" in in_force:
            chosen = _spaced(self.row, chosen, limits.cooldown_bars)
        for name in in_force:
            if name in LATE:
                chosen = chosen & self.passed(name)
        return chosen

    def variant_signals(self, variant: Variant) -> BoolArray:
        """The signals that a variant of the strategy would have had."""
        return self.signals(None, variant.strategy(self.strategy))

    def killed(self, name: str) -> BoolArray:
        """The candidates that fail this filter, whatever the others say."""
        return np.asarray(~self.passed(name))

    def killed_alone(self, name: str) -> BoolArray:
        """The candidates that fail this filter and pass all others of the strategy."""
        own = in_force_of(self.strategy)
        if name not in own:
            return np.asarray(self.signals() & self.killed(name))
        alone = self.killed(name)
        for other in own:
            if other != name:
                alone = alone & self.passed(other)
        return alone


def _spaced(row: IntArray, passes: BoolArray, cooldown: int) -> BoolArray:
    """Of those that pass, each one that is ``cooldown`` rows or more after the last one kept."""
    kept = np.zeros(len(row), dtype=np.bool_)
    last: int | None = None
    for index in np.flatnonzero(passes):
        if last is None or row[index] - last >= cooldown:
            kept[index] = True
            last = int(row[index])
    return kept


def audit_part(
    candles: Candles,
    btc: Candles | None,
    lower: Mapping[str, Candles],
    settings: Settings,
    start_ms: int | None = None,
    end_ms: int | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> AuditPart:
    """All candidates of a pair in ``[start_ms, end_ms)`` that have ``strategy.max_bars`` candles after them.

    Earlier candles warm the indicators up. ``lower`` holds stored candles of timeframes below the pair's own, by name:
    a timeframe of ``rules.alignment_timeframes`` without any is left out of the alignment. ``progress`` hears of each
    candidate whose rules were looked at.
    """
    rules, max_gap = settings.strategy, settings.candles.max_gap
    used = candles.between(None, end_ms)
    first_row = 0 if start_ms is None else int(np.searchsorted(used.time, start_ms))
    ind = indicators(used, max_gap)
    entries = candidates(used, ind, rules, max_gap=max_gap, first_row=first_row)
    entries = entries.only(entries.row < len(used) - rules.max_bars)
    row = entries.row
    outcomes = outcomes_of(used, row, entries.sign, ind.atr[row], settings)
    agrees = np.ones((len(row), 2), dtype=np.bool_)
    for index, verdicts in enumerate(_rulings(used, row, entries.sign, btc, lower, settings)):
        agrees[index] = verdicts
        progress(1)
    return AuditPart(
        pair=candles.pair,
        row=row,
        sign=entries.sign,
        decided=used.time[row] + used.timeframe.ms,
        end=used.time[outcomes.exit_row] + used.timeframe.ms,
        bars_since=entries.bars_since,
        adx=ind.adx[row],
        rsi=ind.rsi[row],
        volume_ratio=ind.volume_ratio[row],
        regime=ind.regime[row],
        aligned=agrees[:, 0],
        with_btc=agrees[:, 1],
        gross=outcomes.realized_r,
        net=outcomes.net_r(settings.paper.fee_rate, settings.paper.slippage_rate),
        sample=outcomes.exit != _GAP,
        strategy=rules,
    )


def _rulings(
    candles: Candles,
    row: IntArray,
    sign: SignArray,
    btc: Candles | None,
    lower: Mapping[str, Candles],
    settings: Settings,
) -> Iterator[tuple[bool, bool]]:
    """Whether alignment and BTC, as vetoes, let each candidate pass, from what had closed by its close."""
    rules = as_vetoes(settings.rules, candles, lower)
    history = settings.candles.history
    for at, up in zip(row, sign > 0, strict=True):
        direction = Direction.LONG if up else Direction.SHORT
        window = candles.rows(max(0, int(at) + 1 - history), int(at) + 1)
        close_time = int(window.time[-1]) + window.timeframe.ms
        facts = filters.gather_facts(
            window,
            None if btc is None else _closed_by(btc, close_time, history),
            {name: _closed_by(c, close_time, _LOWER_CANDLES) for name, c in lower.items()},
            {},
            rules,
            settings.candles.max_gap,
        )
        verdicts = (filters.alignment_verdict(direction, facts, rules), filters.btc_verdict(direction, facts, rules))
        yield verdicts[0].ruling is not Ruling.REFUSE, verdicts[1].ruling is not Ruling.REFUSE


def as_vetoes(rules: Rules, candles: Candles, lower: Mapping[str, Candles]) -> Rules:
    """The rules with both as vetoes, on those timeframes that can be known from these candles."""
    names = tuple(
        name for name in rules.alignment_timeframes if name in lower or _minutes(name) >= candles.timeframe.minutes
    )
    return rules.model_copy(update={"alignment": "veto", "btc": "veto", "alignment_timeframes": names})


def _minutes(name: str) -> int:
    return Timeframe.parse(name).minutes


def _closed_by(candles: Candles, close_time: int, most: int) -> Candles:
    stop = int(np.searchsorted(candles.time, close_time - candles.timeframe.ms, side="right"))
    return candles.rows(max(0, stop - most), stop)
