"""``julaba export``: the ledger as CSV."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from core import bootstrap
from core.cli import Context
from core.config import Settings
from core.errors import UsageError
from core.services.exports import KINDS, NOUNS, Row, table_of
from core.services.tables import write_rows


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
    noun = NOUNS.get(args.what, args.what)
    context.result({"rows": len(rows), "out": str(out), **chain}, f"{len(rows)} {noun} written to {out}{words}")
    return 0 if broken is None else 1


def _export_all(path: Path, folder: Path, context: Context) -> int:
    """The six for people, and beside them every table as it is stored."""
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
    told = ", ".join(f"{counts[what]} {NOUNS.get(what, what)}" for what in KINDS)
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
        return await table_of(what, ledger, chat, settings)
