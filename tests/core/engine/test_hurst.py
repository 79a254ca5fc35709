from __future__ import annotations

import numpy as np
import pytest

from core.domain.candles import FloatArray
from core.engine.hurst import hurst_at, rolling_hurst


def direct(window: FloatArray) -> float:
    """The formula as docs/strategy.md has it, for one window."""
    lags = list(range(2, min(20, len(window) // 2)))
    deviations = [max(1e-10, float(np.std(window[lag:] - window[:-lag]))) for lag in lags]
    return float(np.polyfit(np.log(lags), np.log(deviations), 1)[0])


def slow(close: FloatArray) -> FloatArray:
    return np.array([direct(close[max(0, i - 99) : i + 1]) if i >= 49 else np.nan for i in range(len(close))])


def series(name: str) -> FloatArray:
    rng = np.random.default_rng(3)
    steps = rng.normal(0, 1, 400)
    return {
        "random walk": 100 + 0.1 * np.cumsum(steps),
        "tiny prices": 1e-8 * (1 + 0.003 * np.cumsum(steps)),
        "huge prices": 1e6 * (1 + 0.0003 * np.cumsum(steps)),
        "mean reverting": 100 + steps,
        "flat in the middle": np.concatenate((100 + np.cumsum(steps[:150]), np.full(150, 42.0), 42 + steps[:100])),
        "flat": np.full(400, 17.0),
        "strong drift": 100 + 5 * np.arange(400) + 0.001 * steps,
        "one jump": np.where(np.arange(400) < 200, 10.0, 1e5) + 0.001 * steps,
    }[name]


NAMES = (
    *("random walk", "tiny prices", "huge prices", "mean reverting", "flat in the middle", "flat"),
    *("strong drift", "one jump"),
)


@pytest.mark.parametrize("name", NAMES)
def test_the_rolling_exponent_is_the_direct_formula_at_every_row(name: str) -> None:
    close = series(name)

    fast = rolling_hurst(close)

    assert np.isnan(fast[:49]).all()
    assert np.allclose(fast[49:], slow(close)[49:], rtol=0, atol=1e-9)


def test_a_trend_is_above_and_a_returning_market_below_one_half() -> None:
    rng = np.random.default_rng(1)
    trending = np.cumsum(np.repeat(rng.choice([-1.0, 1.0], 20), 50) + rng.normal(0, 0.2, 1000))

    assert np.nanmean(rolling_hurst(trending)) > 0.7
    assert np.nanmean(rolling_hurst(rng.normal(0, 1, 1000))) < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_a_few_rows_have_the_formula_s_value(name: str) -> None:
    close, rows = series(name), np.array([0, 48, 49, 50, 98, 99, 100, 151, 200, 201, 260, 399])

    assert np.allclose(hurst_at(close, rows), slow(close)[rows], rtol=0, atol=1e-9, equal_nan=True)


def test_what_lies_before_the_window_leaves_no_trace() -> None:
    close = series("random walk")

    assert np.array_equal(hurst_at(close, np.arange(299, 400)), hurst_at(close[200:], np.arange(99, 200)))
    assert np.allclose(rolling_hurst(close)[299:], rolling_hurst(close[200:])[99:], rtol=0, atol=1e-12)


def test_a_million_candles_do_not_drift_away_from_the_formula() -> None:
    """Prices from 1e-8 to 1e6, flat stretches and jumps between them: nothing of the past may stay in the sums."""
    rng = np.random.default_rng(11)
    parts = []
    for price in np.tile(10.0 ** np.arange(-8, 7), 67):
        walk = price * np.exp(np.cumsum(rng.normal(0, 0.003, 700)))
        parts += [walk, np.full(200, walk[-1]), walk[-1] * (1 + 1e-6 * rng.normal(0, 1, 100))]
    close = np.concatenate(parts)[:1_000_000]

    far = np.abs(rolling_hurst(close)[49:] - hurst_at(close, np.arange(49, len(close))))

    assert len(close) == 1_000_000
    assert far.max() < 1e-7


@pytest.mark.parametrize("rows", [0, 1, 49, 50, 99, 100, 101])
def test_few_rows_are_no_trouble(rows: int) -> None:
    close = series("random walk")[:rows]

    assert np.allclose(rolling_hurst(close), slow(close), atol=1e-9, equal_nan=True)


def test_a_start_with_too_few_lags_is_refused() -> None:
    with pytest.raises(ValueError, match="min_periods"):
        rolling_hurst(np.ones(100), min_periods=30)
