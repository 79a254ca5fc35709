"""What a model looks at is told apart from what helps it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.config import Ml
from core.ml.dataset import Dataset, from_table, weights
from core.ml.evaluation import walk_forward
from core.ml.importance import look, shares
from core.ml.training import Fitted, Kind, fit
from tests.core.ml.planted import table


def data(effect: float = 1.5, n: int = 300) -> Dataset:
    return from_table(table(n, effect=effect))


def fitted(rows: Dataset, kind: Kind) -> Fitted:
    return fit(rows, weights(rows, int(rows.time.max()), 180), Ml(), kind)


@pytest.mark.parametrize("kind", ["xgb", "forest", "logistic"])
def test_shares_add_up_to_the_log_odds_of_the_prediction(kind: Kind) -> None:
    rows = data()
    model = fitted(rows, kind)
    odds = shares(model, rows.X).sum(axis=1)

    np.testing.assert_allclose(1 / (1 + np.exp(-odds)), model.predict(rows.X), atol=1e-6)


@pytest.mark.parametrize("kind", ["xgb", "forest", "logistic"])
def test_the_planted_feature_is_the_most_used_and_surely_helps(kind: Kind) -> None:
    found = walk_forward(data(), Ml(), kind, looking=True).importance
    assert found is not None

    assert found[0].feature == "entry_adx"
    assert found[0].worth_low is not None
    assert found[0].worth_low > 0
    assert sum(i.worth_low is not None and i.worth_low > 0 for i in found) <= 2


def test_on_noise_a_model_uses_features_that_do_not_help_it() -> None:
    found = walk_forward(data(effect=0.0), Ml(), looking=True).importance
    assert found is not None

    assert found[0].use > 0.02
    assert sum(i.worth_low is not None and i.worth_low > 0 for i in found) <= 1


def test_a_constant_or_missing_column_has_no_use_no_worth_and_no_interval() -> None:
    rows = data(n=120)
    values = rows.X.copy()
    values[:, 0], values[:, 1] = 0.5, np.nan
    found = walk_forward(replace(rows, X=values), Ml(), looking=True).importance
    assert found is not None
    by_name = {i.feature: i for i in found}

    for name in rows.features[:2]:
        assert by_name[name].use == pytest.approx(0, abs=1e-9)
        assert (by_name[name].worth, by_name[name].worth_low) == (0, None)


def test_a_column_that_is_missing_in_some_rows_only_is_shuffled_with_its_gaps() -> None:
    rows = data()
    values = rows.X.copy()
    values[:, 2] = np.where(rows.y == 1, 1.0, np.nan)  # only its absence tells
    holed = replace(rows, X=values)

    assert look(fitted(holed, "xgb"), values, rows.y, 1).loss[:, 2].mean() > 0.1


def test_the_same_seed_gives_the_same_figures_and_not_asked_for_there_are_none() -> None:
    rows = data(n=120)

    assert walk_forward(rows, Ml(), looking=True).importance == walk_forward(rows, Ml(), looking=True).importance
    assert walk_forward(rows, Ml()).importance is None


def test_of_many_rows_some_tell_the_use_but_all_tell_the_worth_and_each_feature_its_own() -> None:
    rows = data(n=2000)
    found = look(fitted(rows, "logistic"), rows.X, rows.y, 1)  # so many that each feature is shuffled once only

    assert found.use.shape == (300, len(rows.features))
    assert found.loss.shape == rows.X.shape
    assert rows.features[int(found.loss.mean(axis=0).argmax())] == "entry_adx"
    assert np.delete(found.loss.mean(axis=0), rows.features.index("entry_adx")).max() < 0.005
