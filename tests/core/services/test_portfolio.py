"""The portfolio backtest is the replay with its layers: by array search, without the loop, to nine digits."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.adapters.clocks import ReplayClock
from core.config import Settings
from core.domain.candles import Candles, Pair, Timeframe, iso, to_datetime
from core.domain.trading import Candidate, Direction
from core.services.backtest import run_backtest
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
    ("rows", "seed", "changes", "rules"),
    [
        (850, 3, {}, {"one_per_pair", "daily_loss"}),
        (850, 4, {"portfolio": {"max_positions": 1, "max_open_risk": 0.02}, "fills": "pessimistic"}, {"positions"}),
        (1100, 5, {"portfolio": {"daily_loss": 0.004, "drawdown_warn": 0.03, "drawdown_pause": 0.06}}, {"daily_loss"}),
        (850, 5, {"rules": {"unknown": "refuse"}}, {"alignment"}),
        (1100, 3, {"portfolio": {"loss_streak": 2, "cooldown_hours": 30}}, {"cooldown"}),
        (
            1000,
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
    tmp_path: Path, rows: int, seed: int, changes: dict[str, Any], rules: set[str]
) -> None:
    run = await same(tmp_path, moods(rows, seed), settings(**changes), at(400), at(rows))

    assert len(run.trades) > 7
    assert rules <= rules_of(run)


async def test_pairs_that_cross_at_the_same_close_are_decided_in_their_order(tmp_path: Path) -> None:
    run = await same(tmp_path, alike(850, 6), settings(portfolio={"max_open_risk": 0.1}), at(400), at(850))

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
    run = await same(tmp_path, moods(700, 9), config, at(200), at(700))

    assert "switch" in rules_of(run)
    assert "TIMEOUT" in {t.follow.exit_reason for t in run.trades}
    assert min(c.open_time for c in signals_of(run)) >= at(299)


async def test_a_drawdown_ends_all_entries(tmp_path: Path) -> None:
    limits = {"drawdown_warn": 0.02, "drawdown_pause": 0.04}
    run = await same(tmp_path, moods(850, 6), settings(portfolio=limits), at(400), at(850))

    assert run.paused_since is not None
    assert all(t.candidate.close_time <= run.paused_since for t in run.trades)
    assert "drawdown" in rules_of(run)


def wild(rows: int, seed: int) -> dict[Pair, Candles]:
    """Every twentieth candle reaches far to both sides, so that many are ambiguous."""
    candles = moods(rows, seed)
    reach = np.where(np.arange(rows) % 20 == 0, 0.08, 0.0)
    return {p: replace(c, high=c.high * (1 + reach), low=c.low * (1 - reach)) for p, c in candles.items()}


async def test_ambiguous_candles_stop_first_as_live(tmp_path: Path) -> None:
    run = await same(tmp_path, wild(900, 3), settings(), at(400), at(900))

    assert sum(t.follow.ambiguous for t in run.trades) > 3


def test_the_figures_add_up_and_are_json() -> None:
    run = run_portfolio(moods(1100, 3), settings(), at(400), at(1100))
    figures = json.loads(json.dumps(run.figures(), allow_nan=False))

    assert figures["trades"] == len(run.trades) > 10
    assert figures["refused"] == sum(figures["refusals"].values()) == len(run.refused)
    assert figures["pnl"] == pytest.approx(sum(t.pnl for t in run.trades))
    assert figures["equity"] == pytest.approx(10_000 + figures["pnl"])
    assert figures["return"] == pytest.approx(figures["pnl"] / 10_000)
    assert figures["costs"] == pytest.approx(figures["pnl_gross"] - figures["pnl"])
    assert figures["costs"] > 0
    assert figures["expectancy"] == pytest.approx(figures["pnl"] / figures["trades"])
    for groups in figures["by"].values():
        assert sum(group["trades"] for group in groups.values()) == figures["trades"]
        assert sum(group["pnl"] for group in groups.values()) == pytest.approx(figures["pnl"])
        assert sum(group["realized_r_net"] for group in groups.values()) == pytest.approx(figures["realized_r_net"])
    assert (figures["from"], figures["to"]) == (iso(at(400)), iso(at(1100)))
    assert 0 < figures["exposure"] < 1
    assert figures["drawdown"]["share"] == pytest.approx(
        float((1 - run.equity / np.maximum.accumulate(run.equity)).max())
    )


def test_every_figure_of_the_trades_follows_from_their_legs() -> None:
    config = settings(paper={"fee_rate": 0.002, "slippage_rate": 0.001})
    fee, slip = config.paper.fee_rate, config.paper.slippage_rate
    later = 25 * 96  # so that trades are entered in January and closed in February
    candles = {pair: replace(c, time=c.time + later * M15.ms) for pair, c in moods(1100, 3).items()}
    run = run_portfolio(candles, config, at(400 + later), at(1100 + later))
    figures = run.figures()

    gross, net = [], []
    for trade in run.trades:
        sign, levels, quantity = trade.candidate.direction.sign, trade.follow.levels, trade.quantity
        bought = levels.entry * (1 + sign * slip)
        legs = [(leg.fraction * quantity, leg.price) for leg in trade.follow.legs]
        gross.append(sum(sign * (price - levels.entry) * part for part, price in legs))
        sold = [(part, price * (1 - sign * slip)) for part, price in legs]
        fees = fee * (bought * quantity + sum(price * part for part, price in sold))
        net.append(sum(sign * (price - bought) * part for part, price in sold) - fees)
    risked = [trade.quantity * abs(trade.follow.levels.entry - trade.follow.levels.stop) for trade in run.trades]
    r_gross, r_net = ([money / risk for money, risk in zip(side, risked, strict=True)] for side in (gross, net))

    def factor(results: list[float]) -> float:
        return sum(r for r in results if r > 0) / -sum(r for r in results if r < 0)

    wanted = {
        "pnl": sum(net),
        "pnl_gross": sum(gross),
        "costs": sum(gross) - sum(net),
        "profit_factor": factor(gross),
        "profit_factor_net": factor(net),
        "expectancy": np.mean(net),
        "expectancy_r": np.mean(r_gross),
        "expectancy_r_net": np.mean(r_net),
        "realized_r": sum(r_gross),
        "realized_r_net": sum(r_net),
        "wins": sum(r > 0 for r in gross),
        "wins_net": sum(r > 0 for r in net),
        "win_rate": sum(r > 0 for r in gross) / len(gross),
        "ambiguous_share": sum(t.follow.ambiguous for t in run.trades) / len(run.trades),
    }
    assert {name: figures[name] for name in wanted} == pytest.approx(wanted)
    assert 0 < wanted["wins_net"] < wanted["wins"]
    assert 0 < wanted["profit_factor_net"] < wanted["profit_factor"]
    by_month: dict[str, float] = {}
    for trade, money in zip(run.trades, net, strict=True):
        month = iso(trade.candidate.open_time)[:7]
        by_month[month] = by_month.get(month, 0.0) + money
    assert {month: group["pnl"] for month, group in figures["by"]["month"].items()} == pytest.approx(by_month)
    assert any(iso(t.candidate.open_time)[:7] != iso(t.exit_time)[:7] for t in run.trades)
    held = [[t.candidate.close_time <= time < t.exit_time for t in run.trades] for time in run.time]
    assert run.open == 0
    assert run.exposed.tolist() == [any(flags) for flags in held]
    assert figures["exposure"] == pytest.approx(np.mean([any(flags) for flags in held]))


def test_a_signal_needs_exactly_the_least_history() -> None:
    candles = {LINK: moody(700, 30)}
    row = int(run_backtest(candles, settings(), at(200)).parts[0].entries.row[0])  # candles begin with row 0

    def first_signal(least: int) -> int:
        config = settings(candles={"min_history": least})
        return min(c.open_time for c in signals_of(run_portfolio(candles, config, at(200))))

    assert first_signal(row + 1) == at(row)
    assert first_signal(row + 2) > at(row)


def test_a_range_without_candles_has_no_figures_to_speak_of() -> None:
    run = run_portfolio(moods(500, 3), settings(), at(600), at(700))
    figures = json.loads(json.dumps(run.figures(), allow_nan=False))

    assert len(run.time) == len(run.equity) == len(run.benchmark) == 0
    assert (figures["trades"], figures["equity"]) == (0, 10_000)
    assert {figures[name] for name in ("from", "return", "sharpe", "drawdown", "exposure", "win_rate")} == {None}
    assert run_portfolio({}, settings()).figures()["trades"] == 0


def test_the_basket_is_bought_at_the_first_close_and_held() -> None:
    candles = moods(1000, 4)
    candles[SOL] = candles[SOL].rows(600, 900)  # in cash until its first close, at its last price afterwards
    run = run_portfolio(candles, settings(), at(400), at(1000))

    link, eth, sol = (candles[pair].close for pair in (LINK, ETH, SOL))
    growth = [link[-1] / link[400], eth[-1] / eth[400], sol[-1] / sol[0]]
    assert run.benchmark[0] == pytest.approx(10_000)
    assert run.benchmark[-1] == pytest.approx(10_000 * sum(growth) / 3)


def test_the_basket_is_worth_its_last_known_prices_at_every_close() -> None:
    candles = holed(1100, 3)  # SOL's candles begin within the range, LINK's end within it
    run = run_portfolio(candles, settings(), at(400), at(1100))

    def growth(pair: Pair, close_time: int) -> float:
        known = candles[pair].between(at(400), close_time)
        return float(known.close[-1] / known.close[0]) if len(known) else 1.0

    worth = [sum(growth(pair, int(time)) for pair in (LINK, ETH, SOL)) / 3 * 10_000 for time in run.time]
    assert run.benchmark == pytest.approx(np.array(worth))


def test_a_pair_that_ended_before_the_range_is_not_in_the_basket() -> None:
    candles = moods(700, 3)
    candles[ETH] = candles[ETH].rows(0, 399)
    run = run_portfolio(candles, settings(), at(400), at(700))

    link, sol = candles[LINK].close, candles[SOL].close
    assert run.benchmark[-1] == pytest.approx(5_000 * (link[-1] / link[400] + sol[-1] / sol[400]))


def test_targets_first_is_the_same_market_with_the_other_order() -> None:
    candles = wild(1100, 3)
    run = run_portfolio(candles, settings(), at(400), at(1100))
    other = run.target_first
    figures = run.figures()

    both = {t.candidate.open_time: t for t in other.trades if t.follow.ambiguous}
    shared = [(t, both[t.candidate.open_time]) for t in run.trades if t.candidate.open_time in both]
    assert shared
    assert all(stop.follow.exit_time == target.follow.exit_time for stop, target in shared)
    assert all(target.follow.realized_r > stop.follow.realized_r for stop, target in shared)
    assert figures["ambiguous_share"] > 0
    assert figures["target_first"]["realized_r"] == pytest.approx(sum(t.follow.realized_r for t in other.trades))
    assert other.target_first is other


def test_nothing_is_run_again_where_no_order_is_in_doubt() -> None:
    run = run_portfolio(moods(1100, 3), settings(), at(400), at(1100))

    assert run.target_first is run


def test_detail_decides_ambiguous_candles() -> None:
    candles = wild(1100, 3)
    detail = {pair: upwards(c) for pair, c in candles.items()}
    run = run_portfolio(candles, settings(), at(400), at(1100), detail=detail)

    assert run.decided == sum(t.follow.ambiguous for t in run.trades) > 0
    assert run.target_first is run
    longs = [t.follow for t in run.trades if t.follow.ambiguous and t.candidate.direction is Direction.LONG]
    assert longs
    assert all(follow.targets_hit > 0 for follow in longs)


def upwards(candles: Candles) -> Candles:
    """Three 5m candles for each: the first has its high, the last its low."""
    frame = Timeframe.parse("5m")
    time = (candles.time[:, None] + np.arange(3) * frame.ms).ravel()
    price = np.repeat(candles.close, 3)
    high, low = price.copy(), price.copy()
    high[::3], low[2::3] = candles.high, candles.low
    return Candles(candles.pair, frame, time, price, high, low, price, price)


def test_a_backtest_already_made_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    candles = wild(1100, 4)
    traded = {pair: candles[pair] for pair in (ETH, LINK, SOL)}
    alone = run_portfolio(candles, settings(), at(400), at(1100)).figures()
    made = run_backtest(traded, settings(), at(400), at(1100), candidates=True)
    monkeypatch.setattr("core.services.portfolio.market_of", None)

    assert run_portfolio(candles, settings(), backtest=made).figures() == alone


def test_stored_lower_candles_tell_the_alignment_rule_what_replay_cannot_know() -> None:
    candles = moods(1100, 3)
    config = settings(rules={"alignment": "veto", "alignment_timeframes": ["5m"], "unknown": "refuse"})
    lower = {"5m": {pair: upwards(c) for pair, c in candles.items()}}

    without = run_portfolio(candles, config, at(400), at(1100))
    known = run_portfolio(candles, config, at(400), at(1100), lower=lower)

    assert not without.trades
    assert known.trades
    sentences = {r.verdict.sentence for r in known.refused if r.verdict.rule == "alignment"}
    assert sentences <= {"5m up", "5m down", "5m flat"}


@pytest.mark.real
async def test_it_is_the_replay_on_months_of_real_candles(tmp_path: Path) -> None:
    symbols = ("LINKUSDT", "ETHUSDT", "SOLUSDT", "AVAXUSDT", "MATICUSDT", "BTCUSDT")
    candles = {c.pair: c for c in (real(s) for s in symbols)}
    config = Settings().with_pairs(list(candles)[:5])
    start = 1_672_531_200_000  # 2023-01-01

    run = await same(tmp_path, candles, config, start, start + 90 * 86_400_000)

    assert len(run.trades) > 20
