"""Datasets: what a training table must be, and what its rows count."""

from __future__ import annotations

from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.candles import Timeframe
from core.errors import DataError
from core.ml.dataset import from_table, weights
from tests.core.ml.planted import QUARTER, START, table

DAY = 86_400_000


def with_value(column: str, value: Any, row: int = 2, n: int = 10) -> pd.DataFrame:
    found = table(n)
    found[column] = found[column].astype(object)
    found.loc[row, column] = value
    return found


def test_a_decision_is_the_candles_close_and_the_outcome_known_after_its_duration() -> None:
    data = from_table(table(3), Timeframe.parse("15m"))

    assert data.time[0] == START + QUARTER
    assert (data.end_time - data.time == table(3)["duration_minutes"].to_numpy() * 60_000).all()


def test_rows_are_sorted_by_time_whatever_the_tables_order() -> None:
    mixed = table(40).sample(frac=1, random_state=3)

    for name in ("X", "y", "r", "time", "direction"):
        np.testing.assert_array_equal(getattr(from_table(mixed), name), getattr(from_table(table(40)), name))


def test_a_table_and_the_csv_it_becomes_give_the_same() -> None:
    read = pd.read_csv(StringIO(table(30).to_csv(index=False)))

    np.testing.assert_array_equal(from_table(read).X, from_table(table(30)).X)


def test_rows_that_ended_at_a_gap_or_have_no_outcome_are_no_samples() -> None:
    found = with_value("exit_reason", "GAP")
    found["outcome"] = found["outcome"].astype(object)
    found.loc[5, "outcome"] = None

    assert len(from_table(found)) == 8


def test_a_row_that_was_cut_off_is_named() -> None:
    found = table(10)
    last = found.columns.get_loc("realized_r")
    found = found.astype(object)
    found.iloc[9, last:] = None

    with pytest.raises(DataError, match="line 11: the row is not whole, it has neither outcome nor source"):
        from_table(found)


def test_epoch_seconds_are_refused() -> None:
    found = table(3)
    seconds = pd.to_datetime(found["timestamp"]).map(lambda moment: int(moment.timestamp()))

    with pytest.raises(DataError, match=r"timestamp is '1704067200'; epoch milliseconds \(not seconds\)"):
        from_table(found.assign(timestamp=seconds))
    assert len(from_table(found.assign(timestamp=seconds * 1000))) == 3


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("entry_rsi", "high", "training data, line 4: entry_rsi is 'high'; a number is wanted"),
        ("entry_adx", "inf", "training data, line 4: entry_adx is 'inf'; a finite number is wanted"),
        ("realized_r", None, "training data, line 4: realized_r is empty; a number is wanted"),
        ("outcome", 2, "training data, line 4: outcome is '2'; 0 or 1 is wanted"),
        ("tp1_hit", "yes", "training data, line 4: tp1_hit is 'yes'; True or False is wanted"),
        ("direction", "UP", "training data, line 4: direction is 'UP'; LONG or SHORT is wanted"),
        ("timestamp", "yesterday", "training data, line 4: timestamp is 'yesterday'; a time such as"),
        ("duration_minutes", 0, "training data, line 4: duration_minutes is '0'; a positive number is wanted"),
        ("source", "dream", "training data, line 4: source is 'dream'"),
        ("entry_regime", "CALM", "training data, line 4: entry_regime is 'CALM'"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(column: str, value: Any, sentence: str) -> None:
    with pytest.raises(DataError) as error:
        from_table(with_value(column, value))

    assert str(error.value).startswith(sentence)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="has no column entry_hurst"):
        from_table(table(10).drop(columns="entry_hurst"))


def test_a_signal_given_twice_is_refused() -> None:
    with pytest.raises(DataError, match="LINKUSDT decided at 2024-01-01T00:15:00Z is there twice"):
        from_table(pd.concat([table(3), table(1)]))


def test_the_net_label_needs_and_uses_the_net_columns() -> None:
    found = table(20)
    found["outcome_net"] = 0

    assert from_table(found, label="net").y.sum() == 0
    with pytest.raises(DataError, match="has no column outcome_net"):
        from_table(found.drop(columns="outcome_net"), label="net")


def test_a_candidate_is_no_signal() -> None:
    found = table(4).assign(kind=["signal", "candidate", "signal", "candidate"])

    assert from_table(found).is_signal.tolist() == [True, False, True, False]


@given(st.integers(0, 3000), st.floats(1, 2000))
def test_weights_have_a_mean_of_one_and_halve_with_the_half_life(later: int, half_life: float) -> None:
    data = from_table(table(30, every=96))
    found = weights(data, int(data.time.max()) + later * DAY, half_life)

    assert found.mean() == pytest.approx(1)
    assert (np.diff(found) >= 0).all()
    assert found[-2] / found[-1] == pytest.approx(0.5 ** (1 / half_life))


def test_the_moment_of_training_changes_no_weight() -> None:
    data = from_table(table(30))

    np.testing.assert_array_equal(weights(data, 10**13, 180), weights(data, 2 * 10**13, 180))


def test_sources_count_as_the_design_says() -> None:
    found = table(5, every=1).assign(source=["trade", "shadow_signal", "shadow_candidate", "backtest", "augmented"])

    assert from_table(found).base_weight.tolist() == [1.0, 1.0, 0.5, 0.3, 0.2]


def test_joining_keeps_the_order_of_time() -> None:
    early, late = table(5), table(5, start=START + 3 * QUARTER)
    late["symbol"] = "ETHUSDT"
    both = from_table(late).joined(from_table(early))

    assert len(both) == 10
    assert (np.diff(both.time) >= 0).all()
