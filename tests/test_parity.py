"""Replay is backtest: the live loop over stored candles gives the backtest's trades, without the backtest's kernel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.config import Settings
from core.domain.candles import Candles, Pair, iso, to_datetime
from core.services import backtest as backtest_module
from core.services.backtest import COLUMNS, run_backtest
from core.services.records import ledger_row
from core.services.replay import Replay, replay
from tests.ledgers import books
from tests.markets import M15, START, real, walk

RELATIVE = 1e-5
TEXTS = {"symbol", "direction", "entry_regime", "exit_reason"}
LEFT_OUT = {"signal_id", "timestamp", "source", "sample_weight"}
SYMBOLS = ("LINKUSDT", "ETHUSDT", "SOLUSDT", "AVAXUSDT", "MATICUSDT", "BTCUSDT")
Row = Mapping[str, Any]


def settings(pairs: Mapping[Pair, Candles]) -> Settings:
    return Settings.model_validate({"pairs": [{"symbol": str(p)} for p in pairs]})


async def replayed(candles: Mapping[Pair, Candles], start: int, end: int, folder: Path) -> Replay:
    from core.adapters.clocks import ReplayClock

    async with books(folder) as kept:
        clock = ReplayClock(to_datetime(start))
        return await replay(candles, settings(candles), kept.ledger, clock, start, end, layers=False)


def by_entry(rows: list[Row]) -> dict[tuple[str, str], Row]:
    return {(str(r["symbol"]), str(r["timestamp"])): r for r in rows}


def trusted(candles: Candles, row: int, config: Settings) -> bool:
    """The entry has the live loop's least history in its stretch, and its whole life before the candles end."""
    first = next(f for f, last in candles.stretches(config.candles.max_gap) if f <= row < last)
    return row + 1 - first >= config.candles.min_history and row + config.strategy.max_bars < len(candles)


async def compare(candles: Mapping[Pair, Candles], start: int, end: int, folder: Path) -> int:
    config = settings(candles)
    result = await replayed(candles, start, end, folder)
    seen = by_entry([ledger_row(r, config) for r in result.trades if r.follow.follow.exit_reason != "GAP"])
    table = run_backtest(candles, config, start, end).columns()
    wanted = by_entry([dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)])
    kept = {p.symbol: {iso(int(t)): n for n, t in enumerate(c.between(None, end).time)} for p, c in candles.items()}
    used = {p.symbol: c.between(None, end) for p, c in candles.items()}
    wanted = {key: row for key, row in wanted.items() if trusted(used[key[0]], kept[key[0]][key[1]], config)}
    assert {key for key in seen if trusted(used[key[0]], kept[key[0]][key[1]], config)} == set(wanted)
    for key, row in wanted.items():
        for name in (*(c for c in COLUMNS if c not in LEFT_OUT), "realized_r_net", "ambiguous"):
            same(key, name, row[name], seen[key][name])
    return len(wanted)


def same(key: tuple[str, str], name: str, wanted: Any, found: Any) -> None:
    if name in TEXTS:
        assert wanted == found, (key, name)
    elif isinstance(wanted, float) and math.isnan(wanted):
        assert found is None or math.isnan(found), (key, name)
    else:
        assert float(found) == pytest.approx(float(wanted), rel=RELATIVE), (key, name)


@pytest.fixture
def no_backtest_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backtest's own way to an outcome is gone: only what replay has is left."""

    def gone(*_: object, **__: object) -> None:
        raise AssertionError("replay must not call the backtest's kernel")

    monkeypatch.setattr(backtest_module, "outcomes_of", gone)
    monkeypatch.setattr("core.engine.outcomes.find_outcomes", gone)


def made_up(seed: int) -> dict[Pair, Candles]:
    pairs = ("LINK/USDT", "ETH/USDT", "SOL/USDT")
    gaps = {1500: 3, 2500: 40}
    return {Pair.parse(p): replace(walk(6000, seed + n, gaps=gaps), pair=Pair.parse(p)) for n, p in enumerate(pairs)}


async def test_replay_gives_the_trades_of_the_backtest_on_candles_with_gaps(tmp_path: Path) -> None:
    candles = made_up(11)
    end = START + 7000 * M15.ms

    assert await compare(candles, START + 400 * M15.ms, end, tmp_path) >= 15


@pytest.mark.usefixtures("no_backtest_kernel")
async def test_replay_works_without_the_kernel_of_the_backtest(tmp_path: Path) -> None:
    result = await replayed(made_up(11), START + 400 * M15.ms, START + 7000 * M15.ms, tmp_path)

    assert len(result.trades) >= 15


@pytest.mark.real
async def test_replay_gives_the_trades_of_the_backtest_on_ninety_days_of_real_candles(tmp_path: Path) -> None:
    candles = {real(s).pair: real(s) for s in SYMBOLS}
    start = 1_704_067_200_000  # 2024-01-01
    end = start + 90 * 86_400_000

    assert await compare(candles, start, end, tmp_path) >= 40
