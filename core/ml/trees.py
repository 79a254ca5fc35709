"""Boosted trees asked without the library: one row in some ten microseconds, and no learning library loaded.

XGBoost spends 80 to 140 microseconds of every call on wrapping one row. Here its JSON becomes a few arrays, one entry
per node of all trees; a row is compared with every threshold at once, and then as many steps down are taken as the
deepest tree has levels. Sums are float32 in the library's own order, so the answers are its answers.

The format: XGBoost, "Introduction to Model IO" (its JSON schema). Anything in the file that is not understood is
refused, for a guess would be a wrong probability.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from core.domain.candles import BoolArray, FloatArray
from core.errors import ModelError

Float32Array = npt.NDArray[np.float32]
NodeArray = npt.NDArray[np.int64]

_NOWHERE = -1  # the child of a leaf
_NODE_COLUMNS = ("left_children", "right_children", "split_indices", "split_conditions", "default_left", "sum_hessian")


@dataclass(frozen=True, eq=False)
class Trees:
    """All trees of a binary classifier laid out one behind the other; ``features`` is how many values a row has.

    ``margin`` is the log-odds before any tree has spoken. A leaf is its own child on both sides, and ``threshold``
    holds its value; ``roots`` are the first nodes, in the order in which the trees are added up; ``cover`` is the
    weight of the training rows that came by.
    """

    features: int
    margin: np.float32
    roots: NodeArray = field(repr=False)
    feature: NodeArray = field(repr=False)
    threshold: Float32Array = field(repr=False)
    default_left: BoolArray = field(repr=False)
    left: NodeArray = field(repr=False)
    right: NodeArray = field(repr=False)
    cover: FloatArray = field(repr=False)
    depth: int

    def __len__(self) -> int:
        return len(self.roots)

    @classmethod
    def of(cls, payload: bytes, rounds: int | None = None) -> Trees:
        """From XGBoost's JSON, the first ``rounds`` boosting rounds of it (None: all, early stopping or not).

        A round may hold several trees (a random forest's ``num_parallel_tree``). Raises ModelError for what is no
        ``binary:logistic`` model of plain trees (linear, dart, several classes or targets, categorical splits), for
        fewer rounds than asked for, and for anything missing or impossible in it.
        """
        try:
            return _read(json.loads(payload)["learner"], rounds)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
            raise ModelError("it is no XGBoost model, or a part of it is missing") from error

    def log_odds(self, row: FloatArray) -> float:
        """The log-odds of a win for one row ``[k]``, NaN = missing; what XGBoost's ``output_margin`` gives."""
        values = row.astype(np.float32)[self.feature]
        goes_left = values < self.threshold
        missing = np.isnan(values)
        if missing.any():
            goes_left |= missing & self.default_left
        follow = np.where(goes_left, self.left, self.right)
        node = self.roots
        for _ in range(self.depth):
            node = follow[node]
        # Added one after the other, as the library does: a pairwise sum would round otherwise.
        spoken = np.empty(len(node) + 1, dtype=np.float32)
        spoken[0] = self.margin
        spoken[1:] = self.threshold[node]
        return float(np.cumsum(spoken, dtype=np.float32)[-1])

    def probability(self, row: FloatArray) -> float:
        """P(win) of one row ``[k]``, float32 at its core as XGBoost's own is. Raises ModelError for another width."""
        if row.shape != (self.features,):
            raise ModelError(f"the model takes {self.features} values, found {row.shape}")
        return 1.0 / (1.0 + math.exp(min(700.0, -self.log_odds(row))))


def _read(learner: Mapping[str, Any], rounds: int | None) -> Trees:
    width, margin = _parameters(learner)
    booster = learner["gradient_booster"]
    if booster["name"] != "gbtree":
        raise ModelError(f"it is a model of the kind {booster['name']!r}, not plain trees")
    model = booster["model"]
    trees = model["trees"]
    used = trees[: _tree_count(model, rounds)]
    if any(group != 0 for group in model["tree_info"]):
        raise ModelError("the model tells more than two classes apart")
    parts, roots, deepest, size = [], [], 0, 0
    for tree in used:
        part, depth = _tree(tree, width, size)
        roots.append(size)
        parts.append(part)
        size += len(part[0])
        deepest = max(deepest, depth)
    left, right, feature, threshold, default_left, cover = (np.concatenate(c) for c in zip(*parts, strict=True))
    return Trees(
        width, margin, np.array(roots, dtype=np.int64), feature, threshold, default_left, left, right, cover, deepest
    )


def _parameters(learner: Mapping[str, Any]) -> tuple[int, np.float32]:
    """How many features there are, and the log-odds of the base score."""
    objective = learner["objective"]["name"]
    if objective != "binary:logistic":
        raise ModelError(f"the model was trained for {objective!r}, not for binary:logistic")
    told = learner["learner_model_param"]
    if int(told["num_class"]) > 1 or int(told.get("num_target", "1")) != 1:
        raise ModelError("the model has more than one answer")
    if any(kind == "c" for kind in learner.get("feature_types", ())):
        raise ModelError("the model has categories among its features")
    base = told["base_score"].strip()
    if base.startswith("["):  # since 3.1 a vector with one entry per target
        entries = json.loads(base)
        if len(entries) != 1:
            raise ModelError("the model has more than one base score")
        base = entries[0]
    score = np.float32(base)
    if not 0 < score < 1:
        raise ModelError(f"the base score {score} is no probability")
    return int(told["num_feature"]), np.float32(-np.log(np.float32(1) / score - np.float32(1)))


def _tree_count(model: Mapping[str, Any], rounds: int | None) -> int:
    """How many trees the first ``rounds`` rounds hold."""
    told, trees, ends = model["gbtree_model_param"], model["trees"], model["iteration_indptr"]
    if int(told["num_trees"]) != len(trees) or len(model["tree_info"]) != len(trees):
        raise ModelError("the model does not hold as many trees as it says")
    if ends[0] != 0 or ends[-1] != len(trees) or any(b <= a for a, b in pairwise(ends)):
        raise ModelError("the model's rounds do not fit its trees")
    last = len(ends) - 1 if rounds is None else rounds
    if not 0 < last < len(ends):
        raise ModelError(f"the model has {len(ends) - 1} rounds, {last} are wanted")
    return int(ends[last])


def _tree(
    tree: Mapping[str, Any], width: int, first: int
) -> tuple[tuple[NodeArray, NodeArray, NodeArray, Float32Array, BoolArray, FloatArray], int]:
    """One tree's columns with its nodes numbered from ``first``, and its depth."""
    columns = [tree[name] for name in _NODE_COLUMNS]
    size = len(columns[0])
    if not size or any(len(c) != size for c in columns) or int(tree["tree_param"]["num_nodes"]) != size:
        raise ModelError("a tree's columns differ in length")
    if int(tree["tree_param"].get("size_leaf_vector", "1")) > 1 or any(tree.get("split_type", ())):
        raise ModelError("a tree has leaves of several values, or splits by categories")
    left, right, feature = (np.array(c, dtype=np.int64) for c in columns[:3])
    threshold = np.array(columns[3], dtype=np.float32)
    default_left = np.array(columns[4], dtype=np.int64)
    cover = np.array(columns[5], dtype=np.float64)
    leaf: BoolArray = left == _NOWHERE
    if not (np.array_equal(leaf, right == _NOWHERE) and np.isfinite(threshold).all() and np.isfinite(cover).all()):
        raise ModelError("a tree has a node with one child, or a value that is not finite")
    if not (((feature >= 0) & (feature < width)) | leaf).all() or not np.isin(default_left, (0, 1)).all():
        raise ModelError("a tree asks for a feature that the model does not have")
    depth = _depth(left, right, size)
    here = np.arange(size)
    return (
        np.where(leaf, here, left) + first,
        np.where(leaf, here, right) + first,
        np.where(leaf, 0, feature),
        threshold,
        default_left.astype(np.bool_),
        cover,
    ), depth


def _depth(left: Sequence[int] | NodeArray, right: Sequence[int] | NodeArray, size: int) -> int:
    """The steps from the root to the deepest leaf. Raises ModelError where a node is reached twice or is none."""
    seen: set[int] = set()
    level, depth = [0], 0
    while level:
        for node in level:
            if not 0 <= node < size or node in seen:
                raise ModelError("a tree's nodes do not form a tree")
            seen.add(node)
        level = [int(child) for node in level for child in (left[node], right[node]) if left[node] != _NOWHERE]
        depth += bool(level)
    return depth
