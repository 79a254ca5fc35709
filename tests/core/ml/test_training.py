"""Training: guards, determinism, and the weights that let a tree split at all."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.config import Ml
from core.errors import ModelError
from core.ml.boosting import asked, booster_from
from core.ml.dataset import Dataset, from_table, weights
from core.ml.logistic import Logistic
from core.ml.parts import parts_of
from core.ml.training import Fitted, Kind, fit, train
from tests.core.ml.planted import table

ROOT = Path(__file__).parents[3]
NOW = 2 * 10**12
KINDS: tuple[Kind, ...] = ("xgb", "forest", "logistic")


def data(n: int = 120, effect: float = 1.5, seed: int = 1) -> Dataset:
    return from_table(table(n, effect=effect, seed=seed))


def splits(fitted: Fitted) -> int:
    trees = json.loads(fitted.payload)["learner"]["gradient_booster"]["model"]["trees"]
    return sum(len(tree["split_indices"]) // 2 for tree in trees)


def test_a_bare_weight_forbids_every_split_on_24_rows_and_a_scaled_one_does_not() -> None:
    rows = data(24, effect=4.0)
    bare = np.full(24, 0.3)

    assert splits(fit(rows, bare, Ml(), "xgb")) == 0
    assert splits(fit(rows, weights(rows, NOW, 180), Ml(), "xgb")) > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [60, 300])
def test_the_same_data_gives_the_same_bytes_whenever_it_is_trained(kind: Kind, n: int) -> None:
    one, two = train(data(n), Ml(), NOW, kind), train(data(n), Ml(), NOW + 10**9, kind)

    assert one == two
    assert one.payload == two.payload


def test_other_data_and_another_seed_give_another_name() -> None:
    names = {train(data(60), Ml(), NOW).model_id, train(data(61), Ml(), NOW).model_id}
    names.add(train(data(60), Ml(seed=8), NOW).model_id)

    assert len(names) == 3
    assert all(name.startswith("xgb-v1-") for name in names)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", [Ml(augment=True), Ml(tune_trials=2)])
def test_copies_and_a_search_leave_it_to_the_seed_too(kind: Kind, settings: Ml) -> None:
    one, two = train(data(), settings, NOW, kind), train(data(), settings, NOW, kind)

    assert one == two
    assert one.model_id != train(data(), Ml(), NOW, kind).model_id or settings.tune_trials


def test_a_recent_row_counts_more_than_an_old_one() -> None:
    """Two halves that contradict each other: the newer half is believed."""
    rows = data(400, effect=3.0)
    turned = replace(rows, y=np.where(np.arange(400) < 200, 1 - rows.y, rows.y))
    quick, slow = (weights(turned, NOW, half_life) for half_life in (10, 10_000))
    high = rows.X[:, rows.features.index("entry_adx")] > 40
    for kind in KINDS:
        believed, doubted = (fit(turned, weight, Ml(), kind).predict(rows.X)[high].mean() for weight in (quick, slow))
        assert believed > doubted + 0.1


def test_below_the_floor_there_is_no_model() -> None:
    with pytest.raises(ModelError, match=r"^ML learning 31/50$"):
        train(data(31), Ml(), NOW)


@pytest.mark.parametrize("kind", KINDS)
def test_one_class_only_is_refused(kind: Kind) -> None:
    rows = data(60)

    with pytest.raises(ModelError, match="all 60 samples lost"):
        train(replace(rows, y=np.zeros(60, dtype=np.int64)), Ml(), NOW, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_values_that_are_all_missing_or_infinite_are_refused(kind: Kind) -> None:
    rows = data(60)
    infinite = rows.X.copy()
    infinite[3, 2] = np.inf

    with pytest.raises(ModelError, match="no feature has a value"):
        train(replace(rows, X=np.full_like(rows.X, np.nan)), Ml(), NOW, kind)
    with pytest.raises(ModelError, match="entry_adx holds an infinite value"):
        train(replace(rows, X=infinite), Ml(), NOW, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_constant_features_teach_nothing_and_break_nothing(kind: Kind) -> None:
    rows = data(80)
    flat = replace(rows, X=np.ones_like(rows.X))
    fitted = fit(flat, weights(flat, NOW, 180), Ml(), kind)

    assert np.ptp(fitted.predict(flat.X)) < 1e-6
    assert fitted.predict(flat.X)[0] == pytest.approx(np.average(rows.y, weights=weights(rows, NOW, 180)), abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_effect_is_learned(kind: Kind) -> None:
    fitted = fit(data(400), np.ones(400), Ml(), kind)
    new = data(400, seed=9)
    p = fitted.predict(new.X)

    assert p[new.y == 1].mean() > p[new.y == 0].mean() + 0.15


def test_early_stopping_looks_at_the_newest_rows_and_keeps_few_trees_of_noise() -> None:
    assert fit(data(60), np.ones(60), Ml(), "xgb").stopping_rows == 0

    noise = fit(data(400, effect=0.0), np.ones(400), Ml(), "xgb")
    assert noise.stopping_rows == 80
    assert noise.trees < 40


def test_the_logistic_agrees_with_a_general_optimiser() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(1)
    x, weight = rng.normal(size=(100, 2)), rng.uniform(0.5, 1.5, 100)
    y = (rng.random(100) < 1 / (1 + np.exp(-x[:, 0]))).astype(np.int64)
    found = Logistic.fit(x, y, weight)
    z = (x - x.mean(axis=0)) / x.std(axis=0)

    def loss(beta: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        eta = beta[0] + z @ beta[1:]
        return float((weight * (np.logaddexp(0, eta) - y * eta)).sum() + 0.5 * (beta[1:] ** 2).sum())

    best = optimize.minimize(loss, np.zeros(3), tol=1e-12).x
    np.testing.assert_allclose([found.intercept, *found.coefficients], best, atol=1e-4)


def test_the_logistic_survives_its_json() -> None:
    found = fit(data(100), np.ones(100), Ml(), "logistic")

    assert Logistic.from_json(found.payload).to_json() == found.payload


@pytest.mark.parametrize("payload", [b"", b"{}", b"hello", b'{"learner": 1}', b"\x80\x04N."])
def test_what_is_no_model_is_refused(payload: bytes) -> None:
    with pytest.raises(ModelError, match="no XGBoost model"):
        booster_from(payload)
    with pytest.raises(ModelError, match="no logistic model"):
        Logistic.from_json(payload)


def test_a_model_cut_in_half_is_refused() -> None:
    whole = fit(data(60), np.ones(60), Ml(), "xgb").payload

    with pytest.raises(ModelError, match="a part of it is missing"):
        booster_from(whole[: len(whole) // 2])


def test_the_bots_process_loads_no_learning_library() -> None:
    """Importing all that the bot and its chat are made of must leave them unloaded, and matplotlib until it draws."""
    modules = [f"core.services.{path.stem}" for path in (ROOT / "core" / "services").glob("*.py")]
    names = ", ".join(sorted({*modules, "julaba_tg.app", "julaba_tg.running"} - {"core.services.__init__"}))
    libraries = {"xgboost", "optuna", "scipy", "sklearn", "matplotlib", "pandas"}
    code = f"import sys, {names}; print({libraries} & set(sys.modules))"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_as_many_trees_predict_as_did_best_on_the_rows_held_back() -> None:
    rows = data(400)
    weight = weights(rows, NOW, 180)
    found = fit(rows, weight, Ml(), "xgb")
    _, newest = parts_of(rows, weight, Ml(), stops=True)
    assert newest is not None
    booster = booster_from(found.payload)
    losses = []
    for rounds in range(1, booster.num_boosted_rounds() + 1):
        said = asked(booster, newest.rows.X, rows.features, rounds)
        loss = -np.log(np.where(newest.rows.y == 1, said, 1 - said))
        losses.append(float(np.average(loss, weights=newest.weight)))

    assert 1 < found.trees < len(losses)
    assert found.trees == 1 + int(np.argmin(losses))
