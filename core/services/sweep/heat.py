"""A sweep's results over two of its settings, for the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.domain.candles import BoolArray, FloatArray, IntArray
from core.errors import UsageError
from core.reports.sweep_charts import HeatMap
from core.services.sweep.grid import Value
from core.services.sweep.plan import Sweep

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_CELLS = 16  # along one axis; more values are put into groups of neighbours
_WINDOW = "window"


def heat_axes(sweep: Sweep, named: Sequence[str] = ()) -> tuple[str, str]:
    """The settings across and upwards: ``named``, or the two with the most values; the second has the more of them.

    Where only one was varied the windows stand across. Raises UsageError for what was not varied.
    """
    axes = sweep.grid.axes
    varied = [key for key, values in axes.items() if len(values) > 1]
    if unknown := next((key for key in named if key not in varied), None):
        raise UsageError(f"--axes {unknown} was not varied; these were: {', '.join(varied) or 'none'}")
    if not varied:
        raise UsageError("--png needs a setting with two values or more; give one with --set")
    if len(named) == 2:
        return named[0], named[1]
    if named:
        return _WINDOW, named[0]
    most = sorted(varied, key=lambda key: -len(axes[key]))[:2]
    return (most[1], most[0]) if len(most) == 2 else (_WINDOW, most[0])


def heat_map(sweep: Sweep, table: pa.Table, x_key: str, y_key: str) -> HeatMap:
    """Net R per trade over two settings (or ``window``), pooled over all other settings, pairs and windows."""
    x_names, x = _cells(sweep, table, x_key)
    y_names, y = _cells(sweep, table, y_key)
    is_oos: BoolArray = np.array(table.column("segment").to_pylist()) == "oos"
    shape = (len(y_names), len(x_names))
    sides = [_pooled(table, side, y * shape[1] + x, shape) for side in (~is_oos, is_oos)]
    (in_sample, seen), (out_of_sample, judged) = sides
    return HeatMap(x_key, y_key, x_names, y_names, in_sample, out_of_sample, seen, judged)


def _pooled(table: pa.Table, chosen: BoolArray, cell: IntArray, shape: tuple[int, int]) -> tuple[FloatArray, IntArray]:
    """Net R per trade and trades of each cell."""
    summed = [
        np.bincount(cell[chosen], np.asarray(table.column(name).to_numpy())[chosen], minlength=shape[0] * shape[1])
        for name in ("net_r", "trades")
    ]
    net, trades = (values.reshape(shape) for values in summed)
    with np.errstate(invalid="ignore"):
        mean: FloatArray = np.where(trades > 0, net / np.maximum(trades, 1), np.nan)
    return mean, trades.astype(np.int64)


def _cells(sweep: Sweep, table: pa.Table, key: str) -> tuple[tuple[str, ...], IntArray]:
    """The names along an axis, ascending, and the place of each of the table's rows on it."""
    if key == _WINDOW:
        windows = np.asarray(table.column("window").to_numpy()).astype(np.int64)
        return tuple(str(window) for window in range(1, int(windows.max()) + 1)), windows - 1
    values = sorted(sweep.grid.axes[key])
    group = {value: index * min(len(values), _MOST_CELLS) // len(values) for index, value in enumerate(values)}
    members = [[v for v in values if group[v] == index] for index in range(max(group.values()) + 1)]
    names = tuple(shown(m[0]) if len(m) == 1 else f"{shown(m[0])}–{shown(m[-1])}" for m in members)
    numbers = np.asarray(table.column("setting").to_numpy())
    place = sweep.grid.keys.index(key)
    of_setting = np.array([group[setting.values[place]] for setting in sweep.settings], dtype=np.int64)
    return names, of_setting[numbers]


def shown(value: Value) -> str:
    """A setting's value as a person writes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
