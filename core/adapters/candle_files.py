"""Candles on disk: one Parquet file per pair and timeframe, replaced as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from core.domain.candles import Candles, Pair, Timeframe
from core.engine.candle_faults import VALUES, find_faults
from core.errors import DataError, UsageError

# Read once, when Arrow is loaded. What Arrow's own allocator has once held it keeps, in the bot some 70 MB by and by.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = ("time", *VALUES)
_TYPES: dict[str, pa.DataType] = {"time": pa.int64(), **dict.fromkeys(VALUES, pa.float64())}
_DTYPES = {"time": np.int64, **dict.fromkeys(VALUES, np.float64)}
SCHEMA = pa.schema(_TYPES)
ROW_GROUP = 16_384  # rows; reading the newest few hundred touches one or two groups
# Without dictionaries, which seldom repay in prices: a fifth smaller, and read in two thirds of the time.
_WRITING: dict[str, Any] = {"compression": "zstd", "use_dictionary": False, "write_statistics": ["time"]}


class CandleFiles:
    """``LINKUSDT-15m.parquet`` and its like in one folder. Implements ``core.ports.CandleStore``.

    What goes in and what comes out is checked. Several processes may save at once: they take turns.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, pair: Pair, timeframe: Timeframe) -> Path:
        return self._root / f"{pair.symbol}-{timeframe.name}.parquet"

    def load(self, pair: Pair, timeframe: Timeframe, start_ms: int | None = None, end_ms: int | None = None) -> Candles:
        """See ``CandleStore.load``. A part of the file is read when only a part is asked for."""
        candles = self.read(pair, timeframe, start_ms, end_ms)
        if faults := find_faults(candles):
            path = self.path(pair, timeframe)
            raise DataError(
                f"{path} holds candles that cannot be (row {faults[0].row}: {faults[0].reason}); "
                "see `julaba candles check`, then move the file away and fetch or import it again"
            )
        return candles.between(start_ms, end_ms)

    def read(self, pair: Pair, timeframe: Timeframe, start_ms: int | None = None, end_ms: int | None = None) -> Candles:
        """The rows as they lie in the file, unchecked, in whole row groups. Raises DataError for a broken file."""
        path = self.path(pair, timeframe)
        if not path.exists():
            return Candles.empty(pair, timeframe)
        try:
            with pq.ParquetFile(path) as file:
                table = file.read_row_groups(_groups(file, start_ms, end_ms), columns=list(COLUMNS), use_threads=False)
            columns = [_column(table, name) for name in COLUMNS]
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise DataError(
                f"{path} is no readable candle file ({type(error).__name__}); move it away and fetch or import it again"
            ) from error
        return Candles(pair, timeframe, *columns)

    def save(self, candles: Candles) -> int:
        """See ``CandleStore.save``. A stored candle is replaced by a newer one of the same time."""
        if faults := find_faults(candles):
            raise DataError(f"{candles.pair}: candles that cannot be are not stored ({faults[0].reason})")
        if not len(candles):
            return 0
        path = self.path(candles.pair, candles.timeframe)
        self._root.mkdir(parents=True, exist_ok=True)
        with self._turn():
            stored = self.load(candles.pair, candles.timeframe)
            merged = merge(stored, candles)
            if not _same(stored, merged):
                _replace(path, merged)
        return len(merged) - len(stored)

    def pairs(self, timeframe: Timeframe) -> tuple[Pair, ...]:
        """See ``CandleStore.pairs``."""
        found = (_pair_of(path) for path in self._root.glob(f"*-{timeframe.name}.parquet"))
        return tuple(sorted(pair for pair in found if pair is not None))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Reading, merging and replacing must not be mixed with another process's."""
        from filelock import FileLock  # brings asyncio along, which readers need not wait for

        with FileLock(self._root / ".lock"):
            yield


def merge(stored: Candles, newer: Candles) -> Candles:
    """Both, by time; where both hold a time, ``newer`` counts. Inputs sorted, as candles without faults are."""
    if not len(stored) or not len(newer):
        return newer if len(newer) else stored
    if newer.time[0] > stored.time[-1]:
        return stored.joined(newer)
    time = np.concatenate((newer.time, stored.time))
    kept = np.unique(time, return_index=True)[1]  # of equals the first, which is the newer
    columns = (np.concatenate((getattr(newer, name), getattr(stored, name)))[kept] for name in COLUMNS)
    return Candles(stored.pair, stored.timeframe, *columns)


def _same(one: Candles, other: Candles) -> bool:
    return len(one) == len(other) and all(np.array_equal(getattr(one, c), getattr(other, c)) for c in COLUMNS)


def _groups(file: pq.ParquetFile, start_ms: int | None, end_ms: int | None) -> list[int]:
    """The row groups that may hold open times in ``[start_ms, end_ms)``."""
    return [group for group in range(file.metadata.num_row_groups) if _touches(file, group, start_ms, end_ms)]


def _touches(file: pq.ParquetFile, group: int, start_ms: int | None, end_ms: int | None) -> bool:
    held = file.metadata.row_group(group).column(0).statistics
    if held is None or held.min is None or held.max is None:
        return True
    return (start_ms is None or held.max >= start_ms) and (end_ms is None or held.min < end_ms)


def _column(table: pa.Table, name: str) -> np.ndarray:
    """A column as an array over Arrow's own memory. ``to_numpy`` would give the same and load pandas for it."""
    column = table.column(name)
    if column.type != SCHEMA.field(name).type or column.null_count:
        raise ValueError(f"column {name}")
    chunks = [np.from_dlpack(chunk) for chunk in column.chunks]
    return chunks[0] if len(chunks) == 1 else np.concatenate([np.empty(0, dtype=_DTYPES[name]), *chunks])


def _arrow(values: np.ndarray, name: str) -> Any:
    """An array as a column over its own memory. ``pa.array`` would load pandas, to see whether it is one of its own."""
    whole = np.ascontiguousarray(values, dtype=_DTYPES[name])
    return pa.Array.from_buffers(_TYPES[name], len(whole), [None, pa.py_buffer(whole.data)])


def _pair_of(path: Path) -> Pair | None:
    """From the file's own note, for LINKEUR alone does not say where the base ends; else from its name.

    None for a file that is none of ours.
    """
    symbol = path.name.rpartition("-")[0]
    for text in (_note(path), symbol):
        with suppress(UsageError):
            pair = Pair.parse(text)
            if pair.symbol == symbol:
                return pair
    return None


def _note(path: Path) -> str:
    try:
        return (pq.read_schema(path).metadata or {}).get(b"pair", b"").decode("ascii", "replace")
    except (pa.ArrowException, OSError):
        return ""  # broken: `load` says so when the pair is asked for


def _replace(path: Path, candles: Candles) -> None:
    """Writes beside the file, syncs, renames: after a crash there is the old file or the new one."""
    note = {b"pair": str(candles.pair).encode(), b"timeframe": candles.timeframe.name.encode()}
    table = pa.table([_arrow(getattr(candles, name), name) for name in COLUMNS], schema=SCHEMA.with_metadata(note))
    beside = path.with_suffix(".parquet.tmp")
    try:
        with beside.open("wb") as file:
            pq.write_table(table, file, row_group_size=ROW_GROUP, **_WRITING)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
