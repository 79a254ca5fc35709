"""Candles and curves packed small for a page: whole numbers, differences, zlib, base64.

A candle costs five to seven bytes so, and a browser unpacks a million of them in a blink (``page/data.js`` holds the
other half of this code).
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from core.domain.candles import BoolArray, Candles, FloatArray, IntArray

_DIGITS = 7
"""Digits that count in a drawn number: no screen shows more, and the packed number stays below 2^31."""

_MOST_DECIMALS = 18

_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def script_json(data: object) -> str:
    """JSON that can stand inside ``<script type="application/json">`` whatever texts it holds.

    Plain ASCII, and no character that HTML could read as the end of anything. Raises ValueError for NaN or infinity.
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character, escape in _UNSAFE.items():
        text = text.replace(character, escape)
    return text


def packed_times(times: IntArray, step: int) -> dict[str, Any]:
    """Ascending times (epoch ms) as a start, a step, a count, and ``[row, steps missing before it]`` at each jump."""
    jumps = np.diff(times) // step - 1
    rows = np.flatnonzero(jumps > 0)
    return {
        "start": int(times[0]) if len(times) else 0,
        "step": step,
        "count": len(times),
        "gaps": [[int(row) + 1, int(jumps[row])] for row in rows],
    }


def packed_candles(candles: Candles) -> dict[str, Any]:
    """Times, prices and volumes, for drawing.

    Prices are whole ticks of ``10 ** -decimals``, the fewest that hold them in seven digits; volumes are 0..255, the
    root of their share of the largest, so that the small ones keep their differences.
    """
    columns = (candles.open, candles.high, candles.low, candles.close)
    decimals = _decimals(np.concatenate(columns))
    opened, high, low, close = (np.rint(column * 10.0**decimals).astype(np.int64) for column in columns)
    before = np.concatenate(([0], close[:-1]))[: len(close)]
    most = float(candles.volume.max(initial=0.0)) or 1.0
    volume = np.rint(255 * np.sqrt(np.maximum(candles.volume, 0) / most)).astype(np.int64)
    rows = (opened - before, close - opened, high - np.maximum(opened, close), np.minimum(opened, close) - low, volume)
    return {"time": packed_times(candles.time, candles.timeframe.ms), "decimals": decimals, "ticks": _packed(*rows)}


def packed_curve(values: FloatArray) -> dict[str, Any]:
    """A curve such as equity, as differences in units of ``10 ** -decimals``."""
    decimals = min(2, _decimals(values, _DIGITS + 2))
    whole = np.rint(values * 10.0**decimals).astype(np.int64)
    return {"decimals": decimals, "steps": _packed(np.diff(whole, prepend=0)[: len(whole)])}


def _decimals(values: FloatArray, digits: int = _DIGITS) -> int:
    """How many decimals hold every value exactly, or as many as its first ``digits`` digits need; may be negative."""
    largest = float(np.abs(values).max(initial=0.0))
    most = min(digits - 1 - math.floor(math.log10(largest)), _MOST_DECIMALS) if largest > 0 else 0
    for decimals in range(min(0, most), most):
        scale = 10.0**decimals
        if np.allclose(np.rint(values * scale) / scale, values, rtol=1e-12, atol=0):
            return decimals
    return most


def _packed(*rows: npt.NDArray[np.int64]) -> str:
    """Whole numbers below 2^31 of either sign: folded (zigzag), in four byte planes, zlib, base64."""
    values = np.stack(rows)
    folded = ((values << 1) ^ (values >> 63)).astype("<u4")
    planes = np.ascontiguousarray(folded).view(np.uint8).reshape(len(rows), -1, 4).transpose(0, 2, 1)
    return base64.b64encode(zlib.compress(planes.tobytes(), 6)).decode("ascii")


def thinned(candles: Candles, spans: Iterable[tuple[int, int]], before: int, after: int) -> Candles:
    """Only the candles around ``spans`` (open times, first and last): ``before`` more ahead, ``after`` behind."""
    keep: BoolArray = np.zeros(len(candles), dtype=np.bool_)
    for first, last in spans:
        start, stop = np.searchsorted(candles.time, (first, last))
        keep[max(0, int(start) - before) : int(stop) + 1 + after] = True
    return Candles(
        candles.pair,
        candles.timeframe,
        candles.time[keep],
        candles.open[keep],
        candles.high[keep],
        candles.low[keep],
        candles.close[keep],
        candles.volume[keep],
    )
