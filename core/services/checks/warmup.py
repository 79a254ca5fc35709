"""Warm-up: how much history a value needs before it no longer depends on where the history begins.

Wilder's averages (RSI, ADX, ATR) remember their first value for ever, ever more faintly: with period 14 a share of
13/14 a candle, twice over for ADX. The live loop keeps ``candles.history`` candles and trades from
``candles.min_history`` on, so what it says must by then be what the whole history says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.config import CandleSettings, Settings
from core.domain.candles import Candles, FloatArray, IntArray, Pair
from core.domain.trading import Candidate
from core.engine.indicators import Indicators, indicators
from core.engine.strategy import candidate_at, crossings

LENGTHS = (*range(100, 500, 50), *range(500, 1000, 100), *range(1000, 2001, 250))
"""History lengths tried, in candles, ascending."""

SETTLED = 1e-9
"""A value within this of the whole history's (relative) no longer depends on where the history begins."""

NUMBERS = (
    *("sma_15", "sma_40", "rsi", "adx", "di_plus", "di_minus", "atr", "atr_percent", "volume_sma", "volume_ratio"),
    *("sma_distance_percent", "hurst"),
)


@dataclass(frozen=True)
class Warmup:
    """Over all rows looked at: ``worst[name][i]`` is the worst relative difference of an indicator with a history of
    ``lengths[i]`` candles against the whole, inf where only one of them is defined; the others count rows.

    ``regimes``, ``candidates`` and ``signals`` are the shares (0..1) of rows whose regime, crossing, signal differ;
    ``candidates`` of all rows, ``signals`` of the rows with a candidate.
    """

    lengths: tuple[int, ...]
    rows: int
    crossing_rows: int
    pairs: tuple[Pair, ...]
    worst: Mapping[str, tuple[float, ...]]
    regimes: tuple[float, ...]
    candidates: tuple[float, ...]
    signals: tuple[float, ...]
    settings: CandleSettings

    @property
    def settled(self) -> int | None:
        """The least history from which on no indicator differs by more than ``SETTLED``; None: longer than all."""
        return self._from_here_on([max(w[i] for w in self.worst.values()) <= SETTLED for i in range(len(self.lengths))])

    @property
    def decided(self) -> int | None:
        """The least history from which on no regime, candidate or signal differs; None: longer than all."""
        shares = zip(self.regimes, self.candidates, self.signals, strict=True)
        return self._from_here_on([not any(differs) for differs in shares])

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with the settings, a sentence each; empty where they are long enough."""
        found = []
        if self.settled is None or self.settings.history < self.settled:
            found.append(_too_small("history", self.settings.history, self.settled, "for values to settle"))
        if self.decided is None or self.settings.min_history < self.decided:
            found.append(_too_small("min_history", self.settings.min_history, self.decided, "for decisions to settle"))
        return tuple(found)

    def _from_here_on(self, holds: Sequence[bool]) -> int | None:
        last_bad = max((i for i, fine in enumerate(holds) if not fine), default=-1)
        return self.lengths[last_bad + 1] if last_bad + 1 < len(self.lengths) else None


def _too_small(name: str, value: int, needed: int | None, purpose: str) -> str:
    least = f"{needed}" if needed is not None else f"more than {LENGTHS[-1]}"
    return f"candles.{name} is {value}, but {least} candles are needed {purpose}"


def check_warmup(
    candles: Mapping[Pair, Candles],
    settings: Settings,
    rows: int = 200,
    *,
    lengths: Sequence[int] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Warmup | None:
    """Compares at ``rows`` rows a pair, half of them at candidates, wherever the whole history is at least twice the
    longest of ``lengths`` (default ``LENGTHS``); None where no pair has such a row.

    The whole history begins at the row's stretch: what lies behind a long gap plays no part in either.
    """
    lengths = tuple(sorted({*(lengths or LENGTHS), settings.candles.history, settings.candles.min_history}))
    places = {pair: _places(c, settings, rows, 2 * lengths[-1]) for pair, c in candles.items()}
    total = sum(len(p) for p in places.values())
    if not total:
        return None
    worst = {name: np.zeros(len(lengths)) for name in NUMBERS}
    regimes, crossed, signals = (np.zeros(len(lengths), dtype=np.int64) for _ in range(3))
    done = crossing_rows = 0
    for pair, chosen in places.items():
        if not len(chosen):
            continue
        whole, sign = _facts(candles[pair], settings)
        for row in (int(r) for r in chosen):
            crossing_rows += bool(sign[row])
            for at, length in enumerate(lengths):
                window = candles[pair].rows(row + 1 - length, row + 1)
                part, part_sign = _facts(window, settings)
                for name in NUMBERS:
                    worst[name][at] = max(worst[name][at], _apart(getattr(part, name)[-1], getattr(whole, name)[row]))
                regimes[at] += part.regime[-1] != whole.regime[row]
                crossed[at] += part_sign[-1] != sign[row]
                if sign[row]:
                    here = _signal(candles[pair], whole, row, int(sign[row]), settings)
                    there = _signal(window, part, length - 1, int(sign[row]), settings)
                    signals[at] += here != there
            done += 1
            progress(done, total)
    return Warmup(
        lengths,
        done,
        crossing_rows,
        tuple(p for p, chosen in places.items() if len(chosen)),
        {name: tuple(map(float, values)) for name, values in worst.items()},
        tuple(float(n) / done for n in regimes),
        tuple(float(n) / done for n in crossed),
        tuple(float(n) / max(crossing_rows, 1) for n in signals),
        settings.candles,
    )


def _facts(candles: Candles, settings: Settings) -> tuple[Indicators, IntArray]:
    ind = indicators(candles, settings.candles.max_gap)
    return ind, crossings(ind).astype(np.int64)


def _signal(candles: Candles, ind: Indicators, row: int, sign: int, settings: Settings) -> bool:
    """Whether the candidate passes the signal's rules; the cooldown is not asked, for it remembers by itself."""
    if not ind.atr[row] > 0:
        return False
    found: Candidate = candidate_at(candles, ind, row, sign, None, settings.strategy)
    return found.is_signal


def _apart(found: float, wanted: float) -> float:
    if np.isnan(found) or np.isnan(wanted):
        return 0.0 if np.isnan(found) and np.isnan(wanted) else float("inf")
    return 0.0 if found == wanted else float(abs(found - wanted) / max(abs(found), abs(wanted)))


def _places(candles: Candles, settings: Settings, count: int, history: int) -> IntArray:
    """Rows with ``history`` candles in their stretch: half spread evenly, half at candidates, ascending."""
    stretches = candles.stretches(settings.candles.max_gap)
    able = np.concatenate(list(_able(stretches, history)) or [np.empty(0, dtype=np.int64)])
    if not len(able):
        return able
    crossed = able[crossings(indicators(candles, settings.candles.max_gap))[able] != 0]
    half = _spread(crossed, count // 2)
    return np.union1d(half, _spread(able, count - len(half)))


def _able(stretches: Sequence[tuple[int, int]], history: int) -> Iterator[IntArray]:
    for first, last in stretches:
        yield np.arange(first + history - 1, last, dtype=np.int64)


def _spread(rows: IntArray | FloatArray, count: int) -> IntArray:
    chosen = np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64)
    return np.asarray(rows[chosen], dtype=np.int64)
