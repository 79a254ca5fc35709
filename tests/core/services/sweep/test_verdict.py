"""The verdict against the same sums done by hand from the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from core.domain.candles import DAY_MS, FloatArray
from core.errors import UsageError
from core.services.sweep import verdict as module
from core.services.sweep.heat import heat_axes, heat_map
from core.services.sweep.plan import KINDS, Kind
from core.services.sweep.pools import in_this_process
from core.services.sweep.run import SweepRun, run_sweep
from core.services.sweep.verdict import judge
from tests.core.services.sweep.shelf import BASE, candles, quiet, small_sweep

OWN = BASE.model_copy(update={"strategy": BASE.strategy.model_copy(update={"volume_ratio_min": 1e-9})})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SweepRun:
    return run_sweep(small_sweep(), candles(), tmp_path_factory.mktemp("verdict"), in_this_process, quiet)


@pytest.fixture(scope="module")
def frame(run: SweepRun) -> pd.DataFrame:
    return run.table.to_pandas()


def days(run: SweepRun, frame: pd.DataFrame, setting: int, kind: Kind, window: int | None = None) -> FloatArray:
    """Net R per calendar day, by a dictionary."""
    found: dict[int, float] = {}
    for s in run.sweep.ground.segments:
        if s.kind == kind and window in (None, s.window + 1):
            found |= dict.fromkeys(range(s.start_ms // DAY_MS, -(-s.end_ms // DAY_MS)), 0.0)
    chosen = frame[(frame.setting == setting) & (frame.segment == kind)]
    chosen = chosen[chosen.window == window] if window else chosen
    for on, nets in zip(chosen["day"].tolist(), chosen["day_net_r"].tolist(), strict=True):
        for day, net in zip(on, nets, strict=True):
            found[day] += net
    return np.array([found[day] for day in sorted(found)])


@pytest.mark.parametrize("kind", ["is", "oos"])
def test_each_side_is_the_sum_over_pairs_and_windows(run: SweepRun, frame: pd.DataFrame, kind: Kind) -> None:
    side = judge(run.sweep, run.table).side(kind)
    summed = frame[frame.segment == kind].groupby("setting")[["trades", "wins", "gross_r", "net_r"]].sum()

    assert side.trades.tolist() == summed.trades.tolist()
    assert side.wins.tolist() == summed.wins.tolist()
    np.testing.assert_allclose(side.gross_r, summed.gross_r)
    np.testing.assert_allclose(side.net_r, summed.net_r)
    for setting in range(0, 40, 7):
        daily = days(run, frame, setting, kind)
        curve = np.cumsum([0, *daily])
        assert side.days == len(daily)
        assert side.sharpe[setting] == pytest.approx(daily.mean() / daily.std(ddof=1) * np.sqrt(365))
        assert side.drawdown_r[setting] == pytest.approx((np.maximum.accumulate(curve) - curve).max())


def test_walking_forward_takes_the_best_of_each_window_and_earns_what_comes_after(
    run: SweepRun, frame: pd.DataFrame
) -> None:
    walk = judge(run.sweep, run.table).walk_forward
    daily = []
    for choice in walk.choices:
        series = [days(run, frame, setting, "is", choice.window) for setting in range(40)]
        sharpe = [d.mean() / d.std(ddof=1) if d.any() else -np.inf for d in series]
        assert choice.setting == int(np.argmax(sharpe))
        after = frame[(frame.setting == choice.setting) & (frame.window == choice.window) & (frame.segment == "oos")]
        assert (choice.trades, choice.wins) == (after.trades.sum(), after.wins.sum())
        assert (choice.gross_r, choice.net_r) == pytest.approx((after.gross_r.sum(), after.net_r.sum()))
        daily.append(days(run, frame, choice.setting, "oos", choice.window))

    np.testing.assert_allclose(walk.daily_net_r, np.concatenate(daily), atol=1e-12)
    assert walk.net_r == pytest.approx(walk.daily_net_r.sum())
    assert walk.everybody_net_r == pytest.approx(frame[frame.segment == "oos"].net_r.sum() / 40)


def of_the_formula(daily: FloatArray, bar: float) -> float:
    """The probabilistic Sharpe ratio of 2012 by another library's moments; ``bar`` is per day."""
    sharpe = daily.mean() / daily.std(ddof=1)
    spread = 1 - stats.skew(daily) * sharpe + (stats.kurtosis(daily, fisher=False) - 1) / 4 * sharpe**2
    return float(stats.norm.cdf((sharpe - bar) * np.sqrt((len(daily) - 1) / spread)))


def test_skill_and_the_deflated_ratios_follow_the_papers(run: SweepRun, frame: pd.DataFrame) -> None:
    found = judge(run.sweep, run.table)

    for kind in KINDS:
        side = found.side(kind)
        every = np.unique([days(run, frame, setting, kind).round(12) for setting in range(40)], axis=0)
        every = every[every.any(axis=1)]
        ratios = every.mean(axis=1) / every.std(axis=1, ddof=1)
        n = len(every)
        usual, rare = stats.norm.ppf(1 - 1 / n), stats.norm.ppf(1 - 1 / (n * np.e))
        bar = ratios.std(ddof=1) * ((1 - np.euler_gamma) * usual + np.euler_gamma * rare)
        assert side.trials.distinct == n > 5
        assert side.trials.expected_best == pytest.approx(bar)
        for setting in range(0, 40, 7):
            assert side.deflated[setting] == pytest.approx(of_the_formula(days(run, frame, setting, kind), bar))
    walk = found.walk_forward
    curve = np.cumsum([0, *walk.daily_net_r])
    assert walk.sharpe == pytest.approx(walk.daily_net_r.mean() / walk.daily_net_r.std(ddof=1) * np.sqrt(365))
    assert walk.skill == pytest.approx(of_the_formula(walk.daily_net_r, 0.0))
    assert walk.drawdown_r == pytest.approx((np.maximum.accumulate(curve) - curve).max())


def test_a_walk_that_only_loses_falls_from_its_start(run: SweepRun) -> None:
    columns = {name: run.table.column(name) for name in run.table.column_names}
    lost = [[-1.0] * len(nets or ()) for nets in columns["day_net_r"].to_pylist()]
    walk = judge(run.sweep, type(run.table).from_pydict(columns | {"day_net_r": lost})).walk_forward

    assert walk.daily_net_r.sum() < -1
    assert walk.drawdown_r == pytest.approx(-walk.daily_net_r.sum())


def test_the_best_is_taken_apart_by_pair(run: SweepRun, frame: pd.DataFrame) -> None:
    found = judge(run.sweep, run.table)
    best = found.best("is")
    own = frame[frame.setting == best].groupby(["pair", "segment"])[["trades", "net_r"]].sum()

    assert [share.pair for share in found.by_pair] == ["LINK/USDT", "ETH/USDT", "SOL/USDT"]
    for share in found.by_pair:
        assert (share.is_trades, share.oos_trades) == tuple(own.loc[share.pair].trades[["is", "oos"]])
        assert (share.is_net_r, share.oos_net_r) == pytest.approx(tuple(own.loc[share.pair].net_r[["is", "oos"]]))


def test_batches_make_no_difference(run: SweepRun, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = judge(run.sweep, run.table)
    monkeypatch.setattr(module, "_BATCH", 7)
    parts = judge(run.sweep, run.table)

    np.testing.assert_array_equal(whole.in_sample.deflated, parts.in_sample.deflated)
    assert whole.walk_forward.choices == parts.walk_forward.choices


def test_settings_that_take_the_same_trades_are_shown_once(tmp_path: Path) -> None:
    sweep = small_sweep(sets=("volume_ratio_min=0,1e-9,1e-8,1",), base=OWN)
    found = judge(sweep, run_sweep(sweep, candles(), tmp_path, in_this_process, quiet).table)

    assert sorted(found.distinct("is")) == [(1, 3), (3, 1)]
    assert sweep.configured == 1


def test_settings_without_a_trade_come_last_and_prove_nothing(tmp_path: Path) -> None:
    sweep = small_sweep(sets=("adx_min=10,99,100",))
    found = judge(sweep, run_sweep(sweep, candles(), tmp_path, in_this_process, quiet).table)

    assert found.order("is").tolist() == [0, 1, 2]
    assert (found.in_sample.trials.count, found.in_sample.trials.distinct) == (1, 1)
    assert found.agreement is None
    assert np.isnan(found.in_sample.net_per_trade).tolist() == [False, True, True]


def test_where_nobody_trades_nothing_is_said(tmp_path: Path) -> None:
    sweep = small_sweep(sets=("adx_min=99,100",))
    found = judge(sweep, run_sweep(sweep, candles(), tmp_path, in_this_process, quiet).table)

    assert found.best("is") is None
    assert [choice.setting for choice in found.walk_forward.choices] == [None] * 3
    assert (found.walk_forward.sharpe, found.walk_forward.trades) == (None, 0)


def test_the_map_pools_everything_but_its_axes(run: SweepRun, frame: pd.DataFrame) -> None:
    heat = heat_map(run.sweep, run.table, "stop_atr", "adx_min")
    cell = frame[(frame.stop_atr == 2) & (frame.adx_min == 25)]

    assert (heat.x, heat.y) == (("1", "2"), ("10", "15", "20", "25", "30"))
    for kind, values, trades in (
        ("is", heat.in_sample, heat.in_sample_trades),
        ("oos", heat.out_of_sample, heat.out_of_sample_trades),
    ):
        part = cell[cell.segment == kind]
        assert trades[3, 1] == part.trades.sum()
        assert values[3, 1] == pytest.approx(part.net_r.sum() / part.trades.sum())


def test_axes_are_those_with_the_most_values_and_many_values_are_grouped() -> None:
    assert heat_axes(small_sweep()) == ("stop_atr", "adx_min")
    assert heat_axes(small_sweep(), ("cooldown_bars", "stop_atr")) == ("cooldown_bars", "stop_atr")
    assert heat_axes(small_sweep(sets=("adx_min=10,20", "stop_atr=2"))) == ("window", "adx_min")
    with pytest.raises(UsageError, match="--axes max_bars was not varied; these were: adx_min, stop_atr"):
        heat_axes(small_sweep(), ("max_bars",))
    with pytest.raises(UsageError, match="two values or more"):
        heat_axes(small_sweep(sets=("adx_min=10",)))


def test_more_values_than_cells_become_groups(tmp_path: Path) -> None:
    sweep = small_sweep(sets=("adx_min=10:29:0.5",))
    heat = heat_map(sweep, run_sweep(sweep, candles(), tmp_path, in_this_process, quiet).table, "window", "adx_min")

    assert len(heat.y) == 16
    assert heat.y[0] == "10–11"
    assert heat.x == ("1", "2", "3")
