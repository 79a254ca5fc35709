from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest

from core.adapters.candle_files import CandleFiles
from core.config import Settings
from core.domain.candles import Candles, Pair
from core.errors import DataError
from core.ml.dataset import Dataset, from_table
from core.services.backtest import Backtest, run_backtest
from core.services.samples import samples_of, stored_samples
from tests.markets import M15, walk

PAIRS = (Pair.parse("LINK/USDT"), Pair.parse("SOL/USDT"), Pair.parse("ETH/USDT"))
SETTINGS = Settings()


def market() -> dict[Pair, Candles]:
    return {pair: dataclasses.replace(walk(3000, n, gaps={1500: 30}), pair=pair) for n, pair in enumerate(PAIRS)}


def backtest(candidates: bool) -> Backtest:
    return run_backtest(market(), SETTINGS, candidates=candidates)


def same(left: Dataset, right: Dataset) -> bool:
    names = [f.name for f in dataclasses.fields(Dataset) if f.name != "features"]
    return left.features == right.features and all(
        np.array_equal(getattr(left, n), getattr(right, n), equal_nan=n in ("X", "r_net")) for n in names
    )


@pytest.mark.parametrize("label", ["gross", "net"])
@pytest.mark.parametrize("candidates", [False, True])
def test_samples_are_what_reading_the_csv_would_give(
    tmp_path: Path, candidates: bool, label: Literal["gross", "net"]
) -> None:
    result = backtest(candidates)
    result.write_csv(tmp_path / "training.csv")

    read = pd.read_csv(tmp_path / "training.csv")

    samples = samples_of(result, label)

    assert len(samples) > (200 if candidates else 5)
    assert same(samples, from_table(read, M15, label))


def test_samples_of_a_store_are_those_of_its_candles(tmp_path: Path) -> None:
    store = CandleFiles(tmp_path)
    for candles in market().values():
        store.save(candles)
    absent = Pair.parse("BNB/USDT")

    samples = stored_samples(store, (*PAIRS, absent), M15, SETTINGS, candidates=True)

    assert same(samples, samples_of(backtest(True)))


def test_a_store_without_these_pairs_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no 15m candles of these pairs are stored"):
        stored_samples(CandleFiles(tmp_path), PAIRS, M15, SETTINGS)
    with pytest.raises(DataError, match="no pairs"):
        samples_of(run_backtest({}, SETTINGS))
