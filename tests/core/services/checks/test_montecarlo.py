"""What chance could have made of an account and of a market, seeded, with the real one beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.config import Settings
from core.domain.candles import Pair
from core.engine.metrics import max_drawdown_share
from core.services.checks.montecarlo import MonteCarlo, check_montecarlo, other_orders
from core.services.portfolio import run_portfolio
from tests.ledgers import market, settings
from tests.markets import LINK, M15, START, real

BEGIN, END = START + 480 * M15.ms, START + 1440 * M15.ms  # ten days after five


@pytest.fixture(scope="module")
def found() -> MonteCarlo:
    return check_montecarlo(market(1500), settings(), BEGIN, END, trials=300, markets=12, seed=3)


def test_the_orders_are_of_the_trades_that_the_account_took(found: MonteCarlo) -> None:
    run = run_portfolio(market(1500), settings(), BEGIN, END)
    orders = found.orders

    assert orders is not None
    assert orders.trades == len(run.trades) > 10
    assert orders.days == len({t.candidate.close_time // 86_400_000 for t in run.trades})
    # Every share is taken of the equity at its entry, so that they chain to about what was won.
    had = {int(time): float(equity) for time, equity in zip(run.time, run.equity, strict=True)}
    shares = [t.pnl / had[t.candidate.close_time] for t in run.trades]
    assert orders.real[0] == pytest.approx(float(np.prod(1 + np.array(shares))), rel=1e-12)
    assert orders.real[0] == pytest.approx(1 + sum(t.pnl for t in run.trades) / 10_000, abs=0.003)
    np.testing.assert_allclose(orders.shuffled.final, orders.real[0], rtol=1e-9)
    assert orders.shuffled.drawdown.min() <= orders.real[1] <= orders.shuffled.drawdown.max()
    assert orders.drawn.final.std() > 0.005


def test_other_markets_run_through_the_whole_backtest_with_its_limits(found: MonteCarlo) -> None:
    markets = found.markets

    assert markets is not None
    assert (markets.source_days, markets.days) == (10, 10)
    for values in (markets.final, markets.drawdown, markets.net_r, markets.win_rate, markets.trades, markets.paused):
        assert values.shape == (12,)
    assert len(np.unique(markets.final)) == 12
    assert ((markets.drawdown >= 0) & (markets.drawdown < 0.5)).all()
    assert markets.fan.shape == (5, 11)
    assert (markets.fan[:, 0] == 1).all()
    np.testing.assert_allclose(markets.fan[2, -1], np.median(markets.final), rtol=1e-12)
    assert 0.3 < markets.trades.mean() / markets.real["trades"] < 3


def test_the_real_run_stands_beside_them(found: MonteCarlo) -> None:
    run = run_portfolio(market(1500), settings(), BEGIN, END)

    assert found.markets is not None
    assert found.markets.real["final"] == run.equity[-1] / 10_000
    assert found.markets.real["drawdown"] == max_drawdown_share([10_000, *run.equity])
    assert found.markets.real["net_r"] == pytest.approx(sum(t.r_net for t in run.trades))


def test_the_same_seed_gives_the_same_answer_and_another_one_another(found: MonteCarlo) -> None:
    again = check_montecarlo(market(1500), settings(), BEGIN, END, trials=300, markets=3, seed=3)
    other = check_montecarlo(market(1500), settings(), BEGIN, END, trials=300, markets=3, seed=4)

    assert again.markets is not None
    assert other.markets is not None
    assert found.markets is not None
    assert np.array_equal(again.markets.final, found.markets.final[:3])
    assert not np.array_equal(other.markets.final, again.markets.final)


def test_a_pause_shows_in_the_markets_that_reach_it() -> None:
    tight = settings(portfolio={"drawdown_warn": 0.01, "drawdown_pause": 0.02})

    found = check_montecarlo(market(1500), tight, BEGIN, END, trials=100, markets=6)

    assert found.limit == 0.02
    assert found.paused_since is not None
    assert found.markets is not None
    assert found.markets.paused.any()
    assert (found.markets.drawdown[found.markets.paused > 0] >= 0.02).all()


def test_an_account_that_took_nothing_has_no_orders() -> None:
    config = settings(strategy={"adx_min": 99.0})
    run = run_portfolio(market(1500), config, BEGIN, END)

    found = check_montecarlo(market(1500), config, BEGIN, END, markets=2)

    assert other_orders(run, 10, np.random.default_rng(1)) is None
    assert found.orders is None
    assert found.markets is not None
    assert np.isnan(found.markets.win_rate).all()
    assert (found.markets.final == 1).all()


def test_no_whole_day_in_common_gives_no_markets() -> None:
    candles = market(1500)
    holes = np.arange(1500) % 50 != 0
    ragged = candles[LINK]
    names = ("time", "open", "high", "low", "close", "volume")
    candles[LINK] = replace(ragged, **{name: getattr(ragged, name)[holes] for name in names})

    assert check_montecarlo(candles, settings(), BEGIN, END, trials=10, markets=2).markets is None
    assert check_montecarlo(market(1500), settings(), BEGIN, END, trials=10, markets=0).markets is None


@pytest.mark.real
def test_real_days_make_real_markets() -> None:
    candles = {c.pair: c.between(START, START + 60 * 86_400_000) for c in (real("LINKUSDT"), real("BTCUSDT"))}
    config = Settings.model_validate({"pairs": [{"symbol": str(Pair.parse("LINK"))}]})

    found = check_montecarlo(candles, config, START + 20 * 86_400_000, START + 60 * 86_400_000, markets=10)

    assert found.markets is not None
    assert found.markets.source_days == 40
    assert 0.5 < np.median(found.markets.final) < 1.5
