"""The ledger as tables for people: ``julaba export`` and ``/export`` alike."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from core.config import Settings
from core.domain.candles import iso
from core.domain.ledger import DecisionRecord
from core.domain.trading import FollowKind
from core.ports import ChatStore, Ledger
from core.services.reading import Stores, read
from core.services.records import LEDGER_COLUMNS, ledger_row
from core.services.tables import write_rows
from core.services.views import Progress

Row = Mapping[str, object]

TRADE_COLUMNS = (
    "trade_id", "timestamp", "pair", "direction", "entry_price", "entry_regime", "entry_atr", "entry_rsi", "entry_adx",
    "entry_volume_ratio", "entry_btc_correlation", "entry_hurst", "entry_sma_distance", "entry_timeframe_alignment",
    "gemini_confidence", "gemini_reasoning", "ml_win_probability", "model_id", "influence_weight",
    "combined_confidence", "exit_price", "exit_reason", "last_target", "pnl_dollars", "pnl_r_multiple",
    "duration_minutes", "max_drawdown_during_trade", "max_profit_during_trade", "outcome",
)  # fmt: skip
"""The trade record, in its order."""

DECISION_COLUMNS = tuple(f.name for f in fields(DecisionRecord) if f.name not in ("snapshot", "verdicts"))
"""What a decision has of its own; behind it a column for each verdict."""

AUDIT_COLUMNS = ("entry_id", "time", "user_id", "user_name", "action", "detail", "previous", "hash")
"""Who did what and when; each hash is over the entry and the hash before it."""

EQUITY_COLUMNS = ("time", "equity")

KINDS = ("trades", "shadows", "decisions", "signals", "equity", "audit")

NOUNS = {"audit": "audit entries", "equity": "closes"}
"""What the rows of a kind are called, where that is not its name."""

ZIPPED_FROM = 5_000_000
"""Bytes from which a file for the chat is zipped: tables shrink to a tenth."""


async def table_of(
    what: str, ledger: Ledger, chat: ChatStore, settings: Settings
) -> tuple[Sequence[Row], Sequence[str]]:
    """The rows of one of ``KINDS`` and the columns it has at least."""
    if what in ("decisions", "signals"):
        found = await ledger.decisions(signals_only=what == "signals")
        return [_decision_row(d) for d in found], DECISION_COLUMNS
    if what == "audit":
        return [_audit_row(entry) for entry in reversed(await chat.audit_rows())], AUDIT_COLUMNS
    if what == "equity":
        return [{"time": iso(time), "equity": equity} for time, equity in await ledger.equity_curve()], EQUITY_COLUMNS
    rows = [r for r in await ledger.trade_rows() if (r.follow.kind is FollowKind.TRADE) is (what == "trades")]
    tables = [ledger_row(r, settings) for r in rows]
    if what == "trades":
        return [{name: row[name] for name in TRADE_COLUMNS} for row in tables], TRADE_COLUMNS
    return tables, LEDGER_COLUMNS


def _audit_row(entry: Row) -> Row:
    """An entry as stored; ``time`` (epoch ms) stays a number, for the hash is over it."""
    return {name: entry[name] for name in AUDIT_COLUMNS}


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


@dataclass(frozen=True, slots=True)
class ExportView:
    """A file for the chat: ``rows`` by kind, ``size`` in bytes. ``content`` None: it is larger than was allowed."""

    what: str
    name: str
    rows: Mapping[str, int]
    size: int
    content: bytes | None


def export_job(progress: Progress, stores: Stores, settings: Settings, what: str, most: int) -> ExportView:
    """For a worker process: one of ``KINDS`` as CSV, or ``all`` of them in a zip. Raises StoreError."""
    kinds = KINDS if what == "all" else (what,)
    counts: dict[str, int] = {}
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{kind}.csv" for kind in kinds]

        async def write(ledger: Ledger, chat: ChatStore) -> None:
            for number, (kind, path) in enumerate(zip(kinds, paths, strict=True)):
                progress(f"reading {NOUNS.get(kind, kind)}", number / len(kinds))
                rows, columns = await table_of(kind, ledger, chat, settings)
                write_rows(path, rows, columns)
                counts[kind] = len(rows)

        read(stores, write)
        whole = sum(path.stat().st_size for path in paths)
        if what == "all" or whole > ZIPPED_FROM:
            name, content = f"julaba-{what}.zip", _zipped(paths)
        else:
            name, content = f"julaba-{what}.csv", paths[0].read_bytes()
    return ExportView(what, name, counts, len(content), content if len(content) <= most else None)


def _zipped(paths: Sequence[Path]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, path.name)
    return buffer.getvalue()
