"""Row by row against results made by a slow and direct implementation on real candles (first quarter of 2024)."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.config import CandleSettings, Settings
from core.domain.candles import Candles
from core.engine.indicators import Indicators, indicators
from core.services.backtest import run_backtest
from tests.markets import real, real_folder

pytestmark = pytest.mark.real

FROM, TO = 1_704_067_200_000, 1_711_929_600_000  # 2024-01-01, 2024-04-01
SYMBOLS = ("LINKUSDT", "ETHUSDT", "SOLUSDT", "AVAXUSDT", "MATICUSDT", "BTCUSDT")


def reference(name: str) -> Path:
    path = real_folder().parent.parent / "reference" / name
    if not path.exists():
        pytest.skip(f"there is no {name} beside the real candles")
    return path


@pytest.fixture(scope="module")
def ours() -> Indicators:
    return indicators(real("LINKUSDT").between(FROM, TO))


@pytest.fixture(scope="module")
def theirs() -> pd.DataFrame:
    return pd.read_csv(reference("LINKUSDT-15m-indicators.csv.gz"))


@pytest.mark.parametrize(
    "name",
    [
        *("close", "sma_15", "sma_40", "rsi", "adx", "di_plus", "di_minus", "atr", "atr_percent", "volume_sma"),
        *("volume_ratio", "sma_distance_percent", "hurst"),
    ],
)
def test_every_indicator_agrees_at_every_candle(ours: Indicators, theirs: pd.DataFrame, name: str) -> None:
    mine, wanted = getattr(ours, name), theirs[name].to_numpy(dtype=np.float64)

    assert np.array_equal(np.isnan(mine), np.isnan(wanted))
    assert np.allclose(mine, wanted, rtol=1e-7 if name == "hurst" else 1e-9, atol=0, equal_nan=True)


def test_time_and_regime_are_equal(ours: Indicators, theirs: pd.DataFrame) -> None:
    assert ours.time.tolist() == theirs["timestamp"].tolist()
    assert [r.value for r in ours.regimes()] == theirs["regime"].tolist()
    assert ours.hour.tolist() == theirs["hour"].tolist()
    assert ours.day_of_week.tolist() == theirs["day_of_week"].tolist()


def same(mine: str, wanted: str) -> bool:
    try:
        return math.isclose(float(mine), float(wanted), rel_tol=1e-9)
    except ValueError:
        return mine == wanted


def test_every_signal_and_outcome_agrees(tmp_path: Path) -> None:
    with reference("backtest_signals.csv").open() as file:
        wanted = list(csv.DictReader(file))
    markets: list[Candles] = [real(symbol) for symbol in SYMBOLS]

    result = run_backtest({c.pair: c for c in markets}, Settings(), FROM, TO, history="none")
    result.write_csv(tmp_path / "signals.csv")

    with (tmp_path / "signals.csv").open() as file:
        mine = list(csv.DictReader(file))
    assert list(mine[0])[: len(wanted[0])] == list(wanted[0])
    assert [row["signal_id"] for row in mine] == [row["signal_id"] for row in wanted]
    different = [
        (a["signal_id"], name, a[name], b[name])
        for a, b in zip(mine, wanted, strict=True)
        for name in b
        if not same(a[name], b[name])
    ]
    assert not different


@pytest.mark.parametrize(("max_gap", "signals"), [(8, 7), (100_000, 8)])
def test_earlier_candles_bring_one_signal_more_only_across_a_gap(max_gap: int, signals: int) -> None:
    """MATIC's eighth signal, 39 candles after 96 missing days, lives on indicators from before them."""
    matic = real("MATICUSDT")
    settings = Settings(candles=CandleSettings(max_gap=max_gap))

    result = run_backtest({matic.pair: matic}, settings, FROM, TO, history="all")

    assert len(result) == signals
