"""Samples for learning: rows sorted by the time they were decided, each with a known outcome."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from core.domain.candles import DAY_MS, BoolArray, FloatArray, IntArray, Timeframe, iso
from core.domain.trading import Direction, ExitReason, Regime
from core.engine.candle_faults import EARLIEST_MS, LATEST_MS
from core.errors import DataError
from core.ml.features import COLUMNS_V1, FEATURES_V1, FEATURES_V2, MORE_V2, features_v1_of_table

if TYPE_CHECKING:
    import pandas as pd

TextArray = npt.NDArray[np.str_]
Label = Literal["gross", "net"]

SOURCE_WEIGHTS = {"trade": 1.0, "shadow_signal": 1.0, "shadow_candidate": 0.5, "backtest": 0.3, "augmented": 0.2}
"""What a row counts by where it comes from, before recency and scaling."""

_NEEDED = ("timestamp", "symbol", "direction", "realized_r", "duration_minutes", "source", *COLUMNS_V1)
_FLAGS = ("tp1_hit", "tp2_hit", "tp3_hit", "sl_hit")


@dataclass(frozen=True, eq=False)
class Dataset:
    """``n`` samples, sorted by ``time``; every field but ``features`` is an array with one entry per sample.

    ``X`` is float64 ``[n, k]`` in the order of ``features``, NaN = missing. ``y`` is 1 for a win. ``r`` and ``r_net``
    are profits in R before and after costs (``r_net`` NaN where it is not known). ``time`` is the decision (the
    signal candle's close), ``end_time`` when the outcome was known; both epoch ms, UTC. ``source`` is a key of
    ``SOURCE_WEIGHTS``, ``base_weight`` its weight. ``is_signal`` is False for a mere candidate, which may teach but
    never prove.
    """

    features: tuple[str, ...]
    X: FloatArray
    y: IntArray
    r: FloatArray
    r_net: FloatArray
    time: IntArray
    end_time: IntArray
    pair: TextArray
    source: TextArray
    direction: TextArray
    regime: TextArray
    base_weight: FloatArray
    is_signal: BoolArray

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: BoolArray | IntArray) -> Dataset:
        """The samples of a mask or of row numbers, in the order given."""
        parts: dict[str, Any] = {name: getattr(self, name)[rows] for name in self._columns()}
        return replace(self, **parts)

    def joined(self, *others: Dataset) -> Dataset:
        """All together, sorted by time. Raises DataError where the features differ."""
        if any(other.features != self.features for other in others):
            raise DataError("samples with different features cannot be joined")
        everyone = (self, *others)
        parts: dict[str, Any] = {n: np.concatenate([getattr(d, n) for d in everyone]) for n in self._columns()}
        both = replace(self, **parts)
        return both.take(_order(both))

    def _columns(self) -> list[str]:
        return [f.name for f in fields(self) if f.name != "features"]

    def counts(self) -> dict[str, int]:
        """How many samples of each source, by name."""
        names, numbers = np.unique(self.source, return_counts=True)
        return {str(n): int(c) for n, c in zip(names, numbers, strict=True)}


def weights(dataset: Dataset, now_ms: int, half_life_days: float) -> FloatArray:
    """What each sample counts, scaled to a mean of 1: source weight times ``0.5 ** (age in days / half life)``.

    Without the scaling a bare 0.3 against XGBoost's ``min_child_weight = 1`` forbids every split below some 27 rows.
    The scaling also cancels the moment of training: only ages against each other count, and rows decided after
    ``now_ms`` count as new.
    """
    if not len(dataset):
        return np.empty(0, dtype=np.float64)
    newest = min(now_ms, int(dataset.time.max()))
    age = np.maximum(newest - dataset.time, 0) / DAY_MS
    raw = dataset.base_weight * 0.5 ** (age / half_life_days)
    return np.asarray(raw / raw.mean(), dtype=np.float64)


def from_table(
    table: pd.DataFrame, timeframe: Timeframe | None = None, label: Label = "gross", features: str = "v2"
) -> Dataset:
    """The samples of a training CSV (the backtest's columns; ``timestamp`` is the signal candle's open time).

    ``timeframe`` (15m) is the candles' length; ``label`` says which profit decides a win. ``features``: the set that is
    wanted; a table that has none of the columns that ``v2`` adds gives ``v1``. Rows that ended at a gap are
    no samples and rows without an outcome are not closed: both are left out. Raises DataError naming the column and
    the line (the header being line 1) for what is missing or is not what it should be.
    """
    frame = timeframe or Timeframe.parse("15m")
    outcome = "outcome" if label == "gross" else "outcome_net"
    more = MORE_V2 if features == "v2" and any(name in table.columns for name in MORE_V2) else ()
    needed = dict.fromkeys((*_NEEDED, outcome, *(("realized_r_net",) if label == "net" else ()), *more))
    if missing := [c for c in needed if c not in table.columns]:
        raise DataError(f"the training data has no column {missing[0]}; it needs {', '.join(needed)}")
    numbered = table.set_axis(np.arange(2, len(table) + 2), axis=0)
    _refuse_halves(numbered, outcome)
    rows = _closed(numbered, outcome)
    _check_words(rows, "direction", [d.value for d in Direction])
    _check_words(rows, "source", list(SOURCE_WEIGHTS))
    _check_words(rows, "entry_regime", [r.value for r in Regime], empty_is_fine=True)
    for flag in _FLAGS:
        _check_words(rows, flag, ["True", "False"])
    minutes = _required(rows, "duration_minutes")
    _refuse(rows, minutes <= 0, "duration_minutes", "a positive number")
    wins = _required(rows, outcome)
    _refuse(rows, (wins != 0) & (wins != 1), outcome, "0 or 1")
    decided = _times(rows) + frame.ms
    source = rows["source"].to_numpy(dtype=np.str_)
    bootstrap = features_v1_of_table(rows.assign(**{c: _numbers(rows, c) for c in COLUMNS_V1 if c != "entry_regime"}))
    dataset = Dataset(
        features=FEATURES_V2 if more else FEATURES_V1,
        X=np.column_stack([bootstrap, *(_numbers(rows, name) for name in more)]),
        y=wins.astype(np.int64),
        r=_required(rows, "realized_r"),
        r_net=_numbers(rows, "realized_r_net") if "realized_r_net" in rows.columns else np.full(len(rows), np.nan),
        time=decided,
        end_time=decided + (minutes * 60_000).astype(np.int64),
        pair=rows["symbol"].to_numpy(dtype=np.str_),
        source=source,
        direction=rows["direction"].to_numpy(dtype=np.str_),
        regime=rows["entry_regime"].astype(object).fillna(Regime.UNKNOWN.value).to_numpy(dtype=np.str_),
        base_weight=np.array([SOURCE_WEIGHTS[s] for s in source], dtype=np.float64),
        is_signal=_signals(rows),
    )
    _refuse_doubles(dataset)
    return dataset.take(_order(dataset))


def _refuse_halves(rows: pd.DataFrame, outcome: str) -> None:
    """An open trade has no outcome but a source; a row without both was cut off."""
    half = (rows[outcome].isna() & rows["source"].isna()).to_numpy()
    if half.any():
        line = rows.index[int(np.flatnonzero(half)[0])]
        raise DataError(f"training data, line {line}: the row is not whole, it has neither {outcome} nor source")


def _closed(rows: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """The rows that have an outcome which counts."""
    known = rows[outcome].notna()
    if "exit_reason" in rows.columns:
        known &= rows["exit_reason"].astype(str) != ExitReason.GAP.value
    return rows[known]


def _numbers(rows: pd.DataFrame, name: str) -> FloatArray:
    """A column as float64, empty = NaN. Raises DataError for text and infinity."""
    import pandas as pd

    numbers = pd.to_numeric(rows[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    _refuse(rows, np.isnan(numbers) & rows[name].notna().to_numpy(), name, "a number")
    _refuse(rows, np.isinf(numbers), name, "a finite number")
    return np.asarray(numbers, dtype=np.float64)


def _required(rows: pd.DataFrame, name: str) -> FloatArray:
    numbers = _numbers(rows, name)
    _refuse(rows, np.isnan(numbers), name, "a number")
    return numbers


def _times(rows: pd.DataFrame) -> IntArray:
    """``timestamp`` as epoch ms: ISO text, a date type, or epoch ms already."""
    import pandas as pd

    column = rows["timestamp"]
    if pd.api.types.is_numeric_dtype(column):
        numbers = _required(rows, "timestamp")
        wanted = "epoch milliseconds (not seconds) or a time such as 2024-01-03T01:45:00Z"
        _refuse(rows, (numbers < EARLIEST_MS) | (numbers >= LATEST_MS), "timestamp", wanted)
        return numbers.astype(np.int64)
    moments = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    _refuse(rows, moments.isna().to_numpy(), "timestamp", "a time such as 2024-01-03T01:45:00Z")
    return np.asarray(moments.dt.as_unit("ms").astype("int64").to_numpy(), dtype=np.int64)


def _check_words(rows: pd.DataFrame, name: str, allowed: list[str], empty_is_fine: bool = False) -> None:
    if name not in rows.columns:
        return
    good = rows[name].astype(str).isin(allowed).to_numpy()
    if empty_is_fine:
        good = good | rows[name].isna().to_numpy()
    _refuse(rows, ~good, name, " or ".join(allowed))


def _signals(rows: pd.DataFrame) -> BoolArray:
    """By the column ``kind``; a table without it holds signals only, but for the shadows of candidates."""
    if "kind" not in rows.columns:
        return np.asarray(rows["source"].to_numpy(dtype=np.str_) != "shadow_candidate", dtype=np.bool_)
    _check_words(rows, "kind", ["signal", "candidate"])
    return np.asarray(rows["kind"].to_numpy(dtype=np.str_) == "signal", dtype=np.bool_)


def _refuse(rows: pd.DataFrame, bad: BoolArray, name: str, wanted: str) -> None:
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        value = rows[name].iloc[first]
        found = "empty" if value is None or value != value else repr(str(value))
        raise DataError(f"training data, line {rows.index[first]}: {name} is {found}; {wanted} is wanted")


def _refuse_doubles(dataset: Dataset) -> None:
    seen: set[tuple[str, int, str]] = set()
    for key in zip(dataset.pair.tolist(), dataset.time.tolist(), dataset.direction.tolist(), strict=True):
        if key in seen:
            pair, time, direction = key
            raise DataError(f"training data: the {direction} of {pair} decided at {iso(time)} is there twice")
        seen.add(key)


def _order(dataset: Dataset) -> IntArray:
    """By time, ties by pair and direction, so that the order of the input never matters."""
    return np.lexsort((dataset.direction, dataset.pair, dataset.time)).astype(np.int64)
