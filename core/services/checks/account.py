"""Look-ahead in the account: whether any decision, size, result or equity of the past needed later candles.

The same test as for single values, for what one account does over all pairs: its decisions hang on positions, limits
and breakers, and so on what other pairs' trades became.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from core.config import Settings
from core.domain.candles import Candles, Pair, iso
from core.domain.trading import ExitReason
from core.services.checks.differences import Difference, Table, account_tables, differences
from core.services.checks.lookahead import ROUNDING, with_another_future
from core.services.portfolio import PortfolioRun, PortfolioTrade, run_portfolio

Account = Callable[[Mapping[Pair, Candles]], PortfolioRun]
"""What is under suspicion: it is given candles and trades them."""


@dataclass(frozen=True)
class AccountLookahead:
    """Of each difference ``first`` is what the whole history gave and ``second`` what was known at the cut."""

    cuts: int
    trades: int
    refused: int
    closes: int
    differences: tuple[Difference, ...]


def check_account(
    candles: Mapping[Pair, Candles],
    settings: Settings,
    start_ms: int,
    end_ms: int,
    cuts: int = 10,
    *,
    seed: int = 7,
    account: Account | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> AccountLookahead:
    """Runs the account of ``[start_ms, end_ms)`` on candles cut at ``cuts`` closes, and on other futures behind them.

    Everything known by then must be the same: trades that had ended, refusals, equity at every close. ``account`` is
    ``run_portfolio`` unless another is given.
    """
    used = {pair: c.between(None, end_ms) for pair, c in candles.items()}
    trade = account or (lambda given: run_portfolio(given, settings, start_ms))
    whole = trade(used)
    rng = np.random.default_rng(seed)
    times = whole.time[np.linspace(0, len(whole.time) - 1, min(cuts, len(whole.time)) + 2).astype(int)[1:-1]]
    found: dict[tuple[str, str, str], Difference] = {}
    for number, time in enumerate(int(t) for t in np.unique(times)):
        opens = time - settings.frame.ms  # of the last candle that is there
        rows = {pair: int(np.searchsorted(c.time, opens, side="right")) for pair, c in used.items()}
        wanted = _known(whole, used, time)
        for given in (
            {pair: c.rows(0, rows[pair]) for pair, c in used.items()},
            {pair: with_another_future(c, rows[pair], rng) for pair, c in used.items()},
        ):
            seen = _known(trade(given), given, time)
            for what, here, there in zip(("trade", "refusal", "close"), wanted, seen, strict=True):
                for difference in differences(here, there, what, ROUNDING):
                    found.setdefault((difference.time, difference.pair, difference.field), difference)
        progress(number + 1, len(times))
    first = tuple(found[key] for key in sorted(found))
    return AccountLookahead(len(times), len(whole.trades), len(whole.refused), len(whole.time), first)


def _known(run: PortfolioRun, candles: Mapping[Pair, Candles], time: int) -> tuple[Table, Table, Table]:
    """The account's tables as far as they can be known at the close ``time`` (epoch ms)."""
    trades, refused, closes = account_tables(run)
    ended = {
        (str(t.candidate.pair), iso(t.candidate.open_time))
        for t in run.trades
        if t.exit_time <= time and (t.follow.exit_reason is not ExitReason.GAP or _came_back(candles, t, time))
    }
    limit = iso(time)
    step = run.settings.frame.ms
    decided = {
        (str(r.candidate.pair), iso(r.candidate.open_time)) for r in run.refused if r.candidate.open_time + step <= time
    }
    return (
        {key: row for key, row in trades.items() if key in ended},
        {key: row for key, row in refused.items() if key in decided},
        {key: row for key, row in closes.items() if key[1] <= limit},
    )


def _came_back(candles: Mapping[Pair, Candles], trade: PortfolioTrade, time: int) -> bool:
    """Whether the candle after the gap had closed by ``time``: only then is the gap, and the trade's end, seen."""
    part = candles[trade.candidate.pair]
    after = int(np.searchsorted(part.time, trade.exit_time))
    return after < len(part) and int(part.time[after]) + part.timeframe.ms <= time
