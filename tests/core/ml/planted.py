"""Training tables with a planted effect, in the form of the backtest's CSV."""

from __future__ import annotations

import numpy as np
import pandas as pd

from core.domain.candles import iso

START = 1_704_067_200_000  # 2024-01-01T00:00:00Z
QUARTER = 900_000


def table(n: int, *, effect: float = 0.0, seed: int = 1, every: int = 20, start: int = START) -> pd.DataFrame:
    """``n`` signals, one per ``every`` candles; with ``effect`` a high ADX wins more often (log-odds per 5 points)."""
    rng = np.random.default_rng(seed)
    adx = rng.uniform(25, 45, n)
    won = (rng.random(n) < 1 / (1 + np.exp(-(effect * (adx - 35) / 5 - 0.4)))).astype(int)
    return pd.DataFrame(
        {
            "signal_id": [f"LINKUSDT_{i * every}" for i in range(n)],
            "timestamp": [iso(start + i * every * QUARTER) for i in range(n)],
            "symbol": "LINKUSDT",
            "direction": rng.choice(["LONG", "SHORT"], n),
            "entry_atr_percent": rng.uniform(0.3, 1.5, n),
            "entry_rsi": rng.uniform(30, 70, n),
            "entry_adx": adx,
            "entry_volume_ratio": rng.uniform(0.75, 4, n),
            "entry_hurst": np.where(rng.random(n) < 0.1, np.nan, rng.uniform(0.45, 0.7, n)),
            "entry_sma_distance_percent": rng.normal(0, 1, n),
            "entry_regime": rng.choice(["TRENDING", "WEAK_TRENDING", "VOLATILE"], n),
            "entry_hour": rng.integers(0, 24, n),
            "entry_day_of_week": rng.integers(0, 7, n),
            "exit_reason": np.where(won == 1, "TP3_FULL", "STOP_LOSS"),
            "tp1_hit": won == 1,
            "realized_r": np.where(won == 1, 2.3, -1.0),
            "realized_r_net": np.where(won == 1, 2.1, -1.2),
            "duration_minutes": rng.integers(1, 20, n) * 15,
            "outcome": won,
            "outcome_net": won,
            "source": "backtest",
            "sample_weight": 0.3,
        }
    )
