"""``julaba backup`` and ``julaba restore``: ledger and models as one file, and back."""

from __future__ import annotations

import argparse
from pathlib import Path

from core import bootstrap
from core.cli import Context
from core.domain.backups import Backup
from core.domain.candles import iso, to_ms
from core.errors import StoreError


def backup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "The ledger and the models as one checked file, also while the bot runs."
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="a file or a folder (default: <data-dir>/backups/julaba-<time>.tar.gz)"
    )


def backup(args: argparse.Namespace, context: Context) -> int:
    now = bootstrap.computer_clock().now()
    made = bootstrap.backup_folder(context.data_dir).make(now, by_hand=True, out=args.out)
    context.result(
        _data(made) | {"out": str(made.path), "bytes": made.size, "checked": True},
        f"{made.path} written: {_size(made.size)}, {_words(made)}; it was read back and is whole",
    )
    return 0


def restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Puts a backup in the place of ledger and models; what is there is moved aside. Only while no bot runs there."
    )
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="what `julaba backup` wrote, or a copy from before a migration"
    )


def restore(args: argparse.Namespace, context: Context) -> int:
    now = bootstrap.computer_clock().now()
    try:
        done = bootstrap.backup_folder(context.data_dir).restore(args.file, now)
    except StoreError as error:
        if "already running" not in str(error):
            raise
        raise StoreError(f"{error}, then restore") from error
    words = f"{args.file}, {_words(done.backup)}" if done.backup else f"{args.file}, a ledger alone: the models stay"
    made = f", made {iso(to_ms(done.backup.made_at))}" if done.backup else ""
    aside = f"what was there lies in {done.aside}" if done.aside else "nothing was there before"
    context.result(
        (_data(done.backup) if done.backup else {}) | {"aside": str(done.aside) if done.aside else None},
        f"{context.data_dir} is restored from {words}{made}; {aside}",
    )
    return 0


def _data(backup: Backup) -> dict[str, object]:
    return {
        "made_at": iso(to_ms(backup.made_at)),
        "database_version": backup.database_version,
        "models": backup.models,
        "rows": dict(backup.rows),
    }


def _words(backup: Backup) -> str:
    decisions, trades = backup.rows.get("decisions", 0), backup.rows.get("follows", 0)
    models = "1 model" if backup.models == 1 else f"{backup.models} models"
    return f"{decisions:,} decisions, {trades:,} trades and shadow trades, {models}"


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB"
