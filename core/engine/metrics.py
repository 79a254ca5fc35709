"""Figures of a list of results: of trades in R, or of a curve in money or R."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.domain.candles import FloatArray

Values = FloatArray | Sequence[float]


def win_rate(results: Values) -> float | None:
    """The share above 0, 0..1; None without results."""
    values = np.asarray(results, dtype=np.float64)
    return float((values > 0).mean()) if len(values) else None


def profit_factor(results: Values) -> float | None:
    """What was won for each 1 that was lost; None where nothing was lost."""
    values = np.asarray(results, dtype=np.float64)
    lost = -float(values[values < 0].sum())
    return float(values[values > 0].sum()) / lost if lost > 0 else None


def expectancy(results: Values) -> float | None:
    """The mean result; None without results."""
    values = np.asarray(results, dtype=np.float64)
    return float(values.mean()) if len(values) else None


def max_drawdown(curve: Values) -> float:
    """The deepest fall below an earlier high of an R or money curve, in the curve's unit, >= 0.

    The curve begins with its start: for results in R, ``np.cumsum([0, *results])``.
    """
    values = np.asarray(curve, dtype=np.float64)
    return float((np.maximum.accumulate(values) - values).max()) if len(values) else 0.0


def max_drawdown_share(equity: Values) -> float:
    """The deepest fall as a share of the high before it, 0..1. Raises ValueError for equity that is not positive."""
    values = np.asarray(equity, dtype=np.float64)
    if (values <= 0).any():
        raise ValueError("a share of equity needs positive equity")
    return float((1 - values / np.maximum.accumulate(values)).max()) if len(values) else 0.0
