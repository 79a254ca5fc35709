"""Rows of the ledger as tables: the promised columns, nothing for what is not known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.domain.ledger import DecisionRecord, FollowRecord
from core.domain.trading import Direction, ExitReason, FollowKind
from core.engine import fills
from core.ports import TradeRow
from core.services.backtest import COLUMNS
from core.services.records import LEDGER_COLUMNS, LIVE_SOURCES, SOURCES, closed_samples, ledger_row
from tests.core.engine.trades import candidate
from tests.ledgers import settings
from tests.markets import LINK, M15, START, bar

TRADE_RECORD = (
    *("timestamp", "pair", "direction", "entry_price", "entry_regime", "entry_atr", "entry_rsi", "entry_adx"),
    *("entry_volume_ratio", "entry_btc_correlation", "entry_hurst", "entry_sma_distance", "entry_timeframe_alignment"),
    *("gemini_confidence", "gemini_reasoning", "ml_win_probability", "model_id", "influence_weight"),
    *("combined_confidence", "exit_price", "exit_reason", "last_target", "pnl_dollars", "pnl_r_multiple"),
    *("duration_minutes", "max_drawdown_during_trade", "max_profit_during_trade", "outcome", "trade_id"),
)


def row(kind: FollowKind = FollowKind.TRADE, *candles: Any, **changes: Any) -> TradeRow:
    """A LONG from 100 with its stop at 98, after these candles."""
    one = candidate(LINK)
    follow = fills.begin(one.levels, START)
    for candle in candles:
        follow = fills.advance(follow, candle)
    decision = DecisionRecord(
        decision_id=5,
        pair=LINK,
        timeframe="15m",
        open_time=START,
        direction=Direction.LONG,
        is_signal=kind is not FollowKind.SHADOW_CANDIDATE,
        status="taken",
        reason="",
        snapshot=one.snapshot,
        verdicts=(),
        decided_at=START + M15.ms,
        **changes,
    )
    r_net = -1.1 if follow.closed else None
    return TradeRow(decision, FollowRecord(9, 5, kind, LINK, follow, START, pnl=-220.0, r_net=r_net))


STOPPED = (bar(1, 100, 103.5, 99, 103), bar(2, 103, 103, 97, 98))


def test_the_columns_are_the_training_data_s_and_then_the_trade_record_s() -> None:
    found = ledger_row(row(FollowKind.TRADE, *STOPPED), settings())

    assert tuple(found) == LEDGER_COLUMNS
    assert LEDGER_COLUMNS[: len(COLUMNS)] == COLUMNS
    assert set(TRADE_RECORD) <= set(LEDGER_COLUMNS)


def test_a_closed_trade_is_told_whole() -> None:
    found = ledger_row(row(FollowKind.TRADE, *STOPPED, gemini_confidence=0.8), settings())

    wanted = {
        "signal_id": "LINKUSDT_5",
        "timestamp": "2024-01-01T00:00:00Z",
        "direction": "LONG",
        "exit_reason": "STOP_LOSS",
        "exit_price": 98.0,
        "last_target": "TP1",
        "tp1_hit": True,
        "tp2_hit": False,
        "sl_hit": True,
        "duration_minutes": 30,
        "realized_r": 0.25,
        "outcome": 1,
        "outcome_net": 0,
        "pnl_dollars": -220.0,
        "pnl_r_multiple": -1.1,
        "trade_id": 9,
        "gemini_confidence": 0.8,
        "source": "trade",
        "kind": "signal",
    }
    assert {name: found[name] for name in wanted} == wanted
    assert found["max_profit_during_trade"] == pytest.approx(1.75)


def test_an_open_trade_has_no_exit_and_no_outcome() -> None:
    found = ledger_row(row(), settings())
    empty = ("exit_price", "exit_reason", "realized_r", "realized_r_net", "outcome", "outcome_net", "duration_minutes")
    assert {found[name] for name in empty} == {None}


def test_a_shadow_has_no_money_and_its_own_weight() -> None:
    shadow = ledger_row(row(FollowKind.SHADOW_CANDIDATE, *STOPPED), settings())

    assert (shadow["trade_id"], shadow["pnl_dollars"]) == (None, None)
    assert (shadow["source"], shadow["sample_weight"], shadow["kind"]) == ("shadow_candidate", 0.5, "candidate")
    assert {SOURCES[k][0] for k in (FollowKind.TRADE, FollowKind.SHADOW_SIGNAL)} == set(LIVE_SOURCES)


@pytest.mark.parametrize("reason", [ExitReason.GAP, ExitReason.MANUAL])
def test_what_ended_by_hand_or_at_a_gap_teaches_nothing(reason: ExitReason) -> None:
    closed, still_open = row(FollowKind.TRADE, *STOPPED), row()
    ended = replace(closed, follow=replace(closed.follow, follow=replace(closed.follow.follow, exit_reason=reason)))

    assert closed_samples([ended, still_open], settings()) == []
    assert len(closed_samples([ended, closed, still_open], settings())) == 1
