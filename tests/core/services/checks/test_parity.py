"""The two worlds agree, and where one is bent the difference is named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.adapters.clocks import ReplayClock
from core.config import Settings
from core.domain.candles import Candles, Pair, to_datetime
from core.ports import Ledger
from core.services.backtest import run_backtest
from core.services.checks.parity import Parity, check_parity
from core.services.portfolio import run_portfolio
from tests.ledgers import books, market, settings
from tests.markets import LINK, M15, START, real, walk

BEGIN, END = START + 400 * M15.ms, START + 1000 * M15.ms


async def checked(
    folder: Path,
    candles: Mapping[Pair, Candles],
    config: Settings,
    *,
    layers: bool,
    start: int = BEGIN,
    end: int = END,
) -> Parity:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Ledger]:
        async with books(folder) as kept:
            yield kept.ledger

    def clock(ms: int) -> ReplayClock:
        return ReplayClock(to_datetime(ms))

    return await check_parity(candles, config, opened, clock, start, end, layers=layers)


async def test_the_bare_strategy_agrees_trade_by_trade(tmp_path: Path) -> None:
    candles = {**market(1000), LINK: walk(1000, 21, gaps={450: 3, 800: 40})}

    found = await checked(tmp_path, candles, settings(), layers=False)

    assert found.differences == ()
    assert found.compared >= 4


async def test_with_all_layers_trades_refusals_and_every_close_agree(tmp_path: Path) -> None:
    found = await checked(tmp_path, market(1000), settings(portfolio={"max_positions": 1}), layers=True)

    assert found.differences == ()
    assert found.compared >= 3
    assert found.refused >= 2
    assert found.closes == 600


async def test_a_backtest_that_fills_better_than_life_is_named_field_by_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def generous(*arguments: object, **options: object) -> object:
        result = run_backtest(*arguments, **options)  # type: ignore[arg-type]
        parts = tuple(
            replace(part, outcomes=replace(part.outcomes, realized_r=part.outcomes.realized_r * 1.001))
            for part in result.parts
        )
        return replace(result, parts=parts)

    monkeypatch.setattr("core.services.checks.parity.run_backtest", generous)

    found = await checked(tmp_path, market(1000), settings(), layers=False)

    assert {d.field for d in found.differences} == {"realized_r"}
    assert len(found.differences) == found.compared
    first = found.differences[0]
    assert first.pair in {"LINK/USDT", "ETH/USDT", "SOL/USDT"}
    assert first.time.startswith("2024-01-0")
    assert first.first == pytest.approx(1.001 * first.second, rel=1e-9)  # type: ignore[operator]


async def test_a_trade_that_only_one_of_the_two_has_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(*arguments: object, **options: object) -> object:
        run = run_portfolio(*arguments, **options)  # type: ignore[arg-type]
        return replace(run, trades=run.trades[1:], equity=run.equity + np.where(np.arange(len(run.time)) == 7, 9, 0))

    monkeypatch.setattr("core.services.checks.parity.run_portfolio", forgetful)

    found = await checked(tmp_path, market(1000), settings(), layers=True)

    assert [(d.field, d.first, d.second) for d in found.differences[:1]] == [("trade", "missing", "there")]
    assert [(d.pair, d.field) for d in found.differences[1:]] == [("account", "equity")]


@pytest.mark.real
async def test_on_ten_days_of_real_candles_both_agree(tmp_path: Path) -> None:
    start = START + 20 * 86_400_000
    end = start + 10 * 86_400_000
    candles = {c.pair: c.between(START, end) for c in (real("LINKUSDT"), real("ETHUSDT"), real("BTCUSDT"))}
    config = Settings.model_validate({"pairs": [{"symbol": "LINK/USDT"}, {"symbol": "ETH/USDT"}]})

    found = await checked(tmp_path, candles, config, layers=True, start=start, end=end)

    assert found.differences == ()
    assert found.compared >= 1
