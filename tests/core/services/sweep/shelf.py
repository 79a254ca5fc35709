"""A small sweep for tests: three pairs made from seeds, forty days, one with a gap and one that begins late."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from core.adapters.candle_files import CandleFiles
from core.config import CandleSettings, Settings, Strategy
from core.domain.candles import Candles, Pair
from core.services.sweep.grid import parse_grid
from core.services.sweep.plan import Sweep, plan_sweep
from tests.markets import START, walk

DAY = 86_400_000
ROWS = 40 * 96
BASE = Settings(strategy=Strategy(adx_min=15, volume_ratio_min=0.5, max_bars=60), candles=CandleSettings(max_gap=8))
SETS = ("adx_min=10:30:5", "stop_atr=1,2", "cooldown_bars=0,20", "rsi_long_max=55,100")


def candles() -> dict[Pair, Candles]:
    late = walk(ROWS, seed=13).rows(900, None)
    found = {"LINK": walk(ROWS, seed=11), "ETH": walk(ROWS - 40, seed=12, gaps={1500: 40}), "SOL": late}
    return {Pair.parse(name): replace(c, pair=Pair.parse(name)) for name, c in found.items()}


def small_sweep(
    held: Mapping[Pair, Candles] | None = None,
    sets: tuple[str, ...] = SETS,
    base: Settings = BASE,
    windows: int = 3,
    start: int = START,
) -> Sweep:
    """Forty settings, three windows: two chunks."""
    return plan_sweep(
        parse_grid(sets, base), base, held or candles(), start, START + 40 * DAY, windows=windows, train_share=0.6
    )


def stored(folder: Path) -> CandleFiles:
    """The same candles as files."""
    store = CandleFiles(folder)
    for one in candles().values():
        store.save(one)
    return store


def quiet(done: int, total: int) -> None:
    """No progress."""


def noting(found: list[tuple[int, int]]) -> Callable[[int, int], None]:
    return lambda done, total: found.append((done, total))
