"""Candles in memory to trades beside three other ways: row by row, vectorbt, backtesting.py (5 pairs x 90 days)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.config import Settings
from core.domain.candles import Candles, FloatArray, Pair
from core.domain.trading import TARGET_R
from core.engine.indicators import indicators
from core.engine.outcomes import Outcomes, find_outcomes
from core.engine.strategy import TIE, Entries, candidates, crossings
from core.services.backtest import run_backtest
from tests.bench import row_by_row, with_backtesting
from tests.bench.candles import frame, jumpy, market
from tests.bench.measure import ROOT, RUNS, Line, beside, process, say, seconds

VECTORBT = ROOT / ".venv-bench" / "bin" / "python"
MAX_BARS = 100


def ours(candles: dict[Pair, Candles]) -> object:
    """From candles to the table of signals with all their columns and outcomes."""
    return run_backtest(candles, Settings()).columns()


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
class Agreement:
    """Row by row beside vectorbt. A tie: the two averages are equal; a target gap: a candle opens beyond a target."""

    crossovers: int
    differing_crossovers: int
    of_these_ties: int
    legs: int
    differing_legs: int
    of_these_target_gaps: int

    def __str__(self) -> str:
        return (
            f"of {self.crossovers} crossovers {self.differing_crossovers} differ, {self.of_these_ties} at ties; "
            f"of {self.legs} legs {self.differing_legs} differ, {self.of_these_target_gaps} at target gaps"
        )


def vectorbt() -> Iterator[Line]:
    if not VECTORBT.exists():
        say("vectorbt is not installed (.venv-bench): measuring without it")
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
        process([VECTORBT, script, source, target], {"NUMBA_CACHE_DIR": f"{folder}/numba", "PYTHONPATH": ""})
        with np.load(target) as file:
            told = {name: file[name] for name in file.files}
    our_time = (before + seconds(lambda: ours(candles), 2 * RUNS)) / 2
    agreement = compare(wilder, chosen, told)
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
        what="the same with one target only",
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
    count = differing = ties = legs = other_legs = gaps = first = 0
    for column, (pair, found) in enumerate(candles.items()):
        ind, sign = indicators(found), crossings(indicators(found))
        other = told["above"][:, column].astype(int) - told["below"][:, column].astype(int)
        differ = np.flatnonzero(sign != other)
        near = np.abs(ind.sma_15 - ind.sma_40) < TIE * ind.close
        count += int((sign != 0).sum())
        differing += len(differ)
        ties += sum(_after_a_tie(near, int(row)) for row in differ)

        entries, atr = chosen[pair]
        ends = find_outcomes(found, entries.row, entries.sign, atr, fills="pessimistic")
        part = slice(first, first + len(entries))
        first += len(entries)
        differ_here, gaps_here = _legs(found, ends, told["row"][part], told["price"][part])
        legs += 3 * len(entries)
        other_legs += int(differ_here.sum())
        gaps += int((differ_here & gaps_here).sum())
    return Agreement(count, differing, ties, legs, other_legs, gaps)


def _after_a_tie(near: Any, row: int) -> bool:
    """Whether the averages were equal at this row, or at rows without a break just before it."""
    return bool(near[row] or near[row - 1])


def _legs(candles: Candles, ends: Outcomes, row: Any, price: Any) -> tuple[Any, Any]:
    """Which legs end elsewhere or at another price, and which have a target that the candle opened beyond; (n, 3)."""
    hit = ends.targets_hit[:, None] > np.arange(len(TARGET_R))
    our_row = np.where(hit, ends.target_row, ends.exit_row[:, None])
    our_price = np.where(hit, ends.targets, ends.exit_price[:, None])
    same = (our_row == row + ends.entry_row[:, None]) & (np.abs(our_price - price) <= 1e-9 * our_price)
    opened = candles.open[our_row]
    return ~same, hit & (ends.sign[:, None] * (opened - ends.targets) > 0)
