from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
import warnings
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from core.domain.candles import Candles, FloatArray
from core.domain.trading import Regime
from core.engine.indicators import FLOATS, NAMES, REGIMES, Indicators, indicators, regime_codes, regime_of
from tests.markets import LINK, M15, flat, times, walk


def same(left: Indicators, right: Indicators) -> bool:
    """Bit for bit; but for Hurst, whose running sums may begin elsewhere and round a little differently."""
    exact = all(
        np.array_equal(getattr(left, n), getattr(right, n), equal_nan=n in FLOATS) for n in NAMES if n != "hurst"
    )
    return exact and np.allclose(left.hurst, right.hurst, rtol=0, atol=1e-12, equal_nan=True)


@pytest.fixture(scope="module")
def second_opinion() -> tuple[Indicators, dict[str, FloatArray]]:
    """Our values and those of pandas-ta-classic's own Python code, which shares nothing with TA-Lib."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas_ta_classic as ta
    candles = walk(1500, seed=5)
    high, low, close, volume = (pd.Series(x) for x in (candles.high, candles.low, candles.close, candles.volume))
    adx = ta.adx(high, low, close, 14, talib=False)
    theirs = {
        "sma_15": ta.sma(close, 15, talib=False),
        "sma_40": ta.sma(close, 40, talib=False),
        "rsi": ta.rsi(close, 14, talib=False),
        "adx": adx["ADX_14"],
        "di_plus": adx["DMP_14"],
        "di_minus": adx["DMN_14"],
        "atr": ta.atr(high, low, close, 14, talib=False),
        "volume_sma": ta.sma(volume, 20, talib=False),
    }
    return indicators(candles), {name: values.to_numpy(dtype=np.float64) for name, values in theirs.items()}


@pytest.mark.parametrize("name", ["sma_15", "sma_40", "rsi", "adx", "di_plus", "di_minus", "atr", "volume_sma"])
def test_an_independent_implementation_agrees(
    second_opinion: tuple[Indicators, dict[str, FloatArray]], name: str
) -> None:
    ours, theirs = getattr(second_opinion[0], name), second_opinion[1][name]

    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    assert np.allclose(ours, theirs, rtol=1e-11, atol=0, equal_nan=True)


def test_ratios_are_what_their_names_say() -> None:
    candles = walk(200)
    ind = indicators(candles)

    assert np.allclose(ind.atr_percent, ind.atr / candles.close * 100, equal_nan=True)
    assert np.allclose(ind.volume_ratio, candles.volume / ind.volume_sma, equal_nan=True)
    assert np.allclose(ind.sma_distance_percent, (candles.close / ind.sma_40 - 1) * 100, equal_nan=True)


def test_without_volume_the_ratio_is_missing_and_not_infinite() -> None:
    quiet = flat(60)
    volume = quiet.volume.copy()
    volume[0], volume[-1] = 1e12, 0.0

    ind = indicators(dataclasses.replace(quiet, volume=volume))

    assert np.isnan(ind.volume_ratio[20:]).all()
    assert not np.isinf(ind.volume_ratio).any()


def test_hour_and_day_are_those_of_the_open_time_in_utc() -> None:
    ind = indicators(walk(900))
    moments = [datetime.fromtimestamp(t / 1000, UTC) for t in ind.time]

    assert ind.hour.tolist() == [m.hour for m in moments]
    assert ind.day_of_week.tolist() == [m.weekday() for m in moments]


def test_each_stretch_is_computed_alone() -> None:
    candles = walk(700, gaps={400: 9})

    ind = indicators(candles, max_gap=8)

    assert same(ind.rows(0, 400), indicators(candles.rows(0, 400)))
    assert same(ind.rows(400, None), indicators(candles.rows(400, None)))


def test_a_short_gap_is_bridged_by_rows() -> None:
    bridged, whole = indicators(walk(300, gaps={150: 8}), max_gap=8), indicators(walk(300))

    assert np.array_equal(bridged.adx, whole.adx, equal_nan=True)


@pytest.mark.parametrize("cut", [1, 14, 28, 50, 100, 317])
def test_changing_the_future_changes_no_past_value(cut: int) -> None:
    candles, other = walk(400, seed=1), walk(400, seed=2, price=3.0)
    changed = candles.rows(0, cut).joined(other.rows(cut, None))

    assert same(indicators(changed).rows(0, cut), indicators(candles).rows(0, cut))


@pytest.mark.parametrize("rows", [0, 1, 2, 14, 15, 27, 28, 40])
def test_few_candles_give_missing_values(rows: int) -> None:
    ind = indicators(walk(400).rows(0, rows))

    assert len(ind) == rows
    assert np.isnan(ind.hurst).all()
    assert np.isfinite(ind.adx).sum() == max(0, rows - 27)
    assert ind.regimes() == [Regime.UNKNOWN] * rows


@pytest.mark.parametrize(
    ("hurst", "adx", "regime"),
    [
        (math.nan, 30, Regime.UNKNOWN),
        (0.6, math.nan, Regime.UNKNOWN),
        (0.56, 25.1, Regime.TRENDING),
        (0.56, 25, Regime.WEAK_TRENDING),
        (0.55, 31, Regime.VOLATILE),
        (0.44, 50, Regime.CHOPPY),
        (0.60, 19.9, Regime.CHOPPY),
        (0.45, 20, Regime.WEAK_TRENDING),
        (0.50, 30, Regime.WEAK_TRENDING),
        (0.50, 30.1, Regime.VOLATILE),
    ],
)
def test_the_first_regime_rule_that_holds_counts(hurst: float, adx: float, regime: Regime) -> None:
    assert REGIMES[regime_codes(np.array([hurst]), np.array([adx]))[0]] is regime
    assert regime_of(hurst, adx) is regime


def test_one_candle_and_all_candles_have_one_rule() -> None:
    edges = [math.nan, 0.0, 0.44, 0.45, 0.46, 0.54, 0.55, 0.56, 1.0]
    levels = [math.nan, 0.0, 19.9, 20.0, 20.1, 25.0, 25.1, 30.0, 30.1, 90.0]
    pairs = [(hurst, adx) for hurst in edges for adx in levels]

    codes = regime_codes(np.array([h for h, _ in pairs]), np.array([a for _, a in pairs]))

    assert [REGIMES[code] for code in codes] == [regime_of(hurst, adx) for hurst, adx in pairs]


def test_a_snapshot_is_one_row() -> None:
    ind = indicators(walk(300))

    snapshot = ind.snapshot(-1)

    assert snapshot == ind.snapshot(299)
    assert all(getattr(snapshot, name) == getattr(ind, name)[299] for name in FLOATS if name != "hurst")
    assert snapshot.hurst == pytest.approx(ind.hurst[299], abs=1e-12)
    assert snapshot.regime is ind.regimes()[299]
    assert snapshot.open_time == ind.time[299]


def test_the_candles_are_left_as_they_were() -> None:
    candles = walk(200)
    before = [getattr(candles, n).copy() for n in ("time", "open", "high", "low", "close", "volume")]

    ind = indicators(candles)

    assert all(len(getattr(ind, name)) == 200 for name in NAMES)
    assert all(
        np.array_equal(a, getattr(candles, n))
        for a, n in zip(before, ("time", "open", "high", "low", "close", "volume"), strict=True)
    )


def test_columns_may_be_views_of_a_table() -> None:
    candles = walk(200)
    table = np.stack([candles.open, candles.high, candles.low, candles.close, candles.volume], axis=1)
    strided = Candles(LINK, M15, times(200), *(table[:, i] for i in range(5)))

    assert same(indicators(strided), indicators(candles))


def test_chosen_rows_have_the_values_of_their_rows() -> None:
    """Also behind a long gap, where Hurst begins anew, and however often a row is asked for."""
    candles = walk(700, gaps={400: 20})
    rows = np.array([0, 30, 60, 399, 400, 440, 449, 470, 520, 699])
    ind, whole = indicators(candles), indicators(candles)

    some, again = ind.at(rows), ind.at(rows[::-1])

    for name in NAMES:
        expected = getattr(whole, name)[rows]
        assert np.allclose(getattr(some, name), expected, rtol=0, atol=1e-12, equal_nan=True), name
        assert np.array_equal(getattr(again, name)[::-1], getattr(some, name), equal_nan=name in FLOATS), name


def test_nothing_is_computed_that_nobody_asks_for() -> None:
    ind = indicators(walk(300))

    assert ind.at(np.array([250])).rsi[0] == ind.rsi[250]

    assert set(vars(ind)) & set(FLOATS) == {"rsi"}


def test_ta_lib_comes_without_pandas() -> None:
    code = (
        "import sys, numpy as np; from core.engine.talib_alone import talib; talib.RSI(np.arange(50.0), 14); "
        "assert 'pandas' not in sys.modules; import pandas; assert pandas.Series([1.0]).mean() == 1.0"
    )

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# TA-Lib looks for polars first: there its import is held until another thread has pandas.
MEANWHILE = """
import sys, threading
from importlib.machinery import ModuleSpec
class Held:
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name == "polars" else None
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        at_polars.set()
        assert loaded.wait(30)
        raise ModuleNotFoundError("none", name="polars")
at_polars, loaded, failed = threading.Event(), threading.Event(), []
threading.excepthook = lambda args: (failed.append(args.exc_value), loaded.set())
sys.meta_path.insert(0, Held())
def load_pandas():
    assert at_polars.wait(30)
    import pandas
    loaded.set()
thread = threading.Thread(target=load_pandas)
thread.start()
from core.engine.talib_alone import talib
thread.join()
assert not failed, failed
import pandas
assert pandas.Series([1.0]).mean() == 1.0
"""


def test_a_thread_that_loads_pandas_meanwhile_gets_it() -> None:
    subprocess.run([sys.executable, "-c", MEANWHILE], check=True, timeout=60)
