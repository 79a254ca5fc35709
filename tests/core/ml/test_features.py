"""Features: one definition for a live snapshot and for a table's row."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from core.domain.trading import Regime, Snapshot
from core.errors import ModelError
from core.ml.features import FEATURES_V1, features_v1, features_v1_of_table, row_of
from tests.core.ml.planted import table


def snapshot(regime: Regime = Regime.TRENDING, hurst: float = 0.6) -> Snapshot:
    return Snapshot(
        open_time=0,
        close=10.0,
        sma_15=10.0,
        sma_40=9.9,
        rsi=55.0,
        adx=31.0,
        di_plus=20.0,
        di_minus=10.0,
        atr=0.1,
        atr_percent=1.0,
        volume_sma=100.0,
        volume_ratio=1.5,
        sma_distance_percent=1.01,
        hurst=hurst,
        regime=regime,
        hour=13,
        day_of_week=4,
    )


def test_a_snapshot_gives_the_eleven_of_the_bootstrap_model_in_their_order() -> None:
    assert features_v1(snapshot()) == dict(
        zip(FEATURES_V1, (1.0, 55.0, 31.0, 1.5, 0.6, 1.01, 13.0, 4.0, 1.0, 0.0, 0.0), strict=True)
    )


def test_missing_stays_missing_and_an_unknown_regime_is_no_regime() -> None:
    found = features_v1(snapshot(Regime.UNKNOWN, math.nan))

    assert math.isnan(found["entry_hurst"])
    assert all(math.isnan(found[name]) for name in FEATURES_V1 if name.startswith("regime_"))


@pytest.mark.parametrize("regime", list(Regime))
def test_a_row_of_the_table_gives_the_same_as_the_snapshot_it_was_written_from(regime: Regime) -> None:
    live = features_v1(snapshot(regime))
    names = [name for name in FEATURES_V1 if name.startswith("entry_")]
    row = pd.DataFrame([{**{name: live[name] for name in names}, "entry_regime": regime.value}])

    np.testing.assert_array_equal(features_v1_of_table(row), [list(live.values())])


def test_the_table_is_left_alone_and_gives_float64() -> None:
    before = table(10)
    after = before.copy(deep=True)

    assert features_v1_of_table(after).dtype == np.float64
    pd.testing.assert_frame_equal(before, after)


def test_a_missing_name_and_an_infinite_value_are_refused_by_name() -> None:
    values = features_v1(snapshot())

    with pytest.raises(ModelError, match="entry_rsi"):
        row_of({k: v for k, v in values.items() if k != "entry_rsi"}, FEATURES_V1)
    with pytest.raises(ModelError, match="entry_adx is infinite"):
        row_of(values | {"entry_adx": math.inf}, FEATURES_V1)
