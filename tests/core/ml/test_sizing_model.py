"""The size model: it finds a planted R, admits noise, knows nothing of the future, and comes whole from its file."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from core.config import Ml
from core.errors import ModelError
from core.ml import boosting, sizing_model
from core.ml.dataset import Dataset, from_table
from core.ml.evaluation import PURGE_MS, later_slices
from core.ml.parts import Part
from core.ml.sizing_model import Sizer, SizingFigures, SizingModel, train_sizing
from tests.core.ml.planted import table

NOW = 2 * 10**12


@cache
def data(n: int = 400, effect: float = 1.5) -> Dataset:
    return from_table(table(n, effect=effect))


@cache
def sized(n: int = 400, effect: float = 1.5) -> SizingModel:
    found = train_sizing(data(n, effect), Ml(), NOW)
    assert found is not None
    return found


def test_a_planted_effect_is_found_and_may_have_a_say() -> None:
    figures = sized().figures

    assert figures.n == 240
    assert figures.rank_correlation is not None
    assert figures.low is not None
    assert 0.2 < figures.low < figures.rank_correlation
    assert figures.mae is not None
    assert figures.mae_constant is not None
    assert figures.mae < figures.mae_constant
    assert figures.skill is not None
    assert figures.skill > 0
    assert figures.counts
    assert figures.sentence.endswith("with a weight it makes positions smaller where it expects less")


def test_noise_may_have_no_say_and_the_sentence_says_so() -> None:
    quiet = sized(300, 0.0)

    assert not quiet.figures.counts
    assert "cannot be told from chance; sizes stay as they are" in quiet.figures.sentence
    assert Sizer(quiet).rank(dict.fromkeys(quiet.features, 1.0)) is None


def test_an_order_that_is_surely_wrong_and_too_few_days_have_no_say_either() -> None:
    wrong = SizingFigures(100, -0.4, -0.6, -0.2)

    assert not wrong.counts
    assert "the wrong way round" in wrong.sentence
    assert not SizingFigures(100, 0.9).counts
    assert "too few days" in SizingFigures(100, 0.9).sentence
    assert "too few to tell" in SizingFigures(3).sentence


def test_what_was_said_before_counts_half_below_itself() -> None:
    model = sized()
    features = dict.fromkeys(model.features, 30.0)
    said = float(Sizer(model).predict(np.full((1, len(model.features)), 30.0))[0])

    assert Sizer(replace(model, out_of_fold=(said - 1, said, said, said + 1))).rank(features) == 0.5


def test_a_rank_is_among_what_was_said_of_unseen_signals() -> None:
    sizer = Sizer(sized())
    ranks = []
    for adx in (26.0, 35.0, 44.0):
        rank = sizer.rank(dict.fromkeys(sizer.model.features, 1.0) | {"entry_adx": adx, "entry_hurst": math.nan})
        assert rank is not None
        ranks.append(rank)

    assert 0 <= ranks[0] < 0.35 < ranks[1] < 0.7 < ranks[2] <= 1
    assert list(sizer.model.out_of_fold) == sorted(sizer.model.out_of_fold)
    assert len(sizer.model.out_of_fold) == sizer.model.figures.n


def test_the_file_gives_the_same_model_again_and_the_same_data_the_same_file() -> None:
    model = sized()
    again = SizingModel.from_json(model.to_json())
    rows = data().X[:50]

    assert again.to_json() == model.to_json()
    np.testing.assert_array_equal(Sizer(again).predict(rows), Sizer(model).predict(rows))
    fresh = train_sizing(data(), Ml(), NOW + 10**9)
    assert fresh is not None
    assert fresh.to_json() == model.to_json()


def test_a_prediction_of_an_unseen_signal_knows_nothing_of_what_came_later() -> None:
    rows, later = data(), np.arange(400) >= 300
    other = replace(rows, r=np.where(later, -rows.r, rows.r), X=np.where(later[:, None], rows.X + 5, rows.X))
    found = train_sizing(other, Ml(), NOW)
    # Slices begin at 160, 208, 256 and 304: the first three predict 140 rows from what did not change.
    assert found is not None
    same = Counter(found.out_of_fold) & Counter(sized().out_of_fold)
    assert 140 <= same.total() < 200


def test_each_slice_is_predicted_from_outcomes_known_a_purge_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    taught: list[Dataset] = []
    fit = boosting.fit_regression

    def watched(learned: Part, newest: Part | None, *rest: object) -> tuple[bytes, int]:
        taught.append(learned.rows if newest is None else learned.rows.joined(newest.rows))
        return fit(learned, newest, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(sizing_model, "fit_regression", watched)
    rows = data(400)
    train_sizing(rows, Ml(), NOW)

    slices = later_slices(400)
    assert len(taught) == len(slices) + 1  # and the one on all rows
    for known, later in zip(taught, slices, strict=False):
        assert known.end_time.max() <= rows.time[later[0]]
        assert known.time.max() <= rows.time[later[0]] - PURGE_MS


def test_profits_after_costs_teach_where_the_label_is_net() -> None:
    rows = data()
    turned = replace(rows, r_net=-rows.r)
    gross, net = (train_sizing(turned, Ml(label=label), NOW) for label in ("gross", "net"))
    adx = rows.X[:, rows.features.index("entry_adx")]

    assert gross is not None
    assert net is not None
    assert (gross.label, net.label) == ("gross", "net")
    assert np.corrcoef(adx, Sizer(gross).predict(rows.X))[0, 1] > 0.5
    assert np.corrcoef(adx, Sizer(net).predict(rows.X))[0, 1] < -0.5


def test_too_few_known_profits_are_no_model_and_a_constant_profit_has_no_say() -> None:
    rows = data()

    assert train_sizing(replace(rows, r_net=np.full(400, np.nan)), Ml(label="net"), NOW) is None
    assert train_sizing(rows.take(np.arange(30)), Ml(), NOW) is None
    flat = train_sizing(replace(rows, r=np.full(400, -1.0)), Ml(), NOW)
    assert flat is not None
    assert flat.figures.rank_correlation is None
    assert not flat.figures.counts


def test_candidates_teach_but_only_signals_are_counted() -> None:
    found = train_sizing(replace(data(), is_signal=np.arange(400) % 4 == 0), Ml(), NOW)

    assert found is not None
    assert found.figures.n == len(found.out_of_fold) == 60


@pytest.mark.parametrize("damage", [lambda c: c[: len(c) // 2], lambda c: b"{}", lambda c: b"hello"])
def test_a_file_that_is_not_whole_is_refused(damage: object) -> None:
    with pytest.raises(ModelError, match="no size model, or a part of it is missing"):
        SizingModel.from_json(damage(sized().to_json()))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"features": ["a"]}, "other features"), ({"rounds": 999}, "fewer trees"), ({"model": {}}, "no XGBoost model")],
)
def test_a_file_that_contradicts_itself_is_refused(change: dict[str, object], sentence: str) -> None:
    content = json.dumps(json.loads(sized().to_json()) | change).encode()

    with pytest.raises(ModelError, match=sentence):
        Sizer(SizingModel.from_json(content))
