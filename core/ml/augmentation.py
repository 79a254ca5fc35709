"""Noisy copies of training rows: the same outcome for a candle that might have been.

A copy keeps its original's outcome, time, pair and direction, so a copy of a row that is evaluated would know the
answer. Copies are therefore made in one place only, inside a fit and of the rows that fit learns from.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.domain.candles import FloatArray
from core.ml.dataset import SOURCE_WEIGHTS, Dataset

SOURCE = "augmented"

_RELATIVE = 0.02  # standard deviation of the noise on ATR and volume ratio, as a share of the value
_RSI = 2.0  # points up or down, uniform
_ADX = 1.0
_IN_ATR = ("return_4", "return_16", "return_96", "trend_strength")  # features that are measured in units of the ATR


def augmented(rows: Dataset, seed: int) -> Dataset:
    """One noisy copy of each row, with the source "augmented"; the same rows and seed give the same copies.

    The ATR and the volume ratio move by 2% (normal), the RSI by at most 2 points and the ADX by at most 1 (uniform),
    within what these can be. What is made of them moves along: moves measured in ATR shrink as the ATR grows, the
    signed RSI follows the RSI. The regime stays what it was, for the outcome was that of a trade taken in it.
    """
    rng = np.random.default_rng([seed, len(rows)])
    noise = {
        "entry_atr_percent": np.exp(rng.normal(0.0, _RELATIVE, len(rows))),
        "entry_volume_ratio": np.exp(rng.normal(0.0, _RELATIVE, len(rows))),
        "entry_rsi": rng.uniform(-_RSI, _RSI, len(rows)),
        "entry_adx": rng.uniform(-_ADX, _ADX, len(rows)),
    }
    columns = {name: rows.X[:, place] for place, name in enumerate(rows.features)}
    changed = _changed(columns, noise)
    values = np.column_stack([changed.get(name, columns[name]) for name in rows.features])
    source = np.full(len(rows), SOURCE)
    return replace(rows, X=values, source=source, base_weight=np.full(len(rows), SOURCE_WEIGHTS[SOURCE]))


def _changed(columns: dict[str, FloatArray], noise: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """The columns that the noise moves, directly or through what they are made of; those the rows have."""
    found: dict[str, FloatArray] = {}
    for name in ("entry_atr_percent", "entry_volume_ratio"):
        if name in columns:
            found[name] = columns[name] * noise[name]
    for name in ("entry_rsi", "entry_adx"):
        if name in columns:
            found[name] = np.clip(columns[name] + noise[name], 0.0, 100.0)
    for name in _IN_ATR:
        if name in columns:
            found[name] = columns[name] / noise["entry_atr_percent"]
    if "signed_rsi" in columns and {"entry_rsi", "direction_sign"} <= columns.keys():
        found["signed_rsi"] = columns["direction_sign"] * (found["entry_rsi"] - 50.0)
    return found
