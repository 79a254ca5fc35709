"""The search for settings: nested, seeded, told of as it goes, and refused in one sentence without its library."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from core.config import Ml
from core.domain.candles import FloatArray
from core.errors import ModelError
from core.ml import training, tuning
from core.ml.dataset import Dataset, from_table
from core.ml.evaluation import walk_forward
from core.ml.fitting import Fitted, Kind
from core.ml.training import fit, train
from core.ml.tuning import SPACE, inner_slices, tuned_parameters
from tests.core.ml.planted import table
from tests.core.ml.test_augmentation import keys

KINDS: tuple[Kind, ...] = ("xgb", "forest", "logistic")
NOW = 2 * 10**12


def data(n: int = 160, effect: float = 1.0, every: int = 20) -> Dataset:
    return from_table(table(n, effect=effect, every=every))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_settings_and_they_lie_in_the_space(kind: Kind) -> None:
    rows = data()
    one, two = (tuned_parameters(rows, np.ones(160), Ml(), 4, kind) for _ in range(2))

    assert one == two
    assert one.keys() == SPACE[kind].keys()
    assert all(SPACE[kind][name].low <= value <= SPACE[kind][name].high for name, value in one.items())


def test_a_tuned_model_is_the_same_file_each_time_and_says_its_settings() -> None:
    one, two = (train(data(), Ml(tune_trials=4), NOW) for _ in range(2))

    assert one == two
    assert one.tuned.keys() == SPACE["xgb"].keys()
    assert train(data(), Ml(), NOW).tuned == {}


def test_the_plain_settings_are_the_first_try_so_one_trial_changes_nothing() -> None:
    rows, weight = data(), np.ones(160)
    for kind in KINDS:
        one = fit(rows, weight, Ml(tune_trials=1), kind)
        plain = fit(rows, weight, Ml(), kind)

        assert one.tuned == {name: found.plain for name, found in SPACE[kind].items()}
        np.testing.assert_allclose(one.predict(rows.X), plain.predict(rows.X), rtol=1e-6)


def test_the_search_takes_what_does_best_on_its_later_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """With noise alone a strong penalty does best: the search must find its way there."""
    found = tuned_parameters(data(effect=0.0), np.ones(160), Ml(), 25, "logistic")

    assert found["ridge"] > 30


def test_the_inner_slices_are_later_and_purged() -> None:
    rows = data(every=3)
    found = inner_slices(rows)

    assert len(found) == 3
    for known, later in found:
        start = rows.time[later[0]]
        assert (rows.end_time[known] <= start).all()
        assert (rows.time[known] <= start - (rows.end_time - rows.time).max()).all()
        assert known.sum() < later[0]


def test_tuning_never_sees_a_row_that_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = data(400)
    places = {row.tobytes(): place for place, row in enumerate(dataset.X)}
    searched: list[Dataset] = []
    tested: list[Dataset] = []
    search, predict = tuned_parameters, Fitted.predict
    inside, inner = False, 0

    def watched(rows: Dataset, *rest: object) -> dict[str, float]:
        nonlocal inside
        searched.append(rows)
        inside = True
        found = search(rows, *rest)  # type: ignore[arg-type]
        inside = False
        return found

    def asked(fitted: Fitted, rows: FloatArray) -> FloatArray:
        of = dataset.take(np.array([places[row.tobytes()] for row in rows]))
        nonlocal inner
        if inside:
            inner += 1
            assert keys(of) <= keys(searched[-1])
        else:
            tested.append(of)
        return predict(fitted, rows)

    monkeypatch.setattr(training, "tuned_parameters", watched)
    monkeypatch.setattr(Fitted, "predict", asked)
    found = walk_forward(dataset, Ml(tune_trials=2))

    assert len(searched) == len(tested) == found.folds == 5
    assert inner == 5 * 2 * 3  # slices, trials, slices within
    for rows, later in zip(searched, tested, strict=True):
        assert not keys(rows) & keys(later)
        assert rows.end_time.max() <= later.time.min()


def test_each_trial_is_told_on_the_way() -> None:
    told: list[tuple[str, float]] = []
    walk_forward(data(400), Ml(tune_trials=2), progress=lambda text, done: told.append((text, done)))

    assert dict(told)["evaluating, slice 2 of 5: trying settings, 2 of 2"] == pytest.approx(0.3)
    assert [done for _, done in told] == sorted(done for _, done in told)


def test_too_few_rows_to_tell_settings_apart_keep_the_plain_ones() -> None:
    assert tuned_parameters(data(40), np.ones(40), Ml(), 3) == {}


def test_without_optuna_it_is_said_in_one_sentence_and_only_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)

    assert train(data(), Ml(), NOW).trees
    with pytest.raises(ModelError, match=r"needs Optuna: pip install 'julaba\[tune\]'"):
        train(data(), Ml(tune_trials=3), NOW)


def test_optuna_says_nothing_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    tuning.tuned_parameters(data(), np.ones(160), Ml(), 2, "logistic")

    assert capfd.readouterr() == ("", "")
