"""What the regime rule says of prices that have no regime: pure random walks through the real indicators."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.domain.candles import Candles, FloatArray, Pair, Timeframe
from core.domain.trading import Regime
from core.engine.indicators import REGIMES, indicators

WALKS, CANDLES = 300, 400
_STEPS = 15  # within a candle, so that highs and lows are a walk's own
_STEP_SIZE = 0.003 / math.sqrt(_STEPS)  # 0.3% a candle, as the real ones; the rules do not depend on it
_KNOWN = 100  # candles until Hurst has its full window


@dataclass(frozen=True, slots=True)
class RandomWalks:
    """Shares 0..1 of the candles behind the first 100 of each walk; ``*_error`` are standard errors over the walks.

    ``hurst`` and ``hurst_spread`` are the mean and the standard deviation of single estimates; a random walk's true
    value is 0.5.
    """

    walks: int
    candles: int
    seed: int
    hurst: float
    hurst_spread: float
    low: float
    low_error: float
    choppy: float
    choppy_error: float
    trending: float

    @property
    def sentence(self) -> str:
        return (
            f"Of {self.walks} pure random walks of {self.candles} candles (seed {self.seed}) the regime rule calls "
            f"{self.choppy:.1%} (+-{1.96 * self.choppy_error:.1%}) of the candles CHOPPY and {self.trending:.1%} "
            f"TRENDING. {self.low:.1%} (+-{1.96 * self.low_error:.1%}) have a Hurst below 0.45: from 100 closes it is "
            f"estimated as {self.hurst:.2f} with a standard error of {self.hurst_spread:.2f}, where the truth is 0.50."
        )


def random_walks(seed: int, walks: int = WALKS, candles: int = CANDLES) -> RandomWalks:
    """Gaussian walks in the logarithm of the price; each candle's high and low are those of 15 steps within it.

    The same seed gives the same numbers. Raises ValueError for fewer than two walks or no candle behind the first 100.
    """
    if walks < 2 or candles <= _KNOWN:
        raise ValueError(f"at least 2 walks of more than {_KNOWN} candles are needed")
    rng = np.random.default_rng(seed)
    hurst, regime = [], []
    for _ in range(walks):
        ind = indicators(_walk(rng, candles))
        hurst.append(ind.hurst[_KNOWN:])
        regime.append(ind.regime[_KNOWN:])
    estimates, codes = np.stack(hurst), np.stack(regime)
    low, choppy = estimates < 0.45, codes == REGIMES.index(Regime.CHOPPY)
    return RandomWalks(
        walks=walks,
        candles=candles,
        seed=seed,
        hurst=float(estimates.mean()),
        hurst_spread=float(estimates.std()),
        low=float(low.mean()),
        low_error=_error(low.mean(axis=1)),
        choppy=float(choppy.mean()),
        choppy_error=_error(choppy.mean(axis=1)),
        trending=float((codes == REGIMES.index(Regime.TRENDING)).mean()),
    )


def _error(shares: FloatArray) -> float:
    """Of the mean over walks: candles of one walk share their windows, walks share nothing."""
    return float(shares.std(ddof=1)) / math.sqrt(len(shares))


def _walk(rng: np.random.Generator, candles: int) -> Candles:
    path = 100 * np.exp(np.cumsum(rng.normal(0, _STEP_SIZE, candles * _STEPS)))
    close = path[_STEPS - 1 :: _STEPS]
    opened = np.concatenate(([100.0], close[:-1]))
    within = path.reshape(candles, _STEPS)
    frame = Timeframe.parse("15m")
    return Candles(
        Pair("WALK", "USDT"),
        frame,
        np.arange(candles, dtype=np.int64) * frame.ms,
        opened,
        np.maximum(opened, within.max(axis=1)),
        np.minimum(opened, within.min(axis=1)),
        close,
        np.ones(candles),
    )
