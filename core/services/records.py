"""Decisions and follows as table rows: the backtest's columns for learning, and those of the trade record."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from core.config import Settings
from core.domain.candles import Candles, Pair, iso
from core.domain.trading import Follow, FollowKind, Snapshot
from core.engine.telling import duration_minutes
from core.ml.features import MORE_V2
from core.ports import TradeRow
from core.services.backtest import COLUMNS, SAMPLE_WEIGHT

SOURCES = {
    FollowKind.TRADE: ("trade", 1.0),
    FollowKind.SHADOW_SIGNAL: ("shadow_signal", 1.0),
    FollowKind.SHADOW_CANDIDATE: ("shadow_candidate", 0.5),
}

LEDGER_COLUMNS = (
    *COLUMNS, "kind", "realized_r_net", "outcome_net", "ambiguous", "trade_id", "decision_id", "status", "reason",
    "pair", "entry_btc_correlation", "entry_sma_distance", "entry_timeframe_alignment", "gemini_confidence",
    "gemini_reasoning", "ml_win_probability", "model_id", "influence_weight", "combined_confidence", "last_target",
    "pnl_dollars", "pnl_r_multiple", "max_drawdown_during_trade", "max_profit_during_trade", *MORE_V2,
)  # fmt: skip
"""What ``ledger_row`` gives: the backtest's columns, then the trade record's, then the features as they were stored."""

LIVE_SOURCES = ("trade", "shadow_signal")
"""Sources that count as live outcomes."""


def sample_row(
    signal_id: str, pair: Pair, snapshot: Snapshot, follow: Follow, source: str, weight: float, duration: int
) -> dict[str, object]:
    """One row of the training CSV; an open follow has no exit and no outcome."""
    levels = follow.levels
    values = (
        signal_id, iso(snapshot.open_time), pair.symbol, levels.direction.value, levels.entry, snapshot.atr,
        snapshot.atr_percent, snapshot.rsi, snapshot.adx, snapshot.volume_ratio, snapshot.hurst,
        snapshot.sma_distance_percent, snapshot.regime.value, snapshot.hour, snapshot.day_of_week, levels.stop,
        *levels.targets, follow.exit_price, follow.exit_reason.value if follow.exit_reason else None,
        follow.targets_hit >= 1, follow.targets_hit >= 2, follow.targets_hit >= 3,
        any(leg.name == "STOP" for leg in follow.legs), follow.realized_r if follow.closed else None,
        duration if follow.closed else None, follow.outcome if follow.closed else None, source, weight,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def ledger_row(row: TradeRow, settings: Settings) -> dict[str, object]:
    """A follow of the ledger in the backtest's columns, then the trade record's."""
    decision, record = row.decision, row.follow
    follow = record.follow
    lived = decision.status in ("taken", "refused")
    source, weight = SOURCES[record.kind if lived else FollowKind.SHADOW_CANDIDATE]
    duration = duration_minutes(follow, settings)
    sample = sample_row(
        f"{decision.pair.symbol}_{decision.decision_id}",
        decision.pair,
        decision.snapshot,
        follow,
        source,
        weight,
        duration,
    )
    trade = record.kind is FollowKind.TRADE
    values = (
        *sample.values(), "signal" if decision.is_signal else "candidate", record.r_net,
        None if record.r_net is None else int(record.r_net > 0), follow.ambiguous,
        record.follow_id if trade else None, decision.decision_id, decision.status, decision.reason,
        str(decision.pair), decision.btc_correlation, decision.snapshot.sma_distance_percent,
        decision.timeframe_alignment, decision.gemini_confidence, decision.gemini_reasoning, decision.ml_probability,
        decision.model_id, decision.influence_weight, decision.combined_confidence,
        f"TP{follow.targets_hit}" if follow.targets_hit else "", record.pnl if trade else None, record.r_net,
        follow.mae_r, follow.mfe_r, *(decision.features.get(name, math.nan) for name in MORE_V2),
    )  # fmt: skip
    return dict(zip(LEDGER_COLUMNS, values, strict=True))


def replay_row(row: TradeRow, candles: Candles, settings: Settings) -> dict[str, object]:
    """A follow of a replay as the backtest would give it: not lived through, so it counts as history.

    ``candles`` are those the replay was given, from which ``signal_id`` counts.
    """
    number = int(np.searchsorted(candles.time, row.decision.open_time))
    name = f"{row.decision.pair.symbol}_{number}"
    return ledger_row(row, settings) | {"signal_id": name, "source": "backtest", "sample_weight": SAMPLE_WEIGHT}


def closed_samples(rows: Iterable[TradeRow], settings: Settings) -> list[dict[str, object]]:
    """What the ledger can teach: every closed follow but those ended by a gap or by hand."""
    return [
        ledger_row(row, settings)
        for row in rows
        if row.follow.follow.exit_reason is not None and row.follow.follow.exit_reason.value not in ("GAP", "MANUAL")
    ]
