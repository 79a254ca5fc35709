"""The portfolio backtest is the replay with its layers: by array search, without the loop, to nine digits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.adapters.clocks import ReplayClock
from core.config import Settings
from core.domain.candles import Candles, Pair, to_datetime
from core.domain.trading import Candidate
from core.services.portfolio import PortfolioRun, run_portfolio
from core.services.replay import Replay, replay
from tests.ledgers import books, settings
from tests.markets import M15, START, real

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


def rules_of(run: PortfolioRun) -> set[str]:
    return {refusal.verdict.rule for refusal in run.refused}


def signals_of(run: PortfolioRun) -> list[Candidate]:
    return [t.candidate for t in run.trades] + [r.candidate for r in run.refused]


def at(row: int) -> int:
    return START + row * M15.ms


def moody(rows: int, seed: int) -> Candles:
    """Candles whose steps go on for a while, so that crossings pass the filters and positions meet each other."""
    rng = np.random.default_rng(seed)
    steps = np.convolve(rng.normal(0, 0.002, rows + 7), np.full(8, 0.5), "valid")[:rows]
    close = np.round(50 * np.exp(np.cumsum(steps)), 2)
    opened = np.concatenate(([close[0]], close[:-1]))
    reach = np.abs(rng.normal(0, 0.002, (2, rows))) * close
    high, low = np.maximum(opened, close) + reach[0], np.minimum(opened, close) - reach[1]
    return Candles(LINK, M15, START + np.arange(rows) * M15.ms, opened, high, low, close, rng.lognormal(8, 0.5, rows))


def moods(rows: int, seed: int) -> dict[Pair, Candles]:
    return {pair: replace(moody(rows, seed * 10 + n), pair=pair) for n, pair in enumerate((LINK, ETH, SOL, BTC))}


def alike(rows: int, seed: int) -> dict[Pair, Candles]:
    """LINK and SOL move as one, so that they cross at the same closes; ETH mostly moves with them."""
    link, noise = moody(rows, seed), moody(rows, seed + 1)
    parts = {name: getattr(link, name) * getattr(noise, name) ** 0.1 for name in ("open", "high", "low", "close")}
    eth = replace(link, pair=ETH, **parts)
    return {LINK: link, ETH: eth, SOL: replace(link, pair=SOL), BTC: replace(noise, pair=BTC)}


def holed(rows: int, seed: int) -> dict[Pair, Candles]:
    """Each pair with short and long gaps of its own; LINK's candles end early, SOL's begin late."""
    candles = moods(rows, seed)
    for number, pair in enumerate((LINK, ETH, SOL)):
        kept = np.ones(rows, dtype=np.bool_)
        for first, missing in ((470, 3), (700, 12), (1010, 30)):
            kept[first + 37 * number : first + 37 * number + missing] = False
        kept[rows - 60 if pair == LINK else rows :] = False
        kept[: 450 if pair == SOL else 0] = False
        c = candles[pair]
        columns = {name: getattr(c, name)[kept] for name in ("time", "open", "high", "low", "close", "volume")}
        candles[pair] = replace(c, **columns)
    return candles


@pytest.mark.parametrize(
    ("seed", "changes", "rules"),
    [
        (3, {}, {"one_per_pair", "daily_loss"}),
        (4, {"portfolio": {"max_positions": 1, "max_open_risk": 0.02}, "fills": "pessimistic"}, {"positions"}),
        (5, {"portfolio": {"daily_loss": 0.004, "drawdown_warn": 0.03, "drawdown_pause": 0.06}}, {"daily_loss"}),
        (5, {"rules": {"unknown": "refuse"}}, {"alignment"}),
        (
            6,
            {
                "rules": {"alignment": "veto", "alignment_timeframes": ["15m", "1h"], "btc": "record"},
                "paper": {"max_leverage": 0.7, "fee_rate": 0.002},
            },
            {"alignment", "leverage"},
        ),
    ],
)
async def test_it_is_the_replay_trade_by_trade(
    tmp_path: Path, seed: int, changes: dict[str, Any], rules: set[str]
) -> None:
    run = await same(tmp_path, moods(1100, seed), settings(**changes), at(400), at(1100))

    assert len(run.trades) > 10
    assert rules <= rules_of(run)


async def test_pairs_that_cross_at_the_same_close_are_decided_in_their_order(tmp_path: Path) -> None:
    run = await same(tmp_path, alike(1100, 6), settings(portfolio={"max_open_risk": 0.1}), at(400), at(1100))

    times = Counter(c.open_time for c in signals_of(run))
    assert max(times.values()) > 1
    assert "correlated" in rules_of(run)


async def test_gaps_late_beginnings_and_early_ends_are_lived_through_alike(tmp_path: Path) -> None:
    run = await same(tmp_path, holed(1300, 9), settings(), at(330), at(1300))

    assert "GAP" in {t.follow.exit_reason for t in run.trades}


async def test_switches_risk_and_the_moving_stop_count(tmp_path: Path) -> None:
    config = settings(
        pairs=[{"symbol": "SOL/USDT", "risk": 0.7}, {"symbol": "LINK/USDT"}, {"symbol": "ETH/USDT", "enabled": False}],
        strategy={**settings().strategy.model_dump(), "breakeven_after_tp1": True, "max_bars": 15},
    )
    run = await same(tmp_path, moods(1000, 9), config, at(200), at(1000))

    assert "switch" in rules_of(run)
    assert "TIMEOUT" in {t.follow.exit_reason for t in run.trades}
    assert min(c.open_time for c in signals_of(run)) >= at(299)


async def test_a_drawdown_ends_all_entries(tmp_path: Path) -> None:
    limits = {"drawdown_warn": 0.02, "drawdown_pause": 0.04}
    run = await same(tmp_path, moods(1100, 6), settings(portfolio=limits), at(400), at(1100))

    assert run.paused_since is not None
    assert all(t.candidate.close_time <= run.paused_since for t in run.trades)
    assert "drawdown" in rules_of(run)


@pytest.mark.real
async def test_it_is_the_replay_on_months_of_real_candles(tmp_path: Path) -> None:
    symbols = ("LINKUSDT", "ETHUSDT", "SOLUSDT", "AVAXUSDT", "MATICUSDT", "BTCUSDT")
    candles = {c.pair: c for c in (real(s) for s in symbols)}
    config = Settings().with_pairs(list(candles)[:5])
    start = 1_672_531_200_000  # 2023-01-01

    run = await same(tmp_path, candles, config, start, start + 90 * 86_400_000)

    assert len(run.trades) > 20
