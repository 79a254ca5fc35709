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
from core.errors import UsageError
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


AUDIT_COLUMNS = ("entry_id", "time", "user_id", "user_name", "action", "detail", "previous", "hash")
"""Who did what and when; each hash is over the entry and the hash before it."""

KINDS = ("trades", "shadows", "decisions", "signals", "audit")


def export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=(*KINDS, "all"), help="what to export; all: these and every table, in a folder")
    parser.add_argument(
        "--ledger", type=Path, metavar="FILE", help="a ledger (default: the bot's in the data directory)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="F.csv", help="the file, for all the folder (default: below <data-dir>/export)"
    )


def export(args: argparse.Namespace, context: Context) -> int:
    """Writes it, also while the bot runs. Exit 1 where the audit log is among it and its chain is broken."""
    path = args.ledger or bootstrap.ledger_path(context.data_dir)
    folder = context.data_dir / "export"
    if args.what == "all":
        return _export_all(path, args.out or folder / "all", context)
    rows, columns = asyncio.run(_rows(path, args.what, context.settings))
    out = args.out or folder / f"{args.what}.csv"
    write_rows(out, rows, columns)
    broken = bootstrap.broken_audit_entry(rows) if args.what == "audit" else None
    chain = {"broken_at": broken} if args.what == "audit" else {}
    words = f"; {_chain(broken)}" if chain else ""
    noun = "audit entries" if args.what == "audit" else args.what
    context.result({"rows": len(rows), "out": str(out), **chain}, f"{len(rows)} {noun} written to {out}{words}")
    return 0 if broken is None else 1


def _export_all(path: Path, folder: Path, context: Context) -> int:
    """The five for people, and beside them every table as it is stored."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file; name a folder for all of it")
    counts: dict[str, int] = {}
    broken: int | None = None
    for what in KINDS:
        rows, columns = asyncio.run(_rows(path, what, context.settings))
        write_rows(folder / f"{what}.csv", rows, columns)
        counts[what] = len(rows)
        broken = bootstrap.broken_audit_entry(rows) if what == "audit" else broken
    for name, columns, stored in bootstrap.stored_tables(path):
        write_rows(folder / "tables" / f"{name}.csv", stored, columns)
        counts[f"tables/{name}"] = len(stored)
    told = ", ".join(f"{counts[what]} {'audit entries' if what == 'audit' else what}" for what in KINDS)
    context.result(
        {"rows": counts, "out": str(folder), "broken_at": broken},
        f"{told} and {len(counts) - len(KINDS)} tables written to {folder}; {_chain(broken)}",
    )
    return 0 if broken is None else 1


def _chain(broken: int | None) -> str:
    if broken is None:
        return "the audit log's chain holds: no entry was changed"
    return f"the audit log's chain is broken: entry {broken} was changed after it was written, or one before it is gone"


async def _rows(path: Path, what: str, settings: Settings) -> tuple[Sequence[Row], Sequence[str]]:
    async with bootstrap.open_stores(path) as (ledger, chat):
        if what in ("decisions", "signals"):
            found = await ledger.decisions(signals_only=what == "signals")
            return [_decision_row(d) for d in found], DECISION_COLUMNS
        if what == "audit":
            return [_audit_row(entry) for entry in reversed(await chat.audit_rows())], AUDIT_COLUMNS
        return await _follow_rows(ledger, what == "trades", settings)


def _audit_row(entry: Row) -> Row:
    """An entry as stored; ``time`` (epoch ms) stays a number, for the hash is over it."""
    return {name: entry[name] for name in AUDIT_COLUMNS}


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
