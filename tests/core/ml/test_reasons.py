"""Reasons that are looked up are the library's own; where there is too much to look up the library is asked."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st

from core.ml.reasons import Reasons
from core.ml.trees import Trees
from tests.core.ml.test_prediction import champion
from tests.core.ml.test_trees import KINDS, ROUNDS, VALUES, WIDTH, booster, laid_out, payload, rows


@cache
def looked_up(kind: str, rounds: int = ROUNDS) -> Reasons:
    found = Reasons.of(laid_out(kind, rounds))
    assert found is not None
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rounds", [1, ROUNDS])
def test_every_share_and_the_base_are_the_librarys(kind: str, rounds: int) -> None:
    asked = rows(100, 5, 0.25)
    matrix = xgb.DMatrix(asked, nthread=1)
    wanted = booster(kind).predict(matrix, iteration_range=(0, rounds), pred_contribs=True)
    reasons = looked_up(kind, rounds)

    np.testing.assert_allclose([reasons.shares_of(row) for row in asked], wanted, atol=1e-5, rtol=0)


@given(st.sampled_from(sorted(KINDS)), st.lists(VALUES, min_size=WIDTH, max_size=WIDTH))
def test_the_shares_of_any_row_sum_to_its_log_odds(kind: str, row: list[float]) -> None:
    asked = np.array(row)

    assert looked_up(kind).shares_of(asked).sum() == pytest.approx(laid_out(kind).log_odds(asked), abs=1e-5)


def test_a_feature_that_is_never_asked_has_no_share() -> None:
    trees = Trees.of(payload("stumps"), 1)
    shares = Reasons.of(trees).shares_of(rows(1, 3, 0.0)[0])  # type: ignore[union-attr]

    assert np.count_nonzero(shares[:-1]) == 1
    assert np.flatnonzero(shares[:-1])[0] == trees.feature[trees.roots[0]]


def test_trees_without_a_split_have_a_base_alone() -> None:
    x = rows(40, 1, 0.0)
    still = xgb.train(
        {"objective": "binary:logistic", "gamma": 1e9, "nthread": 1, "verbosity": 0},
        xgb.DMatrix(x, label=np.arange(40) % 2, nthread=1),
        3,
    )
    reasons = Reasons.of(Trees.of(bytes(still.save_raw("json"))))

    assert reasons is not None
    np.testing.assert_allclose(
        reasons.shares_of(x[0]), still.predict(xgb.DMatrix(x[:1], nthread=1), pred_contribs=True)[0], atol=1e-6
    )


def test_trees_that_are_too_deep_or_do_not_say_their_rows_are_left_to_the_library() -> None:
    trees = Trees.of(payload())
    content = json.loads(payload())
    content["learner"]["gradient_booster"]["model"]["trees"][0]["sum_hessian"][1] = 0.0

    assert Reasons.of(replace(trees, depth=7)) is None
    assert Reasons.of(Trees.of(json.dumps(content).encode())) is None


def test_a_champion_gives_the_same_reasons_either_way() -> None:
    asked = champion("xgb")
    slow = replace(asked, model=replace(asked.model, reasons=None))  # type: ignore[type-var]
    features = {name: 30.0 + n for n, name in enumerate(asked.features)}
    one, other = asked.predict(features), slow.predict(features)

    assert one.probability == other.probability
    shares, wanted = ({name: share for name, _, share in found.contributions} for found in (one, other))
    assert shares == pytest.approx(wanted, abs=1e-5)
