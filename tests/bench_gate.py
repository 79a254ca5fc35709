"""How often the gate is wrong: ``python -m tests.bench_gate --trials 10000`` (or ``make bench-gate``).

Plants models of known worth and asks the gate at every look of a line's life, with a retraining every ten outcomes:

- noise, false approvals over a life of twenty looks (at most 5% is promised): on independent outcomes, and noise that
  persists for days and is signed by direction, on overlapping outcomes of a market;
- power: a true AUC of 0.58 to 0.65 with calibrated probabilities at a base rate of 0.4, by look.

The market is the one in ``JULABA_REAL_KLINES`` (a folder of kline CSVs), else random walks with a common factor run
through the same backtest. Beside the gate stand the plan's bare rule (50 outcomes, accuracy above 55%) and the gate's
AUC bound alone.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pool, pool
from pathlib import Path
from statistics import NormalDist

import numpy as np
from scipy.signal import lfilter

from core.config import Settings
from core.domain.candles import Candles, FloatArray, IntArray, Pair, Timeframe
from core.ml.gate import alpha_of, look_count, measure
from core.services.backtest import run_backtest
from core.services.candle_csv import read_csv

DAY_MS = 86_400_000
BASE_RATE = 0.4
LOOKS = 20
RETRAIN = 10
RATE = 2.0  # outcomes a day where they are made independent: about what six pairs give
SETTINGS = Settings().gate

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
Score = Callable[[Random, Outcomes], FloatArray]


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


def noise(days: float, rng: Random, outcomes: Outcomes) -> FloatArray:
    """Probabilities that know nothing: persistent for ``days`` and signed by direction (0: new at each row).

    Every retraining draws another level and strength. The strength is small, which is the worst case: the bolder
    noise is, the sooner its Brier score gives it away.
    """
    n = len(outcomes)
    epoch = np.arange(n) // RETRAIN
    level = rng.normal(np.log(BASE_RATE / (1 - BASE_RATE)), 0.05, epoch[-1] + 1)[epoch]
    strength = rng.uniform(0.05, 0.3, epoch[-1] + 1)[epoch]
    if days:
        hour = (outcomes.decided - outcomes.decided.min()) // 3_600_000
        value = outcomes.sign * _persistent(rng, int(hour.max()) + 1, days)[hour]
    else:
        value = rng.standard_normal(n)
    return _sigmoid(level + strength * value)


def planted(area: float, days: float, rng: Random, outcomes: Outcomes) -> FloatArray:
    """Calibrated probabilities of a true AUC ``area`` (two normals); ``days`` > 0 makes their error persistent."""
    shift = 2**0.5 * NormalDist().inv_cdf(area)
    if days:
        hour = (outcomes.decided - outcomes.decided.min()) // 3_600_000
        error = outcomes.sign * _persistent(rng, int(hour.max()) + 1, days)[hour]
    else:
        error = rng.standard_normal(len(outcomes))
    score = shift * outcomes.won + error
    return _sigmoid(np.log(BASE_RATE / (1 - BASE_RATE)) + shift * score - shift**2 / 2)


def _sigmoid(x: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-x)), dtype=np.float64)


# A life, many lives, the table


def life(source: Source, score: Score, looks: int, rng: Random) -> FloatArray:
    """``[looks, 4]``: gate ready, AUC bound alone, bare rule (each 0 or 1), and the AUC; NaN beyond the outcomes."""
    outcomes = source(rng, look_count(looks))
    probability = score(rng, outcomes)
    found = np.full((looks, 4), np.nan)
    for index in range(1, looks + 1):
        n = look_count(index)
        if n > len(outcomes):
            break
        figures = measure(
            probability[:n],
            outcomes.won[:n],
            outcomes.decided[:n],
            outcomes.closed[:n],
            alpha_of(index, SETTINGS.error),
        )
        bound = figures.auc_low is not None and figures.auc_low > 0.5
        accurate = figures.accuracy > SETTINGS.min_accuracy
        skilled = figures.brier_skill is not None and figures.brier_skill > 0
        area = np.nan if figures.auc is None else figures.auc
        found[index - 1] = (bound and accurate and skilled, bound, accurate, area)
    return found


def lives(source: Source, score: Score, looks: int, job: tuple[int, int]) -> FloatArray:
    seed, count = job
    rng = np.random.default_rng(seed)
    return np.stack([life(source, score, looks, rng) for _ in range(count)])


def run(workers: pool.Pool, source: Source, score: Score, looks: int, trials: int, seed: int) -> FloatArray:
    """``[trials, looks, 4]``; the same for the same seed, however many processes there are."""
    size = 50
    jobs = [(seed * 1_000_003 + i, min(size, trials - i)) for i in range(0, trials, size)]
    return np.concatenate(workers.map(partial(lives, source, score, looks), jobs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    candles = market()
    signals, candidates = outcomes_of(candles, False), outcomes_of(candles, True)
    durations = signals.closed - signals.decided
    real = "real" if os.environ.get("JULABA_REAL_KLINES") else "simulated"
    print(f"{args.trials} trials; {real} outcomes: {len(signals)} signals, {len(candidates)} candidates")
    thin = min(1.0, 1.3 * look_count(LOOKS) / len(candidates))
    sources: dict[str, Source] = {
        "independent": partial(independent, durations),
        "signals": partial(of_market, signals, 1.0),
        "thinned candidates": partial(of_market, candidates, thin),
        "all candidates": partial(of_market, candidates, 1.0),
    }
    with Pool(os.cpu_count()) as workers:
        _print_noise(workers, sources, args.trials, args.seed)
        _print_power(workers, sources["independent"], args.trials, args.seed)
        _print_overlapping_power(workers, sources["thinned candidates"], args.trials, args.seed)


def _print_noise(workers: pool.Pool, sources: dict[str, Source], trials: int, seed: int) -> None:
    print(
        f"\nNoise approved over a life of {LOOKS} looks, a retraining every {RETRAIN} outcomes (promised: at most 5%)"
    )
    print(f"{'outcomes':<20}{'noise persists':>16}{'looks':>7}{'gate':>9}{'AUC bound':>11}{'bare rule':>11}")
    for name, source in sources.items():
        for days in (0.0,) if name == "independent" else (1.0, 3.0, 10.0, 30.0):
            found = run(workers, source, partial(noise, days), LOOKS, trials, seed)
            ever = np.nan_to_num(found[:, :, :3]).max(axis=1).mean(axis=0)
            looks = int((~np.isnan(found[0, :, 0])).sum())
            lasting = f"{days:g} days" if days else "not at all"
            print(f"{name:<20}{lasting:>16}{looks:>7}{ever[0]:>9.2%}{ever[1]:>11.2%}{ever[2]:>11.1%}", flush=True)


def _print_power(workers: pool.Pool, source: Source, trials: int, seed: int) -> None:
    looks = 6
    counts = [look_count(i) for i in range(1, looks + 1)]
    print("\nPower on independent outcomes: ready at that look / at that or an earlier one")
    print(f"{'true AUC':<12}" + "".join(f"{f'n = {n}':>16}" for n in counts))
    for area in (0.58, 0.60, 0.62, 0.65):
        ready = run(workers, source, partial(planted, area, 0.0), looks, trials, seed)[:, :, 0]
        by = np.maximum.accumulate(ready, axis=1).mean(axis=0)
        cells = "".join(f"{f'{a:.1%} / {b:.1%}':>16}" for a, b in zip(ready.mean(axis=0), by, strict=True))
        print(f"{area:<12}{cells}", flush=True)


def _print_overlapping_power(workers: pool.Pool, source: Source, trials: int, seed: int) -> None:
    looks, days = 12, 10.0
    print(f"\nPower where outcomes overlap and the model's error persists for {days:g} days: ready at that look")
    for area in (0.62, 0.65):
        found = run(workers, source, partial(planted, area, days), looks, trials, seed)
        spread = found[:, :, 3].var(axis=0)
        print(f"true AUC {area}")
        for index in range(4, looks):
            n = look_count(index + 1)
            effective = n * _independent_variance(area, n) / spread[index]
            print(f"  n = {n:<6} effective n = {effective:<6.0f} {found[:, index, 0].mean():>7.1%}", flush=True)


def _independent_variance(area: float, n: int) -> float:
    """The variance of an AUC of ``n`` independent rows, two normals (Hanley and McNeil 1982, exponential form)."""
    wins, losses = BASE_RATE * n, (1 - BASE_RATE) * n
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    within = (wins - 1) * (q1 - area**2) + (losses - 1) * (q2 - area**2)
    return float((area * (1 - area) + within) / (wins * losses))


if __name__ == "__main__":
    main()
