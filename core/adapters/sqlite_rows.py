"""Decisions and follows as rows of their tables, and back."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from core.adapters.sqlite_database import Row
from core.domain.account import Position
from core.domain.candles import Pair
from core.domain.ledger import DecisionRecord, FollowRecord, Seen
from core.domain.trading import (
    Direction,
    ExitReason,
    Follow,
    FollowKind,
    Leg,
    Levels,
    Neighbour,
    Regime,
    Ruling,
    Snapshot,
    Verdict,
)
from core.ports import Outcome

DECISION = (
    "decision_id", "pair", "timeframe", "open_time", "direction", "is_signal", "status", "reason", "snapshot",
    "decided_at", "quantity", "risk_amount", "gemini_approve", "gemini_confidence", "gemini_reasoning",
    "gemini_source", "ml_probability", "ml_average", "model_id", "influence_weight", "combined_confidence",
    "btc_correlation", "timeframe_alignment", "gemini_prompt_tokens", "gemini_output_tokens", "ml_rank",
    "ml_size_rank", "features", "reasons", "neighbours",
)  # fmt: skip
FOLLOW = (
    "follow_id", "decision_id", "kind", "pair", "direction", "entry_time", "last_time", "entry", "stop", "tp1", "tp2",
    "tp3", "bars", "remaining", "targets_hit", "realized_r", "mfe_r", "mae_r", "ambiguous", "exit_reason",
    "exit_price", "exit_time", "quantity", "entry_fill", "risk_amount", "mark", "pnl", "r_net", "missing",
)  # fmt: skip

# ``asdict`` would copy every value deeply: most of what writing a decision takes.
_SNAPSHOT = tuple(f.name for f in fields(Snapshot))
_NEIGHBOUR = tuple(f.name for f in fields(Neighbour))


def decision_values(record: DecisionRecord) -> tuple[Any, ...]:
    values = {name: getattr(record, name) for name in DECISION}
    values |= {
        "pair": str(record.pair),
        "snapshot": json.dumps(_without_nan({name: getattr(record.snapshot, name) for name in _SNAPSHOT})),
        "features": json.dumps(_without_nan(record.features)),
        "reasons": json.dumps(record.reasons),
        "neighbours": json.dumps([{name: getattr(n, name) for name in _NEIGHBOUR} for n in record.neighbours]),
    }
    return tuple(values.values())


def _without_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and v != v else v for k, v in values.items()}


def follow_values(record: FollowRecord) -> tuple[Any, ...]:
    follow, levels = record.follow, record.follow.levels
    return (
        record.follow_id, record.decision_id, record.kind, str(record.pair), levels.direction, follow.entry_time,
        record.last_time, levels.entry, levels.stop, *levels.targets, follow.bars, follow.remaining,
        follow.targets_hit, follow.realized_r, follow.mfe_r, follow.mae_r, follow.ambiguous, follow.exit_reason,
        follow.exit_price, follow.exit_time, record.quantity, record.entry_fill, record.risk_amount, record.mark,
        record.pnl, record.r_net, record.missing,
    )  # fmt: skip


def snapshot_from_json(text: str) -> Snapshot:
    values: dict[str, Any] = _with_nan(json.loads(text))
    return Snapshot(**(values | {"regime": Regime(values["regime"])}))


def follow_from_row(row: Row, legs: Iterable[Leg]) -> FollowRecord:
    levels = Levels(Direction(row["direction"]), row["entry"], row["stop"], (row["tp1"], row["tp2"], row["tp3"]))
    follow = Follow(
        levels=levels,
        entry_time=row["entry_time"],
        bars=row["bars"],
        remaining=row["remaining"],
        targets_hit=row["targets_hit"],
        realized_r=row["realized_r"],
        mfe_r=row["mfe_r"],
        mae_r=row["mae_r"],
        ambiguous=bool(row["ambiguous"]),
        legs=tuple(legs),
        exit_reason=ExitReason(row["exit_reason"]) if row["exit_reason"] else None,
        exit_price=row["exit_price"],
        exit_time=row["exit_time"],
    )
    return FollowRecord(
        follow_id=row["follow_id"],
        decision_id=row["decision_id"],
        kind=FollowKind(row["kind"]),
        pair=Pair.parse(row["pair"]),
        follow=follow,
        last_time=row["last_time"],
        quantity=row["quantity"],
        entry_fill=row["entry_fill"],
        risk_amount=row["risk_amount"],
        mark=row["mark"],
        pnl=row["pnl"],
        r_net=row["r_net"],
        missing=row["missing"],
    )


def position_of(record: FollowRecord) -> Position:
    return Position(
        trade_id=record.follow_id,
        pair=record.pair,
        direction=record.follow.levels.direction,
        quantity=record.quantity,
        entry_fill=record.entry_fill,
        risk_amount=record.risk_amount,
        follow=record.follow,
        mark=record.mark,
        pnl=record.pnl,
    )


def decision_from_row(row: Row, verdicts: tuple[Verdict, ...]) -> DecisionRecord:
    values = {name: row[name] for name in DECISION}
    approve = row["gemini_approve"]
    values |= {
        "pair": Pair.parse(row["pair"]),
        "direction": Direction(row["direction"]),
        "is_signal": bool(row["is_signal"]),
        "snapshot": snapshot_from_json(row["snapshot"]),
        "gemini_approve": None if approve is None else bool(approve),
        "verdicts": verdicts,
        "features": _with_nan(json.loads(row["features"])),
        "reasons": tuple((name, value, share) for name, value, share in json.loads(row["reasons"])),
        "neighbours": tuple(
            Neighbour(**(n | {"direction": Direction(n["direction"])})) for n in json.loads(row["neighbours"])
        ),
    }
    return DecisionRecord(**values)


def decisions_of(rows: Sequence[Row], verdict_rows: Sequence[Row]) -> list[DecisionRecord]:
    """Some 50 microseconds each: many of them are read off the event loop."""
    verdicts: dict[int, list[Verdict]] = defaultdict(list)
    for row in verdict_rows:
        verdicts[row["decision_id"]].append(
            Verdict(row["layer"], row["rule"], Ruling(row["ruling"]), row["number"], row["sentence"])
        )
    return [decision_from_row(row, tuple(verdicts[row["decision_id"]])) for row in rows]


def follows_of(rows: Sequence[Row], leg_rows: Sequence[Row]) -> list[FollowRecord]:
    legs: dict[int, list[Leg]] = defaultdict(list)
    for row in leg_rows:
        legs[row["follow_id"]].append(Leg(row["name"], row["time"], row["price"], row["fraction"], row["r"]))
    return [follow_from_row(row, legs[row["follow_id"]]) for row in rows]


def seen_of(rows: Sequence[Row]) -> list[Seen]:
    return [Seen(row["open_time"], _with_nan(json.loads(row["features"])), row["ml_probability"]) for row in rows]


def outcomes_of(rows: Sequence[Row]) -> list[Outcome]:
    return [
        Outcome(
            open_time=row["open_time"],
            timeframe=row["timeframe"],
            pair=row["pair"],
            direction=Direction(row["direction"]),
            probability=row["ml_probability"],
            model_id=row["model_id"],
            is_trade=row["kind"] == "trade",
            exit_time=row["exit_time"],
            realized_r=row["realized_r"],
            decided_at=row["decided_at"],
        )
        for row in rows
    ]


def curve_of(rows: Sequence[Row]) -> list[tuple[int, float]]:
    return [(row["time"], row["equity"]) for row in rows]


def _with_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: float("nan") if v is None else v for k, v in values.items()}
