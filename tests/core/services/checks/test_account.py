"""An account that peeks is found, by decision, by money and by equity; the product's does not peek."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from core.domain.candles import Candles, Pair
from core.services.checks.account import check_account
from core.services.portfolio import PortfolioRun, run_portfolio
from tests.ledgers import market, settings
from tests.markets import LINK, M15, START, walk

BEGIN, END = START + 400 * M15.ms, START + 2000 * M15.ms
BUSY = settings(portfolio={"max_positions": 1})


def test_the_account_knows_nothing_of_the_future() -> None:
    candles = {**market(2000), LINK: walk(2000, 21, gaps={900: 3, 1500: 40})}

    found = check_account(candles, BUSY, BEGIN, END, cuts=15)

    assert found.differences == ()
    assert (found.cuts, found.closes) == (15, 1600)
    assert found.trades > 5
    assert found.refused > 5


def test_an_account_that_skips_what_will_lose_is_found_by_its_decisions() -> None:
    def lucky(candles: Mapping[Pair, Candles]) -> PortfolioRun:
        """Refuses in hindsight: a signal followed by a fall of the basket is never taken."""
        run = run_portfolio(candles, BUSY, BEGIN)
        last = {str(p): float(c.close[-1]) for p, c in candles.items()}
        kept = tuple(r for r in run.refused if last[str(r.candidate.pair)] > r.candidate.levels.entry)
        return replace(run, refused=kept)

    found = check_account(market(2000), BUSY, BEGIN, END, cuts=8, account=lucky)

    assert {d.field for d in found.differences} == {"refusal"}
    assert {"there", "missing"} >= {str(d.first) for d in found.differences}


def test_a_result_that_is_mended_later_is_found_with_both_values() -> None:
    def mended(candles: Mapping[Pair, Candles]) -> PortfolioRun:
        run = run_portfolio(candles, BUSY, BEGIN)
        return replace(run, trades=tuple(replace(t, pnl=t.pnl + len(run.time) / 100) for t in run.trades))

    found = check_account(market(2000), BUSY, BEGIN, END, cuts=4, account=mended)

    assert {d.field for d in found.differences} == {"pnl"}
    assert isinstance(found.differences[0].first, float)
    assert found.differences[0].first > float(str(found.differences[0].second))


def test_equity_smoothed_with_what_comes_is_found() -> None:
    def smooth(candles: Mapping[Pair, Candles]) -> PortfolioRun:
        run = run_portfolio(candles, BUSY, BEGIN)
        later = np.concatenate((run.equity[1:], run.equity[-1:]))
        return replace(run, equity=(run.equity + later) / 2)

    found = check_account(market(2000), BUSY, BEGIN, END, cuts=8, account=smooth)

    assert {(d.pair, d.field) for d in found.differences} == {("account", "equity")}
    assert len(found.differences) <= 8  # each at its cut


def test_no_candles_in_the_range_give_no_cuts() -> None:
    found = check_account(market(300), BUSY, START + 400 * M15.ms, END)

    assert (found.cuts, found.closes, found.differences) == (0, 0, ())
