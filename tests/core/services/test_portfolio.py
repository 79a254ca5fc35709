"""The portfolio backtest is the replay with its layers: by array search, without the loop, to nine digits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from core.adapters.clocks import ReplayClock
from core.config import Settings
from core.domain.candles import Candles, Pair, to_datetime
from core.services.portfolio import PortfolioRun, run_portfolio
from core.services.replay import Replay, replay
from tests.ledgers import books, market, settings
from tests.markets import M15, START

RELATIVE = 1e-9
LINK, ETH, SOL, BTC = (Pair.parse(n) for n in ("LINK", "ETH", "SOL", "BTC"))


async def replayed(
    folder: Path, candles: Mapping[Pair, Candles], config: Settings, start: int, end: int
) -> tuple[Replay, list[tuple[int, float]]]:
    async with books(folder) as kept:
        result = await replay(candles, config, kept.ledger, ReplayClock(to_datetime(start)), start, end)
        return result, await kept.ledger.equity_curve()


async def same(folder: Path, candles: Mapping[Pair, Candles], config: Settings, start: int, end: int) -> PortfolioRun:
    """Runs both and holds every trade, refusal and close of one against the other."""
    lived, curve = await replayed(folder, candles, config, start, end)
    run = run_portfolio(candles, config, start, end)

    assert [(t.candidate.pair, t.candidate.open_time) for t in run.trades] == [
        (r.decision.pair, r.decision.open_time) for r in lived.trades
    ]
    assert run.open == lived.open
    refused = [r for r in lived.rows if r.decision.status == "refused"]
    assert [(r.candidate.pair, r.candidate.open_time, r.verdict.rule) for r in run.refused] == [
        (r.decision.pair, r.decision.open_time, next(v.rule for v in r.decision.verdicts if v.ruling == "refuse"))
        for r in refused
    ]
    counted = Counter(f"{r.verdict.layer}: {r.verdict.rule}" for r in run.refused)
    assert counted == dict(lived.refusals)
    for trade, row in zip(run.trades, lived.trades, strict=True):
        follow = row.follow
        assert trade.quantity == pytest.approx(follow.quantity, rel=RELATIVE)
        assert trade.risk_amount == pytest.approx(follow.risk_amount, rel=RELATIVE)
        assert trade.entry_fill == pytest.approx(follow.entry_fill, rel=RELATIVE)
        assert trade.pnl == pytest.approx(follow.pnl, rel=RELATIVE)
        assert trade.r_net == pytest.approx(follow.r_net, rel=RELATIVE)
        assert trade.follow.exit_reason == follow.follow.exit_reason
        assert trade.follow.exit_time == follow.follow.exit_time
        assert trade.follow.realized_r == pytest.approx(follow.follow.realized_r, rel=RELATIVE)
    assert run.time.tolist() == [time for time, _ in curve]
    assert run.equity == pytest.approx(np.array([equity for _, equity in curve]), rel=RELATIVE)
    assert run.paused_since == lived.paused_since
    return run


async def test_it_is_the_replay(tmp_path: Path) -> None:
    run = await same(tmp_path, market(2000), settings(), START + 400 * M15.ms, START + 2000 * M15.ms)

    assert len(run.trades) > 10
