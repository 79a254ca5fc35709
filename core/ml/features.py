"""What a model sees of a signal. A feature set is a tuple of names; missing stays NaN and is never filled.

``entry_*`` are the training CSV's own columns; ``regime_*`` are 1 or 0, and NaN where the regime is UNKNOWN. What is
``signed_*`` is positive where it speaks for the trade's direction. docs/features.md has all of them in a table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from core.domain.candles import BoolArray, Candles, FloatArray, IntArray
from core.domain.trading import Direction, Regime, Snapshot
from core.engine.indicators import REGIMES, Indicators
from core.errors import ModelError
from core.ml.surroundings import SURROUNDINGS, Scene, surroundings

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

MORE_V2: tuple[str, ...] = (
    *("regime_volatile", "direction_sign", "signed_rsi", "signed_di", "signed_sma_distance"),
    *SURROUNDINGS,
)
"""What ``v2`` adds: the training CSV has a column of that name for each."""

FEATURES_V2: tuple[str, ...] = (*FEATURES_V1, *MORE_V2)

FEATURE_SETS: Mapping[str, tuple[str, ...]] = {"v1": FEATURES_V1, "v2": FEATURES_V2}

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


def features_of_rows(
    ind: Indicators, candles: Candles, sign: IntArray, scene: Scene, names: tuple[str, ...] = FEATURES_V2
) -> FloatArray:
    """A feature set at some candidates of one pair: float64 ``[n, len(names)]``.

    ``ind`` are the indicators at their candles, ``candles`` the pair's own, ``sign`` +1 for LONG and -1 for SHORT.
    """
    first = features_v1_of_rows(ind)
    if names == FEATURES_V1:
        return first
    unknown = ind.regime == REGIMES.index(Regime.UNKNOWN)
    volatile = np.where(unknown, np.nan, (ind.regime == REGIMES.index(Regime.VOLATILE)).astype(np.float64))
    signed = _signed(sign, ind.rsi, ind.di_plus, ind.di_minus, ind.sma_distance_percent)
    around = surroundings(candles, ind.time, sign, ind.atr, scene)
    return np.column_stack([first, volatile, *signed, around])


def features_of(snapshot: Snapshot, candles: Candles, direction: Direction, scene: Scene) -> dict[str, float]:
    """Every feature of every set at one candle's close; the same numbers as ``features_of_rows`` gives for its row."""
    sign = np.array([direction.sign])
    columns = (
        np.array([v]) for v in (snapshot.rsi, snapshot.di_plus, snapshot.di_minus, snapshot.sma_distance_percent)
    )
    around = surroundings(candles, np.array([snapshot.open_time]), sign, np.array([snapshot.atr]), scene)
    known = snapshot.regime is not Regime.UNKNOWN
    more = (
        float(snapshot.regime is Regime.VOLATILE) if known else math.nan,
        *(float(column[0]) for column in _signed(sign, *columns)),
        *around[0].tolist(),
    )
    return features_v1(snapshot) | dict(zip(MORE_V2, more, strict=True))


def _signed(
    sign: IntArray, rsi: FloatArray, di_plus: FloatArray, di_minus: FloatArray, sma_distance: FloatArray
) -> tuple[FloatArray, ...]:
    """``direction_sign``, ``signed_rsi``, ``signed_di`` and ``signed_sma_distance``."""
    way = sign.astype(np.float64)
    return way, way * (rsi - 50), way * (di_plus - di_minus), way * sma_distance


def set_name(features: tuple[str, ...]) -> str:
    """The name of a feature set. Raises ModelError for names that are none."""
    for name, names in FEATURE_SETS.items():
        if names == features:
            return name
    raise ModelError("these features are no set that this version knows")


def row_of(features: Mapping[str, float], names: tuple[str, ...]) -> FloatArray:
    """One row ``[1, k]`` in the order of ``names``. Raises ModelError where a feature is missing or infinite."""
    if missing := [name for name in names if name not in features]:
        raise ModelError(f"the model needs the feature {missing[0]}, which is not there; retrain it")
    row = np.array([[features[name] for name in names]], dtype=np.float64)
    if np.isinf(row).any():
        raise ModelError(f"the feature {names[int(np.flatnonzero(np.isinf(row[0]))[0])]} is infinite")
    return row
