"""Real candles: how many samples 90 days give, and that a training on them comes to its end."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from core.adapters.model_files import ModelFiles
from core.config import Ml, Settings
from core.domain.candles import DAY_MS
from core.ml.features import FEATURES_V2
from core.services.backtest import run_backtest
from core.services.samples import samples_of
from core.services.train import train_from_table
from tests.markets import real

SYMBOLS = ("LINKUSDT", "ETHUSDT", "SOLUSDT", "AVAXUSDT", "MATICUSDT")
END = 1_711_929_600_000  # 2024-04-01T00:00:00Z


def test_90_days_of_five_pairs_give_a_thousand_labelled_candidates_and_a_training_on_them_ends(tmp_path: Path) -> None:
    start, history = END - 90 * DAY_MS, 12 * DAY_MS
    candles = {c.pair: c.between(start - history, END) for c in map(real, SYMBOLS)}
    btc = real("BTCUSDT").between(start - history, END)
    found = run_backtest(candles, Settings(), start, END, candidates=True, beside={btc.pair: btc})
    samples = samples_of(found)
    candidates = int((~samples.is_signal).sum())

    assert candidates >= 1000
    assert samples.is_signal.sum() >= 20
    assert samples.features == FEATURES_V2
    assert np.isfinite(samples.X).mean() > 0.99

    report = train_from_table(samples, Ml(), ModelFiles(tmp_path / "models"), datetime(2024, 4, 1, tzinfo=UTC))
    assert report.rows == len(samples)
    assert report.walk_forward.candidates is not None
    assert report.walk_forward.candidates.n > 600
    assert report.champion
