"""What a sweep says: each setting in-sample and out-of-sample, what choosing would have earned, and how much is luck.

All Sharpe ratios are of net R per UTC day over all pairs together: trades of one day count once, however many pairs
moved at the same hour. Days without a trade count as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from core.domain.candles import BoolArray, FloatArray, IntArray
from core.engine.metrics import max_drawdown
from core.engine.sharpe import (
    SharpeMoments,
    TrialCounter,
    Trials,
    deflated_sharpe,
    probabilistic_sharpe,
    rank_correlation,
    sharpe_moments,
)
from core.services.sweep.plan import KINDS, Kind, Segment, Sweep

if TYPE_CHECKING:
    import pyarrow as pa

YEAR_DAYS = 365
"""Crypto has no weekend: a daily Sharpe ratio times the root of this is the yearly one."""

_BATCH = 1_000  # settings whose days lie in memory at once


@dataclass(frozen=True, eq=False)
class Side:
    """Every setting in all in-sample parts together, or in all out-of-sample ones: (n,) each.

    ``sharpe`` is per year, NaN where nothing was traded; ``deflated`` the probability of being more than the luck of
    the best of all trials; ``drawdown_r`` of the days' net R one after the other.
    """

    trades: IntArray
    wins: IntArray
    gross_r: FloatArray
    net_r: FloatArray
    drawdown_r: FloatArray
    sharpe: FloatArray
    deflated: FloatArray
    trials: Trials
    days: int

    @property
    def net_per_trade(self) -> FloatArray:
        """R; NaN without trades."""
        with np.errstate(invalid="ignore"):
            mean: FloatArray = np.where(self.trades > 0, self.net_r / np.maximum(self.trades, 1), np.nan)
        return mean


@dataclass(frozen=True, slots=True)
class Choice:
    """One window: the setting whose Sharpe ratio was best in-sample, and what it then earned. None: nothing traded."""

    window: int
    setting: int | None
    is_net_r: float
    trades: int
    wins: int
    gross_r: float
    net_r: float


@dataclass(frozen=True, eq=False)
class WalkForward:
    """The choices one after the other: what choosing in-sample would have earned, with nothing known too early.

    ``sharpe`` is per year and None where nothing was traded; ``skill`` the probability that the true one is above 0:
    one series, nothing left to deflate. ``everybody_net_r`` is the mean over all settings in the same parts.
    """

    choices: tuple[Choice, ...]
    daily_net_r: FloatArray
    sharpe: float | None
    skill: float | None
    drawdown_r: float
    everybody_net_r: float

    @property
    def trades(self) -> int:
        return sum(choice.trades for choice in self.choices)

    @property
    def wins(self) -> int:
        return sum(choice.wins for choice in self.choices)

    @property
    def gross_r(self) -> float:
        return sum(choice.gross_r for choice in self.choices)

    @property
    def net_r(self) -> float:
        return sum(choice.net_r for choice in self.choices)


@dataclass(frozen=True, slots=True)
class PairShare:
    """What one pair added to a setting: trades and net R in-sample, and out-of-sample."""

    pair: str
    is_trades: int
    is_net_r: float
    oos_trades: int
    oos_net_r: float


@dataclass(frozen=True, eq=False)
class Verdict:
    """``agreement`` is the rank correlation of the settings' Sharpe ratios in-sample and out-of-sample, -1..1.

    ``by_pair`` takes the best setting in-sample apart; empty where none traded.
    """

    sweep: Sweep
    in_sample: Side
    out_of_sample: Side
    walk_forward: WalkForward
    agreement: float | None
    by_pair: tuple[PairShare, ...]

    def side(self, kind: Kind) -> Side:
        return self.in_sample if kind == "is" else self.out_of_sample

    def order(self, kind: Kind) -> IntArray:
        """Setting numbers, the best Sharpe ratio first; those without a trade last."""
        return _order(self.side(kind).sharpe)

    def distinct(self, kind: Kind) -> list[tuple[int, int]]:
        """``order`` without those that do the very same on both sides as one before, with how many do as each does.

        Of several that do the same the configured setting stands for all, else the first.
        """
        alike: dict[tuple[float, ...], list[int]] = {}
        for number in self.order(kind).tolist():
            key = tuple(
                float(np.nan_to_num(values[number]))
                for side in (self.in_sample, self.out_of_sample)
                for values in (side.trades, side.gross_r, side.net_r, side.sharpe)
            )
            alike.setdefault(key, []).append(number)
        own = self.sweep.configured
        return [(own if own is not None and own in group else group[0], len(group)) for group in alike.values()]

    def best(self, kind: Kind) -> int | None:
        """The setting with the best Sharpe ratio; None where none traded."""
        first = int(self.order(kind)[0])
        return None if np.isnan(self.side(kind).sharpe[first]) else first


def _order(sharpe: FloatArray) -> IntArray:
    return np.argsort(np.where(np.isnan(sharpe), np.inf, -sharpe), kind="stable").astype(np.int64)


def judge(sweep: Sweep, table: pa.Table) -> Verdict:
    """The verdict on a finished sweep's table."""
    figures = _Figures(sweep, table)
    counters = {kind: TrialCounter() for kind in KINDS}
    moments: dict[Kind, list[SharpeMoments]] = {kind: [] for kind in KINDS}
    falls: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    windows: list[FloatArray] = []  # of each batch the in-sample Sharpe ratio of each window, (k, windows)
    for first in range(0, len(sweep.settings), _BATCH):
        last = min(first + _BATCH, len(sweep.settings))
        for kind in KINDS:
            daily = figures.daily(kind, first, last)
            moments[kind].append(counters[kind].add(daily))
            falls[kind] += [max_drawdown(np.cumsum(np.concatenate(([0.0], row)))) for row in daily]
            if kind == "is":
                places = figures.places(kind)
                windows.append(np.stack([sharpe_moments(daily[:, place]).sharpe for place in places], axis=1))
    sides = {
        kind: _side(figures, kind, _joined(moments[kind]), counters[kind].trials(), np.array(falls[kind]))
        for kind in KINDS
    }
    return Verdict(
        sweep,
        sides["is"],
        sides["oos"],
        _walk(figures, np.concatenate(windows)),
        rank_correlation(sides["is"].sharpe, sides["oos"].sharpe),
        _by_pair(figures, table, sides["is"].sharpe),
    )


class _Figures:
    """The table's columns as arrays; rows stand in the order setting, pair, window, part."""

    def __init__(self, sweep: Sweep, table: pa.Table) -> None:
        self.sweep = sweep
        self.count = len(sweep.settings)
        self.setting = _column(table, "setting")
        self.window = _column(table, "window") - 1
        self.is_oos: BoolArray = np.array(table.column("segment").to_pylist()) == "oos"
        self.numbers = {name: _column(table, name) for name in ("trades", "wins", "gross_r", "net_r")}
        self._day = _flat(table, "day").astype(np.int64)
        self._net = _flat(table, "day_net_r")
        self._row = np.repeat(np.arange(table.num_rows), _lengths(table, "day"))

    def segments(self, kind: Kind) -> list[Segment]:
        return [s for s in self.sweep.ground.segments if s.kind == kind]

    def places(self, kind: Kind) -> list[slice]:
        """Where each window's days stand among all days of that kind."""
        ends = np.cumsum([0, *(s.days for s in self.segments(kind))])
        return [slice(int(a), int(b)) for a, b in pairwise(ends)]

    def of_kind(self, kind: Kind) -> BoolArray:
        return self.is_oos if kind == "oos" else ~self.is_oos

    def daily(self, kind: Kind, first: int, last: int) -> FloatArray:
        """Net R of each day, all pairs together, of the settings ``first`` to ``last``: (settings, days)."""
        segments, places = self.segments(kind), self.places(kind)
        shift = np.array([p.start - s.first_day for p, s in zip(places, segments, strict=True)])
        setting, window = self.setting[self._row], self.window[self._row]
        chosen = self.of_kind(kind)[self._row] & (setting >= first) & (setting < last)
        daily = np.zeros((last - first, places[-1].stop))
        at = (setting[chosen] - first, self._day[chosen] + shift[window[chosen]])
        np.add.at(daily, at, self._net[chosen])
        return daily

    def total(self, name: str, chosen: BoolArray) -> FloatArray:
        """The sum of a column per setting over the chosen rows: (settings,)."""
        summed = np.bincount(self.setting[chosen], self.numbers[name][chosen], minlength=self.count)
        return summed.astype(np.float64)


def _lengths(table: pa.Table, name: str) -> IntArray:
    import pyarrow.compute as pc

    return np.asarray(pc.list_value_length(table.column(name)).to_numpy())


def _flat(table: pa.Table, name: str) -> FloatArray:
    """All values of a column of lists, one list after the other."""
    import pyarrow.compute as pc

    return np.asarray(pc.list_flatten(table.column(name)).to_numpy())


def _column(table: pa.Table, name: str) -> IntArray:
    return np.asarray(table.column(name).to_numpy())


def _joined(parts: Sequence[SharpeMoments]) -> SharpeMoments:
    sharpe, skew, kurtosis = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("sharpe", "skew", "kurtosis")
    )
    return SharpeMoments(sharpe, skew, kurtosis, parts[0].periods)


def _side(figures: _Figures, kind: Kind, moments: SharpeMoments, trials: Trials, falls: FloatArray) -> Side:
    chosen = figures.of_kind(kind)
    return Side(
        trades=figures.total("trades", chosen).astype(np.int64),
        wins=figures.total("wins", chosen).astype(np.int64),
        gross_r=figures.total("gross_r", chosen),
        net_r=figures.total("net_r", chosen),
        drawdown_r=falls,
        sharpe=moments.sharpe * np.sqrt(YEAR_DAYS),
        deflated=deflated_sharpe(moments, trials),
        trials=trials,
        days=moments.periods,
    )


def _by_pair(figures: _Figures, table: pa.Table, sharpe: FloatArray) -> tuple[PairShare, ...]:
    best = int(_order(sharpe)[0])
    if np.isnan(sharpe[best]):
        return ()
    own = np.flatnonzero(figures.setting == best)
    pairs = np.array(table.column("pair").take(own).to_pylist())
    shares = []
    for pair in figures.sweep.ground.pairs:
        rows = own[pairs == str(pair)]
        sums = [
            (int(figures.numbers["trades"][part].sum()), float(figures.numbers["net_r"][part].sum()))
            for part in (rows[~figures.is_oos[rows]], rows[figures.is_oos[rows]])
        ]
        shares.append(PairShare(str(pair), *sums[0], *sums[1]))
    return tuple(shares)


def _walk(figures: _Figures, in_sample: FloatArray) -> WalkForward:
    """``in_sample`` holds each setting's Sharpe ratio in each window, (settings, windows)."""
    choices, days = [], []
    for window, (segment, place) in enumerate(zip(figures.segments("oos"), figures.places("oos"), strict=True)):
        here = figures.window == window
        judged, seen = here & figures.is_oos, here & ~figures.is_oos
        seen_sharpe = in_sample[:, window]
        if np.isnan(seen_sharpe).all():
            choices.append(Choice(window + 1, None, 0.0, 0, 0, 0.0, 0.0))
            days.append(np.zeros(segment.days))
            continue
        best = int(np.nanargmax(seen_sharpe))  # of equals the first, whatever the order they were worked off in
        own = figures.setting == best
        value = {name: numbers[judged & own].sum() for name, numbers in figures.numbers.items()}
        earned = float(figures.numbers["net_r"][seen & own].sum())
        choices.append(
            Choice(
                window + 1,
                best,
                earned,
                int(value["trades"]),
                int(value["wins"]),
                float(value["gross_r"]),
                float(value["net_r"]),
            )
        )
        days.append(figures.daily("oos", best, best + 1)[0, place])
    daily = np.concatenate(days)
    found = sharpe_moments(daily)
    sharpe, skew, tails = (float(v[0]) for v in (found.sharpe, found.skew, found.kurtosis))
    traded = not np.isnan(sharpe)
    return WalkForward(
        choices=tuple(choices),
        daily_net_r=daily,
        sharpe=sharpe * float(np.sqrt(YEAR_DAYS)) if traded else None,
        skill=probabilistic_sharpe(sharpe, found.periods, skew=skew, kurtosis=tails) if traded else None,
        drawdown_r=max_drawdown(np.cumsum(np.concatenate(([0.0], daily)))),
        everybody_net_r=float(figures.numbers["net_r"][figures.is_oos].sum()) / figures.count,
    )
