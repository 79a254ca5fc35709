"""The champion: exact reasons, checked features, ranks and averages."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st

from core.config import Ml
from core.errors import ModelError
from core.ml.boosting import booster_from
from core.ml.dataset import from_table
from core.ml.features import FEATURES_V1
from core.ml.manifest import Manifest, describe
from core.ml.prediction import BASE, Champion, average, percentile_of
from core.ml.training import Kind, TrainedModel, train
from tests.core.ml.planted import table

KINDS: tuple[Kind, ...] = ("xgb", "forest", "logistic")


def trained(kind: Kind = "xgb", n: int = 300) -> tuple[TrainedModel, Manifest]:
    model = train(from_table(table(n, effect=1.5)), Ml(), 2 * 10**12, kind)
    manifest = describe(
        model,
        hashlib.sha256(model.payload).hexdigest(),
        label="gross",
        sources={"backtest": n},
        metrics={},
        version="0",
        created="2026-01-01T00:00:00Z",
        trained_until=0,
        parent=None,
        line=model.model_id,
    )
    return model, manifest


def champion(kind: Kind = "xgb") -> Champion:
    model, manifest = trained(kind)
    return Champion.of(model.payload, manifest)


@pytest.mark.parametrize("kind", KINDS)
def test_contributions_sum_to_the_log_odds(kind: Kind) -> None:
    asked = champion(kind)
    for row in from_table(table(20, seed=5)).X:
        found = asked.predict(dict(zip(FEATURES_V1, row, strict=True)))
        total = sum(share for _, _, share in found.contributions)

        assert total == pytest.approx(math.log(found.probability / (1 - found.probability)), abs=1e-4)


def test_a_forest_answers_and_explains_as_the_library_does_to_float32_rounding() -> None:
    model, manifest = trained("forest", n=2000)
    asked, booster = Champion.of(model.payload, manifest), booster_from(model.payload)
    rows = from_table(table(100, seed=5)).X
    rows[::3, 2] = math.nan
    matrix = xgb.DMatrix(rows, feature_names=list(model.features), nthread=1)
    wanted, shares = booster.predict(matrix), booster.predict(matrix, pred_contribs=True)

    assert np.isnan(rows).any()
    np.testing.assert_allclose([asked.model.probability(row) for row in rows], wanted, rtol=0, atol=2e-7)
    np.testing.assert_allclose([asked.model.contributions(row) for row in rows], shares, rtol=0, atol=1e-5)
    np.testing.assert_allclose(asked.predict_rows(rows), wanted, rtol=0, atol=2e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_the_strongest_reason_comes_first_the_base_last_and_missing_is_none(kind: Kind) -> None:
    values = dict.fromkeys(FEATURES_V1, 1.0) | {"entry_hurst": math.nan, "entry_adx": 44.0}
    found = champion(kind).predict(values)
    strengths = [abs(share) for _, _, share in found.contributions[:-1]]

    assert found.contributions[-1][0] == BASE
    assert strengths == sorted(strengths, reverse=True)
    assert {n: v for n, v, _ in found.contributions}["entry_hurst"] is None
    assert len(found.contributions) == 12


def test_only_the_trees_up_to_the_best_iteration_speak() -> None:
    model, manifest = trained(n=400)
    rows = from_table(table(20, seed=5)).X

    assert model.trees < 100
    few = Champion.of(model.payload, manifest).predict_rows(rows)
    one = Champion.of(model.payload, replace(manifest, trees=1)).predict_rows(rows)
    assert not np.allclose(few, one)


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_found_by_name_not_by_order(kind: Kind) -> None:
    asked = champion(kind)
    values = {name: float(i) for i, name in enumerate(FEATURES_V1)}
    backwards = dict(reversed(values.items())) | {"entry_unknown": 3.0}

    assert asked.predict(values) == asked.predict(backwards)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_name_and_an_infinite_value_are_refused(kind: Kind) -> None:
    values = dict.fromkeys(FEATURES_V1, 1.0)

    with pytest.raises(ModelError, match="needs the feature entry_adx"):
        champion(kind).predict({k: v for k, v in values.items() if k != "entry_adx"})
    with pytest.raises(ModelError, match="infinite"):
        champion(kind).predict(values | {"entry_rsi": math.inf})


def test_a_manifest_of_other_features_or_more_trees_is_refused() -> None:
    model, manifest = trained()

    with pytest.raises(ModelError, match="other features than its manifest"):
        Champion.of(model.payload, replace(manifest, features=(*FEATURES_V1[:-1], "entry_other")))
    with pytest.raises(ModelError, match="fewer trees"):
        Champion.of(model.payload, replace(manifest, trees=1000))


def test_a_manifest_survives_its_json_and_a_foreign_one_is_refused() -> None:
    _, manifest = trained()

    assert Manifest.from_json(manifest.to_json()) == manifest
    for broken in (b"", b"[]", b"{}", manifest.to_json()[:-40], manifest.to_json().replace(b"model-1", b"model-9")):
        with pytest.raises(ModelError):
            Manifest.from_json(broken)


@given(st.floats(0, 1), st.lists(st.floats(0, 1), max_size=300))
def test_a_percentile_lies_between_0_and_1_and_rises_with_the_probability(p: float, recent: list[float]) -> None:
    assert 0 <= percentile_of(p, recent) <= percentile_of(1.0, recent) <= 1


def test_only_the_last_200_count() -> None:
    recent = [0.9] * 100 + [0.3] * 200

    assert percentile_of(0.5, recent) == 1.0
    assert percentile_of(0.3, recent) == 0.5
    assert average(recent) == pytest.approx(0.3)
    assert percentile_of(0.5, []) == 0.5
    assert average([]) is None
