"""What a model sees of a signal. A feature set is a tuple of names; missing stays NaN and is never filled.

``entry_*`` are the training CSV's own columns; ``regime_*`` are 1 or 0, and NaN where the regime is UNKNOWN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from core.domain.candles import BoolArray, FloatArray
from core.domain.trading import Regime, Snapshot
from core.engine.indicators import REGIMES, Indicators
from core.errors import ModelError

if TYPE_CHECKING:
    import pandas as pd

FEATURES_V1: tuple[str, ...] = (
    "entry_atr_percent",
    "entry_rsi",
    "entry_adx",
    "entry_volume_ratio",
    "entry_hurst",
    "entry_sma_distance_percent",
    "entry_hour",
    "entry_day_of_week",
    "regime_trending",
    "regime_choppy",
    "regime_weak_trending",
)

FEATURE_SETS: Mapping[str, tuple[str, ...]] = {"v1": FEATURES_V1}

_REGIMES = {
    "regime_trending": Regime.TRENDING,
    "regime_choppy": Regime.CHOPPY,
    "regime_weak_trending": Regime.WEAK_TRENDING,
}

COLUMNS_V1: tuple[str, ...] = (*(name for name in FEATURES_V1 if name not in _REGIMES), "entry_regime")
"""The columns of the training CSV that ``FEATURES_V1`` is made from."""


def features_v1(snapshot: Snapshot) -> dict[str, float]:
    """The eleven of ``FEATURES_V1`` at a candle's close, in that order; NaN where an indicator is not defined."""
    values = {
        "entry_atr_percent": snapshot.atr_percent,
        "entry_rsi": snapshot.rsi,
        "entry_adx": snapshot.adx,
        "entry_volume_ratio": snapshot.volume_ratio,
        "entry_hurst": snapshot.hurst,
        "entry_sma_distance_percent": snapshot.sma_distance_percent,
        "entry_hour": float(snapshot.hour),
        "entry_day_of_week": float(snapshot.day_of_week),
    }
    known = snapshot.regime is not Regime.UNKNOWN
    return values | {name: float(snapshot.regime is regime) if known else math.nan for name, regime in _REGIMES.items()}


def features_v1_of_table(table: pd.DataFrame) -> FloatArray:
    """The same from rows of the training CSV: float64 ``[rows, 11]``, columns as ``FEATURES_V1``.

    The columns of ``COLUMNS_V1`` must be there and numeric (``dataset.from_table`` checks that).
    """
    regime = table["entry_regime"].to_numpy(dtype=object)
    unknown = np.array([not isinstance(r, str) or r == Regime.UNKNOWN.value for r in regime], dtype=bool)
    columns = []
    for name in FEATURES_V1:
        if name in _REGIMES:
            columns.append(np.where(unknown, np.nan, (regime == _REGIMES[name].value).astype(np.float64)))
        else:
            columns.append(table[name].to_numpy(dtype=np.float64, na_value=np.nan))
    return np.column_stack(columns).astype(np.float64)


def features_v1_of_rows(ind: Indicators) -> FloatArray:
    """The same for every row of indicators: float64 ``[rows, 11]``, columns as ``FEATURES_V1``."""
    unknown = ind.regime == REGIMES.index(Regime.UNKNOWN)
    return np.column_stack([_column_of_rows(ind, name, unknown) for name in FEATURES_V1])


def _column_of_rows(ind: Indicators, name: str, unknown: BoolArray) -> FloatArray:
    if name not in _REGIMES:
        return np.asarray(getattr(ind, name.removeprefix("entry_")), dtype=np.float64)
    return np.where(unknown, np.nan, (ind.regime == REGIMES.index(_REGIMES[name])).astype(np.float64))


def row_of(features: Mapping[str, float], names: tuple[str, ...]) -> FloatArray:
    """One row ``[1, k]`` in the order of ``names``. Raises ModelError where a feature is missing or infinite."""
    if missing := [name for name in names if name not in features]:
        raise ModelError(f"the model needs the feature {missing[0]}, which is not there; retrain it")
    row = np.array([[features[name] for name in names]], dtype=np.float64)
    if np.isinf(row).any():
        raise ModelError(f"the feature {names[int(np.flatnonzero(np.isinf(row[0]))[0])]} is infinite")
    return row
