"""Samples straight from candles: what a backtest's CSV would give when read again, without the CSV."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from core.config import Settings
from core.domain.candles import Pair, Timeframe
from core.domain.trading import Direction
from core.engine.indicators import REGIMES
from core.errors import DataError
from core.ml.dataset import SOURCE_WEIGHTS, Dataset, Label
from core.ml.features import FEATURE_SETS
from core.ports import CandleStore
from core.services.backtest import Backtest, History, PairBacktest, stored_backtests

_SOURCE = "backtest"


def samples_of(result: Backtest, label: Label = "gross") -> Dataset:
    """The closed trades of a backtest as training samples, equal to ``from_table`` of its CSV.

    The features are those of its settings. Raises DataError for a backtest of no pairs.
    """
    names = FEATURE_SETS[result.settings.ml.features]
    parts = [_samples(part, label, names) for part in result.parts]
    if not parts:
        raise DataError("a backtest of no pairs has no samples")
    return parts[0].joined(*parts[1:])


def stored_samples(
    store: CandleStore,
    pairs: Iterable[Pair],
    timeframe: Timeframe,
    settings: Settings,
    start_ms: int | None = None,
    end_ms: int | None = None,
    *,
    history: History = "all",
    candidates: bool = False,
) -> Dataset:
    """The samples of stored candles; the arguments are those of ``stored_backtests``.

    Raises DataError, also where none of the pairs has candles.
    """
    results = stored_backtests(
        store, pairs, timeframe, settings, start_ms, end_ms, history=history, candidates=candidates
    )
    parts = [samples_of(result, settings.ml.label) for result in results]
    if not parts:
        raise DataError(f"no {timeframe.name} candles of these pairs are stored; get them with `julaba fetch`")
    return parts[0].joined(*parts[1:])


def _samples(part: PairBacktest, label: Label, features: tuple[str, ...]) -> Dataset:
    entries, outcomes = part.entries, part.outcomes
    count, step = len(entries), part.candles.timeframe.ms
    ind = part.at_entry
    gross = outcomes.realized_r
    return Dataset(
        features=features,
        X=part.features(features),
        y=((gross if label == "gross" else part.net_r) > 0).astype(np.int64),
        r=gross,
        r_net=part.net_r,
        time=ind.time + step,
        end_time=part.candles.time[outcomes.exit_row] + step,
        pair=np.full(count, part.pair.symbol),
        source=np.full(count, _SOURCE),
        direction=np.where(entries.sign > 0, Direction.LONG.value, Direction.SHORT.value),
        regime=np.array([regime.value for regime in REGIMES])[ind.regime],
        base_weight=np.full(count, SOURCE_WEIGHTS[_SOURCE]),
        is_signal=entries.is_signal,
    )
