"""The past signals most like the one at hand, and what became of them.

A model keeps the signals that it learned from beside it (``samples.json``): what its features were, standardised with
the mean and the deviation of these signals, and how each ended. Only signals are kept, never mere candidates; only
those of the same direction are compared, whatever the model sees of the direction, for a trader compares a long with
longs; and only those whose outcome was known when the decision was made.

The distance is Euclidean over the standardised features that both have, divided by the root of how many there are, so
that a missing value neither helps nor harms. It weighs all features alike: it says what looks alike, not what matters
to the model, and five outcomes are a memory, not a proof.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from core.domain.candles import FloatArray, IntArray, Pair
from core.domain.trading import Direction, Neighbour
from core.errors import ModelError, UsageError
from core.ml.dataset import Dataset

SAMPLES = "samples.json"
"""The name of the file beside a model."""

NEAREST = 5
MOST_SAMPLES = 3000
"""The newest signals that are kept; some three years of twenty pairs."""

DISTANCE_WORDS = "Distance 0 is alike, 1.4 unrelated."
"""Two independent values of mean 0 and deviation 1 differ by the root of 2 in the root of the mean square."""

_FORMAT = "julaba-samples-1"
_LEAST_COMMON = 0.5  # of the features that tell anything apart, so that two gaps never make a likeness
_DIGITS = 3  # a thousandth of a standard deviation, or of an R


@dataclass(frozen=True, eq=False)
class PastSignals:
    """``n`` signals with their outcomes, in the order of time. ``x`` is ``[n, k]``, standardised, NaN = missing.

    ``mean`` and ``scale`` ``[k]`` belong to ``features``; a scale of 0 marks one that was the same in all signals, or
    never known, and tells nothing apart. ``decided_at`` and ``ended_at`` are epoch ms, ``r`` is gross.
    """

    features: tuple[str, ...]
    mean: FloatArray = field(repr=False)
    scale: FloatArray = field(repr=False)
    x: FloatArray = field(repr=False)
    pair: tuple[str, ...] = field(repr=False)
    sign: IntArray = field(repr=False)
    decided_at: IntArray = field(repr=False)
    ended_at: IntArray = field(repr=False)
    r: FloatArray = field(repr=False)

    def __len__(self) -> int:
        return len(self.r)

    @classmethod
    def of(cls, dataset: Dataset) -> PastSignals:
        """The newest signals of what a model learned from."""
        lived = np.flatnonzero(dataset.is_signal & (dataset.source != "augmented"))[-MOST_SAMPLES:]
        rows = dataset.take(lived)
        mean, scale = _spread(rows.X)
        return cls(
            features=dataset.features,
            mean=mean,
            scale=scale,
            x=np.round(_standardised(rows.X, mean, scale), _DIGITS) + 0.0,
            pair=tuple(_name(symbol) for symbol in rows.pair.tolist()),
            sign=np.array([Direction(d).sign for d in rows.direction.tolist()], dtype=np.int64),
            decided_at=rows.time,
            ended_at=rows.end_time,
            r=np.round(rows.r, _DIGITS) + 0.0,
        )

    def nearest(
        self, features: Mapping[str, float], direction: Direction, at: int, count: int = NEAREST
    ) -> tuple[Neighbour, ...]:
        """The ``count`` nearest of the same direction that had ended by ``at`` (epoch ms), the nearest first.

        Fewer where there are fewer. A feature that is not given counts as missing.
        """
        asked = np.array([features.get(name, math.nan) for name in self.features], dtype=np.float64)
        known = np.flatnonzero((self.sign == direction.sign) & (self.ended_at <= at))
        difference = self.x[known] - _standardised(asked[None, :], self.mean, self.scale)
        common = np.isfinite(difference).sum(axis=1)
        needed = max(1.0, _LEAST_COMMON * np.count_nonzero(self.scale))
        near = np.flatnonzero(common >= needed)
        distance = np.sqrt(np.nansum(np.square(difference[near]), axis=1) / common[near])
        rows = known[near]
        order = np.lexsort((rows, -self.decided_at[rows], distance))[:count]  # of two alike the newer
        return tuple(self._neighbour(int(rows[i]), float(distance[i])) for i in order)

    def _neighbour(self, row: int, distance: float) -> Neighbour:
        direction = Direction.LONG if self.sign[row] > 0 else Direction.SHORT
        return Neighbour(
            self.pair[row], direction, int(self.decided_at[row]), float(self.r[row]), round(distance, _DIGITS)
        )

    def to_json(self) -> bytes:
        """Compact, and the same for the same signals."""
        names = sorted(set(self.pair))
        content = {
            "format": _FORMAT,
            "features": self.features,
            "mean": _numbers(self.mean),
            "scale": _numbers(self.scale),
            "pairs": names,
            "pair": [names.index(name) for name in self.pair],
            "sign": self.sign.tolist(),
            "decided_at": self.decided_at.tolist(),
            "ended_at": self.ended_at.tolist(),
            "r": self.r.tolist(),
            "x": [_numbers(column) for column in self.x.T],
        }
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def from_json(cls, content: bytes) -> PastSignals:
        """Raises ModelError where it is something else, is cut, or its parts do not fit together."""
        try:
            data = json.loads(content)
            if data["format"] != _FORMAT:
                raise ModelError(f"the past signals have the format {data['format']!r}, this version reads {_FORMAT!r}")
            found = _read(cls, data)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
            raise ModelError("they are no past signals, or a part of them is missing") from error
        n, k = len(found.r), len(found.features)
        lengths = {len(found.pair), len(found.sign), len(found.decided_at), len(found.ended_at)}
        if lengths != {n} or found.x.shape != (n, k) or {len(found.mean), len(found.scale)} != {k}:
            raise ModelError("the past signals' parts do not fit together")
        if not np.isfinite(found.r).all() or not np.isin(found.sign, (-1, 1)).all():
            raise ModelError("a past signal has no outcome or no direction")
        return found


def samples_json(dataset: Dataset) -> bytes:
    """What is kept beside a model that learned from ``dataset``."""
    return PastSignals.of(dataset).to_json()


def summary(neighbours: Sequence[Neighbour]) -> str:
    """``5 nearest past signals: 2 won, mean +0.3R before costs``; empty where there are none."""
    if not neighbours:
        return ""
    won = sum(n.realized_r > 0 for n in neighbours)
    mean = math.fsum(n.realized_r for n in neighbours) / len(neighbours)
    noun = "signal" if len(neighbours) == 1 else "signals"
    return f"{len(neighbours)} nearest past {noun}: {won} won, mean {mean:+.1f}R before costs"


def _spread(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation of each column's known values; both 0 where nothing differs."""
    known = ~np.isnan(rows)
    counts = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, rows, 0.0).sum(axis=0) / counts
    scale = np.sqrt(np.square(np.where(known, rows - mean, 0.0)).sum(axis=0) / counts)
    scale[scale <= 1e-9 * np.maximum(1.0, np.abs(mean))] = 0.0
    return np.where(scale > 0, mean, 0.0), scale


def _standardised(rows: FloatArray, mean: FloatArray, scale: FloatArray) -> FloatArray:
    """NaN where a value is missing, and in columns that tell nothing apart."""
    usable = np.where(scale > 0, scale, np.nan)
    return np.asarray((rows - mean) / usable, dtype=np.float64)


def _numbers(values: FloatArray) -> list[float | None]:
    return [None if math.isnan(v) else float(f"{v:.12g}") for v in values.tolist()]


def _name(symbol: str) -> str:
    """``LINK/USDT`` for the table's LINKUSDT; what is no pair stays as it is."""
    try:
        return str(Pair.parse(symbol))
    except UsageError:
        return symbol


def _read(kind: type[PastSignals], data: Mapping[str, object]) -> PastSignals:
    def floats(values: object) -> FloatArray:
        return np.array(values, dtype=np.float64)  # None becomes NaN

    def whole(values: object) -> IntArray:
        return np.array(values, dtype=np.int64).reshape(-1)

    names, columns, features = data["pairs"], data["x"], data["features"]
    if not isinstance(names, list) or not isinstance(columns, list) or not isinstance(features, list):
        raise ModelError("they are no past signals, or a part of them is missing")
    return kind(
        features=tuple(str(name) for name in features),
        mean=floats(data["mean"]),
        scale=floats(data["scale"]),
        x=floats(columns).reshape(len(columns), -1).T,
        pair=tuple(str(names[number]) for number in whole(data["pair"]).tolist()),
        sign=whole(data["sign"]),
        decided_at=whole(data["decided_at"]),
        ended_at=whole(data["ended_at"]),
        r=floats(data["r"]).reshape(-1),
    )
