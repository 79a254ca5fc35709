"""Candles from and to CSV files, gzip too. Nothing doubtful gets in: every fault is named with its line and time."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from core.domain.candles import Candles, FloatArray, IntArray, Pair, Timeframe, iso, to_ms
from core.engine.candle_faults import EARLIEST_MS, LATEST_MS, VALUES, find_faults
from core.errors import DataError, UsageError
from core.services.whole_file import whole_file

COLUMNS = ("timestamp", *VALUES)
SUFFIXES = (".csv", ".csv.gz")

_NAME = re.compile(r"^(?P<symbol>[A-Za-z0-9]+(?:-[A-Za-z0-9]+)?)[-_](?P<timeframe>1m|5m|15m|30m|1h)(?![A-Za-z0-9])")
_NO_TIME = -1
_NO_TIME_REASON = "timestamp is not a time: epoch milliseconds or ISO such as 2024-01-03T01:45:00Z (UTC) are wanted"
_COARSER = ("5m", "15m", "30m", "1h")
_FEWEST_APART = 4  # rows that tell a coarser timeframe from gaps


@dataclass(frozen=True, slots=True)
class CsvFault:
    """One thing wrong in a file. ``line`` counts from 1, the line of column names included."""

    path: Path
    line: int
    time: str  # as it stands in the file, or ISO where it can be read
    reason: str

    def __str__(self) -> str:
        return f"{self.path}, line {self.line} ({self.time or 'no time'}): {self.reason}"


def names_of(path: Path) -> tuple[Pair, Timeframe]:
    """Pair and timeframe from ``LINKUSDT-15m.csv.gz`` or ``LINKUSDT_15m_90d.csv``. Raises DataError."""
    found = _NAME.match(path.name)
    if found and path.name.lower().endswith(SUFFIXES):
        try:
            return Pair.parse(found["symbol"]), Timeframe.parse(found["timeframe"])
        except UsageError:
            pass
    raise DataError(f"{path}: the name must say pair and timeframe, like LINKUSDT-15m.csv.gz or LINKUSDT_15m_90d.csv")


def read_csv(path: Path) -> Candles:
    """The file's candles. Gaps are left as they are. Raises DataError naming the first fault's line and time."""
    candles, faults = check_csv(path)
    if faults:
        more = f" (and {len(faults) - 1} more faults: see `julaba candles check`)" if len(faults) > 1 else ""
        raise DataError(f"{faults[0]}{more}")
    return candles


def check_csv(path: Path) -> tuple[Candles, list[CsvFault]]:
    """The file's rows, good or bad, and all that is wrong with them, by line.

    Raises DataError where there are no rows to speak of: no such file, broken gzip, missing columns, another timeframe
    than the name says.
    """
    if not path.exists():
        raise DataError(f"there is no file {path}")
    pair, timeframe = names_of(path)
    names, rows = _table(path, _text(path))
    ragged = _even_out(names, rows)
    texts = {name: [row[names.index(name)] for row in rows] for name in COLUMNS}
    candles = Candles(pair, timeframe, _times(texts["timestamp"]), *(_numbers(texts[name]) for name in VALUES))
    if (apart := _distance(candles)) is not None:
        raise DataError(f"{path}: the rows are {apart.name} apart, the name says {timeframe.name}")
    reasons = [(row, reason) for row, reason in ragged.items()]
    for fault in find_faults(candles):
        if fault.row not in ragged:
            value = texts[fault.column][fault.row] if fault.column else ""
            reason = _NO_TIME_REASON if fault.column == "timestamp" and fault.time == _NO_TIME else fault.reason
            reasons.append((fault.row, f"{reason}: {value[:40]!r}" if fault.column else reason))
    return candles, [
        CsvFault(path, row + 2, _shown_time(int(candles.time[row]), texts["timestamp"][row]), reason)
        for row, reason in sorted(reasons, key=lambda found: found[0])
    ]


def csv_name(pair: Pair, timeframe: Timeframe, days: int) -> str:
    """``LINKUSDT_15m_90d.csv``."""
    return f"{pair.symbol}_{timeframe.name}_{days}d.csv"


def write_csv(candles: Candles, path: Path) -> None:
    """Writes ``timestamp`` (open time, epoch ms) and the five values in full precision; all of it or nothing.

    Raises OSError.
    """
    columns = [candles.time.tolist(), *(getattr(candles, name).tolist() for name in VALUES)]
    lines = (f"{t},{o!r},{h!r},{low!r},{c!r},{v!r}\n" for t, o, h, low, c, v in zip(*columns, strict=True))
    with whole_file(path) as file:
        file.write(",".join(COLUMNS) + "\n")
        file.writelines(lines)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.name.lower().endswith(".gz") else content).decode("utf-8-sig")
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise DataError(f"{path} is broken: it does not unpack as gzip") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is no text file") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def _table(path: Path, text: str) -> tuple[list[str], list[list[str]]]:
    """Column names and rows, all of one length; row i stands in line i + 2."""
    if not text.strip():
        raise DataError(f"{path} is empty")
    reader = csv.reader(io.StringIO(text.rstrip("\r\n \t") + "\n"), strict=True)
    try:
        names = [name.strip().lower() for name in next(reader)]
        rows = list(reader)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: this is no CSV ({error})") from None
    if missing := [name for name in COLUMNS if name not in names]:
        raise DataError(f"{path}, line 1: no column {', '.join(missing)}; found {', '.join(names)[:100] or 'nothing'}")
    if twice := [name for name in COLUMNS if names.count(name) > 1]:
        raise DataError(f"{path}, line 1: the column {twice[0]} is there twice")
    if not rows:
        raise DataError(f"{path} holds no candles")
    if reader.line_num != len(rows) + 1:
        raise DataError(f"{path}: a quoted value runs over several lines")
    return names, rows


def _even_out(names: list[str], rows: list[list[str]]) -> dict[int, str]:
    """Gives all rows the length of ``names``, in place; the rows that had another, with a sentence."""
    wrong = {i: f"{len(row)} values, {len(names)} expected" for i, row in enumerate(rows) if len(row) != len(names)}
    for i in wrong:
        rows[i] = (rows[i] + [""] * len(names))[: len(names)]
    return wrong


def _distance(candles: Candles) -> Timeframe | None:
    """The coarser timeframe that all rows keep to, each its length after the one before; None as a rule."""
    if len(candles) < _FEWEST_APART:
        return None
    steps = np.diff(candles.time)
    smallest = int(steps.min())
    usual = int(np.median(steps))
    if smallest <= candles.timeframe.ms or smallest != usual:
        return None
    return next((frame for name in _COARSER if (frame := Timeframe.parse(name)).ms == usual), None)


def _numbers(texts: Sequence[str]) -> FloatArray:
    """NaN where the text is no plain number."""
    try:
        if not any("_" in text for text in texts):
            return np.fromiter(map(float, texts), dtype=np.float64, count=len(texts))
    except ValueError:
        pass
    return np.array([_number(text) for text in texts], dtype=np.float64)


def _number(text: str) -> float:
    try:
        return float("nan" if "_" in text else text)  # Python reads 1_000 as a thousand
    except ValueError:
        return float("nan")


def _times(texts: Sequence[str]) -> IntArray:
    """Epoch ms; _NO_TIME where the text is no time."""
    numbers = _numbers(texts)
    whole = np.isfinite(numbers) & (numbers == np.floor(numbers)) & (np.abs(numbers) < 2**53)
    times = np.where(whole, numbers, _NO_TIME).astype(np.int64)
    for row in np.flatnonzero(np.isnan(numbers)).tolist():
        times[row] = _iso_time(texts[row])
    return times


def _iso_time(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text.strip())
        return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return _NO_TIME


def _shown_time(ms: int, text: str) -> str:
    return iso(ms) if EARLIEST_MS <= ms < LATEST_MS else text[:40]
