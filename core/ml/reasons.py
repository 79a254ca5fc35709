"""Exact reasons for one answer of boosted trees, by looking them up.

A feature's share of the log-odds is its Shapley value in the game where an unknown feature sends a row down both
branches, weighted by how many training rows went there: Lundberg, Erion and Lee, "Consistent Individualized Feature
Attribution for Tree Ensembles" (2018), in the path-dependent form of XGBoost's ``pred_contribs``. On the way to one
leaf a feature is either met or not, so a leaf under ``d`` features has only ``2 ** d`` sets of shares. All are worked
out once; a row then costs a comparison per leaf and feature, and a look-up per leaf.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import factorial

import numpy as np
import numpy.typing as npt

from core.domain.candles import BoolArray, FloatArray, IntArray
from core.ml.trees import Float32Array, Trees

_MOST_FEATURES = 6  # on the way to a leaf: 64 sets of 6 values
_MOST_VALUES = 4_000_000  # 32 MB


@dataclass(frozen=True, eq=False)
class Reasons:
    """Leaves ``[leaves, d]``: the features on the way, the values that lead there, and where the leaf's sets begin.

    ``shares`` is ``[sets, d]``. A leaf on the way to which fewer than ``d`` features are asked has empty places at the
    end: always met, without a share.
    """

    base: float
    features: int
    feature: IntArray = field(repr=False)
    low: Float32Array = field(repr=False)
    high: Float32Array = field(repr=False)
    missing_fits: BoolArray = field(repr=False)
    first: IntArray = field(repr=False)
    shares: FloatArray = field(repr=False)

    @classmethod
    def of(cls, trees: Trees) -> Reasons | None:
        """None where there would be too much to look up: trees too deep or too many, or without their row counts."""
        if trees.depth > _MOST_FEATURES or not (trees.cover > 0).all():
            return None
        leaves = [leaf for root in trees.roots.tolist() for leaf in _leaves(trees, root)]
        width = max((len(leaf.ways) for leaf in leaves), default=0)
        if len(leaves) * 2**width * max(width, 1) > _MOST_VALUES:
            return None
        return _laid_out(trees, leaves, max(width, 1))

    def shares_of(self, row: FloatArray) -> FloatArray:
        """The share of each feature of one row ``[k]``, NaN = missing, and the base last: ``[k + 1]``.

        They sum to the log-odds.
        """
        values = np.append(row.astype(np.float32), np.float32(0))[self.feature]  # one more, for empty places
        met = (values >= self.low) & (values < self.high)
        missing = np.isnan(values)
        if missing.any():
            met |= missing & self.missing_fits
        bits = (1 << np.arange(met.shape[1])).astype(np.float32)
        found = self.shares[self.first + (met.astype(np.float32) @ bits).astype(np.int64)]
        total = np.bincount(self.feature.ravel(), weights=found.ravel(), minlength=self.features + 1)
        total[-1] = self.base
        return np.asarray(total, dtype=np.float64)


@dataclass
class _Way:
    """What one feature must be on the way to a leaf, and the share of the rows above that went this way."""

    low: float = -np.inf
    high: float = np.inf
    missing_fits: bool = True
    part: float = 1.0


@dataclass(frozen=True)
class _Leaf:
    value: float
    ways: dict[int, _Way]


def _leaves(trees: Trees, root: int) -> list[_Leaf]:
    found: list[_Leaf] = []
    waiting: list[tuple[int, dict[int, _Way]]] = [(root, {})]
    while waiting:
        node, ways = waiting.pop()
        if trees.left[node] == node:
            found.append(_Leaf(float(trees.threshold[node]), ways))
            continue
        for is_left, child in ((True, int(trees.left[node])), (False, int(trees.right[node]))):
            waiting.append((child, {**ways, int(trees.feature[node]): _narrowed(trees, ways, node, child, is_left)}))
    return found


def _narrowed(trees: Trees, ways: dict[int, _Way], node: int, child: int, is_left: bool) -> _Way:
    """A feature asked again on the same way counts once: its conditions and its parts are put together."""
    before, threshold = ways.get(int(trees.feature[node]), _Way()), float(trees.threshold[node])
    return _Way(
        low=before.low if is_left else max(before.low, threshold),
        high=min(before.high, threshold) if is_left else before.high,
        missing_fits=before.missing_fits and bool(trees.default_left[node]) == is_left,
        part=before.part * float(trees.cover[child]) / float(trees.cover[node]),
    )


def _laid_out(trees: Trees, leaves: list[_Leaf], width: int) -> Reasons:
    shape = (len(leaves), width)
    feature = np.full(shape, trees.features, dtype=np.int64)
    low, high = np.full(shape, -np.inf, dtype=np.float32), np.full(shape, np.inf, dtype=np.float32)
    fits, part = np.ones(shape, dtype=np.bool_), np.ones(shape)
    for index, leaf in enumerate(leaves):
        for place, (name, way) in enumerate(leaf.ways.items()):
            feature[index, place] = name
            low[index, place], high[index, place] = way.low, way.high
            fits[index, place], part[index, place] = way.missing_fits, way.part
    value = np.array([leaf.value for leaf in leaves])
    shares = _shares(value, part)
    base = float(trees.margin) + float(value @ part.prod(axis=1))
    first = np.arange(len(leaves)) * 2**width
    return Reasons(base, trees.features, feature, low, high, fits, first, shares.reshape(-1, width))


def _shares(value: FloatArray, part: FloatArray) -> FloatArray:
    """``[leaves, 2 ** d, d]``: by the set of features that are met, each feature's share. An empty place has part 1,
    adds nothing whether it is met or not, and so has share 0."""
    width = part.shape[1]
    sets = np.arange(2**width)
    holds = (sets[:, None] >> np.arange(width)) & 1 == 1  # [sets, d]
    # What the leaf is worth when exactly the set is known and met: the parts of all features that are not known.
    worth = value[:, None] * np.where(holds[None], 1.0, part[:, None, :]).prod(axis=2)
    size = holds.sum(axis=1)
    orders = np.array([factorial(n) * factorial(width - n - 1) / factorial(width) for n in range(width)])
    joining = np.where(holds, orders[np.maximum(size - 1, 0)][:, None], -orders[np.minimum(size, width - 1)][:, None])
    known_met = (sets[:, None] & sets[None, :]) == sets[:, None]  # [known, met]: all that is known is met
    weight: npt.NDArray[np.float64] = known_met[:, :, None] * joining[:, None, :]
    return np.tensordot(worth, weight, axes=(1, 0))
