"""``julaba export``: the ledger as CSV."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from core import bootstrap
from core.cli import Context
from core.config import Settings
from core.domain.candles import iso
from core.domain.ledger import DecisionRecord
from core.domain.trading import FollowKind
from core.ports import Ledger
from core.services.records import LEDGER_COLUMNS, ledger_row
from core.services.tables import write_rows

Row = Mapping[str, object]

TRADE_COLUMNS = (
    "trade_id", "timestamp", "pair", "direction", "entry_price", "entry_regime", "entry_atr", "entry_rsi", "entry_adx",
    "entry_volume_ratio", "entry_btc_correlation", "entry_hurst", "entry_sma_distance", "entry_timeframe_alignment",
    "gemini_confidence", "gemini_reasoning", "ml_win_probability", "model_id", "influence_weight",
    "combined_confidence", "exit_price", "exit_reason", "last_target", "pnl_dollars", "pnl_r_multiple",
    "duration_minutes", "max_drawdown_during_trade", "max_profit_during_trade", "outcome",
)  # fmt: skip
"""The trade record (DESIGN 7), in its order."""

DECISION_COLUMNS = tuple(f.name for f in fields(DecisionRecord) if f.name not in ("snapshot", "verdicts"))
"""What a decision has of its own; behind it a column for each verdict."""


def export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("trades", "shadows", "decisions"), help="what to export")
    parser.add_argument(
        "--ledger", type=Path, metavar="FILE", help="a ledger (default: the bot's in the data directory)"
    )
    parser.add_argument("--out", type=Path, metavar="F.csv", help="the file (default: <data-dir>/export/<what>.csv)")


def export(args: argparse.Namespace, context: Context) -> int:
    path = args.ledger or bootstrap.ledger_path(context.data_dir)
    rows, columns = asyncio.run(_rows(path, args.what, context.settings))
    out = args.out or context.data_dir / "export" / f"{args.what}.csv"
    write_rows(out, rows, columns)
    context.result({"rows": len(rows), "out": str(out)}, f"{len(rows)} {args.what} written to {out}")
    return 0


async def _rows(path: Path, what: str, settings: Settings) -> tuple[Sequence[Row], Sequence[str]]:
    async with bootstrap.open_ledger(path) as ledger:
        if what == "decisions":
            return [_decision_row(d) for d in await ledger.decisions()], DECISION_COLUMNS
        return await _follow_rows(ledger, what == "trades", settings)


async def _follow_rows(ledger: Ledger, trades: bool, settings: Settings) -> tuple[Sequence[Row], Sequence[str]]:
    rows = [r for r in await ledger.trade_rows() if (r.follow.kind is FollowKind.TRADE) is trades]
    tables = [ledger_row(r, settings) for r in rows]
    if trades:
        return [{name: row[name] for name in TRADE_COLUMNS} for row in tables], TRADE_COLUMNS
    return tables, LEDGER_COLUMNS


def _decision_row(decision: DecisionRecord) -> Row:
    """A decision with every layer's verdict in a column of its own: ``ruling: sentence``."""
    values = asdict(decision)
    del values["snapshot"], values["verdicts"]
    row: dict[str, object] = values | {
        "pair": str(decision.pair),
        "open_time": iso(decision.open_time),
        "decided_at": iso(decision.decided_at),
    }
    return row | {f"{v.layer}.{v.rule}": f"{v.ruling.value}: {v.sentence}" for v in decision.verdicts}
