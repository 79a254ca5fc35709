"""A backtest with a looser ADX filter: more rows to learn from, none of which counts as a signal of the strategy.

What the strategy itself refuses is a candidate, whatever lets it through here: it may teach but never prove. Live
trading knows nothing of this.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.config import Settings, Strategy
from core.domain.candles import BoolArray
from core.engine.strategy import chained, passes_rules
from core.errors import UsageError
from core.services.backtest import Backtest, PairBacktest


def loosened_settings(settings: Settings, adx_min: float) -> Settings:
    """These settings with the ADX filter at ``adx_min``. Raises UsageError where that is not looser, or no ADX."""
    own = settings.strategy.adx_min
    if not 0 <= adx_min < own:
        raise UsageError(f"--adx-min {adx_min:g} does not loosen the filter: take 0 or more and less than {own:g}")
    return settings.model_copy(update={"strategy": settings.strategy.model_copy(update={"adx_min": adx_min})})


def with_loosened(result: Backtest, strategy: Strategy) -> Backtest:
    """Of a backtest of every crossover by the strategy's own filters: its signals, and those of ``strategy`` beside.

    The latter stay candidates. Raises ValueError for a backtest without candidates.
    """
    if not result.with_candidates:
        raise ValueError("a looser filter can only be looked for among all candidates")
    return replace(result, parts=tuple(_chosen(part, strategy) for part in result.parts))


def _chosen(part: PairBacktest, strategy: Strategy) -> PairBacktest:
    market = part.market
    entries = market.entries
    passes = passes_rules(market.indicators, entries.row, entries.sign, strategy)
    # The cooldown runs over all that pass, also those that have no outcome.
    loose, _ = chained(entries.row, passes, strategy.cooldown_bars)
    wanted: BoolArray = (loose | entries.is_signal)[part.chosen]
    chosen = np.zeros_like(part.chosen)
    chosen[np.flatnonzero(part.chosen)[wanted]] = True
    return replace(
        part, chosen=chosen, entries=part.entries.only(wanted), outcomes=part.outcomes.only(wanted),
        net_r=part.net_r[wanted],
    )  # fmt: skip


def kinds_in_words(result: Backtest) -> str:
    """``454 signals and 311 candidates``: by the filters the backtest was made with."""
    signals = sum(int(part.entries.is_signal.sum()) for part in result.parts)
    return f"{signals:,} signals and {len(result) - signals:,} candidates"
