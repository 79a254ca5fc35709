"""Every row of a sweep is what the backtest gives for that setting, pair and part."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from core.domain.candles import Candles, Pair
from core.engine.metrics import max_drawdown
from core.services.backtest import run_backtest
from core.services.sweep import evaluate
from core.services.sweep.evaluate import evaluate_chunk
from core.services.sweep.plan import Sweep
from tests.core.services.sweep.shelf import BASE, DAY, SETS, candles, small_sweep
from tests.markets import LINK, walk

HELD = candles()


def compare(sweep: Sweep, every: int = 1, held: Mapping[Pair, Candles] = HELD) -> int:
    """Checks the sweep's rows (every so many of them) against the backtest; how many trades they had."""
    trades = 0
    segments = {(s.window + 1, s.kind): s for s in sweep.ground.segments}
    for chunk in sweep.chunks():
        rows = evaluate_chunk(sweep.ground, held, chunk)
        for index in range(0, len(rows["setting"]), every):
            row = {name: values[index] for name, values in rows.items()}
            pair = next(p for p in held if str(p) == row["pair"])
            segment = segments[row["window"], row["segment"]]
            settings = sweep.settings[row["setting"]].of(BASE)
            result = run_backtest({pair: held[pair]}, settings, segment.start_ms, segment.end_ms)
            (part,) = result.parts
            net, gross = part.net_r, part.outcomes.realized_r
            total = result.summary["total"]
            assert (row["trades"], row["wins"], row["wins_net"]) == (total["signals"], total["wins"], total["wins_net"])
            assert (row["gross_r"], row["net_r"]) == (total["realized_r"], total["realized_r_net"])
            assert (row["gap_ended"], row["ambiguous"]) == (total["gap_ended"], int(part.outcomes.ambiguous.sum()))
            assert row["net_r_squares"] == float((net**2).sum())
            assert row["max_drawdown_r"] == max_drawdown(np.cumsum([0, *net]))
            days = part.candles.time[part.entries.row] // DAY
            assert row["day"] == sorted(set(days.tolist()))
            assert row["day_net_r"] == pytest.approx([net[days == day].sum() for day in row["day"]])
            trades += len(gross)
    return trades


def test_every_row_is_the_backtests() -> None:
    assert compare(small_sweep(), every=7) > 100


@pytest.mark.parametrize(
    "sets",
    [
        ("warmup_bars=50,400", "max_bars=20,100", "adx_min=0,20"),
        ("fills=reference,pessimistic", "breakeven_after_tp1=true,false", "fee_rate=0,0.002", "slippage_rate=0,0.001"),
        ("rsi_short_min=0,45", "volume_ratio_min=0,1.2", "cooldown_bars=0,3,50"),
    ],
)
def test_so_is_every_row_for_any_other_setting(sets: tuple[str, ...]) -> None:
    assert compare(small_sweep(sets=sets), every=3) > 30


def test_a_signal_counts_when_just_enough_candles_of_its_part_are_left_and_not_with_one_fewer() -> None:
    held = {LINK: HELD[LINK]}
    part = small_sweep(held, windows=1).ground.segments[0]
    last = int(np.searchsorted(HELD[LINK].time, part.end_ms))
    all_signals = run_backtest(held, BASE, part.start_ms, part.end_ms).parts[0].entries.row
    left = last - int(all_signals[-1])  # rows of the part from its last signal on, this one counted

    sweep = small_sweep(held, (f"max_bars={left - 1},{left}",), windows=1)
    rows = evaluate_chunk(sweep.ground, held, sweep.chunks()[0])
    trades = [n for n, kind in zip(rows["trades"], rows["segment"], strict=True) if kind == "is"]

    assert trades == [len(all_signals), len(all_signals) - 1]
    assert compare(sweep, held=held) > 0


def test_a_gap_that_ends_trades_is_counted_as_in_the_backtest() -> None:
    held = {LINK: walk(3000, seed=5, gaps=dict.fromkeys(range(200, 3000, 100), 30))}
    sweep = small_sweep(held, ("adx_min=0", "cooldown_bars=0", "volume_ratio_min=0", "max_bars=90"), windows=1)
    rows = evaluate_chunk(sweep.ground, held, sweep.chunks()[0])

    assert compare(sweep, held=held) > 0
    assert sum(rows["gap_ended"]) > 0


def test_no_trade_is_open_where_a_part_ends() -> None:
    """Doubling what comes after the in-sample part changes nothing in it."""
    sweep = small_sweep(windows=1)
    cut = sweep.ground.segments[0].end_ms
    held = {}
    for pair, c in HELD.items():
        late = c.time >= cut
        twice = {n: np.where(late, 2 * getattr(c, n), getattr(c, n)) for n in ("open", "high", "low", "close")}
        held[pair] = type(c)(c.pair, c.timeframe, c.time, volume=c.volume, **twice)
    other = small_sweep(held, windows=1)

    one, two = (evaluate_chunk(s.ground, h, s.chunks()[0]) for s, h in ((sweep, HELD), (other, held)))
    seen = [i for i, kind in enumerate(one["segment"]) if kind == "is"]
    assert sum(one["trades"][i] for i in seen) > 100
    assert all(one[name][i] == two[name][i] for name in one for i in seen)
    assert one["net_r"] != two["net_r"]


def test_results_do_not_depend_on_what_is_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = small_sweep(sets=SETS[:3])
    (chunk,) = sweep.chunks()
    plenty = evaluate_chunk(sweep.ground, HELD, chunk)
    evaluate._prepared.clear()
    monkeypatch.setattr(evaluate, "_KEPT_PAIRS", 1)
    monkeypatch.setattr(evaluate, "_KEPT_EXITS", 1)

    assert evaluate_chunk(sweep.ground, HELD, chunk) == plenty
    assert len(evaluate._prepared) == 1
