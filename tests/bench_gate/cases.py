"""What is measured, case by case, and the rows that come of it."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import pool

import numpy as np

from core.domain.candles import FloatArray, to_datetime
from core.ml.gate import look_count
from tests.bench_gate.lives import Approvals, run, so_far
from tests.bench_gate.planting import (
    BASE_RATE,
    Model,
    Source,
    follower,
    independent,
    market,
    noise,
    of_market,
    outcomes_of,
    planted,
)

LOOKS = 20
PROMISED_ERROR = 0.05
PROMISED_POWER = {0.62: 0.75, 0.65: 0.93}
EFFECTIVE = 300
AREAS = (0.58, 0.60, 0.62, 0.65)
MILD, BOLD = (0.05, 0.3), (0.5, 1.5)
LASTING = (1.0, 3.0, 10.0, 30.0)  # days

_SHORT_LIFE, _LONG_LIFE = 8, 12  # looks at which power is measured: 600 and 1,000 outcomes
_ERROR_DAYS = 10.0
_SHOWN = (100, 200, 300, 400, 600, 800, 1000)  # of the long life; all of the short one


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: the shares approved at this look (None over a whole life) and at it or an earlier one."""

    what: str
    outcomes: str
    n: int
    effective: float | None
    gate: tuple[float | None, float]
    bound: tuple[float | None, float]
    bare: tuple[float | None, float]
    promised: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """For the picture: shares over counts of outcomes."""

    label: str
    n: tuple[int, ...]
    gate: tuple[float, ...]
    bare: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that was measured, in the order in which it is shown; ``about`` says on what."""

    about: str
    rows: tuple[Row, ...]
    noise: tuple[Curve, ...]
    power: tuple[Curve, ...]


def measured(workers: pool.Pool, trials: int, seed: int) -> Measured:
    candles = market()
    signals, candidates = outcomes_of(candles, False), outcomes_of(candles, True)
    first, last = (to_datetime(int(t)).strftime("%B %Y") for t in (candidates.decided.min(), candidates.closed.max()))
    kind = "real" if os.environ.get("JULABA_REAL_KLINES") else "simulated"
    about = (
        f"{trials:,} trials a case, seed {seed}; the overlapping outcomes are {len(signals):,} signals and "
        f"{len(candidates):,} candidates of {len(candles)} {kind} pairs, {first} to {last}"
    )
    thin = min(1.0, 1.3 * look_count(LOOKS) / len(candidates))
    sources: dict[str, Source] = {
        "independent": partial(independent, signals.closed - signals.decided),
        "signals": partial(of_market, signals, 1.0),
        "some candidates": partial(of_market, candidates, thin),
        "all candidates": partial(of_market, candidates, 1.0),
    }

    def lives(what: str, name: str, model: Model, looks: int) -> Approvals:
        began = time.perf_counter()
        found = run(workers, sources[name], model, looks, trials, seed)
        print(f"{what} on {name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        return found

    rows: list[Row] = []
    noisy: list[tuple[float, str, Curve]] = []
    for what, name, model in _noises():
        found = lives(what, name, model, LOOKS)
        if what == "noise" and name == "independent":
            rows += [_look_row(what, name, found, index, None) for index in range(1, 7)]
        rows.append(_life_row(what, name, found))
        label = what if name == "independent" else f"{what}, {name}"
        noisy.append((rows[-1].gate[1], name, _curve(label, found, ever=True)))
    power = []
    for name, days, looks in (("independent", 0.0, _SHORT_LIFE), ("some candidates", _ERROR_DAYS, _LONG_LIFE)):
        for area in AREAS:
            what = f"AUC {area:.2f}" + (f", errors last {days:g} days" if days else "")
            found = lives(what, name, partial(planted, area, days), looks)
            rows += _power_rows(what, name, area, found, independent_rows=not days)
            if not days:
                power.append(_curve(f"AUC {area:.2f}", found, ever=False))
    worst = max((case for case in noisy if case[1] != "independent"), key=lambda case: case[0])
    return Measured(about, tuple(rows), (noisy[0][2], worst[2]), tuple(power))


def _noises() -> list[tuple[str, str, Model]]:
    cases: list[tuple[str, str, Model]] = [
        ("noise", "independent", partial(noise, 0.0, MILD)),
        ("bold noise", "independent", partial(noise, 0.0, BOLD)),
        ("noise that follows recent wins", "independent", partial(follower, 50)),
    ]
    for name in ("signals", "some candidates", "all candidates"):
        cases += [(f"noise that lasts {_days(d)}", name, partial(noise, d, MILD)) for d in LASTING]
    cases += [(f"bold noise that lasts {_days(d)}", "all candidates", partial(noise, d, BOLD)) for d in LASTING[:3]]
    return cases


def _days(days: float) -> str:
    return f"{days:g} day" if days == 1 else f"{days:g} days"


def _life_row(what: str, name: str, found: Approvals) -> Row:
    gate, bound, bare = (float(so_far(_taken(a, found.looks))[-1]) for a in (found.gate, found.bound, found.bare))
    return Row(
        f"{what}, a life of {found.looks} looks",
        name,
        look_count(found.looks),
        None,
        (None, gate),
        (None, bound),
        (None, bare),
        f"at most {PROMISED_ERROR:.0%}",
        gate <= PROMISED_ERROR,
    )


def _look_row(what: str, name: str, found: Approvals, index: int, effective: float | None) -> Row:
    gate, bound, bare = (
        (float(a[:, index - 1].mean()), float(so_far(_taken(a, index))[-1]))
        for a in (found.gate, found.bound, found.bare)
    )
    return Row(what, name, look_count(index), effective, gate, bound, bare)


def _power_rows(what: str, name: str, area: float, found: Approvals, independent_rows: bool) -> list[Row]:
    rows: list[Row] = []
    promise = PROMISED_POWER.get(area)
    for index in range(1, found.looks + 1):
        n = look_count(index)
        effective = float(n) if independent_rows else _effective(area, n, found.auc[:, index - 1])
        row = _look_row(what, name, found, index, effective)
        if promise is not None and effective >= EFFECTIVE:
            assert row.gate[0] is not None
            row = replace(row, promised=f"at least {promise:.0%}", met=row.gate[0] >= promise)
            promise = None
        if independent_rows or n in _SHOWN or row.promised:
            rows.append(row)
    return rows


def _effective(area: float, n: int, found: FloatArray) -> float:
    """How many independent rows would make the AUC vary as much as it did over the trials.

    Their variance is that of two normals (Hanley and McNeil 1982, exponential form).
    """
    wins, losses = BASE_RATE * n, (1 - BASE_RATE) * n
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    within = (wins - 1) * (q1 - area**2) + (losses - 1) * (q2 - area**2)
    return float(n * (area * (1 - area) + within) / (wins * losses) / np.nanvar(found))


def _curve(label: str, found: Approvals, ever: bool) -> Curve:
    looks = found.looks
    shares = [so_far(_taken(a, looks)) if ever else _taken(a, looks).mean(axis=0) for a in (found.gate, found.bare)]
    counts = tuple(look_count(i) for i in range(1, looks + 1))
    return Curve(label, counts, tuple(map(float, shares[0])), tuple(map(float, shares[1])))


def _taken(approved: FloatArray, looks: int) -> FloatArray:
    return approved[:, :looks]
