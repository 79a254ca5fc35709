"""Candles in memory to trades beside three other ways: row by row, vectorbt, backtesting.py (5 pairs x 90 days)."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.config import Settings
from core.domain.candles import Candles, FloatArray, Pair, iso
from core.domain.trading import TARGET_R
from core.engine.indicators import indicators
from core.engine.outcomes import Outcomes, find_outcomes
from core.engine.strategy import TIE, Entries, candidates, crossings
from core.services.backtest import run_backtest
from tests.bench import row_by_row, with_backtesting
from tests.bench.candles import frame, jumpy, market
from tests.bench.measure import ROOT, RUNS, Line, beside, note_down, process, say, seconds

VECTORBT = ROOT / ".venv-bench"
MAX_BARS = 100


def ours(candles: dict[Pair, Candles]) -> object:
    """From candles to the table of signals with all their columns and outcomes."""
    return run_backtest(candles, Settings()).columns()


def _all_indicators(candles: Candles) -> object:
    ind = indicators(candles)
    return ind.hurst, ind.regime


def rows() -> Iterator[Line]:
    candles = market()
    frames = {pair.symbol: frame(found) for pair, found in candles.items()}

    def slowly() -> None:
        for symbol, table in frames.items():
            row_by_row.run(table, symbol)

    taken, theirs = beside(lambda: ours(candles), slowly)
    count = sum(len(c) for c in candles.values())
    yield Line(
        part="rows",
        what="row by row in pandas, the first version's way",
        ours=taken * 1e3,
        theirs=theirs * 1e3,
        unit="ms",
        goal="ratio",
        must=200,
        aim=500,
        note=f"{theirs / count * 1e6:.0f} us a candle; the same signals and outcomes (a test holds them equal)",
    )
    everything = seconds(lambda: [ours({pair: c}) and _all_indicators(c) for pair, c in candles.items()], 4 * RUNS)
    yield Line(
        part="rows",
        what="the same with every indicator of every candle",
        ours=everything * 1e3,
        theirs=theirs * 1e3,
        unit="ms",
        note="signals need the Hurst exponent and the regime at crossovers only; here they are worked out everywhere",
    )


# backtesting.py


def backtesting() -> Iterator[Line]:
    """It is given our entries, worked out inside its run: its own part is walking the bars and filling the orders."""
    candles, settings = market(), Settings()

    def entries(found: Candles) -> tuple[Any, ...]:
        ind = indicators(found)
        chosen = candidates(found, ind, settings.strategy)
        chosen = chosen.only(chosen.is_signal)
        return chosen.row, chosen.sign, ind.atr[chosen.row]

    def walk_bars() -> None:
        for found in candles.values():
            with_backtesting.run(found, lambda found=found: entries(found))  # type: ignore[misc]

    taken, theirs = beside(lambda: ours(candles), walk_bars)
    yield Line(
        part="backtesting",
        what="backtesting.py on the same entries, stop and three targets",
        ours=taken * 1e3,
        theirs=theirs * 1e3,
        unit="ms",
        goal="ratio",
        must=10,
        aim=20,
        note="three partial trades an entry; entries from our own indicators; its statistics included, as ours are",
    )


# vectorbt


@dataclass(frozen=True)
class Difference:
    """One that differs. ``why``: "tie" where the two averages are equal, "target gap" where a candle opens beyond a
    target and vectorbt fills there, and nothing where neither explains it."""

    what: str
    pair: Pair
    time: int
    ours: float
    theirs: float
    why: str


@dataclass(frozen=True)
class Agreement:
    """Row by row beside vectorbt."""

    crossovers: int
    legs: int
    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        return f"of {self.crossovers} crossovers {self._count('crossover')}, of {self.legs} legs {self._count('leg')}"

    def _count(self, what: str) -> str:
        found = [d for d in self.differences if d.what.startswith(what)]
        why = ", ".join(f"{n} a {reason or 'riddle'}" for reason, n in Counter(d.why for d in found).items())
        return f"{len(found)} differ ({why})" if found else "none differs"

    def rows(self) -> list[tuple[object, ...]]:
        head = ("what", "pair", "time", "ours", "theirs", "why")
        return [head, *((d.what, d.pair, iso(d.time), d.ours, d.theirs, d.why) for d in self.differences)]


def vectorbt() -> Iterator[Line]:
    if not (VECTORBT / ".installed").exists():
        say("vectorbt is not installed in .venv-bench: measuring without it")
        return
    candles = market()
    # Speed is measured on the market of the other parts, agreement where candles open beyond stops and targets too.
    wilder = {pair: jumpy(found, seed) for seed, (pair, found) in enumerate(candles.items())}
    chosen = {pair: _entries(found) for pair, found in wilder.items()}
    before = seconds(lambda: ours(candles), 2 * RUNS)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
        given: dict[str, Any] = {**_matrices(candles), **_windows(wilder, chosen), "runs": np.array(4 * RUNS + 1)}
        np.savez(source, **given)
        script = Path(__file__).parent / "vectorbt_side.py"
        # A cache of its own, and empty, so that what compiling costs is seen.
        process(
            [VECTORBT / "bin" / "python", script, source, target],
            {"NUMBA_CACHE_DIR": f"{folder}/numba", "PYTHONPATH": ""},
        )
        with np.load(target) as file:
            told = {name: file[name] for name in file.files}
    our_time = (before + seconds(lambda: ours(candles), 2 * RUNS)) / 2
    agreement = compare(wilder, chosen, told)
    say(f"every difference from vectorbt: {note_down('vectorbt-differences.csv', agreement.rows())}")
    yield Line(
        part="vectorbt",
        what=f"vectorbt {told['version']} with its own indicators, compiled before",
        ours=our_time * 1e3,
        theirs=float(np.median(told["seconds"])) * 1e3,
        unit="ms",
        goal="ratio",
        must=3,
        aim=6,
        note="it leaves out ADX, Hurst, regime, cooldown and the time-out, and overlapping trades of a pair",
    )
    yield Line(
        part="vectorbt",
        what="vectorbt with one target only",
        ours=our_time * 1e3,
        theirs=float(np.median(told["seconds_one"])) * 1e3,
        unit="ms",
        note="it knows one target a position, so three targets are three portfolios; ours has all three in both lines",
    )
    yield Line(
        part="vectorbt",
        what="vectorbt's first call: import and compiling",
        ours=None,
        theirs=float(told["importing"] + told["compiling"]),
        unit="s",
        note=f"not counted above; agreement: {agreement}",
    )


def _entries(candles: Candles) -> tuple[Entries, FloatArray]:
    ind = indicators(candles)
    found = candidates(candles, ind, Settings().strategy)
    found = found.only(found.row < len(candles) - MAX_BARS)
    return found, ind.atr[found.row]


def _matrices(candles: dict[Pair, Candles]) -> dict[str, FloatArray]:
    names = ("open", "high", "low", "close", "volume")
    return {name: np.stack([getattr(c, name) for c in candles.values()], axis=1) for name in names}


def _windows(candles: dict[Pair, Candles], chosen: dict[Pair, tuple[Entries, FloatArray]]) -> dict[str, Any]:
    """The entry's candle and the hundred after it, a column per entry, over all pairs."""
    found: dict[str, list[Any]] = {name: [] for name in ("open", "high", "low", "close", "sign", "stop")}
    for pair, (entries, atr) in chosen.items():
        at = entries.row[None, :] + np.arange(MAX_BARS + 1)[:, None]
        for name in ("open", "high", "low", "close"):
            found[name].append(getattr(candles[pair], name)[at])
        found["sign"].append(entries.sign)
        found["stop"].append(2 * atr / candles[pair].close[entries.row])
    return {f"w_{name}": np.concatenate(parts, axis=-1) for name, parts in found.items()}


def compare(
    candles: dict[Pair, Candles], chosen: dict[Pair, tuple[Entries, FloatArray]], told: dict[str, Any]
) -> Agreement:
    crossovers = legs = first = 0
    differences: list[Difference] = []
    for column, (pair, found) in enumerate(candles.items()):
        ind = indicators(found)
        sign = crossings(ind)
        crossovers += int((sign != 0).sum())
        other = told["above"][:, column].astype(int) - told["below"][:, column].astype(int)
        near = np.abs(ind.sma_15 - ind.sma_40) < TIE * ind.close
        for row in np.flatnonzero(sign != other).tolist():
            why = "tie" if near[row] or near[row - 1] else ""
            differences.append(Difference("crossover", pair, int(found.time[row]), sign[row], other[row], why))

        entries, atr = chosen[pair]
        ends = find_outcomes(found, entries.row, entries.sign, atr, fills="pessimistic")
        part = slice(first, first + len(entries))
        first += len(entries)
        legs += len(TARGET_R) * len(entries)
        differences += _legs(found, ends, told["row"][part], told["price"][part])
    return Agreement(crossovers, legs, tuple(differences))


def _legs(candles: Candles, ends: Outcomes, row: Any, price: Any) -> Iterator[Difference]:
    """The legs that end on another candle or at another price; ``row`` and ``price`` are vectorbt's, (n, 3)."""
    hit = ends.targets_hit[:, None] > np.arange(len(TARGET_R))
    our_row = np.where(hit, ends.target_row, ends.exit_row[:, None])
    our_price = np.where(hit, ends.targets, ends.exit_price[:, None])
    same = (our_row == row + ends.entry_row[:, None]) & (np.abs(our_price - price) <= 1e-9 * our_price)
    opened = candles.open[our_row]
    beyond = hit & (ends.sign[:, None] * (opened - ends.targets) > 0) & (np.abs(opened - price) <= 1e-9 * opened)
    for index, target in np.argwhere(~same).tolist():
        why = "target gap" if beyond[index, target] else ""
        time = int(candles.time[our_row[index, target]])
        yield Difference(f"leg {target + 1}", candles.pair, time, our_price[index, target], price[index, target], why)
