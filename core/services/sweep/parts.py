"""What is done is kept: one Parquet file per chunk, whole or not at all, and one of everything at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from core.errors import DataError
from core.services.sweep.evaluate import Rows
from core.services.sweep.grid import Value
from core.services.sweep.plan import Chunk, Sweep
from core.services.whole_file import whole_file

_FIGURES: tuple[tuple[str, pa.DataType], ...] = (
    *(("window", pa.int16()), ("segment", pa.string())),
    *((name, pa.int32()) for name in ("trades", "wins", "wins_net")),
    *((name, pa.float64()) for name in ("gross_r", "net_r", "net_r_squares", "max_drawdown_r")),
    *((name, pa.int32()) for name in ("ambiguous", "gap_ended")),
    *(("day", pa.list_(pa.int32())), ("day_net_r", pa.list_(pa.float64()))),
)


class SweepFolder:
    """A sweep's own folder: ``manifest.json``, ``parts/``, and ``results.parquet`` once all of it is done."""

    def __init__(self, root: Path, sweep: Sweep) -> None:
        self.path = root / sweep.sweep_id
        self.results = self.path / "results.parquet"
        self._sweep = sweep
        self._schema = _schema(sweep)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """While it is held nobody else works in the folder. Raises DataError where somebody does; makes the folder."""
        (self.path / "parts").mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise DataError(f"this very sweep is under way in another process ({self.path}); wait for it") from None
        try:
            with whole_file(self.path / "manifest.json") as file:
                json.dump(self._sweep.manifest, file, indent=1)
                file.write("\n")
            yield
        finally:
            lock.release()

    def missing(self) -> tuple[Chunk, ...]:
        """The chunks that have no sound part file yet; broken files are removed."""
        return tuple(chunk for chunk in self._sweep.chunks() if self._part(chunk) is None)

    def keep(self, chunk: Chunk, rows: Rows) -> None:
        """Writes a chunk's part file. Raises OSError."""
        _write(self._table(chunk, rows), self._path(chunk))

    def finish(self) -> pa.Table:
        """All parts as one table in the order of the settings, kept as ``results.parquet``.

        The same bytes however often the work was interrupted and whoever did it. Raises DataError where a part is gone.
        """
        tables = []
        for chunk in self._sweep.chunks():
            table = self._part(chunk)
            if table is None:
                raise DataError(f"{self._path(chunk)} went away while the sweep ran; start it again")
            tables.append(table)
        table = pa.concat_tables(tables).combine_chunks()
        _write(table, self.results)
        return table

    def _path(self, chunk: Chunk) -> Path:
        return self.path / "parts" / f"part-{chunk.number:05}.parquet"

    def _part(self, chunk: Chunk) -> pa.Table | None:
        path = self._path(chunk)
        if not path.exists():
            return None
        try:
            table = pq.read_table(path, use_threads=False, page_checksum_verification=True, partitioning=None)
        except (pa.ArrowException, OSError):
            table = None
        if table is not None and table.schema.equals(self._schema) and _covers(table, chunk, self._rows_each):
            return table
        path.unlink(missing_ok=True)
        return None

    @property
    def _rows_each(self) -> int:
        return len(self._sweep.ground.pairs) * len(self._sweep.ground.segments)

    def _table(self, chunk: Chunk, rows: Rows) -> pa.Table:
        values = {s.number: s.values for s in chunk.settings}
        columns: dict[str, Sequence[object]] = {"setting": rows["setting"]}
        for index, key in enumerate(self._sweep.grid.keys):
            columns[key] = [values[number][index] for number in rows["setting"]]
        columns |= {name: rows[name] for name in ("pair", *(name for name, _ in _FIGURES))}
        arrays = [pa.array(columns[field.name], type=field.type) for field in self._schema]
        return pa.Table.from_arrays(arrays, schema=self._schema)


def _covers(table: pa.Table, chunk: Chunk, rows_each: int) -> bool:
    wanted = [s.number for s in chunk.settings for _ in range(rows_each)]
    return bool(table.column("setting").to_pylist() == wanted)


def _schema(sweep: Sweep) -> pa.Schema:
    keys = [(key, _type(values)) for key, values in sweep.grid.axes.items()]
    note: dict[str | bytes, str | bytes] = {b"sweep": sweep.sweep_id.encode()}
    return pa.schema([("setting", pa.int32()), *keys, ("pair", pa.string()), *_FIGURES], metadata=note)


def _type(values: Sequence[Value]) -> pa.DataType:
    if all(isinstance(v, bool) for v in values):
        return pa.bool_()
    if all(isinstance(v, int) for v in values):
        return pa.int64()
    return pa.string() if any(isinstance(v, str) for v in values) else pa.float64()


def _write(table: pa.Table, path: Path) -> None:
    with whole_file(path) as file:
        pq.write_table(table, file.buffer, compression="zstd", write_page_checksum=True)
