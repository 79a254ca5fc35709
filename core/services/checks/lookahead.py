"""Look-ahead: whether anything said about the past needed candles that came later.

The candles are cut at many places, everything is worked out again, and every value, decision and finished trade before
the cut is compared with what the whole history gave. Then the candles behind the cut are not taken away but changed:
what a missing future hides (a mean that falls back to what there is, say) a different future shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from core.config import Settings
from core.domain.candles import Candles, IntArray, Pair
from core.domain.trading import ExitReason
from core.engine.indicators import indicators
from core.engine.outcomes import EXITS, OPEN, outcomes_of
from core.engine.strategy import candidates

Column = npt.NDArray[Any]
How = Literal["cut", "changed"]

ROUNDING = 1e-12
"""Two values this close (relative) are the same: sums taken in another order differ in their last bits."""

ROUNDING_OF = {"hurst": 1e-9}
"""Columns with a rounding of their own (absolute). The running sums of Hurst begin anew at places that depend on how
many candles there are; what that leaves is far below what any rule looks at, and an exponent near 0 has no relative."""

INDICATORS = (
    *("sma_15", "sma_40", "rsi", "adx", "di_plus", "di_minus", "atr", "atr_percent", "volume_sma", "volume_ratio"),
    *("sma_distance_percent", "hurst", "regime", "hour", "day_of_week"),
)
_GAP = EXITS.index(ExitReason.GAP)
_TRADE = ("bars", "targets_hit", "exit", "exit_price", "exit_row", "realized_r", "mfe_r", "mae_r", "ambiguous")


@dataclass(frozen=True, eq=False)
class Events:
    """Things that happen at some rows: ``row`` (m,) where, ``known`` (m,) the row at whose close they are settled
    (-1: not yet), and their values by name, (m,) each. A row holds at most one."""

    row: IntArray
    known: IntArray
    values: Mapping[str, Column]


@dataclass(frozen=True, eq=False)
class Facts:
    """All that was worked out from n candles: values by name, (n,) each and known at their candle's close; events."""

    values: Mapping[str, Column]
    events: tuple[Events, ...] = ()

    def before(self, cut: int) -> dict[str, Column]:
        """What is known when row ``cut`` opens, as (cut,) arrays; NaN where there is no event."""
        seen = {name: values[:cut] for name, values in self.values.items()}
        for event in self.events:
            settled = (event.known >= 0) & (event.known < cut)
            for name, values in event.values.items():
                seen[name] = np.full(cut, np.nan)
                seen[name][event.row[settled]] = values[settled]
        return seen


Study = Callable[[Candles], Facts]
"""What is under suspicion: it is given candles and gives facts, one value per candle it was given."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A value that later candles changed: the first of its column, as (row, open time in epoch ms).

    ``whole`` is what the whole history gives, ``found`` what the candles before row ``cut`` give (``how`` "cut") or
    what they give with another future behind them ("changed"); NaN: not there. ``cuts`` counts where it was seen.
    """

    pair: Pair
    column: str
    row: int
    time: int
    whole: float
    found: float
    cut: int
    how: How
    cuts: int

    def __str__(self) -> str:
        return f"{self.column} of {self.pair}"


@dataclass(frozen=True)
class PairLookahead:
    """One pair's part: ``rounding`` holds the columns equal only but for rounding, with the worst difference
    (relative, or absolute for those of ``ROUNDING_OF``)."""

    pair: Pair
    candles: int
    cuts: int
    compared: int
    leaks: tuple[Leak, ...]
    rounding: Mapping[str, float] = field(default_factory=dict)


def strategy_study(settings: Settings, extra: Mapping[str, Callable[[Candles], Column]] | None = None) -> Study:
    """The strategy itself: its indicators, candidates, signals, levels and trades; ``extra`` adds columns to them."""
    rules, max_gap = settings.strategy, settings.candles.max_gap

    def study(candles: Candles) -> Facts:
        ind = indicators(candles, max_gap)
        found = candidates(candles, ind, rules, max_gap=max_gap)
        out = outcomes_of(candles, found.row, found.sign, ind.atr[found.row], settings)
        decided = {
            "candidate": found.sign,
            "signal": found.is_signal,
            "bars_since_signal": found.bars_since,
            "entry": out.entry,
            "stop": out.stop,
            **{f"tp{n}": out.targets[:, n - 1] for n in (1, 2, 3)},
        }
        # That candles are missing shows only when the next one comes.
        ended = np.where(out.exit == OPEN, -1, out.exit_row + (out.exit == _GAP))
        return Facts(
            {
                **{name: getattr(ind, name) for name in INDICATORS},
                **{name: compute(candles) for name, compute in (extra or {}).items()},
            },
            (
                Events(found.row, found.row, decided),
                Events(found.row, ended, {f"trade {name}": getattr(out, name) for name in _TRADE}),
            ),
        )

    return study


def check_lookahead(
    candles: Candles,
    study: Study,
    cuts: int = 100,
    *,
    seed: int = 7,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PairLookahead:
    """Cuts the candles at ``cuts`` places, half spread evenly and half right after events (candidates), and compares.

    The same input and ``seed`` (of the changed future) give the same answer. Too few candles to cut give no cuts.
    """
    whole = study(candles)
    places = cut_places(len(candles), whole.events[0].row if whole.events else np.empty(0, dtype=np.int64), cuts)
    rng = np.random.default_rng(seed)
    leaks: dict[str, Leak] = {}
    rounding: dict[str, float] = {}
    compared = 0
    for number, cut in enumerate(int(place) for place in places):
        wanted = whole.before(cut)
        futures: tuple[tuple[How, Candles], ...] = (
            ("cut", candles.rows(0, cut)),
            ("changed", with_another_future(candles, cut, rng)),
        )
        for how, given in futures:
            found = study(given).before(cut)
            for name, values in wanted.items():
                compared += cut
                _compare(leaks, rounding, candles, cut, how, name, values, found[name])
        progress(number + 1, len(places))
    first = sorted(leaks.values(), key=lambda leak: (leak.row, leak.column))
    for name in leaks:
        rounding.pop(name, None)
    return PairLookahead(candles.pair, len(candles), len(places), compared, tuple(first), rounding)


def _compare(
    leaks: dict[str, Leak],
    rounding: dict[str, float],
    candles: Candles,
    cut: int,
    how: How,
    name: str,
    wanted: Column,
    found: Column,
) -> None:
    differs = (wanted != found) & ~((wanted != wanted) & (found != found))  # NaN is not itself
    rows = np.flatnonzero(differs)
    if not len(rows):
        return
    a, b = wanted[rows].astype(np.float64), found[rows].astype(np.float64)
    scale = 1.0 if name in ROUNDING_OF else np.maximum(np.abs(a), np.abs(b))
    apart = np.abs(a - b) / scale
    far = ~(apart <= ROUNDING_OF.get(name, ROUNDING))  # a NaN on one side is far
    if not far.any():
        rounding[name] = max(rounding.get(name, 0.0), float(apart.max()))
        return
    at = int(np.argmax(far))
    row, known = int(rows[at]), leaks.get(name)
    if known is None or row < known.row:
        before = known.cuts if known else 0
        time = int(candles.time[row])
        leaks[name] = Leak(candles.pair, name, row, time, float(a[at]), float(b[at]), cut, how, before + 1)
    else:
        leaks[name] = replace(known, cuts=known.cuts + 1)


def cut_places(rows: int, events: IntArray, count: int) -> IntArray:
    """At most ``count`` rows to cut at, ascending, each in ``1..rows - 1``: half even, half one behind an event."""
    if rows < 2 or count < 1:
        return np.empty(0, dtype=np.int64)
    behind = events[events < rows - 1] + 1
    chosen = behind[np.linspace(0, len(behind) - 1, min(count // 2, len(behind))).astype(np.int64)]
    even = np.linspace(1, rows - 1, count - len(chosen)).astype(np.int64)
    return np.unique(np.concatenate((even, chosen)))


def with_another_future(candles: Candles, cut: int, rng: np.random.Generator) -> Candles:
    """The same candles up to row ``cut``; from there on each is scaled by a chance factor between a half and two."""
    later = len(candles) - cut
    price = np.concatenate((np.ones(cut), rng.uniform(0.5, 2.0, later)))
    volume = np.concatenate((np.ones(cut), rng.uniform(0.0, 5.0, later)))
    return replace(
        candles,
        open=candles.open * price,
        high=candles.high * price,
        low=candles.low * price,
        close=candles.close * price,
        volume=candles.volume * volume,
    )
