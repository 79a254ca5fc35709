from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.config import Paper, Settings, Strategy
from core.domain.candles import Candles, Pair, Timeframe
from core.domain.trading import ExitReason, FollowKind
from core.engine.fills import advance, begin, net_r
from core.engine.outcomes import EXITS
from core.services.backtest import COLUMNS, TABLE_COLUMNS, Backtest, History, run_backtest, stored_candles
from tests.markets import LINK, M15, START, walk

LOOSE = Settings(strategy=Strategy(adx_min=15, volume_ratio_min=0.5))
DESIGN = [
    *("signal_id", "timestamp", "symbol", "direction"),
    *("entry_price", "entry_atr", "entry_atr_percent", "entry_rsi", "entry_adx", "entry_volume_ratio", "entry_hurst"),
    *("entry_sma_distance_percent", "entry_regime", "entry_hour", "entry_day_of_week"),
    *("stop_loss", "tp1", "tp2", "tp3", "exit_price", "exit_reason", "tp1_hit", "tp2_hit", "tp3_hit", "sl_hit"),
    *("realized_r", "duration_minutes", "outcome", "source", "sample_weight"),
]


def at(row: int) -> int:
    return START + row * M15.ms


def run(
    market: Candles,
    start: int | None = None,
    end: int | None = None,
    history: History = "all",
    candidates: bool = False,
    settings: Settings = LOOSE,
) -> Backtest:
    return run_backtest({market.pair: market}, settings, start, end, history=history, candidates=candidates)


MARKET = walk(3000, seed=6)


def test_the_columns_are_those_promised() -> None:
    table = run(MARKET).table()

    assert list(COLUMNS) == DESIGN
    assert list(table.columns) == list(TABLE_COLUMNS)
    assert len(table) > 10


def test_the_file_reads_back_as_the_table(tmp_path: Path) -> None:
    result = run(MARKET, candidates=True)

    result.write_csv(tmp_path / "new" / "data.csv")

    read = pd.read_csv(tmp_path / "new" / "data.csv")
    pd.testing.assert_frame_equal(read, result.table(), check_exact=True, check_dtype=False)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["data.csv"]


def test_the_file_speaks_as_promised(tmp_path: Path) -> None:
    run(MARKET).write_csv(tmp_path / "data.csv")

    with (tmp_path / "data.csv").open() as file:
        row = next(csv.DictReader(file))
    assert row["timestamp"].endswith("Z")
    assert row["symbol"] == "LINKUSDT"
    assert row["sl_hit"] in {"True", "False"}
    assert row["bars_since_signal"] == ""
    assert repr(float(row["entry_atr"])) == row["entry_atr"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.csv"
    path.write_text("old")
    monkeypatch.setattr(Backtest, "training_columns", lambda self: {"a": [1, 2], "b": [1]})

    with pytest.raises(ValueError, match="shorter"):
        run(MARKET).write_csv(path)

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_each_trade_is_what_the_bar_by_bar_kernel_makes_of_it() -> None:
    result = run(MARKET, candidates=True)

    for trade in result.trades:
        follow = begin(trade.candidate.levels, trade.candidate.open_time)
        row = trade.row
        while not follow.closed:
            row += 1
            follow = advance(follow, MARKET.candle(row))
        assert trade.follow == follow
        assert trade.realized_r_net == net_r(follow.levels, follow.legs, 0.0005, 0.0005)
        assert trade.candidate.is_signal == (trade.kind is FollowKind.SHADOW_SIGNAL)
        assert trade.signal_id == f"LINKUSDT_{trade.row}"


def test_candidates_hold_the_signals_and_more() -> None:
    few, many = run(MARKET), run(MARKET, candidates=True)

    signals = [t for t in many.trades if t.kind is FollowKind.SHADOW_SIGNAL]
    assert signals == list(few.trades)
    assert len(many) > 2 * len(few)
    assert many.summary["total"]["signals"] == few.summary["total"]["signals"] == len(few)
    assert many.summary["total"]["candidates"]["count"] == len(many)
    assert set(many.table()["kind"]) == {"signal", "candidate"}


def test_the_summary_adds_up_and_is_json() -> None:
    other = dataclasses.replace(walk(3000, seed=7), pair=Pair.parse("ETH/USDT"))
    result = run_backtest({LINK: MARKET, other.pair: other}, LOOSE)
    table, summary = result.table(), json.loads(json.dumps(result.summary, allow_nan=False))

    assert list(summary["pairs"]) == ["LINK/USDT", "ETH/USDT"]
    for key in ("signals", "wins", "realized_r", "realized_r_net", "gap_ended"):
        parts = [summary["pairs"][pair][key] for pair in summary["pairs"]]
        assert summary["total"][key] == pytest.approx(sum(parts))
    assert summary["total"]["signals"] == len(table)
    assert summary["total"]["wins"] == table["outcome"].sum()
    assert summary["total"]["win_rate"] == pytest.approx(table["outcome"].mean())
    won = table["realized_r"].clip(lower=0).sum()
    assert summary["total"]["profit_factor"] == pytest.approx(won / (won - table["realized_r"].sum()))
    assert summary["ambiguous_share"] == pytest.approx(table["ambiguous"].mean())
    assert summary["from"] == "2024-01-01T00:00:00Z"
    regimes = table.groupby("entry_regime")["realized_r"].sum().to_dict()
    assert {name: part["realized_r"] for name, part in summary["by"]["regime"].items()} == pytest.approx(regimes)
    hours = table.groupby(table["timestamp"].str[11:13]).size().to_dict()
    assert {name: part["signals"] for name, part in summary["by"]["hour"].items()} == hours
    months = table.groupby(table["timestamp"].str[:7])["outcome"].sum().to_dict()
    assert {name: part["wins"] for name, part in summary["by"]["month"].items()} == months


def test_every_figure_is_worked_out_from_the_table() -> None:
    """Wild candles, dear trading, two months: gross and net tell different stories."""
    reach = np.where(np.arange(3000) % 80 == 0, 0.03, 0.0) * MARKET.close
    later = MARKET.time + 15 * 96 * M15.ms
    wild = dataclasses.replace(MARKET, time=later, high=MARKET.high + reach, low=MARKET.low - reach)
    dear = LOOSE.model_copy(update={"paper": Paper(fee_rate=0.001, slippage_rate=0.0015)})
    result = run(wild, candidates=True, settings=dear)
    table, summary = result.table(), result.summary

    def figures(rows: pd.DataFrame) -> dict[str, float | None]:
        found: dict[str, float | None] = {"win_rate": (rows.realized_r > 0).mean()}
        found["ambiguous_share"] = rows.ambiguous.mean()
        for name, r in (("", rows.realized_r), ("_net", rows.realized_r_net)):
            lost = -r[r < 0].sum()
            found |= {f"wins{name}": (r > 0).sum(), f"realized_r{name}": r.sum()}
            found[f"profit_factor{name}"] = r[r > 0].sum() / lost if lost else None
        return found

    signals = table[table.kind == "signal"]
    expected = figures(signals)
    assert expected["ambiguous_share"] not in (0, 1)
    assert {name: summary["total"][name] for name in expected} == pytest.approx(expected)
    everything = figures(table)
    assert everything["wins_net"] != everything["wins"]
    assert {name: summary["total"]["candidates"][name] for name in everything} == pytest.approx(everything)
    keys = {"regime": signals.entry_regime, "hour": signals.timestamp.str[11:13], "month": signals.timestamp.str[:7]}
    for name, key in keys.items():
        assert set(summary["by"][name]) == set(key)
        assert len(set(key)) > 1
        for group, rows in signals.groupby(key):
            wanted = figures(rows)
            assert {what: summary["by"][name][group][what] for what in wanted} == pytest.approx(wanted)


def test_with_the_targets_first_only_ambiguous_trades_are_better() -> None:
    reach = np.where(np.arange(3000) % 20 == 0, 0.08, 0.0) * MARKET.close
    wild = dataclasses.replace(MARKET, high=MARKET.high + reach, low=MARKET.low - reach)
    result = run(wild, candidates=True)
    part = result.parts[0]
    other = part.target_first(LOOSE)

    better = other.outcomes.realized_r > part.outcomes.realized_r
    assert 0 < result.summary["ambiguous_share"] < 1
    assert np.array_equal(better, part.outcomes.ambiguous)
    assert np.array_equal(other.outcomes.exit_row, part.outcomes.exit_row)
    assert np.array_equal(other.net_r > part.net_r, better)
    signals = part.entries.is_signal
    assert result.summary["target_first"]["realized_r"] == pytest.approx(other.outcomes.realized_r[signals].sum())


def test_without_signals_nothing_is_claimed() -> None:
    summary = run(walk(200)).summary

    assert summary["total"]["signals"] == 0
    assert summary["total"]["win_rate"] is None
    assert summary["total"]["profit_factor"] is None
    assert summary["ambiguous_share"] is None


def test_empty_candles_give_an_empty_table() -> None:
    result = run(Candles.empty(LINK, M15))

    assert len(result) == 0
    assert list(result.table().columns) == list(TABLE_COLUMNS)


def test_nothing_from_the_end_on_is_looked_at() -> None:
    end = at(2000)
    changed = MARKET.between(None, end).joined(walk(3000, seed=9, price=5.0).between(end, None))

    assert run(changed, end=end).trades == run(MARKET, end=end).trades
    assert max(t.row for t in run(MARKET, end=end, candidates=True).trades) < 2000 - 100


def test_an_entry_needs_a_hundred_candles_after_it() -> None:
    last = run(MARKET).trades[-1].row

    assert run(MARKET, end=at(last + 101)).trades[-1].row == last
    assert last not in {t.row for t in run(MARKET, end=at(last + 100)).trades}


def test_history_none_knows_nothing_before_the_start() -> None:
    start = at(1000)
    changed = walk(3000, seed=9, price=5.0).between(None, start).joined(MARKET.between(start, None))

    cold = run(MARKET, start=start, history="none", candidates=True)

    assert cold.trades == run(changed, start=start, history="none", candidates=True).trades
    assert min(t.row for t in cold.trades) >= 50
    assert all(t.candidate.open_time >= at(1050) for t in cold.trades)


def test_history_all_is_warm_at_the_start() -> None:
    start = at(1000)

    warm = run(MARKET, start=start, candidates=True)
    whole = run(MARKET, candidates=True)

    entries = {t.candidate.open_time for t in whole.trades if t.candidate.open_time >= start}
    assert {t.candidate.open_time for t in warm.trades} == entries
    assert all(t.row >= 1000 for t in warm.trades)
    assert warm.trades[0].candidate.verdicts[-1].number is None  # the cooldown begins here


def test_a_trade_that_a_gap_ends_is_counted_and_left_out() -> None:
    first = next(t for t in run(MARKET).trades if t.follow.bars > 5)
    cut = first.row + 3
    gapped = dataclasses.replace(MARKET, time=np.where(np.arange(3000) >= cut, MARKET.time + 20 * M15.ms, MARKET.time))

    result = run(gapped)

    assert result.summary["total"]["gap_ended"] == 1
    assert first.row not in {t.row for t in result.trades}
    assert all(t.follow.exit_reason is not ExitReason.GAP for t in result.trades)
    assert not {t.row for t in run(gapped, candidates=True).trades} & set(range(cut, cut + 50))


def test_of_candidates_that_a_gap_ends_the_signals_alone_are_counted() -> None:
    holed = walk(3000, seed=6, gaps=dict.fromkeys(range(150, 3000, 150), 20))
    both = run(holed, candidates=True)

    assert (both.parts[0].market.outcomes.exit == EXITS.index(ExitReason.GAP)).sum() > both.parts[0].gap_ended
    assert both.summary["total"]["gap_ended"] == run(holed).summary["total"]["gap_ended"] > 0


def test_signals_too_near_the_end_are_counted_and_left_out() -> None:
    whole = run(MARKET)
    last = whole.trades[-1]
    cut = MARKET.rows(0, last.row + 100)

    shorter = run(cut)

    assert [t.row for t in shorter.trades] == [t.row for t in whole.trades[:-1]]
    assert (shorter.summary["total"]["too_new"], run(MARKET.rows(0, last.row + 101)).summary["total"]["too_new"]) == (
        1,
        0,
    )


def test_a_short_gap_counts_minutes_and_not_rows() -> None:
    first = next(t for t in run(MARKET).trades if t.follow.bars > 5)
    cut = first.row + 3
    gapped = dataclasses.replace(MARKET, time=np.where(np.arange(3000) >= cut, MARKET.time + 5 * M15.ms, MARKET.time))

    row = run(gapped).table().set_index("signal_id").loc[first.signal_id]

    assert row["bars"] == first.follow.bars
    assert row["duration_minutes"] == (first.follow.bars + 5) * 15


def test_settings_reach_the_fills() -> None:
    pessimistic = Settings(fills="pessimistic", strategy=LOOSE.strategy)
    breakeven = Settings(strategy=Strategy(**{**LOOSE.strategy.model_dump(), "breakeven_after_tp1": True}))

    assert (
        run(MARKET, settings=pessimistic).summary["total"]["realized_r"] <= (run(MARKET).summary["total"]["realized_r"])
    )
    assert run(MARKET, settings=breakeven).trades != run(MARKET).trades


class Shelf:
    """A candle store that holds one market."""

    def load(self, pair: Pair, timeframe: Timeframe, start_ms: int | None = None, end_ms: int | None = None) -> Candles:
        return MARKET.between(start_ms, end_ms) if pair == LINK else Candles.empty(pair, timeframe)

    def save(self, candles: Candles) -> int:
        return 0

    def pairs(self, timeframe: Timeframe) -> tuple[Pair, ...]:
        return (LINK,)


def test_stored_candles_come_with_their_past_and_without_their_future() -> None:
    found = stored_candles(Shelf(), [LINK, Pair.parse("ETH/USDT")], M15, at(500), at(900))

    assert list(found) == [LINK]
    assert (found[LINK].time[0], found[LINK].time[-1]) == (at(0), at(899))
    assert stored_candles(Shelf(), [LINK], M15, at(5000), None) == {}
