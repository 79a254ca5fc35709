"""What one fit learns from and what it holds back: the rows it is given, cut in time and weighted."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from core.config import Ml
from core.domain.candles import BoolArray, FloatArray
from core.ml.augmentation import SOURCE, augmented
from core.ml.dataset import Dataset

_STOPPING_SHARE = 0.2  # the newest slice, on which early stopping looks
_STOPPING_MIN_ROWS = 20  # a smaller slice stops by luck; then all trees are grown


@dataclass(frozen=True, eq=False)
class Part:
    """Rows with what each counts."""

    rows: Dataset
    weight: FloatArray

    @property
    def copies(self) -> int:
        """How many of the rows are noisy copies."""
        return int((self.rows.source == SOURCE).sum())


def parts_of(dataset: Dataset, weight: FloatArray, settings: Ml, *, stops: bool) -> tuple[Part, Part | None]:
    """The rows to learn from, with noisy copies where ``ml.augment`` says so, and the newest ones held back.

    ``stops``: whether this kind of model has a use for rows on which early stopping looks. They are None where they
    would be too few or all the same. They are as they are: only rows that are learned from are copied.
    """
    held = _held_back(dataset) if stops else 0
    if not held:
        return _learned(Part(dataset, weight), settings), None
    older = settled(dataset, int(dataset.time[-held]))
    older[-held:] = False
    if len(np.unique(dataset.y[older])) < 2:
        return _learned(Part(dataset, weight), settings), None
    newest = Part(dataset.take(np.arange(len(dataset))[-held:]), weight[-held:])
    return _learned(Part(dataset.take(older), weight[older]), settings), newest


def settled(dataset: Dataset, moment: int) -> BoolArray:
    """The rows that may teach a model which is asked from ``moment`` (epoch ms) on: decided and ended before it.

    Rows younger than the longest outcome are left out whole: of those only the quick ones have ended, and quick ones
    are losses more often than not.
    """
    if not len(dataset):
        return np.zeros(0, dtype=np.bool_)
    longest = int((dataset.end_time - dataset.time).max())
    return np.asarray((dataset.time <= moment - longest) & (dataset.end_time <= moment), dtype=np.bool_)


def _learned(part: Part, settings: Ml) -> Part:
    """With noisy copies where they are wanted: weighted as their source says, all together scaled to a mean of 1."""
    if not settings.augment:
        return part
    copies = augmented(part.rows, settings.seed)
    both = np.concatenate((part.weight, part.weight * copies.base_weight / part.rows.base_weight))
    return Part(_after(part.rows, copies), both / both.mean())


def _after(rows: Dataset, copies: Dataset) -> Dataset:
    """The copies behind the rows; not ``joined``, for the weights lie in this order and none is needed any more."""
    names = [f.name for f in fields(rows) if f.name != "features"]
    both: dict[str, Any] = {name: np.concatenate([getattr(rows, name), getattr(copies, name)]) for name in names}
    return replace(rows, **both)


def _held_back(dataset: Dataset) -> int:
    """How many of the newest rows early stopping may look at; 0 where they are too few or all the same."""
    rows = int(len(dataset) * _STOPPING_SHARE)
    return rows if rows >= _STOPPING_MIN_ROWS and len(np.unique(dataset.y[-rows:])) == 2 else 0
