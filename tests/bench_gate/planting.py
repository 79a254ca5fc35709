"""What is planted: outcomes, real or simulated, and models of known worth that predict them.

The market is the one in ``JULABA_REAL_KLINES`` (a folder of kline CSVs), else random walks with a common factor, run
through the same backtest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
from scipy.signal import lfilter

from core.config import Settings
from core.domain.candles import DAY_MS, Candles, FloatArray, IntArray, Pair, Timeframe
from core.services.backtest import run_backtest
from core.services.candle_csv import read_csv

BASE_RATE = 0.4
RETRAIN = 10
RATE = 2.0  # outcomes a day where they are made independent: about what six pairs give

Random = np.random.Generator


@dataclass(frozen=True)
class Outcomes:
    """Outcomes in the order of closing; times in epoch ms, ``sign`` +1 for LONG, ``won`` 0 or 1."""

    decided: IntArray
    closed: IntArray
    sign: FloatArray
    won: IntArray

    def __len__(self) -> int:
        return len(self.won)

    def take(self, rows: slice | IntArray) -> Outcomes:
        return Outcomes(self.decided[rows], self.closed[rows], self.sign[rows], self.won[rows])


Source = Callable[[Random, int], Outcomes]
Model = Callable[[Random, Outcomes], FloatArray]


def market() -> dict[Pair, Candles]:
    """Real candles where the environment names them, else random walks."""
    folder = os.environ.get("JULABA_REAL_KLINES")
    if folder:
        found = [read_csv(path) for path in sorted(Path(folder).glob("*-15m.csv*"))]
        return {c.pair: c for c in found}
    return random_walks(np.random.default_rng(1))


def random_walks(rng: Random, pairs: int = 6, days: int = 730) -> dict[Pair, Candles]:
    """Pairs with a common factor (correlation about 0.6) and volatility that clusters by days."""
    count, frame = days * 96, Timeframe.parse("15m")
    volatility = 0.003 * np.exp(np.repeat(_persistent(rng, days * 24, 5.0), 4) * 0.5)
    common = rng.standard_normal(count) * 0.77
    found = {}
    for number in range(pairs):
        step = volatility * (common + rng.standard_normal(count) * 0.64)
        close = 10 * np.exp(np.cumsum(step))
        opened = np.concatenate(([10.0], close[:-1]))
        reach = volatility * np.abs(rng.standard_normal((2, count))) * 0.5
        pair = Pair(f"W{number}", "USDT")
        found[pair] = Candles(
            pair,
            frame,
            np.arange(count, dtype=np.int64) * frame.ms + 1_640_995_200_000,
            opened,
            np.maximum(opened, close) * np.exp(reach[0]),
            np.minimum(opened, close) * np.exp(-reach[1]),
            close,
            np.exp(rng.standard_normal(count) * 0.5) * 1000,
        )
    return found


def outcomes_of(candles: dict[Pair, Candles], candidates: bool) -> Outcomes:
    table = run_backtest(candles, Settings(), candidates=candidates).table()
    decided = _ms(table["timestamp"]) + 900_000
    closed = decided + table["duration_minutes"].to_numpy(dtype=np.int64) * 60_000
    order = np.lexsort((decided, closed))
    return Outcomes(
        decided[order],
        closed[order],
        np.where(table["direction"] == "LONG", 1.0, -1.0)[order],
        table["outcome"].to_numpy(dtype=np.int64)[order],
    )


def _ms(texts: Iterable[str]) -> IntArray:
    return np.array([np.datetime64(t.removesuffix("Z"), "ms") for t in texts]).astype(np.int64)


def _persistent(rng: Random, hours: int, days: float) -> FloatArray:
    """A stationary AR(1) of variance 1 per hour that forgets within ``days``."""
    keep = float(np.exp(-1 / (24 * days)))
    shocks = rng.standard_normal(hours) * np.sqrt(1 - keep**2)
    shocks[0] = rng.standard_normal()
    return np.asarray(lfilter([1.0], [1.0, -keep], shocks), dtype=np.float64)


# Sources of outcomes


def independent(durations: IntArray, rng: Random, n: int) -> Outcomes:
    """Independent wins at the base rate, spread over time at ``RATE`` a day, with real durations."""
    decided = np.sort(rng.random(n) * n / RATE * DAY_MS).astype(np.int64)
    closed = decided + rng.choice(durations, n)
    order = np.argsort(closed, kind="stable")
    won = (rng.random(n) < BASE_RATE).astype(np.int64)
    return Outcomes(decided[order], closed[order], rng.choice([-1.0, 1.0], n)[order], won)


def of_market(whole: Outcomes, share: float, rng: Random, n: int) -> Outcomes:
    """``n`` outcomes in a row, from a random start, of the market thinned to ``share``."""
    kept = whole if share >= 1 else whole.take(np.flatnonzero(rng.random(len(whole)) < share))
    start = int(rng.integers(0, max(1, len(kept) - n + 1)))
    return kept.take(slice(start, start + n))


# Models of known worth


def noise(days: float, strength: tuple[float, float], rng: Random, outcomes: Outcomes) -> FloatArray:
    """Probabilities that know nothing: persistent for ``days`` and signed by direction (0: new at each row).

    Every retraining draws another level and a ``strength`` between two bounds.
    """
    n = len(outcomes)
    epoch = np.arange(n) // RETRAIN
    level = rng.normal(np.log(BASE_RATE / (1 - BASE_RATE)), 0.05, epoch[-1] + 1)[epoch]
    return _sigmoid(level + rng.uniform(*strength, epoch[-1] + 1)[epoch] * _errors(days, rng, outcomes))


def follower(rows: int, rng: Random, outcomes: Outcomes) -> FloatArray:
    """Noise that knows the past: every retraining's level is the win rate of the last ``rows`` outcomes before it."""
    wins = np.concatenate([[0], np.cumsum(outcomes.won)])
    here = np.arange(len(outcomes)) // RETRAIN * RETRAIN
    first = np.maximum(0, here - rows)
    rate = (wins[here] - wins[first] + BASE_RATE * RETRAIN) / (here - first + RETRAIN)
    return _sigmoid(np.log(rate / (1 - rate)) + 0.05 * rng.standard_normal(len(outcomes)))


def planted(area: float, days: float, rng: Random, outcomes: Outcomes) -> FloatArray:
    """Calibrated probabilities of a true AUC ``area`` (two normals); ``days`` > 0 makes their error persistent."""
    shift = 2**0.5 * NormalDist().inv_cdf(area)
    score = shift * outcomes.won + _errors(days, rng, outcomes)
    return _sigmoid(np.log(BASE_RATE / (1 - BASE_RATE)) + shift * score - shift**2 / 2)


def _errors(days: float, rng: Random, outcomes: Outcomes) -> FloatArray:
    """Standard normal: new at each row, or (``days`` > 0) one value an hour that lasts, signed by direction."""
    if not days:
        return rng.standard_normal(len(outcomes))
    hour = (outcomes.decided - outcomes.decided.min()) // 3_600_000
    return np.asarray(outcomes.sign * _persistent(rng, int(hour.max()) + 1, days)[hour], dtype=np.float64)


def _sigmoid(x: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-x)), dtype=np.float64)
