"""Trees asked without the library answer as the library does, and a file that is not understood is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st

from core.domain.candles import FloatArray
from core.errors import ModelError
from core.ml.trees import Trees

WIDTH, ROUNDS = 6, 30
KINDS: dict[str, dict[str, object]] = {
    "boosted": {"max_depth": 4, "learning_rate": 0.1, "tree_method": "exact"},
    "pruned": {"max_depth": 5, "gamma": 3.0, "tree_method": "exact"},
    "forest": {"max_depth": 6, "num_parallel_tree": 7, "subsample": 0.6, "learning_rate": 1.0, "tree_method": "hist"},
    "base score given": {"max_depth": 3, "base_score": 0.2, "tree_method": "exact"},
    "stumps": {"max_depth": 1, "learning_rate": 0.3, "tree_method": "exact"},
}


def rows(count: int, seed: int, missing: float) -> FloatArray:
    rng = np.random.default_rng(seed)
    found = np.round(rng.normal(size=(count, WIDTH)), 1)  # rounded, so that values meet thresholds exactly
    found[rng.random(found.shape) < missing] = np.nan
    return found


@cache
def booster(kind: str) -> Any:
    x = rows(400, 1, 0.1)
    y = (np.nan_to_num(x[:, 0]) + np.random.default_rng(2).normal(size=len(x)) > 0).astype(int)
    fixed = {"objective": "binary:logistic", "nthread": 1, "seed": 1, "verbosity": 0}
    return xgb.train({**fixed, **KINDS[kind]}, xgb.DMatrix(x, label=y, nthread=1), ROUNDS)


@cache
def payload(kind: str = "boosted") -> bytes:
    return bytes(booster(kind).save_raw("json"))


@cache
def laid_out(kind: str, rounds: int = ROUNDS) -> Trees:
    return Trees.of(payload(kind), rounds)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rounds", [1, 11, ROUNDS])
def test_the_answer_is_the_librarys_to_float32_rounding(kind: str, rounds: int) -> None:
    trees, asked = Trees.of(payload(kind), rounds), rows(200, 5, 0.25)
    matrix = xgb.DMatrix(asked, nthread=1)
    odds = booster(kind).predict(matrix, iteration_range=(0, rounds), output_margin=True)
    chance = booster(kind).predict(matrix, iteration_range=(0, rounds))

    np.testing.assert_allclose([trees.log_odds(row) for row in asked], odds, atol=2e-6, rtol=0)
    np.testing.assert_allclose([trees.probability(row) for row in asked], chance, atol=5e-7, rtol=0)


VALUES = st.one_of(st.floats(-1e30, 1e30), st.just(math.nan), st.integers(-30, 30).map(lambda n: n / 10))


@given(st.sampled_from(sorted(KINDS)), st.lists(VALUES, min_size=WIDTH, max_size=WIDTH), st.integers(1, ROUNDS))
def test_any_row_missing_values_included_gets_the_librarys_answer(kind: str, row: list[float], rounds: int) -> None:
    trees, asked = laid_out(kind, rounds), np.array([row])
    wanted = booster(kind).predict(xgb.DMatrix(asked, nthread=1), iteration_range=(0, rounds))[0]

    assert trees.probability(asked[0]) == pytest.approx(float(wanted), abs=5e-7)


def test_a_value_that_float32_rounds_to_the_threshold_goes_the_librarys_way() -> None:
    """The library compares float32 with float32: in float64 the row would fall on the other side."""
    trees = Trees.of(payload())
    split = next(n for n in range(len(trees.left)) if trees.left[n] != n)
    asked = rows(1, 3, 0.0)
    asked[0, trees.feature[split]] = np.nextafter(float(trees.threshold[split]), -np.inf)
    wanted = booster("boosted").predict(xgb.DMatrix(asked, nthread=1))[0]

    assert trees.probability(asked[0]) == pytest.approx(float(wanted), abs=5e-7)


def test_a_trained_model_says_the_same_after_its_best_iteration_and_in_its_newest_notation() -> None:
    """A base score is a vector in brackets since 3.1 and was a plain number before; both are read."""
    content = json.loads(payload())
    told = content["learner"]["learner_model_param"]
    plain = told["base_score"].strip("[]")
    found = [Trees.of(_with(content, ["learner_model_param", "base_score"], text)) for text in (plain, f"[{plain}]")]

    assert found[0].margin == found[1].margin
    assert len(Trees.of(payload(), 7)) == 7
    assert len(Trees.of(payload("forest"), 3)) == 21
    assert len(Trees.of(payload("forest"))) == 7 * ROUNDS


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(ModelError, match="6 values"):
        Trees.of(payload()).probability(np.zeros(WIDTH - 1))


def _with(content: dict[str, Any], path: list[Any], value: object) -> bytes:
    """The model with one thing changed; a function as the value changes what is there."""
    changed = json.loads(json.dumps(content))
    part = changed["learner"]
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value(part[path[-1]]) if callable(value) else value
    return json.dumps(changed).encode()


MODEL = ["gradient_booster", "model"]
TREE = [*MODEL, "trees", 3]
BROKEN: dict[str, tuple[list[Any], object]] = {
    "another objective": (["objective", "name"], "reg:squarederror"),
    "several classes": (["learner_model_param", "num_class"], "3"),
    "several targets": (["learner_model_param", "num_target"], "2"),
    "a categorical feature": (["feature_types"], ["c"] * WIDTH),
    "two base scores": (["learner_model_param", "base_score"], "[5E-1,5E-1]"),
    "a base score that is no probability": (["learner_model_param", "base_score"], "[1.5E0]"),
    "a base score that is no number": (["learner_model_param", "base_score"], "half"),
    "a dart booster": (["gradient_booster", "name"], "dart"),
    "several groups": ([*MODEL, "tree_info", 2], 1),
    "fewer trees than it says": ([*MODEL, "trees"], lambda t: t[:-1]),
    "rounds that end elsewhere": ([*MODEL, "iteration_indptr"], lambda t: t[:-1]),
    "no rounds": ([*MODEL, "iteration_indptr"], None),
    "a split by categories": ([*TREE, "split_type", 0], 1),
    "leaves of several values": ([*TREE, "tree_param", "size_leaf_vector"], "2"),
    "a column too short": ([*TREE, "default_left"], lambda c: c[:-1]),
    "a node with one child": ([*TREE, "left_children", 0], -1),
    "a child beyond the tree": ([*TREE, "left_children", 0], 10_000),
    "a circle": ([*TREE, "left_children", 0], 0),
    "two parents": ([*TREE, "left_children"], lambda c: [c[0], c[0], *c[2:]]),
    "a feature that is not there": ([*TREE, "split_indices", 0], WIDTH),
    "a threshold that is no number": ([*TREE, "split_conditions", 0], None),
    "a direction that is none": ([*TREE, "default_left", 0], 2),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_model_that_is_not_understood_is_refused(fault: str) -> None:
    path, value = BROKEN[fault]

    with pytest.raises(ModelError):
        Trees.of(_with(json.loads(payload()), path, value))


@pytest.mark.parametrize("rounds", [0, -1, ROUNDS + 1])
def test_rounds_that_are_not_there_are_refused(rounds: int) -> None:
    with pytest.raises(ModelError, match="rounds"):
        Trees.of(payload(), rounds)


CUT: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "another JSON": lambda _: b'{"learner": []}',
    "half of it": lambda p: p[: len(p) // 2],
    "a list": lambda _: b"[1]",
}


@pytest.mark.parametrize("cut", CUT)
def test_a_file_that_is_cut_or_foreign_is_refused(cut: str) -> None:
    with pytest.raises(ModelError):
        Trees.of(CUT[cut](payload()))
